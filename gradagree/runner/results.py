"""Results folder: ``results.jsonl`` with one record per line, ``meta.json`` about the run, and a lock."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import msgspec

from gradagree.checker.verdict import Record
from gradagree.errors import UsageError
from gradagree.files import make_folder, unwritable, write_text

RESULTS, META, LOCK = "results.jsonl", "meta.json", "run.lock"
OUTPUT_FILES = (RESULTS, META, "report.html", "report.md", "junit.xml", "train.json", "train.html", "shrunk.jsonl")
NO_LINK = getattr(os, "O_NOFOLLOW", 0)
_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Record)


class Lock:
    """Lock of a folder, from construction to `release` or the end of the process. The file holds the process id.

    Raises UsageError if another process holds it, OSError if the folder cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        import fcntl

        self.path = folder / LOCK
        while True:
            self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | NO_LINK, 0o644)
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as wrong:
                holder = os.read(self._file, 20).decode(errors="replace").strip()
                os.close(self._file)
                if not isinstance(wrong, BlockingIOError):
                    raise
                who = f"process {holder}" if holder.isdigit() else "another process"
                raise UsageError(f"{folder} is being written by {who}: wait, or choose another --out") from None
            if self._is_mine():
                break
            os.close(self._file)
        os.truncate(self._file, 0)
        os.write(self._file, f"{os.getpid()}\n".encode())

    def _is_mine(self) -> bool:
        """Whether the locked file still has the name of the lock; a process that releases the lock deletes it."""
        try:
            return os.path.samestat(os.fstat(self._file), os.stat(self.path))
        except FileNotFoundError:
            return False

    def release(self) -> None:
        """Delete the file and release the lock."""
        self.path.unlink(missing_ok=True)
        os.close(self._file)


class Journal:
    """Appends records to a results folder, each written at once; `sync` flushes them to the disk.

    The results of an earlier run are moved into ``earlier-1``, ``earlier-2`` and so on, unless that run is resumed.
    Raises UsageError if the folder cannot be written, or if another process writes to it.
    """

    def __init__(self, folder: Path, resume: bool = False) -> None:
        self.folder = folder
        self._file = -1
        self.earlier: Path | None = None
        if not resume:
            make_folder(folder)
        try:
            self._lock = Lock(folder)
        except OSError as wrong:
            raise unwritable(folder, wrong) from None
        try:
            if not resume:
                self.earlier = _archive_earlier(folder)
            self._file = os.open(
                folder / RESULTS, os.O_WRONLY | os.O_APPEND | (NO_LINK if resume else os.O_CREAT), 0o644
            )
        except OSError as wrong:
            self.close()
            raise unwritable(folder, wrong) from None

    def append(self, record: Record) -> None:
        line = memoryview(_encoder.encode(record) + b"\n")
        try:
            while line:
                line = line[os.write(self._file, line) :]
        except OSError as wrong:
            raise unwritable(self.folder, wrong) from None

    def sync(self) -> None:
        """Flush the records to the disk. Raises UsageError if the file was removed."""
        try:
            os.fsync(self._file)
            removed = os.fstat(self._file).st_nlink == 0
        except OSError as wrong:
            if wrong.errno == errno.EINVAL:  # the file is a device or a pipe
                return
            raise unwritable(self.folder, wrong) from None
        if removed:
            raise UsageError(f"{self.folder / RESULTS} was removed during the run; the run has stopped")

    def truncate(self, length: int) -> None:
        """Cut the results after `length` bytes."""
        try:
            os.truncate(self._file, length)
        except OSError as wrong:
            raise unwritable(self.folder, wrong) from None

    def write_meta(self, meta: dict[str, Any]) -> None:
        """Replace ``meta.json``, atomically."""
        write_text(self.folder / META, json.dumps(meta, indent=2, sort_keys=True) + "\n")

    def close(self) -> None:
        try:
            if self._file >= 0:
                os.close(self._file)
            self._lock.release()
        except OSError as wrong:
            raise unwritable(self.folder, wrong) from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def read_meta(folder: Path) -> dict[str, Any]:
    """The content of ``meta.json``. Raises UsageError if it is missing or damaged."""
    try:
        meta = json.loads((folder / META).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UsageError(f"{folder} is not a results folder: it has no {META}") from None
    except (OSError, ValueError, RecursionError) as wrong:
        raise UsageError(f"{folder / META} cannot be read: {wrong}") from None
    if not isinstance(meta, dict):
        raise UsageError(f"{folder / META} cannot be read: it is not a JSON object")
    return meta


def read_records(folder: Path) -> Iterator[Record]:
    """The records in the order of writing, without an incomplete last line.

    Raises UsageError if the file is missing or a line is damaged.
    """
    return (record for record, _ in read_lines(folder))


def read_lines(folder: Path) -> Iterator[tuple[Record, int]]:
    """Each record, and the offset in bytes of the end of its line."""
    path, end = folder / RESULTS, 0
    try:
        file = path.open("rb")
    except OSError as wrong:
        raise UsageError(f"{folder} is not a results folder: {path.name}: {wrong.strerror}") from None
    with file:
        for line_number, line in enumerate(file, 1):
            if not line.endswith(b"\n"):
                return
            end += len(line)
            try:
                yield _decoder.decode(line), end
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as wrong:
                raise UsageError(f"{path}, line {line_number} is not a record: {wrong}") from None


def _archive_earlier(folder: Path) -> Path | None:
    """The folder into which the results of an earlier run were moved, if there are any."""
    if not (folder / RESULTS).exists():
        return None
    count = 1
    while (folder / f"earlier-{count}").exists():
        count += 1
    kept = folder / f"earlier-{count}"
    kept.mkdir()
    for name in OUTPUT_FILES:
        if (folder / name).is_file():
            os.replace(folder / name, kept / name)
    return kept
