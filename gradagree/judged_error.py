"""Error functions whose rounded answers enclose those of any correct formula."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from gradagree.arithmetics.dual import Dual, slope_of
from gradagree.arithmetics.model import NARROW
from gradagree.arithmetics.rounded import Rounded
from gradagree.formed import formed_sensitivity, reach
from gradagree.judged import allowance, finite, formed_anyhow, product, values_of, wider
from gradagree.kinks import error_slope
from gradagree.natural import largest_sensitivity, underflow
from gradagree.reference import ErrorFunction
from gradagree.reference.samples import neutral

__all__ = ["JudgedError"]


@dataclass(frozen=True)
class JudgedError:
    """An error function on rounded arrays, with the radii of any correct formula."""

    error: ErrorFunction
    natural: bool = False
    slope: str | None = None
    formed: bool = False

    def value(self, o: Rounded, t: Any) -> Rounded:
        """E(o, t), within 8 u (|E| + sum |o_i s_i|), and 8 u (|E(0)| + sum |o_i| S_i) if natural."""
        x, plain = o.value, values_of(t)
        with np.errstate(all="ignore"):
            e = o._lift(self.error.value(o, t))
            scale = np.abs(e.value) + np.sum(np.abs(product(x, self.error.sensitivity(x, plain))), axis=(-2, -1))
            if self.natural:
                start = neutral(self.error.domain, x)
                scale = scale + np.abs(self.error.value(start, plain))
                way = np.abs(x - start) * largest_sensitivity(self.error, x, plain)
                scale = scale + np.sum(way, axis=(-2, -1))
        return e.widened(allowance(scale, e.radius, o.model))

    def sensitivity(self, o: Rounded, t: Any) -> Rounded:
        """dE/do, within 8 u (|s| + |o s'|), and 8 u S if natural; s' is the change of s along o.

        If formed, within what automatic differentiation of E may form, too.
        """
        x, plain = o.value, values_of(t)
        if self.slope is not None:
            return self._with_slope(o, t)
        if self.formed:
            o = o.modelled(o.model.outwards)
        with np.errstate(all="ignore"):
            s = o._lift(self.error.sensitivity(o, t))
            scale = np.abs(s.value) + self._change(x, plain)
            if self.natural:
                scale = scale + largest_sensitivity(self.error, x, plain)
            formed = self._formed(o, t, s.radius) if self.formed else None
        radius = s.radius if formed is None else wider(s, formed)
        if self.natural:
            radius = np.where(_overflowing(x, formed), np.inf, radius)
        answer = Rounded(s.value, radius, o.model, s.q).widened(allowance(scale, radius, o.model))
        if self.natural:
            with np.errstate(all="ignore"):
                lost = underflow(scale, np.sum(x**2, axis=-1, keepdims=True), o.model)
                lost = lost + NARROW * o.model.quantum * reach(self.error, x, plain)
                answer = answer.widened(np.where(radius != 0, finite(lost), 0.0))
        return answer

    def _formed(self, o: Rounded, t: Any, spread: np.ndarray) -> Rounded | None:
        """What automatic differentiation of E may form; s is off by spread."""
        return formed_anyhow(o, lambda o: formed_sensitivity(self.error, o, t), spread)

    def _with_slope(self, o: Rounded, t: Any) -> Rounded:
        """The slope at the kinks, as it is one rounding beside them, and what is open; elsewhere nothing is said."""
        plain = values_of(t)
        slope = error_slope(self.error, o.value, plain, self.slope or "")
        margin = o.model.formula * o.model.u * np.abs(slope) + o.model.quantum
        with np.errstate(all="ignore"):
            margin = margin + o._lift(self.error.sensitivity(o, t)).radius
        return Rounded(slope, np.where(self.error.kink(o.value, plain), margin, np.nan), o.model)

    def _change(self, x: np.ndarray, t: Any) -> np.ndarray:
        """How much s changes for a relative change of o: along o, or along |o|, whichever is more."""
        along = [np.abs(slope_of(self.error.sensitivity(Dual(x, way), t))) for way in (x, np.abs(x))]
        return finite(np.broadcast_to(np.maximum(*along), x.shape))


def _overflowing(o: np.ndarray, formed: Rounded | None) -> Any:
    """In rows that have overflowed already, and where a number that E is formed of may not fit."""
    past = ~np.isfinite(o).all(axis=-1, keepdims=True)
    return past if formed is None else past | np.isinf(formed.radius)
