"""The frameworks' processes at work: one thread drives each, and hands every answer to the one that judges."""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from gradagree import wire
from gradagree.cases import Arrays, Case
from gradagree.conventions import Conventions
from gradagree.judge import Framework, failed_probes
from gradagree.judging import Judge
from gradagree.plan import Plan
from gradagree.process import FrameworkProcess
from gradagree.verdict import Record

__all__ = ["records"]

WAITING = 32
"""How many answers may wait to be judged."""


class Reply(NamedTuple):
    """One answer on its way from a framework's thread to the judge."""

    number: int
    case: Case
    arrays: Arrays
    framework: Framework
    answer: wire.Answered | wire.Failed


class Ended(NamedTuple):
    """A framework's thread is through, or failed with an error of our own."""

    wrong: BaseException | None


class Units:
    """The cases of one framework, in units for its processes to take."""

    def __init__(self, plan: Plan, framework: str) -> None:
        self._units = plan.units(framework)
        self._lock = threading.Lock()

    def take(self) -> list[tuple[int, Case, list[str]]] | None:
        """The next unit: numbers, cases and modes; None when all are taken."""
        with self._lock:
            return next(self._units, None)


@dataclass(frozen=True)
class Driver:
    """One process of a framework, which takes units until there are no more."""

    plan: Plan
    process: FrameworkProcess
    units: Units
    first: bool
    replies: queue.Queue[Reply | Record | Ended]
    started: Callable[[str, Any], None] | None
    deadline: float | None
    stopped: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        wrong: BaseException | None = None
        try:
            with self.process:
                self._drive()
        except BaseException as error:  # noqa: BLE001  (handed to the thread that judges, which raises it)
            wrong = error
        self.replies.put(Ended(wrong))

    def stop(self) -> None:
        self.stopped.set()
        self.process.close()

    def _drive(self) -> None:
        name, hello = self.process.framework, self.process.hello
        if self.started is not None:
            self.started(name, hello)
        if self.first and isinstance(hello, wire.Ready):
            for failed in (failed_probes(name, hello, dtype) for dtype in self.plan.dtypes):
                if failed is not None:
                    self.replies.put(failed)
        framework = Framework.of(name, hello)
        while not self._over() and (unit := self.units.take()) is not None:
            self._ask(framework, hello, unit)

    def _ask(self, framework: Framework, hello: Any, unit: list[tuple[int, Case, list[str]]]) -> None:
        """One unit; no further case of it is begun after the end."""
        asked = [(case, case.arrays(), modes) for _, case, modes in unit]
        absent = isinstance(hello, wire.Absent)
        answers = _refused(hello, unit) if absent else self.process.ask_all(asked)
        with contextlib.closing(answers):
            last = 0
            for place, answer in answers:
                if place != last and self._over():
                    break
                last = place
                number, case, _ = unit[place]
                self.replies.put(Reply(number, case, asked[place][1], framework, answer))

    def _over(self) -> bool:
        return self.stopped.is_set() or (self.deadline is not None and time.monotonic() > self.deadline)


def _refused(hello: Any, unit: list[tuple[int, Case, list[str]]]) -> Generator[tuple[int, wire.Failed]]:
    return ((place, answer) for place, (_, _, modes) in enumerate(unit) for answer in wire.refusals(hello, modes))


def records(
    plan: Plan,
    extensions: Sequence[str] = (),
    workers: int = 1,
    started: Callable[[str, Any], None] | None = None,
    deadline: float | None = None,
) -> Iterator[Record]:
    """Every record of a plan, as it comes. started is told what each framework said of itself.

    Each framework has `workers` processes, which share its cases. Past the deadline (of time.monotonic) no further case
    is begun. Who stops listening ends the processes.
    """
    replies: queue.Queue[Reply | Record | Ended] = queue.Queue(WAITING)
    drivers = [
        Driver(plan, FrameworkProcess(name, extensions), units, turn == 0, replies, started, deadline)
        for name, units in ((name, Units(plan, name)) for name in plan.frameworks)
        for turn in range(workers)
    ]
    threads = [threading.Thread(target=driver.run, daemon=True) for driver in drivers]
    for thread in threads:
        thread.start()
    conventions = Conventions()
    try:
        for record in _judged(replies, len(drivers)):
            conventions.see(record)
            yield record
        yield from conventions.findings()
    finally:
        for driver in drivers:
            driver.stop()
        _drain(threads, replies)


def _judged(replies: queue.Queue[Reply | Record | Ended], running: int) -> Iterator[Record]:
    judge = Judge()
    while running:
        reply = replies.get()
        if isinstance(reply, Record):
            yield reply
        elif isinstance(reply, Reply):
            yield judge(reply.case, reply.arrays, reply.framework, reply.answer, reply.number)
        else:
            running -= 1
            if reply.wrong is not None:
                raise reply.wrong


def _drain(threads: list[threading.Thread], replies: queue.Queue[Reply | Record | Ended]) -> None:
    """Let the threads come to their end, whatever still waits."""
    while any(thread.is_alive() for thread in threads):
        try:
            replies.get(timeout=0.05)
        except queue.Empty:
            continue
