"""Library functions enclose what torch and jax give, at every number of 16 bits and densely elsewhere."""

from __future__ import annotations

import importlib
import itertools
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from scipy import special

from gradagree.arithmetic import Rounded, rounded_library as rounded_functions
from gradagree.arithmetic.rounded_library import FUNCTIONS, Library

PROGRAMS = {
    **dict.fromkeys(("float64", "float32"), ("torch", "torch-strided", "jax")),
    **dict.fromkeys(("float16", "bfloat16"), ("torch", "jax", "jax-jit")),
}
"""Compiled, formulas of 16 bits may keep more digits on the way."""
COUNT = 6000
INNER = {
    np.arccos: (-1, 1), np.arcsin: (-1, 1), np.arctanh: (-1, 1), special.erfinv: (-1, 1), np.log1p: (-1, 8),
    special.logit: (0, 1), special.ndtri: (0, 1), np.arccosh: (1, 9),
    **dict.fromkeys((np.log, np.log2, np.log10, np.sqrt, special.digamma, special.gamma, special.gammaln), (0, 9)),
    **dict.fromkeys((special.exp1, special.expi), (0, 9)),
}  # fmt: skip
"""Where a function is defined, or all of its kinds of numbers are."""
TORCH = {
    np.arccos: "acos", np.arccosh: "acosh", np.arcsin: "asin", np.arcsinh: "asinh", np.arctan: "atan",
    np.arctanh: "atanh", special.gammaln: "lgamma",
}  # fmt: skip
"""Functions that go by another name in torch."""
ABSENT = {
    "torch": (
        np.cbrt, special.gamma, special.exp1, special.expi, special.exprel, special.erfcinv, special.erfcx,
        special.ndtr,
    ),
    "jax": (special.exp1, special.expi, special.exprel, special.erfcinv, special.erfcx, special.log_ndtr),
}  # fmt: skip
"""Not there; or wrong, or without its digits in a tail: torch's ndtr, jax's erfcx and log_ndtr.

JAX's exponential integrals are tested with its programs.
"""
NARROW = {
    "torch": (special.log_ndtr, special.ndtri, special.erfcx),
    "jax": (special.ndtr, special.ndtri),
}
"""Not there in formats of 16 bits."""


def spelled(f: Any, lib: Any) -> Callable[[Any], Any]:
    """The framework's own function."""
    name = f.__name__
    if lib.__name__ == "jax.numpy":
        homes = [lib, *(importlib.import_module(f"jax.{home}") for home in ("scipy.special", "nn"))]
        name = {"log_expit": "log_sigmoid", "psi": "digamma"}.get(name, name)
    else:
        homes = [lib, lib.special, lib.nn.functional]
        name = TORCH.get(f, {"log_expit": "logsigmoid"}.get(name, name))
    return next(getattr(home, name) for home in homes if hasattr(home, name))


def numbers(f: Any, dtype: str) -> np.ndarray:
    """All numbers of a 16-bit format; of the others, many in the middle, near 0 and near the ends of the domain."""
    low, high = INNER.get(f, (-np.inf, np.inf))
    if dtype in ("float16", "bfloat16"):
        kind: Any = {"float16": np.float16, "bfloat16": ml_dtypes.bfloat16}[dtype]
        with np.errstate(invalid="ignore"):
            x = np.arange(65536, dtype=np.uint16).view(kind).astype(np.float64)
        return x[
            np.isfinite(x) & (x >= low) & (x <= high) & (np.abs(x) < 2.0**17) & ((np.abs(x) > 2.0**-60) | (x == 0))
        ]
    rng, ends = np.random.default_rng(7), np.clip([low, high], -30, 30)
    small = rng.choice([-1.0, 1.0], COUNT) * 2.0 ** rng.uniform(-40, 10, COUNT)
    near = np.array([*ends, 0.0, 1.0, 2.0, 0.5, -0.414, 89.0])[:, None] + small[::7] / 2**10
    x = np.concatenate([rng.uniform(*ends, COUNT), rng.uniform(-1, 3, COUNT), small, near.ravel()])
    return np.resize(x[(x > low) & (x < high)].astype(dtype).astype(np.float64), 4 * COUNT)


