"""What the audit records of a comparison, and how records are joined."""

from __future__ import annotations

import enum
from collections.abc import Iterable

import msgspec


class Classification(enum.StrEnum):
    """How much a comparison of a gradient checks, from the worst to the best."""

    VACUOUS = "vacuous"
    LOOSE = "loose"
    TOO_TIGHT = "too tight"
    UNJUDGED = "unjudged"
    SOUND = "sound"

    @property
    def meaning(self) -> str:
        return MEANINGS[self]

    @property
    def symbol(self) -> str:
        return {"vacuous": "✗", "loose": "!", "too tight": "~", "unjudged": "?"}.get(self.value, "✓")


MEANINGS = {
    Classification.VACUOUS: "a gradient of zeros passes, or zero passes at half of the entries or more",
    Classification.LOOSE: (
        "zero, a wrong sign or a factor of 2 passes at an entry, or fewer than half of the "
        "decimal digits of the dtype are checked"
    ),
    Classification.TOO_TIGHT: "a correct program may fail: the tolerance is smaller than rounding requires",
    Classification.UNJUDGED: "no statement is possible: all expected entries are zero, or none is finite",
    Classification.SOUND: "none of these",
}
ORDER = {kind: place for place, kind in enumerate(Classification)}


class AuditRecord(msgspec.Struct, kw_only=True, omit_defaults=True):
    """The comparisons of a gradient at one place of one test; the numbers are those of the worst of them.

    Args:
        test: Id of the test.
        file: The file of the comparison, relative to the root of the project.
        line: Its line.
        function: The comparison, such as ``numpy.testing.assert_allclose``.
        source: The function that computed the gradient.
        dtype: Dtype of the gradient, the narrower one of the two sides.
        entries: Number of finite entries.
        counted: Number of entries that are larger than what rounding requires.
        atol: Absolute tolerance; of a norm, the bound on one entry if the others are exact.
        rtol: Relative tolerance.
        largest: Tolerance at the largest entry, divided by that entry.
        median: Tolerance at the median of the counted entries, divided by it.
        zero: Share of the counted entries at which zero would pass.
        flip: Share of the counted entries at which the opposite sign would pass.
        double: Share of the counted entries at which twice the value would pass.
        zeros_pass: True if zeros in place of the whole gradient would pass.
        required: Tolerance that rounding requires, divided by the largest entry.
        required_by: ``traced``: computed from the differentiated function; ``bound``: from dtype and size.
        classification: The classification.
        passed: False if the comparison failed.
        calls: Number of comparisons that are joined in this record.
        key: Number of the record within the process that made it.
    """

    test: str
    file: str
    line: int
    function: str
    source: str = ""
    dtype: str = ""
    entries: int = 0
    counted: int = 0
    atol: float | None = None
    rtol: float | None = None
    largest: float | None = None
    median: float | None = None
    zero: float | None = None
    flip: float | None = None
    double: float | None = None
    zeros_pass: bool = False
    required: float | None = None
    required_by: str = ""
    classification: Classification = Classification.UNJUDGED
    passed: bool = True
    calls: int = 1
    key: str = ""

    @property
    def place(self) -> str:
        return f"{self.file}:{self.line}"


def worse(one: AuditRecord, other: AuditRecord) -> AuditRecord:
    """The worse record of one place, with the calls of both."""
    first = min((one, other), key=lambda r: (ORDER[r.classification], -(r.zero or 0), -(r.median or 0)))
    return msgspec.structs.replace(first, calls=one.calls + other.calls, passed=one.passed and other.passed)


def join(records: Iterable[AuditRecord]) -> list[AuditRecord]:
    """One record for each place, function and dtype, whatever the test; the worst first."""
    found: dict[tuple[object, ...], AuditRecord] = {}
    for record in records:
        key = (record.file, record.line, record.function, record.dtype)
        found[key] = worse(found[key], record) if key in found else record
    return sorted(found.values(), key=lambda r: (ORDER[r.classification], -(r.zero or 0), r.file, r.line))
