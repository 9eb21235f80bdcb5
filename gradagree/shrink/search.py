"""The smallest case that fails in the same way, found by Hypothesis's shrinker over the integers that describe it."""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from gradagree.cases.case import Case
from gradagree.cases.graph_case import AnyCase, GraphCase
from gradagree.checker.response import Response
from gradagree.checker.verdict import Record, Verdict
from gradagree.errors import UsageError
from gradagree.reference import ContractError
from gradagree.shrink.cut import Draw, coarsen, cut, numbers_in
from gradagree.shrink.cut_graph import cut_graph
from gradagree.shrink.failing_case import FailingCase, ModeProcess, failing_case

INSTALL = "pip install 'gradagree[shrink]'"
MOST_NUMBERS = 400
"""A case with at most this many numbers has each of them simplified."""
DATABASE_KEY = b"gradagree"
Choices = tuple[int, ...]

PLAIN = "1-1:id:sse:n1:f64:grid:s1"
"""The case whose time sets the limits for cases that hang."""
SHORTEST, FACTOR = 1.0, 10.0
"""The limit for a smaller case: at least these seconds, and this multiple of the time of the plain case."""
CONFIRMATION = 5.0
"""Multiple of the limit after which the smallest case counts as hanging."""
LIMITS = 10
"""Number of limits that the time must suffice for."""


class Shrunk(NamedTuple):
    """A small case with its record."""

    case: Any
    record: Record


def can_shrink() -> bool:
    """True if Hypothesis is installed."""
    return importlib.util.find_spec("hypothesis") is not None


def shrink(case: AnyCase, record: Record, process: ModeProcess, seconds: float) -> Shrunk | None:
    """The smallest case found within the time limit; None if nothing smaller fails in the same way."""
    started_at = time.monotonic()
    if record.verdict is not Verdict.TIMEOUT:
        return _smallest(case, record, process, started_at + seconds)
    if (limit := _short_limit(process, seconds)) is None:
        return None
    with process.time_limit(limit):
        found = _smallest(case, record, process, started_at + seconds - CONFIRMATION * limit)
    if found is None:
        return None
    with process.time_limit(CONFIRMATION * limit):
        again = process.record(found.case, found.case.arrays())
    return Shrunk(found.case, again) if again is not None and again.verdict is Verdict.TIMEOUT else None


def _short_limit(process: ModeProcess, seconds: float) -> float | None:
    """The time limit for an answer while a case that hangs is shrunk; None if there is too little time."""
    plain, longest = Case.parse(PLAIN), seconds / LIMITS
    if longest < SHORTEST:
        return None
    started_at = time.monotonic()
    with process.time_limit(longest):
        answer = process.answer(plain, plain.arrays())
    if not isinstance(answer, Response):
        return longest
    limit = max(SHORTEST, FACTOR * (time.monotonic() - started_at))
    return limit if limit <= longest else None


def _smallest(case: AnyCase, record: Record, process: ModeProcess, deadline: float) -> Shrunk | None:
    answer = process.answer(case, case.arrays())
    original = failing_case(case, record, answer)
    if not original.same(process.compare(case, original.arrays, answer)):
        return None
    found = _cut(original, process, deadline)
    if found is not None and original.location is None:  # which operations are needed is not known: cut once more
        found = _cut(failing_case(*found, process.answer(found.case, found.case.arrays())), process, deadline) or found
    small = found.case if found is not None else case
    if numbers_in(small) <= MOST_NUMBERS:
        found = Search(original, process, deadline, lambda draw: coarsen(small, draw)).smallest() or found
    return found


def _cut(original: FailingCase, process: ModeProcess, deadline: float) -> Shrunk | None:
    make: Any = cut_graph if isinstance(original.case, GraphCase) else cut
    return Search(original, process, deadline, lambda draw: make(original, original.location, draw)).smallest()


@dataclass
class Search:
    """Searches among the cases that `make` builds from integers; each is tried once, and none after the deadline."""

    original: FailingCase
    process: ModeProcess
    deadline: float
    make: Callable[[Draw], AnyCase]
    tried: dict[Choices, Shrunk | None] = field(default_factory=dict)

    def smallest(self) -> Shrunk | None:
        """The smallest case found; None if not even the largest one fails in the same way."""
        largest = self.largest()
        return None if largest is None or not self.fails(largest) else self.tried[self.minimize(largest)]

    def largest(self) -> Choices | None:
        """The choices that leave everything as it is."""
        chosen: list[int] = []

        def draw(most: int) -> int:
            chosen.append(most)
            return most

        return tuple(chosen) if self.build(draw) is not None else None

    def build(self, draw: Draw) -> AnyCase | None:
        """The case of these choices; None if there is none."""
        try:
            return self.make(draw)
        except (UsageError, ValueError, IndexError, ContractError):
            return None

    def fails(self, choices: Choices) -> bool:
        """True if the case of these choices fails in the same way."""
        if choices not in self.tried:
            if time.monotonic() > self.deadline:
                return False
            self.tried[choices] = self.attempt(choices)
        return self.tried[choices] is not None

    def attempt(self, choices: Choices) -> Shrunk | None:
        values = iter(choices)
        case = self.build(lambda most: next(values))
        record = None if case is None else self.process.record(case, case.arrays())
        return Shrunk(case, record) if case and record and self.original.same(record) else None

    def minimize(self, choices: Choices) -> Choices:
        """The choices that Hypothesis's shrinker reaches from these, which are stored as an earlier example."""
        from hypothesis import HealthCheck, Phase, errors, find, settings
        from hypothesis.database import InMemoryExampleDatabase, choices_to_bytes

        database = InMemoryExampleDatabase()
        database.save(DATABASE_KEY + b".secondary", choices_to_bytes(choices))
        options = settings(
            database=database, phases=(Phase.reuse, Phase.shrink), deadline=None, derandomize=False,
            suppress_health_check=list(HealthCheck),
        )  # fmt: skip
        try:
            return find(self.strategy(), self.fails, settings=options, database_key=DATABASE_KEY)
        except (errors.NoSuchExample, errors.Flaky, errors.Unsatisfiable):
            failing = [choices for choices, shrunk in self.tried.items() if shrunk is not None]
            return min(failing, key=lambda choices: (len(choices), choices))

    def strategy(self) -> Any:
        """The choices of a case, each from 0 to the largest that the case allows there."""
        from hypothesis import strategies

        @strategies.composite
        def choices(draw: Any) -> Choices:
            chosen: list[int] = []

            def choose(most: int) -> int:
                chosen.append(draw(strategies.integers(0, most)))
                return chosen[-1]

            self.build(choose)
            return tuple(chosen)

        return choices()
