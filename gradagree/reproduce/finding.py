"""A finding of a survey."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np

COPIES, LONG = 64, 4096
"""Copies of an input in one request, as many as any vector unit has entries; rows of this length get two copies."""


def copies(row: Any) -> int:
    """Number of copies of an input in one request."""
    return COPIES if np.size(row) < LONG else 2


class SurveyFinding(msgspec.Struct, frozen=True, kw_only=True):
    """A wrong number of a framework: where, how bad, and the example that shows it.

    Args:
        framework: Name of the framework, or of a library of one.
        version: Its version.
        function: Name of the function.
        variants: Canonical texts of the function, with parameters, that show it.
        calls: Name of the framework's function that the implementation calls, or "a formula of ...".
        own: Whether it is one function of the framework.
        quantity: "value", "slope" or "second".
        kind: Class of the error.
        severity: "high", "medium", "low" or "note".
        region: Region of the inputs.
        modes: Modes that show it.
        dtypes: Dtypes that show it.
        ranges: For each dtype, the smallest and the largest input, and the number of inputs.
        count: Number of inputs in all.
        example: The input, the number that the framework gives and the exact one, and where they are found.
        note: What the framework's documentation says about it.
        depends_on_processor: Whether the program does not show it with the instructions of another processor.
        reproducer: A program that shows it.
    """

    framework: str
    version: str
    function: str
    variants: list[str]
    calls: str
    own: bool
    quantity: str
    kind: str
    severity: str
    region: str
    modes: list[str]
    dtypes: list[str]
    ranges: dict[str, list[float | str]]
    count: int
    example: dict[str, Any]
    note: str = ""
    depends_on_processor: bool = False
    reproducer: str = ""


def parse_position(window: str) -> tuple[int, int]:
    """Entry and length from a text such as ``entry 3 of 7``."""
    entry, length = window.removeprefix("entry ").split(" of ")
    return int(entry), int(length)
