"""A failing case with the values and cotangents of its nodes, and the process of the framework that fails on it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from gradagree.arithmetic.model import FORMATS
from gradagree.arithmetic.rounding import round_to_precision
from gradagree.cases.graph_case import AnyCase, GraphCase
from gradagree.cases.graph_reference import node_values
from gradagree.checker.exact import InternalError
from gradagree.checker.judge import Framework, judge
from gradagree.checker.response import Absent, Failure, Response, failures
from gradagree.checker.verdict import Record, Verdict, split_entry
from gradagree.reference.boxes import boxes
from gradagree.reference.graph import LOSS_NODE
from gradagree.report.findings import words_of
from gradagree.runner.process import FrameworkProcess

HALF = 0.5
"""Cotangent where the framework gives none."""


@dataclass(frozen=True)
class ModeProcess:
    """One mode of one framework, in its own process."""

    process: FrameworkProcess
    mode: str

    def answer(self, case: AnyCase, arrays: Any) -> Response | Failure:
        if isinstance(self.process.handshake, Absent):
            return next(failures(self.process.handshake, [self.mode]))
        return next(iter(list(self.process.compute(case, arrays, [self.mode]))))

    def record(self, case: AnyCase, arrays: Any) -> Record | None:
        """The record of a case; None if the reference fails its own checks on it."""
        return self.compare(case, arrays, self.answer(case, arrays))

    def compare(self, case: AnyCase, arrays: Any, answer: Response | Failure) -> Record | None:
        """The record of an answer to a case."""
        framework = Framework.of(self.process.framework, self.process.handshake)
        try:
            with np.errstate(all="ignore"):
                return judge(case, arrays, framework, answer)
        except InternalError:
            return None

    @contextlib.contextmanager
    def time_limit(self, seconds: float) -> Iterator[None]:
        """Limit the time of each answer."""
        before, self.process.limit = self.process.limit, min(self.process.limit, seconds)
        try:
            yield
        finally:
            self.process.limit = before


@dataclass(frozen=True)
class FailingCase:
    """A case, its arrays and its record.

    Args:
        values: The inputs (examples, n) and the value of every node but the loss (examples, outputs), by name.
        cotangents: The cotangents of the same values.
    """

    case: Any
    arrays: Any
    values: Mapping[str, np.ndarray]
    cotangents: Mapping[str, np.ndarray]
    record: Record

    @property
    def location(self) -> int | None:
        """The number of the faulty operation (the loss is the last one); None if no operation is named.

        An end-to-end check shows where a difference appears, not which operation causes it.
        """
        if self.record.verdict is Verdict.SUSPECT:
            return None
        if self.record.box == LOSS_NODE:
            return self.case.depth + 1
        return self.record.box if isinstance(self.record.box, int) else None

    def same(self, other: Record | None) -> bool:
        """True if a record fails in the same way as this case: verdict, function, and array of the operation."""
        record = self.record
        if other is None or other.verdict is not record.verdict:
            return False
        if other.verdict is Verdict.SUSPECT:
            return True
        if (other.box == LOSS_NODE) != (record.box == LOSS_NODE):
            return False
        if other.verdict is Verdict.TIMEOUT:
            return True
        if other.verdict is Verdict.CRASHED:
            return _failure_signature(other.reason) == _failure_signature(record.reason)
        arrays = [split_entry(entry)[0] for entry in (other.entry, record.entry)]
        return other.function == record.function and arrays[0] == arrays[1]


def _failure_signature(reason: str) -> str:
    """The exception without its numbers; for a process that died, the signal or exit code."""
    return words_of(reason) if reason.startswith("raised ") else reason.partition(":")[0]


def failing_graph(case: GraphCase, record: Record, answer: Response | Failure) -> FailingCase:
    """As `failing_case`, for a graph of layers."""
    arrays = case.arrays()
    if isinstance(answer, Response):
        return FailingCase(case, arrays, answer.tapped.values, answer.tapped.cotangents, record)
    precision = FORMATS[case.dtype].precision
    values = {
        name: round_to_precision(np.asarray(x, dtype=np.float64), precision)
        for name, x in zip(case.value_names, node_values(case, arrays), strict=True)
    }
    return FailingCase(case, arrays, values, {name: np.full_like(x, HALF) for name, x in values.items()}, record)


def failing_case(case: AnyCase, record: Record, answer: Response | Failure) -> FailingCase:
    """The case with the framework's values and cotangents, or with the reference's values if there are none."""
    arrays: Any = case.arrays()
    if isinstance(case, GraphCase):
        return failing_graph(case, record, answer)
    if isinstance(answer, Response) and answer.tapped.tapped:
        values, cotangents = answer.tapped.values, answer.tapped.cotangents
        if len(cotangents) == len(values) == case.depth + 1:
            return FailingCase(case, arrays, values, cotangents, record)
    precision, value = FORMATS[case.dtype].precision, arrays.inputs
    inputs, *others = case.value_names
    values = {inputs: value}
    with np.errstate(all="ignore"):
        for name, box in zip(others, boxes(case.network(arrays)), strict=True):
            values[name] = value = round_to_precision(np.asarray(box.weigh(value)), precision)
    return FailingCase(case, arrays, values, {name: np.full_like(x, HALF) for name, x in values.items()}, record)
