"""Public functions of a library by their names, called with nothing but their operands: its own defaults."""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

OPTION = re.compile(r"(\w+)\s*(?::[^=,()]*)?=\s*([^,()\s]+)")


@dataclass(frozen=True)
class EntryPoints:
    """Where a library's public functions are.

    Args:
        modules: Modules that are searched, by their full names.
        calls: Source of the call of ``x`` (and ``t``) for a function that needs more than its operands, by its full
            name; the other options keep their defaults.
    """

    modules: tuple[str, ...]
    calls: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class EntryPoint:
    """A public function or class of a library: its full name, the source of its call, and its default options."""

    name: str
    call: str
    options: str = ""


def plain_name(name: str) -> str:
    """A name without underscores, case and the ending "loss": ``HuberLoss`` and ``huber_loss`` are one name."""
    bare = name.replace("_", "").lower()
    return bare.removesuffix("loss") or bare


def find_entry_points(where: EntryPoints, names: Sequence[str], operands: Sequence[str]) -> Iterator[EntryPoint]:
    """The public functions whose plain name is one of these, in the order of the modules; each object once.

    Names that end with an underscore are functions that overwrite their operand, and are left out.
    """
    seen: list[Any] = []
    for module_name in where.modules:
        module = importlib.import_module(module_name)
        for attribute in dir(module):
            if attribute.startswith("_") or attribute.endswith("_") or plain_name(attribute) not in names:
                continue
            found = getattr(module, attribute)
            if not callable(found) or any(found is one for one in seen):
                continue
            seen.append(found)
            name = f"{module_name}.{attribute}"
            make = "()" if inspect.isclass(found) else ""
            yield EntryPoint(name, where.calls.get(name, f"{name}{make}({', '.join(operands)})"), options(found))


def options(function: Any) -> str:
    """The default options of a function as ``alpha=1.0, approximate='none'``; "" if they are not known."""
    target = function.__init__ if inspect.isclass(function) else function
    try:
        parameters = inspect.signature(target).parameters.values()
        found = {p.name: repr(p.default) for p in parameters if p.default is not inspect.Parameter.empty}
    except (TypeError, ValueError):
        line = (inspect.getdoc(function) or "").partition("\n")[0]
        found = dict(OPTION.findall(line)) if "->" in line else {}
    shown = {
        name: value
        for name, value in found.items()
        if not name.startswith("_") and len(value) < LONG and (value != "None" or name in AXES)
    }
    return ", ".join(f"{name}={value}" for name, value in shown.items())


LONG = 24
"""Longer defaults are objects, not numbers or words."""
AXES = ("dim", "axis")
"""Options whose default None chooses something."""


def evaluate_entry_points(
    where: EntryPoints,
    names: Sequence[str],
    operands: Callable[[], Mapping[str, Any]],
    back: Callable[[Any], np.ndarray],
) -> Iterator[tuple[EntryPoint, np.ndarray | str]]:
    """Each entry point with its result, or with the reason why it has none.

    operands makes new arrays for each call, since a function may overwrite its own.
    """
    modules = {name.partition(".")[0]: importlib.import_module(name.partition(".")[0]) for name in where.modules}
    for entry in find_entry_points(where, names, list(operands())):
        try:
            first, second = (back(eval(entry.call, {**modules, **operands()})) for _ in range(2))
        except Exception as wrong:  # noqa: BLE001  (anything that a framework raises is a reason)
            yield entry, f"{type(wrong).__name__}: {str(wrong).partition(chr(10))[0][:200]}"
            continue
        yield entry, first if np.array_equal(first, second, equal_nan=True) else "it is random"
