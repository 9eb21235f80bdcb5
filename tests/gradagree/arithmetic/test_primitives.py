"""Each primitive's vjp is the derivative of its value, by ball arithmetic; a vjp that is slightly off is found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import flint
import numpy as np
import pytest
from scipy import special

import gradagree.arithmetic
from gradagree.arithmetic.ball import Ball, precision
from gradagree.arithmetic.model import model
from gradagree.arithmetic.rounded import Rounded
from gradagree.reference.graph import Application, Graph, Value
from gradagree.reference.operations import PRIMITIVES, Primitive
from gradagree.reference.operations.casts import cast
from gradagree.reference.operations.complex_numbers import HOLOMORPHIC, LOG_SUM_EXP, MAGNITUDE, PRODUCT
from gradagree.reference.operations.cumulative import running_max
from gradagree.reference.operations.derivatives import STEPS
from gradagree.reference.operations.fourier import dft
from gradagree.reference.operations.linalg import complex_lu_factors, lu_factors
from gradagree.reference.operations.moves import CONCATENATE, STACK, gather
from gradagree.reference.operations.scatter import put, scatter_add

assert gradagree.arithmetic
STEP = flint.arb(2) ** -60
BITS = 300
RNG = np.random.default_rng(11)
"""Draws the samples, in the order of the table."""
DIFFERENTIABLE = {f: p for f, p in PRIMITIVES.items() if p.vjp is not None}


def normal(*shape: int) -> np.ndarray:
    """Numbers that differ, and are not 0."""
    return np.asarray(RNG.standard_normal(shape).round(3) + 0.0005)


class Sample:
    """Operands of a primitive; those that are no arrays of floating-point numbers are constants."""

    def __init__(self, *operands: Any, **parameters: Any) -> None:
        self.operands, self.parameters = operands, parameters
        self.places = [k for k, x in enumerate(operands) if getattr(x, "dtype", None) == np.float64]

    @property
    def inputs(self) -> list[np.ndarray]:
        return [self.operands[k] for k in self.places]

    def graph(self, primitive: Primitive) -> Graph:
        numbers = {k: Value(n) for n, k in enumerate(self.places)}
        operands = tuple(numbers.get(k, x) for k, x in enumerate(self.operands))
        output = Value(len(numbers))
        application = Application(primitive, operands, self.parameters, output)
        return Graph([f"x{k}" for k in range(len(numbers))], [application], [output])


def points(*numbers: float) -> np.ndarray:
    return np.array(numbers)


POSITIVE = points(0.15, 0.4, 0.9, 2.5)
INSIDE: dict[Any, np.ndarray] = {
    **dict.fromkeys((np.arccos, np.arcsin, np.arctanh, special.erfinv), points(-0.9, -0.4, 0.0, 1e-9, 0.7)),
    np.arccosh: points(1.1, 2.0, 300.0),
    **dict.fromkeys((np.log, np.log10, np.log2, special.gammaln, special.gamma, special.digamma), POSITIVE),
    np.sqrt: points(1e-12, 0.15, 4.0, 1e12), np.cbrt: points(-8.0, 1e-12, 0.3), np.log1p: points(-0.9, 0.0, 1e-9, 30.0),
    **dict.fromkeys((special.logit, special.ndtri), points(0.001, 0.25, 0.5, 0.9)),
    special.exp1: POSITIVE, special.expi: points(-20.0, -0.3, 0.2, 0.9, 30.0),
    special.erfcinv: points(0.001, 0.6, 1.0, 1.9), np.reciprocal: points(-2.0, 1e-9, 0.3, 1e9),
    **dict.fromkeys((np.absolute, np.fabs), points(-1e9, -0.5, 1e-9, 2.0)),
    **dict.fromkeys(STEPS, points(-1.7, -0.2, 0.3, 2.6)), np.tan: points(-1.5, 0.0, 1.5, 100.0),
    **dict.fromkeys((np.exp, np.exp2, np.expm1, np.sinh, np.cosh), points(-30.0, -0.5, 0.0, 1e-9, 30.0)),
    special.i1e: points(-40.0, -0.3, 1e-6, 2.5),  # the second derivative jumps at 0
    **dict.fromkeys((special.erfcx, special.i0, special.i1), points(-3.0, 0.0, 1e-9, 0.5, 20.0)),
}  # fmt: skip
EVERYWHERE = points(-40.0, -2.5, -0.3, 0.0, 1e-9, 0.7, 30.0)
"""Zero, near zero and far out, for functions that are smooth everywhere."""

OTHERS: dict[Any, list[Sample]] = {
    np.power: [Sample(points(0.0, 2.0, -1.5), 3), Sample(points(0.3, 2.0), -2), Sample(POSITIVE, normal(4)),
               Sample(points(1e-6, 1e3), points(0.0, -1.5))],
    np.arctan2: [Sample(points(0.0, -1.0, 1e-9, 3.0), points(1.0, -2.0, 0.5, 0.0))],
    np.hypot: [Sample(points(0.0, -1.0, 1e-9), points(1.0, -2.0, 1e-9))],
    np.logaddexp: [Sample(points(0.0, 50.0, -50.0), points(0.0, -40.0, 1.0)), Sample(normal(2, 3), normal(3))],
    special.xlogy: [Sample(normal(3), points(0.1, 1.0, 1e6))],
    special.xlog1py: [Sample(normal(3), points(-0.5, 0.0, 1e6))],
    **{f: [Sample(points(0.3, 1.0, 2.5, 7.0), points(0.2, 2.0, 1.5, 20.0))]
       for f in (special.gammainc, special.gammaincc)},
    special.betainc: [Sample(points(0.3, 1.0, 2.5), points(2.0, 0.4, 7.0), points(0.2, 0.9, 0.5))],
    special.zeta: [Sample(3.0, points(0.5, 1.0, 40.0))],
    np.divide: [Sample(points(0.0, 1.0, 1e9), points(-1.0, 1e-9, 1e9)), Sample(normal(3, 1), normal(2, 1, 4))],
    **{f: [Sample(normal(3, 1), normal(2, 1, 4)), Sample(points(0.0, 1e9, 1e-9), points(0.5, 0.0, -1e9))]
       for f in (np.add, np.subtract, np.multiply, np.maximum, np.minimum)},
    np.where: [Sample(np.array([True, False, True]), normal(2, 3), normal(3))],
    np.matmul: [Sample(normal(2, 3), normal(3, 2)), Sample(normal(2, 1, 2, 3), normal(4, 3, 1))],
    scatter_add: [Sample(normal(5), np.array([2, -1, 0, 2, 2]), (4,))],
    put: [Sample(normal(3, 2), [0, 2, 0], normal(3, 1)), Sample(normal(3), (slice(1, None),), normal(2))],
    np.diagonal: [Sample(normal(2, 3, 3), 1, 1, 2)],
    np.fliplr: [Sample(normal(2, 3))], np.flipud: [Sample(normal(2, 3))],
    np.repeat: [Sample(normal(2, 3), np.array([2, 0, 1]), axis=1)], np.rot90: [Sample(normal(2, 3), 3)],
    np.take: [Sample(normal(2, 3), np.array([2, 2, 0]), axis=1)], np.tile: [Sample(normal(2), (2, 2))],
    np.take_along_axis: [Sample(normal(2, 3), np.array([[0, 0], [2, 1]]), axis=1)],
    np.rollaxis: [Sample(normal(2, 3, 1), 2)], np.lib.stride_tricks.sliding_window_view: [Sample(normal(5), 3)],
    np.expand_dims: [Sample(normal(2), 0)], np.ravel: [Sample(normal(2, 2))], np.reshape: [Sample(normal(4), (2, 2))],
    np.squeeze: [Sample(normal(1, 2), (0,))], np.copy: [Sample(normal(2))],
    gather: [Sample(normal(3, 4), ([0, 2, 0], slice(None, None, -1))), Sample(normal(3, 4), (..., None, 2)),
             Sample(normal(3, 2), np.array([[True, False], [False, True], [True, True]]))],
    np.swapaxes: [Sample(normal(2, 3, 1), 0, 2)], np.moveaxis: [Sample(normal(2, 3, 1), (0, 1), (1, 2))],
    np.flip: [Sample(normal(2, 3), axis=(0, 1)), Sample(normal(2, 3), 1)],
    np.roll: [Sample(normal(2, 3), 2), Sample(normal(2, 3), (1, -1), (0, 1))],
    np.transpose: [Sample(normal(2, 3, 1)), Sample(normal(2, 3, 1), (1, 2, 0))],
    np.broadcast_to: [Sample(normal(2, 1), (3, 2, 4)), Sample(np.asarray(0.5), (2,))],
    CONCATENATE: [Sample(normal(2, 3), normal(2, 1), axis=1), Sample(normal(2, 3), normal(1, 3), axis=-2)],
    STACK: [Sample(normal(2, 3), normal(2, 3), axis=-1)],
    np.sort: [Sample(normal(3, 4)), Sample(normal(3, 4), axis=0)],
    **{f: [Sample(normal(2, 3, 2)), Sample(normal(2, 3, 2), axis=(0, -1)), Sample(normal(2, 3), axis=1, keepdims=True),
           Sample(points(1e9, -1e-9, 0.0, 3.0))]
       for f in (np.sum, np.mean, np.max, np.min, special.logsumexp)},
    np.prod: [Sample(normal(2, 3, 2), axis=(0, 2)), Sample(points(0.0, 2.0, 3.0)), Sample(points(0.0, 0.0, 3.0))],
    **{f: [Sample(normal(3, 4), axis=1), Sample(normal(2, 3)), Sample(points(2.0, 0.0, 3.0, 0.5), axis=0)]
       for f in (np.cumsum, np.cumprod)},
    **{f: [Sample(normal(3, 4), axis=1), Sample(normal(2, 3))]
       for f in PRIMITIVES if getattr(f, "__name__", "").startswith("running_")},
    np.linalg.solve: [Sample(normal(3, 3), normal(3, 2)), Sample(normal(2, 2, 2), normal(2, 1)),
                      Sample(normal(2, 2), normal(2)), Sample(np.tril(normal(3, 3)), normal(3, 1))],
    cast: [Sample(normal(2, 3), to="bfloat16", source="float32"), Sample(normal(2), to="float32")],
    dft: [Sample(normal(2, 5)), Sample(normal(2, 2, 4), sign=1, scale="root"), Sample(normal(2, 1, 3), scale="length")],
    np.linalg.inv: [Sample(normal(2, 3, 3))],
    np.linalg.det: [Sample(normal(3, 3)), Sample(normal(2, 2, 2))],
    complex_lu_factors: [
        Sample(normal(2, m, n) + 3.0 * np.eye(m, n)) for m, n in ((3, 3), (2, 4), (4, 2), (1, 1))
    ],
    lu_factors: [Sample(normal(m, n) + 3.0 * np.eye(m, n)) for m, n in ((3, 3), (2, 4), (4, 2), (1, 1))],
    np.linalg.cholesky: [Sample(0.1 * normal(3, 3) + 3.0 * np.eye(3))],
}  # fmt: skip


def samples(function: Any) -> list[Sample]:
    if function in OTHERS:
        return OTHERS[function]
    assert function is np.sinc or (isinstance(function, np.ufunc) and function.nin == 1), f"{function} has no sample"
    return [Sample(INSIDE.get(function, EVERYWHERE))]


def parts(*numbers: complex) -> np.ndarray:
    """Complex numbers as an array whose first axis holds their parts."""
    return np.array([np.real(numbers), np.imag(numbers)])


PLANE = parts(0.3 + 0.4j, -1.2 + 0.7j, -0.5 - 2.1j, 1e-3 - 0.2j, 2.5 + 1e-3j)
"""In all quadrants, and near the axes."""
COMPLEX: dict[Primitive, list[Sample]] = {
    **{p: [Sample(PLANE), Sample(parts(*(3 * RNG.standard_normal(4) + 1j * RNG.standard_normal(4))))]
       for name, p in HOLOMORPHIC.items() if name != "complex power"},
    HOLOMORPHIC["complex power"]: [Sample(PLANE, exponent=e) for e in (3, 0.5, -1.5, 0.3 - 2j)],
    HOLOMORPHIC["complex arccos"]: [Sample(PLANE)], HOLOMORPHIC["complex arcsin"]: [Sample(PLANE)],
    LOG_SUM_EXP: [Sample(normal(2, 3, 4), axes=(1,)), Sample(normal(2, 3), axes=(0,))],
    MAGNITUDE: [Sample(PLANE), Sample(parts(3e-9 + 4e-9j, 1e9 - 1j))],
    PRODUCT: [Sample(normal(2, 2, 3), normal(2, 3, 2)), Sample(normal(2, 2, 1, 2, 3), normal(2, 4, 3, 1))],
}  # fmt: skip
CASES = [
    pytest.param(p, sample, id=f"{p.name} {k}")
    for p, found in [*((p, samples(f)) for f, p in DIFFERENTIABLE.items()), *COMPLEX.items()]
    for k, sample in enumerate(found)
]


def moved(x: np.ndarray, direction: np.ndarray, sign: int) -> Ball:
    return Ball(Ball.exact(x).balls + sign * STEP * Ball.exact(direction).balls)


def uphill(x: np.ndarray, cotangent: Ball) -> np.ndarray:
    """A direction in which every entry of the cotangent contributes a positive term, relative to the size of x."""
    scale = np.where(x == 0, 1.0, np.minimum(np.abs(x), 1.0)) * np.random.default_rng(x.size).uniform(0.5, 1.5, x.shape)
    return np.asarray(np.where(cotangent.middle < 0, -scale, scale))


def largest_error(primitive: Primitive, sample: Sample, only: int | None = None) -> float:
    """The error of <g, df(direction)> = <vjp(g), direction>, relative to its terms, which are positive.

    The derivative along the direction is a central difference in ball arithmetic of 300 bits. Only one operand moves,
    if its place is given.
    """
    graph = sample.graph(primitive)
    with precision(BITS):
        values = graph.evaluate([Ball.exact(x) for x in sample.inputs])
        g = np.random.default_rng(5).uniform(0.5, 1.5, values[-1].shape)
        cotangents = graph.vjp(values, [Ball.exact(g)])
        pairs = zip(sample.inputs, cotangents, strict=True)
        directions = [uphill(x, c) * (only in (None, place)) for place, (x, c) in enumerate(pairs)]
        ends = [
            graph.evaluate([moved(x, d, sign) for x, d in zip(sample.inputs, directions, strict=True)])[-1]
            for sign in (1, -1)
        ]
        forward = np.sum((ends[0] - ends[1]) * g) / Ball(2 * STEP)
        backward = Ball.exact(0.0)
        for c, d in zip(cotangents, directions, strict=True):
            backward = backward + np.sum(c * d)
        error = np.abs(forward - backward) / (backward + 1e-10)
        return float(error.balls.item().abs_upper())


@pytest.mark.parametrize(("primitive", "sample"), CASES)
def test_that_a_vjp_is_the_derivative_of_the_value(primitive: Primitive, sample: Sample) -> None:
    assert largest_error(primitive, sample) < 1e-25


@pytest.mark.parametrize(("primitive", "sample"), CASES)
def test_that_a_vjp_that_is_off_by_a_thousandth_in_one_operand_is_found(primitive: Primitive, sample: Sample) -> None:
    if primitive.function in STEPS or np.sum(sample.inputs[0] == 0) == 2:  # of a product with two zeros
        graph = sample.graph(primitive)
        values = graph.evaluate(sample.inputs)
        assert not np.any(graph.vjp(values, [np.ones(np.shape(values[-1]))])[0])
        return
    for k, place in enumerate(sample.places):
        wrong = replace(primitive, vjp=scaled(primitive.vjp, place))  # type: ignore[arg-type]
        assert largest_error(wrong, sample, k) > 1e-4
        assert largest_error(primitive, sample, k) < 1e-25


def scaled(vjp: Callable[..., Any], place: int) -> Callable[..., Any]:
    """A vjp whose result for one operand is too large by a thousandth."""

    def wrong(*args: Any, **parameters: Any) -> list[Any]:
        found = list(vjp(*args, **parameters))
        found[place] = found[place] * (1 + 2.0**-10)
        return found

    return wrong


@pytest.mark.parametrize(("primitive", "sample"), CASES)
def test_that_rounded_arithmetic_encloses_the_exact_vjp(primitive: Primitive, sample: Sample) -> None:
    graph, narrow = sample.graph(primitive), model("float32")
    g = np.random.default_rng(5).uniform(0.5, 1.5, np.shape(graph.evaluate(sample.inputs)[-1]))
    values = graph.evaluate([Rounded.stored(x, narrow) for x in sample.inputs])
    with precision(BITS):
        exact = graph.vjp(graph.evaluate([Ball.exact(x) for x in sample.inputs]), [Ball.exact(g)])
        middles = [x.middle for x in exact]
    for found, middle in zip(graph.vjp(values, [Rounded.stored(g, narrow)]), middles, strict=True):
        assert np.all(~(np.abs(found.value - middle) > found.radius + 1e-12 * np.abs(middle)))
        assert np.mean(np.isfinite(found.radius)) > 0.7


KINKS: dict[str, tuple[Any, list[Any], list[Any], list[Any]]] = {
    "absolute": (np.absolute, [points(0.0, 2.0)], [[-1.0, 1.0], [0.3, 1.0], [1.0, 1.0]], [[1.01, 1.0], [0.0, 0.99]]),
    "maximum": (np.maximum, [points(1.0, 2.0), 1.0], [[0.0, 1.0], [1.0, 1.0], [0.5, 1.0]], [[-0.1, 1.0], [0.5, 0.9]]),
    "max": (np.max, [points(1.0, 1.0, 0.5)], [[1.0, 0.0, 0.0], [0.5, 0.5, 0.0]], [[1.1, 0.0, 0.0], [0.5, 0.5, 0.1]]),
    "cumulative max": (
        running_max, [points(1.0, 1.0, 0.5), 0], [[1.0, 2.0, 0.0], [3.0, 0.0, 0.0], [2.0, 1.0, 0.0]],
        [[0.9, 2.0, 0.0], [3.1, 0.0, 0.0], [3.0, 0.0, 0.1]],
    ),
    "sort": (
        np.sort, [points(2.0, 1.0, 2.0, 3.0)], [[2.0, 1.0, 3.0, 4.0], [3.0, 1.0, 2.0, 4.0]],
        [[1.9, 1.0, 3.0, 4.0], [2.0, 1.0, 3.1, 4.0], [3.0, 1.1, 2.0, 4.0]],
    ),
}  # fmt: skip
"""Function, operands, cotangents of the first one that programs may give, and some that they may not."""


@pytest.mark.parametrize("name", KINKS)
def test_that_a_kink_or_tie_admits_what_programs_give_there(name: str) -> None:
    function, operands, admissible, wrong = KINKS[name]
    first = Rounded.stored(operands[0], model("float32"))
    y = function(first, *operands[1:])
    g = np.arange(1.0, 5.0) if function is np.sort else np.ones(np.shape(y))
    found = PRIMITIVES[function].vjp(Rounded.stored(g, first.model), y, first, *operands[1:])[0]  # type: ignore[misc]
    for given in admissible:
        assert np.all(np.abs(np.array(given) - found.value) <= found.radius)
    for given in wrong:
        assert np.any(np.abs(np.array(given) - found.value) > found.radius + 1e-6)


def test_that_a_sort_of_numbers_that_may_be_equal_admits_either_order() -> None:
    x = Rounded(points(1.0, 1.0 + 1e-9, 5.0), points(1e-8, 1e-8, 0.0), model("float32"))
    g = Rounded.stored(points(1.0, 2.0, 3.0), x.model)
    (found,) = PRIMITIVES[np.sort].vjp(g, np.sort(x), x)  # type: ignore[misc, call-overload]
    for given in ([1.0, 2.0, 3.0], [2.0, 1.0, 3.0]):
        assert np.all(np.abs(np.array(given) - found.value) <= found.radius)
    assert found.radius[2] == 0


def test_that_a_maximum_of_rounded_numbers_is_decided_where_the_largest_one_is_clear() -> None:
    x = Rounded(points(1.0, 2.0, 5.0), np.full(3, 1e-6), model("float32"))
    (found,) = PRIMITIVES[np.max].vjp(Rounded.stored(1.0, x.model), np.max(x), x)  # type: ignore[misc]
    assert found.value.tolist() == [0.0, 0.0, 1.0]
    assert not found.radius.any()


def test_that_a_popular_place_takes_no_more_memory_than_its_entries() -> None:
    places = np.concatenate([np.zeros(20000, dtype=int), np.arange(20000)])
    x = Rounded.stored(np.ones(40000), model("float32"))
    generic = scatter_add.__wrapped__(x, places, (20000,))  # type: ignore[attr-defined]
    assert generic.value[0] == 20001
    found = scatter_add(x, places, (20000,))
    assert np.array_equal(found.value, generic.value)
    assert np.all(found.radius >= generic.radius)
