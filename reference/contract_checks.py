"""The checks of the contract: a class's name, methods and parameters, and the parameters in a canonical text."""

from __future__ import annotations

import difflib
import inspect
import re
import sys
from collections.abc import Set
from typing import TYPE_CHECKING, Any

from gradagree.reference.parameters import ContractError, Weight, Weights

if TYPE_CHECKING:
    from gradagree.reference.contract import _Function

__all__ = [
    "DOMAINS", "TARGETS", "ContractError", "check_methods", "check_name", "check_parameters", "made_again", "nearest",
]  # fmt: skip

MOST_NAMES = 12
"""So many names are told in a message."""
TARGETS = ("real", "bits", "signs", "classes", "simplex", "positive")
"""Kinds of targets: any number; 0 or 1; -1 or 1; the number of the right class; probabilities; numbers above 0."""
DOMAINS = ("real", "positive", "unit", "simplex", "log_simplex")
"""Any number; above 0; between 0 and 1; probabilities along the last axis; their logarithms."""


def check_name(cls: type[_Function]) -> None:
    taken = cls.catalogue.get(cls.name)
    if not re.fullmatch(r"[A-Za-z_]\w*", cls.name):
        raise ContractError(f"{cls.__name__}: the name {cls.name!r} must be letters, digits and underscores")
    if taken is not None and not made_again(taken, cls):
        raise ContractError(
            f"{cls.__name__}: the name {cls.name!r} is taken by {taken.__module__}.{taken.__name__}; "
            f'set another with name = "..."'
        )


def made_again(taken: type, cls: type) -> bool:
    """Whether it is the same class: of a notebook that was changed, or of a file that goes by two module names."""
    if taken.__module__ == cls.__module__:
        return cls.__module__ == "__main__"
    files = [getattr(sys.modules.get(kind.__module__), "__file__", None) for kind in (taken, cls)]
    return files[0] is not None and files[0] == files[1] and taken.__qualname__ == cls.__qualname__


def check_methods(cls: type[_Function], known: Set[str]) -> None:
    """Every public method and attribute is a part of the contract; the required ones are there."""
    for name in vars(cls):
        if name.startswith("_") or name in known or name == "name" or name in inspect.get_annotations(cls):
            continue
        if name.startswith("by_") and isinstance(getattr(cls, name[3:], None), Weight | Weights):
            continue
        near = difflib.get_close_matches(name, sorted(known), 1)
        hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(sorted(known))};"
        raise ContractError(
            f"{cls.__name__}.{name} is no part of {_an(cls.kind)}; {hint} (helpers start with an underscore)"
        )
    base = next(kind for kind in cls.__mro__ if "catalogue" in vars(kind))
    along_last_axis = getattr(cls, "pull", None) is not getattr(base, "pull", None)
    for name in sorted(cls.required - ({"derivative"} if along_last_axis else set())):
        if getattr(cls, name) is getattr(base, name):
            raise ContractError(f"{cls.__name__} has no method {name!r}: add `def {name}(self, ...)`")
    for name, choices in (("targets", TARGETS), ("domain", DOMAINS), ("range", DOMAINS)):
        if getattr(cls, name, "real") not in choices:
            raise ContractError(
                f"{cls.__name__}.{name} is {getattr(cls, name)!r}; it must be one of {', '.join(choices)}"
            )


def check_parameters(cls: type[_Function]) -> None:
    for name, kind in inspect.get_annotations(cls).items():
        if name not in vars(cls) and "ClassVar" not in str(kind):
            raise ContractError(f"{cls.__name__}.{name} needs a default value: `{name}: float = 1.0`")
        if isinstance(vars(cls).get(name), Weight | Weights) and not hasattr(cls, f"by_{name}"):
            raise ContractError(f"{cls.__name__} has a weight {name!r} but no method 'by_{name}': add its dA/d{name}")


def nearest(name: str, names: Any) -> str:
    near = difflib.get_close_matches(name, sorted(names), 1)
    if near:
        return f"; did you mean {near[0]!r}?"
    first, more = sorted(names)[:MOST_NAMES], len(names) - MOST_NAMES
    return f"; known: {', '.join(first)}{f' and {more} more' if more > 0 else ''}"


def _an(kind: str) -> str:
    return ("an " if kind[0] in "aeiou" else "a ") + kind
