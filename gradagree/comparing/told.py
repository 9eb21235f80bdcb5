"""A comparison in words and rows, the same for the terminal, Markdown and HTML."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from gradagree.comparing.differences import Change, Differences
from gradagree.comparing.moves import ACCURACY, Move
from gradagree.comparing.noise import Interval
from gradagree.reporting.texts import DASH, counted, joined, mark, named, replay, shown_number, visible
from gradagree.verdict import Verdict

__all__ = ["Table", "headline", "tables"]

MOST_ROWS = 200


class Table(NamedTuple):
    """One section: heading, what is said where it is empty or beside it, head, and rows; loud: it fails the gate."""

    name: str
    words: str
    head: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    loud: list[bool]
    further: int = 0


def headline(found: Differences) -> str:
    """The answer in one sentence."""
    names = f"{_name(found, 'before')} against {_name(found, 'after')}"
    if not found.matched:
        return f"{names}: nothing in common to compare; run both with the same cases, seed, frameworks and modes."
    known = sum(change.known is not None for change in found.new)
    parts = [
        (len(found.new) - known, "new cause of disagreement", "new causes of disagreement"),
        (known, "new but known", "new but known"),
        (len(found.gone), "gone", "gone"),
        (len(found.turns), "convention changed", "conventions changed"),
        (sum(move.worse for move in found.moves), "loss of accuracy or sharpness", "losses of accuracy or sharpness"),
        (sum(not move.worse for move in found.moves), "gain of them", "gains of them"),
        (sum(loss.count for loss in found.losses), "record no longer judged", "records no longer judged"),
    ]  # fmt: skip
    told = [f"{shown_number(n)} {one if n == 1 else many}" for n, one, many in parts if n]
    extent = counted(found.matched, "record")
    end = "; a regression." if found.regressions else "."
    return f"{names}, {extent} in both: {joined(told) if told else 'nothing changed'}{end}"


def _name(found: Differences, which: str) -> str:
    side = found.before if which == "before" else found.after
    return visible(side.words or named(side.name), 200)


def tables(found: Differences) -> Iterator[Table]:
    """Every section, those that fail a gate first."""
    yield _changes("New disagreements", "None.", found.new, "before", [change.regresses for change in found.new])
    yield _losses(found)
    yield _moves(found)
    yield _turns(found)
    yield _changes("Gone", "No disagreement of the first run is gone.", found.gone, "now", [False] * len(found.gone))


def _changes(name: str, words: str, changes: list[Change], other: str, loud: list[bool]) -> Table:
    head = ("verdict", "framework", "where", "dtype", "records", other, "shown by")
    rows = [_change(change) for change in changes[:MOST_ROWS]]
    return Table(name, "" if changes else words, head, rows, loud[:MOST_ROWS], max(0, len(changes) - MOST_ROWS))


def _change(change: Change) -> tuple[str, ...]:
    cause = change.cause
    where = " ".join(named(part) for part in (cause.function, cause.part) if part) or DASH
    known = "" if change.known is None else f", known: {visible(change.known.reason, 200)}"
    return (
        f"{mark(cause.verdict)} {cause.verdict}{known}", f"{named(cause.framework)} {named(change.mode)}", where,
        named(cause.dtype), shown_number(change.count), change.was, replay(change.example),
    )  # fmt: skip


def _losses(found: Differences) -> Table:
    rows, loud = [], []
    for loss in found.losses[:MOST_ROWS]:
        verdict = next((f"{mark(v)} {v}" for v in Verdict if v == loss.what), f"{DASH} {loss.what}")
        note = f"{shown_number(loss.gained)} the other way" if loss.gained else ""
        note += "; no more than chance" * loss.by_chance
        functions = ", ".join(loss.functions[:12]) + ", ..." * (len(loss.functions) > 12)
        rows.append((
            loss.column.words, verdict, shown_number(loss.count), note.removeprefix("; ") or DASH,
            visible(functions, 400) or DASH, visible(loss.example, 400),
        ))  # fmt: skip
        loud.append(not loss.by_chance)
    head = ("framework", "now", "records", "note", "functions not judged any more", "for example")
    words = "" if rows else "Everything that was judged in the first run is judged in the second."
    words += f" {counted(found.gained, 'further record')} judged in the second alone." if found.gained else ""
    for side in (found.before, found.after):
        if side.left_out:
            words += f" The extract {named(side.name)} leaves out {counted(side.left_out, 'record')}."
    return Table("Coverage lost", words.strip(), head, rows, loud, max(0, len(found.losses) - MOST_ROWS))


def _moves(found: Differences) -> Table:
    rows = [_move(move) for move in found.moves[:MOST_ROWS]]
    head = ("what", "framework", "dtype", "function", "cases", "factor", "median within", "other cases within")
    words = "" if rows else "Nothing moved by more than the other cases do."
    loud = [move.worse for move in found.moves[:MOST_ROWS]]
    return Table("Accuracy and sharpness", words, head, rows, loud, max(0, len(found.moves) - MOST_ROWS))


def _move(move: Move) -> tuple[str, ...]:
    what = ("less" if move.worse else "more") + (" accurate" if move.what == ACCURACY else " sharp")
    return (
        what, move.column.words, named(move.dtype), named(move.function) or "all",
        shown_number(move.cases), f"{move.factor:.3g}", _between(move.between), _between(move.noise),
    )  # fmt: skip


def _between(interval: Interval) -> str:
    low, high = (math.inf if x > 1000 else 2.0**x for x in interval)
    return f"{low:.3g} to {high:.3g}"


def _turns(found: Differences) -> Table:
    rows = [(turn.column.words, visible(turn.place), turn.before, turn.after) for turn in found.turns[:MOST_ROWS]]
    words = "" if rows else "No framework takes another slope at a kink than before."
    head = ("framework", "kink", "slope before", "slope now")
    return Table("Conventions", words, head, rows, [False] * len(rows), max(0, len(found.turns) - MOST_ROWS))
