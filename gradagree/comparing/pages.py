"""compare.md, compare.html, and what the terminal shows of a comparison."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from rich.text import Text

from gradagree.comparing.differences import Differences
from gradagree.comparing.side import Side
from gradagree.comparing.told import Table, headline, tables
from gradagree.files import make_folder, write_text
from gradagree.reporting.console import STYLES, Printer
from gradagree.reporting.marked import code, prose, table
from gradagree.reporting.pages import asset, rendered
from gradagree.reporting.texts import counted, named, visible

__all__ = ["document", "page", "print_comparison", "write_comparison"]

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
