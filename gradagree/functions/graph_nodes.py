"""Checks of single nodes of a graph of layers, each on the framework's own numbers."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from gradagree.adapters import Answer
from gradagree.adapters.graph_problem import use_name
from gradagree.arithmetic.model import OWN, Model
from gradagree.arithmetic.rounded import Rounded
from gradagree.arithmetic.tape import trace
from gradagree.cases.graph_case import GraphArrays, GraphCase
from gradagree.checker.comparison import Comparison
from gradagree.checker.exact import confirmed
from gradagree.checker.reverse import accept, node_check
from gradagree.checker.verdict import Verdict
from gradagree.functions.enclosures import FLUSHED, SUMS, Expected, add_in_any_order, expect, interior, lift, store
from gradagree.functions.judge import ArrayFinding, judge
from gradagree.functions.ladder import Ladder
from gradagree.functions.own_operations import with_own
from gradagree.functions.proofs import CONTRADICTED, UNPROVED, prove
from gradagree.reference import Activation, Box, ErrorBox
from gradagree.reference.architecture import LayerNode, input_names
from gradagree.reference.graph import INPUTS, LOSS, LOSS_NODE, Graph, Kind, Node, Quantity, value_name
from gradagree.reference.layer import Layer

OWN_SUMS = "measured sums"
"""The arithmetic of a framework that was measured to keep partial sums in the dtype: then it is admissible."""
FLUSHING = ("float32", "bfloat16")
"""The dtypes in which libraries, such as oneDNN, may flush subnormal numbers, whatever the framework does elsewhere."""
OVERFLOWS = "a number that the formula computes on the way does not fit the dtype"
NOT_FINITE = "the framework's own numbers that it was given are not all finite"
Enclosures = tuple[list[Expected], list[Expected | None]]
Proved = tuple[Comparison, float | None]
"""A comparison, and the proved radius of its expected value if it is a finding."""


@dataclass(frozen=True)
class TappedGraph:
    """What a framework returned for a graph.

    Args:
        case: The graph.
        arrays: Its numbers.
        answer: The framework's values, cotangents and gradients.
        model: The rounding model of the mode.
    """

    case: GraphCase
    arrays: GraphArrays
    answer: Answer
    model: Model

    @functools.cached_property
    def uses(self) -> list[list[tuple[int, int]]]:
        """For each value the nodes that take it, each with the place among their inputs."""
        found: list[list[tuple[int, int]]] = [[] for _ in self.case.shapes]
        for k, node in enumerate(self.case.nodes, 1):
            for place, i in enumerate(node.inputs):
                found[i].append((k, place))
        return found

    def edge(self, value: int, node: int, place: int) -> str:
        """The name of the array that a node takes, and of the cotangent that it passes back."""
        return use_name(value, node, place) if len(self.uses[value]) > 1 else value_name(value)

    def rungs(self) -> list[str]:
        """The admissible arithmetics, the finest first."""
        narrow = self.model.narrow
        found = ["wide"] * narrow + ["stored"] + ["stored" + FLUSHED] * self.flushes
        return found + [OWN_SUMS if self.sums_are_narrow else SUMS + self.case.dtype] * narrow

    @property
    def flushes(self) -> bool:
        """True if subnormal numbers may become 0."""
        return self.model.flushes or self.case.dtype in FLUSHING

    @property
    def sums_are_narrow(self) -> bool:
        """True if the framework was measured to keep partial sums in the dtype."""
        return self.model.narrow and self.model.least_precision <= self.model.format.precision

    def interior(self, rung: str) -> str:
        """The name of an arithmetic as `gradagree.functions.enclosures` knows it."""
        return SUMS + self.case.dtype if rung == OWN_SUMS else rung


def shown(found: ArrayFinding, quantity: Quantity, size: int) -> Comparison:
    """The comparison of an array as records have it."""
    share = round(found.share * size)
    return Comparison(
        quantity, found.verdict, found.ratio, found.entry or (), _number(found.expected), _number(found.observed),
        _number(found.tolerance), found.sharpness, share, size, found.reason,
    )  # fmt: skip


def _number(x: float | None) -> float:
    return float("nan") if x is None else x


class LayerCheck:
    """A layer on the framework's own inputs and cotangent."""

    def __init__(self, graph: TappedGraph, number: int) -> None:
        self.graph, self.number = graph, number
        self.node: LayerNode = graph.case.nodes[number - 1]
        assert isinstance(self.node.operation, Layer)
        self.layer = self.node.operation
        answer, own = graph.answer, graph.arrays.by_name
        edges = [graph.edge(i, number, place) for place, i in enumerate(self.node.inputs)]
        prefix = f"{number}."
        self.names = [name for name in graph.case.array_shapes if name.startswith(prefix)]
        self.arguments = [*input_names(self.node), *(name.removeprefix(prefix) for name in self.names)]
        self.given = [*(answer.values[edge] for edge in edges), *(own[name] for name in self.names)]
        self.edges = edges
        self.floating = [k for k, x in enumerate(self.given) if x.dtype.kind == "f"]
        self.points = [np.asarray(self.given[k], dtype=np.float64) for k in self.floating]
        self.value, self.cotangent = answer.values[value_name(number)], answer.cotangents[value_name(number)]

    def is_intermediate(self, k: int) -> bool:
        """True if array k is a value that another node computed."""
        return k < len(self.edges) and self.node.inputs[k] > 0

    @functools.cached_property
    def taped(self) -> Graph:
        """The layer's value as a graph of its floating-point arrays."""
        return trace(self._value, *self.points)

    def _value(self, *points: Any) -> Any:
        return self.layer.value(*self._every(points))

    def _every(self, points: Sequence[Any]) -> list[Any]:
        """All arrays, those of floating-point numbers in another arithmetic."""
        every = list(self.given)
        for k, x in zip(self.floating, points, strict=True):
            every[k] = x
        return every

    @functools.cached_property
    def other(self) -> Graph | None:
        """The layer's value by another formula in use, if it has one."""
        with np.errstate(all="ignore"):
            if self.layer.other_value(*self._every(self.points)) is None:
                return None
        return trace(lambda *points: self.layer.other_value(*self._every(points)), *self.points)

    @functools.cached_property
    def written(self) -> Graph | None:
        """The layer's hand-written vjp as a graph of the cotangent and its arrays; None if it has none."""
        if type(self.layer).vjp is Layer.vjp:
            return None

        def vjp(g: Any, *points: Any) -> list[Any]:
            found = self.layer.vjp(g, *self._every(points))
            return [found[k] if found[k] is not None else np.zeros(self.given[k].shape) for k in self.floating]

        return trace(vjp, self.cotangent, *self.points)

    @functools.cached_property
    def expected(self) -> Ladder[Enclosures]:
        """The value and the gradients by the layer's value, in each arithmetic."""
        return Ladder(lambda: iter(self.graph.rungs()), self._expect)

    def _expect(self, rung: str) -> Enclosures:
        return self._expect_of(self.taped, rung)

    def _expect_of(self, graph: Graph, rung: str) -> Enclosures:
        dtype, rung = self.graph.case.dtype, self.graph.interior(rung)
        stores = [dtype] * (1 + len(self.points))
        with np.errstate(all="ignore"):
            if self.graph.model.excess:
                return self._expect_fused(graph, self.points, rung)
            return expect(graph, self.points, [self.cotangent], rung, dtype, stores)

    @functools.cached_property
    def by_other(self) -> Ladder[Enclosures]:
        """As `expected`, by the other formula."""
        graph = self.other
        assert graph is not None
        return Ladder(lambda: iter(self.graph.rungs()), lambda rung: self._expect_of(graph, rung))

    def _expect_fused(self, graph: Graph, points: Sequence[np.ndarray], rung: str) -> Enclosures:
        """As `expect`, for a program that may use values of 16 bits before it rounds them."""
        dtype = self.graph.case.dtype
        inside, last = interior(rung, dtype), replace(interior("stored", dtype), flushes=self.graph.model.flushes)
        u = self.graph.model.excess

        def inexact(x: np.ndarray, known: bool) -> Rounded:
            found = lift(x, inside)
            return found if known else found.widen(u * np.abs(x))

        lifted = [inexact(x, not self.is_intermediate(k)) for k, x in zip(self.floating, points, strict=True)]
        values = graph.evaluate(lifted)
        gradients = graph.vjp(values, [inexact(self.cotangent, False)], add_in_any_order)
        outputs = [store(y, inside, last) for y in graph.results(values)]
        return outputs, [g if g is None else store(g, inside, last) for g in gradients]

    def by_any(self, expected: Ladder[Expected], k: int) -> Ladder[Expected]:
        """The gradient of floating array k with the tolerance of all derivations: by hand, and of the other formula."""

        def of(rung: str) -> Expected:
            found: Expected | None = expected[rung]
            if self.other is not None:
                found = either(found, self.by_other[rung][1][k])
            if self.written is not None and not self.graph.model.excess:
                found = either(found, self._by_hand(rung)[k])
            assert found is not None
            return found

        return Ladder(expected.names, of)

    @functools.cached_property
    def _by_hand(self) -> Callable[[str], list[Expected]]:
        """The gradients by the hand-written vjp in one arithmetic."""
        written, dtype = self.written, self.graph.case.dtype
        assert written is not None

        @functools.cache
        def of(rung: str) -> list[Expected]:
            stores = [dtype] * (2 * len(self.floating) + 1)
            with np.errstate(all="ignore"):
                points, none = [self.cotangent, *self.points], [None] * len(self.floating)
                return expect(written, points, none, self.graph.interior(rung), dtype, stores)[0]

        return of

    @functools.cached_property
    def is_finite(self) -> bool:
        """True if the node was given numbers only: programs pass NaN and infinity on in different ways."""
        floating = (x for x in (*self.given, self.cotangent) if x.dtype.kind == "f")
        return all(bool(np.isfinite(x).all()) for x in floating)

    @functools.cached_property
    def largest_terms(self) -> list[float]:
        """For each floating array, the size of terms that may cancel in its gradient.

        It is the largest product of an entry of the cotangent and one of the arrays, or what the largest entry of the
        cotangent contributes to the gradient by itself.
        """
        size = np.abs(self.cotangent)
        product = float(np.max(size, initial=0.0)) * max(
            (float(np.max(np.abs(x), initial=0.0)) for x in self.points), default=0.0
        )
        with np.errstate(all="ignore"):
            alone = np.where(np.arange(size.size).reshape(size.shape) == np.argmax(size), self.cotangent, 0.0)
            terms = self.taped.vjp(self.taped.evaluate(self.points), [alone])
            return [product if x is None else float(np.fmax(product, np.max(np.abs(x), initial=0.0))) for x in terms]

    @functools.cached_property
    def overflows(self) -> bool:
        """True if an intermediate number is too large for the dtype, which probabilistic tolerances do not know."""
        with np.errstate(all="ignore"):
            values = self.taped.evaluate(self.points)
            numbers = [*values, *self.taped.all_cotangents(values, [self.cotangent])]
            return any(x is not None and bool(np.any(np.abs(x) > self.graph.model.format.largest)) for x in numbers)

    def shown(self, found: ArrayFinding, quantity: Quantity, size: int) -> Comparison:
        """The comparison of an array; out of range where the node was given what is no number."""
        if found.verdict is Verdict.SUSPECT and self.overflows:
            found = found._replace(verdict=Verdict.OUT_OF_RANGE, reason=OVERFLOWS)
        if found.verdict.fails and not self.is_finite:
            found = found._replace(verdict=Verdict.OUT_OF_RANGE, reason=NOT_FINITE)
        return shown(found, quantity, size)

    def forward(self) -> Comparison:
        """The value."""
        quantity = Quantity(Kind.VALUE, self.number, value_name(self.number), "c")
        expected = self.expected.map(lambda both: both[0][0])
        found = judge(self.value, expected, is_value=True)
        if unexplained(found) and self.other is not None:

            def of(rung: str) -> Expected:
                both = either(expected[rung], self.by_other[rung][0][0])
                assert both is not None
                return both

            wider = judge(self.value, Ladder(expected.names, of), is_value=True)
            found = found if wider.verdict.fails else wider
        return self.shown(found, quantity, self.value.size)

    def backward(self) -> Iterator[Comparison]:
        """The cotangents of the inputs, and the gradients of the parameters."""
        answer, trained = self.graph.answer, self.graph.case.parameter_names
        for place, k in enumerate(self.floating):
            is_input = k < len(self.edges)
            array = self.edges[k] if is_input else self.names[k - len(self.edges)]
            if not is_input and array not in trained:
                continue
            observed = (answer.cotangents if is_input else answer.gradients).get(array)
            yield self._gradient(place, k, array, observed)

    def _gradient(self, place: int, k: int, array: str, observed: np.ndarray | None) -> Comparison:
        like = self.given[k]

        def of(both: Enclosures) -> Expected:
            found = both[1][place]
            return Expected(np.zeros(like.shape), np.zeros(like.shape)) if found is None else found

        expected = self.expected.map(of)
        found = judge(observed, expected)
        if unexplained(found):
            other = judge(observed, self.by_any(expected, place), scale=self.largest_terms[place])
            found = other if not other.verdict.fails else found
        is_input = k < len(self.edges)
        label = f"{'delta_' if is_input else 'd'}{self.arguments[k]}"
        quantity = Quantity(Kind.COTANGENT if is_input else Kind.GRADIENT, self.number, array, label)
        return self.shown(found, quantity, like.size)

    def prove(self, found: Comparison) -> Proved:
        """A finding with its exact value, or as undecided where that does not confirm it."""
        if not found.index:
            return found, None
        is_value = found.quantity.kind is Kind.VALUE
        arrays = [*self.edges, *self.names]
        number = 0 if is_value else self.floating.index(arrays.index(found.quantity.array))
        kind = "value" if is_value else "gradient"
        proof = prove(self.taped, self.points, [self.cotangent], kind, number, found.index)
        if proof is None:
            return found, None
        reason = ""
        if proof.contradicts(found.expected, found.tolerance):
            reason = CONTRADICTED
        elif np.isfinite(found.observed) and not proof.excludes(found.observed):
            reason = UNPROVED
        if reason:
            return replace(found, verdict=Verdict.UNDECIDED, reason=reason), None
        return replace(found, expected=proof.value), proof.radius


