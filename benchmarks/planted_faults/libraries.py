"""The array functions that formulas use, under one name in torch and in jax."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

Array = Any


class InTorch:
    """Array functions of torch."""

    name = "torch"

    def __init__(self, torch: Any) -> None:
        self.framework = torch
        self.where, self.exp, self.log, self.tanh, self.abs = torch.where, torch.exp, torch.log, torch.tanh, torch.abs
        self.sign, self.sqrt, self.sigmoid, self.maximum = torch.sign, torch.sqrt, torch.sigmoid, torch.maximum
        self.expm1, self.cos, self.sin, self.concatenate = torch.expm1, torch.cos, torch.sin, torch.cat
        self.signbit, self.flip = torch.signbit, torch.flip

    def softplus(self, x: Array) -> Array:
        return self.framework.logaddexp(x, self.framework.zeros_like(x))

    def full(self, x: Array, value: float) -> Array:
        return self.framework.full_like(x, value)

    def clip(self, x: Array, low: float, high: float) -> Array:
        return x.clamp(low, high)

    def sum(self, x: Array, axis: Any = None) -> Array:
        return x.sum() if axis is None else x.sum(axis, keepdim=True)

    def largest(self, x: Array) -> Array:
        return x.amax(-1, keepdim=True)

    def cumulative(self, x: Array) -> Array:
        """The sum of the rows, each addition rounded to the dtype of x."""
        total = self.framework.zeros_like(x[..., 0, :])
        for k in range(x.shape[-2]):
            total = total + x[..., k, :]
        return total

    def dtype(self, x: Array) -> str:
        return str(x.dtype).removeprefix("torch.")

    def cast(self, x: Array, dtype: str) -> Array:
        return x.to(getattr(self.framework, dtype))

    def columns(self, x: Array) -> Array:
        return self.framework.arange(x.shape[-1])

    def rows(self, x: Array) -> Array:
        return self.framework.arange(x.shape[-2])[:, None]

    def one_hot(self, t: Array, o: Array) -> Array:
        return (t[:, None] == self.framework.arange(o.shape[-1])).to(o.dtype)

    def plant(
        self, value: Callable[..., Array], cotangents: Callable[..., Sequence[Array]],
        tangent: Callable[..., Array] | None,
    ) -> Callable[..., Array]:  # fmt: skip
        """An autograd.Function of those formulas; without a tangent it has no jvp."""

        class Function(self.framework.autograd.Function):  # type: ignore[misc,name-defined]
            generate_vmap_rule = True

            @staticmethod
            def forward(*operands: Array) -> Array:
                return value(*operands)

            @staticmethod
            def setup_context(context: Any, inputs: Any, output: Any) -> None:
                context.save_for_backward(*inputs)
                context.save_for_forward(*inputs)

            @staticmethod
            def backward(context: Any, g: Array) -> Any:
                return tuple(cotangents(g, *context.saved_tensors))

        if tangent is not None:
            Function.jvp = staticmethod(lambda context, *dots: tangent(dots, *context.saved_tensors))
        return lambda *operands: Function.apply(*operands)


class InJax:
    """Array functions of jax.numpy."""

    name = "jax"

    def __init__(self, jax: Any) -> None:
        self.framework, jnp = jax, jax.numpy
        self.where, self.exp, self.log, self.tanh, self.abs = jnp.where, jnp.exp, jnp.log, jnp.tanh, jnp.abs
        self.sign, self.sqrt, self.sigmoid, self.maximum = jnp.sign, jnp.sqrt, jax.nn.sigmoid, jnp.maximum
        self.expm1, self.cos, self.sin, self.concatenate = jnp.expm1, jnp.cos, jnp.sin, jnp.concatenate
        self.signbit, self.flip = jnp.signbit, jnp.flip

    def softplus(self, x: Array) -> Array:
        return self.framework.numpy.logaddexp(x, self.framework.numpy.zeros_like(x))

    def full(self, x: Array, value: float) -> Array:
        return self.framework.numpy.full_like(x, value)

    def clip(self, x: Array, low: float, high: float) -> Array:
        return self.framework.numpy.clip(x, low, high)

    def sum(self, x: Array, axis: Any = None) -> Array:
        return x.sum() if axis is None else x.sum(axis, keepdims=True)

    def largest(self, x: Array) -> Array:
        return x.max(-1, keepdims=True)

    def cumulative(self, x: Array) -> Array:
        """The sum of the rows, each addition rounded to the dtype of x."""
        total = self.framework.numpy.zeros_like(x[..., 0, :])
        for k in range(x.shape[-2]):
            total = self.framework.lax.reduce_precision(total + x[..., k, :], *_bits(self.dtype(x)))
        return total

    def dtype(self, x: Array) -> str:
        return str(x.dtype)

    def cast(self, x: Array, dtype: str) -> Array:
        return x.astype(dtype)

    def columns(self, x: Array) -> Array:
        return self.framework.numpy.arange(x.shape[-1])

    def rows(self, x: Array) -> Array:
        return self.framework.numpy.arange(x.shape[-2])[:, None]

    def one_hot(self, t: Array, o: Array) -> Array:
        return (t[:, None] == self.framework.numpy.arange(o.shape[-1])).astype(o.dtype)

    def plant(
        self, value: Callable[..., Array], cotangents: Callable[..., Sequence[Array]],
        tangent: Callable[..., Array] | None,
    ) -> Callable[..., Array]:  # fmt: skip
        """A custom_vjp of those formulas; they define no forward mode, so that the tangent is not used."""
        jax = self.framework

        def backward(operands: Any, g: Array) -> Any:
            found = cotangents(g, *operands)
            return tuple(
                np.zeros(x.shape, jax.dtypes.float0) if x.dtype.kind == "i" else y
                for x, y in zip(operands, found, strict=True)
            )

        function = jax.custom_vjp(value)
        function.defvjp(lambda *operands: (value(*operands), operands), backward)
        return lambda *operands: function(*operands)

    def plant_tangent(self, value: Callable[..., Array], tangent: Callable[..., Array]) -> Callable[..., Array]:
        """A custom_jvp of those formulas."""
        function = self.framework.custom_jvp(value)
        function.defjvp(lambda operands, dots: (value(*operands), tangent(dots, *operands)))
        return lambda *operands: function(*operands)


def _bits(dtype: str) -> tuple[int, int]:
    return {"bfloat16": (8, 7), "float16": (5, 10), "float32": (8, 23), "float64": (11, 52)}[dtype]
