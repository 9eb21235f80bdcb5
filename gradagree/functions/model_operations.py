"""The judgement of one operation of a model, on the framework's own numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from gradagree.adapters.operations import ModelOperation, PassedGradient
from gradagree.arithmetic.model import OUTWARD, OWN, model
from gradagree.arithmetic.tape import trace
from gradagree.arithmetic.variance import DEVIATIONS
from gradagree.checker.verdict import Verdict
from gradagree.errors import UsageError
from gradagree.functions.convolutions import check_products, input_products, value_products, weight_products
from gradagree.functions.enclosures import Expected, expect, narrowest
from gradagree.functions.judge import ArrayFinding, judge
from gradagree.functions.ladder import Ladder
from gradagree.functions.products import BLOCK, LEAST, Tally, check_product, worst_entry
from gradagree.reference.graph import Graph

EXACT = ArrayFinding(Verdict.AGREE, "stored")
FIRST = 2.0**40
"""The number of the first entry, where entries are numbered to see where they are moved."""


def judge_values(
    operation: ModelOperation, inputs: Sequence[np.ndarray], outputs: Sequence[np.ndarray],
    rungs: Callable[[str], Sequence[str]],
) -> list[ArrayFinding]:  # fmt: skip
    """The findings of the outputs of one operation."""
    if operation.function is None:
        raise UsageError(operation.reason)
    if (operation.moves or is_rounded_once(operation)) and len({x.dtype for x in (*inputs, *outputs)}) == 1:
        with np.errstate(all="ignore"):
            expected = operation.function(*inputs)
        finite = operation.moves or all(np.isfinite(x).all() for x in outputs)
        if finite and all(map(same_numbers, expected, outputs)):
            return [bitwise(operation)] * len(outputs)
    if (product := factors_of(operation, inputs)) is not None:
        found = check_product(*product, arranged(operation, -1, outputs[0]), model("float32"))
        if isinstance(found, ArrayFinding):
            return [found]
    if is_large_convolution(operation, inputs):
        whole = check_products(value_parts(operation, inputs), outputs[0], model("float32"))
        if whole is not None and (whole.verdict is Verdict.AGREE or len(rungs("float32")) == 1):
            return [value_finding(whole)]
    if operation.rows is not None and same_numbers(inputs[0][operation.rows], outputs[0]):
        return [EXACT]
    graph = graph_of(operation, inputs)
    rungwise = expectation(operation, graph, inputs, [None] * len(outputs), rungs)
    scale = largest(inputs)
    return [judge(wide(y), rungwise.map(output(k)), True, scale) for k, y in enumerate(outputs)]


def is_rounded_once(operation: ModelOperation) -> bool:
    """True for one sum, difference or product in a dtype that NumPy rounds to."""
    return operation.once and set(operation.dtypes) == {"float32"}


def bitwise(operation: ModelOperation) -> ArrayFinding:
    """The finding of an array whose entries are the correctly rounded ones, or moved ones."""
    return EXACT if operation.moves else EXACT._replace(sharpness=model("float32").u)


def value_finding(found: ArrayFinding) -> ArrayFinding:
    """A finding of an output: where it disagrees, the value differs."""
    return found._replace(verdict=Verdict.VALUE_DIFFERS) if found.verdict is Verdict.DISAGREE else found


def is_large_convolution(operation: ModelOperation, inputs: Sequence[np.ndarray]) -> bool:
    """True for a convolution in float32 that is judged as products of matrices."""
    if operation.convolution is None or set(operation.dtypes) != {"float32"}:
        return False
    return all(x.size for x in inputs) and inputs[0].size + inputs[1].size >= LEAST


def arranged(operation: ModelOperation, k: int, x: np.ndarray) -> np.ndarray:
    """An array of an operation as its product or convolution has it; k is the number of the operand, -1 the output."""
    return operation.arrangement[k](x) if operation.arrangement else x


def value_parts(operation: ModelOperation, inputs: Sequence[np.ndarray]) -> Any:
    """What makes the products of the value of a convolution."""
    form = operation.convolution
    assert form is not None
    x, w = (arranged(operation, k, inputs[k]) for k in (0, 1))
    b = inputs[2] if len(inputs) > 2 else None

    def make(y: np.ndarray) -> Any:
        y = arranged(operation, -1, y)
        return input_products(x, w, y, form, b) if form.transposed else value_products(x, w, b, y, form)

    return make


def gradient_parts(operation: ModelOperation, inputs: Sequence[np.ndarray], g: np.ndarray, operand: int) -> Any:
    """What makes the products of a gradient of a convolution, by its images (0) or its kernels (1)."""
    form = operation.convolution
    assert form is not None
    x, w, seed = (arranged(operation, k, one) for k, one in ((0, inputs[0]), (1, inputs[1]), (-1, g)))

    def make(y: np.ndarray) -> Any:
        y = arranged(operation, operand, y)
        if operand == 1:
            return weight_products(seed, x, y, form) if form.transposed else weight_products(x, seed, y, form)
        return value_products(seed, w, None, y, form) if form.transposed else input_products(seed, w, y, form)

    return make


def convolution_back(
    operation: ModelOperation, inputs: Sequence[np.ndarray], g: np.ndarray, passed: Sequence[PassedGradient]
) -> list[ArrayFinding] | None:
    """Findings of the gradients of a convolution; None if another judgement must decide."""
    found = []
    for one in passed:
        if len(one.operands) > 1 or one.observed is None:
            return None
        if one.operands[0] == 2:
            found.append(sum_of_rows(np.moveaxis(g, 1, -1).reshape(-1, g.shape[1]), one.observed))
            continue
        parts = gradient_parts(operation, inputs, g, one.operands[0])
        finding = check_products(parts, one.observed, model("float32"))
        if finding is None:
            return None
        found.append(finding)
    return found


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
    moves = operation.moves or is_rounded_once(operation)
    if moves and (exact := moved_back(operation, inputs, cotangents, passed)) is not None:
        return exact
    if operation.rows is not None and cotangents[0] is not None and passed:
        return [rows_back(operation, inputs[0], cotangents[0], passed[0].observed, rungs)]
    if (product := factors_of(operation, inputs)) is not None and cotangents[0] is not None:
        found = product_back(operation, product, cotangents[0], passed, rungs("float32"))
        if found is not None:
            return found
    if is_large_convolution(operation, inputs) and cotangents[0] is not None:
        found = convolution_back(operation, inputs, cotangents[0], passed)
        if found is not None and (len(rungs("float32")) == 1 or not any(one.verdict.fails for one in found)):
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
    """Findings of gradients whose entries have only been moved, and added up where they meet; None if that fails.

    Of an operation that is rounded once, those that are the same bit by bit.

    The sum of n numbers is off by at most n u times that of their magnitudes, in any order.
    """
    if any(len(one.operands) > 1 or one.observed is None for one in passed) or all(g is None for g in cotangents):
        return None
    graph = trace(lambda *arrays: list(operation.function(*arrays)), *inputs)  # type: ignore[misc]
    values = graph.evaluate(list(inputs))

    def back(change: Callable[[np.ndarray], np.ndarray]) -> list[Any]:
        with np.errstate(all="ignore"):
            return graph.vjp(values, [None if g is None else change(g) for g in cotangents])

    exact = back(lambda g: g)
    known = [(exact[one.operands[0]], one.observed) for one in passed]
    if all(same_numbers(a, b) and (operation.moves or np.isfinite(b).all()) for a, b in known):  # type: ignore[arg-type]
        return [bitwise(operation)] * len(passed)
    if not operation.moves:
        return None
    if (repeated := repeated_back(operation, inputs, cotangents, passed)) is not None:
        return [repeated] if repeated.verdict is Verdict.AGREE else None
    sums, sizes, counts = back(wide), back(lambda g: np.abs(wide(g))), back(lambda g: np.ones(g.shape))
    findings = []
    for one in passed:
        k = one.operands[0]
        if sums[k] is None or not np.all(counts[k] == np.rint(counts[k])):
            return None
        last = model(operation.dtypes[k])
        radius = np.where(counts[k] > 1, counts[k] * (last.u + OWN) * OUTWARD, 0.0) * sizes[k]
        finding = judge(wide(one.observed), {"stored": Expected(wide(sums[k]), radius)})  # type: ignore[arg-type]
        if finding.verdict is not Verdict.AGREE:
            return None
        findings.append(finding)
    return findings


def repeated_back(
    operation: ModelOperation, inputs: Sequence[np.ndarray], cotangents: Sequence[np.ndarray | None],
    passed: Sequence[PassedGradient],
) -> ArrayFinding | None:  # fmt: skip
    """The finding of the gradient of an array whose entries are all repeated alike; None for any other."""
    g, function, x = cotangents[0], operation.function, inputs[0]
    if len(inputs) > 1 or len(cotangents) > 1 or set(operation.dtypes) != {"float32"} or not x.size:
        return None
    if g is None or function is None or g.size <= x.size or g.size % x.size:
        return None
    numbers = FIRST + np.arange(x.size, dtype=np.float64)  # unlike what a padding puts there
    places = np.asarray(function(numbers.reshape(x.shape))[0]).ravel() - FIRST
    order = np.argsort(places, kind="stable").reshape(x.size, -1)
    if not np.array_equal(places[order], np.broadcast_to(np.arange(x.size)[:, None], order.shape)):
        return None
    observed = passed[0].observed
    assert observed is not None
    found = sum_of_rows(g.ravel()[order].T, observed.ravel())
    return found._replace(entry=None)


def factors_of(
    operation: ModelOperation, inputs: Sequence[np.ndarray]
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None] | None:
    """The factors of a large product of matrices in float32; None for any other operation."""
    if operation.factors is None or any(x.dtype != np.float32 for x in inputs):
        return None
    if set(operation.dtypes) != {"float32"}:
        return None
    left, right, addend = operation.factors
    x, y = arranged(operation, 0, inputs[left]), arranged(operation, 1, inputs[right])
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
    g = arranged(operation, -1, g)
    found: list[ArrayFinding] = []
    for one in passed:
        if len(one.operands) > 1 or one.observed is None:
            return None
        if one.operands[0] == operation.factors[2]:
            found.append(sum_of_rows(g, one.observed))
            continue
        side = operation.factors.index(one.operands[0])
        pair = (g, y.T) if side == 0 else (x.T, g)
        observed = arranged(operation, side, one.observed)
        finding = check_product(*pair, None, observed, model("float32"))
        if isinstance(finding, Tally) and finding.finite and finding.worst > 1 and len(rungs) == 1:
            finding = worst_entry(*pair, observed, finding, model("float32"))
        if isinstance(finding, Tally) or not (finding.verdict.fails or finding.verdict is Verdict.AGREE):
            return None
        if finding.verdict.fails and operation.arrangement:
            places = arranged(operation, side, np.arange(one.observed.size).reshape(one.observed.shape))
            at = np.unravel_index(int(places[finding.entry]), one.observed.shape)
            finding = finding._replace(entry=tuple(map(int, at)))
        found.append(finding)
    return found


def sum_of_rows(g: np.ndarray, observed: np.ndarray) -> ArrayFinding:
    """The finding of a gradient that is the sum of rows of a matrix, such as that of a bias."""
    if observed.shape == g.shape:
        return judge_sum([g], observed, "float32")
    found = check_product(np.ones((1, len(g))), g, None, observed.reshape(1, -1), model("float32"))
    if isinstance(found, ArrayFinding):
        return found._replace(entry=found.entry[1:] if found.entry and observed.ndim == 1 else None)
    return judge(wide(observed), {"stored": expected_sum(wide(g), observed.shape)})


def expected_sum(g: np.ndarray, shape: tuple[int, ...]) -> Expected:
    """The sums of the columns of a matrix in float32, in any order.

    In every order a partial sum is at most that of the positive or that of the negative numbers. Its roundings are
    independent, except where equal numbers are added one after the other: then the variance grows by the factor of how
    many they are.
    """
    current, n = model("float32"), len(g)
    u = current.accumulator.u + OWN
    value, above, below = (np.sum(x, axis=0) for x in (g, np.maximum(g, 0), np.maximum(-g, 0)))
    size, largest = above + below, np.maximum(above, below)
    radius = n * (u * size + current.quantum * (size > 0)) + 2 * current.u * np.abs(value)
    equal = np.array([np.unique(x[x != 0], return_counts=True)[1].max(initial=1) for x in g.T])
    deviation = np.sqrt(equal * n / 3) * u * largest + current.u * np.abs(value)
    probable = DEVIATIONS * (deviation + n * current.quantum * (size > 0))
    return Expected(*(x.reshape(shape) for x in (value, radius * OUTWARD, probable)))


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
