"""The true value by balls; who is wrong."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import flint
import numpy as np

from gradagree.adapters import Answer
from gradagree.arithmetic.ball import LADDER, Ball, is_narrow, precision
from gradagree.cases.case import Arrays, Case
from gradagree.checker.comparison import Comparison
from gradagree.checker.tangents import Moved, moved, parameter_tangents, push, pushed_own, weighed
from gradagree.checker.verdict import ORDER, Verdict
from gradagree.reference import Box, ErrorBox
from gradagree.reference.graph import INPUTS

# What is true, with proof: one entry of one box in ball arithmetic, at a precision raised until it is certain
# ------------------------------------------------------------------------------------------------------------


ENOUGH_BITS = 64
"""Stop when the relative radius is below 2^-64, eleven bits beyond float64."""


@dataclass(frozen=True)
class Enclosure:
    """The float64 number next to the true one, and a proved bound on the distance between the two."""

    value: float
    radius: float


def truth(
    case: Case, arrays: Arrays, answer: Answer, box: int | str, part: str, index: tuple[int, ...]
) -> Enclosure | None:
    """The entry of c, E, delta_p, dw or db that a box should give on the framework's own numbers.

    None where ball arithmetic cannot tell (the entry is not finite).
    """
    for bits in LADDER:
        with precision(bits):
            ball = _entry(case, arrays, answer, box, part, index)
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


def _entry(case: Case, arrays: Arrays, answer: Answer, box: int | str, part: str, index: tuple[int, ...]) -> flint.arb:
    if part.endswith("'"):
        return _tangent(case, arrays, answer, box, index)
    nodes = case.nodes(arrays)
    if not isinstance(box, int):
        inner = ErrorBox(case.error, _targets(case, arrays))
        o = Ball.exact(answer.values[nodes[-1].input])
        return _ball(inner(o) if part == "E" else inner.pull(o), index)
    node = nodes[box - 1]
    assert isinstance(node.operation, Box)
    return _of_box(node.operation, part, index, answer.values[node.input], answer.cotangents.get(node.output))


def _tangent(case: Case, arrays: Arrays, answer: Answer, box: int | str, index: tuple[int, ...]) -> flint.arb:
    """An entry of c' or E', whose index begins with the direction's number."""
    which, *entry = index
    nodes, changes = case.nodes(arrays), moved(case, arrays, len(answer.along), [which])
    node = nodes[-1] if not isinstance(box, int) else nodes[box - 1]
    tangent = Ball.exact(changes[INPUTS] if node.input == INPUTS else answer.tangents[node.input][[which]])
    if not isinstance(box, int):
        slope = ErrorBox(case.error, _targets(case, arrays)).pull(Ball.exact(answer.values[node.input]))
        return _ball(np.sum(slope * tangent, axis=(-2, -1)), (0,))
    row, column = entry
    outer, (w, b, own) = node.operation, parameter_tangents(node, changes)
    assert isinstance(outer, Box)
    p = Ball.exact(answer.values[node.input][row : row + 1])
    change = push(outer.activation, p, tangent[:, row : row + 1])
    change = change + pushed_own(outer.activation, p, own) if own else change
    if outer.w is None:
        return _ball(change, (0, 0, column))
    narrow = slice(column, column + 1)
    exact = replace(outer, w=Ball.exact(outer.w[:, narrow]))
    only = Moved(None if w is None else w[..., narrow], None if b is None else b[..., narrow], ())
    return _ball(weighed(exact, outer.activation.value(p), change, only, Ball.exact), (0, 0, 0))


def _of_box(box: Box, part: str, index: tuple[int, ...], p: np.ndarray, delta_c: Any) -> flint.arb:
    """Only the rows and columns that the entry depends on are worked out."""
    w = None if box.w is None else Ball.exact(box.w)
    b = None if box.b is None else Ball.exact(box.b)
    if part == "c":
        row, column = index
        columns = slice(None) if w is None else slice(column, column + 1)
        narrow = Box(
            box.activation, None if w is None else w[:, columns], None if b is None else b[columns], box.inside
        )
        return _ball(narrow.weigh(Ball.exact(p[row : row + 1])), (0, column if w is None else 0))
    if part == "delta_p":
        row, entry = index
        pulled, _ = Box(box.activation, w, None, box.inside).pull(
            Ball.exact(p[row : row + 1]), Ball.exact(delta_c[row : row + 1])
        )
        return _ball(pulled, (0, entry))
    if part.removeprefix("d") in box.activation.own_weights:
        own = Box(box.activation, w, None, box.inside).parameter_gradients(Ball.exact(p), Ball.exact(delta_c))
        return _ball(own[part.removeprefix("d")], index)
    column = index[-1]
    part_of_delta = Ball.exact(delta_c[:, column : column + 1])
    if part == "db":
        return _ball(part_of_delta.sum(axis=-2), (0,))
    values = box.activation.value(Ball.exact(p))
    return _ball(np.swapaxes(values, -1, -2)[index[0] : index[0] + 1] @ part_of_delta, (0, 0))


def _targets(case: Case, arrays: Arrays) -> Any:
    return arrays.targets if case.error.targets == "classes" else Ball.exact(arrays.targets)


def _ball(x: Any, index: tuple[int, ...]) -> flint.arb:
    """One entry; a plain array (a constant derivative) is exact."""
    return (x if isinstance(x, Ball) else Ball.exact(x)).balls[index]


# Who is right where a framework is past its tolerance: ball arithmetic convicts it, or the reference, or nobody
# --------------------------------------------------------------------------------------------------------------


class InternalError(Exception):
    """The reference itself is wrong, as ball arithmetic shows."""


def convicted(
    case: Case, arrays: Arrays, answer: Answer, comparisons: Sequence[Comparison]
) -> tuple[list[Comparison], Comparison, Enclosure | None]:
    """All comparisons, the worst one and, if it is a finding, the exact value of its entry.

    A finding is confirmed only if the framework's value is also beyond the tolerance around the exact value; otherwise
    the exact value decides. Raises InternalError where the reference is proved wrong.
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
    """The exact value of a finding's worst entry; None if there is no finding, or no entry."""
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
    """Within the tolerance around the exact value; undecided if the check ended there or the tolerance is too wide."""
    decided = found.verdict is Verdict.DISAGREE and found.sharpness < 1
    ratio = (abs(found.observed - proof.value) + proof.radius) / found.tolerance
    verdict = Verdict.AGREE if decided else Verdict.UNDECIDED
    return replace(found, verdict=verdict, ratio=ratio, expected=proof.value)
