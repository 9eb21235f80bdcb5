"""Handing out the cases of a framework to its processes, without those that have their records already."""

from __future__ import annotations

import threading

from gradagree.cases import Case
from gradagree.plan import Plan
from gradagree.resuming import Done

Unit = list[tuple[int, Case, list[str]]]
"""Numbers, cases and modes."""


class Units:
    """The cases of one framework, in units for its processes to take."""

    def __init__(self, plan: Plan, framework: str, done: Done) -> None:
        self._units = (left for unit in plan.units(framework) if (left := _left(unit, framework, done)))
        self._lock = threading.Lock()

    def take(self) -> Unit | None:
        """The next unit: numbers, cases and modes; None when all are taken."""
        with self._lock:
            return next(self._units, None)


def _left(unit: Unit, framework: str, done: Done) -> Unit:
    """What of a unit has no record yet."""
    left = ((i, case, [mode for mode in modes if not done.has(framework, mode, i)]) for i, case, modes in unit)
    return [one for one in left if one[2]]
