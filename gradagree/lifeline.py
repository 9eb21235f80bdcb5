"""A process that ends with its parent, whatever it is busy with."""

from __future__ import annotations

import os
import select
import signal
import threading
import time

GRACE = 5.0
"""Seconds for what was asked already."""


def end_with_parent(descriptor: int) -> None:
    """Once nobody can write to this pipe any more, end this process and what it started."""
    if hasattr(select, "poll"):
        threading.Thread(target=_watch, args=(descriptor,), daemon=True).start()


def _watch(descriptor: int) -> None:
    pipe = select.poll()
    pipe.register(descriptor, 0)
    pipe.poll()
    time.sleep(GRACE)
    if os.getpgrp() == os.getpid():
        os.killpg(os.getpid(), signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)
