"""Text, code and tables in GitHub's Markdown, whatever the names hold."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from gradagree.reporting.texts import mark, named, shown_number
from gradagree.verdict import Verdict

__all__ = ["code", "fitting", "prose", "table", "verdict_word"]

ROOM = 120_000
"""Bytes of one section's rows; what does not fit is counted."""
PLAIN_CODE = re.compile(r"[\w .,:;=+()\-/%*'\"\[\]{}@#!?^~]+")
SPECIAL = re.compile(r"[^\w ,;=+%?'\"(){}–×±…✓✗/:.-]|(?<=www)\.|:(?=//)")


def prose(text: str) -> str:
    """Text that Markdown and HTML take for nothing but text."""
    return SPECIAL.sub(_entity, text)


def code(text: object) -> str:
    """Text set as code, whatever it holds; also inside a table."""
    words = named(text)
    if PLAIN_CODE.fullmatch(words):
        return f"`{words}`"
    return f"<code>{re.sub(r'[^A-Za-z0-9 ]', _entity, words)}</code>" if words else "–"


def _entity(match: re.Match[str]) -> str:
    return f"&#{ord(match[0])};"


def fitting(blocks: Iterable[str], what: str, room: int = ROOM) -> Iterator[str]:
    """As many blocks as there is room for, then how many are left out."""
    left_out = 0
    for block in blocks:
        room -= len(block.encode()) + 1
        if room > 0 and not left_out:
            yield block
        else:
            left_out += 1
    if left_out:
        yield f"\n{shown_number(left_out)} more {what} in results.jsonl."


def verdict_word(verdict: Verdict) -> str:
    words = f"{mark(verdict)} {verdict}"
    return f"**{words}**" if verdict.fails else words


def table(head: Sequence[str], rows: Iterable[Sequence[str]], what: str, room: int = ROOM) -> Iterator[str]:
    yield ""
    yield f"| {' | '.join(head)} |"
    yield f"|{' --- |' * len(head)}"
    yield from fitting((f"| {' | '.join(row)} |" for row in rows), what, room)
