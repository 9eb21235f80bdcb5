"""The sections of a comparison, for the terminal, Markdown and HTML."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.text import Text

from gradagree.compare.differences import ACCURACY, Change, Differences, Interval, Move
from gradagree.compare.side import Side
from gradagree.files import make_folder, write_text
from gradagree.report.console import STYLES, Printer
from gradagree.report.html import asset, rendered
from gradagree.report.text import DASH, code, counted, joined, named, prose, replay, shown_number, table, visible
from gradagree.verdict import Verdict

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
        f"{cause.verdict.symbol} {cause.verdict}{known}", f"{named(cause.framework)} {named(change.mode)}", where,
        named(cause.dtype), shown_number(change.count), change.was, replay(change.example),
    )  # fmt: skip


def _losses(found: Differences) -> Table:
    rows, loud = [], []
    for loss in found.losses[:MOST_ROWS]:
        verdict = next((f"{v.symbol} {v}" for v in Verdict if v == loss.what), f"{DASH} {loss.what}")
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


MOST_LINES = 12
CODE = ("shown by", "for example")
NOISE = (
    "Accuracy or sharpness moved where the median factor of the cases lies apart from 1, and apart from the factor of "
    "the cases without that function; less than one unit in the last place of the observed number is no move."
)


def write_comparison(found: Differences, folder: Path) -> list[Path]:
    """compare.md and compare.html, written into a folder."""
    make_folder(folder)
    paths = [folder / "compare.md", folder / "compare.html"]
    write_text(paths[0], document(found))
    write_text(paths[1], page(found))
    return paths


def document(found: Differences) -> str:
    """The whole text, in GitHub's Markdown."""
    return "\n".join(_lines(found))


def _lines(found: Differences) -> Iterator[str]:
    yield "# gradagree comparison\n"
    yield f"**{prose(headline(found))}**"
    for one in tables(found):
        yield f"\n## {one.name}"
        if one.words:
            yield f"\n{prose(one.words)}"
        if one.rows:
            yield from table(one.head, (_row(one, row) for row in one.rows), "rows")
        if one.further:
            yield f"\n{counted(one.further, 'further row')}."
    yield f"\n{NOISE}"
    yield "\n## The two runs"
    words, rows = ("", "first", "second"), list(facts(found.before, found.after))
    yield from table(words, ([prose(word), code(one), code(other)] for word, one, other in rows), "facts")
    yield ""


def _row(one: Table, row: tuple[str, ...]) -> list[str]:
    return [_code(cell) if name in CODE else prose(cell) for name, cell in zip(one.head, row, strict=True)]


def _code(cell: str) -> str:
    """A command of any length, as code."""
    escaped = "".join(c if c.isalnum() or c == " " else f"&#{ord(c)};" for c in cell)
    return f"<code>{escaped}</code>"


def facts(before: Side, after: Side) -> Iterator[tuple[str, str, str]]:
    """What each run says of itself, side by side."""
    yield "results", named(before.name), named(after.name)
    for framework in dict.fromkeys([*before.versions, *after.versions]):
        yield named(framework), named(before.versions.get(framework, "–")), named(after.versions.get(framework, "–"))
    for name in dict.fromkeys([*before.facts, *after.facts]):
        yield named(name), visible(before.facts.get(name, "–"), 400), visible(after.facts.get(name, "–"), 400)


def page(found: Differences) -> str:
    """The whole page as text."""
    values = {
        "found": found, "headline": headline(found), "tables": list(tables(found)), "code": CODE, "noise": NOISE,
        "facts": list(facts(found.before, found.after)),
    }  # fmt: skip
    return rendered("compare.html.j2", values, asset("report.css"))


def print_comparison(found: Differences, console: Console) -> None:
    """The answer, and the first rows of each table that has any."""
    say = Printer(console)
    say.line(Text(headline(found), style=STYLES["bad"] if found.regressions else "bold"))
    for one in tables(found):
        if not one.rows:
            continue
        say.line(Text(one.name, style="bold"))
        kept = [place for place, name in enumerate(one.head) if name != "shown by"]
        rows = [[Text(one.head[place]) for place in kept]]
        for row, loud in zip(one.rows[:MOST_LINES], one.loud, strict=False):
            rows.append([Text(visible(row[place], 60), style=STYLES["bad"] if loud else "") for place in kept])
        say.table(rows)
        further = len(one.rows) - MOST_LINES + one.further
        if further > 0:
            say.line(Text(f"{counted(further, 'further row')} in the pages written with --out.", style="dim"))
        if "shown by" in one.head and one.rows:
            say.line(Text(one.rows[0][one.head.index("shown by")]), whole=True)
