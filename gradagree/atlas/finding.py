"""A finding, and which of two is the worse."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np

from gradagree.atlas.classes import CLASSES, Severity

PREFERRED = ("float32", "float64", "float16", "bfloat16")
"""Examples are told in the first of these that there is."""
COPIES, LONG = 64, 4096


def copies(row: Any) -> int:
    """How often an input is asked at once: as many entries as any vector unit has; rows that are very long, twice."""
    return COPIES if np.size(row) < LONG else 2


class Finding(msgspec.Struct, frozen=True, kw_only=True):
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


def rank(finding: Finding) -> tuple[Any, ...]:
    severity = -Severity[finding.severity.upper()]
    wide = min(PREFERRED.index(dtype) for dtype in finding.dtypes) // 2
    quantity = ("slope", "value", "second").index(finding.quantity)
    usual = ("ordinary", "zero", "huge", "tiny", "infinite", "nan").index(finding.region)
    kind = [one.name for one in CLASSES.values()].index(finding.kind)
    return (
        severity, not finding.own, bool(finding.note), quantity > 1, usual > 1, kind, wide, quantity,
        -len(finding.dtypes), -finding.count, finding.function, finding.framework,
    )  # fmt: skip
