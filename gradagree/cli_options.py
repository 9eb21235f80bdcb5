"""Options that several commands have."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click


def known_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """--known."""
    text = "Accepted differences; by default the project's gradagree-known.toml. none: none are."
    return click.option("--known", metavar="FILE", help=text)(command)


def ending_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """--known and --shrink, which `Ending.of` takes out of the options."""
    text = "Seconds to make failing cases small; 0: none are."
    return known_option(
        click.option("--shrink", type=float, default=20.0, show_default=True, metavar="SECONDS", help=text)(command)
    )


def extensions(command: Callable[..., Any]) -> Callable[..., Any]:
    """--ext."""
    return click.option(
        "--ext", "ext", multiple=True, metavar="FILE", help="A Python file with your own functions; loading it runs it."
    )(command)
