"""Targets outside the definition of a loss: classes that do not exist, probabilities beyond 1, negative counts.

Frameworks raise, return NaN, or return a number. A number that the formula of the loss does not give is a finding; for
a class that does not exist, the formula gives none.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from gradagree.adapters.pointwise import is_rows
from gradagree.arithmetic.model import FORMATS
from gradagree.arithmetic.rounding import round_to_format
from gradagree.reference import ErrorFunction
from gradagree.reference.samples import some_targets, to_domain
from gradagree.surveys.classify import ErrorCode
from gradagree.surveys.exact import ExactValues, compute_exact_values
from gradagree.surveys.measurements import Deviation
from gradagree.surveys.rows import row_width
from gradagree.surveys.subject import Subject

INVALID = {"bits": (-0.5, 1.5), "simplex": (-0.5, 1.5), "signs": (0.0, 2.0), "positive": (-1.0,)}
"""Targets outside the definition of each kind; of classes these are -1 and their number."""
ROW = np.array([0.5, -1.25, 2.0, -0.25, 0.75, 3.0])
LABELS_OF_GROUPS = ("ntxent",)
"""Losses for which a class is any number: only whether two are equal matters."""
QUANTITIES = ("value", "slope")


def subjects_with_invalid_labels(error: ErrorFunction, dtype: str) -> Iterator[Subject]:
    """The loss at one ordinary row, or at ordinary numbers, with each invalid label."""
    rows = is_rows(error)
    n = row_width(error) if rows else 1
    x = to_domain(error.domain, np.resize(ROW, n)[None] if rows else ROW[:, None])
    x = round_to_format(np.asarray(x), FORMATS[dtype])
    t = some_targets(error, len(x), n)
    if t.size == 0 or error.name in LABELS_OF_GROUPS:
        return
    for label in (-1, n) if error.targets == "classes" else INVALID.get(error.targets, ()):
        targets = t.copy()
        targets.reshape(len(x), -1)[:, 0] = label
        axes = tuple(range(n)) if rows else None
        yield Subject(error, dtype, x, targets, (0,) if rows else None, axes, label=f"label {label:g}")


def formula_values(subject: Subject, quantity: str, shape: tuple[int, ...]) -> ExactValues:
    """What the formula of the loss gives, unknown for classes that do not exist."""
    if subject.classes:
        return ExactValues(np.zeros(shape), np.zeros(shape), np.full(shape, np.nan), np.zeros(shape, dtype=np.int8))
    return compute_exact_values(subject, quantity, balls_only=True)


def count_of_numbers(observed: np.ndarray, exact: ExactValues, dtype: str) -> np.ndarray:
    """Where a result is a number other than that of the formula."""
    with np.errstate(invalid="ignore"):
        share = 2.0 ** (-FORMATS[dtype].precision / 2)
        same = (exact.known > 0) & (np.abs(observed - exact.high) <= share * np.maximum(1.0, np.abs(exact.high)))
    return np.asarray(np.isfinite(observed) & ~same)


def describe(observed: np.ndarray) -> str:
    """What a framework returns."""
    if np.isnan(observed).any():
        return "it returns NaN"
    return "it returns numbers" if np.isfinite(observed).all() else "it returns infinity"


def label_deviation(
    subject: Subject, quantity: str, framework: str, mode: str, observed: np.ndarray, exact: ExactValues
) -> Deviation | None:
    """The numbers that the formula does not give; None if there are none."""
    where = count_of_numbers(observed, exact, subject.dtype)
    if not where.any():
        return None
    index = tuple(map(int, np.argwhere(where)[0]))
    row = slice(index[0], index[0] + 1)
    known = bool(exact.known[index])
    return Deviation(
        subject=subject.at(row), quantity=quantity, framework=framework, mode=mode, code=ErrorCode.LABEL,
        region="ordinary", count=int(where.sum()), low=float(subject.points.min()), high=float(subject.points.max()),
        index=(0, *index[1:]), observed=float(observed[index]),
        exact=float(exact.high[index]) if known else float("nan"), worst_ulp=float("inf"), gross=True,
        values=observed[row].copy(),
    )  # fmt: skip
