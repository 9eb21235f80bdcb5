"""Functions of single entries."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np
from scipy import special

from gradagree.adapters.lax.table import LAX, form, placed
from gradagree.adapters.program import floating, next_after
from gradagree.reference.operations.composites import tanh
from gradagree.reference.operations.incomplete import gammainc_by_order
from gradagree.reference.operations.moves import stop_gradient

FLOATS = (jnp.float64, jnp.float32, jnp.float16, jnp.bfloat16)
PLAIN: dict[str, Any] = {
    "abs": np.abs, "acos": np.arccos, "acosh": np.arccosh, "add": np.add, "add_any": np.add, "and": np.bitwise_and,
    "asin": np.arcsin, "asinh": np.arcsinh, "atan": np.arctan, "atan2": np.arctan2, "atanh": np.arctanh,
    "bessel_i0e": special.i0e, "bessel_i1e": special.i1e, "cbrt": np.cbrt, "ceil": np.ceil, "cos": np.cos,
    "cosh": np.cosh, "digamma": special.digamma, "div": np.divide, "eq": np.equal, "erf": special.erf,
    "erf_inv": special.erfinv, "erfc": special.erfc, "exp": np.exp, "exp2": np.exp2, "expm1": np.expm1,
    "floor": np.floor, "ge": np.greater_equal, "gt": np.greater, "igamma": special.gammainc,
    "igamma_grad_a": gammainc_by_order, "igammac": special.gammaincc, "is_finite": np.isfinite, "le": np.less_equal,
    "lgamma": special.gammaln, "log": np.log, "log1p": np.log1p, "lt": np.less,
    "max": np.maximum, "min": np.minimum, "mul": np.multiply, "ne": np.not_equal, "neg": np.negative,
    "not": np.invert, "or": np.bitwise_or, "pow": np.power, "regularized_incomplete_beta": special.betainc,
    "rem": np.fmod, "sign": np.sign, "sin": np.sin,
    "sinh": np.sinh, "sqrt": np.sqrt, "square": np.square, "sub": np.subtract, "tan": np.tan, "tanh": tanh,
    "xor": np.bitwise_xor,
}  # fmt: skip


def plain(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda params, *xs: function(*xs)


LAX.update({name: plain(function) for name, function in PLAIN.items()})


@form("copy", "copy_p", "pvary", "name", "sharding_constraint")
def same(params: Any, x: Any) -> Any:
    return x


@form("reduce_precision")
def reduce_precision(params: Any, x: Any) -> Any:
    """Numbers rounded to the format of these numbers of bits, in the dtype that they have."""
    bits = params["exponent_bits"], params["mantissa_bits"]
    kind = jnp.dtype(params["source"])
    to = next((str(jnp.dtype(t)) for t in FLOATS if (jnp.finfo(t).nexp, jnp.finfo(t).nmant) == bits), f"{bits} bits")
    return floating(floating(x, to, str(kind)), str(kind), to)


LAX.update({name: plain(f) for name, f in (("eq_to", np.equal), ("le_to", np.less_equal), ("lt_to", np.less))})
LAX["stop_gradient"] = plain(stop_gradient)
LAX["device_put"] = LAX["optimization_barrier"] = lambda params, *xs: list(xs)


@form("convert_element_type")
def convert(params: Any, x: Any) -> Any:
    if jnp.issubdtype(params["new_dtype"], jnp.inexact):
        return floating(x, str(jnp.dtype(params["new_dtype"])), params.get("source"))
    return x != 0 if jnp.dtype(params["new_dtype"]).kind == "b" else np.trunc(x).astype(np.int64)


@form("nextafter")
def nextafter(params: Any, x: Any, y: Any) -> Any:
    return next_after(x, y, str(jnp.dtype(params["source"])))


@form("round")
def round_(params: Any, x: Any) -> Any:
    """Half to even, or away from zero."""
    return np.rint(x) if int(params["rounding_method"]) == 1 else np.sign(x) * np.floor(np.abs(x) + 0.5)


@form("logistic")
def logistic(params: Any, x: Any) -> Any:
    return 1 / (1 + np.exp(-x)) if isinstance(x, np.ndarray) and x.dtype.kind == "c" else special.expit(x)


@form("rsqrt")
def rsqrt(params: Any, x: Any) -> Any:
    return 1 / np.sqrt(x)


MOST_FACTORS = 16
"""Integer powers of complex numbers up to this one are products."""


@form("integer_pow")
def integer_pow(params: Any, x: Any) -> Any:
    n = params["y"]
    if getattr(x, "dtype", np.dtype(float)).kind != "c" or abs(n) > MOST_FACTORS:
        return x**n
    product = functools.reduce(np.multiply, [x] * abs(n))
    return product if n > 0 else np.reciprocal(product)


@form("clamp")
def clamp(params: Any, low: Any, x: Any, high: Any) -> Any:
    return np.minimum(np.maximum(x, low), high)


@form("select_n")
def select_n(params: Any, which: Any, *cases: Any) -> Any:
    if len(cases) == 2:
        return np.where(which != 0 if getattr(which, "dtype", None) != np.bool_ else which, cases[1], cases[0])
    return functools.reduce(lambda found, k: np.where(which == k, cases[k], found), range(1, len(cases)), cases[0])


@placed("zeta")
def zeta(params: Any, operands: Any) -> Callable[..., Any] | None:
    """Hurwitz's zeta function, for one order."""
    orders = np.unique(operands[0])
    if orders.size != 1:
        return None
    order = float(orders[0])
    return lambda _, x: special.zeta(order, x)


@placed("polygamma")
def polygamma(params: Any, operands: Any) -> Callable[..., Any] | None:
    """(-1)^(m+1) m! zeta(m + 1, x), for one order m; programs compute the factorial as exp(lgamma(m + 1))."""
    orders = np.unique(operands[0])
    if orders.size != 1:
        return None
    m = int(orders[0])
    if m == 0:
        return lambda _, x: special.digamma(x)
    return lambda _, x: (-1) ** (m + 1) * np.exp(special.gammaln(0.0 * x + (m + 1.0))) * special.zeta(m + 1.0, x)
