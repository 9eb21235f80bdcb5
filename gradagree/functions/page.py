"""The HTML page of a check of a function."""

from __future__ import annotations

import collections
from typing import Any

from gradagree.functions.module_records import module_tree
from gradagree.report.html import asset, render
from gradagree.report.sections import Span, Table
from gradagree.report.text import tone


def function_page(report: Any) -> str:
    """The page of a `gradagree.functions.records.Report`: verdict, modules, failures, all arrays."""
    symbols = {v.symbol: tone(v) for v in {record.verdict for record in report.records}}
    rows = [[cell_of(cell, k, symbols) for k, cell in enumerate(row)] for row in report.rows()]
    values = {
        "report": report,
        "counts": collections.Counter(record.verdict for record in report.records),
        "modules": module_tree(report.modules) if report.modules else None,
        "table": Table("All arrays", report.HEADER, rows),
    }
    return render("function.html.j2", values, asset("report.css"))


def cell_of(text: str, column: int, tones: dict[str, str]) -> Span:
    """A cell of the table: the name of an array, a verdict with its symbol, or plain text."""
    symbol, _, words = text.partition(" ")
    if column == 0:
        return Span(text)
    return Span(words, symbol, tones[symbol]) if symbol in tones and words else Span(text)
