"""The checks of the contract: a class's name, methods and parameters, and the parameters in a canonical text."""

from __future__ import annotations

import dataclasses
import difflib
import inspect
import math
import re
from collections.abc import Set
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gradagree.reference.contract import _Function

__all__ = ["TARGETS", "ContractError", "check_methods", "check_name", "check_parameters", "nearest", "parameters"]

TARGETS = ("real", "bits", "classes")
"""Kinds of targets: any number; 0 or 1; the number of the right class."""


class ContractError(TypeError):
    """A class does not keep the contract of an activation or error function."""


def check_name(cls: type[_Function]) -> None:
    taken = cls.catalogue.get(cls.name)
    if not re.fullmatch(r"[A-Za-z_]\w*", cls.name):
        raise ContractError(f"{cls.__name__}: the name {cls.name!r} must be letters, digits and underscores")
    if taken is not None and not (taken.__module__ == cls.__module__ == "__main__"):
        raise ContractError(
            f"{cls.__name__}: the name {cls.name!r} is taken by {taken.__module__}.{taken.__name__}; "
            f'set another with name = "..."'
        )


def check_methods(cls: type[_Function], known: Set[str]) -> None:
    """Every public method and attribute is a part of the contract; the required ones are there."""
    for name in vars(cls):
        if name.startswith("_") or name in known or name == "name" or name in inspect.get_annotations(cls):
            continue
        near = difflib.get_close_matches(name, sorted(known), 1)
        hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(sorted(known))};"
        raise ContractError(
            f"{cls.__name__}.{name} is no part of {_an(cls.kind)}; {hint} (helpers start with an underscore)"
        )
    base = next(kind for kind in cls.__mro__ if "catalogue" in vars(kind))
    for name in sorted(cls.required):
        if getattr(cls, name) is getattr(base, name):
            raise ContractError(f"{cls.__name__} has no method {name!r}: add `def {name}(self, ...)`")
    if getattr(cls, "targets", "real") not in TARGETS:
        raise ContractError(f"{cls.__name__}.targets is {cls.targets!r}; it must be one of {', '.join(TARGETS)}")  # type: ignore[attr-defined]


def check_parameters(cls: type[_Function]) -> None:
    for name, kind in inspect.get_annotations(cls).items():
        if name not in vars(cls) and "ClassVar" not in str(kind):
            raise ContractError(f"{cls.__name__}.{name} needs a default value: `{name}: float = 1.0`")


def parameters(made: type[_Function], text: str) -> dict[str, Any]:
    """``a=1,b=2.5`` as keyword arguments of the types of the fields' defaults."""
    fields = {field.name: field.default for field in dataclasses.fields(made)}  # type: ignore[arg-type]
    given: dict[str, Any] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        key, equals, number = (piece.strip() for piece in part.partition("="))
        if not equals or key not in fields:
            raise ContractError(f"{made.name} has no parameter {key!r}; it has: {', '.join(fields) or 'none'}")
        given[key] = _number(made, key, number, fields[key])
    return given


def _number(made: type[_Function], key: str, text: str, default: Any) -> Any:
    choices = {"True": True, "False": False}
    try:
        value = choices[text] if isinstance(default, bool) else type(default)(text)
    except (ValueError, KeyError):
        raise ContractError(f"{made.name}: {key}={text!r} is no {type(default).__name__}") from None
    if isinstance(value, float) and not math.isfinite(value):
        raise ContractError(f"{made.name}: {key}={text} is not finite")
    return value


def nearest(name: str, names: Any) -> str:
    near = difflib.get_close_matches(name, sorted(names), 1)
    return f"; did you mean {near[0]!r}?" if near else f"; known: {', '.join(sorted(names))}"


def _an(kind: str) -> str:
    return ("an " if kind[0] in "aeiou" else "a ") + kind
