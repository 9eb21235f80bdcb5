"""``shrunk.jsonl``: for each cause in a results folder the smallest case that shows it, its record and its numbers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from gradagree.arithmetics.model import FORMATS
from gradagree.casefile import CASES, kept_file, told, write_case
from gradagree.cases import Case
from gradagree.files import make_folder, write_text
from gradagree.reporting.causes import Cause
from gradagree.reporting.texts import named, quoted, value_of, visible
from gradagree.verdict import Record

__all__ = ["SHRUNK", "Small", "numbers", "read_small", "write_small"]

SHRUNK = "shrunk.jsonl"
MOST_NUMBERS = 40


class Small(msgspec.Struct, frozen=True):
    """One line: the cause, the case that showed it first, and the record and numbers of the small one.

    Numbers are hexadecimal floats, and whole numbers for classes.
    """

    cause: Cause
    of: str
    record: Record
    arrays: dict[str, dict[str, Any]]

    @property
    def file(self) -> str:
        """Where its folder keeps it as a case."""
        form = FORMATS.get(self.record.dtype)
        return named(f"{CASES}/{self.record.sha256[:12]}.{form.short if form else '?'}.json")

    @property
    def command(self) -> str:
        """What makes a script of it, typed in the results folder."""
        column = named(f"{self.record.framework}:{self.record.mode}")
        return f"gradagree replay {quoted(self.file)} --modes {quoted(column)} --script"


def numbers(small: Small) -> list[tuple[str, str]]:
    """Each array's name and its numbers, ``[[0, 0.5]]``; of many only how many there are."""
    found = []
    for name, array in small.arrays.items():
        values = array.get("values")
        shape = [n for n in array.get("shape", ()) if isinstance(n, int)]
        values = values if isinstance(values, list) else []
        if len(values) > MOST_NUMBERS:
            found.append((named(name), f"{len(values):,} numbers"))
        else:
            texts = [f"{value_of(x):.17g}" if isinstance(x, str | int | float) else "?" for x in values]
            found.append((named(name), visible(_nested(texts, shape))))
    return found


def _nested(texts: list[str], shape: list[int]) -> str:
    if len(shape) < 2 or not texts:
        return f"[{', '.join(texts)}]"
    size = max(1, len(texts) // max(1, shape[0]))
    rows = [_nested(texts[k : k + size], shape[1:]) for k in range(0, len(texts), size)]
    return f"[{', '.join(rows)}]"


def write_small(folder: Path, found: Iterable[tuple[Cause, str, Case, Record]]) -> None:
    """Keep small cases in a results folder; nothing, and no file, where there are none."""
    lines = []
    for cause, of, case, record in found:
        path = kept_file(folder, case)
        make_folder(folder / CASES)
        write_case(case, path)
        arrays = {name: told(array) for name, array in case.arrays().named()}
        lines.append(msgspec.json.encode(Small(cause, of, record, arrays)).decode())
    if lines:
        write_text(folder / SHRUNK, "\n".join(lines) + "\n")
    else:
        (folder / SHRUNK).unlink(missing_ok=True)


def read_small(folders: Sequence[Path]) -> dict[Cause, Small]:
    """What the folders keep, the first of each cause; lines that cannot be read are left out."""
    found: dict[Cause, Small] = {}
    for folder in folders:
        for small in _lines(folder / SHRUNK):
            found.setdefault(small.cause, small)
    return found


def _lines(path: Path) -> Iterator[Small]:
    try:
        lines = path.read_bytes().splitlines()
    except OSError:
        return
    for line in lines:
        try:
            yield msgspec.json.decode(line, type=Small)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            continue
