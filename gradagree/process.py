"""A framework's process, as the parent sees it: started, asked, and replaced when it dies or runs past its limit."""

from __future__ import annotations

import contextlib
import itertools
import operator
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Generator, Iterable, Iterator, Sequence
from typing import IO, Any, Self

from gradagree import wire
from gradagree.cases import Arrays, Case
from gradagree.pipes import feed, listen
from gradagree.verdict import Verdict

__all__ = ["ONE_THREAD", "FrameworkProcess"]

ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "NPROC": "1",
    "TF_CPP_MIN_LOG_LEVEL": "3",
}
"""Two processes with two threads each are slower than two with one."""
START_LIMIT = 300.0
CASE_LIMIT = 300.0
LAST_WORDS = 2.0
"""Seconds to start, for one answer, and for a process whose pipe is closed to end."""


class Gone(Exception):
    """The process died or ran past its limit; the verdict's word and the reason."""

    def __init__(self, verdict: Verdict, reason: str) -> None:
        super().__init__(reason)
        self.verdict = verdict
        self.reason = reason


class FrameworkProcess:
    """One framework in a process of its own, with a private pipe and one thread.

    `hello` is what it said at its start: `wire.Ready`, or `wire.Absent` with the reason.
    """

    def __init__(self, framework: str, extensions: Sequence[str] = (), limit: float = CASE_LIMIT) -> None:
        self.framework = framework
        self.extensions = tuple(extensions)
        self.limit = limit
        self.hello: wire.Ready | wire.Absent = wire.Absent("not started")
        self._process: subprocess.Popen[bytes] | None = None
        self._closed = False

    def start(self) -> wire.Ready | wire.Absent:
        """Start the process and wait until the framework is imported and probed."""
        self._errors: IO[bytes] = tempfile.TemporaryFile("a+b")  # noqa: SIM115
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "gradagree.worker", self.framework, *self.extensions],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env={**os.environ, **ONE_THREAD},
            start_new_session=True,
        )
        self._messages: queue.Queue[Any] = queue.Queue()
        threading.Thread(target=listen, args=(self._process, self._messages), daemon=True).start()
        try:
            hello = self._receive(START_LIMIT)
            self.hello = (
                hello if isinstance(hello, wire.Ready | wire.Absent) else wire.Absent("spoke out of turn", True)
            )
        except Gone as gone:
            self.hello = wire.Absent(f"its process did not start: {gone.reason}", broken=True)
        return self.hello

    def train(
        self, case: Case, arrays: Arrays, mode: str, rate: float, rounds: list[list[int]]
    ) -> wire.Trained | wire.Failed:
        """The framework's own training from the case's weights, on its inputs and targets."""
        try:
            question = wire.Train(wire.pack_arrays(case.spec, arrays, [mode]), rate, rounds)
            return next(self._put([question], [mode]))
        except Gone as gone:
            return wire.Failed(mode, gone.verdict, gone.reason)

    def ask(
        self, case: Case, arrays: Arrays, modes: Sequence[str], rate: float | None = None
    ) -> Iterator[wire.Answered | wire.Failed]:
        """One answer for each mode, in order."""
        return (answer for _, answer in self.ask_all([(case, arrays, modes)], rate))

    def ask_all(
        self, asked: Sequence[tuple[Case, Arrays, Sequence[str]]], rate: float | None = None
    ) -> Generator[tuple[int, wire.Answered | wire.Failed]]:
        """(the place of a case, its answer) for each of its modes, in order.

        A mode in which the process dies costs that mode of that case alone.
        """
        waiting = [(place, mode) for place, (_, _, modes) in enumerate(asked) for mode in modes]
        while waiting:
            try:
                if self._process is None and not self._closed:
                    self.start()
                questions = (
                    wire.pack_arrays(asked[place][0].spec, asked[place][1], [mode for _, mode in those], rate)
                    for place, those in itertools.groupby(list(waiting), operator.itemgetter(0))
                )
                for answer in self._put(questions, [mode for _, mode in waiting]):
                    place, _ = waiting.pop(0)
                    yield place, answer
            except Gone as gone:
                place, mode = waiting.pop(0)
                yield place, wire.Failed(mode, gone.verdict, gone.reason)

    def _put(self, questions: Iterable[wire.Message], modes: list[str]) -> Iterator[Any]:
        """Put questions, and hand on the answers, one for each mode; those that nobody took end with the process."""
        process = self._process
        if process is None or process.stdin is None or isinstance(self.hello, wire.Absent):
            raise Gone(Verdict.CRASHED, self.hello.reason if isinstance(self.hello, wire.Absent) else "stopped")
        owed = len(modes)
        try:
            threading.Thread(target=feed, args=(process.stdin, questions), daemon=True).start()
            for mode in modes:
                answer = self._receive(self.limit)
                if not isinstance(answer, wire.Answered | wire.Trained | wire.Failed) or answer.mode != mode:
                    raise Gone(Verdict.CRASHED, "answered something that was not asked")
                owed -= 1
                yield answer
        finally:
            if owed:
                self.stop()

    def _receive(self, limit: float) -> Any:
        """The next message. Raises Gone, and ends the process, if there is none in time."""
        try:
            message = self._messages.get(timeout=limit)
        except queue.Empty:
            self.stop()
            raise Gone(Verdict.TIMEOUT, f"no answer within {limit:g} seconds") from None
        if isinstance(message, Exception) or message is None:
            raise Gone(Verdict.CRASHED, self._epitaph(message))
        return message

    def _epitaph(self, wrong: Exception | None) -> str:
        """How the process ended: the signal or exit code, and what it said last, since its last message."""
        process = self._process
        if wrong is not None or process is None:
            self.stop()
            return f"wrote something to its pipe that is no answer: {wrong}" if wrong else "stopped"
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=LAST_WORDS)
        code = process.poll()
        self._errors.seek(max(0, self._errors.seek(0, os.SEEK_END) - 4096))
        said = self._errors.read().rpartition(wire.MARK)[2]
        lines = said.decode(errors="replace").strip().splitlines()
        self.stop()
        how = "closed its pipe" if code is None else f"exit code {code}"
        if code is not None and code < 0:
            with contextlib.suppress(ValueError):
                how = signal.Signals(-code).name
        return how + (f": {lines[-1].strip()[:300]}" if lines else "")

    def stop(self) -> None:
        """End the process, and whatever it started; the next question starts it anew."""
        process, self._process = self._process, None
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        if process.stdin is not None:
            with contextlib.suppress(OSError):
                process.stdin.close()
        self._errors.close()

    def close(self) -> None:
        """End the process for good; who waits for an answer is told so."""
        self._closed = True
        self.stop()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
