"""Real data: the two bundled data sets of scikit-learn that fit the derivation's networks.

diabetes has exactly ten inputs; the quartiles of disease progression are its four decisions, so that the derivation's
own 10-4-6-8-4 network decides on it. digits has 64 inputs and ten classes.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from gradagree.arithmetic.model import FORMATS
from gradagree.arithmetic.rounding import round_to_precision
from gradagree.cases.regimes import REGIMES, Source, encode_decisions
from gradagree.errors import UsageError
from gradagree.reference import ErrorFunction

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

    def check(self, inputs: int, outputs: int, error: ErrorFunction) -> None:
        """Raises UsageError where a network with these inputs, outputs and loss does not fit the data set."""
        if (inputs, outputs) != (self.inputs, self.decisions):
            raise UsageError(
                f"the data set {self.name} has {self.inputs} inputs and {self.decisions} decisions; "
                f"the network's widths begin with {inputs} and end with {outputs}"
            )
        if error.width(self.decisions) != self.decisions:
            raise UsageError(f"the data set {self.name} has one target for each output; {error} has not")

    def sample(self, source: Source, examples: int, kind: str, dtype: str) -> tuple[np.ndarray, np.ndarray]:
        """Examples sampled with replacement, with targets of the loss's kind."""
        inputs, decisions = self.load()
        sampled = source.integers(len(inputs), (examples,))
        targets = encode_decisions(kind, decisions[sampled], self.decisions)
        return round_to_precision(inputs[sampled], FORMATS[dtype].precision), targets


@functools.cache
def diabetes() -> tuple[np.ndarray, np.ndarray]:
    """442 patients: ten measurements, centred and scaled to unit variance; the quartile of progression."""
    inputs, progression = _load_bundled("load_diabetes", scaled=False)
    standard = (inputs - inputs.mean(axis=0)) / inputs.std(axis=0)
    quartiles = np.searchsorted(np.quantile(progression, [0.25, 0.5, 0.75]), progression, side="left")
    return np.rint(np.ldexp(standard, BITS)) / 2.0**BITS, quartiles.astype(np.int64)


@functools.cache
def digits() -> tuple[np.ndarray, np.ndarray]:
    """1,797 handwritten digits: 8 x 8 shades from 0 to 1 in sixteenths; the digit."""
    inputs, digit = _load_bundled("load_digits")
    return inputs / 16.0, digit.astype(np.int64)


def _load_bundled(loader: str, **options: bool) -> tuple[np.ndarray, np.ndarray]:
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


def regimes() -> list[str]:
    """The names of all regimes, the data sets last."""
    return [*REGIMES, *DATASETS]
