"""Verdicts, and the record that carries one."""

from __future__ import annotations

import enum
import math
import re
from collections.abc import Iterable
from typing import Any

import msgspec

SCHEMA = 1
CONVENTION = "convention:"
"""Prefix of `Record.spec` in records about one kink in all cases of a run, in place of a case's text."""


class Verdict(enum.StrEnum):
    """The verdict on one gradient. Iteration gives the worst first.

    Args:
        value: Name of the verdict as in records, such as ``"disagree"``.

    Raises:
        ValueError: There is no verdict of this name.

    Example:
        >>> from gradagree import Verdict
        >>> Verdict("disagree").fails, Verdict.AGREE.fails
        (True, False)
        >>> Verdict.UNDECIDED.symbol, Verdict.UNDECIDED.compared
        ('?', True)
        >>> Verdict.CONVENTION.meaning
        'another admissible derivative at a kink'
    """

    CRASHED = "crashed"
    TIMEOUT = "timeout"
    VALUE_DIFFERS = "value-differs"
    NONFINITE = "nonfinite"
    DISAGREE = "disagree"
    SUSPECT = "suspect"
    INACCURATE = "inaccurate"
    UNDECIDED = "undecided"
    OUT_OF_RANGE = "out-of-range"
    CONVENTION = "convention"
    AGREE = "agree"
    UNSUPPORTED = "unsupported"
    ABSENT = "absent"

    @property
    def meaning(self) -> str:
        """What the verdict says about the gradient, in one clause."""
        return MEANINGS[self]

    @property
    def symbol(self) -> str:
        """One character, the same in the terminal and on all pages; a cross for every verdict that fails."""
        return SYMBOLS.get(self, "✗")

    @property
    def fails(self) -> bool:
        """True if a run with this verdict ends with exit code 1."""
        return self in FAILURES

    @property
    def compared(self) -> bool:
        """True if numbers were compared: the framework is installed and implements the functions."""
        return self not in (Verdict.UNSUPPORTED, Verdict.ABSENT)


ORDER = {verdict: place for place, verdict in enumerate(Verdict)}
FAILURES = frozenset(list(Verdict)[: ORDER[Verdict.INACCURATE]])
SYMBOLS = {
    Verdict.INACCURATE: "!",
    Verdict.UNDECIDED: "?",
    Verdict.OUT_OF_RANGE: "?",
    Verdict.CONVENTION: "~",
    Verdict.AGREE: "✓",
    Verdict.UNSUPPORTED: "–",
    Verdict.ABSENT: "–",
}
"""The other verdicts fail, and share a cross."""
MEANINGS = {
    Verdict.CRASHED: "the process died, or the framework raised an error",
    Verdict.TIMEOUT: "the process exceeded its time limit",
    Verdict.VALUE_DIFFERS: "the value of an operation differs: the framework computes another function",
    Verdict.NONFINITE: "NaN or infinity on one side only, where no intermediate can leave the range of the dtype",
    Verdict.DISAGREE: "the error exceeds the worst-case bound: no rounding of a correct formula explains it",
    Verdict.SUSPECT: "the error exceeds the probabilistic bound; no per-operation check could confirm or refute it",
    Verdict.INACCURATE: "the formula is correct, but cancellation loses digits",
    Verdict.UNDECIDED: "the error bound is as large as most entries, or as the largest: passing would mean nothing",
    Verdict.OUT_OF_RANGE: "an intermediate, partial sums included, may overflow or underflow in the dtype",
    Verdict.CONVENTION: "another admissible derivative at a kink",
    Verdict.AGREE: "the gradient is right",
    Verdict.UNSUPPORTED: "the framework has no implementation of the function",
    Verdict.ABSENT: "the framework is not installed",
}


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """The worst of at least one verdict."""
    return min(verdicts, key=ORDER.__getitem__)


def exit_code(counts: dict[Verdict, int], strict: bool = False) -> int:
    """0 agree, 1 a failing verdict (with strict also inaccurate), 5 nothing compared."""
    if any(n for verdict, n in counts.items() if verdict.fails or (strict and verdict is Verdict.INACCURATE)):
        return 1
    return 0 if any(n for verdict, n in counts.items() if verdict.compared) else 5


