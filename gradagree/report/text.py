"""How names, numbers and verdicts are written, as plain text and as Markdown."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from gradagree.cases.text import shorten
from gradagree.checker.verdict import CONVENTION, Record, Verdict, plain

NAME, REASON, SPEC = 80, 600, 2000
"""The longest name, reason and case text that a report shows in full."""
DASH = "–"
DIGITS = {"float64": 17}
OTHER_DIGITS = 9


def tone(verdict: Verdict) -> str:
    """bad, doubtful, good or none: how prominently a verdict is shown."""
    if verdict.fails:
        return "bad"
    if verdict in (Verdict.INACCURATE, Verdict.UNDECIDED, Verdict.OUT_OF_RANGE):
        return "doubtful"
    return "good" if verdict.compared else "none"


def visible(text: object, most: int = REASON) -> str:
    """The text on one line, at most so long, where a control character shows as its escape, such as ``\\x1b``."""
    line = str(text)
    if not line.isprintable():
        line = "".join(_escape(c) for c in line[: 4 * most])
    return shorten(line, most)


def short_name(name: object) -> str:
    """A name, at most 80 characters of it."""
    return visible(name, NAME)


def _escape(c: str) -> str:
    if c.isprintable():
        return c
    return " " if c.isspace() else c.encode("unicode_escape").decode("ascii")


def replay(record: Record, extensions: Sequence[str] = ()) -> str:
    """The command that checks the case of a record again, quoted for a shell; a very long case by its alias.

    A finding about several cases is shown by one of them.
    """
    several = record.spec.startswith(CONVENTION)
    short = not several and record.spec.isprintable() and len(record.spec) <= SPEC
    files = "".join(f" --ext {quote(file)}" for file in extensions if file.isprintable())
    return "gradagree replay " + quote(record.spec if short else short_name(record.case)) + files


def quote(text: str) -> str:
    """The text in single quotes, as a POSIX shell reads it back."""
    return "'" + text.replace("'", "'\"'\"'") + "'"


def value_of(stored: float | str | None) -> float:
    """The number that a record holds as a number or as text; NaN where there is none that can be read."""
    try:
        return float(plain(stored))
    except (ValueError, OverflowError):
        return math.nan


def brief(x: float | str | None) -> str:
    """Three digits, or a dash for no number."""
    return DASH if x is None else f"{value_of(x):.3g}"


def format_exact(stored: str | None, dtype: str) -> str:
    """As many decimal digits as tell the dtype's numbers apart."""
    return DASH if stored is None else f"{value_of(stored):.{DIGITS.get(dtype, OTHER_DIGITS)}g}"


def format_count(count: int) -> str:
    return f"{count:,}"


def count_noun(count: int, noun: str) -> str:
    """``1 record``, ``2 records``."""
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


def join_words(parts: Sequence[Any], last: str = " and ") -> str:
    """``a, b and c``."""
    words = [str(part) for part in parts]
    return last.join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else "".join(words)


ROOM = 120_000
"""Bytes of one section's rows; what does not fit is counted."""
PLAIN_CODE = re.compile(r"[\w .,:;=+()\-/%*'\"\[\]{}@#!?^~]+")
SPECIAL = re.compile(r"[^\w ,;=+%?'\"(){}–×±…✓✗/:.-]|(?<=www)\.|:(?=//)")


def prose(text: str) -> str:
    """Text that Markdown and HTML take for nothing but text."""
    return SPECIAL.sub(_entity, text)


def code(text: object) -> str:
    """Text set as code, whatever it holds; also inside a table."""
    return code_span(short_name(text))


def code_span(words: str) -> str:
    """Text of any length set as code."""
    if PLAIN_CODE.fullmatch(words):
        return f"`{words}`"
    return f"<code>{re.sub(r'[^A-Za-z0-9 ]', _entity, words)}</code>" if words else "–"


def _entity(match: re.Match[str]) -> str:
    return f"&#{ord(match[0])};"


def fit_blocks(blocks: Iterable[str], what: str, room: int = ROOM) -> Iterator[str]:
    """As many blocks as there is room for, then how many are left out."""
    left_out = 0
    for block in blocks:
        room -= len(block.encode()) + 1
        if room > 0 and not left_out:
            yield block
        else:
            left_out += 1
    if left_out:
        yield f"\n{format_count(left_out)} more {what} in results.jsonl."


def verdict_word(verdict: Verdict) -> str:
    words = f"{verdict.symbol} {verdict}"
    return f"**{words}**" if verdict.fails else words


def table(head: Sequence[str], rows: Iterable[Sequence[str]], what: str, room: int = ROOM) -> Iterator[str]:
    yield ""
    yield f"| {' | '.join(head)} |"
    yield f"|{' --- |' * len(head)}"
    yield from fit_blocks((f"| {' | '.join(row)} |" for row in rows), what, room)
