"""The rows of the table of all records, small enough to travel inside the page."""

from __future__ import annotations

import json
import operator
from dataclasses import dataclass, field
from typing import Any

from gradagree.arithmetic.model import FORMATS
from gradagree.cases.text import split_case
from gradagree.checker.verdict import ORDER, Record, Verdict
from gradagree.report.text import short_name, value_of, visible

MOST = 50_000
"""Beyond so many records the page leaves the table out."""
SPEC = 400
HOLE = "\t"
"""Stands for the dtype in a case's text, so that a case is stored once for all its dtypes."""


@dataclass
class Rows:
    """Rows of numbers; a text is stored once, in ``texts``, and a row holds its place there."""

    rows: list[tuple[Any, ...]] = field(default_factory=list)
    texts: dict[str, int] = field(default_factory=dict)
    dropped: bool = False

    def add(self, record: Record, known: bool = False) -> None:
        if self.dropped or len(self.rows) >= MOST:
            self.dropped, self.rows, self.texts = True, [], {}
            return
        stem, short = stem_of(record)
        box = "" if record.box is None else record.box
        names = (record.framework, record.mode, record.dtype, record.function or "", box, record.entry or "")
        numbers = (short_number(record.ratio), short_number(record.sharpness))
        places = [self._place(short_name(name)) for name in names]
        row = (ORDER[record.verdict], *places, *numbers, self._place(stem), self._place(short))
        self.rows.append((*row, 1) if known else row)

    def _place(self, text: str) -> int:
        return self.texts.setdefault(text, len(self.texts))

    def payload(self) -> dict[str, Any]:
        """What the page's script reads; the worst first, as it shows them at first."""
        rows = sorted(self.rows, key=operator.itemgetter(0))
        verdicts = [(str(verdict), verdict.symbol, verdict.fails) for verdict in Verdict]
        return {"verdicts": verdicts, "texts": list(self.texts), "rows": rows}


def stem_of(record: Record) -> tuple[str, str]:
    """The case's text with a hole for its dtype, and the dtype's short name that fills it."""
    known = FORMATS.get(record.dtype)
    whole = record.spec.isprintable() and len(record.spec) <= SPEC
    text = split_case(record.spec)
    if whole and known is not None and text.dtype == known.short:
        return text.with_dtype(HOLE), known.short
    return visible(record.spec, SPEC), ""


def short_number(stored: float | str | None) -> float | str | None:
    """Three digits; text where it is not finite."""
    x = value_of(stored)
    if stored is None:
        return None
    return float(f"{x:.3g}") if abs(x) < float("inf") else str(x)


def script_json(payload: Any) -> str:
    """JSON that cannot end or leave a script element, whatever text it holds."""
    text = json.dumps(payload, separators=(",", ":"), ensure_ascii=False)
    for sign in "<>&\u2028\u2029":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return text
