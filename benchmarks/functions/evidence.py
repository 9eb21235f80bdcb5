"""Whether an accused operation is right but for its rounding: the same program, on the same numbers, in float64.

In float64 itself there is no wider dtype: there its inputs are moved by one rounding. If the program's number then
moves as far as it is off, and the derivative does not, its digits are rounding errors.
"""

from __future__ import annotations

import functools
import math
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from gradagree.adapters import Answer
from gradagree.adapters.adapter import Adapter
from gradagree.adapters.for_jax import ForJax
from gradagree.adapters.for_torch import ForTorch
from gradagree.adapters.formats import FORMATS
from gradagree.adapters.problem import Problem
from gradagree.cases.case import Case, problem_of
from gradagree.checker.comparison import observed_array
from gradagree.checker.verdict import Record, Verdict, plain, split_entry
from gradagree.reference import ErrorFunction
from gradagree.reference.boxes import Box, ErrorBox
from gradagree.reference.graph import LOSS_NODE, quantity_of

CLOSE = 0.05
"""Relative difference up to which float64 confirms the expected value; the program in float64 loses digits too."""
LOST = 0.5
"""Relative error from which on a number has lost its digits."""
PLAIN = {"packed": "grad", "jit": "grad", "vmap": "backward", "compile": "backward"}
"""Modes whose program in float64 is that of a simpler one."""
DRAWS, SEED = 16, 0
"""Inputs that are moved by one rounding."""
MOVES = 2.0**-10
"""How little the derivative itself moves, relative to the program's number."""


class _Weighted(ErrorFunction):
    """sum o t: the cotangent of o is t."""

    def value(self, o: Any, t: Any) -> Any:
        return np.sum(o * t, axis=(-2, -1))

    def sensitivity(self, o: Any, t: Any) -> Any:
        return t

    def torch(self, o: Any, t: Any, torch: Any) -> Any:
        return (o * t).sum()

    def jax(self, o: Any, t: Any, jax: Any) -> Any:
        return (o * t).sum()


@functools.cache
def adapter(framework: str) -> Adapter:
    return {"torch": ForTorch, "jax": ForJax}[framework]()


def answer_of(record: Record, problem: Problem, mode: str) -> Answer | None:
    """The answer of the record's framework; None if the program fails, which is no evidence."""
    own = adapter(record.framework)
    try:
        with own.settings(), warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            return own.answers(problem, mode)[0]
    except Exception:  # noqa: BLE001
        return None


class Alone(NamedTuple):
    """The accused operation by itself, on the framework's own input and cotangent."""

    record: Record
    operation: Box | ErrorBox
    p: np.ndarray
    delta_c: np.ndarray

    @classmethod
    def of(cls, record: Record) -> Alone | None:
        """The operation of a record; None if the record names none, or has no taps."""
        if record.box is None or record.entry is None:
            return None
        case = Case.parse(record.spec)
        arrays = case.arrays()
        answer = answer_of(record, problem_of(case, arrays), record.mode)
        if answer is None or not answer.tapped:
            return None
        name = record.box if record.box == LOSS_NODE else int(record.box)
        (node,) = (node for node in case.nodes(arrays) if node.name == name)
        return cls(
            record, node.operation, answer.values[node.input], answer.cotangents.get(node.output, np.zeros(())),
        )  # fmt: skip

    def in_float64(self, p: np.ndarray) -> float | None:
        """The accused number as the same operation computes it in float64 at p."""
        operation, record = self.operation, self.record
        if isinstance(operation, ErrorBox):
            weight = operation.weight
            problem = Problem.dense([], operation.error, [], [], p, operation.t, "float64", loss_weight=weight)
        else:
            layer: Any = ([], []) if operation.w is None else ([operation.w], [operation.b])
            problem = Problem.dense([operation.activation], _Weighted(), *layer, p, self.delta_c, "float64")
        answer = answer_of(record, problem, PLAIN.get(record.mode, record.mode))
        label, index = split_entry(record.entry)
        at = (LOSS_NODE, label, 0) if isinstance(operation, ErrorBox) else (1, label, 1)
        found = None if answer is None else observed_array(answer, quantity_of(*at))
        return None if found is None else float(found[index])

    def by_reference(self, p: np.ndarray) -> float:
        """The accused cotangent at p by the reference's formula."""
        operation = self.operation
        with np.errstate(all="ignore"):
            found = operation.pull(p) if isinstance(operation, ErrorBox) else operation.sensitivity(p, self.delta_c)
        return float(np.asarray(found)[split_entry(self.record.entry)[1]])


def forward_in_float64(record: Record) -> float | None:
    """The accused tangent as the whole network computes it in float64, on the same inputs and parameters."""
    if record.box is None or record.entry is None:
        return None
    case = Case.parse(record.spec)
    answer = answer_of(record, replace(problem_of(case, case.arrays()), dtype="float64"), record.mode)
    label, index = split_entry(record.entry)
    if answer is None or not index:
        return None
    node = record.box if record.box == LOSS_NODE else int(record.box)
    found = observed_array(answer, case.quantity(node, label))
    return None if found is None else float(found[index])


def moved(p: np.ndarray) -> Iterator[np.ndarray]:
    """Inputs that differ from p by one rounding."""
    draw = np.random.default_rng(SEED)
    return (p * (1 + draw.integers(-1, 2, p.shape) * 2.0**-52) for _ in range(DRAWS))


def spread(numbers: Sequence[float | None]) -> float:
    """The largest distance between two numbers; NaN if one was not found."""
    known = [math.nan if x is None else x for x in numbers]
    return float(np.max(known) - np.min(known))


def as_noise(record: Record) -> str | None:
    """What moving the inputs by one rounding shows about an accused cotangent in float64, or None."""
    if split_entry(record.entry)[0] != "delta_p" or record.verdict is not Verdict.DISAGREE:
        return None
    off = abs(plain(record.observed) - plain(record.expected))
    found = Alone.of(record)
    if found is None or not off >= LOST * abs(plain(record.expected)):
        return None
    points = list(moved(found.p))
    ours, theirs = (spread([f(p) for p in points]) for f in (found.by_reference, found.in_float64))
    if not (theirs >= off / 4 and ours <= LOST * max(abs(plain(record.expected)), MOVES * theirs)):
        return None
    return f"every digit is lost: moving the inputs by one rounding moves the number by {theirs:.2g}"


def explanation(record: Record) -> str | None:
    """What float64 shows about an accusation: digits that are lost, or an intermediate that overflows; or None."""
    if record.expected is None or record.verdict not in ROUNDING:
        return None
    if record.dtype == "float64":
        return as_noise(record)
    if record.mode == "forward":
        found = forward_in_float64(record)
    else:
        alone = Alone.of(record)
        found = None if alone is None else alone.in_float64(alone.p)
    expected = float.fromhex(record.expected)
    smallest = FORMATS[record.dtype].smallest
    if found is None or not math.isfinite(found) or abs(found - expected) > CLOSE * abs(expected) + smallest:
        return None
    if record.verdict is Verdict.NONFINITE:
        return f"an intermediate overflows {record.dtype}: in float64 the same program gives {found:.3g}"
    if record.observed is None or abs(float.fromhex(record.observed) - expected) < LOST * abs(expected):
        return None
    return f"every digit is lost in {record.dtype}: in float64 the same program gives {found:.3g}"


ROUNDING: Any = (Verdict.NONFINITE, Verdict.DISAGREE, Verdict.VALUE_DIFFERS)
