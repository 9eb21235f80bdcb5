"""A results folder: ``results.jsonl``, one record a line, written as they come, and ``meta.json`` about the run."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import msgspec

from gradagree.errors import UsageError
from gradagree.verdict import Record

__all__ = ["Journal", "read_meta", "read_records"]

RESULTS, META, CASES = "results.jsonl", "meta.json", "cases"
OURS = (RESULTS, META, "report.html", "report.md", "junit.xml", "train.json", "train.html", "shrunk.jsonl")
_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Record)


class Journal:
    """Appends records to a folder's results, each flushed as it comes.

    A folder that holds an earlier run keeps it, moved into ``earlier-1``, ``earlier-2`` and so on.
    Raises UsageError where the folder cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        make_folder(folder)
        try:
            _keep_earlier(folder)
            self._file = (folder / RESULTS).open("ab")
        except OSError as wrong:
            raise unwritable(folder, wrong) from None

    def append(self, record: Record) -> None:
        try:
            self._file.write(_encoder.encode(record) + b"\n")
            self._file.flush()
        except OSError as wrong:
            raise unwritable(self.folder, wrong) from None

    def meta(self, meta: dict[str, Any]) -> None:
        """Write ``meta.json`` anew, all at once."""
        write_text(self.folder / META, json.dumps(meta, indent=2, sort_keys=True) + "\n")

    def close(self) -> None:
        try:
            self._file.close()
        except OSError as wrong:
            raise unwritable(self.folder, wrong) from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def make_folder(folder: Path) -> None:
    """Raises UsageError where it cannot be made."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as wrong:
        raise unwritable(folder, wrong) from None


def write_text(path: Path, text: str) -> None:
    """Write a file so that it is either the old one or the new one, whatever happens meanwhile."""
    beside = path.with_name(path.name + ".part")
    try:
        beside.write_text(text, encoding="utf-8")
        os.replace(beside, path)
    except OSError as wrong:
        raise unwritable(path, wrong) from None


def read_meta(folder: Path) -> dict[str, Any]:
    """What ``meta.json`` says. Raises UsageError where it is missing or damaged."""
    try:
        meta = json.loads((folder / META).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UsageError(f"{folder} is no results folder: it has no {META}") from None
    except (OSError, ValueError, RecursionError) as wrong:
        raise UsageError(f"{folder / META} cannot be read: {wrong}") from None
    if not isinstance(meta, dict):
        raise UsageError(f"{folder / META} cannot be read: it holds no JSON object")
    return meta


def read_records(folder: Path) -> Iterator[Record]:
    """The records in the order in which they were written; a torn last line is left out.

    Raises UsageError where there are none, or naming the line that is damaged.
    """
    path = folder / RESULTS
    try:
        file = path.open("rb")
    except OSError as wrong:
        raise UsageError(f"{folder} is no results folder: {path.name}: {wrong.strerror}") from None
    with file:
        for line_number, line in enumerate(file, 1):
            if not line.endswith(b"\n"):
                return
            try:
                yield _decoder.decode(line)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as wrong:
                raise UsageError(f"{path}, line {line_number}, is no record: {wrong}") from None


def unwritable(path: Path, wrong: OSError) -> UsageError:
    return UsageError(f"cannot write {path}: {wrong.strerror or wrong}; choose another folder with --out")


def _keep_earlier(folder: Path) -> None:
    if not (folder / RESULTS).exists():
        return
    count = 1
    while (folder / f"earlier-{count}").exists():
        count += 1
    kept = folder / f"earlier-{count}"
    kept.mkdir()
    for name in OURS:
        if (folder / name).is_file():
            os.replace(folder / name, kept / name)
