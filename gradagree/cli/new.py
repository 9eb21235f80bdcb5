"""The new command: write the template of an activation or loss function."""

from __future__ import annotations

import importlib.util
import keyword
import re
import sys
from pathlib import Path
from typing import Any

import click

from gradagree.errors import UsageError, nearest

KINDS = ("activation", "error", "layer")


@click.command()
@click.argument("kind", metavar="activation|error|layer")
@click.argument("name")
def new(kind: str, name: str) -> int:
    """Write NAME.py, a template of an activation, a loss function or a layer.

    The file is written to the current folder and passes as it is; put in your own formulas.
    """
    if kind not in KINDS:
        raise UsageError(f"new {kind!r}: {nearest(kind, KINDS)}")
    _check(name)
    path = Path(f"{name}.py")
    if path.exists() or path.is_symlink():
        raise UsageError(f"{path} already exists: choose another name, or remove the file")
    _check_free(kind, name)
    words = name if re.search("[A-Z]", name) else name.replace("_", " ").title().replace(" ", "")
    title = words[0].upper() + words[1:]
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(_render(f"new-{kind}.py.j2", name=name, kind=title, named=_snake(title) != name))
    except OSError as wrong:
        raise UsageError(f"cannot write {path}: {wrong.strerror}; choose another folder") from wrong
    click.echo(f"{path} defines {title}, which passes as it is. Put in your own formulas, and check them with")
    if kind == "layer":
        click.echo(f"  gradagree check {path}:{title}")
        return 0
    click.echo(f"  gradagree run --ext {path} --cases 20")
    click.echo(
        f"""  python -c "from gradagree import check; from {name} import {title}; check({title}, modes='grad')\""""
    )
    return 0


def _check(name: str) -> None:
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]{0,63}", name) or keyword.iskeyword(name):
        raise UsageError(
            f"{name[:80]!r} cannot be the name of a file and a class: write a letter, then letters, digits and "
            "underscores, for example my_swish"
        )


def _check_free(kind: str, name: str) -> None:
    """Raises UsageError for the name of a function in the catalogue, or of a module that the file would hide."""
    from gradagree.reference import Activation, ErrorFunction, Layer, layers  # noqa: F401 (registers the layers)
    from gradagree.runner.extensions import load_installed

    load_installed()
    kinds: dict[str, Any] = {"activation": Activation, "error": ErrorFunction, "layer": Layer}
    names = {**kinds[kind].catalogue, "activation": Activation, "error_function": ErrorFunction, "layer": Layer}
    taken = names.get(name) or names.get(_snake(name))
    if taken is not None:
        raise UsageError(f"the name {name!r} is taken by {taken.__module__}.{taken.__name__}: choose another")
    if name in {*sys.stdlib_module_names, *sys.modules} or importlib.util.find_spec(name) is not None:
        raise UsageError(f"{name}.py would hide the Python module {name!r}: choose another name")


def _snake(name: str) -> str:
    """The catalogue name of a class, in snake case."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def _render(template: str, **words: Any) -> str:
    import jinja2

    loader = jinja2.PackageLoader("gradagree.cli", "templates")
    environment = jinja2.Environment(loader=loader, keep_trailing_newline=True, trim_blocks=True)
    return environment.get_template(template).render(**words)
