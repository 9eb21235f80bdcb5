"""Functions that are written in terms of others are NumPy's: every argument is taken as NumPy takes it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from scipy import special

from gradagree.arithmetic import Ball, Dual, Rounded
from gradagree.arithmetic.ball import precision
from gradagree.arithmetic.duck import Duck
from gradagree.arithmetic.model import model
from gradagree.arithmetic.variance import Variance

FORM = model("float64")
X = np.array([[[0.5, -1.75, 2.25, 3.5], [1.25, 0.75, -0.5, 2.0]], [[-3.0, 1.5, 0.25, 4.0], [2.75, -2.5, 1.0, 0.125]]])
Y = np.flip(X) * 2 - 0.375
FORMULAS = """
np.var(x)  np.var(x, axis=0)  np.var(x, axis=(0, -1), keepdims=True)  np.var(x, axis=1, ddof=1)  np.var(x, 2, None)
np.std(x)  np.std(x, axis=1)  np.std(x, axis=(1, 2), ddof=2)  x.std(keepdims=True)  x.var(-1)
np.prod(x)  np.prod(x, axis=-1)  np.prod(x, axis=(0, 2))  np.prod(x, axis=1, keepdims=True)  np.multiply.reduce(x)
np.ptp(x)  np.ptp(x, axis=(0, 1))  np.ptp(x, -1, keepdims=True)  np.amax(x, 0)  np.amin(x, (0, 1))  np.min(x, -1)
np.cumsum(x)  np.cumsum(x, axis=0)  np.cumsum(x, -1)  np.cumprod(x)  np.cumprod(x, axis=1)  np.add.accumulate(x)
np.diff(x)  np.diff(x, 2)  np.diff(x, n=1, axis=1)  np.diff(x, axis=0)  np.sort(x)  np.sort(x, axis=0, kind="stable")
np.linalg.norm(x)  np.linalg.norm(x[0])  np.linalg.norm(x[0], "fro")  np.linalg.norm(x, axis=(0, 1), keepdims=True)
np.linalg.norm(x, axis=0)  np.linalg.norm(x, 1, axis=-1)  np.linalg.norm(x, 2, axis=1)  np.linalg.norm(x, 3, axis=-1)
np.linalg.norm(x, np.inf, axis=0)  np.linalg.norm(x, -np.inf, axis=-1)  np.linalg.norm(x[0, 0], 1)
np.average(x)  np.average(x, 1)  np.average(x, 1, [1.0, 3.0])  np.average(x, weights=y**2, axis=2, keepdims=True)
np.round(x, 1)  np.around(x)  np.rint(x)  np.floor(x)  np.ceil(x)  np.trunc(x)  np.sinc(x)  np.nan_to_num(x)
np.clip(x, -1, 1)  np.clip(x, None, 2.0)  np.clip(x, a_min=0.0, a_max=None)  np.clip(x, y, y + 1)  x.clip(-0.5, None)
np.select([x > 1, x > 0], [x, -x], 7.0)  np.select([y > 1, y > 0], [x, 2 * x])  np.where(x > y, x, 0.5)
np.piecewise(x, [x < 0, x > 1], [np.square, 3.0, np.exp])  np.piecewise(x, [y < 0, y < 2], [np.cos, 2.0])
np.piecewise(x, [x < 0], [lambda x, k: k * x, lambda x, k: k - x], 3.0)  np.piecewise(x[0, 0], x[0, 0] < 0, [1.0, 2.0])
np.polyval([2.0, -1.0, 0.5], x)  np.heaviside(x, 0.5)  np.copysign(3.0, x)  np.copysign(x, y)  np.deg2rad(x)
x % 1.5  x // 0.75  np.fmod(x, -1.5)  2.0 % x  x % y  divmod(x, 2.0)[0]  divmod(x, 2.0)[1]  np.rad2deg(x)
2.0**x  x ** np.array([0, 1, 2, 3])  np.abs(x) ** np.array([0.5, 1, -2, 3])  np.abs(x) ** y  x**3.0  x**-2
np.float_power(np.abs(x), 1.5)  np.hypot(x, y)  np.arctan2(x, y)  np.arctan2(x, 1.0)  np.logaddexp2(x, y)
special.huber(1.25, x)  special.pseudo_huber(0.75, x)  special.huber(np.abs(y), x)  special.exp10(x)
special.entr(np.abs(x))  special.rel_entr(np.abs(x), np.abs(y))  special.kl_div(np.abs(y), np.abs(x))
special.boxcox(np.abs(x), 0.0)  special.boxcox(np.abs(x), np.array([0.0, 1.0, -0.5, 2.0]))  special.boxcox1p(x**2, 1.5)
special.xlogy(y, np.abs(x))  special.xlogy(0.0, np.abs(x))  special.xlog1py(x, np.abs(y))  special.zeta(3.0, np.abs(x))
np.logaddexp.reduce(x, axis=-1)  np.logaddexp.reduce(x, axis=(0, 1), keepdims=True)  np.logaddexp.reduce(x)
np.dot(x[0], y[0].T)  np.dot(x, y[0, 0])  np.dot(x, y[0].T)  np.dot(x, 2.0)  x.dot(y[0].T)  np.inner(x, y)
np.inner(x[0], y[0, 1])  np.outer(x, y[0])  np.vdot(x, y)  np.trace(x)  np.trace(x, 1, 1, 2)  x.trace()
np.tensordot(x, np.moveaxis(y, 0, -1), 2)  np.tensordot(x, y, axes=([0, 2], [0, 2]))  np.tensordot(x, y, (1, 0))
np.tensordot(x[0], y, 0)  np.einsum("i,i->", x[0, 0], y[0, 1])
np.einsum("bij,bkj->bik", x, y)  np.einsum("bij,kj->bik", x, y[0])  np.einsum("bij->b", x)  np.einsum("bij->jb", x)
np.einsum("ij,ij->", x[0], y[0])  np.einsum("ij,ij->ij", x[0], y[0])  np.einsum("i,j->ij", x[0, 0], y[0, 1])
np.einsum("ij,jk", x[0], y[0].T)  np.einsum("bij,ck->ki", x, y[0])  np.einsum("ij,ij->j", x[0], y[0], optimize=True)
np.einsum("ij,i->j", x[0], y[0, :, 0])  np.einsum("ba", x[0])  np.einsum("ij,ij,ij->i", x[0], y[0], x[1])
np.einsum("ii", x[0, :, :2])  np.einsum("iij->ji", x[:, :, :2])  np.einsum("...j->...", x)
np.einsum("...ij,...kj", x, y[0])  np.median(x)
np.einsum(x, [0, 1, 2], y, [0, 1, 3], [2, 3])  np.einsum("ij,ij->i", x[0, :, :1], y[0])
np.median(x, axis=(0, 2))  np.median(x, axis=1, keepdims=True)  np.partition(x, 3)[..., 3]  np.maximum.accumulate(x, 1)
np.minimum.accumulate(x)  np.logaddexp.accumulate(x, axis=-1)  np.pad(x, 1, constant_values=(1, 2))
np.matmul(x, np.swapaxes(y, 1, 2))
"""
CALLS = [call for line in FORMULAS.strip().split("\n") for call in line.split("  ")]
MADE: dict[str, Callable[[Any], Any]] = {
    "rounded": lambda x: Rounded.stored(x, FORM), "ball": Ball.exact, "dual": Dual.variable,
    "variance": lambda x: Variance.stored(x, FORM),
    "dual over rounded": lambda x: Dual.variable(Rounded.stored(x, FORM)),
}  # fmt: skip
each_call = pytest.mark.parametrize("call", CALLS)


@pytest.fixture(autouse=True)
def working_precision() -> Iterator[None]:
    with precision(200):
        yield


def called(call: str, make: Callable[[Any], Any] = np.asarray) -> Any:
    return eval(call, {"np": np, "special": special, "x": make(X), "y": Y})


def centre(x: Any) -> np.ndarray:
    while isinstance(x, Duck):
        x = x.middle if isinstance(x, Ball) else x._parts()[0]
    return np.asarray(x)


def far(found: Any, bound: Any, expected: Any) -> bool:
    """Whether an answer differs from NumPy's by more than the radius that float64's own rounding has."""
    radius = getattr(bound, "radius", 0.0)
    return centre(found).shape != np.shape(expected) or not (np.abs(centre(found) - expected) <= radius).all()


@each_call
@pytest.mark.parametrize("kind", MADE)
def test_that_the_answer_is_numpys(kind: str, call: str) -> None:
    found, bound, expected = called(call, MADE[kind]), called(call, MADE["rounded"]), called(call)
    assert isinstance(found, Duck) or not isinstance(bound, Duck)
    assert np.isfinite(getattr(bound, "radius", 0.0)).mean() > 0.5
    assert not far(found, bound, np.where(np.isfinite(getattr(bound, "radius", 0.0)), expected, centre(found)))


@each_call
def test_that_an_answer_off_by_a_little_is_found(call: str) -> None:
    found, expected = called(call, MADE["rounded"]), called(call)
    radius = np.nan_to_num(getattr(found, "radius", 0.0), nan=0.0, posinf=0.0)
    assert far(found, found, np.nextafter(expected + 2 * radius, np.inf))
    assert far(found, found, np.asarray(expected)[None])


@each_call
def test_that_grid_numbers_are_added_and_multiplied_without_rounding(call: str) -> None:
    if any(name in call for name in ("dot", "inner", "outer", "einsum", "trace", "matmul", "cumsum", "diff", "sort")):
        assert not called(call, MADE["rounded"]).radius.any()
        assert np.array_equal(called(call, MADE["rounded"]).value, called(call))
