"""Linear layers: dense, bilinear, low-rank adapters, and embeddings."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from gradagree.reference.layer import Layer
from gradagree.reference.operations.moves import stop_gradient
from gradagree.reference.operations.scatter import put, scatter_add


def rows(x: Any) -> Any:
    """An array as a matrix of its rows: all axes but the last become one."""
    return np.reshape(x, (-1, np.shape(x)[-1]))


def dense_vjp(g: Any, x: Any, w: Any) -> tuple[Any, Any]:
    """The cotangents of x and w of y = x w^T: g w, and g^T x over all rows."""
    return g @ w, rows(g).T @ rows(x)


def separately(x: Any, w: Any, b: Any = None) -> Any:
    """y = x w^T, to which the bias is added."""
    y = x @ w.T
    return y if b is None else y + b


def in_one_sum(x: Any, w: Any, b: Any = None) -> Any:
    """The same with the bias as a term of the sum, which a program may begin with."""
    if b is None:
        return x @ w.T
    ones = np.ones((*np.shape(x)[:-1], 1))
    return np.concatenate([x, ones], axis=-1) @ np.concatenate([w, np.reshape(b, (-1, 1))], axis=-1).T


class Dense(Layer):
    """y_j = sum_i w_ji x_i + b_j."""

    bias: bool = True
    settings = ("bias=False",)

    def value(self, x: Any, w: Any, b: Any = None) -> Any:
        return separately(x, w, b)

    def other_value(self, x: Any, w: Any, b: Any = None) -> Any:
        return None if b is None else in_one_sum(x, w, b)

    def vjp(self, g: Any, x: Any, w: Any, b: Any = None) -> tuple[Any, ...]:
        by_x, by_w = dense_vjp(g, x, w)
        return (by_x, by_w) if b is None else (by_x, by_w, np.sum(rows(g), axis=0))

    def example(self, rng: np.random.Generator) -> dict[str, np.ndarray]:
        x, w, b = rng.standard_normal((2, 3, 5)), rng.standard_normal((4, 5)), rng.standard_normal(4)
        return {"x": x, "w": w, "b": b} if self.bias else {"x": x, "w": w}

    def torch(self, x, w, b=None, *, torch):
        return torch.nn.functional.linear(x, w, b)

    def jax(self, x, w, b=None, *, jax):
        y = x @ w.T
        return y if b is None else y + b


class Bilinear(Layer):
    """y_o = sum_ij u_i w_oij v_j + b_o."""

    def value(self, u: Any, v: Any, w: Any, b: Any) -> Any:
        return np.einsum("ni,oij,nj->no", u, w, v) + b

    def vjp(self, g: Any, u: Any, v: Any, w: Any, b: Any) -> tuple[Any, ...]:
        by_u = np.einsum("no,oij,nj->ni", g, w, v)
        by_v = np.einsum("no,oij,ni->nj", g, w, u)
        return by_u, by_v, np.einsum("no,ni,nj->oij", g, u, v), np.sum(g, axis=0)

    def example(self, rng: np.random.Generator) -> dict[str, np.ndarray]:
        shapes = {"u": (3, 4), "v": (3, 5), "w": (2, 4, 5), "b": (2,)}
        return {name: rng.standard_normal(shape) for name, shape in shapes.items()}

    def torch(self, u, v, w, b, *, torch):
        return torch.nn.functional.bilinear(u, v, w, b)

    def jax(self, u, v, w, b, *, jax):
        return jax.numpy.einsum("ni,oij,nj->no", u, w, v) + b


class LowRank(Layer):
    """y = x w^T + scale (x a^T) b^T: a dense layer with a low-rank adapter (Hu et al. 2021)."""

    scale: float = 0.5

    def value(self, x: Any, w: Any, a: Any, b: Any) -> Any:
        return x @ w.T + self.scale * ((x @ a.T) @ b.T)

    def vjp(self, g: Any, x: Any, w: Any, a: Any, b: Any) -> tuple[Any, ...]:
        by_x, by_w = dense_vjp(g, x, w)
        inner, scaled = x @ a.T, self.scale * g
        by_inner, by_b = dense_vjp(scaled, inner, b)
        through, by_a = dense_vjp(by_inner, x, a)
        return by_x + through, by_w, by_a, by_b

    def example(self, rng: np.random.Generator) -> dict[str, np.ndarray]:
        shapes = {"x": (2, 3, 6), "w": (5, 6), "a": (2, 6), "b": (5, 2)}
        return {name: rng.standard_normal(shape) for name, shape in shapes.items()}

    def torch(self, x, w, a, b, *, torch):
        linear = torch.nn.functional.linear
        return linear(x, w) + self.scale * linear(linear(x, a), b)

    def jax(self, x, w, a, b, *, jax):
        return x @ w.T + self.scale * ((x @ a.T) @ b.T)


def looked_up_vjp(g: Any, w: Any, index: np.ndarray, padding_idx: int) -> Any:
    """The cotangent of a table: each row has the sum of the cotangents of its places; the padding row has none."""
    n, width = np.shape(w)
    kept = np.where(index == padding_idx, -1, index)
    places = np.where(kept[..., None] < 0, -1, kept[..., None] * width + np.arange(width))
    return scatter_add(np.broadcast_to(g, places.shape), places, (n, width))


def without_padding(w: Any, padding_idx: int) -> Any:
    """The table, with a padding row that passes on no gradient."""
    return w if padding_idx < 0 else put(w, padding_idx, stop_gradient(w[padding_idx]))


class Embedding(Layer):
    """y = w[index]: rows of a table; the row padding_idx, if it is not negative, has no gradient."""

    padding_idx: int = -1
    settings = ("padding_idx=1",)

    def value(self, w: Any, index: Any) -> Any:
        return without_padding(w, self.padding_idx)[np.asarray(index)]

    def vjp(self, g: Any, w: Any, index: Any) -> tuple[Any, None]:
        return looked_up_vjp(g, w, np.asarray(index), self.padding_idx), None

    def example(self, rng: np.random.Generator) -> dict[str, np.ndarray]:
        return {"w": rng.standard_normal((6, 3)), "index": rng.integers(0, 5, (2, 7))}

    def torch(self, w, index, *, torch):
        padding = None if self.padding_idx < 0 else self.padding_idx
        return torch.nn.functional.embedding(index, w, padding_idx=padding)

    def jax(self, w, index, *, jax):
        if self.padding_idx >= 0:
            w = w.at[self.padding_idx].set(jax.lax.stop_gradient(w[self.padding_idx]))
        return jax.numpy.take(w, index, axis=0)


class EmbeddingBag(Layer):
    """y = sum_k s_k w[index_k], or their mean, or the largest of each column; weights s of a sum are optional."""

    mode: Literal["sum", "mean", "max"] = "sum"
    weighted: bool = False
    settings = ("weighted=True", "mode=mean", "mode=max")

    def value(self, w: Any, index: Any, s: Any = None) -> Any:
        found = w[np.asarray(index)]
        if self.mode == "max":
            return np.max(found, axis=-2)
        found = found if s is None else found * s[..., None]
        total = np.sum(found, axis=-2)
        return total if self.mode == "sum" else total / float(np.shape(index)[-1])

    def vjp(self, g: Any, w: Any, index: Any, s: Any = None) -> tuple[Any, ...]:
        index = np.asarray(index)
        found, spread = w[index], np.expand_dims(g, -2)
        if self.mode == "max":
            largest = np.argmax(found, axis=-2)[..., None, :]
            chosen = np.arange(index.shape[-1])[:, None] == np.asarray(largest)
            return looked_up_vjp(np.where(chosen, spread, 0.0), w, index, -1), None
        if self.mode == "mean":
            return looked_up_vjp(np.broadcast_to(spread / float(index.shape[-1]), np.shape(found)), w, index, -1), None
        if s is None:
            return looked_up_vjp(np.broadcast_to(spread, np.shape(found)), w, index, -1), None
        return looked_up_vjp(spread * s[..., None], w, index, -1), None, np.sum(spread * found, axis=-1)

    def example(self, rng: np.random.Generator) -> dict[str, np.ndarray]:
        found = {"w": rng.standard_normal((6, 3)), "index": np.stack([rng.permutation(6)[:4] for _ in range(3)])}
        if self.mode != "max":
            found["index"] = rng.integers(0, 6, (3, 4))
        return found | ({"s": rng.standard_normal((3, 4))} if self.weighted and self.mode == "sum" else {})

    def torch(self, w, index, s=None, *, torch):
        return torch.nn.functional.embedding_bag(index, w, mode=self.mode, per_sample_weights=s)

    def jax(self, w, index, s=None, *, jax):
        found = w[index]
        if s is not None:
            found = found * s[..., None]
        reduce = {"sum": jax.numpy.sum, "mean": jax.numpy.mean, "max": jax.numpy.max}[self.mode]
        return reduce(found, axis=-2)
