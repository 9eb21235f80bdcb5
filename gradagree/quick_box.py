"""One box, and what a framework made of it, as the quick tests look at it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from gradagree.arithmetics.model import Model
from gradagree.comparison import Part
from gradagree.kinks import Kinks
from gradagree.reference import Activation, Box
from gradagree.tiles import SAFE, Claim

__all__ = ["Given"]


@dataclass(frozen=True, eq=False)
class Given:
    """One box, with the framework's own p, c, delta_p and delta_c; gradients are None that are not to be looked at."""

    number: int
    box: Box
    model: Model
    kinks: Kinks
    p: np.ndarray
    c: np.ndarray
    delta_p: np.ndarray
    delta_c: np.ndarray
    dw: np.ndarray | None
    db: np.ndarray | None

    @property
    def activation(self) -> Activation:
        return self.box.activation

    def claim(self, part: Part, value: Any, radius: Any, slopes: Any = None) -> Claim:
        """That the framework's own array is value within radius."""
        observed, nothing = getattr(self, part), getattr(self, f"no_{part}")
        return Claim(self.number, part, observed, value, SAFE * radius, self.model.format, nothing, slopes or {})

    def no_c(self) -> bool:
        """Whether each product in c has a factor 0, and there is no bias."""
        w, b = self.box.w, self.box.b
        if w is None or (b is not None and b.any()):
            return False
        return not (w.any() and np.any(self.activation.value(self.p)))

    def no_delta_p(self) -> bool:
        """Whether nothing comes from inside, or nothing is handed on: by w, or by the slope."""
        w = self.box.w
        if self.no_db() or (w is not None and not w.any()):
            return True
        return not self.activation.along_last_axis and not np.any(self.activation.derivative(self.p))

    def no_dw(self) -> bool:
        """Whether a factor of each product is 0."""
        return self.no_db() or not np.any(self.activation.value(self.p))

    def no_db(self) -> bool:
        """Whether nothing inside changes."""
        return not self.delta_c.any()
