"""Operations that move entries, and constants."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradagree.adapters.aten.table import aten, axes, concrete
from gradagree.errors import UsageError


@aten("view", "_unsafe_view", "reshape", "_reshape_alias")
def view(x: Any, shape: Any, *_: Any) -> Any:
    return np.reshape(x, tuple(shape))


@aten("expand")
def expand(x: Any, shape: Any, **_: Any) -> Any:
    own = (1,) * (len(shape) - np.ndim(x)) + np.shape(x)
    return np.broadcast_to(x, tuple(n if n != -1 else m for n, m in zip(shape, own, strict=True)))


@aten("permute")
def permute(x: Any, dims: Any) -> Any:
    return np.transpose(x, tuple(dims))


@aten("transpose")
def transpose(x: Any, a: int, b: int) -> Any:
    return np.swapaxes(x, a, b) if np.ndim(x) else x


@aten("t", "numpy_T")
def t(x: Any) -> Any:
    return np.transpose(x)


@aten("unsqueeze")
def unsqueeze(x: Any, dim: int) -> Any:
    return np.expand_dims(x, dim)


@aten("squeeze")
def squeeze(x: Any, dim: Any = None) -> Any:
    dims = range(np.ndim(x)) if dim is None else np.atleast_1d(dim)
    drop = tuple(int(d) for d in dims if np.ndim(x) and np.shape(x)[d] == 1)
    return np.squeeze(x, drop) if drop else x


@aten("select")
def select(x: Any, dim: int, index: int) -> Any:
    return x[at(x, dim, int(index))]


@aten("slice")
def slice_(x: Any, dim: int = 0, start: Any = None, end: Any = None, step: int = 1) -> Any:
    return x[at(x, dim, slice(start, end, step))]


def at(x: Any, dim: int, place: Any) -> tuple[Any, ...]:
    """An index into one axis."""
    index: list[Any] = [slice(None)] * np.ndim(x)
    index[dim] = place
    return tuple(index)


def places(x: Any) -> np.ndarray:
    """The number of each entry."""
    return np.arange(int(np.prod(np.shape(x)))).reshape(np.shape(x))


def put(x: Any, index: Any, source: Any) -> Any:
    """x with the entries at an index replaced."""
    marked = np.full(np.shape(x), -1)
    marked[index] = np.arange(marked[index].size).reshape(marked[index].shape)
    source = np.ravel(np.broadcast_to(source, np.shape(marked[index])))
    return np.where(marked >= 0, source[np.maximum(marked, 0)], x) if np.size(source) else x


@aten("select_scatter")
def select_scatter(x: Any, source: Any, dim: int, index: int) -> Any:
    return put(x, at(x, dim, int(index)), source)


@aten("slice_scatter")
def slice_scatter(x: Any, source: Any, dim: int = 0, start: Any = None, end: Any = None, step: int = 1) -> Any:
    return put(x, at(x, dim, slice(start, end, step)), source)


@aten("cat")
def cat(arrays: Any, dim: int = 0) -> Any:
    """PyTorch leaves out arrays of shape (0,), whatever the shape of the others."""
    kept = [x for x in arrays if np.shape(x) != (0,)]
    return np.concatenate(kept or arrays, axis=dim)


@aten("stack")
def stack(arrays: Any, dim: int = 0) -> Any:
    return np.stack(arrays, axis=dim)


@aten("split", "split_with_sizes")
def split(x: Any, sizes: Any, dim: int = 0) -> Any:
    n = np.shape(x)[dim]
    ends = list(range(sizes, n, sizes)) if isinstance(sizes, int) else list(np.cumsum(sizes)[:-1])
    return [x[at(x, dim, slice(a, b))] for a, b in zip([0, *ends], [*ends, n], strict=True)]


@aten("unbind")
def unbind(x: Any, dim: int = 0) -> Any:
    return [x[at(x, dim, k)] for k in range(np.shape(x)[dim])]


@aten("flip")
def flip(x: Any, dims: Any) -> Any:
    return np.flip(x, tuple(dims))


@aten("roll")
def roll(x: Any, shifts: Any, dims: Any = ()) -> Any:
    return np.roll(x, shifts, axes(dims or None))


@aten("repeat")
def repeat(x: Any, repeats: Any) -> Any:
    return np.tile(x, tuple(repeats))


@aten("gather")
def gather(x: Any, dim: int, index: Any, **_: Any) -> Any:
    if not np.ndim(x):
        return np.broadcast_to(x, np.shape(index))
    grids: list[Any] = list(np.indices(np.shape(np.atleast_1d(index))))
    grids[dim] = np.atleast_1d(concrete(index))
    return np.reshape(x[tuple(grids)], np.shape(index))


@aten("index_select")
def index_select(x: Any, dim: int, index: Any) -> Any:
    return np.take(x, np.ravel(concrete(index)), axis=dim) if np.ndim(x) else x


@aten("index")
def index(x: Any, indices: Any) -> Any:
    given = [slice(None) if i is None else concrete(i) for i in indices]
    return x[tuple(given)]


@aten("embedding")
def embedding(weight: Any, indices: Any, padding_idx: int = -1, *_: Any) -> Any:
    return weight[concrete(indices)]


@aten("constant_pad_nd")
def constant_pad(x: Any, pad: Any, value: Any = 0) -> Any:
    widths = [(0, 0)] * (np.ndim(x) - len(pad) // 2)
    widths += [(pad[2 * k], pad[2 * k + 1]) for k in reversed(range(len(pad) // 2))]
    index = tuple(slice(max(-a, 0), n - max(-b, 0)) for (a, b), n in zip(widths, np.shape(x), strict=True))
    return np.pad(x[index], [(max(a, 0), max(b, 0)) for a, b in widths], constant_values=value)


@aten("tril")
def tril(x: Any, diagonal: int = 0) -> Any:
    return np.tril(x, diagonal)


@aten("triu")
def triu(x: Any, diagonal: int = 0) -> Any:
    return np.triu(x, diagonal)


@aten("diagonal")
def diagonal(x: Any, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Any:
    return np.diagonal(x, offset, dim1, dim2)


@aten("arange")
def arange(*args: Any, **_: Any) -> Any:
    return np.arange(*args)


@aten("full")
def full(shape: Any, value: Any, **_: Any) -> Any:
    return np.full(tuple(shape), value)


@aten("full_like", "fill")
def full_like(x: Any, value: Any, **_: Any) -> Any:
    return np.broadcast_to(value, np.shape(x)) if np.shape(value) == () else value


@aten("zeros", "new_zeros", "empty", "new_empty", "empty_permuted", "empty_strided", "new_empty_strided")
def zeros(*args: Any, **_: Any) -> Any:
    sizes = [arg for arg in args if isinstance(arg, list | tuple)]
    return np.zeros(tuple(sizes[0]))


@aten("ones", "new_ones")
def ones(*args: Any, **_: Any) -> Any:
    return np.ones(tuple(args[-1]))


@aten("zeros_like", "empty_like")
def zeros_like(x: Any, **_: Any) -> Any:
    return np.zeros(np.shape(x))


@aten("ones_like")
def ones_like(x: Any, **_: Any) -> Any:
    return np.ones(np.shape(x))


@aten("scalar_tensor")
def scalar_tensor(x: Any, **_: Any) -> Any:
    return np.asarray(x)


@aten("narrow")
def narrow(x: Any, dim: int, start: Any, length: int) -> Any:
    return slice_(x, dim, int(start), int(start) + length)


@aten("diagonal_scatter")
def diagonal_scatter(x: Any, source: Any, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Any:
    at_diagonal = np.diagonal(places(x), offset, dim1, dim2)
    return np.reshape(put(np.ravel(x), np.ravel(at_diagonal), np.ravel(source)), np.shape(x))


def strided(size: Any, stride: Any, offset: int | None) -> np.ndarray:
    """The positions in memory of the entries of a strided view."""
    found = np.full(tuple(size), offset or 0)
    for k, (n, step) in enumerate(zip(size, stride, strict=True)):
        found = found + np.reshape(np.arange(n) * step, [-1 if j == k else 1 for j in range(len(size))])
    return found


@aten("as_strided")
def as_strided(x: Any, size: Any, stride: Any, offset: int | None = None) -> Any:
    """A view of a contiguous array.

    Raises:
        UsageError: It reads memory outside the array.
    """
    positions = strided(size, stride, offset)
    if positions.size and positions.max() >= np.size(x):
        raise UsageError("as_strided reads memory outside its array; give the whole array as an input")
    return np.ravel(x)[positions]


@aten("as_strided_scatter")
def as_strided_scatter(x: Any, source: Any, size: Any, stride: Any, offset: int | None = None) -> Any:
    at_view = strided(size, stride, offset)
    return np.reshape(put(np.ravel(x), np.ravel(at_view), np.ravel(source)), np.shape(x))
