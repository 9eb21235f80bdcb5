"""Error functions in variance arithmetic."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from gradagree.arithmetics.dual import Dual
from gradagree.arithmetics.rounded import Rounded
from gradagree.arithmetics.variance import DEVIATIONS, Variance
from gradagree.formed import formed_sensitivity
from gradagree.judged import finite, values_of
from gradagree.kinks import error_slope
from gradagree.natural import largest_sensitivity
from gradagree.reference import ErrorFunction

__all__ = ["ProbableError"]


@dataclass(frozen=True)
class ProbableError:
    """An error function in variance arithmetic, or in dual numbers over it."""

    error: ErrorFunction
    formed: bool = False

    def value(self, o: Any, t: Any) -> Any:
        if isinstance(o, Dual):
            return Dual(self.error.value(o.value, t), np.sum(self.sensitivity(o.value, t) * o.slope, axis=(-2, -1)))
        return self.error.value(o, t)

    def sensitivity(self, o: Variance, t: Any) -> Any:
        """dE/do, with other formulas' errors, u (|s| + S), those of E's own if formed, and its jump on a kink."""
        s, plain = o._lift(self.error.sensitivity(o, t)), values_of(t)
        scale = np.abs(s.value) + largest_sensitivity(self.error, o.value, plain)
        s = s.widened(o.model.u * finite(scale) * (s.variance > 0))
        if self.formed:
            given = plain if self.error.targets == "classes" else Rounded.stored(plain, o.model)
            formed = formed_sensitivity(self.error, Rounded.stored(o.value, o.model), given)
            s = s if formed is None else s.widened(np.nan_to_num(formed.radius / DEVIATIONS, posinf=0.0))
        kinked = self.error.kink(o.value, plain)
        if not np.any(kinked):
            return s
        left, right = (error_slope(self.error, o.value, plain, side) for side in ("left", "right"))
        return s.widened(np.where(kinked, right - left, 0.0))
