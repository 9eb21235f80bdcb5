"""Range check: whether overflow in the dtype explains a non-finite result without taps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from gradagree.adapters import Answer
from gradagree.arithmetic.model import Model
from gradagree.cases.case import Arrays, Case
from gradagree.checker.allowances import ToleranceOptions
from gradagree.checker.comparison import Comparison
from gradagree.checker.reverse import node_check
from gradagree.checker.verdict import Verdict
from gradagree.reference import backpropagate
from gradagree.reference.graph import INPUTS, Node


def excused(case: Case, arrays: Arrays, model: Model, comparisons: Sequence[Comparison]) -> list[Comparison]:
    """Comparisons that are suspect because an entry is not finite, as out of range or undecided where that explains it.

    They stay suspect if the per-operation check, on the reference's numbers, bounds every number. They are out of range
    if some number, partial sums included, may overflow the dtype, and undecided if one has no bound.
    """
    suspects = [c.verdict is Verdict.SUSPECT and not np.isfinite(c.observed) for c in comparisons]
    if not any(suspects):
        return list(comparisons)
    verdict = unknown(case, arrays, model)
    if verdict is None:
        return list(comparisons)
    return [replace(c, verdict=verdict) if bad else c for c, bad in zip(comparisons, suspects, strict=True)]


def unknown(case: Case, arrays: Arrays, model: Model) -> Verdict | None:
    """Out of range if a number of the network may overflow the dtype, undecided if one has no bound, otherwise None."""
    with np.errstate(all="ignore"):
        radii = np.concatenate([np.ravel(radius) for radius in _radii(case, arrays, model)])
    if np.isfinite(radii).all():
        return None
    return Verdict.OUT_OF_RANGE if np.isinf(radii).any() else Verdict.UNDECIDED


def _radii(case: Case, arrays: Arrays, model: Model) -> Iterator[np.ndarray]:
    """The radii of all arrays that the per-operation check expects for the reference's own answer."""
    nodes, widest = case.nodes(arrays), ToleranceOptions.widest()
    answer = _reference(case, arrays, nodes)
    for node in nodes:
        check = node_check(node, answer, model)
        yield check.expected_value(widest).radius
        yield check.expected_cotangent(widest).radius


def _reference(case: Case, arrays: Arrays, nodes: Sequence[Node]) -> Answer:
    values = {INPUTS: arrays.inputs}
    with np.errstate(all="ignore"):
        for node in nodes[:-1]:
            values[node.output] = node.forward(values[node.input])
        found = backpropagate(case.network(arrays), arrays.inputs)
    return Answer(float(found.E), values, dict(zip(values, found.sensitivities, strict=True)))
