"""Changes of a backward pass that are common mistakes: each adds something to the gradient that can be recognised."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from gradagree.functions.axis_changes import other_axes
from gradagree.functions.backward import MOST_WORK, Backward, Exhausted
from gradagree.functions.backward_change import BackwardChange, change_of, through
from gradagree.functions.several_changes import computed_again, loops, overwritten, pairs_of_contributions
from gradagree.functions.substitutes import operands_in_place, values_in_place
from gradagree.reference.graph import Value
from gradagree.reference.operations.composites import LOG_SOFTMAX, SOFTMAX
from gradagree.reference.operations.primitive import sum_to

UNARY = (
    "sin", "cos", "tan", "tanh", "sinh", "cosh", "exp", "exp2", "expm1", "log", "log2", "log10", "log1p", "sqrt",
    "cbrt", "square", "reciprocal", "arctan", "arcsin", "arccos", "arcsinh", "arccosh", "arctanh", "expit", "erf",
    "erfc", "log_expit", "softplus",
)  # fmt: skip


def changes(b: Backward) -> Iterator[BackwardChange]:
    """All changes with one meaning, the most common ones first; each kind of change as far as its work allows."""
    kinds = (
        single_contributions, other_values, other_factors, projections, other_derivatives, other_axes,
        other_indices, other_conditions, other_operands, other_contributions, computed_again,
        pairs_of_contributions, loops, overwritten,
    )  # fmt: skip
    for kind in kinds:
        b.left = MOST_WORK
        with contextlib.suppress(Exhausted):
            yield from kind(b)


def single_contributions(b: Backward) -> Iterator[BackwardChange]:
    """One consumer of a value whose contribution is missing, or has a wrong factor."""
    for k in b.live():
        for place, x in enumerate(b.contributions(k)):
            share = None if x is None else b.changed(k, place, np.zeros(np.shape(x)))
            if share is None or not share.any():
                continue
            reason = through(b, k)
            yield BackwardChange(f"{reason} is missing", share, b.steps[k].place)
            yield BackwardChange(f"{reason} has the wrong sign", 2 * share, b.steps[k].place)
            yield BackwardChange(f"{reason} is counted twice", -share, b.steps[k].place)
            yield BackwardChange(reason, -share, b.steps[k].place, f"{reason} has the factor {{}}, not 1")


def other_values(b: Backward) -> Iterator[BackwardChange]:
    """The cotangent of an intermediate value in place of that of the argument."""
    shape, gradient = np.shape(b.values[b.argument]), b.gradient
    for k in reversed(b.live()):
        g = b.cotangent(k)
        if np.shape(g) == shape:
            yield BackwardChange(
                f"it is the cotangent of the result of {b.steps[k].operation.name}, "
                "and the derivative of what comes before is not applied",
                g - gradient,
                b.steps[k].place,
            )


def other_factors(b: Backward) -> Iterator[BackwardChange]:
    """The gradient times a value, or divided by one."""
    gradient = b.gradient
    for k in dict.fromkeys([*range(len(b.graph.inputs)), *(b.steps[n].output.number for n in b.live())]):
        v = b.values[k]
        if not isinstance(v, np.ndarray) or not v.ndim or v.dtype.kind != "f":
            continue
        v = v.reshape(gradient.shape) if v.size == gradient.size else v
        if v.ndim > gradient.ndim or any(n not in (1, m) for n, m in zip(v.shape[::-1], gradient.shape[::-1])):  # noqa: B905
            continue
        n = k - len(b.graph.inputs)
        name = b.graph.inputs[k] if n < 0 else f"the result of {b.steps[n].operation.name}"
        b.spend(2 * gradient.size)
        yield BackwardChange(f"it is the gradient times {name}: a factor is counted twice", gradient * v - gradient)
        yield BackwardChange(f"it is the gradient divided by {name}: a factor is missing", gradient / v - gradient)


def projections(b: Backward) -> Iterator[BackwardChange]:
    """The gradient of a matrix without the part outside of the space of its columns, or of its rows."""
    x, gradient = b.values[b.argument], b.gradient
    if np.ndim(x) < 2 or np.shape(x)[-1] == np.shape(x)[-2] or not np.isfinite(x).all():
        return
    b.spend(np.size(x) * min(np.shape(x)[-2:]))
    u, _, vh = np.linalg.svd(x, full_matrices=False)
    if np.shape(x)[-2] > np.shape(x)[-1]:
        inside, what = u @ (np.swapaxes(u, -1, -2) @ gradient), "columns"
    else:
        inside, what = (gradient @ np.swapaxes(vh, -1, -2)) @ vh, "rows"
    yield BackwardChange(f"the part of the gradient that is orthogonal to the {what} is missing", inside - gradient)


def other_derivatives(b: Backward) -> Iterator[BackwardChange]:
    """Another derivative of one operation."""
    for k in reversed(b.live()):
        step, g = b.steps[k], b.cotangent(k)
        y, x = b.values[step.output.number], b.operands(k)[0]
        name = f"the derivative of {step.operation.name}"
        if np.shape(x) != np.shape(y) or not isinstance(step.operands[0], Value):
            continue
        others: list[tuple[str, Any]] = [("is not applied", g)]
        if step.operation.name in UNARY:
            others += [
                ("is taken at its result, not at its argument", b.derived(k, g, operands=[y])[0]),
                ("is applied twice", b.derived(k, b.contributions(k)[0])[0]),
                ("is replaced by its value", g * y),
            ]
        if step.operation.name in ("cumsum", "roll", "flip", "transpose", "swapaxes", "indexing"):
            forwards = step.operation.function(g, *b.operands(k)[1:], **step.parameters)
            others.append(("is applied in the direction of the forward pass", forwards))
        for reason, other in others:
            if (share := b.changed(k, 0, other)) is not None:
                yield BackwardChange(f"{name} {reason}", share, step.place)


def composites(b: Backward) -> Iterator[BackwardChange]:
    """The derivative of softmax in place of that of its logarithm, and the like, in a graph that has them whole."""
    for k in b.live():
        step, g = b.steps[k], b.cotangent(k)
        if step.operation not in (SOFTMAX, LOG_SOFTMAX):
            continue
        y, axis = b.values[step.output.number], step.parameters["axis"]
        others = {
            "does not use exp of its result": g - y * np.sum(g, axis=axis, keepdims=True),
            "is that of softmax": y * (g - np.sum(g * y, axis=axis, keepdims=True)),
            "takes the sum of products with its result": g - np.sum(g * y, axis=axis, keepdims=True),
            "is that of log_softmax": g - np.exp(y) * np.sum(g, axis=axis, keepdims=True),
            "has a mean in place of a sum": g - np.exp(y) * np.mean(g, axis=axis, keepdims=True),
            "is that of its diagonal": g * y * (1 - y),
        }
        for other_axis in (n for n in range(np.ndim(g)) if n != axis % np.ndim(g)):
            others[f"is taken along axis {other_axis}"] = step.operation.vjp(g, y, None, axis=other_axis)[0]  # type: ignore[misc]
        for reason, other in others.items():
            yield from change_of(b, k, 0, other, f"the derivative of {step.operation.name} {reason}")


def other_indices(b: Backward) -> Iterator[BackwardChange]:
    """Entries that are taken several times, of which one counts; a gather for the gradient of a gather."""
    for k in reversed(b.live()):
        step, x = b.steps[k], b.operands(k)[0]
        if not isinstance(step.operands[0], Value) or np.ndim(x) == 0:
            continue
        try:
            places = step.operation.function(np.arange(np.size(x)).reshape(np.shape(x)), *b.operands(k)[1:])
        except Exception:  # noqa: BLE001 (no operation that moves entries)
            continue
        places, g = np.asarray(places), np.asarray(b.cotangent(k))
        if places.dtype.kind != "i" or places.shape != g.shape or step.operation.name not in MOVING:
            continue
        if np.unique(places).size < places.size:
            for order, which in ((slice(None), "last"), (slice(None, None, -1), "first")):
                found = np.zeros(np.size(x))
                found[places.ravel()[order]] = g.ravel()[order]
                reason = f"where {step.operation.name} takes an entry several times, only the {which} one counts"
                yield from change_of(b, k, 0, found.reshape(np.shape(x)), f"{reason}: duplicates are lost")
        if g.shape[1:] == np.shape(x)[1:] and places.size:
            rows = places.reshape(len(places), -1)[:, 0] // max(1, np.size(x) // len(x))
            turned = g[rows[np.arange(len(x)) % len(rows)] % len(g)]
            yield from change_of(b, k, 0, turned, f"the cotangent of {step.operation.name} is gathered, not scattered")


MOVING = ("indexing", "take", "take_along_axis", "repeat", "tile")


def other_conditions(b: Backward) -> Iterator[BackwardChange]:
    """A mask that is not applied to the cotangent, or another one."""
    for k in reversed(b.live()):
        step, g = b.steps[k], b.cotangent(k)
        if step.operation.name != "where":
            continue
        condition, *choices = b.operands(k)
        for place, x in enumerate(choices, 1):
            whole = sum_to(np.broadcast_to(g, np.shape(g)), np.shape(x))
            yield from change_of(b, k, place, whole, "the mask of where is not applied")
            for reason, other in operands_in_place(np.asarray(condition)):
                found = b.derived(k, g, operands=[other, *choices])[place]
                yield from change_of(b, k, place, found, f"the derivative of where uses {reason} as its mask")
            inverted = b.derived(k, g, operands=[~np.asarray(condition, bool), *choices])[place]
            yield from change_of(b, k, place, inverted, "the mask of where is inverted")


def other_operands(b: Backward) -> Iterator[BackwardChange]:
    """Another number in place of an operand that the derivative needs."""
    for k in reversed(b.live()):
        step = b.steps[k]
        if step.operation.name not in ("multiply", "divide", "matmul", "power", "einsum", "dot", "hypot"):
            continue
        for q, x in enumerate(b.operands(k)):
            if not isinstance(x, np.ndarray | float | int):
                continue
            known = values_in_place(b.graph, b.values, step.output.number, x) if isinstance(x, np.ndarray) else []
            for reason, other in [*operands_in_place(np.asarray(x, float)), *known]:
                operands = b.operands(k)
                operands[q] = other
                for p, found in enumerate(b.derived(k, b.cotangent(k), operands=operands)):
                    if p != q and found is not None:
                        used = reason.format(operand="its operand")
                        yield from change_of(b, k, p, found, f"the derivative of {step.operation.name} uses {used}")


def other_contributions(b: Backward) -> Iterator[BackwardChange]:
    """Entries of a cotangent inside that do not count: those above or below a diagonal; another order of axes."""
    for k in reversed(b.live()):
        step, g = b.steps[k], np.asarray(b.cotangent(k))
        name = step.operation.name
        if g.ndim >= 2 and min(g.shape[-2:]) > 1:
            ones = np.ones(g.shape[-2:])
            for mask, where in ((np.triu(ones, 1), "above"), (np.tril(ones, -1), "below")):
                reason = f"the contribution through {name} is missing {where} its diagonal"
                yield BackwardChange(reason, b.push({step.output.number: -g * mask}), step.place)
        if name == "reshape":
            yield from other_orders(b, k, g)


def other_orders(b: Backward, k: int, g: np.ndarray) -> Iterator[BackwardChange]:
    """Two axes that a reshape joins, in the other order."""
    shape = np.shape(b.operands(k)[0])
    for n in range(len(shape) - 1):
        if shape[n] > 1 and shape[n + 1] > 1:
            other = (*shape[:n], shape[n + 1], shape[n], *shape[n + 2 :])
            turned = np.swapaxes(g.reshape(other), n, n + 1)
            yield from change_of(b, k, 0, turned, f"axis {n} and axis {n + 1} are joined in the wrong order of axis")
