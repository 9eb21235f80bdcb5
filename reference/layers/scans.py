"""Linear recurrences and the selective scan of state space models."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradagree.reference.layer import Layer


def recurrence(a: Any, b: Any) -> Any:
    """h_t = a_t h_(t-1) + b_t along the first axis, from h = 0."""
    h, found = b[0], [b[0]]
    for t in range(1, np.shape(b)[0]):
        h = a[t] * h + b[t]
        found.append(h)
    return np.stack(found)


def recurrence_vjp(g: Any, a: Any, h: Any) -> tuple[Any, Any]:
    """The cotangents of a and b: that of b_t is d_t = g_t + a_(t+1) d_(t+1), and that of a_t is d_t h_(t-1)."""
    length = np.shape(g)[0]
    delta, found = g[length - 1], [g[length - 1]]
    for t in range(length - 2, -1, -1):
        delta = g[t] + a[t + 1] * delta
        found.append(delta)
    by_b = np.stack(found[::-1])
    earlier = np.concatenate([np.zeros((1, *np.shape(h)[1:])), h[:-1]], axis=0)
    return by_b * earlier, by_b


def recurrence_by_halves(a: Any, b: Any) -> Any:
    """`recurrence` as a parallel scan: the steps (a_s, b_s) and (a_t, b_t) are joined to (a_t a_s, a_t b_s + b_t).

    Blelloch (1990), "Prefix sums and their applications".
    """
    length = np.shape(b)[0]
    if length < 2:
        return b
    even, odd = slice(0, length - 1, 2), slice(1, None, 2)
    ends = recurrence_by_halves(a[odd] * a[even], a[odd] * b[even] + b[odd])
    found = [b[0]]
    for t in range(1, length):
        found.append(ends[t // 2] if t % 2 else a[t] * ends[t // 2 - 1] + b[t])
    return np.stack(found)


class LinearRecurrence(Layer):
    """h_t = a_t h_(t-1) + b_t, entry by entry, from h = 0."""

    def value(self, a: Any, b: Any) -> Any:
        return recurrence(a, b)

    def other_value(self, a: Any, b: Any) -> Any:
        return recurrence_by_halves(a, b)

    def vjp(self, g: Any, a: Any, b: Any) -> tuple[Any, Any]:
        return recurrence_vjp(g, a, recurrence(a, b))

    def example(self, rng: np.random.Generator) -> dict[str, np.ndarray]:
        return {"a": rng.random((5, 2, 3)), "b": rng.standard_normal((5, 2, 3))}

    def torch(self, a, b, *, torch):
        h = [b[0]]
        for t in range(1, b.shape[0]):
            h.append(a[t] * h[-1] + b[t])
        return torch.stack(h)

    def jax(self, a, b, *, jax):
        def combine(earlier, later):
            return earlier[0] * later[0], later[0] * earlier[1] + later[1]

        return jax.lax.associative_scan(combine, (a, b))[1]


class SelectiveScan(Layer):
    """h_t = exp(s_t a) h_(t-1) + s_t b_t x_t, y_t = sum over states of c_t h_t, plus d x_t (Gu, Dao 2023).

    Shapes: x and s (length, channels), a (channels, states), b and c (length, states), d (channels).
    """

    def _states(self, x: Any, s: Any, a: Any, b: Any) -> tuple[Any, Any]:
        decay = np.exp(s[:, :, None] * a)
        return decay, recurrence(decay, (s * x)[:, :, None] * b[:, None, :])

    def value(self, x: Any, s: Any, a: Any, b: Any, c: Any, d: Any) -> Any:
        _, h = self._states(x, s, a, b)
        return np.sum(h * c[:, None, :], axis=-1) + d * x

    def vjp(self, g: Any, x: Any, s: Any, a: Any, b: Any, c: Any, d: Any) -> tuple[Any, ...]:
        decay, h = self._states(x, s, a, b)
        by_decay, by_inner = recurrence_vjp(g[:, :, None] * c[:, None, :], decay, h)
        by_exponent = by_decay * decay
        by_product = np.sum(by_inner * b[:, None, :], axis=-1)
        by_s = np.sum(by_exponent * a, axis=-1) + by_product * x
        by_a = np.sum(by_exponent * s[:, :, None], axis=0)
        by_b = np.sum(by_inner * (s * x)[:, :, None], axis=1)
        return by_product * s + g * d, by_s, by_a, by_b, np.sum(g[:, :, None] * h, axis=1), np.sum(g * x, axis=0)

    def example(self, rng: np.random.Generator) -> dict[str, np.ndarray]:
        length, channels, states = 5, 3, 2
        return {
            "x": rng.standard_normal((length, channels)), "s": 0.125 + rng.random((length, channels)),
            "a": -0.25 - rng.random((channels, states)), "b": rng.standard_normal((length, states)),
            "c": rng.standard_normal((length, states)), "d": rng.standard_normal(channels),
        }  # fmt: skip

    def torch(self, x, s, a, b, c, d, *, torch):
        h, found = None, []
        for t in range(x.shape[0]):
            inner = (s[t] * x[t])[:, None] * b[t]
            h = inner if h is None else torch.exp(s[t][:, None] * a) * h + inner
            found.append((h * c[t]).sum(-1) + d * x[t])
        return torch.stack(found)

    def jax(self, x, s, a, b, c, d, *, jax):
        def step(h, given):
            x, s, b, c = given
            h = jax.numpy.exp(s[:, None] * a) * h + (s * x)[:, None] * b
            return h, (h * c).sum(-1) + d * x

        h = (s[0] * x[0])[:, None] * b[0]
        first = (h * c[0]).sum(-1) + d * x[0]
        rest = jax.lax.scan(step, h, (x[1:], s[1:], b[1:], c[1:]))[1]
        return jax.numpy.concatenate([first[None], rest])
