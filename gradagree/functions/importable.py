"""Where a function or class of the user can be loaded from: a module or a file, and a name in it."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from gradagree.functions.usage import name_of


class NotImportable(Exception):
    """A function that has no name in a module; the text says what to do."""


class Origin(NamedTuple):
    """The module's name, the dotted name in it, and its file, if it has one."""

    module: str
    name: str
    file: str = ""


def origin_of(thing: Any) -> Origin:
    """Where a function, class or class method can be loaded from.

    Raises:
        NotImportable: No module has it under a name, or it is defined in an interactive session.
    """
    owner = getattr(thing, "__self__", None)
    named = owner if isinstance(owner, type) else thing
    home = getattr(named, "__module__", None) or ""
    module = sys.modules.get(home)
    name = str(getattr(named, "__qualname__", "") or getattr(named, "__name__", ""))
    name += f".{thing.__name__}" if named is owner else ""
    if module is None or lookup(module, name) != thing:
        name = next((key for key, one in vars(module).items() if one is thing), "") if module is not None else ""
    if module is None or not name:
        raise NotImportable(
            f"{name_of(thing)} cannot be imported, as no module has it under a name; give it one at the top of a file"
        )
    return file_origin(module, name, thing)


def file_origin(module: ModuleType, name: str, thing: Any) -> Origin:
    """The origin; the main script is loaded by its file, or by its name if it was run with ``python -m``."""
    file = getattr(module, "__file__", None)
    path = str(Path(file).resolve()) if file and Path(file).suffix == ".py" else ""
    if module.__name__ != "__main__":
        return Origin(module.__name__, name, path)
    spec = getattr(module, "__spec__", None)
    if not path:
        raise NotImportable(f"{name_of(thing)} is defined in an interactive session; define it in a file")
    return Origin("__main__" if spec is None else spec.name, name, path)


def lookup(module: Any, name: str) -> Any:
    """What a module has under a dotted name, or None."""
    found = module
    for part in name.split("."):
        found = getattr(found, part, None)
    return found
