"""The findings of the operations of a model as it runs, and the table of its modules."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from gradagree.adapters.operations import ModelOperation, PassedGradient
from gradagree.arithmetic.duck import NoRule
from gradagree.checker.verdict import ORDER, Verdict
from gradagree.errors import UsageError
from gradagree.functions.judge import ArrayFinding
from gradagree.functions.model_operations import judge_gradients, judge_sum, judge_values
from gradagree.functions.model_reasons import mistake_of

UNCHECKED = (NoRule, UsageError, TypeError, ValueError, AttributeError, IndexError, NotImplementedError)
"""What an operation raises that cannot be judged."""
MOST_REASONS = 10
"""Wrong gradients for which a common mistake is searched."""


@dataclass(frozen=True)
class OperationFinding:
    """How one array of one operation compares.

    label: The array by the user's name, or empty. argument: What the operation calls it.
    """

    operation: str
    module: str
    place: str
    quantity: str
    argument: str
    label: str
    dtype: str
    shape: tuple[int, ...]
    finding: ArrayFinding
    rule: str = ""

    def __str__(self) -> str:
        where = f" ({self.place})" if self.place else ""
        inside = f"{self.module}: " if self.module else ""
        if self.quantity == "value":
            return f"{inside}the value of {self.operation}{where} is wrong"
        if self.quantity == "sum":
            return f"{inside}the gradient of {self.label} is not the sum of what its consumers pass to it"
        what = self.argument + (f", {self.label}" if self.label and self.label != self.argument else "")
        name = self.rule or f"the backward pass of {self.operation}"
        return f"{inside}{name}{where} returns a wrong gradient of {what}"


@dataclass
class ModuleTally:
    """What has been found of one module so far."""

    verdict: Verdict = Verdict.AGREE
    sharpness: float = 0.0
    operations: int = 0
    entries: int = 0
    compared: int = 0
    seconds: float = 0.0
    unchecked: dict[str, None] = field(default_factory=dict)
    faults: list[OperationFinding] = field(default_factory=list)


class ModuleObserver:
    """Judges each operation as soon as its numbers are known, and keeps only the findings.

    Args:
        rungs: Gives the admissible arithmetics for a dtype, the finest first.
    """

    def __init__(self, rungs: Callable[[str], Sequence[str]]) -> None:
        self.rungs = rungs
        self.modules: dict[str, ModuleTally] = {}
        self.findings: dict[tuple[str, str], OperationFinding] = {}
        self.failing: list[OperationFinding] = []
        self.order: dict[str, None] = {}

    def tally(self, module: str) -> ModuleTally:
        return self.modules.setdefault(module, ModuleTally())

    def value(self, operation: ModelOperation, inputs: Sequence[np.ndarray], outputs: Sequence[np.ndarray]) -> None:
        started = time.perf_counter()
        one = self.tally(operation.module)
        one.operations += 1
        try:
            found = judge_values(operation, inputs, outputs, self.rungs)
        except UNCHECKED as error:
            self.unknown(operation.module, operation.name, operation.place, reason_of(error))
            found = []
        for k, (finding, y) in enumerate(zip(found, outputs, strict=False)):
            dtype = operation.dtypes[len(operation.arguments) + k]
            self.add(operation, "value", "", "", dtype, y.shape, finding)
        one.seconds += time.perf_counter() - started

    def gradient(
        self, operation: ModelOperation, inputs: Sequence[np.ndarray], cotangents: Sequence[np.ndarray | None],
        passed: Sequence[PassedGradient],
    ) -> None:  # fmt: skip
        started = time.perf_counter()
        try:
            found = judge_gradients(operation, inputs, cotangents, passed, self.rungs)
        except UNCHECKED as error:
            self.unknown(operation.module, operation.name, operation.place, reason_of(error))
            reason = f"{operation.name} could not be checked: {reason_of(error)}"
            found = [ArrayFinding(Verdict.UNDECIDED, share=0.0, reason=reason)] * len(passed)
        for one, finding in zip(passed, found, strict=False):
            k = one.operands[0]
            label = operation.labels[k] if k < len(operation.labels) else ""
            argument = operation.arguments[k] if k < len(operation.arguments) else f"operand {k}"
            if finding.verdict is Verdict.DISAGREE and not finding.reason and len(self.failing) < MOST_REASONS:
                finding = finding._replace(reason=self.reason(operation, inputs, cotangents, one))
            self.add(operation, "gradient", argument, label, operation.dtypes[k], inputs[k].shape, finding)
        self.tally(operation.module).seconds += time.perf_counter() - started

    def reason(
        self, operation: ModelOperation, inputs: Sequence[np.ndarray], cotangents: Sequence[np.ndarray | None],
        one: PassedGradient,
    ) -> str:  # fmt: skip
        """The common mistake that a wrong gradient looks like; empty if it looks like none."""
        try:
            return mistake_of(operation, inputs, cotangents, one, self.rungs)
        except UNCHECKED:
            return ""

    def total(
        self, module: str, label: str, dtype: str, parts: Sequence[np.ndarray], observed: np.ndarray | None
    ) -> None:
        started = time.perf_counter()
        if not parts and observed is None:
            self.order.setdefault(label)
            return
        finding = judge_sum(parts, observed, dtype)
        shape = parts[0].shape if observed is None else observed.shape
        empty = ModelOperation("sum", module, "", [], [])
        self.add(empty, "sum", "", label, dtype, shape, finding)
        self.tally(module).seconds += time.perf_counter() - started

    def unknown(self, module: str, name: str, place: str, reason: str) -> None:
        where = f" (called at {place})" if place else ""
        one = self.tally(module)
        one.unchecked[f"{name}{where}: {reason}"] = None
        if ORDER[Verdict.UNDECIDED] < ORDER[one.verdict]:
            one.verdict = Verdict.UNDECIDED

    def add(
        self, operation: ModelOperation, quantity: str, argument: str, label: str, dtype: str, shape: tuple[int, ...],
        finding: ArrayFinding,
    ) -> None:  # fmt: skip
        """Count a finding for its module and, if the array has a name, for that."""
        one = OperationFinding(
            operation.name, operation.module, operation.place, quantity, argument, label, dtype, tuple(shape), finding,
            operation.rule,
        )  # fmt: skip
        module = self.tally(operation.module)
        module.entries += int(np.prod(shape, dtype=np.int64))
        if finding.verdict is Verdict.AGREE:
            module.compared += 1
            module.sharpness = max(module.sharpness, finding.sharpness)
        elif ORDER[finding.verdict] < ORDER[module.verdict]:
            module.verdict = finding.verdict
        if finding.verdict.fails:
            module.faults.append(one)
            self.failing.append(one)
        if label and quantity != "value":
            known = self.findings.get(("gradient", label))
            if known is None or is_worse(finding, known.finding):
                self.findings["gradient", label] = one


def is_worse(finding: ArrayFinding, other: ArrayFinding) -> bool:
    both = ORDER[finding.verdict], ORDER[other.verdict]
    return both[0] < both[1] or (both[0] == both[1] and finding.sharpness > other.sharpness)


def reason_of(error: Exception) -> str:
    return str(error).split("\n")[0] or type(error).__name__
