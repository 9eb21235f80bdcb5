"""Results folder: records, meta, lock."""

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

# One run at a time in a folder: a lock that ends with the process that holds it, however that ends
# -------------------------------------------------------------------------------------------------


LOCK = "run.lock"


class Lock:
    """Held from its making until `release`. The file says by which process; left behind by a dead one it is taken over.

    Raises UsageError where another process holds it, and OSError where the folder cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        import fcntl

        self.path = folder / LOCK
        while True:
            self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o644)
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
        """Whether the file that is locked still is the one of that name; whoever ends takes it away."""
        try:
            return os.path.samestat(os.fstat(self._file), os.stat(self.path))
        except FileNotFoundError:
            return False

    def release(self) -> None:
        """The file goes, and with it the lock."""
        self.path.unlink(missing_ok=True)
        os.close(self._file)


# A results folder: ``results.jsonl``, one record a line, written as they come, and ``meta.json`` about the run
# -------------------------------------------------------------------------------------------------------------


RESULTS, META = "results.jsonl", "meta.json"
OUTPUT_FILES = (RESULTS, META, "report.html", "report.md", "junit.xml", "train.json", "train.html", "shrunk.jsonl")
NO_LINK = getattr(os, "O_NOFOLLOW", 0)
_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Record)


class Journal:
    """Appends records to a folder's results, each handed to the system as it comes, and by `sync` to the disk.

    A folder that holds an earlier run keeps it, moved into ``earlier-1``, ``earlier-2`` and so on, unless it is gone on
    with. Raises UsageError where the folder cannot be written, or another process writes there.
    """

    def __init__(self, folder: Path, resume: bool = False) -> None:
        self.folder = folder
        self._file = -1
        if not resume:
            make_folder(folder)
        try:
            self._lock = Lock(folder)
        except OSError as wrong:
            raise unwritable(folder, wrong) from None
        try:
            if not resume:
                _archive_earlier(folder)
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
        """See to it that what is written outlasts the machine. Raises UsageError where the file is no longer there."""
        try:
            os.fsync(self._file)
            gone = os.fstat(self._file).st_nlink == 0
        except OSError as wrong:
            if wrong.errno == errno.EINVAL:  # a device or pipe in the place of the file
                return
            raise unwritable(self.folder, wrong) from None
        if gone:
            raise UsageError(f"{self.folder / RESULTS} was removed while the run wrote to it: the run has ended")

    def truncate(self, length: int) -> None:
        """Drop what is behind so many bytes."""
        try:
            os.truncate(self._file, length)
        except OSError as wrong:
            raise unwritable(self.folder, wrong) from None

    def write_meta(self, meta: dict[str, Any]) -> None:
        """Write ``meta.json`` anew, all at once."""
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
    return (record for record, _ in read_lines(folder))


def read_lines(folder: Path) -> Iterator[tuple[Record, int]]:
    """Every record, and where in the file its line ends."""
    path, end = folder / RESULTS, 0
    try:
        file = path.open("rb")
    except OSError as wrong:
        raise UsageError(f"{folder} is no results folder: {path.name}: {wrong.strerror}") from None
    with file:
        for line_number, line in enumerate(file, 1):
            if not line.endswith(b"\n"):
                return
            end += len(line)
            try:
                yield _decoder.decode(line), end
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as wrong:
                raise UsageError(f"{path}, line {line_number}, is no record: {wrong}") from None


def _archive_earlier(folder: Path) -> None:
    if not (folder / RESULTS).exists():
        return
    count = 1
    while (folder / f"earlier-{count}").exists():
        count += 1
    kept = folder / f"earlier-{count}"
    kept.mkdir()
    for name in OUTPUT_FILES:
        if (folder / name).is_file():
            os.replace(folder / name, kept / name)
