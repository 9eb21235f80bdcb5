"""Parameters of activations and losses: their types, and their canonical text, which parses back to equal values."""

from __future__ import annotations

import dataclasses
import functools
import math
import re
import sys
import typing
from pathlib import Path
from typing import Any, Literal

import numpy as np

Reduction = Literal["mean", "sum", "none"]
"""How the losses of entries or examples are reduced; "none" is contracted with fixed weights."""

PLAIN = (bool, int, float, str)


class ContractError(TypeError):
    """A class does not follow the interface of `Activation` or `ErrorFunction`, or a parameter is invalid."""


class Weight(float):
    """A parameter with a gradient, shared by all entries: ``a: Weight = Weight(0.25)``."""


class Weights(tuple[float, ...]):
    """Parameters with gradients, one for each number of an example: ``a: Weights = Weights((0.25, 0.5))``.

    They are multiplied entry by entry, and not repeated as a tuple is.
    """

    __slots__ = ()

    def __mul__(self, other: Any) -> Any:
        return np.array(self) * other

    __rmul__ = __mul__


@functools.lru_cache(maxsize=4096)
def instantiate(kind: type[Any], text: str) -> Any:
    """Create a function from the text of its parameters. Instances are immutable, so that equal texts share one."""
    return kind(**parameters(kind, text))


def parameters(made: type[Any], text: str) -> dict[str, Any]:
    """Parse ``a=1,b=2.5,weight=(0.5,2.0)`` into keyword arguments with the types of the fields' defaults."""
    fields = {field.name: field for field in dataclasses.fields(made)}
    given: dict[str, Any] = {}
    for part in filter(None, (part.strip() for part in re.split(r",(?![^(]*\))", text))):
        key, equals, value = (piece.strip() for piece in part.partition("="))
        if not equals or key not in fields:
            raise ContractError(f"{made.name} has no parameter {key!r}; it has: {', '.join(fields) or 'none'}")
        many = value.startswith("(") and value.endswith(")")
        texts = filter(None, value.strip("()").split(",")) if many else [value]
        numbers = [_read(made, key, one.strip(), 0.0 if many else fields[key].default) for one in texts]
        given[key] = tuple(numbers) if many else numbers[0]
    return given


def _read(made: type[Any], key: str, text: str, default: Any) -> Any:
    truths = {"True": True, "False": False}
    default = 0.0 if isinstance(default, tuple) else default
    try:
        value = truths[text] if isinstance(default, bool) else type(default)(text)
    except (ValueError, KeyError):
        raise ContractError(f"{made.name}: {key}={text!r} is no {type(default).__name__.lower()}") from None
    if isinstance(value, float) and not math.isfinite(value):
        raise ContractError(f"{made.name}: {key}={text} is not finite")
    return value


def convert(made: type[Any], field: dataclasses.Field[Any], value: Any) -> Any:
    """Convert the value of a parameter to the type of its default, or to a tuple of float where the field allows one.

    Raises ContractError if the value is not one of the choices, or a tuple is given in place of a number.
    """
    kind: Any = type(field.default)
    if issubclass(kind, tuple) or "tuple" in str(field.type):
        many = isinstance(value, tuple | list) or getattr(value, "ndim", 0) == 1
        if issubclass(kind, tuple) and not many:
            raise ContractError(f"{made.name}: {field.name} is one number for each entry: ({value},...)")
        return (kind if kind is Weights else tuple)(float(x) for x in value) if many else float(value)
    if isinstance(value, tuple | list):
        raise ContractError(f"{made.name}: {field.name} is one {kind.__name__.lower()}, not {len(value)} of them")
    allowed = choices(typing.cast("Any", made)).get(field.name)
    if allowed and value not in allowed:
        raise ContractError(f"{made.name}: {field.name}={value!r} is none of {', '.join(map(str, allowed))}")
    return kind(value) if kind in PLAIN or kind is Weight else value


@functools.cache
def choices(made: Any) -> dict[str, tuple[Any, ...]]:
    """The allowed values of each parameter whose type is a Literal."""
    try:
        hints = typing.get_type_hints(made)
    except NameError:
        return {}
    return {name: typing.get_args(hint) for name, hint in hints.items() if typing.get_origin(hint) is Literal}


def text_of(value: Any) -> str:
    """The canonical text of a parameter's value, without spaces."""
    return f"({','.join(map(str, value))})" if isinstance(value, tuple) else str(value)


def file_of(kind: type) -> str | None:
    """The file that defines a class, or None if there is none."""
    return getattr(sys.modules.get(kind.__module__), "__file__", None)


def line_in(wrong: BaseException, path: Path) -> str:
    """``, line 7``: the innermost line of the file in a traceback, or an empty string if the file is not in it."""
    found = None
    trace = wrong.__traceback__
    while trace is not None:
        if Path(trace.tb_frame.f_code.co_filename) == path:
            found = trace.tb_lineno
        trace = trace.tb_next
    if isinstance(wrong, SyntaxError):
        found = wrong.lineno
    return "" if found is None else f", line {found}"
