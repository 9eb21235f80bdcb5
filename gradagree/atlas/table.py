"""The table of conventions as text: Markdown for a page, JSON for programs, a table for the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec
from rich.table import Table

from gradagree.atlas.kinks import Convention

INTRODUCTION = """# What each framework answers at kinks

Where a function's slope jumps, more than one answer is legitimate: the slope from the left, from the right, their mean,
or 0. The table says which one each mode of each framework gives, measured in float64 and float32 by
`gradagree survey --kinks`. Words that are joined by a comma are the same number there. A cell with two lines says that
the dtypes differ; a number is an answer that is none of the four. **In bold: outside the one-sided slopes, a finding.**

"""


def cells(rows: Sequence[Convention]) -> dict[tuple[str, str, str], dict[str, list[Convention]]]:
    """The rows by function, kink and its slopes, and then by framework:mode."""
    found: dict[tuple[str, str, str], dict[str, list[Convention]]] = {}
    for row in rows:
        column = found.setdefault((row.function, row.kink, ""), {})
        column.setdefault(f"{row.framework}:{row.mode}", []).append(row)
    return {
        (function, kink, jump(next(iter(columns.values()))[0])): columns
        for (function, kink, _), columns in found.items()
    }


def jump(row: Convention) -> str:
    """For example ``0 | 1``: the slopes from both sides."""
    return f"{row.left:.3g} | {row.right:.3g}"


def columns(rows: Sequence[Convention]) -> list[str]:
    return list(dict.fromkeys(f"{row.framework}:{row.mode}" for row in rows))


def words(rows: Sequence[Convention], between: str, bold: str = "") -> str:
    """One word if all dtypes agree, else one for each dtype."""
    told = {row.dtype: f"{bold}{said(row)}{bold}" if row.finding else said(row) for row in rows}
    if len(set(told.values())) <= 1:
        return next(iter(told.values()), "")
    return between.join(f"{dtype}: {word}" for dtype, word in told.items())


def said(row: Convention) -> str:
    return row.word.partition(":")[0] if row.reason else row.word


def markdown(rows: Sequence[Convention]) -> str:
    """The page."""
    names = columns(rows)
    versions = dict.fromkeys(f"{row.framework} {row.version}" for row in rows)
    head = ["function", "kink", "left \\| right", *names]
    lines = [f"| {' | '.join(head)} |", f"|{' --- |' * len(head)}"]
    for (function, kink, slopes), found in cells(rows).items():
        told = [words(found.get(name, []), "<br>", "**") for name in names]
        lines.append(" | ".join(["| `" + function + "`", kink, slopes.replace("|", "\\|"), *told]) + " |")
    return f"{INTRODUCTION}Versions: {', '.join(versions)}.\n\n" + "\n".join(lines) + "\n"


def terminal(rows: Sequence[Convention]) -> Table:
    table = Table(*("function", "kink", "left | right", *columns(rows)), box=None, pad_edge=False)
    for (function, kink, slopes), found in cells(rows).items():
        table.add_row(function, kink, slopes, *(words(found.get(name, []), "\n") for name in columns(rows)))
    return table


def write(rows: Sequence[Convention], folder: Path) -> tuple[Path, Path]:
    """conventions.md and conventions.json in the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    page, data = folder / "conventions.md", folder / "conventions.json"
    page.write_text(markdown(rows), encoding="utf-8")
    data.write_bytes(msgspec.json.format(msgspec.json.encode(list(rows)), indent=1) + b"\n")
    return page, data
