"""``shrunk.jsonl``: for each cause in a results folder the smallest case that shows it, its record and its numbers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from gradagree.casefile import kept_file, told, write_case
from gradagree.cases import Case
from gradagree.journal import CASES, make_folder, write_text
from gradagree.reporting.causes import Cause
from gradagree.verdict import Record

__all__ = ["SHRUNK", "Small", "read_small", "write_small"]

SHRUNK = "shrunk.jsonl"


class Small(msgspec.Struct, frozen=True):
    """One line: the cause, the case that showed it first, and the record and numbers of the small one.

    Numbers are hexadecimal floats, and whole numbers for classes.
    """

    cause: Cause
    of: str
    record: Record
    arrays: dict[str, dict[str, Any]]


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
