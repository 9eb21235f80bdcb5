"""A user's program as steps: the framework's own operations, each with a NumPy function that computes the same."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from gradagree.adapters.formats import FORMATS, PARTS, spacings
from gradagree.errors import UsageError
from gradagree.reference.graph import Value
from gradagree.reference.operations.casts import cast
from gradagree.reference.operations.complex_numbers import join_parts
from gradagree.reference.operations.moves import stop_gradient
from gradagree.reference.operations.primitive import midpoints

STOPS = ("lax.stop_gradient", "aten.detach")
"""Operations that no gradient passes."""

ROUNDING = tuple(
    f"{library}.{name}" for library in ("aten", "lax") for name in ("ceil", "fix", "floor", "round", "sign", "trunc")
)
COMPARING = tuple(
    f"{library}.{name}" for library in ("aten", "lax") for name in ("gt", "ge", "lt", "le", "eq", "ne", "argmax")
)
STEP_FUNCTIONS = (*ROUNDING, *COMPARING)
"""Operations with the derivative 0, which the backward pass of a user's function may replace on purpose."""


class Step(NamedTuple):
    """One operation of a framework in a traced program.

    name: The framework's name of the operation, such as ``aten.native_layer_norm``.
    function: A NumPy function that computes the same value, or a tuple of values; None where there is none yet.
    operands: Positional arguments, in which a `Value` stands for the value with that number; lists may contain them.
    keywords: Keyword arguments, likewise.
    output: The number of the value that it computes (a tuple, for an operation with several outputs).
    place: File and line of the user's program that called it, if known.
    """

    name: str
    function: Callable[..., Any] | None
    operands: tuple[Any, ...]
    keywords: dict[str, Any]
    output: int
    place: str = ""


@dataclass
class Program:
    """A traced program: the inputs are the values 0, 1, ...; then each step has one.

    Args:
        inputs: Names of the inputs.
        steps: The operations in the order in which the program calls them.
        outputs: The values that it returns; ordinary arrays for results that do not depend on the inputs.
        native: The framework's own form of the program, for the adapter.
        estimators: Where a function with a backward pass of its own stops every gradient in its forward pass, whose
            derivative it then does not have.
    """

    inputs: Sequence[str]
    steps: list[Step]
    outputs: list[Any]
    native: Any = None
    estimators: Sequence[str] = ()

    @property
    def unknown(self) -> list[Step]:
        """The steps without a NumPy function."""
        return [step for step in self.steps if step.function is None]

    def __call__(self, *arrays: Any) -> list[Any]:
        """The outputs for the given inputs, in their arithmetic.

        Raises:
            UnknownOperation: An operation has no NumPy function; the message names all, with their places.
        """
        if self.unknown:
            raise UnknownOperation(self)
        values = self.run(arrays)
        return [replace_values(x, values) for x in self.outputs]

    def run(self, arrays: Sequence[Any]) -> list[Any]:
        """All values for the given inputs."""
        values: list[Any] = [*arrays]
        for step in self.steps:
            if step.function is None:
                raise UsageError(unknown_operation(step))
            operands = replace_values(step.operands, values)
            values.append(step.function(*operands, **replace_values(step.keywords, values)))
            mark_stored(values[-1])
        return values


class UnknownOperation(UsageError):
    """A program has operations without a NumPy form; the message names all, with their places."""

    def __init__(self, program: Program) -> None:
        super().__init__(unknown_operation(*program.unknown))
        self.program = program


def mark_stored(found: Any) -> None:
    """Note on a tape that these are the results of one operation."""
    for x in found if isinstance(found, list | tuple) else [found]:
        if hasattr(x, "mark_stored"):
            x.mark_stored()


def floating(x: Any, to: str, source: str | None) -> Any:
    """An array as floating-point numbers of a format: truth values become 0 and 1.

    Args:
        x: The array, in any arithmetic.
        to: Name of the format.
        source: Name of the dtype of x in the program, if known.
    """
    kind = getattr(x, "dtype", np.dtype(np.float64)).kind
    if kind == "b":
        return np.where(x, 1.0, 0.0)
    source = PARTS.get(str(source), source)
    if kind == "c":
        re, im = (floating(part(x), PARTS.get(to, to), source) for part in (np.real, np.imag))
        return join_parts(re, im) if to in PARTS else re
    to = PARTS.get(to, to)
    if to not in FORMATS:
        raise UsageError(f"the function converts numbers to {to}, which has no rounding model; give a reference")
    return cast(1.0 * x if source not in FORMATS else x, to=to, source=source if source in FORMATS else None)


def next_after(x: Any, y: Any, dtype: str) -> Any:
    """The number of a format next to x in the direction of y; its derivative is 1, and 0 where both are equal."""
    up, down = spacings(midpoints(x), FORMATS[dtype])
    moved = x + np.where(y > x, up, np.where(y < x, -down, 0.0))
    equal = midpoints(x) == midpoints(y)
    return np.where(equal, stop_gradient(x), moved) if equal.any() else moved


def unknown_operation(*steps: Step) -> str:
    """The message for operations without a NumPy form: all of them, each with its first place."""
    places: dict[str, str] = {}
    for step in steps:
        places.setdefault(step.name, f" (called at {step.place})" if step.place else "")
    if len(places) == 1:
        ((name, place),) = places.items()
        return f"no NumPy form of the operation {name} is known{place}; give a reference function in NumPy"
    names = ", ".join(f"{name}{place}" for name, place in places.items())
    return f"no NumPy form of these operations is known: {names}; give a reference function in NumPy"


def replace_values(x: Any, values: Sequence[Any]) -> Any:
    """Nested arguments with the values in place of their numbers."""
    if isinstance(x, Value):
        return values[x.number]
    if isinstance(x, list | tuple):
        return type(x)([replace_values(y, values) for y in x])
    if isinstance(x, dict):
        return {name: replace_values(y, values) for name, y in x.items()}
    return x
