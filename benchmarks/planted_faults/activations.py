"""Faults in elementwise activations."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from benchmarks.planted_faults.planting import BOTH, Fault, Formula, elementwise, with_cotangent
from gradagree.reference.activations import (
    Elu,
    GeluTanh,
    Hardtanh,
    LeakyRelu,
    Prelu,
    Relu,
    Silu,
    Softplus,
    Softshrink,
    Softsign,
    Tanh,
)

ROOT = 0.7978845608028654
"""sqrt(2 / pi)"""
CUBIC = 0.044715
SMALLEST_NORMAL = {"bfloat16": 2.0**-126, "float16": 2.0**-14, "float32": 2.0**-126, "float64": 2.0**-1022}


def silu_derivative(m: Any, p: Any) -> Any:
    s = m.sigmoid(p)
    return s * (1 + p * (1 - s))


def leaky(m: Any, p: Any) -> Any:
    return m.where(p > 0, p, 0.01 * p)


def leaky_derivative(m: Any, p: Any) -> Any:
    return m.where(p > 0, m.full(p, 1), m.full(p, 0.01))


def elu_derivative(m: Any, p: Any) -> Any:
    return m.where(p > 0, m.full(p, 1), m.exp(m.clip(p, -1e4, 0)))


def elu_value(m: Any, p: Any) -> Any:
    return m.where(p > 0, p, m.expm1(m.clip(p, -1e4, 0)))


def hardtanh_derivative(m: Any, p: Any) -> Any:
    return m.where(m.abs(p) < 1, m.full(p, 1), m.full(p, 0))


def tanh_derivative(m: Any, p: Any) -> Any:
    y = m.tanh(p)
    return 1 - y * y


def gelu_value(m: Any, p: Any) -> Any:
    return 0.5 * p * (1 + m.tanh(ROOT * (p + CUBIC * p * p * p)))


def gelu_slope(m: Any, p: Any, root: float = ROOT, cubic: float = 3 * CUBIC) -> Any:
    y = m.tanh(ROOT * (p + CUBIC * p * p * p))
    return 0.5 * (1 + y) + 0.5 * p * (1 - y * y) * root * (1 + cubic * p * p)


def shrink_derivative(m: Any, p: Any) -> Any:
    return m.where(m.abs(p) > 0.5, m.full(p, 1), m.full(p, 0))


def shrink_value(m: Any, p: Any) -> Any:
    return m.where(p > 0.5, p - 0.5, m.where(p < -0.5, p + 0.5, m.full(p, 0)))


SILU = elementwise(Silu, lambda m, p: p * m.sigmoid(p), silu_derivative)
TANH = elementwise(Tanh, lambda m, p: m.tanh(p), tanh_derivative)
SOFTPLUS = elementwise(Softplus, lambda m, p: m.softplus(p), lambda m, p: m.sigmoid(p))
RELU = elementwise(
    Relu, lambda m, p: m.where(p > 0, p, m.full(p, 0)), lambda m, p: m.where(p > 0, m.full(p, 1), m.full(p, 0))
)
LEAKY = elementwise(LeakyRelu, leaky, leaky_derivative)
ELU = elementwise(Elu, elu_value, elu_derivative)
HARDTANH = elementwise(Hardtanh, lambda m, p: m.clip(p, -1.0, 1.0), hardtanh_derivative)
SOFTSIGN = elementwise(Softsign, lambda m, p: p / (1 + m.abs(p)), lambda m, p: 1 / ((1 + m.abs(p)) * (1 + m.abs(p))))
GELU = elementwise(GeluTanh, gelu_value, gelu_slope)
SHRINK = elementwise(Softshrink, shrink_value, shrink_derivative)


def prelu_cotangents(m: Any, g: Any, p: Any, a: Any) -> Any:
    a = m.cast(a, m.dtype(p))
    return m.where(p > 0, g, a * g), m.sum(m.where(p > 0, m.full(p, 0), g * p))


PRELU = Formula(
    Prelu,
    lambda m, p, a: m.where(p > 0, p, m.cast(a, m.dtype(p)) * p),
    prelu_cotangents,
    lambda m, dots, p, a: m.where(p > 0, dots[0], a * dots[0] + dots[1] * p),
)


def upstream() -> Iterator[Fault]:
    """The cotangent that arrives is not used as it is."""
    kind = "upstream cotangent"
    changes: dict[str, Callable[..., Any]] = {
        "cotangent ignored": lambda m, g, d, p: silu_derivative(m, p),
        "cotangent summed over all": lambda m, g, d, p: m.sum(g) * silu_derivative(m, p),
        "mean of the cotangent": lambda m, g, d, p: m.sum(g) / (g.shape[-1] * g.shape[-2]) * silu_derivative(m, p),
        "cotangent summed over rows": lambda m, g, d, p: m.sum(g, -2) * silu_derivative(m, p),
        "sign of the cotangent": lambda m, g, d, p: m.sign(g) * silu_derivative(m, p),
        "cotangent clipped at 1": lambda m, g, d, p: m.clip(g, -1.0, 1.0) * silu_derivative(m, p),
        "cotangent squared": lambda m, g, d, p: g * d,
    }
    for name, change in changes.items():
        yield Fault(kind, name, SILU, with_cotangent(SILU, change))


def sizes() -> Iterator[Fault]:
    """Wrong beyond a width or a batch size, as where a kernel handles a remainder of a block."""
    kind = "columns and rows"
    for width in (16, 32, 64, 128, 256):
        beyond = lambda m, g, d, p, width=width: m.where(m.columns(p) < width, d, 2 * d)  # noqa: E731
        yield Fault(kind, f"wrong beyond column {width}", SILU, with_cotangent(SILU, beyond))
    for batch in (32, 64):
        above = lambda m, g, d, p, batch=batch: m.where(m.rows(p) < batch, d, 0 * d)  # noqa: E731
        yield Fault(kind, f"wrong beyond row {batch}", SILU, with_cotangent(SILU, above))
    changes: dict[str, Callable[..., Any]] = {
        "last column of several": lambda m, g, d, p: m.where(
            (m.columns(p) == p.shape[-1] - 1) & (p.shape[-1] > 1), -d, d
        ),
        "last row of several": lambda m, g, d, p: m.where((m.rows(p) == p.shape[-2] - 1) & (p.shape[-2] > 1), 0 * d, d),
        "remainder of blocks of 4": lambda m, g, d, p: m.where(m.columns(p) < p.shape[-1] // 4 * 4, d, g),
        "only large batches": lambda m, g, d, p: 1.5 * d if p.shape[-2] > 32 else d,
        "only more than 64 columns": lambda m, g, d, p: -d if p.shape[-1] > 64 else d,
    }
    for name, change in changes.items():
        yield Fault(kind, name, SILU, with_cotangent(SILU, change))


def dtypes() -> Iterator[Fault]:
    """Wrong in one dtype, or evaluated in a narrower one."""
    kind = "dtypes"
    for dtype in ("bfloat16", "float16", "float32", "float64"):
        only = lambda m, g, d, p, dtype=dtype: 1.25 * d if m.dtype(p) == dtype else d  # noqa: E731
        yield Fault(kind, f"only in {dtype}", SILU, with_cotangent(SILU, only))
    narrower = {"float64": "float32", "float32": "bfloat16"}

    def in_narrower(m: Any, g: Any, d: Any, p: Any) -> Any:
        narrow = narrower.get(m.dtype(p), m.dtype(p))
        return g * m.cast(silu_derivative(m, m.cast(p, narrow)), m.dtype(p))

    yield Fault(kind, "derivative in the next narrower dtype", SILU, with_cotangent(SILU, in_narrower))
    rounded = lambda m, g, d, p: g * gelu_slope(m, p, 0.7979)  # noqa: E731
    yield Fault(kind, "constant with four digits", GELU, with_cotangent(GELU, rounded))
    constant = lambda m, g, d, p: g * gelu_slope(m, p, 0.79785 if m.dtype(p) == "float32" else ROOT)  # noqa: E731
    yield Fault(kind, "another constant in float32", GELU, with_cotangent(GELU, constant))


def inputs() -> Iterator[Fault]:
    """Wrong at subnormal, huge, saturated inputs and at zeros."""
    kind = "special inputs"

    def flushed(m: Any, g: Any, d: Any, p: Any) -> Any:
        return m.where((p != 0) & (m.abs(p) < SMALLEST_NORMAL[m.dtype(p)]), 0 * d, d)

    changes: dict[str, tuple[Formula, Callable[..., Any]]] = {
        "zero at subnormal inputs": (SILU, flushed),
        "zero at huge inputs": (SILU, lambda m, g, d, p: m.where(m.abs(p) > 2.0**14, 0 * d, d)),
        "not a number at huge inputs": (SOFTPLUS, lambda m, g, d, p: m.where(p > 2.0**14, d * float("nan"), d)),
        "saturates at 8": (SILU, lambda m, g, d, p: m.where(p < -8, 0 * d, d)),
        "sign in the tail": (SILU, lambda m, g, d, p: m.where(p < -9, -d, d)),
        "one beyond 20": (SOFTPLUS, lambda m, g, d, p: m.where(m.abs(p) > 20, g, d)),
        "negative zero": (TANH, lambda m, g, d, p: m.where((p == 0) & m.signbit(p), 0 * d, d)),
        "zero at zero": (SILU, lambda m, g, d, p: m.where(p == 0, 0 * d, d)),
        "tanh squared rounded to 1": (
            TANH, lambda m, g, d, p: m.where(m.abs(p) > 3, 0 * d, d)
        ),
        "overflow of the exponential": (
            SOFTSIGN, lambda m, g, d, p: m.where(m.abs(p) > 60, d * m.full(p, float("inf")) * 0, d)
        ),
    }  # fmt: skip
    for name, (right, change) in changes.items():
        yield Fault(kind, name, right, with_cotangent(right, change))


def branches() -> Iterator[Fault]:
    """Wrong in one branch, or at the point between two."""
    changes: dict[str, tuple[str, Formula, Callable[..., Any]]] = {
        "sign of the negative branch": ("branches", ELU, lambda m, g, d, p: m.where(p < 0, -d, d)),
        "slope inverted": ("branches", LEAKY, lambda m, g, d, p: m.where(p > 0, d, 100.0 * g)),
        "branches exchanged": ("branches", LEAKY, lambda m, g, d, p: m.where(p > 0, 0.01 * g, g)),
        "derivative of the clamp ignored": ("branches", HARDTANH, lambda m, g, d, p: g),
        "clamped on one side only": ("branches", HARDTANH, lambda m, g, d, p: m.where(p < 1, g, 0 * g)),
        "threshold misplaced": ("branches", SHRINK, lambda m, g, d, p: m.where(m.abs(p) > 0.25, g, 0 * g)),
        "2 at the kink of relu": ("kinks", RELU, lambda m, g, d, p: m.where(p == 0, 2 * g, d)),
        "-1 at the kink of relu": ("kinks", RELU, lambda m, g, d, p: m.where(p == 0, -g, d)),
        "0 at the kink of leaky_relu": ("kinks", LEAKY, lambda m, g, d, p: m.where(p == 0, 0 * g, d)),
        "-1 at the kinks of hardtanh": ("kinks", HARDTANH, lambda m, g, d, p: m.where(m.abs(p) == 1, -g, d)),
        "3 at the kinks of softshrink": ("kinks", SHRINK, lambda m, g, d, p: m.where(m.abs(p) == 0.5, 3 * g, d)),
    }
    for name, (kind, right, change) in changes.items():
        yield Fault(kind, name, right, with_cotangent(right, change))
    at_zero = with_cotangent(SILU, lambda m, g, d, p: m.where(p == 0, 0 * d, d))
    yield Fault("kinks", "false kink declared", SILU, at_zero, attributes={"kinks": (0.0,)})


def formulas() -> Iterator[Fault]:
    """Wrong everywhere."""
    kind = "formulas"
    changes: dict[str, tuple[Formula, Callable[..., Any]]] = {
        "factor of 2": (SILU, lambda m, g, d, p: 2 * d),
        "missing term": (SILU, lambda m, g, d, p: g * m.sigmoid(p)),
        "sign of a term": (SILU, lambda m, g, d, p: g * m.sigmoid(p) * (1 - p * (1 - m.sigmoid(p)))),
        "input in place of output": (TANH, lambda m, g, d, p: g * (1 - p * p)),
        "inner derivative forgotten": (GELU, lambda m, g, d, p: g * gelu_slope(m, p, cubic=CUBIC)),
        "relative error of 1e-4": (SOFTPLUS, lambda m, g, d, p: d * (1 + 1e-4)),
        "square forgotten": (SOFTSIGN, lambda m, g, d, p: g / (1 + m.abs(p))),
        "value in place of derivative": (SOFTPLUS, lambda m, g, d, p: g * m.softplus(p)),
    }
    for name, (right, change) in changes.items():
        yield Fault(kind, name, right, with_cotangent(right, change))


def tangents() -> Iterator[Fault]:
    """A wrong jvp beside a right vjp; in jax, where the one follows from the other, a wrong custom_jvp."""
    kind = "forward mode"
    changes: dict[str, Callable[..., Any]] = {
        "jvp with a factor of 2": lambda m, dots, p: 2 * dots[0] * silu_derivative(m, p),
        "jvp without the tangent": lambda m, dots, p: silu_derivative(m, p) + 0 * dots[0],
        "jvp wrong at zero": lambda m, dots, p: dots[0] * m.where(p == 0, m.full(p, -0.3), silu_derivative(m, p)),
        "jvp wrong in the tail": lambda m, dots, p: dots[0] * m.where(p < -6, m.full(p, 0), silu_derivative(m, p)),
    }
    for name, change in changes.items():
        frameworks = ("torch",) if "without" in name else BOTH
        yield Fault(kind, name, SILU, replace(SILU, tangent=change), frameworks, by_jvp=True)


def parameters() -> Iterator[Fault]:
    """Wrong derivatives with respect to a parameter."""
    kind = "parameters"

    def by_parameter(change: Callable[..., Any]) -> Formula:
        def cotangents(m: Any, g: Any, p: Any, a: Any) -> Any:
            delta_p, _ = prelu_cotangents(m, g, p, a)
            return delta_p, change(m, m.where(p > 0, m.full(p, 0), g * p), g, p)

        return replace(PRELU, cotangents=cotangents)

    changes: dict[str, Callable[..., Any]] = {
        "not summed over the batch": lambda m, terms, g, p: m.sum(terms[..., :1, :]),
        "mean over the batch": lambda m, terms, g, p: m.sum(terms) / p.shape[-2],
        "scaled by the batch": lambda m, terms, g, p: m.sum(terms) * p.shape[-2],
        "cotangent not applied": lambda m, terms, g, p: m.sum(m.where(p > 0, m.full(p, 0), p)),
        "also where p is positive": lambda m, terms, g, p: m.sum(g * p),
        "last row left out of the sum": lambda m, terms, g, p: m.sum(terms) - m.sum(terms[..., -1:, :]),
        "summed in the narrow dtype": lambda m, terms, g, p: m.sum(m.cumulative(_narrow(m, terms))) * 1.0,
    }
    for name, change in changes.items():
        wrong = replace(by_parameter(change), tangent=PRELU.tangent)
        yield Fault(kind, name, PRELU, wrong)


def _narrow(m: Any, x: Any) -> Any:
    """x rounded to a narrower dtype, and back."""
    narrow = {"float64": "float32", "float32": "bfloat16"}.get(m.dtype(x), m.dtype(x))
    return m.cast(m.cast(x, narrow), m.dtype(x))


_memory: dict[Any, Any] = {}


def _stale_torch(self: Any, p: Any, torch: Any) -> Any:
    """The backward pass uses the input of the call before, if it has the same shape."""

    class Stale(torch.autograd.Function):  # type: ignore[misc,name-defined]
        @staticmethod
        def forward(context: Any, p: Any) -> Any:
            key = (tuple(p.shape), p.dtype)
            context.saved = _memory.get(key, p)
            _memory[key] = p.detach().clone()
            return p * torch.sigmoid(p)

        @staticmethod
        def backward(context: Any, g: Any) -> Any:
            s = torch.sigmoid(context.saved)
            return g * s * (1 + context.saved * (1 - s))

    return Stale.apply(p)


def _overwritten_torch(self: Any, p: Any, torch: Any) -> Any:
    """The saved input is overwritten by the value before the backward pass."""

    class Overwritten(torch.autograd.Function):  # type: ignore[misc,name-defined]
        @staticmethod
        def forward(context: Any, p: Any) -> Any:
            buffer = p.clone()
            context.saved = buffer
            return buffer.mul_(torch.sigmoid(p)).clone()

        @staticmethod
        def backward(context: Any, g: Any) -> Any:
            s = torch.sigmoid(context.saved)
            return g * s * (1 + context.saved * (1 - s))

    return Overwritten.apply(p)


def _input_changed_torch(self: Any, p: Any, torch: Any) -> Any:
    """The value is right, but the input is overwritten without a word."""

    class Changed(torch.autograd.Function):  # type: ignore[misc,name-defined]
        @staticmethod
        def forward(context: Any, p: Any) -> Any:
            value = p * torch.sigmoid(p)
            p.data.copy_(value)
            context.save_for_backward(p)
            return value

        @staticmethod
        def backward(context: Any, g: Any) -> Any:
            (p,) = context.saved_tensors
            s = torch.sigmoid(p)
            return g * s * (1 + p * (1 - s))

    return Changed.apply(p)


def _strides_torch(self: Any, p: Any, torch: Any) -> Any:
    """The cotangent is read as if it were contiguous."""

    class Strides(torch.autograd.Function):  # type: ignore[misc,name-defined]
        @staticmethod
        def forward(context: Any, p: Any) -> Any:
            context.save_for_backward(p)
            return p * torch.sigmoid(p)

        @staticmethod
        def backward(context: Any, g: Any) -> Any:
            (p,) = context.saved_tensors
            s = torch.sigmoid(p)
            flat = g.as_strided(g.shape, (g.shape[-1], 1)) if g.untyped_storage().nbytes() >= g.nbytes else g.mean() + g
            return flat * s * (1 + p * (1 - s))

    return Strides.apply(p)


def _module_torch(self: Any, p: Any, torch: Any) -> Any:
    """A module that detaches one factor of its product."""

    class Module(torch.nn.Module):  # type: ignore[misc,name-defined]
        def forward(self, p: Any) -> Any:
            return p * torch.sigmoid(p).detach()

    return Module()(p)


def _gate_stopped_jax(self: Any, p: Any, jax: Any) -> Any:
    """One factor is a constant for the derivative."""
    return p * jax.lax.stop_gradient(jax.nn.sigmoid(p))


def states() -> Iterator[Fault]:
    """Wrong saved arrays, layouts, and gradients that are cut."""
    kind = "state"
    methods: dict[str, Callable[..., Any]] = {
        "stale saved tensor": _stale_torch,
        "saved buffer overwritten": _overwritten_torch,
        "input overwritten": _input_changed_torch,
        "strides of the cotangent ignored": _strides_torch,
    }
    for name, method in methods.items():
        yield Fault(kind, name, SILU, SILU, ("torch",), methods={"torch": method})
    yield Fault(kind, "one factor detached", SILU, SILU, methods={"torch": _module_torch, "jax": _gate_stopped_jax})


def activation_faults() -> list[Fault]:
    """All faults of this file."""
    made = (upstream, sizes, dtypes, inputs, branches, formulas, tangents, parameters, states)
    return [fault for kind in made for fault in kind()]