class Record(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=False):
    """The result for one case, framework and mode: a line of results.jsonl.

    Numbers that are not finite are the strings "nan", "inf" and "-inf". Fields without a value are None.

    Args:
        schema: Version of the record's fields.
        index: Number of the case in its run.
        case: Six-digit alias of the case.
        spec: Canonical text of the case.
        sha256: Hash of the arrays of the case.
        framework: Name of the framework.
        version: Version of the framework.
        mode: Name of the gradient mode.
        device: Device that computed the gradient.
        dtype: Dtype of the case.
        verdict: The verdict.
        ratio: Largest |observed - expected| / worst-case error bound.
        probable_ratio: Largest |observed - expected| / probabilistic error bound, end to end.
        sharpness: Relative tolerance: the largest error bound over the largest entry, the worst of all gradient arrays.
        share: Share of gradient entries that are checked: larger than their error bound, or exactly zero.
        blunt: Function and array with the largest relative tolerance, ``softmax: delta_p``.
        box: Number of the operation of `entry`, the faulty one in a failure: from 1 at the inputs, or "error" for the
            loss.
        function: Activation or error function of that operation.
        entry: Name and index of the entry with the largest error relative to its bound.
        expected: Its exact value (proved by ball arithmetic in a finding), a hexadecimal float.
        expected_radius: Proved radius of the exact value, a hexadecimal float.
        observed: What the framework returned, a hexadecimal float.
        tolerance: Error bound of the entry, a hexadecimal float.
        reason: Explanation of the verdict.
        seconds: Time that the framework took, in seconds.
        slopes: For each kink that was met, the one-sided derivatives that explain the result, unless all of them do.
        derivative: ``"taped"`` where a function of the case leaves its derivative out, so that it is the tape's of its
            value; else ``"written"``.
        known: In records of `check` and of the pytest plugin, label and reason of a known difference, which does not
            fail. Empty in records of a run, whose reports find the known differences.

    Example:
        >>> from gradagree import check
        >>> (record,) = check("3-4b-2:id,tanh:sse:n8:f32:ordinary:s1", frameworks="torch", modes="backward")
        >>> record.verdict.value, record.framework, record.dtype
        ('agree', 'torch', 'float32')
        >>> record.ratio < 1, record.sharpness < 1e-5
        (True, True)
    """

    schema: int = SCHEMA
    index: int = 0
    case: str
    spec: str
    sha256: str
    framework: str
    version: str
    mode: str
    device: str = "cpu"
    dtype: str
    verdict: Verdict
    ratio: float | str | None = None
    probable_ratio: float | str | None = None
    sharpness: float | str | None = None
    share: float | None = None
    blunt: str | None = None
    box: int | str | None = None
    function: str | None = None
    entry: str | None = None
    expected: str | None = None
    expected_radius: str | None = None
    observed: str | None = None
    tolerance: str | None = None
    reason: str = ""
    seconds: float = 0.0
    slopes: dict[str, list[str]] = {}
    derivative: str = "written"
    known: str = ""

    @property
    def key(self) -> tuple[str, str, str]:
        """Canonical text, framework and mode: unique within a run."""
        return (self.spec, self.framework, self.mode)


def number(x: float | None) -> float | str | None:
    """x for a record: JSON has no NaN and no infinity."""
    return x if x is None or math.isfinite(x) else str(float(x))


def hexadecimal(x: Any) -> str | None:
    """x exactly, as text: 0x1.8p+1, nan, inf, -inf."""
    return None if x is None else float(x).hex()


def plain(x: float | str | None) -> float:
    """The number behind `number` or `hexadecimal`; NaN for None."""
    if x is None:
        return math.nan
    return float.fromhex(x) if isinstance(x, str) else x


def split_entry(entry: str | None) -> tuple[str, tuple[int, ...]]:
    """The name and the index of `Record.entry`: ``dw[2,0]`` gives "dw" and (2, 0); None gives "" and ().

    A text that is no entry, as in a results file that was edited, is a name without an index.
    """
    found = re.fullmatch(r"([^\[\]]*)\[(\d+(?:,\d+)*)\]", entry or "")
    if found is None:
        return entry or "", ()
    return found[1], tuple(map(int, found[2].split(",")))


def describe_operation(box: int | str | None, function: str | None) -> str:
    """``operation 2 (tanh)`` or ``loss (mse)``; the function alone if the operation is not known."""
    if box is None:
        return function or ""
    return ("loss" if box == "error" else f"operation {box}") + (f" ({function})" if function else "")
