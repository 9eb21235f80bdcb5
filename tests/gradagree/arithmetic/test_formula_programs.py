"""Functions of several numbers, and along axes, enclose what torch and jax give."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import pytest
from scipy import special

from gradagree.arithmetic import Rounded
from gradagree.arithmetic.model import FORMATS

PROGRAMS = [
    *((program, dtype) for program in ("torch", "jax") for dtype in FORMATS),
    *(("jax-jit", dtype) for dtype in ("float16", "bfloat16")),
]
"""Compiled, formulas of 16 bits may keep more digits on the way."""
POSITIVE = (2.0**-6, 8.0)
ANY = (-8.0, 8.0)


class Formula(NamedTuple):
    """A function in NumPy, torch and jax (None where there is none), and where its operands lie."""

    numpy: str
    torch: str | None
    jax: str | None
    x: tuple[float, float] = ANY
    y: tuple[float, float] = ANY


FORMULAS = [
    Formula("np.hypot(x, y)", "hypot(x, y)", "jnp.hypot(x, y)"),
    Formula("np.arctan2(x, y)", "arctan2(x, y)", "jnp.arctan2(x, y)"),
    Formula("np.logaddexp2(x, y)", "logaddexp2(x, y)", "jnp.logaddexp2(x, y)"),
    Formula("np.power(x, y)", "pow(x, y)", "jnp.power(x, y)", POSITIVE),
    Formula("special.xlogy(x, y)", "xlogy(x, y)", "js.xlogy(x, y)", ANY, POSITIVE),
    Formula("special.xlog1py(x, y)", "special.xlog1py(x, y)", "js.xlog1py(x, y)", ANY, POSITIVE),
    Formula("special.rel_entr(x, y)", None, "js.rel_entr(x, y)", POSITIVE, POSITIVE),
    Formula("special.kl_div(x, y)", None, "js.kl_div(x, y)", POSITIVE, POSITIVE),
    Formula("special.entr(x)", "special.entr(x)", "js.entr(x)", POSITIVE),
    Formula("special.zeta(2.0, x)", None, "js.zeta(jnp.full_like(x, 2), x)", POSITIVE),
    Formula("special.huber(1.5, x)", "nn.functional.huber_loss(x, 0 * x, reduction='none', delta=1.5)", None),
    Formula("x % y", "remainder(x, y)", "jnp.remainder(x, y)"),
    Formula("np.fmod(x, y)", "fmod(x, y)", "jnp.fmod(x, y)"),
    Formula("x // y", "floor_divide(x, y)", "jnp.floor_divide(x, y)"),
    Formula("np.copysign(x, y)", "copysign(x, y)", "jnp.copysign(x, y)"),
    Formula("np.heaviside(x, y)", "heaviside(x, y)", "jnp.heaviside(x, y)"),
    Formula("np.rint(x)", "round(x)", "jnp.rint(x)"),
    Formula("np.trunc(x)", "trunc(x)", "jnp.trunc(x)"),
    Formula("np.floor(x)", "floor(x)", "jnp.floor(x)"),
    Formula("np.ceil(x)", "ceil(x)", "jnp.ceil(x)"),
    Formula("np.deg2rad(x)", "deg2rad(x)", "jnp.deg2rad(x)"),
    Formula("np.rad2deg(x)", "rad2deg(x)", "jnp.rad2deg(x)"),
    Formula("np.sort(x)", "sort(x)[0]", "jnp.sort(x)"),
    Formula("np.diff(x)", "diff(x)", "jnp.diff(x)"),
    Formula("np.cumsum(x, 1)", "cumsum(x, 1)", "jnp.cumsum(x, 1)"),
    Formula("np.cumprod(x, 1)", "cumprod(x, 1)", "jnp.cumprod(x, 1)", (-1.5, 1.5)),
    Formula("np.prod(x, 1)", "prod(x, 1)", "jnp.prod(x, 1)", (-1.5, 1.5)),
    Formula("np.logaddexp.reduce(x, axis=1)", "logsumexp(x, 1)", "js.logsumexp(x, 1)"),
    Formula("np.var(x, 1)", "var(x, 1, correction=0)", "jnp.var(x, 1)"),
    Formula("np.std(x, axis=1, ddof=1)", "std(x, 1)", "jnp.std(x, 1, ddof=1)"),
    Formula("np.linalg.norm(x, axis=1)", "linalg.norm(x, dim=1)", "jnp.linalg.norm(x, axis=1)"),
    Formula("np.linalg.norm(x, 1, axis=1)", "linalg.norm(x, 1, dim=1)", "jnp.linalg.norm(x, 1, axis=1)"),
    Formula("np.linalg.norm(x, 3, axis=1)", "linalg.norm(x, 3, dim=1)", "jnp.linalg.norm(x, 3, axis=1)"),
    Formula("np.einsum('ij,kj->ik', x, y)", "einsum('ij,kj->ik', x, y)", "jnp.einsum('ij,kj->ik', x, y)"),
    Formula("np.inner(x, y)", "inner(x, y)", "jnp.inner(x, y)"),
    Formula("np.outer(x[0], y)", "outer(x[0], y.ravel())", "jnp.outer(x[0], y)"),
    Formula("np.polyval([1.0, -2.0, 0.1], x)", None, "jnp.polyval(jnp.array([1.0, -2.0, 0.1], x.dtype), x)"),
]
each_formula = pytest.mark.parametrize("formula", FORMULAS, ids=lambda formula: formula.numpy)


def operands(hardware: Any, formula: Formula, dtype: str) -> list[np.ndarray]:
    """Numbers of the dtype: ordinary ones, ones on a grid, small ones, and in half of the rows nearly equal pairs."""
    rng, made = np.random.default_rng(len(formula.numpy)), []
    for low, high in (formula.x, formula.y):
        z = rng.uniform(low, high, (60, 20))
        z[:15] = np.clip(np.round(z[:15] * 4) / 4, low, high)
        z[15:30] = np.clip(z[15:30] * 2.0 ** rng.integers(-12, 1, (15, 20)), low, high)
        made.append(hardware.held(dtype, z))
    if formula.x == formula.y:
        made[1][::2] = np.clip(hardware.near(dtype, made[0][::2], 5), *formula.y)
    return made


def spelling(formula: Formula, program: str) -> Callable[..., Any] | None:
    text = formula.jax if program.startswith("jax") else formula.torch and f"torch.{formula.torch}"
    if text is None:
        return None
    names = {"torch": "torch", "jnp": "jax.numpy", "js": "jax.scipy.special"}
    homes = SimpleNamespace(**{name: importlib.import_module(at) for name, at in names.items() if f"{name}." in text})
    return lambda lib, x, y: (eval(text, {**vars(homes), "x": x, "y": y}),)


def outside(hardware: Any, formula: Formula, program: str, dtype: str, scale: float = 1.0) -> list[Any]:
    """Where a program's answer lies outside a share of the radius."""
    spelled, rules = spelling(formula, program), hardware.model(program, dtype)
    if spelled is None:
        return []
    xs = operands(hardware, formula, dtype)
    made = dict(zip("xy", (Rounded.stored(x, rules) for x in xs), strict=True))
    found = eval(formula.numpy, {"np": np, "special": special, **made})
    (observed,) = hardware.run(program, dtype, spelled, *xs)
    if isinstance(found, Rounded):
        found = Rounded(found.value, found.radius * scale, rules)
    return list(hardware.escaped(found, observed))


@each_formula
@pytest.mark.parametrize(("program", "dtype"), PROGRAMS)
def test_that_radii_enclose_what_frameworks_compute(hardware: Any, program: str, dtype: str, formula: Formula) -> None:
    assert outside(hardware, formula, program, dtype) == []


@each_formula
def test_that_a_hundredth_of_a_radius_is_too_little(hardware: Any, formula: Formula) -> None:
    never = ("sort", "copysign", "heaviside", "rint", "trunc", "floor", "ceil", "fmod")
    pairs = [(program, dtype) for program in ("torch", "jax") for dtype in ("float32", "bfloat16")]
    found = any(outside(hardware, formula, *pair, scale=0.01) for pair in pairs)
    assert found != any(name in formula.numpy for name in never)
