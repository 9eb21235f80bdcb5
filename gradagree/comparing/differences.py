"""What differs between two runs, gathered by cause."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from gradagree.comparing.losses import MISSING, Loss, judges, losses_between
from gradagree.comparing.moves import Move, moves
from gradagree.comparing.side import Judged, Side
from gradagree.known import Entry
from gradagree.reporting.causes import Cause, cause_of
from gradagree.reporting.matrix import Column
from gradagree.reporting.texts import named
from gradagree.verdict import ORDER, Record, Verdict

__all__ = ["Change", "Differences", "Turn", "compare_runs"]


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
        """Whether it is news: not accepted, and of a mode that both runs ran."""
        return self.known is None and self.comparable

    @property
    def was(self) -> str:
        """``agree``, or ``agree 3, undecided 1``."""
        if len(self.other) == 1:
            return next(iter(self.other))
        return ", ".join(f"{word} {n:,}" for word, n in self.other.most_common())


class Turn(NamedTuple):
    """Another legitimate slope at a kink than before."""

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
    """By cause, what is not known first, then the worst verdict first; columns are those of the first run."""
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
