"""What frameworks answer at the kinks of a function of one number: for its page."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
import numpy as np

from gradagree.atlas.looking import Look
from gradagree.reference import Activation


class AtKink(msgspec.Struct, frozen=True):
    """The derivative that was given at one kink, and the slopes on both sides."""

    function: str
    framework: str
    kink: float
    given: float | str
    left: float
    right: float
    modes: list[str]
    dtypes: list[str]


def at_kinks(look: Look) -> Iterable[AtKink]:
    """One for each kink that is a number of the dtype."""
    subject = look.subject
    function = subject.function
    if look.quantity != "slope" or not isinstance(function, Activation) or subject.points.ndim > 1:
        return
    for kink in function.kinks:
        where = np.flatnonzero(subject.points == kink)
        if len(where):
            left, right = (float(function.derivative(np.nextafter(float(kink), side * np.inf))) for side in (-1, 1))
            given = float(look.given[where[0]])
            told = given if np.isfinite(given) else str(given)
            yield AtKink(str(function), look.framework, float(kink), told, left, right, [look.mode], [subject.dtype])


def gathered(rows: Iterable[AtKink]) -> list[AtKink]:
    """Those that are the same number in several modes and dtypes as one."""
    found: dict[tuple[object, ...], AtKink] = {}
    for row in rows:
        key = (row.function, row.framework, row.kink, row.given)
        before = found.get(key)
        if before is None:
            found[key] = row
        else:
            for name in ("modes", "dtypes"):
                theirs = getattr(before, name)
                theirs += [x for x in getattr(row, name) if x not in theirs]
    return list(found.values())
