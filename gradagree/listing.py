"""`gradagree list`: what there is, without what judges it, so that it starts fast."""

from __future__ import annotations

import dataclasses
import os
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text


def print_list(what: str) -> None:
    """activations, errors, frameworks, modes or regimes, one a line, with what they are."""
    table = Table(box=None, pad_edge=False, show_header=False)
    for row in _rows(what):
        table.add_row(*(Text(cell) for cell in row))
    Console(soft_wrap=True).print(table)


def _rows(what: str) -> list[tuple[str, ...]]:
    from gradagree.adapters import Adapter
    from gradagree.reference import Activation, ErrorFunction

    if what in ("activations", "errors"):
        kinds: Any = (Activation if what == "activations" else ErrorFunction).catalogue
        return [(kind.name, _parameters(kind), kind.summary(), *_origin(kind)) for kind in kinds.values()]
    if what == "frameworks":
        return [(name, *_installed(name, kind.install), *_origin(kind)) for name, kind in Adapter.catalogue.items()]
    if what == "modes":
        modes = ((name, kind.modes.items()) for name, kind in Adapter.catalogue.items())
        return [(f"{name}:{mode}", summary(way.gradient)) for name, ways in modes for mode, way in ways]
    from gradagree.datasets import DATASETS
    from gradagree.drawing import REGIMES

    loaders = {name: data.load for name, data in DATASETS.items()}
    return [(name, summary(made)) for name, made in (REGIMES | loaders).items()]


def summary(function: Any) -> str:
    """The first line of a docstring, without its marks for code."""
    return (function.__doc__ or "").strip().split("\n")[0].replace("``", "")


def _parameters(kind: Any) -> str:
    return ", ".join(f"{field.name}={field.default!r}" for field in dataclasses.fields(kind))


def _origin(kind: type) -> tuple[str, ...]:
    """The file that a class is from, if it is not ours."""
    from gradagree.extensions import is_ours
    from gradagree.reference.contract import file_of

    path = file_of(kind) or kind.__module__
    return () if is_ours(kind) else (f"from {path.removeprefix(f'{Path.cwd()}{os.sep}')}",)


def _installed(name: str, install: str) -> tuple[str, str]:
    try:
        return "installed", metadata.version(name)
    except metadata.PackageNotFoundError:
        return "not installed", f"{install}  (Python {platform.python_version()})"
