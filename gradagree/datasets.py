"""Real data: the two bundled data sets of scikit-learn that fit the derivation's networks.

diabetes has exactly ten inputs; the quartiles of disease progression are its four decisions, so that the derivation's
own 10-4-6-8-4 network decides on it. digits has 64 inputs and ten classes.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from gradagree.arithmetics.model import FORMATS
from gradagree.arithmetics.quanta import rounded_to
from gradagree.errors import UsageError
from gradagree.targets import from_decisions

if TYPE_CHECKING:
    from gradagree.cases import Case
    from gradagree.drawing import Source

__all__ = ["DATASETS", "DataSet"]

BITS = 8
"""Inputs are rounded to this many binary places, which float16 and wider formats hold exactly."""


@dataclass(frozen=True)
class DataSet:
    """A data set: the number of inputs and of decisions, and what loads (inputs, number of the right decision)."""

    name: str
    inputs: int
    decisions: int
    classic: tuple[int, ...]
    load: Callable[[], tuple[np.ndarray, np.ndarray]]

    def check(self, case: Case) -> None:
        if (case.widths[0], case.outputs) != (self.inputs, self.decisions):
            raise UsageError(
                f"the data set {self.name} has {self.inputs} inputs and {self.decisions} decisions; "
                f"the network's widths begin with {case.widths[0]} and end with {case.outputs}"
            )
        if case.error.width(self.decisions) != self.decisions:
            raise UsageError(f"the data set {self.name} has one target for each output; {case.error} has not")

    def poll(self, case: Case, source: Source) -> tuple[np.ndarray, np.ndarray]:
        """As many examples as the case has, polled at random, with targets of the error function's kind."""
        inputs, decisions = self.load()
        polled = source.integers(len(inputs), (case.batch,))
        targets = from_decisions(case.error.targets, decisions[polled], self.decisions)
        return rounded_to(inputs[polled], FORMATS[case.dtype].precision), targets


@functools.cache
def diabetes() -> tuple[np.ndarray, np.ndarray]:
    """442 patients: ten measurements, centred and scaled to unit variance; the quartile of progression."""
    inputs, progression = _bundled("load_diabetes", scaled=False)
    standard = (inputs - inputs.mean(axis=0)) / inputs.std(axis=0)
    quartiles = np.searchsorted(np.quantile(progression, [0.25, 0.5, 0.75]), progression, side="left")
    return np.rint(np.ldexp(standard, BITS)) / 2.0**BITS, quartiles.astype(np.int64)


@functools.cache
def digits() -> tuple[np.ndarray, np.ndarray]:
    """1,797 handwritten digits: 8 x 8 shades from 0 to 1 in sixteenths; the digit."""
    inputs, digit = _bundled("load_digits")
    return inputs / 16.0, digit.astype(np.int64)


def _bundled(loader: str, **options: bool) -> tuple[np.ndarray, np.ndarray]:
    try:
        from sklearn import datasets
    except ImportError:
        raise UsageError("real data need scikit-learn: pip install 'gradagree[data]'") from None
    inputs, answers = getattr(datasets, loader)(return_X_y=True, **options)
    return np.asarray(inputs, dtype=np.float64), np.asarray(answers)


DATASETS = {
    "diabetes": DataSet("diabetes", 10, 4, (10, 4, 6, 8, 4), diabetes),
    "digits": DataSet("digits", 64, 10, (64, 32, 10), digits),
}
