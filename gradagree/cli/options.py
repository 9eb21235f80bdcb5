"""Options that several commands share, and what commands print about themselves."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click


def print_error(text: str) -> None:
    """Print a line on standard error."""
    click.echo(text, err=True)


def command_line() -> str:
    """The command that was typed, for ``meta.json``."""
    return shlex.join(["gradagree", *sys.argv[1:]])


def known_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """--known."""
    text = (
        "File of known differences (default: the project's gradagree-known.toml; 'none' disables it, and the known "
        "faults of the frameworks)."
    )
    return click.option("--known", metavar="FILE", help=text)(command)


def finish_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """--known and --shrink."""
    text = "Time budget for shrinking failing cases (0 disables shrinking)."
    return known_option(
        click.option("--shrink", type=float, default=20.0, show_default=True, metavar="SECONDS", help=text)(command)
    )


def extensions(command: Callable[..., Any]) -> Callable[..., Any]:
    """--ext."""
    return click.option(
        "--ext",
        "ext",
        multiple=True,
        metavar="FILE",
        help="Python file that defines your own functions or adapters; it is executed (default: none).",
    )(command)


def selection_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """--frameworks and --modes."""
    modes = "Gradient modes to check: MODE, FRAMEWORK:MODE or all (default: all but the slowest to compile)."
    command = click.option("--modes", metavar="LIST", help=modes)(command)
    frameworks = "Frameworks to check (default: all that gradagree knows)."
    return click.option("--frameworks", metavar="LIST", help=frameworks)(command)


def condition_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """--cotangents, --layouts, --repeat and --save."""
    text = "Folder for a failing call, with a script that checks it again (default: a temporary one)."
    command = click.option("--save", type=click.Path(path_type=Path), metavar="DIR", help=text)(command)
    text = "Calls with the same gradient; from 2 on, others come between and memory is filled with NaN."
    command = click.option("--repeat", default=2, show_default=True, metavar="N", help=text)(command)
    text = "Also check other memory layouts, and expanded and missing cotangents."
    command = click.option("--layouts/--no-layouts", default=True, show_default=True, help=text)(command)
    text = "Cotangents of the outputs: a .npz file, or the name of a function that returns a list (default: random)."
    return click.option("--cotangents", metavar="NAME", help=text)(command)