def unexplained(found: ArrayFinding) -> bool:
    """True if a larger tolerance, such as that of another formula, may change the verdict for the better."""
    return found.verdict.fails or found.verdict is Verdict.INACCURATE


def either(one: Expected | None, other: Expected | None) -> Expected | None:
    """An array with the tolerances of two formulas of it."""
    with np.errstate(all="ignore"):
        return with_own(one, other, True)


@dataclass(frozen=True)
class SingleNode:
    """A case of one node, for the checks of chains."""

    node: Node
    spec: str
    dtype: str

    def nodes(self, _: Any) -> list[Node]:
        return [self.node]


class FunctionCheck:
    """An activation or the loss on the framework's own numbers, by the checks of chains, on rows of the last axis."""

    def __init__(self, graph: TappedGraph, number: int | str) -> None:
        case, answer = graph.case, graph.answer
        self.graph, self.number = graph, number
        loss = ErrorBox(case.error, graph.arrays.by_name["targets"], case.loss_weight)
        if number == LOSS_NODE:
            given, self.edge, self.output = case.depth, value_name(case.depth), LOSS
            operation: Box | ErrorBox = loss
        else:
            assert isinstance(number, int)
            (given,) = case.nodes[number - 1].inputs
            self.edge, self.output = graph.edge(given, number, 0), value_name(number)
            activation = case.nodes[number - 1].operation
            assert isinstance(activation, Activation)
            operation = Box(activation, None, None, loss)
        first = INPUTS if given == 0 else "p"
        self.node = Node(number, operation, first, self.output, {})
        values = {first: rows(answer.values[self.edge])}
        cotangents = {first: rows(answer.cotangents[self.edge])}
        if self.output != LOSS:
            values[self.output] = rows(answer.values[self.output])
            cotangents[self.output] = rows(answer.cotangents[self.output])
        self.shape = answer.values[self.edge].shape
        given_numbers = [values[first], *(held[self.output] for held in (values, cotangents) if self.output in held)]
        self.is_finite = all(bool(np.isfinite(x).all()) for x in given_numbers)
        self.answer = Answer(answer.E, values, cotangents)
        self.check = node_check(self.node, self.answer, graph.model)

    def forward(self) -> Comparison:
        """The value."""
        found: Comparison = self.check.forward()
        return self._placed(found)

    def backward(self) -> Iterator[Comparison]:
        """The cotangent of the input."""
        return map(self._placed, self.check.backward())

    def _placed(self, found: Comparison) -> Comparison:
        """The comparison with the place of its entry among all axes, and the name of its array in the graph."""
        quantity = found.quantity
        name = self.edge if quantity.array == self.node.input else quantity.array
        index = found.index
        if len(self.shape) != 2 and len(index) == 2:
            index = (*(int(i) for i in np.unravel_index(index[0], self.shape[:-1])), index[1])
        if found.verdict.fails and not self.is_finite:
            found = replace(found, verdict=Verdict.OUT_OF_RANGE, reason=NOT_FINITE)
        return replace(found, quantity=quantity._replace(array=name), index=index, doubtful=())

    def prove(self, _: Comparison) -> Proved:
        """The worst finding of the node, with its exact value."""
        single: Any = SingleNode(self.node, self.graph.case.spec, self.graph.case.dtype)
        arrays: Any = self.graph.arrays
        comparisons: list[Comparison] = [self.check.forward()]
        if comparisons[0].verdict is not Verdict.VALUE_DIFFERS:
            comparisons += self.check.backward()
        _every, worst, proof = confirmed(single, arrays, self.answer, comparisons)
        placed = self._placed(worst)
        return (placed, None) if proof is None else (replace(placed, expected=proof.value), proof.radius)


