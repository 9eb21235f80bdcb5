"""Every rule of rounded arithmetic encloses what hardware and other correct programs compute, and the truth."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any, NamedTuple

import flint
import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from scipy import special

import gradagree.arithmetic.model as model_module
import gradagree.arithmetic.rounded as rounded_module
import gradagree.arithmetic.rounded_library as functions_module
from gradagree.arithmetic import Ball, Rounded
from gradagree.arithmetic.ball import lift, precision
from gradagree.arithmetic.incomplete import FUNCTIONS as INCOMPLETE
from gradagree.arithmetic.model import Format, Model, model
from gradagree.arithmetic.rounded_library import FUNCTIONS
from gradagree.reference.operations.casts import cast
from gradagree.reference.operations.cumulative import running_max, running_min
from gradagree.reference.operations.fourier import dft
from gradagree.reference.operations.scatter import put, scatter_add

ANY, POSITIVE, UNIT, TALL = (-12.0, 12.0), (2.0**-4, 12.0), (-0.75, 0.75), (-125.0, 125.0)
DTYPES = {"float64": np.float64, "float32": np.float32, "float16": np.float16, "bfloat16": ml_dtypes.bfloat16}
SHARES = [0.0, 2.0**-20, 2.0**-6, 0.5]
SPECIAL = (special.expit, special.log_expit, special.erf, special.erfc, special.ndtr, special.log_ndtr)


class Example(NamedTuple):
    """A function that uses one rule, and the range of each of its operands; exact if it never rounds."""

    rule: Any
    ranges: tuple[tuple[float, float], ...]
    function: Callable[..., Any]
    exact: bool = False

    def __str__(self) -> str:
        return str(self.rule.__name__)


def one(rule: Any, range: tuple[float, float] = ANY, exact: bool = False) -> Example:
    return Example(rule, (range,), rule, exact)


def two(rule: Any, x: tuple[float, float] = ANY, y: tuple[float, float] = ANY, exact: bool = False) -> Example:
    return Example(rule, (x, y), rule, exact)


EXAMPLES = [
    two(np.add), two(np.subtract), two(np.multiply), two(np.divide), two(np.divide, ANY, POSITIVE), two(np.logaddexp),
    two(np.logaddexp, UNIT, UNIT), two(np.maximum, exact=True), two(np.minimum, exact=True), two(np.matmul),
    *(one(f, exact=True) for f in (np.negative, np.positive, np.absolute, np.fabs, np.sign, np.max, np.min)),
    *(one(f) for f in (np.square, np.reciprocal, np.sin, np.cos, np.sum, np.mean, np.arctan, np.arcsinh, np.cbrt)),
    *(one(f, TALL) for f in (np.exp, np.expm1, np.exp2, np.sinh, np.tanh, special.expit, special.log_expit)),
    *(one(f, POSITIVE) for f in (np.log, np.log2, np.log10, np.sqrt)), one(np.log1p, UNIT), one(np.log1p, POSITIVE),
    *(one(f) for f in (special.erf, special.erfc, special.ndtr, special.log_ndtr)),
    Example(np.clip, (ANY,), lambda x: np.clip(x, -2.5, 0.75), exact=True),
    Example(np.sum, (ANY,), lambda x: np.sum(x, axis=0, keepdims=True)),
    Example(np.mean, (ANY,), lambda x: np.mean(x, axis=(-2, -1))),
    Example(np.max, (ANY,), lambda x: np.max(x, axis=-1), exact=True),
    Example(np.where, (ANY, ANY), lambda x, y: np.where(x > 0.25, x, y), exact=True),
    Example(np.power, (ANY,), lambda x: x**2), Example(np.power, (ANY,), lambda x: x**3),
    Example(np.power, (POSITIVE,), lambda x: x**-2), Example(np.power, (POSITIVE,), lambda x: x**0.5),
    two(np.power, POSITIVE, UNIT),
    *(Example(f, (ANY, ANY), lambda x, y, f=f: np.where(f(x, y), x, y), True) for f in rounded_module.COMPARISONS),
]  # fmt: skip
each_example = pytest.mark.parametrize("example", EXAMPLES, ids=str)

Pair = tuple[Rounded, np.ndarray]


def operand(dtype: str, x: np.ndarray, share: np.ndarray, side: np.ndarray) -> Pair:
    """Numbers of the dtype with radii that are shares of them, and numbers of the dtype to some side within them."""
    x = x.astype(DTYPES[dtype]).astype(np.float64)
    radius = share * np.abs(x)
    member = (x + side * radius).astype(DTYPES[dtype]).astype(np.float64)
    member = np.where(np.abs(member - x) <= radius, member, x)
    return (Rounded(x, radius, model(dtype)) if radius.any() else Rounded.stored(x, model(dtype))), member


@st.composite
def drawn(draw: Any, example: Example, dtype: str) -> list[Pair]:
    """Operands that Hypothesis chooses, zeros and subnormal numbers among them."""
    pairs = []
    width = {"float64": 64, "float16": 16}.get(dtype, 32)
    for low, high in example.ranges:
        choices = (st.floats(low, high, width=width), st.sampled_from(SHARES), st.sampled_from([-1.0, -0.5, 0.0, 1.0]))
        parts = [np.reshape(draw(st.lists(choice, min_size=4, max_size=4)), (2, 2)) for choice in choices]
        pairs.append(operand(dtype, *parts))
    return pairs


def dense(
    example: Example, dtype: str, seed: int, count: int, share: float, sides: tuple[float, ...] = (-1.0, 1.0, 0.3)
) -> list[Pair]:
    """Operands spread over the ranges of the example, all of their bits in use."""
    rng, shape = np.random.default_rng(seed), (count, 2, 2)
    return [
        operand(dtype, rng.uniform(*ends, shape), np.full(shape, share), rng.choice(sides, shape))
        for ends in example.ranges
    ]


def programs(example: Example, dtype: str, members: list[np.ndarray]) -> list[np.ndarray]:
    """What NumPy gives in that dtype; in the 16-bit ones also in float32, rounded once."""
    kind: Any = DTYPES[dtype]
    wider = kind if dtype in ("float32", "float64") else np.float32
    elementwise = isinstance(example.rule, np.ufunc) and example.rule not in (np.matmul, *SPECIAL)
    with np.errstate(all="ignore"):
        found = [np.asarray(example.function(*(m.astype(wider) for m in members))).astype(kind)]
        if elementwise and wider is not kind:
            found.append(np.asarray(example.function(*(m.astype(kind) for m in members))).astype(kind))
    return [x.astype(np.float64) for x in found]


def escaped(example: Example, dtype: str, pairs: list[Pair], scale: float = 1.0) -> bool:
    """Whether some program's answer lies outside the radius, or outside a share of it."""
    found = example.function(*(x for x, _ in pairs))
    observed = programs(example, dtype, [member for _, member in pairs])
    return any((distance(found, y) > scale * found.radius).any() for y in observed)


