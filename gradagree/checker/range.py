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
from gradagree.checker.reverse import BoxCheck, ErrorCheck
from gradagree.checker.verdict import Verdict
from gradagree.reference import Box, backpropagate
from gradagree.reference.graph import INPUTS, Node

WIDEST = ToleranceOptions(conditioning=True, ad_forms=True)


def excused(case: Case, arrays: Arrays, model: Model, comparisons: Sequence[Comparison]) -> list[Comparison]:
    """What is suspect for not being finite is so only if the box check, on the reference's numbers, knows all of them.

    Where some number, partial sums included, may pass the dtype's range it is out of range; where nothing is known of
    one, undecided.
    """
    suspects = [c.verdict is Verdict.SUSPECT and not np.isfinite(c.observed) for c in comparisons]
    if not any(suspects):
        return list(comparisons)
    verdict = unknown(case, arrays, model)
    if verdict is None:
        return list(comparisons)
    return [replace(c, verdict=verdict) if bad else c for c, bad in zip(comparisons, suspects, strict=True)]


def unknown(case: Case, arrays: Arrays, model: Model) -> Verdict | None:
    """True if some number of the network may overflow the dtype or is unknown."""
    with np.errstate(all="ignore"):
        radii = np.concatenate([np.ravel(radius) for radius in _radii(case, arrays, model)])
    if np.isfinite(radii).all():
        return None
    return Verdict.OUT_OF_RANGE if np.isinf(radii).any() else Verdict.UNDECIDED


def _radii(case: Case, arrays: Arrays, model: Model) -> Iterator[np.ndarray]:
    """The radii of all arrays that the per-operation check expects for the reference's own answer."""
    nodes = case.nodes(arrays)
    answer = _reference(case, arrays, nodes)
    for node in nodes[:-1]:
        one = BoxCheck(node, answer, model)
        yield one.judged(WIDEST).weigh(one.p).radius
        yield one.sensitivity(WIDEST).radius
    error = ErrorCheck(nodes[-1], answer, model)
    yield error.value(WIDEST, error.o).radius
    yield error.box(WIDEST).pull(error.o).radius


def _reference(case: Case, arrays: Arrays, nodes: Sequence[Node]) -> Answer:
    values = {INPUTS: arrays.inputs}
    with np.errstate(all="ignore"):
        for node in nodes[:-1]:
            assert isinstance(node.operation, Box)
            values[node.output] = node.operation.weigh(values[node.input])
        found = backpropagate(case.network(arrays), arrays.inputs)
    return Answer(float(found.E), values, dict(zip(values, found.sensitivities, strict=True)))
