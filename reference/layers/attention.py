"""Attention: scaled dot products, with masks, biases and grouped heads; multi-head attention; rotary embedding."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from gradagree.reference.activations.rows import softmax, softmax_vjp
from gradagree.reference.layer import Layer
from gradagree.reference.layers.linear import dense_vjp, rows


def causal_mask(queries: int, keys: int) -> np.ndarray:
    """True where a query may attend to a key: those up to its own place."""
    return np.tri(queries, keys, dtype=bool)


def probabilities(q: Any, k: Any, scale: float, bias: Any, allowed: Any) -> Any:
    """softmax(scale q k^T + bias) over the keys that are allowed; 0 in rows without any."""
    scores = scale * (q @ np.swapaxes(k, -1, -2))
    if bias is not None:
        scores = scores + bias
    if allowed is None:
        return softmax(scores)
    some = np.any(allowed, axis=-1, keepdims=True)
    kept = softmax(np.where(allowed | ~some, scores, -np.inf))
    return np.where(allowed, kept, 0.0)


def attention_vjp(g: Any, q: Any, k: Any, v: Any, p: Any, scale: float, kept: Any = None) -> tuple[Any, Any, Any, Any]:
    """The cotangents of q, k, v and the scores; p are the probabilities, kept the factors of a dropout."""
    used = p if kept is None else p * kept
    by_used = g @ np.swapaxes(v, -1, -2)
    by_scores = softmax_vjp(p, by_used if kept is None else by_used * kept)
    by_q = scale * (by_scores @ k)
    by_k = scale * (np.swapaxes(by_scores, -1, -2) @ q)
    return by_q, by_k, np.swapaxes(used, -1, -2) @ g, by_scores


class Attention(Layer):
    """y = softmax(scale q k^T + bias) v over allowed keys; several heads of q may share one of k and v.

    A query without an allowed key has y = 0. scale is 1 / sqrt(d) where it is 0; kept holds the factors of a dropout.
    """

    causal: bool = False
    scale: float = 0.0
    operand: Literal["none", "mask", "bias", "kept"] = "none"
    shared: int = 1
    settings = ("causal=True", "operand=mask", "operand=bias", "operand=kept", "shared=2,causal=True", "scale=0.25")

    def _named(self, z: Any) -> dict[str, Any]:
        return {} if self.operand == "none" or z is None else {self.operand: z}

    def _repeated(self, z: Any) -> Any:
        """Each head of k or v once for every head of q that shares it."""
        return z if self.shared == 1 else np.repeat(z, self.shared, axis=1)

    def _added(self, g: Any) -> Any:
        if self.shared == 1:
            return g
        b, heads, *rest = np.shape(g)
        return np.sum(np.reshape(g, (b, heads // self.shared, self.shared, *rest)), axis=2)

    def _probabilities(self, q: Any, k: Any, z: Any) -> tuple[Any, float]:
        named = self._named(z)
        allowed = named.get("mask")
        if allowed is not None:
            allowed = np.asarray(allowed).astype(bool)
        if self.causal:
            allowed = causal_mask(np.shape(q)[-2], np.shape(k)[-2])
        scale = self.scale or 1 / np.sqrt(np.shape(q)[-1])
        return probabilities(q, k, float(scale), named.get("bias"), allowed), float(scale)

    def value(self, q: Any, k: Any, v: Any, z: Any = None) -> Any:
        p, _ = self._probabilities(q, self._repeated(k), z)
        kept = self._named(z).get("kept")
        return (p if kept is None else p * kept) @ self._repeated(v)

    def vjp(self, g: Any, q: Any, k: Any, v: Any, z: Any = None) -> tuple[Any, ...]:
        k, v = self._repeated(k), self._repeated(v)
        p, scale = self._probabilities(q, k, z)
        by_q, by_k, by_v, by_scores = attention_vjp(g, q, k, v, p, scale, self._named(z).get("kept"))
        found = (by_q, self._added(by_k), self._added(by_v))
        if z is None:
            return found
        if self.operand == "kept":
            return (*found, p * (g @ np.swapaxes(v, -1, -2)))
        return (*found, np.sum(by_scores, axis=(0, 1)) if self.operand == "bias" else None)

    def example(self, rng: np.random.Generator) -> dict[str, np.ndarray]:
        queries, keys = 4, 4 if self.causal else 5
        found: dict[str, np.ndarray] = {
            "q": rng.standard_normal((2, 2, queries, 4)),
            "k": rng.standard_normal((2, 2 // self.shared, keys, 4)),
            "v": rng.standard_normal((2, 2 // self.shared, keys, 3)),
        }
        if self.operand == "mask":
            allowed = rng.random((queries, keys)) < 0.6
            allowed[1] = False
            found["z"] = allowed
        elif self.operand == "bias":
            found["z"] = rng.standard_normal((queries, keys))
        elif self.operand == "kept":
            found["z"] = 2.0 * (rng.random((2, 2, queries, keys)) < 0.5)
        return found

    def torch(self, q, k, v, z=None, *, torch):
        scale = self.scale or None
        if self.operand == "kept":
            k, v = (x.repeat_interleave(self.shared, 1) for x in (k, v))
            scores = torch.matmul(q, k.transpose(-1, -2)) * (scale or q.shape[-1] ** -0.5)
            return torch.matmul(torch.softmax(scores, -1) * z, v)
        return torch.nn.functional.scaled_dot_product_attention(
            q, k, v, attn_mask=z, is_causal=self.causal, scale=scale, enable_gqa=self.shared > 1
        )

    def jax(self, q, k, v, z=None, *, jax):
        k, v = (jax.numpy.repeat(x, self.shared, axis=1) for x in (k, v))
        scores = (q @ k.swapaxes(-1, -2)) * (self.scale or q.shape[-1] ** -0.5)
        allowed = z if self.operand == "mask" else None
        if self.causal:
            allowed = jax.numpy.tri(q.shape[-2], k.shape[-2], dtype=bool)
        if self.operand == "bias":
            scores = scores + z
        if allowed is not None:
            scores = jax.numpy.where(allowed | ~allowed.any(-1, keepdims=True), scores, -jax.numpy.inf)
        p = jax.nn.softmax(scores, axis=-1)
        if allowed is not None:
            p = jax.numpy.where(allowed, p, 0)
        return (p * z if self.operand == "kept" else p) @ v


class MultiHeadAttention(Layer):
    """Attention over heads of the projections x w_q^T, x w_k^T and x w_v^T (rows of w), projected by u."""

    heads: int = 2
    causal: bool = False
    settings = ("causal=True", "heads=1")

    def _split(self, x: Any) -> Any:
        n, length, width = np.shape(x)
        return np.swapaxes(np.reshape(x, (n, length, self.heads, width // self.heads)), 1, 2)

    def _join(self, x: Any) -> Any:
        n, heads, length, width = np.shape(x)
        return np.reshape(np.swapaxes(x, 1, 2), (n, length, heads * width))

    def _parts(self, x: Any, w: Any, b: Any) -> tuple[Any, ...]:
        width = np.shape(x)[-1]
        qkv = x @ w.T + b
        q, k, v = (self._split(qkv[..., i * width : (i + 1) * width]) for i in range(3))
        scale = float((width // self.heads) ** -0.5)
        allowed = causal_mask(np.shape(x)[1], np.shape(x)[1]) if self.causal else None
        return q, k, v, probabilities(q, k, scale, None, allowed), scale

    def value(self, x: Any, w: Any, b: Any, u: Any, c: Any) -> Any:
        *_, v, p, _ = self._parts(x, w, b)
        return self._join(p @ v) @ u.T + c

    def vjp(self, g: Any, x: Any, w: Any, b: Any, u: Any, c: Any) -> tuple[Any, ...]:
        q, k, v, p, scale = self._parts(x, w, b)
        by_joined, by_u = dense_vjp(g, self._join(p @ v), u)
        each = attention_vjp(self._split(by_joined), q, k, v, p, scale)[:3]
        by_qkv = np.concatenate([self._join(z) for z in each], axis=-1)
        by_x, by_w = dense_vjp(by_qkv, x, w)
        return by_x, by_w, np.sum(rows(by_qkv), axis=0), by_u, np.sum(rows(g), axis=0)

    def example(self, rng: np.random.Generator) -> dict[str, np.ndarray]:
        shapes = {"x": (2, 3, 4), "w": (12, 4), "b": (12,), "u": (4, 4), "c": (4,)}
        return {name: rng.standard_normal(shape) for name, shape in shapes.items()}

    def torch(self, x, w, b, u, c, *, torch):
        y = x.transpose(0, 1)
        mask = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool).triu(1) if self.causal else None
        found, _ = torch.nn.functional.multi_head_attention_forward(
            y, y, y, x.shape[-1], self.heads, w, b, None, None, False, 0.0, u, c, training=False, need_weights=False,
            attn_mask=mask,
        )  # fmt: skip
        return found.transpose(0, 1)

    def jax(self, x, w, b, u, c, *, jax):
        n, length, width = x.shape
        split = lambda z: z.reshape(n, length, self.heads, width // self.heads)  # noqa: E731
        q, k, v = map(split, jax.numpy.split(x @ w.T + b, 3, axis=-1))
        y = jax.nn.dot_product_attention(q, k, v, is_causal=self.causal)
        return y.reshape(n, length, width) @ u.T + c


class RotaryEmbedding(Layer):
    """Pairs of entries, turned by given angles: (a cos - b sin, a sin + b cos) (Su et al. 2021).

    The pairs are the halves of the last axis, or neighbours with ``interleaved``.
    """

    interleaved: bool = False
    settings = ("interleaved=True",)
    constants = ("cos", "sin")

    def _pairs(self, x: Any) -> tuple[Any, Any]:
        half = np.shape(x)[-1] // 2
        return (x[..., 0::2], x[..., 1::2]) if self.interleaved else (x[..., :half], x[..., half:])

    def _joined(self, a: Any, b: Any) -> Any:
        if not self.interleaved:
            return np.concatenate([a, b], axis=-1)
        return np.reshape(np.stack([a, b], axis=-1), (*np.shape(a)[:-1], -1))

    def value(self, x: Any, cos: Any, sin: Any) -> Any:
        a, b = self._pairs(x)
        return self._joined(a * cos - b * sin, a * sin + b * cos)

    def vjp(self, g: Any, x: Any, cos: Any, sin: Any) -> tuple[Any, None, None]:
        a, b = self._pairs(g)
        return self._joined(a * cos + b * sin, b * cos - a * sin), None, None

    def example(self, rng: np.random.Generator) -> dict[str, np.ndarray]:
        angles = np.arange(4)[:, None] * 10.0 ** -np.arange(3)
        return {"x": rng.standard_normal((2, 2, 4, 6)), "cos": np.cos(angles), "sin": np.sin(angles)}

    def torch(self, x, cos, sin, *, torch):
        a, b = self._pairs(x) if self.interleaved else x.chunk(2, dim=-1)
        turned = (a * cos - b * sin, a * sin + b * cos)
        return torch.stack(turned, -1).flatten(-2) if self.interleaved else torch.cat(turned, -1)

    def jax(self, x, cos, sin, *, jax):
        a, b = (x[..., 0::2], x[..., 1::2]) if self.interleaved else jax.numpy.split(x, 2, axis=-1)
        turned = [a * cos - b * sin, a * sin + b * cos]
        return jax.numpy.stack(turned, -1).reshape(x.shape) if self.interleaved else jax.numpy.concatenate(turned, -1)