def distance(found: Rounded, observed: np.ndarray) -> np.ndarray:
    """How far an answer is from the centre; nothing where they are the same, or where the radius says nothing."""
    with np.errstate(all="ignore"):
        same = (observed == found.value) | (np.isnan(observed) & np.isnan(found.value)) | ~np.isfinite(found.radius)
        return np.where(same, 0.0, np.nan_to_num(np.abs(observed - found.value), nan=np.inf))


def truth_escaped(example: Example, pairs: list[Pair]) -> bool:
    """Whether the true answer is not proved to lie within the radius."""
    found = example.function(*(x for x, _ in pairs))
    with precision(600):
        truth = np.ravel(lift(example.function(*(Ball.exact(member) for _, member in pairs))).balls)
        triples = zip(truth, found.value.ravel(), found.radius.ravel(), strict=True)
        return not all(not np.isfinite(r) or abs(x - flint.arb(float(v))) <= flint.arb(float(r)) for x, v, r in triples)


ELSEWHERE = (
    np.arctan2, np.ceil, np.cumprod, np.cumsum, np.floor, np.hypot, np.isfinite, np.isinf, np.isnan, np.prod, np.rint,
    np.signbit, np.sort, np.trunc, special.gamma, special.logsumexp, special.zeta, put, running_max, running_min,
    dft, scatter_add, cast, *INCOMPLETE,
)  # fmt: skip
"""Rules that tests of their own are about, as are the functions of the libraries."""


