"""Coverage lost: what was judged in the first run and is not in the second."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from gradagree.comparing.noise import more_lost_than_gained
from gradagree.comparing.side import Judged, Side
from gradagree.reporting.matrix import Column, parts_of
from gradagree.verdict import Verdict

__all__ = ["MISSING", "Loss", "judges", "losses_between"]

MISSING = "not run"
OPEN = (Verdict.UNDECIDED, Verdict.OUT_OF_RANGE)


@dataclass
class Loss:
    """Records that were judged in the first run and are not in the second; gained went the other way."""

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
    """Functions that were judged in a column, and are there no more."""
    was, now = _functions(before), _functions(after)
    lost = {column: tuple(sorted(names - now.get(column, set()))) for column, names in was.items()}
    return {column: names for column, names in lost.items() if names}


def _functions(side: Side) -> dict[Column, set[str]]:
    found: dict[Column, set[str]] = {}
    for key, judged in side.judged.items():
        if judges(judged):
            parts = parts_of(key.spec)
            found.setdefault(key.column, set()).update(parts.activations, filter(None, [parts.error]))
    return found
