"""Normalisation: batch, layer, group, instance, root-mean-square and local response norm; weight and spectral norm."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradagree.reference.layer import Layer


def normalised(x: Any, axes: tuple[int, ...], eps: float) -> tuple[Any, Any]:
    """((x - mean) / sqrt(variance + eps) over the axes, the standard deviation sqrt(variance + eps))."""
    centred = x - np.mean(x, axis=axes, keepdims=True)
    deviation = np.sqrt(np.mean(centred * centred, axis=axes, keepdims=True) + eps)
    return centred / deviation, deviation


def normalised_vjp(g: Any, y: Any, deviation: Any, axes: tuple[int, ...]) -> Any:
    """(g - mean g - y mean(g y)) / deviation: the mean and the variance depend on every entry (Ioffe, Szegedy 2015)."""
    along = {"axis": axes, "keepdims": True}
    return (g - np.mean(g, **along) - y * np.mean(g * y, **along)) / deviation  # type: ignore[call-overload]


def as_linear(x: Any, axes: tuple[int, ...], eps: float, w: Any, b: Any) -> Any:
    """w (x - mean) / deviation + b as x (w / deviation) + (b - mean w / deviation), which frameworks compute.

    1 / deviation is the power -1/2 of the variance, whose derivative has the power -3/2.

    The mean is that of running means (Welford 1962), each of which is rounded: a sum of shares of the entries.
    """
    count = float(np.prod([np.shape(x)[axis] for axis in axes]))
    mean = np.sum(x / count, axis=axes, keepdims=True)
    scale = w * (np.mean((x - mean) * (x - mean), axis=axes, keepdims=True) + eps) ** -0.5
    return x * scale + (b - mean * scale)


def standardized_in_jax(x: Any, axes: tuple[int, ...], eps: float, jax: Any) -> Any:
    """`normalised` in JAX, whose own variance, mean(x^2) - mean(x)^2, cancels."""
    variance = jax.numpy.var(x, axis=axes, keepdims=True)
    return jax.nn.standardize(x, axis=axes, variance=variance, epsilon=eps)


def per_channel(z: Any, ndim: int) -> Any:
    """One number for each channel, the axis after the examples."""
    return np.reshape(z, (-1, *[1] * (ndim - 2)))


def over_all_but_channels(x: Any) -> tuple[int, ...]:
    return (0, *range(2, np.ndim(x)))


def affine_example(rng: np.random.Generator, x: np.ndarray, parameters: tuple[int, ...]) -> dict[str, np.ndarray]:
    return {"x": x, "w": 1 + rng.standard_normal(parameters) / 4, "b": rng.standard_normal(parameters)}


class BatchNorm(Layer):
    """y = w (x - mean) / sqrt(variance + eps) + b, with mean and variance of the batch, for each channel."""

    eps: float = 2**-10

    def value(self, x: Any, w: Any, b: Any) -> Any:
        y, _ = normalised(x, over_all_but_channels(x), self.eps)
        return y * per_channel(w, np.ndim(x)) + per_channel(b, np.ndim(x))

    def other_value(self, x: Any, w: Any, b: Any) -> Any:
        own = (per_channel(z, np.ndim(x)) for z in (w, b))
        return as_linear(x, over_all_but_channels(x), self.eps, *own)

    def vjp(self, g: Any, x: Any, w: Any, b: Any) -> tuple[Any, ...]:
        axes = over_all_but_channels(x)
        y, deviation = normalised(x, axes, self.eps)
        by_x = normalised_vjp(g * per_channel(w, np.ndim(x)), y, deviation, axes)
        return by_x, np.sum(g * y, axis=axes), np.sum(g, axis=axes)

    def example(self, rng: np.random.Generator) -> dict[str, np.ndarray]:
        return affine_example(rng, 1 + rng.standard_normal((4, 3, 5)), (3,))

    def torch(self, x, w, b, *, torch):
        return torch.nn.functional.batch_norm(x, None, None, w, b, training=True, eps=self.eps)

    def jax(self, x, w, b, *, jax):
        axes = (0, *range(2, x.ndim))
        y = standardized_in_jax(x, axes, self.eps, jax)
        shape = (-1, *[1] * (x.ndim - 2))
        return y * w.reshape(shape) + b.reshape(shape)


class BatchNormEvaluation(Layer):
    """y = w (x - mean) / sqrt(variance + eps) + b, with running statistics, which have no derivative."""

    eps: float = 2**-10
    constants = ("mean", "variance")

    def value(self, x: Any, w: Any, b: Any, mean: Any, variance: Any) -> Any:
        mean, variance, w, b = (per_channel(z, np.ndim(x)) for z in (mean, variance, w, b))
        return (x - mean) / np.sqrt(variance + self.eps) * w + b

    def other_value(self, x: Any, w: Any, b: Any, mean: Any, variance: Any) -> Any:
        mean, variance, w, b = (per_channel(z, np.ndim(x)) for z in (mean, variance, w, b))
        scale = w * (variance + self.eps) ** -0.5
        return x * scale + (b - mean * scale)

    def vjp(self, g: Any, x: Any, w: Any, b: Any, mean: Any, variance: Any) -> tuple[Any, ...]:
        axes, n = over_all_but_channels(x), np.ndim(x)
        deviation = np.sqrt(per_channel(variance, n) + self.eps)
        y = (x - per_channel(mean, n)) / deviation
        return g / deviation * per_channel(w, n), np.sum(g * y, axis=axes), np.sum(g, axis=axes), None, None

    def example(self, rng: np.random.Generator) -> dict[str, np.ndarray]:
        found = affine_example(rng, 1 + rng.standard_normal((4, 3, 5)), (3,))
        return found | {"mean": rng.standard_normal(3), "variance": 0.5 + rng.random(3)}

    def torch(self, x, w, b, mean, variance, *, torch):
        return torch.nn.functional.batch_norm(x, mean, variance, w, b, training=False, eps=self.eps)

    def jax(self, x, w, b, mean, variance, *, jax):
        mean, variance, w, b = (z.reshape(-1, *[1] * (x.ndim - 2)) for z in (mean, variance, w, b))
        return (x - mean) * jax.lax.rsqrt(variance + self.eps) * w + b


class LayerNormAffine(Layer):
    """y = w (x - mean) / sqrt(variance + eps) + b over the last axis."""

    eps: float = 2**-10

    def value(self, x: Any, w: Any, b: Any) -> Any:
        return normalised(x, (-1,), self.eps)[0] * w + b

    def other_value(self, x: Any, w: Any, b: Any) -> Any:
        return as_linear(x, (-1,), self.eps, 1.0, 0.0) * w + b

    def vjp(self, g: Any, x: Any, w: Any, b: Any) -> tuple[Any, ...]:
        y, deviation = normalised(x, (-1,), self.eps)
        lead = tuple(range(np.ndim(x) - 1))
        return normalised_vjp(g * w, y, deviation, (-1,)), np.sum(g * y, axis=lead), np.sum(g, axis=lead)

    def example(self, rng: np.random.Generator) -> dict[str, np.ndarray]:
        return affine_example(rng, 1 + rng.standard_normal((2, 3, 6)), (6,))

    def torch(self, x, w, b, *, torch):
        return torch.nn.functional.layer_norm(x, x.shape[-1:], w, b, self.eps)

    def jax(self, x, w, b, *, jax):
        return standardized_in_jax(x, (-1,), self.eps, jax) * w + b


class GroupNorm(Layer):
    """y = w (x - mean) / sqrt(variance + eps) + b over each group of channels of an example."""

    groups: int = 2
    eps: float = 2**-10
    settings = ("groups=4", "groups=1")

    def _grouped(self, x: Any) -> Any:
        return np.reshape(x, (np.shape(x)[0], self.groups, -1))

    def value(self, x: Any, w: Any, b: Any) -> Any:
        y = np.reshape(normalised(self._grouped(x), (-1,), self.eps)[0], np.shape(x))
        return y * per_channel(w, np.ndim(x)) + per_channel(b, np.ndim(x))

    def other_value(self, x: Any, w: Any, b: Any) -> Any:
        n, channels = np.shape(x)[:2]
        grouped = np.reshape(x, (n, self.groups, channels // self.groups, -1))
        own = (np.reshape(z, (self.groups, -1, 1)) for z in (w, b))
        return np.reshape(as_linear(grouped, (2, 3), self.eps, *own), np.shape(x))

    def vjp(self, g: Any, x: Any, w: Any, b: Any) -> tuple[Any, ...]:
        axes = over_all_but_channels(x)
        y, deviation = normalised(self._grouped(x), (-1,), self.eps)
        by_x = normalised_vjp(self._grouped(g * per_channel(w, np.ndim(x))), y, deviation, (-1,))
        y = np.reshape(y, np.shape(x))
        return np.reshape(by_x, np.shape(x)), np.sum(g * y, axis=axes), np.sum(g, axis=axes)

    def example(self, rng: np.random.Generator) -> dict[str, np.ndarray]:
        return affine_example(rng, 1 + rng.standard_normal((2, 4, 5)), (4,))

    def torch(self, x, w, b, *, torch):
        return torch.nn.functional.group_norm(x, self.groups, w, b, self.eps)

    def jax(self, x, w, b, *, jax):
        y = standardized_in_jax(x.reshape(x.shape[0], self.groups, -1), (-1,), self.eps, jax).reshape(x.shape)
        shape = (-1, *[1] * (x.ndim - 2))
        return y * w.reshape(shape) + b.reshape(shape)


class InstanceNorm(Layer):
    """y = w (x - mean) / sqrt(variance + eps) + b over each channel of an example."""

    eps: float = 2**-10

    def value(self, x: Any, w: Any, b: Any) -> Any:
        y, _ = normalised(x, tuple(range(2, np.ndim(x))), self.eps)
        return y * per_channel(w, np.ndim(x)) + per_channel(b, np.ndim(x))

    def other_value(self, x: Any, w: Any, b: Any) -> Any:
        own = (per_channel(z, np.ndim(x)) for z in (w, b))
        return as_linear(x, tuple(range(2, np.ndim(x))), self.eps, *own)

    def vjp(self, g: Any, x: Any, w: Any, b: Any) -> tuple[Any, ...]:
        axes, over = over_all_but_channels(x), tuple(range(2, np.ndim(x)))
        y, deviation = normalised(x, over, self.eps)
        by_x = normalised_vjp(g * per_channel(w, np.ndim(x)), y, deviation, over)
        return by_x, np.sum(g * y, axis=axes), np.sum(g, axis=axes)

    def example(self, rng: np.random.Generator) -> dict[str, np.ndarray]:
        return affine_example(rng, 1 + rng.standard_normal((2, 3, 6)), (3,))

    def torch(self, x, w, b, *, torch):
        return torch.nn.functional.instance_norm(x, weight=w, bias=b, eps=self.eps)

    def jax(self, x, w, b, *, jax):
        y = standardized_in_jax(x, tuple(range(2, x.ndim)), self.eps, jax)
        shape = (-1, *[1] * (x.ndim - 2))
        return y * w.reshape(shape) + b.reshape(shape)


class RmsNormScaled(Layer):
    """y = w x / sqrt(mean(x^2) + eps) over the last axis."""

    eps: float = 2**-10

    def _parts(self, x: Any) -> tuple[Any, Any]:
        root = np.sqrt(np.mean(x * x, axis=-1, keepdims=True) + self.eps)
        return x / root, root

    def value(self, x: Any, w: Any) -> Any:
        return self._parts(x)[0] * w

    def other_value(self, x: Any, w: Any) -> Any:
        return x * (np.mean(x * x, axis=-1, keepdims=True) + self.eps) ** -0.5 * w

    def vjp(self, g: Any, x: Any, w: Any) -> tuple[Any, ...]:
        y, root = self._parts(x)
        inner = g * w
        by_x = (inner - y * np.mean(inner * y, axis=-1, keepdims=True)) / root
        return by_x, np.sum(g * y, axis=tuple(range(np.ndim(x) - 1)))

    def example(self, rng: np.random.Generator) -> dict[str, np.ndarray]:
        return {"x": rng.standard_normal((2, 3, 6)), "w": 1 + rng.standard_normal(6) / 4}

    def torch(self, x, w, *, torch):
        return torch.nn.functional.rms_norm(x, x.shape[-1:], w, self.eps)

    def jax(self, x, w, *, jax):
        return x * jax.lax.rsqrt(jax.numpy.mean(x * x, axis=-1, keepdims=True) + self.eps) * w


class LocalResponseNorm(Layer):
    """y_c = x_c / (k + alpha / size sum of x_j^2 over the size channels around c)^beta (Krizhevsky et al. 2012)."""

    size: int = 3
    alpha: float = 0.25
    beta: float = 0.75
    k: float = 1.0

    def _summed(self, z: Any, before: int, after: int) -> Any:
        """The sum over the channels from c - before to c + after."""
        channels = np.shape(z)[1]
        near = np.arange(channels) - np.arange(channels)[:, None]
        window = ((near >= -before) & (near <= after)).astype(float)
        return np.einsum("cj,nj...->nc...", window, z)

    def _base(self, x: Any) -> Any:
        summed = self._summed(x * x, self.size // 2, (self.size - 1) // 2)
        return self.k + self.alpha / self.size * summed

    def value(self, x: Any) -> Any:
        return x / self._base(x) ** self.beta

    def vjp(self, g: Any, x: Any) -> tuple[Any]:
        base = self._base(x)
        power = base**self.beta
        # dy_j/dx_i = [i = j] / base_j^beta - 2 alpha beta / size x_i x_j / base_j^(beta + 1) for the windows with i
        through = self._summed(g * x / (power * base), (self.size - 1) // 2, self.size // 2)
        return (g / power - 2 * self.alpha * self.beta / self.size * x * through,)

    def example(self, rng: np.random.Generator) -> dict[str, np.ndarray]:
        return {"x": rng.standard_normal((2, 5, 3))}

    def torch(self, x, *, torch):
        return torch.nn.functional.local_response_norm(x, self.size, self.alpha, self.beta, self.k)


class WeightNorm(Layer):
    """y = x w^T with rows w_j = s_j v_j / |v_j| (Salimans, Kingma 2016)."""

    def _parts(self, v: Any) -> tuple[Any, Any]:
        length = np.sqrt(np.sum(v * v, axis=1, keepdims=True))
        return v / length, length

    def value(self, x: Any, v: Any, s: Any) -> Any:
        return x @ (s[:, None] * self._parts(v)[0]).T

    def other_value(self, x: Any, v: Any, s: Any) -> Any:
        return x @ (v * (s[:, None] * np.sum(v * v, axis=1, keepdims=True) ** -0.5)).T

    def vjp(self, g: Any, x: Any, v: Any, s: Any) -> tuple[Any, ...]:
        direction, length = self._parts(v)
        by_w = g.T @ x
        by_s = np.sum(by_w * direction, axis=1)
        by_v = s[:, None] / length * (by_w - by_s[:, None] * direction)
        return g @ (s[:, None] * direction), by_v, by_s

    def example(self, rng: np.random.Generator) -> dict[str, np.ndarray]:
        return {"x": rng.standard_normal((3, 5)), "v": rng.standard_normal((4, 5)), "s": 1 + rng.random(4)}

    def torch(self, x, v, s, *, torch):
        return torch.nn.functional.linear(x, torch._weight_norm(v, s[:, None], 0))

    def jax(self, x, v, s, *, jax):
        length = jax.numpy.linalg.norm(v, axis=1, keepdims=True)
        return x @ (s[:, None] * v / length).T


class SpectralNorm(Layer):
    """y = x w^T / (u^T w v), with given vectors u and v near the first singular ones (Miyato et al. 2018)."""

    constants = ("u", "v")

    def value(self, x: Any, w: Any, u: Any, v: Any) -> Any:
        return x @ (w / np.sum(u * (w @ v))).T

    def vjp(self, g: Any, x: Any, w: Any, u: Any, v: Any) -> tuple[Any, ...]:
        sigma = np.sum(u * (w @ v))
        by_scaled = g.T @ x
        by_sigma = -np.sum(by_scaled * w) / (sigma * sigma)
        return g @ (w / sigma), by_scaled / sigma + by_sigma * u[:, None] * v, None, None

    def example(self, rng: np.random.Generator) -> dict[str, np.ndarray]:
        w = rng.standard_normal((4, 5))
        left, _, right = np.linalg.svd(w)
        return {"x": rng.standard_normal((3, 5)), "w": w, "u": left[:, 0], "v": right[0]}

    def torch(self, x, w, u, v, *, torch):
        return torch.nn.functional.linear(x, w / torch.dot(u, torch.mv(w, v)))

    def jax(self, x, w, u, v, *, jax):
        return x @ (w / (u @ (w @ v))).T
