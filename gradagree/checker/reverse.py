"""The check of reverse mode: value and vjp of each node on the framework's own arrays."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from gradagree.adapters import Answer
from gradagree.arithmetic.model import Model
from gradagree.arithmetic.rounded import Rounded
from gradagree.cases.case import Arrays, Case, problem_of
from gradagree.checker.answers import malformed
from gradagree.checker.comparison import Comparison, compare
from gradagree.checker.dense import DenseCheck
from gradagree.checker.loss import LossCheck
from gradagree.checker.verdict import Verdict
from gradagree.reference import Box, ErrorBox
from gradagree.reference.graph import Node

CHECKS: dict[type, Any] = {Box: DenseCheck, ErrorBox: LossCheck}
"""The check of each kind of operation."""


def node_check(node: Node, answer: Answer, model: Model) -> Any:
    """The check of one node on the framework's own arrays."""
    return CHECKS[type(node.operation)](node, answer, model)


def check(case: Case, arrays: Arrays, answer: Answer, model: Model) -> Iterator[Comparison]:
    """The comparisons of all values and then of all derivatives; a value that differs is the last one."""
    return next(check_all([(case, arrays, answer, model)]))


def check_all(requests: Iterable[tuple[Case, Arrays, Answer, Model]]) -> Iterator[Iterator[Comparison]]:
    """The comparisons of each request; the filter processes all of them together."""
    answers = [NetworkCheck(*each) for each in requests]
    accept([check for answer in answers if answer.well_formed for check in answer.checks])
    return (answer.comparisons() for answer in answers)


def accept(checks: Sequence[Any]) -> None:
    """Store in each check what the filter accepts."""
    with np.errstate(all="ignore"):
        for kind in CHECKS.values():
            kind.accept([check for check in checks if isinstance(check, kind)])


class NetworkCheck:
    """The per-operation check of one answer."""

    def __init__(self, case: Case, arrays: Arrays, answer: Answer, model: Model) -> None:
        self.answer = answer
        pairs = ((delta, answer.values[name]) for name, delta in answer.cotangents.items() if name in answer.values)
        self.well_formed = malformed(case, arrays, answer) is None and all(delta.shape == p.shape for delta, p in pairs)
        self.checks = [node_check(node, answer, model) for node in case.nodes(arrays)]

    def comparisons(self) -> Iterator[Comparison]:
        """Values in topological order, then derivatives in reverse order; a value that differs is the last one."""
        for one in self.checks:
            found = one.forward()
            yield found
            if found.verdict is Verdict.VALUE_DIFFERS:
                return
        for one in reversed(self.checks):
            name = one.node.output
            if name in self.answer.cotangents and self.answer.cotangents[name].shape != self.answer.values[name].shape:
                return
            yield from one.backward()


def check_update(case: Case, arrays: Arrays, answer: Answer, rate: float, model: Model) -> Iterator[Comparison]:
    """One step of steepest descent from the framework's own gradient: parameter - rate gradient."""
    problem = problem_of(case, arrays)
    owners = {array: node.updated(name) for node in case.nodes(arrays) for name, array in node.parameters.items()}
    for name in problem.trained:
        if name in answer.gradients:
            step = Rounded.constant(rate, model) * Rounded.stored(answer.gradients[name], model)
            expected = Rounded.stored(problem.parameters[name], model) - step
            yield compare(owners[name], answer.updated.get(name), lambda how: expected)  # noqa: B023
