"""Both ends of a framework's pipe, each in a thread of its own, so that neither side waits for the other to read."""

from __future__ import annotations

import contextlib
import queue
import subprocess
from collections.abc import Iterable
from typing import IO, Any

from gradagree import wire

__all__ = ["feed", "listen"]


def feed(stream: IO[bytes], questions: Iterable[wire.Message]) -> None:
    """Write questions while answers are read; a process that is gone takes no more."""
    with contextlib.suppress(OSError, ValueError):
        for question in questions:
            wire.write(stream, question)


def listen(process: subprocess.Popen[bytes], messages: queue.Queue[Any]) -> None:
    """Hand on what the process says; None at its end, an exception for anything that is no message."""
    assert process.stdout is not None
    with process.stdout as stream:
        try:
            while (message := wire.read(stream)) is not None:
                messages.put(message)
            messages.put(None)
        except Exception as wrong:  # noqa: BLE001  (garbage on the pipe can raise anything)
            messages.put(wrong)
