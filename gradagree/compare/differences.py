"""What differs between two runs: new, gone, lost and moved."""

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
from gradagree.compare.side import Judged, Key, Side
from gradagree.report.findings import Cause, cause_of
from gradagree.report.matrix import Column
from gradagree.report.text import named
from gradagree.runner.known import Entry


class MedianInterval(NamedTuple):
    """Where a median lies."""

    low: float
    high: float

    def apart(self, other: MedianInterval) -> bool:
        return self.low > other.high or self.high < other.low


NOTHING = MedianInterval(0.0, 0.0)


def surrounding(moves: Sequence[float], level: float) -> MedianInterval:
    """Where the median of the moves' distribution lies, except with probability `level`; without bounds for too few."""
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
Pair = tuple[Key, Judged, Judged]


class Move(NamedTuple):
    """What moved, for which cases, and by which factor (above 1: worse); noise is the factor that other cases show."""

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
        key, _, judged = pair
        group = groups[key.column, judged.dtype]
        group[""].append(pair)
        parts = split_case(key.spec)
        for function in dict.fromkeys([*parts.activations, *filter(None, [parts.error])]):
            group[function].append(pair)
    return groups


def _in_group(what: str, column: Column, dtype: str, functions: Group, level: float) -> Iterator[Move]:
    grown = {pair[0]: move for pair in functions[""] if (move := _move(what, pair)) is not None}
    for function, pairs in functions.items():
        own = [grown[pair[0]] for pair in pairs if pair[0] in grown]
        between, noise = surrounding(own, level), NOTHING
        if between.apart(NOTHING) and function:
            inside = {pair[0] for pair in pairs}
            noise = surrounding([move for key, move in grown.items() if key not in inside], level)
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


def judges(judged: Judged) -> bool:
    return judged.verdict.compared and judged.verdict not in OPEN


def losses_between(before: Side, after: Side, level: float) -> Iterator[Loss]:
    """By column and by what became of the records. Verdicts that are open now may be so by chance.

    An extract that leaves records out does not tell which ones were not run.
    """
    losses: dict[tuple[Column, str], Loss] = {}
    cut_short = after.left_out > 0
    gained: Counter[tuple[Column, str]] = Counter()
    for key, was in before.judged.items():
        now = after.judged.get(key)
        if judges(was) and (not cut_short if now is None else not judges(now)):
            what = MISSING if now is None else str(now.verdict)
            loss = losses.setdefault((key.column, what), Loss(key.column, what, key.spec))
            loss.count += 1
        elif not judges(was) and now is not None and judges(now):
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
    for key, judged in side.judged.items():
        if judges(judged):
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
    """Everything that a comparison shows. Both runs are held."""

    before: Side
    after: Side
    matched: int
    new: list[Change]
    gone: list[Change]
    turns: list[Turn]
    moves: list[Move]
    losses: list[Loss]
    gained: int

    @property
    def regressions(self) -> list[Change | Move | Loss]:
        """What --gate fails for."""
        new = [change for change in self.new if change.regresses]
        worse = [move for move in self.moves if move.worse]
        return [*new, *worse, *(loss for loss in self.losses if not loss.by_chance)]

    @property
    def exit(self) -> int:
        """1 for a regression, 5 where the runs have no record in common."""
        return 5 if not self.matched else int(bool(self.regressions))


def compare_runs(before: Side, after: Side) -> Differences:
    """What differs between two runs, matched by case, framework and mode."""
    columns = {key.column for key in before.judged}
    pairs = [(key, was, after.judged[key]) for key, was in before.judged.items() if key in after.judged]
    level = 1 / max(1, len(pairs)) ** 2
    losses = sorted(losses_between(before, after, level), key=lambda loss: (loss.by_chance, -loss.count))
    return Differences(
        before, after, len(pairs), _gathered(_new(before, after), columns), _gathered(_gone(before, after)),
        list(_turns(before, after)), list(moves(pairs)), losses,
        sum(judges(now) and (key not in before.judged or not judges(before.judged[key]))
            for key, now in after.judged.items()),
    )  # fmt: skip


def _finds(judged: Judged, strict: bool) -> bool:
    return judged.verdict.fails or (strict and judged.verdict is Verdict.INACCURATE)


def _new(before: Side, after: Side) -> Iterator[tuple[Judged, str]]:
    """Failures that are not in the first run, or were less bad there. Of a case that it did not run, new causes."""
    strict = before.strict or after.strict
    old = {
        (cause_of(was.record), was.record.mode) for was in before.judged.values() if was.record and _finds(was, strict)
    }
    for key, now in after.judged.items():
        if now.record is None or not _finds(now, strict):
            continue
        was = before.judged.get(key)
        if was is None and (cause_of(now.record), now.record.mode) not in old:
            yield now, MISSING
        elif was is not None and ORDER[now.verdict] < ORDER[was.verdict]:
            yield now, str(was.verdict)


def _gone(before: Side, after: Side) -> Iterator[tuple[Judged, str]]:
    """Failures of the first run that the second one has no more, or less bad ones."""
    strict = before.strict or after.strict
    for key, was in before.judged.items():
        now = after.judged.get(key)
        if now is not None and was.record and _finds(was, strict) and ORDER[now.verdict] > ORDER[was.verdict]:
            yield was, str(now.verdict)


def _gathered(found: Iterator[tuple[Judged, str]], columns: Collection[Column] | None = None) -> list[Change]:
    """By cause: unknown ones first, then the worst verdict first; columns are those of the first run."""
    changes: dict[tuple[Cause, str, Entry | None], Change] = {}
    for judged, other in found:
        assert judged.record is not None
        cause, mode = cause_of(judged.record), judged.record.mode
        column = Column(named(cause.framework), named(mode))
        fresh = Change(cause, mode, judged.record, judged.known, columns is None or column in columns)
        change = changes.setdefault((cause, mode, judged.known), fresh)
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
            yield Turn(Column(named(framework), named(mode)), kink, " or ".join(sorted(was)), " or ".join(sorted(now)))
