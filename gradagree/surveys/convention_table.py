"""The table of conventions in Markdown, in JSON and for the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec
from rich.table import Table

from gradagree.surveys.conventions import Convention

INTRODUCTION = """# Derivatives at kinks

Where the derivative of a function jumps, several values are admissible: the derivative from the left, the one from the
right, their mean, and 0. The table shows which of them each mode of each framework returns in float64 and float32.
`gradagree survey --kinks` prints it.

A cell names all admissible values that equal the result. It has two lines where the dtypes differ, and a number where
the result is none of the four. **Bold marks a finding: a result outside the interval between the one-sided
derivatives.**

"""


def table_cells(rows: Sequence[Convention], line_break: str, bold: str = "") -> list[list[str]]:
    """The header, then for each kink its function, place, one-sided derivatives and a cell for each mode."""
    names = list(dict.fromkeys(column_name(row) for row in rows))
    kinks: dict[tuple[str, str], list[Convention]] = {}
    for row in rows:
        kinks.setdefault((row.function, row.kink), []).append(row)
    cells = [["function", "kink", "left | right", *names]]
    for (function, kink), found in kinks.items():
        one_sided = f"{found[0].left:.3g} | {found[0].right:.3g}"
        by_mode = [[row for row in found if column_name(row) == name] for name in names]
        cells.append([function, kink, one_sided, *(cell_text(some, line_break, bold) for some in by_mode)])
    return cells


def column_name(row: Convention) -> str:
    return f"{row.framework}:{row.mode}"


def cell_text(rows: Sequence[Convention], line_break: str, bold: str = "") -> str:
    """One label if all dtypes agree, else one for each dtype; findings in bold."""
    labels = {row.dtype: f"{bold}{row.label}{bold}" if row.finding else row.label for row in rows}
    if len(set(labels.values())) <= 1:
        return next(iter(labels.values()), "")
    return line_break.join(f"{dtype}: {label}" for dtype, label in labels.items())


def markdown(rows: Sequence[Convention]) -> str:
    """The table of conventions as a page in Markdown."""
    versions = dict.fromkeys(f"{row.framework} {row.version}" for row in rows)
    head, *body = [[cell.replace("|", "\\|") for cell in line] for line in table_cells(rows, "<br>", "**")]
    body = [[f"`{function}`", *rest] for function, *rest in body]
    lines = [" | ".join(line) for line in (head, ["---"] * len(head), *body)]
    return f"{INTRODUCTION}Versions: {', '.join(versions)}.\n\n" + "".join(f"| {line} |\n" for line in lines)


def terminal_table(rows: Sequence[Convention]) -> Table:
    head, *body = table_cells(rows, "\n")
    table = Table(*head, box=None, pad_edge=False)
    for line in body:
        table.add_row(*line)
    return table


def write_conventions(rows: Sequence[Convention], folder: Path) -> tuple[Path, Path]:
    """Write conventions.md and conventions.json, and return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    page, data = folder / "conventions.md", folder / "conventions.json"
    page.write_text(markdown(rows), encoding="utf-8")
    data.write_bytes(msgspec.json.format(msgspec.json.encode(list(rows)), indent=1) + b"\n")
    return page, data
