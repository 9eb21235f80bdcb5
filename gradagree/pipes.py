"""A framework's process, and both ends of its pipe, each in a thread of its own: neither side waits to be read."""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import subprocess
import sys
from collections.abc import Iterable, Sequence
from typing import IO, Any

from gradagree import wire

ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "NPROC": "1",
    "TF_CPP_MIN_LOG_LEVEL": "3",
}
"""Two processes with two threads each are slower than two with one."""


def launch(arguments: Sequence[str], errors: IO[bytes]) -> subprocess.Popen[bytes]:
    """A worker in a session of its own, with one thread; what it says on standard error goes to a file."""
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "gradagree.worker", *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=errors,
        env={**os.environ, **ONE_THREAD},
        start_new_session=True,
    )


def end(process: subprocess.Popen[bytes]) -> None:
    """End a process, and whatever it started."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    if process.stdin is not None:
        with contextlib.suppress(OSError):
            process.stdin.close()


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
