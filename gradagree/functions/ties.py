"""Gradients at ties: each entry may be any share of the whole, but the shares of equal entries add up.

Where the largest of several equal numbers is taken, programs differ in how they divide the gradient among them, so that
entry by entry everything between nothing and the whole is admissible. Moved together, equal entries stay equal, and the
derivative along such a direction is unique: <gradient, d> = f'(x; d) for each d that depends on the entries' values
only (Clarke, Optimization and Nonsmooth Analysis, 1983, 2.3.12).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from gradagree.arithmetic.model import OUTWARD, OWN
from gradagree.checker.verdict import Verdict, hexadecimal, number
from gradagree.functions.enclosures import Expected, enclose, is_floating
from gradagree.functions.judge import LEAST_SHARE
from gradagree.functions.sampling import noise
from gradagree.functions.tangents import enclose_tangents
from gradagree.reference.graph import Graph
from gradagree.reference.operations.primitive import one_choice

KEY = 1
REASON = (
    "at a tie each entry may have any share of the gradient, but the shares do not add up (the numbers are those of "
    "the derivative along a direction that keeps the ties)"
)
CHECKED_BY_SUM = "at a tie each entry may have any share of the gradient, and the shares add up"

SMOOTH = frozenset((
    "add", "arctan", "broadcast_to", "concatenate", "cos", "cosh", "divide", "erf", "erfc", "exp", "exp2",
    "expand_dims", "expit", "expm1", "getitem", "log", "log10", "log1p", "log2", "log_expit", "log_softmax", "matmul",
    "mean", "moveaxis", "multiply", "negative", "positive", "power", "ravel", "reciprocal", "reshape", "sin", "sinh",
    "softmax", "sqrt", "square", "squeeze", "stack", "subtract", "sum", "swapaxes", "tanh", "transpose",
))  # fmt: skip
"""Operations that choose none of several numbers, by the names of their primitives."""


PROJECTED = frozenset(("eigh", "complex eigh"))
"""Operations whose vjp gives symmetric or hermitian matrices, whatever the matrix."""
NOTED = frozenset(("max", "maximum", "min", "minimum"))
"""Operations that note their ties."""


def notes_ties(graph: Graph) -> bool:
    """True if all ties of a graph are noted in its vjp, in the context `noted_ties`."""
    return all(step.operation.name in SMOOTH | NOTED for step in graph.applications)


def is_smooth(graph: Graph) -> bool:
    """True if certainly no operation chooses one of several numbers, so that no gradient depends on ties."""
    return all(step.operation.name in SMOOTH for step in graph.applications)


def has_projected_gradient(graph: Graph) -> bool:
    """True if a gradient may be that of symmetric matrices only, which other directions do not have as a derivative."""
    return any(step.operation.name in PROJECTED for step in graph.applications)


class Sum(NamedTuple):
    """A sum of gradients over equal entries: what it must be, what it is, and the tolerance."""

    expected: float
    observed: float
    tolerance: float

    def fields(self) -> dict[str, Any]:
        """The fields of the record of a gradient whose entries do not add up."""
        return {
            "expected": hexadecimal(self.expected), "observed": hexadecimal(self.observed),
            "tolerance": hexadecimal(self.tolerance), "ratio": number(self.ratio), "reason": REASON,
            "sharpness": number(self.sharpness),
        }  # fmt: skip

    @property
    def sharpness(self) -> float:
        return self.tolerance / abs(self.expected) if self.expected else math.inf

    @property
    def ratio(self) -> float:
        error = abs(self.observed - self.expected)
        return error / self.tolerance if self.tolerance > 0 else (math.inf if error > 0 else 0.0)


def tied_values(inputs: Sequence[np.ndarray], unchecked: Sequence[np.ndarray]) -> np.ndarray:
    """The numbers that several entries have, one of which is not checked alone.

    Args:
        inputs: Arrays.
        unchecked: For each of them, the entries whose gradient has a tolerance as large as itself.
    """
    values, counts = np.unique(np.concatenate([np.ravel(x) for x in inputs]), return_counts=True)
    candidates = np.unique(np.concatenate([x[where] for x, where in zip(inputs, unchecked, strict=True)]))
    return np.intersect1d(values[counts > 1], candidates)


def sum_over_ties(
    graph: Graph, inputs: Sequence[np.ndarray], wrt: Sequence[int], cotangents: Sequence[np.ndarray | None],
    gradients: Sequence[np.ndarray], tied: np.ndarray, rung: str, dtype: str, stores: Sequence[str],
) -> Sum | None:  # fmt: skip
    """The sum of the gradients of tied entries, weighted by a random number for each value.

    Args:
        graph: The reference.
        inputs: One array for each input, as float64.
        wrt: The places of the inputs whose gradients are given.
        cotangents: One for each output; None for an output without one.
        gradients: What the program returns, one for each of `wrt`.
        tied: The values of the entries that are added.
        rung: The arithmetic.
        dtype: The dtype of the function.
        stores: The dtypes of the outputs, then of the inputs.

    Returns:
        The sum; None where the derivative along this direction is not unique, or not known.
    """
    direction = {k: np.where(np.isin(inputs[k], tied), noise(inputs[k], KEY), 0.0) for k in wrt}
    tangents = [direction.get(k) if is_floating(x) else None for k, x in enumerate(inputs)]
    moved = enclose_tangents(graph, inputs, tangents, rung, dtype, ["float64"] * len(graph.outputs))

    def gradients_of_choice(end: int) -> Sequence[Expected | None]:
        with one_choice(end):
            return enclose(graph, inputs, cotangents, rung, dtype, stores)[1]

    pairs = [(g, t) for g, t in zip(cotangents, moved, strict=True) if g is not None]
    expected, of_expected = added([g * t.value for g, t in pairs])
    observed, of_observed = added([direction[k] * g for k, g in zip(wrt, gradients, strict=True)])
    tolerance = of_expected + of_observed + float(sum(np.sum(np.abs(g) * t.radius) for g, t in pairs))
    tolerance += max(
        sum(float(np.sum(np.abs(d) * found.radius)) for k, d in direction.items() if (found := ends[k]) is not None)
        for ends in (gradients_of_choice(end) for end in (0, 1))
    )
    if not (math.isfinite(expected) and math.isfinite(tolerance)):
        return None
    return Sum(expected, observed, tolerance)


def checked_by_sum(found: Sum, expected: Expected, observed: np.ndarray, tied: np.ndarray) -> dict[str, Any]:
    """The fields of the record of a gradient whose tied entries add up, where that says more than each entry alone.

    Args:
        found: The sum over tied entries.
        expected: The gradient.
        observed: What the program returned, each entry within its tolerance.
        tied: The entries of the array that are in the sum.
    """
    if not tied.any() or not found.sharpness < 1 or not np.isfinite(expected.radius).all():
        return {}
    largest = float(np.max(np.abs(observed)))
    rest = np.max(expected.radius, where=~tied, initial=0.0)
    sharpness = max(float(rest) / largest if largest > 0 else math.inf, found.sharpness)
    share = float(np.mean(tied | (np.abs(expected.value) > expected.radius) | (expected.radius == 0)))
    if not sharpness < 1 or share < LEAST_SHARE:
        return {}
    return {"verdict": Verdict.AGREE, "sharpness": number(sharpness), "share": share, "reason": CHECKED_BY_SUM}


def added(products: Sequence[np.ndarray]) -> tuple[float, float]:
    """The sum of all products in float64, and a bound on its error (Higham, Accuracy and Stability, 2002, 4.2)."""
    terms = sum(x.size for x in products)
    size = sum(float(np.sum(np.abs(x))) for x in products)
    return float(sum(np.sum(x) for x in products)), (terms + 2) * OWN * OUTWARD * size
