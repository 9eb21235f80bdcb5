"""Changes of a backward pass in the sums over axes: of reductions, and of arrays that are broadcast."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np

from gradagree.functions.backward import Backward
from gradagree.functions.backward_change import BackwardChange, change_of
from gradagree.reference.graph import Value
from gradagree.reference.operations.primitive import restore, sum_to


def other_axes(b: Backward) -> Iterator[BackwardChange]:
    """A cotangent summed or broadcast along other axes."""
    for k in reversed(b.live()):
        step = b.steps[k]
        if "keepdims" in step.parameters or step.operation.name in ("sum", "mean"):
            yield from other_reductions(b, k)
        for place, x in enumerate(b.operands(k)):
            if isinstance(step.operands[place], Value) and np.shape(x) != np.shape(b.cotangent(k)):
                yield from other_sums(b, k, place)


def other_reductions(b: Backward, k: int) -> Iterator[BackwardChange]:
    """The cotangent of a reduction, broadcast along another axis or summed over further ones."""
    step, x = b.steps[k], b.operands(k)[0]
    axis, kept = step.parameters.get("axis"), bool(step.parameters.get("keepdims", False))
    g = restore(b.cotangent(k), np.shape(x), axis, kept)
    shape = np.shape(b.cotangent(k))
    name = step.operation.name
    for n, m in itertools.permutations(range(np.ndim(g)), 2):
        if np.shape(g)[n] == 1 < np.shape(x)[n] == np.shape(g)[m]:
            turned = np.broadcast_to(np.swapaxes(g, n, m), np.shape(x))
            other = turned * (b.contributions(k)[0] / np.where(g == 0, 1, g))
            if (share := b.changed(k, 0, other)) is not None:
                reason = f"the cotangent of {name} is broadcast along axis {m}, not along axis {n}"
                yield BackwardChange(reason, share, step.place)
    long = [n for n in range(np.ndim(g)) if np.shape(g)[n] > 1]
    for count in (1, 2):
        for axes, function in itertools.product(itertools.combinations(long, count), (np.sum, np.mean)):
            summed = np.broadcast_to(function(g, axis=axes, keepdims=True), np.shape(g)).reshape(shape)
            along, how = " and ".join(map(str, axes)), "summed" if function is np.sum else "averaged"
            reason = f"the cotangent of {name} is {how} over axis {along} as well"
            yield from change_of(b, k, 0, b.derived(k, summed)[0], reason)


def other_sums(b: Backward, k: int, place: int) -> Iterator[BackwardChange]:
    """The cotangent of an operand that was broadcast: one of its terms, or another sum of them."""
    terms = terms_of(b, k, place)
    shape = np.shape(b.operands(k)[place])
    if terms is None:
        return
    lead = terms.ndim - len(shape)
    repeated = [n for n in range(terms.ndim) if n < lead or (shape[n - lead] == 1 < terms.shape[n])]
    name = f"the cotangent of an operand of {b.steps[k].operation.name}"
    for n in repeated:
        for at, which in ((0, "first"), (-1, "last")):
            one = sum_to(np.take(terms, at, axis=n) if n < lead else np.take(terms, [at], axis=n), shape)
            yield from change_of(
                b, k, place, one, f"{name} is not summed over axis {n}: only its {which} entry is taken"
            )
    for n in [n for n in range(terms.ndim) if n not in repeated]:
        axes = " and ".join(map(str, sorted([*repeated, n])))
        for function, how in ((np.sum, "summed"), (np.mean, "averaged")):
            whole = np.broadcast_to(function(terms, axis=n, keepdims=True), terms.shape)
            yield from change_of(b, k, place, sum_to(whole, shape), f"{name} is {how} over axis {axes}")
    for order in itertools.permutations(range(terms.ndim)) if terms.ndim <= 4 else ():
        turned = np.transpose(terms, order)
        if turned.shape == terms.shape and order != tuple(range(terms.ndim)):
            axes = " and ".join(str(order[n]) for n in repeated)
            yield from change_of(b, k, place, sum_to(turned, shape), f"{name} is summed over axis {axes}")


def terms_of(b: Backward, k: int, place: int) -> np.ndarray | None:
    """The cotangent of a broadcast operand before its sum."""
    step, g = b.steps[k], b.cotangent(k)
    if step.operation.name == "broadcast_to":
        return np.asarray(g)
    operands = b.operands(k)
    try:
        operands[place] = np.broadcast_to(operands[place], np.shape(g))
        terms = np.asarray(b.derived(k, g, operands=operands)[place])
    except (ValueError, TypeError, IndexError):  # no operation entry by entry
        return None
    return terms if terms.shape == np.shape(g) else None


# Indices and conditions.
