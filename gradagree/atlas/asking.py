"""A framework's process in a survey, as the parent sees it: asked ahead, and started anew when it dies."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import IO, Any, Self

from gradagree.atlas.messages import Failure, Hello, Question, receive, send
from gradagree.process import ONE_THREAD

LIMIT = 600.0
"""Seconds for one answer."""


class AskedProcess:
    """One framework in a process of its own; `hello` is who is there, or a Failure."""

    def __init__(self, library: str, extensions: Sequence[str] = ()) -> None:
        self.library = library
        self._command = [sys.executable, "-P", "-m", "gradagree.atlas.asker", library, *extensions]
        self._process: subprocess.Popen[bytes] | None = None
        self._turn = ThreadPoolExecutor(1)
        self._hello: Future[Any] = self._turn.submit(self._start)

    @property
    def hello(self) -> Hello | Failure:
        return self._hello.result()

    def ask(self, question: Question) -> Future[Any]:
        """The answer to come: an array, or a Failure. Questions are put one after the other."""
        return self._turn.submit(self._ask, question)

    def _start(self) -> Any:
        self._errors: IO[bytes] = tempfile.TemporaryFile("a+b")  # noqa: SIM115
        self._process = subprocess.Popen(
            self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors,
            env={**os.environ, **ONE_THREAD}, start_new_session=True,
        )  # fmt: skip
        return self._receive()

    def _ask(self, question: Question) -> Any:
        if self._process is None:
            hello = self._start()
            if isinstance(hello, Failure):
                return hello
        assert self._process is not None
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            send(self._process.stdin, question)
        return self._receive()

    def _receive(self) -> Any:
        assert self._process is not None
        assert self._process.stdout is not None
        late = threading.Timer(LIMIT, self._kill)
        late.start()
        try:
            message = receive(self._process.stdout)
        finally:
            late.cancel()
        if message is None:
            code = self._process.wait()
            self.stop()
            return Failure("crashed", f"its process ended with {named(code)}")
        return message

    def _kill(self) -> None:
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)

    def stop(self) -> None:
        """End the process; the next question starts it anew."""
        process = self._process
        if process is None:
            return
        self._kill()
        process.wait()
        for stream in (process.stdin, process.stdout, self._errors):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()
        self._process = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._kill()
        self._turn.shutdown(cancel_futures=True)
        self.stop()


def named(code: int) -> str:
    with contextlib.suppress(ValueError):
        if code < 0:
            return signal.Signals(-code).name
    return f"exit code {code}"
