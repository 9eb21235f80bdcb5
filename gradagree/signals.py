"""What Ctrl-C and SIGTERM do to a run: the first drains it, the second ends it."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator

SIGNALS = (signal.SIGINT, signal.SIGTERM)
FIRST = b"\ngradagree: stopping; what is being computed is still judged (once more: stop at once)\n"


@contextlib.contextmanager
def draining(stop: threading.Event) -> Iterator[None]:
    """The first SIGINT or SIGTERM sets the event; the next one raises KeyboardInterrupt.

    Only the main thread is told of signals: elsewhere the event stays as it is.
    """

    def told(*_: object) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()
        with contextlib.suppress(OSError):
            os.write(2, FIRST)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, told) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
