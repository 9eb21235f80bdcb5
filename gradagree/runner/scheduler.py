"""Threads, units of work, results as they come."""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from gradagree.cases.case import Case
from gradagree.checker.judge import Framework, Judge, JudgeRequest, failed_probes
from gradagree.checker.response import Absent, Failure, Ready, failures
from gradagree.checker.verdict import Record
from gradagree.runner.options import Plan
from gradagree.runner.process import FrameworkProcess
from gradagree.runner.resume import CompletedRecords

# Handing out the cases of a framework to its processes, without those that have their records already
# ----------------------------------------------------------------------------------------------------


WorkUnit = list[tuple[int, Case, list[str]]]
"""Numbers, cases and modes."""


class WorkQueue:
    """The cases of one framework, in units for its processes to take."""

    def __init__(self, plan: Plan, framework: str, done: CompletedRecords) -> None:
        self._units = (left for unit in plan.units(framework) if (left := _remaining(unit, framework, done)))
        self._lock = threading.Lock()

    def take(self) -> WorkUnit | None:
        """The next unit: numbers, cases and modes; None when all are taken."""
        with self._lock:
            return next(self._units, None)


def _remaining(unit: WorkUnit, framework: str, done: CompletedRecords) -> WorkUnit:
    """What of a unit has no record yet."""
    left = ((i, case, [mode for mode in modes if not done.has(framework, mode, i)]) for i, case, modes in unit)
    return [one for one in left if one[2]]


# The frameworks' processes at work: one thread drives each, and hands every answer to the one that judges
# --------------------------------------------------------------------------------------------------------


MAX_PENDING = 32
"""How many answers may wait to be judged."""
STOP_POLL, DRAIN_LIMIT = 0.5, 10.0
"""Seconds between two looks at whether to stop, and for which an answer is then still waited for."""


class UnitDone(NamedTuple):
    """A unit is through."""


class DriverDone(NamedTuple):
    """A framework's thread is through, or failed with an error of our own."""

    wrong: BaseException | None


Message = JudgeRequest | Record | UnitDone | DriverDone


@dataclass(frozen=True)
class Driver:
    """One process of a framework, which takes units until there are no more; a first one may be kept after that."""

    plan: Plan
    process: FrameworkProcess
    units: WorkQueue
    first: bool
    replies: queue.Queue[Message]
    started: Callable[[str, Any], None] | None
    deadline: float | None
    draining: threading.Event
    kept: dict[str, FrameworkProcess] | None = None
    stopped: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        wrong: BaseException | None = None
        try:
            with contextlib.ExitStack() as stack:
                stack.enter_context(self.process)
                self._drive()
                if self.first and self.kept is not None:
                    self.kept[self.process.framework] = self.process
                    stack.pop_all()
        except BaseException as error:  # noqa: BLE001  (handed to the thread that judges, which raises it)
            wrong = error
        self.replies.put(DriverDone(wrong))

    def stop(self) -> None:
        self.stopped.set()
        if self.process not in (self.kept or {}).values():
            self.process.close()

    def _drive(self) -> None:
        name, handshake = self.process.framework, self.process.handshake
        if self.started is not None:
            self.started(name, handshake)
        if self.first and isinstance(handshake, Ready):
            for failed in (failed_probes(name, handshake, dtype) for dtype in self.plan.dtypes):
                if failed is not None:
                    self.replies.put(failed)
        framework = Framework.of(name, handshake)
        while not self._over() and (unit := self.units.take()) is not None:
            self._ask(framework, handshake, unit)
            self.replies.put(UnitDone())

    def _ask(self, framework: Framework, handshake: Any, unit: WorkUnit) -> None:
        """One unit; no further case of it is begun after the end."""
        asked = [(case, case.arrays(), modes) for _, case, modes in unit]
        absent = isinstance(handshake, Absent)
        answers = _absent_failures(handshake, unit) if absent else self.process.ask_all(asked)
        with contextlib.closing(answers):
            last = 0
            for place, answer in answers:
                if place != last and self._over():
                    break
                last = place
                number, case, _ = unit[place]
                self.replies.put(JudgeRequest(case, asked[place][1], framework, answer, number))

    def _over(self) -> bool:
        if self.stopped.is_set() or self.draining.is_set():
            return True
        return self.deadline is not None and time.monotonic() > self.deadline


def _absent_failures(handshake: Any, unit: WorkUnit) -> Generator[tuple[int, Failure]]:
    return ((place, answer) for place, (_, _, modes) in enumerate(unit) for answer in failures(handshake, modes))


def run_plan(
    plan: Plan,
    extensions: Sequence[str] = (),
    workers: int = 1,
    started: Callable[[str, Any], None] | None = None,
    deadline: float | None = None,
    done: CompletedRecords | None = None,
    settled: Callable[[], None] = lambda: None,
    draining: threading.Event | None = None,
    kept: dict[str, FrameworkProcess] | None = None,
) -> Generator[Record]:
    """Every record of a plan that is not done, as it comes. started is told what each framework said of itself, settled
    that a unit is through.

    Each framework has `workers` processes, which share its cases. Past the deadline (of time.monotonic), and when
    draining, no further case is begun. Who stops listening ends the processes, but for one of each framework where
    there is something to keep it in.
    """
    replies: queue.Queue[Message] = queue.Queue(MAX_PENDING)
    done, draining = done or CompletedRecords(), draining or threading.Event()
    drivers = [
        Driver(plan, FrameworkProcess(name, extensions), units, turn == 0, replies, started, deadline, draining, kept)
        for name, units in ((name, WorkQueue(plan, name, done)) for name in plan.frameworks)
        for turn in range(workers)
    ]
    threads = [threading.Thread(target=driver.run, daemon=True) for driver in drivers]
    for thread in threads:
        thread.start()
    try:
        for record in _judge_responses(replies, len(drivers), settled, draining):
            if not done.has_probe(record):
                done.add(record)
                yield record
        yield from done.conventions.findings()
    finally:
        for driver in drivers:
            driver.stop()
        _join(threads, replies)


@contextlib.contextmanager
def process_pool() -> Iterator[dict[str, FrameworkProcess]]:
    """Something to keep processes in; those that are still there at the end are ended."""
    kept: dict[str, FrameworkProcess] = {}
    try:
        yield kept
    finally:
        for process in kept.values():
            process.close()


def _judge_responses(
    replies: queue.Queue[Message], running: int, settled: Callable[[], None], draining: threading.Event
) -> Iterator[Record]:
    judge, late = Judge(), 0.0
    while running:
        try:
            waiting = [replies.get(timeout=STOP_POLL)]
        except queue.Empty:
            late += STOP_POLL * draining.is_set()
            if late > DRAIN_LIMIT:
                return
            continue
        with contextlib.suppress(queue.Empty):
            while len(waiting) < MAX_PENDING:
                waiting.append(replies.get_nowait())
        records = judge([message for message in waiting if isinstance(message, JudgeRequest)])
        for message in waiting:
            if isinstance(message, Record):
                yield message
            elif isinstance(message, JudgeRequest):
                yield next(records)
            elif isinstance(message, UnitDone):
                settled()
            else:
                running -= 1
                if message.wrong is not None:
                    raise message.wrong


def _join(threads: list[threading.Thread], replies: queue.Queue[Message]) -> None:
    """Let the threads come to their end, whatever still waits."""
    while any(thread.is_alive() for thread in threads):
        try:
            replies.get(timeout=0.05)
        except queue.Empty:
            continue
