"""Conversion of floating-point numbers to another format."""

from __future__ import annotations

from typing import Any

from gradagree.reference.operations.primitive import overridable, register


@overridable
def cast(x: Any, to: str, source: str | None = None) -> Any:
    """x in the format `to`, such as ``"bfloat16"``: the same numbers in an arithmetic that does not round.

    Args:
        x: An array of any arithmetic.
        to: Name of the format.
        source: Name of the format that x has in the program, in which its cotangent is stored; by default not known.
    """
    return x


def cast_back(g: Any, y: Any, x: Any, to: str, source: str | None = None) -> tuple[Any]:
    """The cotangent is converted to the format of x."""
    return (cast(g, to=source, source=to) if source else g,)


CAST = register(cast, cast_back)
