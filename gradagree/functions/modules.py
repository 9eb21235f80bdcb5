"""The judgement of each operation of a model on the framework's own numbers, and the table of its modules."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from gradagree.adapters.operations import ModelOperation, PassedGradient
from gradagree.arithmetic.duck import NoRule
from gradagree.arithmetic.model import OUTWARD, OWN, model
from gradagree.arithmetic.tape import trace
from gradagree.checker.verdict import ORDER, Verdict
from gradagree.errors import UsageError
from gradagree.functions.enclosures import Expected, expect, narrowest
from gradagree.functions.judge import ArrayFinding, judge
from gradagree.functions.ladder import Ladder
from gradagree.functions.products import BLOCK, LEAST, Tally, check_product, worst_entry
from gradagree.reference.graph import Graph

UNCHECKED = (NoRule, UsageError, TypeError, ValueError, AttributeError, IndexError, NotImplementedError)
"""What an operation raises that cannot be judged."""
EXACT = ArrayFinding(Verdict.AGREE, "stored")


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
            self.add(operation, "gradient", argument, label, operation.dtypes[k], inputs[k].shape, finding)
        self.tally(operation.module).seconds += time.perf_counter() - started

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


def judge_values(
    operation: ModelOperation, inputs: Sequence[np.ndarray], outputs: Sequence[np.ndarray],
    rungs: Callable[[str], Sequence[str]],
) -> list[ArrayFinding]:  # fmt: skip
    """The findings of the outputs of one operation."""
    if operation.function is None:
        raise UsageError(operation.reason)
    if operation.moves and len({x.dtype for x in (*inputs, *outputs)}) == 1:
        with np.errstate(all="ignore"):
            expected = operation.function(*inputs)
        if all(map(same_numbers, expected, outputs)):
            return [EXACT] * len(outputs)
    if (product := factors_of(operation, inputs)) is not None:
        found = check_product(*product, outputs[0], model("float32"))
        if isinstance(found, ArrayFinding):
            return [found]
    if operation.rows is not None and same_numbers(inputs[0][operation.rows], outputs[0]):
        return [EXACT]
    graph = graph_of(operation, inputs)
    rungwise = expectation(operation, graph, inputs, [None] * len(outputs), rungs)
    scale = largest(inputs)
    return [judge(wide(y), rungwise.map(output(k)), True, scale) for k, y in enumerate(outputs)]


def output(k: int) -> Callable[[Any], Expected]:
    """Output k among the outputs and gradients of an operation."""
    return lambda both: both[0][k]


def judge_gradients(
    operation: ModelOperation, inputs: Sequence[np.ndarray], cotangents: Sequence[np.ndarray | None],
    passed: Sequence[PassedGradient], rungs: Callable[[str], Sequence[str]],
) -> list[ArrayFinding]:  # fmt: skip
    """The findings of what one operation passes back."""
    if operation.function is None:
        raise UsageError(operation.reason)
    if operation.moves and (exact := moved_back(operation, inputs, cotangents, passed)) is not None:
        return exact
    if operation.rows is not None and cotangents[0] is not None and passed:
        return [rows_back(operation, inputs[0], cotangents[0], passed[0].observed, rungs)]
    if (product := factors_of(operation, inputs)) is not None and cotangents[0] is not None:
        found = product_back(operation, product, cotangents[0], passed, rungs("float32"))
        if found is not None:
            return found
    graph = graph_of(operation, inputs)
    expected = expectation(operation, graph, inputs, cotangents, rungs)
    found = []
    for one in passed:
        like = inputs[one.operands[0]]

        def of(both: Any, operands: tuple[int, ...] = one.operands, like: np.ndarray = like) -> Expected:
            return gradient_of(both[1], operands, like, operation)

        known = expected.map(of)
        found.append(judge(None if one.observed is None else wide(one.observed), known, scale=largest(cotangents)))
    return found


def largest(arrays: Sequence[np.ndarray | None]) -> float:
    """The largest magnitude of some numbers."""
    return max((float(np.max(np.abs(x), initial=0.0)) for x in arrays if x is not None), default=0.0)


def graph_of(operation: ModelOperation, inputs: Sequence[np.ndarray]) -> Graph:
    """The graph of an operation, traced once for its value and its backward pass."""
    function = operation.function
    assert function is not None
    if operation.graph is None:
        with np.errstate(all="ignore"):
            operation.graph = trace(lambda *arrays: list(function(*arrays)), *map(wide, inputs))
    found: Graph = operation.graph
    return found


def expectation(
    operation: ModelOperation, graph: Graph, inputs: Sequence[np.ndarray], cotangents: Sequence[np.ndarray | None],
    rungs: Callable[[str], Sequence[str]],
) -> Ladder[Any]:  # fmt: skip
    """What a correct program computes for one operation, in each admissible arithmetic."""
    count = len(operation.arguments)
    stores = [*operation.dtypes[count:], *operation.dtypes[:count]]
    dtype = narrowest(stores)
    numbers, seeds = [*map(wide, inputs)], [None if g is None else wide(g) for g in cotangents]

    def compute(name: str) -> Any:
        with np.errstate(all="ignore"):
            return expect(graph, numbers, seeds, name, dtype, stores)

    return Ladder(lambda: iter(rungs(dtype)), compute)


def gradient_of(
    gradients: Sequence[Expected | None], operands: Sequence[int], like: np.ndarray, operation: ModelOperation
) -> Expected:
    """The gradient of a value that may be several operands at once: the sum, in any order."""
    known = [g for g in (gradients[k] for k in operands) if g is not None]
    if len(known) == 1:
        return known[0]
    value, radius, size = (np.zeros(like.shape) for _ in range(3))
    for one in known:
        value, radius = value + one.value, radius + one.radius
        size = size + np.abs(one.value) + one.radius
    if known:
        last = model(operation.dtypes[operands[0]])
        radius = radius + len(known) * (last.u * size + last.quantum)
    return Expected(value, radius)


def wide(x: np.ndarray) -> np.ndarray:
    return np.asarray(x, dtype=np.float64)


def same_numbers(a: Any, b: np.ndarray) -> bool:
    """True if two arrays hold the same numbers; NaN equals NaN."""
    a = np.asarray(a)
    if a.shape != b.shape:
        return False
    if a.__array_interface__["data"] == b.__array_interface__["data"] and a.strides == b.strides:
        return True
    return bool(np.array_equal(a, b)) or bool(np.array_equal(a, b, equal_nan=True))


def moved_back(
    operation: ModelOperation, inputs: Sequence[np.ndarray], cotangents: Sequence[np.ndarray | None],
    passed: Sequence[PassedGradient],
) -> list[ArrayFinding] | None:  # fmt: skip
    """Findings of gradients whose entries have only been moved; None if some are not the expected numbers."""
    if any(len(one.operands) > 1 or one.observed is None for one in passed) or all(g is None for g in cotangents):
        return None
    graph = trace(lambda *arrays: list(operation.function(*arrays)), *inputs)  # type: ignore[misc]
    with np.errstate(all="ignore"):
        found = graph.vjp(graph.evaluate(list(inputs)), list(cotangents))
    for one in passed:
        g = found[one.operands[0]]
        if g is None or one.observed is None or not same_numbers(g, one.observed):
            return None
    return [EXACT] * len(passed)


def factors_of(
    operation: ModelOperation, inputs: Sequence[np.ndarray]
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None] | None:
    """The factors of a large product of matrices in float32; None for any other operation."""
    if operation.factors is None or any(x.dtype != np.float32 for x in inputs):
        return None
    if set(operation.dtypes) != {"float32"}:
        return None
    left, right, addend = operation.factors
    x, y = inputs[left], inputs[right]
    if x.ndim != 2 or x.size + y.size + len(x) * y.shape[1] < LEAST or not x.size or not y.size:
        return None
    return x, y, None if addend is None else inputs[addend]


def product_back(
    operation: ModelOperation, product: tuple[np.ndarray, np.ndarray, np.ndarray | None], g: np.ndarray,
    passed: Sequence[PassedGradient], rungs: Sequence[str],
) -> list[ArrayFinding] | None:  # fmt: skip
    """Findings of the gradients of a matrix product; None if some entry is beyond its tolerance."""
    assert operation.factors is not None
    x, y, _ = product
    found: list[ArrayFinding] = []
    for one in passed:
        if len(one.operands) > 1 or one.observed is None:
            return None
        if one.operands[0] == operation.factors[2]:
            found.append(sum_of_rows(g, one.observed))
            continue
        pair = (g, y.T) if one.operands[0] == operation.factors[0] else (x.T, g)
        finding = check_product(*pair, None, one.observed, model("float32"))
        if isinstance(finding, Tally) and finding.finite and finding.worst > 1 and len(rungs) == 1:
            finding = worst_entry(*pair, one.observed, finding, model("float32"))
        if isinstance(finding, Tally) or not (finding.verdict.fails or finding.verdict is Verdict.AGREE):
            return None
        found.append(finding)
    return found


def sum_of_rows(g: np.ndarray, observed: np.ndarray) -> ArrayFinding:
    """The finding of a gradient that is the sum of rows of a matrix, such as that of a bias."""
    current = model("float32")
    if observed.shape == g.shape:
        return judge_sum([g], observed, "float32")
    value, size = (np.asarray(np.sum(x, axis=0, dtype=np.float64)) for x in (g, np.abs(g)))
    radius = len(g) * ((current.u + OWN) * size + current.quantum * (size > 0)) + 2 * current.u * np.abs(value)
    expected = Expected(value.reshape(observed.shape), (radius * OUTWARD).reshape(observed.shape))
    return judge(wide(observed), {"stored": expected})


def rows_back(
    operation: ModelOperation, table: np.ndarray, g: np.ndarray, observed: np.ndarray | None,
    rungs: Callable[[str], Sequence[str]],
) -> ArrayFinding:  # fmt: skip
    """The finding of the gradient of a table: that of the rows that were taken, and zero in all others."""
    assert operation.rows is not None
    taken, places = np.unique(operation.rows, return_inverse=True)
    small = ModelOperation(
        operation.name, operation.module, operation.place, operation.arguments, operation.dtypes,
        lambda weight: [weight[places.reshape(operation.rows.shape)]],  # type: ignore[union-attr]
    )  # fmt: skip
    rows = table[taken]
    graph = graph_of(small, [rows])
    expected = expectation(small, graph, [rows], [g], rungs)
    known: Ladder[Expected] = expected.map(lambda both: both[1][0])
    if observed is None:
        return judge(None, known)
    others = np.ones(len(table), dtype=bool)
    others[taken] = False
    if observed[others].any():
        at = np.unravel_index(int(np.argmax(np.abs(observed) * others[:, None])), observed.shape)
        return ArrayFinding(
            Verdict.DISAGREE, "", np.inf, 0.0, 1.0, tuple(int(k) for k in at), 0.0, float(observed[at]), 0.0,
            "a row that was not taken has a gradient",
        )  # fmt: skip
    finding = judge(wide(observed[taken]), known)
    if finding.entry:
        finding = finding._replace(entry=(int(taken[finding.entry[0]]), *finding.entry[1:]))
    return finding


def tally_of_sum(parts: Sequence[np.ndarray], observed: np.ndarray, dtype: str) -> Tally:
    """The comparison of a large sum, a few rows at a time."""
    tally, last = Tally(), model(dtype)
    rows = max(1, BLOCK * len(observed) // observed.size)
    for start in range(0, len(observed), rows):
        here = slice(start, start + rows)
        value = parts[0][here].astype(np.float64)
        size = np.abs(value)
        for part in parts[1:]:
            value += part[here]
            size += np.abs(part[here])
        size *= len(parts) * (last.u + OWN) * OUTWARD
        tally.add(observed[here], value, size, (start, *(0,) * (observed.ndim - 1)))
    return tally


def judge_sum(parts: Sequence[np.ndarray], observed: np.ndarray | None, dtype: str) -> ArrayFinding:
    """The finding of the sum of contributions to one gradient, in any order."""
    if len(parts) == 1 and observed is not None and same_numbers(parts[0], observed):
        return EXACT
    if parts and observed is not None and observed.size > BLOCK and all(x.shape == observed.shape for x in parts):
        tally = tally_of_sum(parts, observed, dtype)
        if (finding := tally.finding()) is not None:
            return finding
    if not parts and observed is not None:
        return judge(wide(observed), {"stored": Expected(np.zeros(observed.shape), np.zeros(observed.shape))})
    value, size = np.zeros(parts[0].shape), np.zeros(parts[0].shape)
    for part in parts:
        value += part
        size += np.abs(part)
    last = model(dtype)
    radius = len(parts) * (last.u + OWN) * size if len(parts) > 1 else np.zeros(value.shape)
    return judge(None if observed is None else wide(observed), {"stored": Expected(value, radius)})
