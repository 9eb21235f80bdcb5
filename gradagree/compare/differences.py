"""Differences between two runs: new and resolved disagreements, lost coverage, changes beyond the noise."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from scipy import special

from gradagree.cases.text import split_case
from gradagree.checker.verdict import ORDER, Record, Verdict
from gradagree.compare.side import Key, RecordOutcome, Side
from gradagree.report.findings import Cause, cause_of
from gradagree.report.matrix import Column
from gradagree.report.text import short_name
from gradagree.runner.known_entry import Entry


class MedianInterval(NamedTuple):
    """A confidence interval of a median."""

    low: float
    high: float

    def apart(self, other: MedianInterval) -> bool:
        return self.low > other.high or self.high < other.low


NOTHING = MedianInterval(0.0, 0.0)


def median_interval(moves: Sequence[float], level: float) -> MedianInterval:
    """Confidence interval of the median, wrong with probability `level`; unbounded for too few moves."""
    n = len(moves)
    k = places(n, level)
    if not k:
        return MedianInterval(-math.inf, math.inf)
    ordered = np.sort(np.asarray(moves, dtype=np.float64))
    return MedianInterval(float(ordered[k - 1]), float(ordered[n - k]))


def places(n: int, level: float) -> int:
    """The largest k with 2 P(Bin(n, 1/2) < k) <= level; 0 for none."""
    low, high = 0, n // 2
    while low < high:
        k = (low + high + 1) // 2
        low, high = (k, high) if 2 * special.bdtr(k - 1, n, 0.5) <= level else (low, k - 1)
    return low


def more_lost_than_gained(lost: int, gained: int, level: float) -> bool:
    """True if more records were lost than gained than chance explains, if both were equally likely."""
    if not lost:
        return False
    return bool(special.bdtrc(lost - 1, lost + gained, 0.5) <= level)


ACCURACY, SHARPNESS = "distance over tolerance", "tolerance over largest entry"
Pair = tuple[Key, RecordOutcome, RecordOutcome]


class Move(NamedTuple):
    """A change of accuracy or tolerance: its factor (above 1: worse), and the factor of the other cases, its noise."""

    what: str
    column: Column
    dtype: str
    function: str
    cases: int
    factor: float
    between: MedianInterval
    noise: MedianInterval

    @property
    def worse(self) -> bool:
        return self.factor > 1


def moves(pairs: Iterable[Pair]) -> Iterator[Move]:
    """All moves beyond their noise, the largest first.

    Each framework, mode and dtype is held against no move at all, and each function in it against the cases without it.
    """
    pairs = [pair for pair in pairs if pair[1].verdict.compared and pair[2].verdict.compared]
    groups = _groups(pairs)
    level = 1 / max(1, len(pairs) * 2 * sum(1 + len(functions) for functions in groups.values()))
    found = [
        move
        for what in (ACCURACY, SHARPNESS)
        for (column, dtype), functions in groups.items()
        for move in _in_group(what, column, dtype, functions, level)
    ]
    yield from sorted(found, key=lambda move: -abs(math.log2(move.factor)) if move.factor else -math.inf)


Group = dict[str, list[Pair]]


def _groups(pairs: Iterable[Pair]) -> dict[tuple[Column, str], Group]:
    """By column and dtype: all pairs under the empty name, and those of each function."""
    groups: dict[tuple[Column, str], Group] = defaultdict(lambda: defaultdict(list))
    for pair in pairs:
        key, _, outcome = pair
        group = groups[key.column, outcome.dtype]
        group[""].append(pair)
        parts = split_case(key.spec)
        for function in dict.fromkeys([*parts.activations, *filter(None, [parts.error])]):
            group[function].append(pair)
    return groups


def _in_group(what: str, column: Column, dtype: str, functions: Group, level: float) -> Iterator[Move]:
    grown = {pair[0]: move for pair in functions[""] if (move := _move(what, pair)) is not None}
    for function, pairs in functions.items():
        own = [grown[pair[0]] for pair in pairs if pair[0] in grown]
        between, noise = median_interval(own, level), NOTHING
        if between.apart(NOTHING) and function:
            inside = {pair[0] for pair in pairs}
            noise = median_interval([move for key, move in grown.items() if key not in inside], level)
        if between.apart(NOTHING) and between.apart(noise):
            yield Move(what, column, dtype, function, len(own), _factor(float(np.median(own))), between, noise)


def _factor(move: float) -> float:
    return math.inf if move > 1000 else 2.0**move


def _move(what: str, pair: Pair) -> float | None:
    """By how many factors of two it grew; None where one of the two runs has no number."""
    _, before, after = pair
    if what == ACCURACY:
        a, b = before.ratio, after.ratio
        small = abs(b - a) <= max(before.step, after.step)
    else:
        a, b, small = before.sharpness, after.sharpness, False
    if math.isnan(a) or math.isnan(b):
        return None
    if a == b or small:
        return 0.0
    if a == 0 or b == math.inf:
        return math.inf
    return -math.inf if b == 0 or a == math.inf else math.log2(b / a)


MISSING = "not run"
OPEN = (Verdict.UNDECIDED, Verdict.OUT_OF_RANGE)


@dataclass
class Loss:
    """Records checked in the first run but not in the second; gained counts the opposite."""

    column: Column
    what: str
    example: str
    count: int = 0
    gained: int = 0
    functions: tuple[str, ...] = ()
    by_chance: bool = False


def is_decided(outcome: RecordOutcome) -> bool:
    return outcome.verdict.compared and outcome.verdict not in OPEN


def losses_between(before: Side, after: Side, level: float) -> Iterator[Loss]:
    """By column and by the outcome in the second run. A verdict that is undecided now may be so by chance.

    An extract that leaves records out cannot show which ones were not run.
    """
    losses: dict[tuple[Column, str], Loss] = {}
    cut_short = after.left_out > 0
    gained: Counter[tuple[Column, str]] = Counter()
    for key, was in before.outcomes.items():
        now = after.outcomes.get(key)
        if is_decided(was) and (not cut_short if now is None else not is_decided(now)):
            what = MISSING if now is None else str(now.verdict)
            loss = losses.setdefault((key.column, what), Loss(key.column, what, key.spec))
            loss.count += 1
        elif not is_decided(was) and now is not None and is_decided(now):
            gained[key.column, str(was.verdict)] += 1
    lost_functions = {} if cut_short else _lost_functions(before, after)
    for (column, what), loss in losses.items():
        loss.gained, loss.functions = gained[column, what], lost_functions.get(column, ())
        chance = what in OPEN and not more_lost_than_gained(loss.count, loss.gained, level)
        loss.by_chance = chance
        yield loss


def _lost_functions(before: Side, after: Side) -> dict[Column, tuple[str, ...]]:
    """Functions that were checked in a column before and are not any more."""
    was, now = _functions(before), _functions(after)
    lost = {column: tuple(sorted(names - now.get(column, set()))) for column, names in was.items()}
    return {column: names for column, names in lost.items() if names}


def _functions(side: Side) -> dict[Column, set[str]]:
    found: dict[Column, set[str]] = {}
    for key, outcome in side.outcomes.items():
        if is_decided(outcome):
            parts = split_case(key.spec)
            found.setdefault(key.column, set()).update(parts.activations, filter(None, [parts.error]))
    return found


@dataclass
class Change:
    """Records of one cause that fail in one run alone, and what they were in the other."""

    cause: Cause
    mode: str
    example: Record
    known: Entry | None
    comparable: bool = True
    count: int = 0
    other: Counter[str] = field(default_factory=Counter)

    @property
    def regresses(self) -> bool:
        """True if it is new: not accepted, and in a mode that both runs ran."""
        return self.known is None and self.comparable

    @property
    def was(self) -> str:
        """``agree``, or ``agree 3, undecided 1``."""
        if len(self.other) == 1:
            return next(iter(self.other))
        return ", ".join(f"{word} {n:,}" for word, n in self.other.most_common())


class Turn(NamedTuple):
    """Another one-sided derivative at a kink than before."""

    column: Column
    place: str
    before: str
    after: str


@dataclass
class Differences:
    """All results of a comparison of two runs."""

    before: Side
    after: Side
    matched: int
    new: list[Change]
    resolved: list[Change]
    turns: list[Turn]
    moves: list[Move]
    losses: list[Loss]
    gained: int

    @property
    def regressions(self) -> list[Change | Move | Loss]:
        """The differences for which --gate fails."""
        new = [change for change in self.new if change.regresses]
        worse = [move for move in self.moves if move.worse]
        return [*new, *worse, *(loss for loss in self.losses if not loss.by_chance)]

    @property
    def exit(self) -> int:
        """1 for a regression, 5 where the runs have no record in common."""
        return 5 if not self.matched else int(bool(self.regressions))


def compare_runs(before: Side, after: Side) -> Differences:
    """Differences between two runs, matched by case, framework and mode."""
    columns = {key.column for key in before.outcomes}
    pairs = [(key, was, after.outcomes[key]) for key, was in before.outcomes.items() if key in after.outcomes]
    level = 1 / max(1, len(pairs)) ** 2
    losses = sorted(losses_between(before, after, level), key=lambda loss: (loss.by_chance, -loss.count))
    return Differences(
        before, after, len(pairs),
        _group_by_cause(_new(before, after), columns), _group_by_cause(_resolved(before, after)),
        list(_turns(before, after)), list(moves(pairs)), losses,
        sum(is_decided(now) and (key not in before.outcomes or not is_decided(before.outcomes[key]))
            for key, now in after.outcomes.items()),
    )  # fmt: skip


def _finds(outcome: RecordOutcome, strict: bool) -> bool:
    return outcome.verdict.fails or (strict and outcome.verdict is Verdict.INACCURATE)


def _new(before: Side, after: Side) -> Iterator[tuple[RecordOutcome, str]]:
    """Failures that are not in the first run, or are less severe there. Of a case that it did not run, new causes."""
    strict = before.strict or after.strict
    old = {
        (cause_of(was.record), was.record.mode)
        for was in before.outcomes.values()
        if was.record and _finds(was, strict)
    }
    for key, now in after.outcomes.items():
        if now.record is None or not _finds(now, strict):
            continue
        was = before.outcomes.get(key)
        if was is None and (cause_of(now.record), now.record.mode) not in old:
            yield now, MISSING
        elif was is not None and ORDER[now.verdict] < ORDER[was.verdict]:
            yield now, str(was.verdict)


def _resolved(before: Side, after: Side) -> Iterator[tuple[RecordOutcome, str]]:
    """Failures of the first run that the second run does not have, or that are less severe there."""
    strict = before.strict or after.strict
    for key, was in before.outcomes.items():
        now = after.outcomes.get(key)
        if now is not None and was.record and _finds(was, strict) and ORDER[now.verdict] > ORDER[was.verdict]:
            yield was, str(now.verdict)


def _group_by_cause(
    found: Iterator[tuple[RecordOutcome, str]], columns: Collection[Column] | None = None
) -> list[Change]:
    """By cause: unknown ones first, then the worst verdict first; columns are those of the first run."""
    changes: dict[tuple[Cause, str, Entry | None], Change] = {}
    for outcome, other in found:
        assert outcome.record is not None
        cause, mode = cause_of(outcome.record), outcome.record.mode
        column = Column(short_name(cause.framework), short_name(mode))
        fresh = Change(cause, mode, outcome.record, outcome.known, columns is None or column in columns)
        change = changes.setdefault((cause, mode, outcome.known), fresh)
        change.count += 1
        change.other[other] += 1
    return sorted(
        changes.values(), key=lambda change: (change.known is not None, ORDER[change.cause.verdict], -change.count)
    )


def _turns(before: Side, after: Side) -> Iterator[Turn]:
    for place, was in sorted(before.slopes.items()):
        now = after.slopes.get(place)
        if now and was and not was & now:
            framework, mode, kink = place
            yield Turn(
                Column(short_name(framework), short_name(mode)),
                kink,
                " or ".join(sorted(was)),
                " or ".join(sorted(now)),
            )
