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
    left = np.reshape(np.transpose(x, (*x_kept, *x_axes)), (-1, terms))
    right = np.reshape(np.transpose(y, (*y_axes, *y_kept)), (terms, -1))
    return np.reshape(left @ right, [*(np.shape(x)[k] for k in x_kept), *(np.shape(y)[k] for k in y_kept)])


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


def einsum(subscripts: str, *operands: Any) -> Any:
    """np.einsum of one or two arrays, such as "bij,bjk->bik"."""
    names, out = parse_subscripts(subscripts, len(operands))
    summed = []
    for k, (x, own) in enumerate(zip(operands, names, strict=True)):
        others = out + "".join(names[:k] + names[k + 1 :])
        alone = tuple(place for place, letter in enumerate(own) if letter not in others)
        summed.append(np.sum(x, axis=alone) if alone else x)
        names[k] = "".join(letter for letter in own if letter in others)
    if len(summed) == 1:
        return np.transpose(summed[0], [names[0].index(letter) for letter in out])
    return contract(summed, names, out)


def parse_subscripts(subscripts: Any, operands: int) -> tuple[list[str], str]:
    """The axis letters of each operand and those of the result."""
    if not isinstance(subscripts, str) or "." in subscripts or operands > 2:
        raise NoRule("np.einsum supports one or two arrays and no ellipsis here; write it as several products")
    given, arrow, out = subscripts.replace(" ", "").partition("->")
    names = given.split(",")
    if not arrow:
        out = "".join(sorted(letter for letter in set(given) - {","} if given.count(letter) == 1))
    if any(len(set(own)) < len(own) for own in names):
        raise NoRule("np.einsum does not support a repeated letter within one array here; write np.diagonal")
    return names, out


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
