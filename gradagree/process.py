"""A framework's process, as the parent sees it: started, asked, and replaced when it dies or runs past its limit."""

from __future__ import annotations

import contextlib
import itertools
import operator
import os
import queue
import subprocess
import tempfile
import threading
from collections.abc import Generator, Iterable, Iterator, Sequence
from typing import IO, Any, Self

from gradagree import wire
from gradagree.cases import Arrays, Case
from gradagree.deaths import Gone, ended
from gradagree.memory import LOOK, allowed, resident
from gradagree.pipes import ONE_THREAD as ONE_THREAD, end, feed, launch, listen
from gradagree.responses import Absent, Failure, Ready, Response
from gradagree.verdict import Verdict

START_LIMIT = 300.0
CASE_LIMIT = 300.0
"""Seconds to start, and for one answer."""
NOTHING = object()
PATIENCE = 5
"""How often a process may be ended by others at the same question; then the question is to blame."""
START_PATIENCE = 20
"""How many starts in a row may be ended by others, which no question is to blame for; then each question has one."""
MOST_SAID = 1 << 26
"""Bytes on standard error that are kept."""


class FrameworkProcess:
    """One framework in a process of its own, with a private pipe and one thread.

    `hello` is what it said at its start: `Ready`, or `Absent` with the reason.
    """

    def __init__(
        self, framework: str, extensions: Sequence[str] = (), limit: float = CASE_LIMIT, memory: int | None = None
    ) -> None:
        self.framework = framework
        self.extensions = tuple(extensions)
        self.limit = limit
        self.memory = allowed() if memory is None else memory
        self.hello: Ready | Absent = Absent("not started")
        self._process: subprocess.Popen[bytes] | None = None
        self._closed = False
        self._lost = 0

    def start(self) -> Ready | Absent:
        """Start the process and wait until the framework is imported and probed."""
        while True:
            self._launch()
            try:
                hello = self._receive(START_LIMIT)
            except Gone as gone:
                self.hello = Absent(f"its process did not start: {gone.reason}", broken=True)
                self._lost += gone.outside
                if not gone.outside or self._lost >= START_PATIENCE or self._closed:
                    return self.hello
            else:
                known = isinstance(hello, Ready | Absent)
                self.hello, self._lost = hello if known else Absent("spoke out of turn", True), 0
                return self.hello

    def _launch(self) -> None:
        self._errors: IO[bytes] = tempfile.TemporaryFile("a+b")  # noqa: SIM115
        self._process = launch([self.framework, *self.extensions], self._errors)
        self._messages: queue.Queue[Any] = queue.Queue()
        threading.Thread(target=listen, args=(self._process, self._messages), daemon=True).start()

    def train(
        self, case: Case, arrays: Arrays, mode: str, rate: float, rounds: list[list[int]]
    ) -> wire.Trained | Failure:
        """The framework's own training from the case's weights, on its inputs and targets."""
        try:
            question = wire.Train(wire.pack_arrays(case.spec, arrays, [mode]), rate, rounds)
            return next(self._put([question], [mode]))
        except Gone as gone:
            return Failure(mode, gone.verdict, gone.reason)

    def ask(
        self, case: Case, arrays: Arrays, modes: Sequence[str], rate: float | None = None
    ) -> Iterator[Response | Failure]:
        """One answer for each mode, in order."""
        return (answer for _, answer in self.ask_all([(case, arrays, modes)], rate))

    def ask_all(
        self, asked: Sequence[tuple[Case, Arrays, Sequence[str]]], rate: float | None = None
    ) -> Generator[tuple[int, Response | Failure]]:
        """(the place of a case, its answer) for each of its modes, in order.

        A mode in which the process dies costs that mode of that case alone, and one that somebody else ended is asked
        again.
        """
        killed = 0
        waiting = [(place, mode) for place, (_, _, modes) in enumerate(asked) for mode in modes]
        while waiting:
            try:
                if self._process is not None and resident(self._process.pid) > self.memory:
                    self.stop()
                if self._process is None and not self._closed:
                    self.start()
                questions = (
                    wire.pack_arrays(asked[place][0].spec, asked[place][1], [mode for _, mode in those], rate)
                    for place, those in itertools.groupby(list(waiting), operator.itemgetter(0))
                )
                for answer in self._put(questions, [mode for _, mode in waiting]):
                    place, _ = waiting.pop(0)
                    killed = 0
                    yield place, answer if isinstance(answer, Failure) else wire.unpack_response(answer)
            except Gone as gone:
                killed += gone.outside
                if gone.outside and killed < PATIENCE:
                    continue
                killed = 0
                place, mode = waiting.pop(0)
                yield place, Failure(mode, gone.verdict, gone.reason)

    def _put(self, questions: Iterable[wire.Message], modes: list[str]) -> Iterator[Any]:
        """Put questions, and hand on the answers, one for each mode; those that nobody took end with the process."""
        process = self._process
        if process is None or process.stdin is None or isinstance(self.hello, Absent):
            raise Gone(Verdict.CRASHED, self.hello.reason if isinstance(self.hello, Absent) else "stopped")
        owed = len(modes)
        try:
            threading.Thread(target=feed, args=(process.stdin, questions), daemon=True).start()
            for mode in modes:
                answer = self._receive(self.limit)
                if not isinstance(answer, wire.Answered | wire.Trained | Failure) or answer.mode != mode:
                    raise Gone(Verdict.CRASHED, "answered something that was not asked")
                owed -= 1
                yield answer
        finally:
            if owed:
                self.stop()

    def _receive(self, limit: float) -> Any:
        """The next message. Raises Gone, and ends the process, if there is none in time, or too much memory is held."""
        left, message = limit, NOTHING
        while message is NOTHING:
            if left <= 0:
                self.stop()
                raise Gone(Verdict.TIMEOUT, f"no answer within {limit:g} seconds")
            try:
                message = self._messages.get(timeout=min(left, LOOK))
            except queue.Empty:
                left -= LOOK
                self._look()
        if isinstance(message, Exception):
            self.stop()
            raise Gone(Verdict.CRASHED, f"wrote something to its pipe that is no answer: {message}")
        if message is None:
            process = self._process
            gone = Gone(Verdict.CRASHED, "stopped") if process is None else ended(process, self._errors)
            self.stop()
            raise gone
        return message

    def _look(self) -> None:
        """Raises Gone, and ends the process, where it holds more memory than it may; cuts what it says without end."""
        process = self._process
        if process is None:
            return
        if resident(process.pid) > self.memory:
            self.stop()
            raise Gone(Verdict.CRASHED, f"took more than {self.memory / 2**30:.3g} GiB of memory")
        with contextlib.suppress(OSError, ValueError):
            if os.fstat(self._errors.fileno()).st_size > MOST_SAID:
                os.truncate(self._errors.fileno(), 0)

    def stop(self) -> None:
        """End the process, and whatever it started; the next question starts it anew."""
        process, self._process = self._process, None
        if process is None:
            return
        end(process)
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
