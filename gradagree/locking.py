"""One run at a time in a folder: a lock that ends with the process that holds it, however that ends."""

from __future__ import annotations

import os
from pathlib import Path

from gradagree.errors import UsageError

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
