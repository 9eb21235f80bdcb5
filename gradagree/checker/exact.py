"""Exact values by ball arithmetic, and who is wrong where a framework exceeds its tolerance."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import flint
import numpy as np

from gradagree.adapters import Answer
from gradagree.adapters.problem import tangent_directions
from gradagree.arithmetic.ball import LADDER, Ball, is_narrow, precision
from gradagree.arithmetic.model import FORMATS, model
from gradagree.cases.case import Arrays, Case, problem_of
from gradagree.checker.comparison import Comparison, mostly_unchecked
from gradagree.checker.dense_tangents import ParameterTangents
from gradagree.checker.digits import NO_DIGIT, has_no_digit
from gradagree.checker.reverse import node_check
from gradagree.checker.verdict import ORDER, Verdict
from gradagree.reference.graph import INPUTS, LOSS, Kind, Quantity

ENOUGH_BITS = 64
"""Stop when the relative radius is below 2^-64, eleven bits beyond float64."""


@dataclass(frozen=True)
class Enclosure:
    """The float64 number next to the exact one, and a proved bound on the distance between the two."""

    value: float
    radius: float


def enclosure(
    case: Case, arrays: Arrays, answer: Answer, quantity: Quantity, index: tuple[int, ...]
) -> Enclosure | None:
    """The entry that a node should return on the framework's own numbers.

    The precision is raised until the entry is certain. None if it is not finite.
    """
    for bits in LADDER:
        with precision(bits):
            ball = exact_entry(case, arrays, answer, quantity, index)
            if not ball.is_finite():
                return None
            if bits == LADDER[-1] or is_narrow(ball, ENOUGH_BITS):
                return _rounded(ball)
    return None


def _rounded(ball: flint.arb) -> Enclosure:
    value = float(ball.mid())
    if not np.isfinite(value):
        return Enclosure(value, np.inf)
    off = abs(ball - flint.arb(value)).upper()
    return Enclosure(value, 0.0 if off == 0 else float(np.nextafter(float(off), np.inf)))


def exact_entry(case: Case, arrays: Arrays, answer: Answer, quantity: Quantity, index: tuple[int, ...]) -> flint.arb:
    """The entry at the working precision; the index of a tangent begins with the direction's number."""
    (node,) = (node for node in case.nodes(arrays) if node.name == quantity.node)
    check = node_check(node, answer, model(case.dtype))
    if quantity.kind is not Kind.TANGENT:
        return check.exact_entry(quantity, index)
    which, *entry = index
    changes = tangent_directions(problem_of(case, arrays), len(answer.along), [which])
    tangent = Ball.exact(changes[INPUTS] if node.input == INPUTS else answer.tangents[node.input][[which]])
    return check.exact_tangent(tangent, ParameterTangents.of(node, changes), tuple(entry))


class InternalError(Exception):
    """The reference itself is wrong, as ball arithmetic shows."""


def confirmed(
    case: Case, arrays: Arrays, answer: Answer, comparisons: Sequence[Comparison]
) -> tuple[list[Comparison], Comparison, Enclosure | None]:
    """All comparisons, the worst one and, if it is a finding, the exact value of its entry.

    A finding is confirmed only if the framework's value is also beyond the tolerance around the exact value; otherwise
    the exact value decides. Raises InternalError where the reference is proved wrong.
    """
    checked = [with_digits(case, arrays, answer, one) for one in comparisons]
    while True:
        place = min(range(len(checked)), key=lambda k: (ORDER[checked[k].verdict], -checked[k].ratio))
        found = checked[place]
        proof = _proof(case, arrays, answer, found)
        if proof is None or _confirms(found, proof):
            return checked, found, proof
        _check_reference(case, found, proof)
        checked[place] = _by_exact_value(found, proof)


def _proof(case: Case, arrays: Arrays, answer: Answer, found: Comparison) -> Enclosure | None:
    """The exact value of a finding's worst entry; None if there is no finding, or no entry."""
    if not (found.verdict.fails or found.verdict is Verdict.INACCURATE):
        return None
    if not (found.index or found.quantity.array == LOSS) and math.isnan(found.expected):
        return None
    return enclosure(case, arrays, answer, found.quantity, found.index)


def with_digits(case: Case, arrays: Arrays, answer: Answer, found: Comparison) -> Comparison:
    """A disagreement if an entry that only the conditioning scale explains has no correct digit, by its exact value."""
    form = FORMATS[case.dtype]
    for entry in found.doubtful:
        proof = enclosure(case, arrays, answer, found.quantity, entry.place)
        if proof is None or not has_no_digit(entry.observed, proof.value, proof.radius, form):
            continue
        off = abs(entry.observed - proof.value)
        ratio = off / entry.tolerance if entry.tolerance else math.inf
        how = f"{NO_DIGIT}: the relative error is {off / abs(proof.value) if proof.value else math.inf:.3g}"
        return replace(
            found, verdict=Verdict.DISAGREE, ratio=ratio, index=entry.place, expected=entry.expected,
            observed=entry.observed, tolerance=entry.tolerance, reason=how, doubtful=(),
        )  # fmt: skip
    return replace(found, doubtful=())


def _confirms(found: Comparison, proof: Enclosure) -> bool:
    if found.verdict not in (Verdict.DISAGREE, Verdict.VALUE_DIFFERS) or not math.isfinite(found.tolerance):
        return True
    if found.reason.startswith(NO_DIGIT):
        return True  # proved by with_digits
    return not abs(found.observed - proof.value) + proof.radius <= found.tolerance


def _check_reference(case: Case, found: Comparison, proof: Enclosure) -> None:
    """The reference may be off by its own rounding, which is a part of the tolerance."""
    if not abs(found.expected - proof.value) - proof.radius <= found.tolerance:
        raise InternalError(
            f"{case.spec}: box {found.box}, {found.entry}: the reference gives {found.expected!r}, the framework "
            f"{found.observed!r}, and the exact value is {proof.value!r} +- {proof.radius:.1e}; please report this"
        )


def _by_exact_value(found: Comparison, proof: Enclosure) -> Comparison:
    """Within the tolerance around the exact value; undecided if the check ended there or the tolerance is too wide."""
    decided = found.verdict is Verdict.DISAGREE and found.sharpness < 1
    decided = decided and not mostly_unchecked(found.sharp, found.entries)
    ratio = (abs(found.observed - proof.value) + proof.radius) / found.tolerance
    verdict = Verdict.AGREE if decided else Verdict.UNDECIDED
    return replace(found, verdict=verdict, ratio=ratio, expected=proof.value)