def test_that_every_rule_has_an_example_or_tests_of_its_own() -> None:
    assert {example.rule for example in EXAMPLES} >= set(Rounded.rules) - set(FUNCTIONS) - set(ELSEWHERE)


@each_example
def test_that_the_example_uses_its_rule(example: Example, monkeypatch: pytest.MonkeyPatch) -> None:
    def used(*args: Any, **kwargs: Any) -> Any:
        raise LookupError(example.rule.__name__)

    monkeypatch.setitem(Rounded.rules, example.rule, used)
    with pytest.raises(LookupError):
        example.function(*(Rounded.stored(np.ones((2, 2)), model("float32")) for _ in example.ranges))


@each_example
@settings(max_examples=30, deadline=None, derandomize=True)
@given(data=st.data(), dtype=st.sampled_from(sorted(DTYPES)))
def test_that_a_radius_encloses_programs_and_the_truth(example: Example, data: st.DataObject, dtype: str) -> None:
    pairs = data.draw(drawn(example, dtype))
    assert not escaped(example, dtype, pairs)
    assert not truth_escaped(example, pairs)


@each_example
@pytest.mark.parametrize("share", SHARES)
@pytest.mark.parametrize(("dtype", "seed"), list(zip(DTYPES, range(4), strict=True)))
def test_that_a_radius_encloses_programs_at_a_thousand_points(
    example: Example, dtype: str, seed: int, share: float
) -> None:
    assert not escaped(example, dtype, dense(example, dtype, seed, 1000, share))


@each_example
@pytest.mark.parametrize(("dtype", "seed"), [("float64", 10), ("float32", 11)])
def test_that_a_radius_encloses_the_truth_at_fifty_points(example: Example, dtype: str, seed: int) -> None:
    assert not truth_escaped(example, dense(example, dtype, seed, 50, 0.0))


def test_that_a_truth_outside_the_radius_is_found() -> None:
    shifted = one(lambda x: np.exp(x) * (1 + 2.0**-19 * isinstance(x, Ball)))
    assert truth_escaped(shifted, dense(shifted, "float32", 12, 1, 0.0))


@each_example
def test_that_half_of_an_inherited_radius_is_too_little(example: Example) -> None:
    trials = [
        dense(example, "float32", 3, count, share, sides)
        for count, share, sides in itertools.product([1, 200], [2.0**-6, 1.75], [(-1.0, 1.0), (1.0,), (-1.0,)])
    ]
    assert any(escaped(example, "float32", pairs, scale=0.5) for pairs in trials)


@each_example
def test_that_a_rule_without_its_own_rounding_is_found(example: Example, monkeypatch: pytest.MonkeyPatch) -> None:
    """Either the rule never rounds, or taking its rounding away lets a program escape."""
    for module in (functions_module, model_module):
        monkeypatch.setattr(module, "LIBRARY", 0)
    monkeypatch.setattr(rounded_module, "DIVISION", 0)
    finer = Model(*[Format("finer", "finer", 34, 127, -126)] * 3)
    trials = [dense(example, "float32", 4, count, 0.0) for count in (1, 2, 200)]
    held = [[(Rounded.stored(member, finer), member) for _, member in pairs] for pairs in trials]
    assert any(escaped(example, "float32", pairs) for pairs in held) != example.exact
