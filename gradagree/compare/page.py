"""The sections of a comparison, for the terminal, Markdown and HTML."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.console import Console
from rich.text import Text

from gradagree.checker.verdict import Verdict
from gradagree.compare.differences import ACCURACY, Change, Differences, MedianInterval, Move
from gradagree.compare.side import Side
from gradagree.files import make_folder, write_text
from gradagree.report.console import STYLES, Printer
from gradagree.report.html import asset, render
from gradagree.report.markdown import section
from gradagree.report.sections import Span, Table, number
from gradagree.report.text import DASH, count_noun, format_count, join_words, prose, replay, short_name, visible

MOST_ROWS, MOST_LINES = 200, 12
SHOWN_BY = "shown by"
NOISE = (
    "Accuracy is the error divided by its tolerance, and strictness the relative tolerance. A change is shown if the "
    "median factor over the cases differs significantly from 1 and from the factor of the cases without that function; "
    "changes of less than one unit in the last place of the observed number are ignored."
)


def headline(found: Differences) -> str:
    """The summary in one sentence."""
    names = f"{_name(found, 'before')} against {_name(found, 'after')}"
    if not found.matched:
        return f"{names}: the runs have no record in common; run both with the same cases, seed, frameworks and modes."
    known = sum(change.known is not None for change in found.new)
    parts = [
        (len(found.new) - known, "new cause of disagreement", "new causes of disagreement"),
        (known, "new but known", "new but known"),
        (len(found.resolved), "resolved", "resolved"),
        (len(found.turns), "convention changed", "conventions changed"),
        (sum(move.worse for move in found.moves), "loss of accuracy", "losses of accuracy"),
        (sum(not move.worse for move in found.moves), "gain of accuracy", "gains of accuracy"),
        (sum(loss.count for loss in found.losses), "record no longer decided", "records no longer decided"),
    ]  # fmt: skip
    changes = [f"{format_count(n)} {one if n == 1 else many}" for n, one, many in parts if n]
    extent = count_noun(found.matched, "record")
    end = "; a regression." if found.regressions else "."
    return f"{names}, {extent} in both: {join_words(changes) if changes else 'nothing changed'}{end}"


def _name(found: Differences, which: str) -> str:
    side = found.before if which == "before" else found.after
    return visible(side.words or short_name(side.name), 200)


def tables(found: Differences) -> Iterator[Table]:
    """Every section, those that fail a gate first."""
    yield _changes("New disagreements", "None.", found.new, "before")
    yield _losses(found)
    yield _moves(found)
    yield _turns(found)
    yield _changes("Resolved disagreements", "None.", found.resolved, "now")


def _section(name: str, words: str, head: tuple[str, ...], rows: Sequence[tuple[Span, ...]]) -> Table:
    return Table(name, head, rows[:MOST_ROWS], words, max(0, len(rows) - MOST_ROWS))


def _changes(name: str, words: str, changes: list[Change], other: str) -> Table:
    head = ("verdict", "framework", "where", "dtype", "records", other, SHOWN_BY)
    rows = [_change(change, other == "before" and change.regresses) for change in changes]
    return _section(name, "" if changes else words, head, rows)


def _change(change: Change, regresses: bool) -> tuple[Span, ...]:
    cause = change.cause
    where = " ".join(short_name(part) for part in (cause.function, cause.part) if part) or DASH
    known = "" if change.known is None else f", known: {visible(change.known.reason, 200)}"
    return (
        Span(f"{cause.verdict}{known}", cause.verdict.symbol, "bad" if regresses else ""),
        Span(f"{short_name(cause.framework)} {short_name(change.mode)}"), Span(where), Span(short_name(cause.dtype)),
        number(change.count), Span(change.was), Span(replay(change.example), code=True),
    )  # fmt: skip


def _losses(found: Differences) -> Table:
    rows = []
    for loss in found.losses:
        symbol = next((v.symbol for v in Verdict if v == loss.what), DASH)
        note = f"{format_count(loss.gained)} the other way" if loss.gained else ""
        note += "; within chance" * loss.by_chance
        functions = ", ".join(loss.functions[:12]) + ", ..." * (len(loss.functions) > 12)
        rows.append((
            Span(loss.column.words, tone="" if loss.by_chance else "bad"), Span(str(loss.what), symbol),
            number(loss.count), Span(note.removeprefix("; ") or DASH), Span(visible(functions, 400) or DASH),
            Span(visible(loss.example, 400), code=True),
        ))  # fmt: skip
    head = ("framework", "now", "records", "note", "functions no longer decided", "for example")
    words = "" if rows else "Every gradient decided in the first run is decided in the second."
    words += f" {count_noun(found.gained, 'further record')} decided in the second run only." if found.gained else ""
    for side in (found.before, found.after):
        if side.left_out:
            words += f" The extract {short_name(side.name)} leaves out {count_noun(side.left_out, 'record')}."
    return _section("Coverage lost", words.strip(), head, rows)


def _moves(found: Differences) -> Table:
    head = ("change", "framework", "dtype", "function", "cases", "factor", "median within", "other cases within")
    words = "" if found.moves else "No change beyond the noise."
    return _section("Accuracy and tolerance", words, head, list(map(_move, found.moves)))


def _move(move: Move) -> tuple[Span, ...]:
    what = ("less" if move.worse else "more") + (" accurate" if move.what == ACCURACY else " strict")
    return (
        Span(what, tone="bad" if move.worse else ""), Span(move.column.words), Span(short_name(move.dtype)),
        Span(short_name(move.function) or "all"), number(move.cases), Span(f"{move.factor:.3g}"),
        Span(_between(move.between)), Span(_between(move.noise)),
    )  # fmt: skip


def _between(interval: MedianInterval) -> str:
    low, high = (math.inf if x > 1000 else 2.0**x for x in interval)
    return f"{low:.3g} to {high:.3g}"


def _turns(found: Differences) -> Table:
    rows = [
        (Span(turn.column.words), Span(visible(turn.place)), Span(turn.before), Span(turn.after))
        for turn in found.turns
    ]
    words = "" if rows else "No framework changed its derivative at a kink."
    return _section("Conventions", words, ("framework", "kink", "derivative before", "derivative now"), rows)


def facts(before: Side, after: Side) -> Table:
    """The metadata of the two runs, side by side."""
    rows = [("results", [short_name(before.name), short_name(after.name)])]
    for framework in dict.fromkeys([*before.versions, *after.versions]):
        rows.append(
            (short_name(framework), [short_name(side.versions.get(framework, DASH)) for side in (before, after)])
        )
    for name in dict.fromkeys([*before.facts, *after.facts]):
        rows.append((short_name(name), [visible(side.facts.get(name, DASH), 400) for side in (before, after)]))
    head = ("of", "first", "second")
    spans = [(Span(word), *(Span(value, code=True) for value in values)) for word, values in rows]
    return Table("The two runs", head, spans, NOISE, unit="facts")


def write_comparison(found: Differences, folder: Path) -> list[Path]:
    """Write compare.md and compare.html into a folder, and return their paths."""
    make_folder(folder)
    paths = [folder / "compare.md", folder / "compare.html"]
    write_text(paths[0], document(found))
    write_text(paths[1], page(found))
    return paths


def document(found: Differences) -> str:
    """The complete text in GitHub's Markdown."""
    lines = ["# gradagree comparison\n", f"**{prose(headline(found))}**"]
    for one in (*tables(found), facts(found.before, found.after)):
        lines += section(one)
    return "\n".join([*lines, ""])


def page(found: Differences) -> str:
    """The complete page as text."""
    values = {
        "found": found, "headline": headline(found), "tables": [*tables(found), facts(found.before, found.after)],
    }  # fmt: skip
    return render("compare.html.j2", values, asset("report.css"))


def print_comparison(found: Differences, console: Console) -> None:
    """Print the summary and the first rows of each table that is not empty."""
    printer = Printer(console)
    printer.line(Text(headline(found), style=STYLES["bad"] if found.regressions else "bold"))
    for one in tables(found):
        if not one.rows:
            continue
        printer.line(Text(one.name, style="bold"))
        rows = [[span._replace(text=visible(span.text, 60)) for span in row] for row in one.rows[:MOST_LINES]]
        printer.table(one._replace(rows=rows).without(SHOWN_BY))
        further = len(one.rows) - MOST_LINES + one.left_out
        if further > 0:
            printer.line(Text(f"{count_noun(further, 'further row')} in the pages written with --out.", style="dim"))
        if SHOWN_BY in one.head:
            printer.line(Text(one.rows[0][one.head.index(SHOWN_BY)].text), whole=True)
