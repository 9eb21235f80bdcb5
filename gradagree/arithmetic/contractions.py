"""Contractions as matrix products, shared by all arithmetics: dot, inner, outer, tensordot, einsum."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from gradagree.arithmetic.duck import Duck, NoRule


def tensordot(x: Any, y: Any, axes: Any = 2) -> Any:
    """sum over pairs of axes of x and y: one matrix product."""
    pairs = (range(-axes, 0), range(axes)) if isinstance(axes, int) else axes
    x_axes, y_axes = ([int(k) % np.ndim(z) for k in np.ravel(own)] for z, own in zip((x, y), pairs, strict=True))
    x_kept, y_kept = ([k for k in range(np.ndim(z)) if k not in own] for z, own in ((x, x_axes), (y, y_axes)))
    terms = math.prod(np.shape(x)[k] for k in x_axes)
    rows, columns = [np.shape(x)[k] for k in x_kept], [np.shape(y)[k] for k in y_kept]
    left = np.reshape(np.transpose(x, (*x_kept, *x_axes)), (math.prod(rows), terms))
    right = np.reshape(np.transpose(y, (*y_axes, *y_kept)), (terms, math.prod(columns)))
    return np.reshape(left @ right, [*rows, *columns])


def dot(x: Any, y: Any) -> Any:
    """sum over the last axis of x and the last but one of y."""
    if not (np.ndim(x) and np.ndim(y)):
        return x * y
    return tensordot(x, y, ([-1], [-1 if np.ndim(y) == 1 else -2]))


def inner(x: Any, y: Any) -> Any:
    """sum over the last axes."""
    return tensordot(x, y, ([-1], [-1])) if np.ndim(x) and np.ndim(y) else x * y


def vecdot(x: Any, y: Any, axis: int = -1) -> Any:
    """sum_i x_i y_i along an axis; the other axes broadcast."""
    x, y = (np.moveaxis(z, axis, -1) for z in np.broadcast_arrays(x, y))
    return (x[..., None, :] @ y[..., :, None])[..., 0, 0]


def einsum(subscripts: Any, *operands: Any) -> Any:
    """np.einsum of any number of arrays, such as "...ij,...jk->...ik"; products from the left to the right."""
    names, out, arrays = parse_subscripts(subscripts, *operands)
    arrays, names = map(list, zip(*map(diagonal, arrays, names), strict=True))
    arrays = stretched(arrays, names)
    while len(arrays) > 1:
        kept = out + "".join(names[2:])
        first = [summed(arrays[k], names[k], kept + names[1 - k]) for k in (0, 1)]
        pair = [name for _, name in first]
        joint = "".join(letter for letter in dict.fromkeys("".join(pair)) if letter in kept)
        arrays[:2], names[:2] = [contract([x for x, _ in first], pair, joint)], [joint]
    x, own = summed(arrays[0], names[0], out)
    return np.transpose(x, [own.index(letter) for letter in out]) if own != out else x


def summed(x: Any, own: str, others: str) -> tuple[Any, str]:
    """The sum over the axes whose letter nothing else has, and the letters that are left."""
    alone = tuple(k for k, letter in enumerate(own) if letter not in others)
    return (np.sum(x, axis=alone) if alone else x), "".join(letter for letter in own if letter in others)


def diagonal(x: Any, own: str) -> tuple[Any, str]:
    """The entries with equal places along axes of the same letter."""
    letters = "".join(dict.fromkeys(own))
    if len(letters) == len(own):
        return x, own
    shape = [np.shape(x)[own.index(letter)] for letter in letters]
    if any(n != shape[letters.index(letter)] for n, letter in zip(np.shape(x), own, strict=True)):
        raise NoRule(f"the axes of one letter of {own!r} have different lengths: {np.shape(x)}")
    grid = np.indices(shape)
    return x[tuple(grid[letters.index(letter)] for letter in own)], letters


def stretched(arrays: list[Any], names: list[str]) -> list[Any]:
    """Axes of length 1 in the length that other arrays have."""
    length: dict[str, int] = {}
    for x, own in zip(arrays, names, strict=True):
        for letter, n in zip(own, np.shape(x), strict=True):
            length[letter] = n if length.get(letter, 1) == 1 else length[letter]
    shapes = [tuple(length[letter] for letter in own) for own in names]
    pairs = zip(arrays, shapes, strict=True)
    return [x if np.shape(x) == shape else np.broadcast_to(x, shape) for x, shape in pairs]


LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"


def parse_subscripts(subscripts: Any, *operands: Any) -> tuple[list[str], str, list[Any]]:
    """The axis letters of each operand and those of the result, and the operands."""
    if not isinstance(subscripts, str):  # np.einsum(x, [0, 1], y, [1, 2], [0, 2])
        subscripts, operands = spelled_out(subscripts, *operands)
    given, arrow, out = subscripts.replace(" ", "").partition("->")
    names = given.split(",")
    if len(names) != len(operands):
        raise NoRule(f"np.einsum has {len(operands)} arrays, but {subscripts!r} has {len(names)}")
    once = "".join(sorted(a for a in set(given) - {",", "."} if given.count(a) == 1))
    free = [letter for letter in reversed(LETTERS) if letter not in subscripts]
    hidden = [np.ndim(x) - len(own.replace("...", "")) for x, own in zip(operands, names, strict=True)]
    dots = "".join(free[: max(hidden, default=0)])
    full = [own.replace("...", dots[len(dots) - n :] if n else "") for own, n in zip(names, hidden, strict=True)]
    for own, x in zip(full, operands, strict=True):
        if len(own) != np.ndim(x):
            raise NoRule(f"{subscripts!r} does not fit an array of {np.ndim(x)} axes; write a letter for each")
    used = dots if any("..." in own for own in names) else ""
    return full, (out.replace("...", used) if arrow else used + once), list(operands)


def spelled_out(*parts: Any) -> tuple[str, tuple[Any, ...]]:
    """Lists of axis numbers as letters."""

    def letters(axes: Any) -> str:
        return "".join("..." if axis is Ellipsis else LETTERS[axis] for axis in axes)

    operands, lists = parts[: len(parts) // 2 * 2 : 2], parts[1::2]
    text = ",".join(map(letters, lists))
    return text + (f"->{letters(parts[-1])}" if len(parts) % 2 else ""), operands


def contract(operands: list[Any], names: list[str], out: str) -> Any:
    """A batched matrix product; the batch axes are those of both operands that the result keeps."""
    x, y = operands
    length = {letter: np.shape(z)[k] for z, own in zip(operands, names, strict=True) for k, letter in enumerate(own)}
    both = [letter for letter in names[0] if letter in names[1] and letter in out]
    terms = [letter for letter in names[0] if letter in names[1] and letter not in out]
    x_own, y_own = ([letter for letter in own if letter not in both + terms] for own in names)
    sizes = [math.prod(length[letter] for letter in group) for group in (both, x_own, terms, y_own)]
    left = np.reshape(np.transpose(x, [names[0].index(a) for a in both + x_own + terms]), sizes[:3])
    right = np.reshape(np.transpose(y, [names[1].index(a) for a in both + terms + y_own]), (sizes[0], *sizes[2:]))
    found = np.reshape(left @ right if terms else left * right, [length[a] for a in both + x_own + y_own])
    return np.transpose(found, [(both + x_own + y_own).index(a) for a in out])


Duck.derived.update({
    np.tensordot: tensordot, np.dot: dot, np.inner: inner, np.einsum: einsum,
    np.outer: lambda x, y: np.ravel(x)[:, None] * np.ravel(y), np.vdot: lambda x, y: inner(np.ravel(x), np.ravel(y)),
    np.trace: lambda x, offset=0, axis1=0, axis2=1: np.sum(np.diagonal(x, offset, axis1, axis2), axis=-1),
    **{getattr(np, name): vecdot for name in ("vecdot",) if hasattr(np, name)},
})  # fmt: skip
