"""The error in ulp along the input, in bins of a signed logarithmic axis: what a page draws."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import numpy as np

from gradagree.atlas.looking import Look

DECADES = (-6.0, 4.0)
PER_DECADE = 6
BINS = int((DECADES[1] - DECADES[0]) * PER_DECADE)
"""On each side; smaller and larger inputs are in the outermost bins."""
EDGES = 10 ** np.linspace(*DECADES, BINS + 1)


class Curve(msgspec.Struct, frozen=True):
    """The worst error in each bin, from the most negative input to the largest; -1 for none, "inf" for NaN."""

    function: str
    framework: str
    dtype: str
    quantity: str
    mode: str
    worst: list[float | str]


def curve(look: Look) -> Iterator[Curve]:
    """One curve for a function of one number at its defaults."""
    subject = look.subject
    if str(subject.function) != subject.function.name or (subject.points.ndim > 1 and subject.points.shape[1] > 1):
        return
    x = subject.points.ravel()
    with np.errstate(all="ignore"):
        bad = (look.truth.known > 0) & np.isfinite(look.truth.nearest) & ~np.isfinite(look.given)
        ulps = np.where(
            bad,
            np.inf,
            np.where(look.found.codes.reshape(bad.shape) == 0, np.fmin(look.found.ulps, 16), look.found.ulps),
        ).ravel()
        place = np.clip(np.searchsorted(EDGES, np.abs(x)) - 1, 0, BINS - 1)
    place = np.where(x < 0, BINS - 1 - place, BINS + place)
    worst = np.full(2 * BINS, -1.0)
    usable = ~np.isnan(ulps) & np.isfinite(x)
    np.maximum.at(worst, place[usable], ulps[usable])
    told: list[float | str] = [float(f"{y:.3g}") if np.isfinite(y) else "inf" for y in worst]
    yield Curve(subject.function.name, look.framework, subject.dtype, look.quantity, look.mode, told)
