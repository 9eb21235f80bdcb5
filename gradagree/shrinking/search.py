"""The smallest case that fails in the same way, by Hypothesis's shrinker over whole numbers that say what stays."""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from gradagree.cases import Case
from gradagree.errors import UsageError
from gradagree.reference import ContractError
from gradagree.shrinking.cuts import Draw, coarse, cut, numbers_in
from gradagree.shrinking.hanging import CONFIRMED, hurried, waiting
from gradagree.shrinking.whole import Asked, Whole, whole_of
from gradagree.verdict import Record, Verdict

INSTALL = "pip install 'gradagree[shrink]'"
MOST_NUMBERS = 400
"""So many numbers of a case are simplified one by one."""
NAME = b"gradagree"
Choices = tuple[int, ...]


class Shrunk(NamedTuple):
    """A small case with its record."""

    case: Case
    record: Record


def can_shrink() -> bool:
    """Whether Hypothesis is installed."""
    return importlib.util.find_spec("hypothesis") is not None


def shrink(case: Case, record: Record, asked: Asked, seconds: float) -> Shrunk | None:
    """The smallest case found in so many seconds; None where nothing smaller fails in the same way."""
    begun = time.monotonic()
    if record.verdict is not Verdict.TIMEOUT:
        return _smallest(case, record, asked, begun + seconds)
    if (limit := hurried(asked, seconds)) is None:
        return None
    with waiting(asked.process, limit):
        found = _smallest(case, record, asked, begun + seconds - CONFIRMED * limit)
    if found is None:
        return None
    with waiting(asked.process, CONFIRMED * limit):
        again = asked.record(found.case, found.case.arrays())
    return Shrunk(found.case, again) if again is not None and again.verdict is Verdict.TIMEOUT else None


def _smallest(case: Case, record: Record, asked: Asked, deadline: float) -> Shrunk | None:
    answer = asked.answer(case, case.arrays())
    whole = whole_of(case, record, answer)
    if not whole.same(asked.judged(case, whole.arrays, answer)):
        return None
    found = _cut(whole, asked, deadline)
    if found is not None and whole.guilty is None:  # nobody knows which boxes are needed: once more, from there
        found = _cut(whole_of(*found, asked.answer(found.case, found.case.arrays())), asked, deadline) or found
    small = found.case if found is not None else case
    if numbers_in(small) <= MOST_NUMBERS:
        found = Search(whole, asked, deadline, lambda draw: coarse(small, draw)).smallest() or found
    return found


def _cut(whole: Whole, asked: Asked, deadline: float) -> Shrunk | None:
    return Search(whole, asked, deadline, lambda draw: cut(whole, whole.guilty, draw)).smallest()


@dataclass
class Search:
    """Tries what `make` builds of chosen numbers; every try is remembered, and past the deadline none is made."""

    whole: Whole
    asked: Asked
    deadline: float
    make: Callable[[Draw], Case]
    tried: dict[Choices, Shrunk | None] = field(default_factory=dict)

    def smallest(self) -> Shrunk | None:
        """The last of ever smaller cases; None where not even the first one fails in the same way."""
        first = self.largest()
        return None if first is None or not self.fails(first) else self.tried[self.found(first)]

    def largest(self) -> Choices | None:
        """The choices that leave everything as it is."""
        chosen: list[int] = []

        def draw(most: int) -> int:
            chosen.append(most)
            return most

        return tuple(chosen) if self.built(draw) is not None else None

    def built(self, draw: Draw) -> Case | None:
        try:
            return self.make(draw)
        except (UsageError, ValueError, IndexError, ContractError):
            return None

    def fails(self, choices: Choices) -> bool:
        """Whether the case of these choices fails in the same way."""
        if choices not in self.tried:
            if time.monotonic() > self.deadline:
                return False
            self.tried[choices] = self.judged(choices)
        return self.tried[choices] is not None

    def judged(self, choices: Choices) -> Shrunk | None:
        given = iter(choices)
        case = self.built(lambda most: next(given))
        record = None if case is None else self.asked.record(case, case.arrays())
        return Shrunk(case, record) if case and record and self.whole.same(record) else None

    def found(self, first: Choices) -> Choices:
        """What Hypothesis's shrinker makes of the first choices, which it is given as an example found earlier."""
        from hypothesis import HealthCheck, Phase, errors, find, settings
        from hypothesis.database import InMemoryExampleDatabase, choices_to_bytes

        database = InMemoryExampleDatabase()
        database.save(NAME + b".secondary", choices_to_bytes(first))
        how = settings(
            database=database, phases=(Phase.reuse, Phase.shrink), deadline=None, derandomize=False,
            suppress_health_check=list(HealthCheck),
        )  # fmt: skip
        try:
            return find(self.strategy(), self.fails, settings=how, database_key=NAME)
        except (errors.NoSuchExample, errors.Flaky, errors.Unsatisfiable):
            kept = [choices for choices, shrunk in self.tried.items() if shrunk is not None]
            return min(kept, key=lambda choices: (len(choices), choices))

    def strategy(self) -> Any:
        from hypothesis import strategies

        @strategies.composite
        def choices(draw: Any) -> Choices:
            chosen: list[int] = []

            def one(most: int) -> int:
                chosen.append(draw(strategies.integers(0, most)))
                return chosen[-1]

            self.built(one)
            return tuple(chosen)

        return choices()
