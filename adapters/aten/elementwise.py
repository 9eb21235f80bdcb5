"""Elementwise operations and activations."""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np
from scipy import special

from gradagree.adapters.aten.table import ATEN, aten, is_complex
from gradagree.adapters.program import floating, next_after
from gradagree.reference.operations import composites
from gradagree.reference.operations.moves import stop_gradient
from gradagree.reference.operations.primitive import midpoints

UNARY: dict[str, Any] = {
    "abs": np.abs, "acos": np.arccos, "acosh": np.arccosh, "asin": np.arcsin, "asinh": np.arcsinh, "atan": np.arctan,
    "atanh": np.arctanh, "ceil": np.ceil, "cos": np.cos, "cosh": np.cosh, "digamma": special.digamma,
    "erf": special.erf, "erfc": special.erfc, "erfinv": special.erfinv, "exp": np.exp, "exp2": np.exp2,
    "expm1": np.expm1, "floor": np.floor, "isfinite": np.isfinite, "isinf": np.isinf, "isnan": np.isnan,
    "lgamma": special.gammaln, "log": np.log, "log10": np.log10, "log1p": np.log1p, "log2": np.log2,
    "log_sigmoid": special.log_expit, "logical_not": np.logical_not, "bitwise_not": np.invert, "neg": np.negative,
    "reciprocal": np.reciprocal, "sgn": np.sign, "sigmoid": special.expit, "sign": np.sign, "signbit": np.signbit,
    "sin": np.sin, "sinc": np.sinc, "sinh": np.sinh, "sqrt": np.sqrt, "square": np.square, "tan": np.tan,
    "tanh": np.tanh, "trunc": np.trunc, "special_i0": special.i0, "i0": special.i0, "special_i0e": special.i0e,
    "special_i1": special.i1, "special_i1e": special.i1e, "special_ndtr": special.ndtr,
    "special_ndtri": special.ndtri, "special_log_ndtr": special.log_ndtr, "special_erfcx": special.erfcx,
    "special_entr": special.entr, "deg2rad": np.deg2rad, "rad2deg": np.rad2deg, "positive": np.positive,
}  # fmt: skip
BINARY: dict[str, Any] = {
    "mul": np.multiply, "maximum": np.maximum, "minimum": np.minimum, "fmax": np.maximum, "fmin": np.minimum,
    "atan2": np.arctan2, "hypot": np.hypot, "logaddexp2": np.logaddexp2,
    "fmod": np.fmod, "remainder": np.remainder, "floor_divide": np.floor_divide, "copysign": np.copysign,
    "xlogy": special.xlogy, "special_xlog1py": special.xlog1py, "eq": np.equal, "ne": np.not_equal,
    "lt": np.less, "le": np.less_equal, "gt": np.greater, "ge": np.greater_equal, "logical_and": np.logical_and,
    "logical_or": np.logical_or, "logical_xor": np.logical_xor, "bitwise_and": np.bitwise_and,
    "bitwise_or": np.bitwise_or, "bitwise_xor": np.bitwise_xor, "heaviside": np.heaviside,
}  # fmt: skip
for name, function in (UNARY | BINARY).items():
    aten(name)(function)


@aten("getitem")
def item(x: Any, index: int) -> Any:
    return x[index]


ATEN["getitem"] = item


@aten("clone", "alias", "contiguous", "lift_fresh", "lift")
def same(x: Any, *_: Any, **__: Any) -> Any:
    return x


ATEN["aten.detach"] = stop_gradient


def dtype_name(dtype: Any) -> str:
    return str(dtype).removeprefix("torch.")


@aten("_to", "to")
def convert(x: Any, *, dtype: Any = None, source: Any = None, **_: Any) -> Any:
    """A change of dtype: floating-point numbers are rounded, truth values become 0 and 1, integers are cut.

    source is the dtype of x in the program.
    """
    if dtype is None:
        return x
    if dtype.is_floating_point or dtype.is_complex:
        return floating(x, dtype_name(dtype), None if source is None else dtype_name(source))
    kind: Any = np.bool_ if str(dtype) == "torch.bool" else np.int64
    return x != 0 if kind is np.bool_ else np.trunc(x).astype(kind)


ATEN["prims.convert_element_type"] = lambda x, dtype, source=None: convert(x, dtype=dtype, source=source)


@aten("add")
def add(x: Any, y: Any, *, alpha: Any = 1) -> Any:
    return x + (y if alpha == 1 else alpha * y)


@aten("sub")
def sub(x: Any, y: Any, *, alpha: Any = 1) -> Any:
    return x - (y if alpha == 1 else alpha * y)


@aten("rsub")
def rsub(x: Any, y: Any, alpha: Any = 1) -> Any:
    return y - (x if alpha == 1 else alpha * x)


@aten("div", "divide", "true_divide")
def div(x: Any, y: Any, *, rounding_mode: str | None = None) -> Any:
    found = x / y
    return found if rounding_mode is None else np.floor(found) if rounding_mode == "floor" else np.trunc(found)


@aten("pow")
def power(x: Any, y: Any) -> Any:
    return x**y


@aten("rsqrt")
def rsqrt(x: Any) -> Any:
    return 1 / np.sqrt(x)


@aten("frac")
def frac(x: Any) -> Any:
    return x - np.trunc(x)


@aten("round")
def round_(x: Any, *, decimals: int = 0) -> Any:
    return np.round(x, decimals)


@aten("logit", "special_logit")
def logit(x: Any, eps: float | None = None) -> Any:
    return special.logit(x if eps is None else np.clip(x, eps, 1 - eps))


