"""A finding of a survey as data, which pages and stand-alone programs read."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np

COPIES, LONG = 64, 4096


def copies(row: Any) -> int:
    """Number of copies of an input in one request: as many as any vector unit has entries; two for very long rows."""
    return COPIES if np.size(row) < LONG else 2


class SurveyFinding(msgspec.Struct, frozen=True, kw_only=True):
    """What one framework gives that is not true: where, how bad, and the example that shows it."""

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
    reproducer: str = ""


def parse_position(window: str) -> tuple[int, int]:
    """Entry and length, of ``entry 3 of 7``."""
    entry, length = window.removeprefix("entry ").split(" of ")
    return int(entry), int(length)