def rows(x: np.ndarray) -> np.ndarray:
    """An array as the rows of its last axis."""
    return x.reshape(-1, x.shape[-1])


NodeCheck = LayerCheck | FunctionCheck


def check_of(graph: TappedGraph, number: int | str) -> NodeCheck:
    """The check of a node, or of the loss."""
    if number != LOSS_NODE and isinstance(graph.case.function(number), Layer):
        assert isinstance(number, int)
        return LayerCheck(graph, number)
    return FunctionCheck(graph, number)


def check_sum(graph: TappedGraph, value: int) -> Iterator[Comparison]:
    """The cotangent of a value that several nodes take: the sum of what they pass back, in any order."""
    if len(graph.uses[value]) < 2:
        return
    answer, name = graph.answer, value_name(value)
    parts = [answer.cotangents[use_name(value, k, place)] for k, place in graph.uses[value]]
    observed = answer.cotangents.get(name)
    with np.errstate(all="ignore"):
        size, total, form = np.sum(np.abs(parts), axis=0), np.sum(parts, axis=0), graph.model.format
        radius = (len(parts) * (graph.model.u + OWN) + graph.model.excess) * size
        radius = np.where(size + radius > form.largest, np.inf, radius)
        expected = {"stored": Expected(total, radius)}
        if graph.flushes:
            lost = np.sum(np.where(np.abs(parts) < form.smallest_normal, np.abs(parts), 0.0), axis=0)
            lost += np.where(np.abs(total) - radius < form.smallest_normal, form.smallest_normal, 0.0)
            expected["stored" + FLUSHED] = Expected(total, radius + lost)
        found = judge(observed, expected)
        if found.verdict.fails and not all(np.isfinite(part).all() for part in parts):
            found = found._replace(verdict=Verdict.OUT_OF_RANGE, reason=NOT_FINITE)
    node = value or graph.uses[value][0][0]
    yield shown(found, Quantity(Kind.COTANGENT, node, name, "sum of delta"), parts[0].size)


def check_graph(graph: TappedGraph) -> list[tuple[Comparison, NodeCheck | None]]:
    """Every comparison, with the check that can prove it: values in topological order, then cotangents in reverse.

    A value that differs is the last one.
    """
    names: list[int | str] = [*range(1, graph.case.depth + 1), LOSS_NODE]
    checks = [check_of(graph, name) for name in names]
    accept([one.check for one in checks if isinstance(one, FunctionCheck)])
    found: list[tuple[Comparison, NodeCheck | None]] = []
    for check in checks:
        found.append((check.forward(), check))
        if found[-1][0].verdict is Verdict.VALUE_DIFFERS:
            return found
    for check, value in zip(reversed(checks), reversed(range(len(checks))), strict=True):
        found += [(one, None) for one in check_sum(graph, value + 1)] if value + 1 < len(checks) else []
        found += [(one, check) for one in check.backward()]
    return found + [(one, None) for one in check_sum(graph, 0)]