@aten("nan_to_num")
def nan_to_num(x: Any, nan: Any = None, posinf: Any = None, neginf: Any = None) -> Any:
    """Without numbers for infinity, nothing is known of what replaces it: the largest number of the dtype."""
    x = np.where(np.isnan(x), nan or 0.0, x) if np.isnan(midpoints(x)).any() else x
    for found, given in ((np.inf, posinf), (-np.inf, neginf)):
        x = np.where(x == found, given, x) if given is not None and (midpoints(x) == found).any() else x
    return np.nan_to_num(x)


ATEN["aten.nextafter"] = ATEN["prims.nextafter"] = next_after


@aten("clamp", "clip")
def clamp(x: Any, min: Any = None, max: Any = None) -> Any:
    x = x if min is None else np.maximum(x, min)
    return x if max is None else np.minimum(x, max)


@aten("clamp_min")
def clamp_min(x: Any, min: Any) -> Any:
    return np.maximum(x, min)


@aten("clamp_max")
def clamp_max(x: Any, max: Any) -> Any:
    return np.minimum(x, max)


@aten("where")
def where(condition: Any, x: Any, y: Any) -> Any:
    return np.where(condition, x, y)


@aten("masked_fill")
def masked_fill(x: Any, mask: Any, value: Any) -> Any:
    return np.where(mask, value, x)


@aten("lerp")
def lerp(x: Any, y: Any, weight: Any) -> Any:
    """From the nearer end: x + weight (y - x), from a weight of 1/2 on y - (1 - weight) (y - x)."""
    step = y - x
    near, far = x + weight * step, y - (1 - weight) * step
    return np.where(np.abs(weight) < 0.5, near, far)


@aten("addcmul")
def addcmul(x: Any, a: Any, b: Any, *, value: Any = 1) -> Any:
    return x + value * (a * b)


@aten("addcdiv")
def addcdiv(x: Any, a: Any, b: Any, *, value: Any = 1) -> Any:
    return x + value * (a / b)


@aten("relu")
def relu(x: Any) -> Any:
    return np.maximum(x, 0.0)


@aten("gelu")
def gelu(x: Any, *, approximate: str = "none") -> Any:
    if approximate == "tanh":
        return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))
    z = x / np.sqrt(2)
    # 1 + erf(z) = erfc(-z): a program may compute either; the one with the larger library error stands here
    return 0.5 * x * np.where(z > -0.5, special.erfc(-z), 1 + special.erf(z))


@aten("silu")
def silu(x: Any) -> Any:
    return x * special.expit(x)


@aten("mish")
def mish(x: Any) -> Any:
    return x * np.tanh(np.logaddexp(x, 0.0))


@aten("logaddexp")
def logaddexp(x: Any, y: Any) -> Any:
    """log(e^x + e^y). That of complex numbers is x + log(1 + e^(y - x)), x the one of larger real part, which PyTorch
    leaves outside the principal branch.
    """
    if not (is_complex(x) or is_complex(y)):
        return np.logaddexp(x, y)
    first = np.real(x) >= np.real(y)
    larger, smaller = np.where(first, x, y), np.where(first, y, x)
    return larger + np.log(1 + np.exp(smaller - larger))


@aten("softplus")
def softplus(x: Any, beta: float = 1, threshold: float = 20) -> Any:
    return np.where(x * beta > threshold, x, np.logaddexp(x * beta, 0.0) / beta)


@aten("elu")
def elu(x: Any, alpha: float = 1, scale: float = 1, input_scale: float = 1) -> Any:
    return scale * np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0.0) * input_scale))


@aten("leaky_relu")
def leaky_relu(x: Any, negative_slope: float = 0.01) -> Any:
    return np.where(x > 0, x, negative_slope * x)


@aten("hardtanh")
def hardtanh(x: Any, low: float = -1, high: float = 1) -> Any:
    return np.clip(x, low, high)


@aten("log_sigmoid_forward")
def log_sigmoid_forward(x: Any) -> Any:
    """(log(1 / (1 + e^-x)), e^-|x|, which PyTorch keeps on a processor)."""
    return special.log_expit(x), np.exp(-np.abs(x))


@aten("_softmax", "softmax")
def softmax(x: Any, dim: int, *_: Any) -> Any:
    return composites.softmax(x, axis=dim) if np.ndim(x) else np.exp(x - x)


@aten("_log_softmax", "log_softmax")
def log_softmax(x: Any, dim: int, *_: Any) -> Any:
    return composites.log_softmax(x, axis=dim) if np.ndim(x) else x - x


@aten("_softmax_backward_data")
def softmax_backward(g: Any, y: Any, dim: int, *_: Any) -> Any:
    product = g * y
    return product - y * np.sum(product, axis=dim, keepdims=True)


@aten("polygamma", "special_polygamma")
def polygamma(n: int, x: Any) -> Any:
    """The n-th derivative of digamma: (-1)^(n+1) n! zeta(n + 1, x)."""
    if n == 0:
        return special.digamma(x)
    return (-1.0) ** (n + 1) * float(math.factorial(n)) * special.zeta(n + 1.0, x)


@aten("mvlgamma")
def mvlgamma(x: Any, p: int) -> Any:
    """log Gamma_p(x) = p (p - 1) / 4 log pi + sum_j log Gamma(x - j / 2)."""
    terms = [special.gammaln(x - j / 2) for j in range(p)]
    return functools.reduce(np.add, terms) + p * (p - 1) / 4 * math.log(math.pi)


@aten("angle")
def angle(x: Any) -> Any:
    return np.angle(x)


@aten("frexp")
def frexp(x: Any) -> Any:
    """(the mantissa, the exponent of 2)."""
    exponent = np.frexp(midpoints(x))[1]
    return x * np.ldexp(1.0, -exponent), exponent
