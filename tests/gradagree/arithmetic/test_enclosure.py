"""Every rule of rounded arithmetic and every derived function encloses the truth at each point within its operands."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Any

import flint
import ml_dtypes
import numpy as np
import pytest
from scipy import special

from gradagree.arithmetic import Ball, Rounded, model as model_module, rounded_library as rounded_functions
from gradagree.arithmetic.ball import lift, precision
from gradagree.arithmetic.duck import Duck
from gradagree.arithmetic.model import model
from gradagree.arithmetic.rounded import COMPARISONS
from gradagree.arithmetic.rounded_library import FUNCTIONS
from gradagree.arithmetic.structural import JOINING, SHAPES, SPLITTING, STRUCTURAL
from gradagree.reference.operations.casts import cast
from gradagree.reference.operations.complex_numbers import join_parts
from gradagree.reference.operations.fourier import dft, root_of, unit_circle
from gradagree.reference.operations.incomplete import betainc_by_order, gammainc_by_order
from gradagree.reference.operations.linalg import complex_lu_factors, lu_factors
from gradagree.reference.operations.scatter import put, scatter_add

BITS = 200
SHAPE = (4, 6)
ANY, POSITIVE, UNIT, SHARE, ABOVE = (-4.0, 4.0), (2.0**-4, 6.0), (-0.9, 0.9), (0.05, 0.95), (1.1, 8.0)
SHARES = (0.0, 2.0**-20, 2.0**-6, 0.4, 1.5)
TYPES = {"float64": np.float64, "float32": np.float32, "bfloat16": ml_dtypes.bfloat16}
DTYPES = tuple(TYPES)
TRUTHS = (np.isfinite, np.isinf, np.isnan, np.signbit)
PLACES = (np.argmax, np.argmin, np.argsort)
MOVES = {
    *STRUCTURAL, *SPLITTING, *JOINING, *SHAPES, np.atleast_1d, np.atleast_2d, np.atleast_3d, np.hstack, np.vstack,
    np.dstack, np.column_stack, np.append, np.broadcast_arrays, np.pad, np.tril, np.triu, np.nan_to_num, cast,
}  # fmt: skip
"""Functions that only move or convert numbers, which other tests are about."""

DOMAINS: dict[tuple[float, float], tuple[Any, ...]] = {
    POSITIVE: (
        np.log, np.log2, np.log10, np.sqrt, special.digamma, special.gamma, special.gammaln, np.reciprocal,
        special.entr, special.rel_entr, special.kl_div, special.xlogy, np.power, special.zeta, special.boxcox,
        special.boxcox1p, special.exp1, special.expi, special.gammainc, special.gammaincc, gammainc_by_order,
    ),
    UNIT: (np.arccos, np.arcsin, np.arctanh, special.erfinv, np.log1p, np.tan, special.xlog1py),
    SHARE: (special.betainc, betainc_by_order, special.logit, special.ndtri, special.erfcinv),
    ABOVE: (np.arccosh,),
}  # fmt: skip
BINARY = (
    np.add, np.subtract, np.multiply, np.divide, np.maximum, np.minimum, np.power, np.hypot, np.arctan2, np.logaddexp,
    np.logaddexp2, np.copysign, np.heaviside, np.remainder, np.fmod, np.floor_divide, special.xlogy, special.xlog1py,
    special.rel_entr, special.kl_div, special.gammainc, special.gammaincc, gammainc_by_order, np.outer, np.inner,
    np.vdot,
)  # fmt: skip
ALONG = (
    np.sum, np.mean, np.max, np.min, np.ptp, np.prod, np.cumsum, np.cumprod, np.sort, np.var, np.std, np.diff,
    np.average,
)  # fmt: skip
OTHERS: dict[Any, tuple[int, Callable[..., Any]]] = {
    np.matmul: (2, lambda x, y: x @ y.T), np.dot: (2, lambda x, y: np.dot(x, y.T)), np.trace: (1, np.trace),
    np.tensordot: (2, lambda x, y: np.tensordot(x, y, ([0], [0]))), np.linalg.norm: (1, np.linalg.norm),
    np.einsum: (2, lambda x, y: np.einsum("ij,kj->ik", x, y)), np.clip: (1, lambda x: np.clip(x, -1.0, 2.5)),
    np.where: (2, lambda x, y: np.where(x > 0.5, x, y)), np.divmod: (2, lambda x, y: np.stack(np.divmod(x, y))),
    np.select: (2, lambda x, y: np.select([x > 1, y > 1], [x, y], -1.0)), np.round: (1, lambda x: np.round(x, 1)),
    np.piecewise: (1, lambda x: np.piecewise(x, [x < 0, x > 1], [np.exp, np.cos, 0.5])), np.around: (1, np.around),
    np.polyval: (1, lambda x: np.polyval([1.0, -2.0, 0.1], x)), special.zeta: (1, lambda x: special.zeta(2.5, x)),
    special.huber: (1, lambda x: special.huber(1.5, x)), special.boxcox: (1, lambda x: special.boxcox(x, 0.3)),
    special.pseudo_huber: (1, lambda x: special.pseudo_huber(1.5, x)), special.exp10: (1, special.exp10),
    special.betainc: (3, special.betainc), betainc_by_order: (3, betainc_by_order),
    special.boxcox1p: (1, lambda x: special.boxcox1p(x, -0.7)),
    **{getattr(np, name): (2, getattr(np, name)) for name in ("vecdot",) if hasattr(np, name)},
    special.logsumexp: (1, lambda x: np.logaddexp.reduce(x, axis=-1)),
    **{f: (2, lambda x, y, f=f: np.where(f(x, y), x, y)) for f in COMPARISONS},
    **{f: (1, lambda x, f=f: f(x[:2, :2] + 9 * np.eye(2))) for f in (np.linalg.inv, np.linalg.det, np.linalg.cholesky)},
    complex_lu_factors: (1, lambda x: complex_lu_factors(np.stack([x[:3, :2] + 9 * np.eye(3, 2), x[:3, :2]]))),
    lu_factors: (1, lambda x: lu_factors(x[:3, :2] + 9 * np.eye(3, 2))),
    scatter_add: (1, lambda x: scatter_add(x, np.arange(24).reshape(4, 6) % 5, (5,))),
    dft: (2, lambda x, y: dft(np.stack([x, y]))),
    put: (2, lambda x, y: put(x, (slice(1, 3),), y[:2])), np.partition: (1, lambda x: np.partition(x, 2, axis=-1)),
    np.linalg.solve: (2, lambda x, y: np.linalg.solve(x[:2, :2] + 9 * np.eye(2), y[:2])),
}  # fmt: skip


def example(rule: Any) -> tuple[int, Callable[..., Any]]:
    """How many operands a function has here, and a call of it."""
    if rule in OTHERS:
        return OTHERS[rule]
    if rule in ALONG:
        return 1, lambda x: rule(x, axis=-1)
    return (2 if rule in BINARY else 1), rule


def domain(rule: Any) -> tuple[float, float]:
    return next((ends for ends, rules in DOMAINS.items() if rule in rules), ANY)


COMPLEX = {
    *(getattr(np.fft, name) for name in np.fft.__all__ if callable(getattr(np.fft, name))), np.imag, np.angle,
    join_parts, root_of, unit_circle,
}  # fmt: skip
"""Functions of complex numbers, or for them, which tests of their own are about; `dft` is that of all transforms."""
RULES = [rule for rule in {**Rounded.rules, **Duck.derived} if rule not in (*MOVES, *TRUTHS, *PLACES, *COMPLEX)]
each_rule = pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)

Operands = list[tuple[Rounded, Ball]]


def operands(rule: Any, dtype: str, share: float) -> Operands:
    """Numbers of the dtype whose radii are a share of them, and exact numbers within, some at the ends."""
    rng = np.random.default_rng(zlib.crc32(f"{rule.__name__} {dtype} {share}".encode()))
    made = []
    for _ in range(example(rule)[0]):
        x = rng.uniform(*domain(rule), SHAPE)
        x = np.where(rng.random(SHAPE) < 0.2, np.round(x * 8) / 8, x) if domain(rule) == ANY else x
        x = x.astype(TYPES[dtype]).astype(np.float64)
        side = rng.choice([-1.0, -0.4, 0.0, 1.0], SHAPE) * (1 - 2.0**-30)
        made.append((Rounded(x, share * np.abs(x), model(dtype)), Ball.exact(x + side * share * np.abs(x))))
    return made


def escaped(rule: Any, dtype: str, share: float, scale: float = 1.0) -> tuple[int, int]:
    """How many true answers are proved to lie outside a share of the radius, and how many radii say something."""
    pairs, function = operands(rule, dtype, share), example(rule)[1]
    with np.errstate(all="ignore"):
        found = function(*(x for x, _ in pairs))
    with precision(BITS):
        truth = np.ravel(lift(function(*(member for _, member in pairs))).balls)
        triples = zip(truth, found.value.ravel(), found.radius.ravel(), strict=True)
        finite = [(y, flint.arb(float(v)), flint.arb(scale * float(r))) for y, v, r in triples if np.isfinite(r)]
        return sum(bool(abs(y - v) > r) or not y.is_finite() for y, v, r in finite), len(finite)


@each_rule
@pytest.mark.parametrize("share", SHARES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_that_a_radius_encloses_the_truth_at_each_point(rule: Any, dtype: str, share: float) -> None:
    assert escaped(rule, dtype, share)[0] == 0


@each_rule
@pytest.mark.parametrize("dtype", DTYPES)
def test_that_most_radii_say_something(rule: Any, dtype: str) -> None:
    said = [escaped(rule, dtype, share)[1] for share in SHARES[:3]]
    assert sum(said) > 0.8 * len(said) * max(said)


@each_rule
def test_that_an_eighth_of_a_radius_is_too_little(rule: Any) -> None:
    assert any(escaped(rule, dtype, share, 1 / 8)[0] for dtype in DTYPES for share in SHARES)


LIBRARIES = [f for f in (*FUNCTIONS, np.hypot, np.arctan2, special.zeta) if f not in (np.log1p, np.arctanh)]
"""Functions that have no other error than the library's; two have an accuracy of their own."""


@pytest.mark.parametrize("rule", LIBRARIES, ids=lambda rule: rule.__name__)
def test_that_a_radius_without_the_librarys_own_error_is_too_little(rule: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert escaped(rule, "float64", 0.0)[0] == 0
    for module in (rounded_functions, model_module):
        monkeypatch.setattr(module, "LIBRARY", 0)
    assert escaped(rule, "float64", 0.0)[0] > 0


def test_that_every_function_of_the_arithmetics_is_tested() -> None:
    assert set(RULES) >= {*Rounded.rules, *Duck.derived} - MOVES - COMPLEX - {*TRUTHS, *PLACES}
    assert not {*OTHERS, *ALONG, *BINARY} - set(RULES)
