"""Sample inputs and targets inside the domain of a function, for checks without a case."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradagree.reference.contract import ErrorFunction


def to_domain(domain: str, x: Any) -> Any:
    """Map real numbers x into a domain, entry by entry or row by row."""
    if domain == "real":
        return x
    y = 0.5 + x / (1 + np.abs(x)) / 2
    if domain == "positive":
        return np.abs(x) + 0.125
    if domain == "unit":
        return y
    simplex = y / np.sum(y, axis=-1, keepdims=True)
    return simplex if domain == "simplex" else np.log(simplex)


def midpoint(domain: str, x: Any) -> Any:
    """The midpoint of a domain in the shape of x: 0, 1, 1/2, or n equal probabilities."""
    n = x.shape[-1] if np.ndim(x) else 1
    middle = {"real": 0.0, "positive": 1.0, "unit": 0.5, "simplex": 1 / n, "log_simplex": -np.log(n)}
    return np.full(np.shape(x), middle[domain])


def allowed_width(function: Any, least: int) -> int:
    """The smallest width >= least that the function accepts, else the length of its tuples, else the next smaller one.

    Raises ValueError if it accepts none of them.
    """
    tuples = sorted({len(value) for value in vars(function).values() if isinstance(value, tuple)} - {0})
    for n in (*range(least, least + 64), *tuples, *range(least - 1, 0, -1)):
        if function.width(n) is not None:
            return n
    raise ValueError(f"{function} accepts no width from 1 to {least + 63}")


def some_targets(error: ErrorFunction, examples: int, outputs: int) -> np.ndarray:
    """Targets of the kind that the loss expects, different for each example."""
    if error.targets == "classes":
        return np.arange(examples) % outputs
    width = error.width(outputs) or 0
    k = np.arange(examples * width).reshape(examples, width)
    if error.targets == "simplex":
        return np.full(k.shape, 1 / max(width, 1))
    kinds = {"real": k % 2.0, "bits": k % 2.0, "signs": 1 - 2.0 * (k % 2), "positive": k % 2 + 0.5}
    return np.asarray(kinds[error.targets])


def as_targets(kind: str, x: np.ndarray) -> np.ndarray:
    """Map real numbers x to targets of an elementwise kind (real, bits, signs or positive)."""
    kinds = {"real": x, "bits": (x > 0) * 1.0, "signs": np.sign(x), "positive": to_domain("positive", x)}
    return np.asarray(kinds[kind])


def varied_targets(error: ErrorFunction, examples: int, outputs: int) -> list[np.ndarray]:
    """Several batches of targets; examples differ in the number of classes, ones or signs that they hold.

    Their sizes follow no ramp, as outputs often do: then all differences would be equal.
    """
    first = some_targets(error, examples, outputs)
    if error.targets == "classes":
        return [first, np.zeros(examples, dtype=first.dtype), np.sort(first)[::-1].copy()]
    _, width = first.shape
    uneven = (2 * np.tri(examples, width) - 1) * (1 + np.arange(examples * width).reshape(examples, width) * 7 % 16 / 8)
    if error.targets == "simplex":
        return [first, to_domain("simplex", uneven), to_domain("simplex", -uneven)]
    return [first, as_targets(error.targets, uneven), as_targets(error.targets, -uneven)]


TARGET_NUMBERS: dict[str, tuple[float, ...]] = {
    "real": (0.0, 1.0, -2.5, 0.1875), "bits": (0.0, 1.0), "signs": (-1.0, 1.0), "positive": (0.0, 0.5, 1.0, 3.0, 96.0),
    "simplex": (0.0, 0.25, 1.0),
}  # fmt: skip
"""Targets of each kind for losses that work entry by entry."""


def target_rows(kind: str, width: int) -> list[list[float]]:
    """Targets of a kind, each a row of this width, for losses that do not work entry by entry."""
    first, ramp = [1.0] + [0.0] * (width - 1), [k / 2 for k in range(width)]
    if kind == "simplex":
        return [first, [1 / 4] * (width - 1) + [1 - (width - 1) / 4], first[::-1]]
    if kind == "bits":
        return [first, [0.0] * width, [1.0] * width]
    if kind == "signs":
        return [[1.0] * width, [-1.0] * width]
    if kind == "positive":
        return [[x + 0.5 for x in ramp]]
    return [ramp, first, [0.0] * width]
