"""The error box's cheap sound tests: within what any other correct formula may differ, or left to the box check."""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np

from gradagree.arithmetics.model import Model
from gradagree.arithmetics.rounded import Rounded
from gradagree.comparison import ERROR_BOX, Part
from gradagree.quick_values import rounds, unheld
from gradagree.reference import ErrorFunction
from gradagree.reference.samples import allowed_width, inside, some_targets
from gradagree.tiles import SAFE, Claim

__all__ = ["QuickError"]


class QuickError:
    """The error box with the framework's own o; t are the targets as ordinary numbers."""

    def __init__(self, error: ErrorFunction, o: np.ndarray, t: np.ndarray, model: Model) -> None:
        self.error, self.o, self.t, self.model = error, o, t, model

    def E(self, observed: float) -> Claim | None:
        """E, within 8 u |E| where it is rounded."""
        return self._claim("E", np.asarray(observed), np.asarray(self.error.value(self.o, self.t)))

    def delta_p(self, observed: np.ndarray) -> Claim | None:
        """dE/do, within 8 u |dE/do| where it is rounded."""
        return self._claim("delta_p", observed, np.asarray(self.error.sensitivity(self.o, self.t)))

    def _claim(self, part: Part, observed: np.ndarray, value: np.ndarray) -> Claim | None:
        if observed.shape != value.shape or not value.size or not self._small:
            return None
        rounds = self._always_rounds[part] or unheld(value, self.model)
        radius = SAFE * self.model.formula * self.model.u * np.abs(value) * rounds
        return Claim(ERROR_BOX, part, observed, value, radius, self.model.format)

    @functools.cached_property
    def _small(self) -> bool:
        """Whether squares, their sums and exponentials of these numbers lie within the dtype's range."""
        largest = max((float(np.max(np.abs(x), initial=0.0)) for x in (self.o, self.t)), default=0.0)
        room = self.model.format.largest
        return largest < math.log(room) / 2 and (1 + largest) ** 2 * self.o.size < room

    @functools.cached_property
    def _always_rounds(self) -> dict[Part, bool]:
        return always_rounds(self.error, self.model, *(n & (n - 1) == 0 for n in self.o.shape))


@functools.lru_cache(maxsize=1024)
def always_rounds(error: ErrorFunction, model: Model, few_examples: bool, few_outputs: bool) -> dict[Part, bool]:
    """Whether no part of E, and of dE/do, is ever exact but 0: not even for the roundest numbers.

    few: whether their number is a power of two, by which a division may be exact.
    """
    try:
        examples, outputs = 4 if few_examples else 5, allowed_width(error, 4 if few_outputs else 5)
        t = some_targets(error, examples, outputs)
        given: Any = t if error.targets == "classes" else Rounded.stored(t, model)
        found = {"E": True, "delta_p": True}
        ramp = np.arange(examples * outputs).reshape(examples, outputs) / 4 - outputs / 2
        for o in (np.zeros(ramp.shape), ramp):
            stored = Rounded.stored(inside(error.domain, o), model)
            with np.errstate(all="ignore"):
                parts = {"E": error.value(stored, given), "delta_p": error.sensitivity(stored, given)}
            found = {part: found[part] and rounds(x) for part, x in parts.items()}
    except ValueError:
        return {"E": False, "delta_p": False}
    return found
