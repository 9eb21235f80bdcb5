"""Layers that connect others: dropout with a given mask, residual connection, gating, concatenation, split, flatten."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from scipy.special import expit

from gradagree.reference.layer import Layer


class MaskedDropout(Layer):
    """y = x kept / (1 - rate), with a given mask of what is kept."""

    rate: float = 0.25

    def value(self, x: Any, kept: Any) -> Any:
        return np.where(np.asarray(kept), x / (1 - self.rate), 0.0)

    def vjp(self, g: Any, x: Any, kept: Any) -> tuple[Any, None]:
        return np.where(np.asarray(kept), g / (1 - self.rate), 0.0), None

    def example(self, rng: np.random.Generator) -> dict[str, np.ndarray]:
        return {"x": rng.standard_normal((3, 8)), "kept": rng.random((3, 8)) < 1 - self.rate}

    def torch(self, x, kept, *, torch):
        return torch.where(kept, x / (1 - self.rate), 0.0)

    def jax(self, x, kept, *, jax):
        return jax.numpy.where(kept, x / (1 - self.rate), 0)


class Residual(Layer):
    """y = x + scale tanh(x): a branch and the connection around it."""

    scale: float = 0.5

    def value(self, x: Any) -> Any:
        return x + self.scale * np.tanh(x)

    def vjp(self, g: Any, x: Any) -> tuple[Any]:
        top = np.tanh(x)
        return (g + self.scale * g * (1 - top * top),)

    def example(self, rng: np.random.Generator) -> dict[str, np.ndarray]:
        return {"x": rng.standard_normal((3, 5))}

    def torch(self, x, *, torch):
        return x + self.scale * torch.tanh(x)

    def jax(self, x, *, jax):
        return x + self.scale * jax.numpy.tanh(x)


class Gating(Layer):
    """y = a z / (1 + exp(-z)): a gate of another branch (Shazeer 2020)."""

    def value(self, a: Any, z: Any) -> Any:
        return a * (z * expit(z))

    def other_value(self, a: Any, z: Any) -> Any:
        return a * (z / (1 + np.exp(-z)))

    def vjp(self, g: Any, a: Any, z: Any) -> tuple[Any, Any]:
        s = expit(z)
        return g * (z * s), g * a * (s * (1 + z * (1 - s)))

    def example(self, rng: np.random.Generator) -> dict[str, np.ndarray]:
        return {"a": rng.standard_normal((3, 5)), "z": rng.standard_normal((3, 5))}

    def torch(self, a, z, *, torch):
        return a * torch.nn.functional.silu(z)

    def jax(self, a, z, *, jax):
        return a * jax.nn.silu(z)


class Concatenation(Layer):
    """The entries of two arrays side by side along an axis."""

    axis: int = 1

    def value(self, x: Any, z: Any) -> Any:
        return np.concatenate([x, z], axis=self.axis)

    def vjp(self, g: Any, x: Any, z: Any) -> tuple[Any, Any]:
        n = np.shape(x)[self.axis]
        first, second = [slice(None)] * np.ndim(g), [slice(None)] * np.ndim(g)
        first[self.axis], second[self.axis] = slice(0, n), slice(n, None)
        return g[tuple(first)], g[tuple(second)]

    def example(self, rng: np.random.Generator) -> dict[str, np.ndarray]:
        return {"x": rng.standard_normal((2, 3, 4)), "z": rng.standard_normal((2, 2, 4))}

    def torch(self, x, z, *, torch):
        return torch.cat([x, z], self.axis)

    def jax(self, x, z, *, jax):
        return jax.numpy.concatenate([x, z], self.axis)


class Split(Layer):
    """Two parts of the last axis: the first ``first`` entries, and the others."""

    first: int = 2

    def value(self, x: Any) -> Any:
        return x[..., : self.first], x[..., self.first :]

    def vjp(self, g: Any, x: Any) -> tuple[Any]:
        return (np.concatenate(list(g), axis=-1),)

    def example(self, rng: np.random.Generator) -> dict[str, np.ndarray]:
        return {"x": rng.standard_normal((2, 3, 5))}

    def torch(self, x, *, torch):
        return torch.split(x, [self.first, x.shape[-1] - self.first], -1)

    def jax(self, x, *, jax):
        return tuple(jax.numpy.split(x, [self.first], axis=-1))


class Flatten(Layer):
    """All axes of an example as one; with rows, all axes but the last as one."""

    rows: bool = False
    settings = ("rows=True",)

    def _shape(self, x: Any) -> tuple[int, ...]:
        n, *rest = np.shape(x)
        return (math.prod((n, *rest[:-1])), rest[-1]) if self.rows else (n, math.prod(rest))

    def value(self, x: Any) -> Any:
        return np.reshape(x, self._shape(x))

    def vjp(self, g: Any, x: Any) -> tuple[Any]:
        return (np.reshape(g, np.shape(x)),)

    def example(self, rng: np.random.Generator) -> dict[str, np.ndarray]:
        return {"x": rng.standard_normal((2, 3, 4))}

    def torch(self, x, *, torch):
        return x.reshape(-1, x.shape[-1]) if self.rows else torch.flatten(x, 1)

    def jax(self, x, *, jax):
        return x.reshape(-1, x.shape[-1]) if self.rows else x.reshape(x.shape[0], -1)


class Addition(Layer):
    """y = x + z: a branch and the connection around it."""

    def value(self, x: Any, z: Any) -> Any:
        return x + z

    def vjp(self, g: Any, x: Any, z: Any) -> tuple[Any, Any]:
        return g, g

    def example(self, rng: np.random.Generator) -> dict[str, np.ndarray]:
        return {"x": rng.standard_normal((2, 3)), "z": rng.standard_normal((2, 3))}

    def torch(self, x, z, *, torch):
        return x + z

    def jax(self, x, z, *, jax):
        return x + z


class Transposition(Layer):
    """Two axes, exchanged."""

    first: int = 1
    second: int = 2

    def value(self, x: Any) -> Any:
        return np.swapaxes(x, self.first, self.second)

    def vjp(self, g: Any, x: Any) -> tuple[Any]:
        return (np.swapaxes(g, self.first, self.second),)

    def example(self, rng: np.random.Generator) -> dict[str, np.ndarray]:
        return {"x": rng.standard_normal((2, 3, 4))}

    def torch(self, x, *, torch):
        return x.transpose(self.first, self.second)

    def jax(self, x, *, jax):
        return jax.numpy.swapaxes(x, self.first, self.second)