def outside(hardware: Any, program: str, dtype: str, f: Any) -> Iterator[tuple[float, float]]:
    """Numbers for which a program's answer lies outside the radius, and the answer."""
    x = numbers(f, dtype)
    with np.errstate(all="ignore"):
        found = f(Rounded.stored(x, hardware.model(program, dtype)))
    (observed,) = hardware.run(program, dtype, lambda lib, x: (spelled(f, lib)(x),), x)
    for k in hardware.escaped(found, observed):
        yield float(x[k]), float(observed[k])


def runs() -> list[tuple[str, str, Any]]:
    made = []
    for dtype, f in itertools.product(PROGRAMS, (*FUNCTIONS, special.gamma)):
        for program in PROGRAMS[dtype]:
            name = program.split("-")[0]
            if f not in ABSENT[name] and not (dtype in ("float16", "bfloat16") and f in NARROW[name]):
                made.append((program, dtype, f))
    return made


@pytest.mark.parametrize(("program", "dtype", "f"), runs(), ids=lambda x: getattr(x, "__name__", x))
def test_that_radii_enclose_what_frameworks_compute(hardware: Any, program: str, dtype: str, f: Any) -> None:
    assert list(itertools.islice(outside(hardware, program, dtype, f), 3)) == []


WEAKER: list[tuple[Any, dict[str, Any], str, str]] = [
    (np.exp2, {"backward": 0}, "jax", "bfloat16"), (np.sinh, {"backward": 0}, "jax", "float64"),
    (np.sinh, {"peak": None}, "torch", "float32"), (np.cosh, {"backward": 0}, "jax", "float32"),
    (special.i0, {"peak": None}, "jax", "float16"), (special.i1, {"forward": 1}, "torch", "float32"),
    (special.i1e, {"forward": 1}, "jax", "float32"), (np.log1p, {"accuracy": 0}, "jax", "float64"),
    (np.arctanh, {"accuracy": 0}, "jax", "float64"), (special.erf, {"narrow": 0}, "torch", "bfloat16"),
    (special.gammaln, {"absolute": 0}, "jax", "float32"), (special.digamma, {"backward": 0}, "jax", "float32"),
    (special.logit, {"backward": 0}, "torch", "float32"), (special.erfinv, {"backward": 0}, "jax", "float32"),
    (special.erfc, {"backward": 0}, "jax", "float32"), (np.sinc, {"backward": 0}, "torch", "float32"),
    (np.sinc, {"peak": None}, "jax", "float16"), (np.exp, {"half": 0}, "torch", "bfloat16"),
    (special.expit, {"half": 2}, "jax", "bfloat16"), (np.log2, {"half": 2}, "jax", "float16"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("f", "weaker", "program", "dtype"), WEAKER, ids=[f"{f.__name__}-{next(iter(w))}-{d}" for f, w, _, d in WEAKER]
)
def test_that_each_error_of_a_library_is_needed(
    hardware: Any, f: Any, weaker: dict[str, Any], program: str, dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: Library = replace(FUNCTIONS[f], **weaker)
    monkeypatch.setitem(Rounded.rules, f, rounded_functions.library(f, made))
    assert any(True for _ in outside(hardware, program, dtype, f))


WRONG = [
    (special.erfcx, "jax", "float64"), (special.erfcx, "jax", "float32"), (special.ndtr, "torch", "float64"),
    (special.ndtr, "torch", "float32"), (special.log_ndtr, "jax", "float64"), (special.log_ndtr, "jax", "float32"),
]  # fmt: skip


@pytest.mark.parametrize(("f", "program", "dtype"), WRONG, ids=lambda x: getattr(x, "__name__", x))
def test_that_functions_that_lose_their_digits_are_found(hardware: Any, f: Any, program: str, dtype: str) -> None:
    assert any(True for _ in outside(hardware, program, dtype, f))
