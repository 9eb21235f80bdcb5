"""Who is right where a framework is past its tolerance: ball arithmetic convicts it, or the reference, or nobody."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from gradagree.adapters import Answer
from gradagree.cases import Arrays, Case
from gradagree.comparison import Comparison
from gradagree.truth import Enclosure, truth
from gradagree.verdict import ORDER, Verdict


class InternalError(Exception):
    """The reference itself is wrong, as ball arithmetic shows."""


def convicted(
    case: Case, arrays: Arrays, answer: Answer, comparisons: Sequence[Comparison]
) -> tuple[list[Comparison], Comparison, Enclosure | None]:
    """All comparisons, the worst of them, and, where that is a finding, what is true there.

    A framework is accused only where the truth is far from it too: what is past the tolerance of the reference but not
    of the truth is judged by the truth. Raises InternalError where the reference is proved wrong.
    """
    judged = list(comparisons)
    while True:
        place = min(range(len(judged)), key=lambda k: (ORDER[judged[k].verdict], -judged[k].ratio))
        found = judged[place]
        proof = _proof(case, arrays, answer, found)
        if proof is None or _guilty(found, proof):
            return judged, found, proof
        _acquit_reference(case, found, proof)
        judged[place] = _by_truth(found, proof)


def _proof(case: Case, arrays: Arrays, answer: Answer, found: Comparison) -> Enclosure | None:
    """What is true at a finding's worst entry; None of what is no finding, or names no entry."""
    if not (found.verdict.fails or found.verdict is Verdict.INACCURATE):
        return None
    if not (found.index or found.part == "E") and math.isnan(found.expected):
        return None
    return truth(case, arrays, answer, found.box, found.part, found.index)


def _guilty(found: Comparison, proof: Enclosure) -> bool:
    if found.verdict not in (Verdict.DISAGREE, Verdict.VALUE_DIFFERS) or not math.isfinite(found.tolerance):
        return True
    return not abs(found.observed - proof.value) + proof.radius <= found.tolerance


def _acquit_reference(case: Case, found: Comparison, proof: Enclosure) -> None:
    """The reference may be off by its own rounding, which is a part of the tolerance."""
    if not abs(found.expected - proof.value) - proof.radius <= found.tolerance:
        raise InternalError(
            f"{case.spec}: box {found.box}, {found.entry}: the reference gives {found.expected!r}, the framework "
            f"{found.observed!r}, and the truth is {proof.value!r} +- {proof.radius:.1e}; please report this"
        )


def _by_truth(found: Comparison, proof: Enclosure) -> Comparison:
    """Within the tolerance of the truth; undecided where the check ended there, or the tolerance says nothing."""
    decided = found.verdict is Verdict.DISAGREE and found.sharpness < 1
    ratio = (abs(found.observed - proof.value) + proof.radius) / found.tolerance
    verdict = Verdict.AGREE if decided else Verdict.UNDECIDED
    return replace(found, verdict=verdict, ratio=ratio, expected=proof.value)
