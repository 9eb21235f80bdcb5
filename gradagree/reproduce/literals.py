"""Numbers, lists and arrays as Python source, exact to the last bit."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from gradagree.checker.verdict import plain

WIDTH = 110
SHORT = 12
"""Entries of a list that is written in full; longer ones repeat equal numbers by ``*``."""


def number_literal(stored: Any) -> str:
    """A number, or one stored as text: ``0.25``, ``float("nan")``."""
    x = plain(stored)
    return repr(x) if math.isfinite(x) else f'float("{x}")'


def list_literal(numbers: Sequence[Any]) -> str:
    """A list of numbers; a long one as the sum of its runs of equal numbers."""
    if len(numbers) <= SHORT:
        return f"[{', '.join(number_literal(x) for x in numbers)}]"
    return "(" + " + ".join(f"[{number_literal(x)}] * {count}" for x, count in run_lengths(numbers)) + ")"


def run_lengths(numbers: Sequence[Any]) -> list[tuple[Any, int]]:
    """Each number with the length of its run."""
    return [(x, len(list(run))) for x, run in itertools.groupby(numbers)]


def array_literal(array: np.ndarray) -> str:
    """``np.array([[...]])``, one row a line where it is long."""
    kind = ", dtype=np.int64" if array.dtype.kind == "i" else ""
    if array.ndim < 2:
        return f"np.array({array.tolist()!r}{kind})"
    rows = [repr(row) for row in array.tolist()]
    inside = ", ".join(rows)
    if len(inside) >= WIDTH:
        inside = "\n    " + ",\n    ".join(rows) + ",\n"
    return f"np.array([{inside}]{kind})"
