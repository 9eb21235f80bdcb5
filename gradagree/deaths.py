"""How a framework's process ended, in a verdict's word and one line."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from typing import IO

from gradagree import wire
from gradagree.verdict import Verdict

LAST_WORDS = 2.0
"""Seconds for a process whose pipe is closed to end."""
OUTSIDE = (-signal.SIGKILL, -signal.SIGTERM)
"""Exit codes of a process that somebody else ended: a person, or a system without memory."""


class Gone(Exception):
    """The process died or ran past a limit; the verdict's word, the reason, and whether somebody else ended it."""

    def __init__(self, verdict: Verdict, reason: str, outside: bool = False) -> None:
        super().__init__(reason)
        self.verdict = verdict
        self.reason = reason
        self.outside = outside


def ended(process: subprocess.Popen[bytes], errors: IO[bytes]) -> Gone:
    """The signal or exit code of a process whose pipe is closed, and what it said last, since its last message."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(timeout=LAST_WORDS)
    code = process.poll()
    errors.seek(max(0, errors.seek(0, os.SEEK_END) - 4096))
    lines = errors.read().rpartition(wire.MARK)[2].decode(errors="replace").strip().splitlines()
    how = "closed its pipe" if code is None else f"exit code {code}"
    if code is not None and code < 0:
        with contextlib.suppress(ValueError):
            how = signal.Signals(-code).name
    return Gone(Verdict.CRASHED, how + (f": {lines[-1].strip()[:300]}" if lines else ""), code in OUTSIDE)
