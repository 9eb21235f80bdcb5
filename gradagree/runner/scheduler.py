"""Scheduler of a run on this machine: worker processes, a thread for each, and the records as they come.

Each thread takes work units and puts the responses into one queue; the calling thread judges them in batches.
"""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from gradagree.cases.graph_case import AnyCase
from gradagree.checker.judge import Framework, Judge, JudgeRequest, failed_probes
from gradagree.checker.response import Absent, Failure, Ready, failures
from gradagree.checker.verdict import Record
from gradagree.runner.options import Plan
from gradagree.runner.process import FrameworkProcess
from gradagree.runner.resume import CompletedRecords

MAX_PENDING = 32
"""Maximum number of responses in the queue."""
STOP_POLL, DRAIN_LIMIT = 0.5, 10.0
"""Seconds between two checks for a request to stop, and seconds that running cases then have to finish."""
WorkUnit = list[tuple[int, AnyCase, list[str]]]
"""(index, case, modes) of the cases that a worker computes together."""


class WorkQueue:
    """The cases of one framework that have no record yet, in work units. Its threads share one queue."""

    def __init__(self, plan: Plan, framework: str, done: CompletedRecords) -> None:
        self._units = (rest for unit in plan.units(framework) if (rest := _remaining(unit, framework, done)))
        self._lock = threading.Lock()

    def take(self) -> WorkUnit | None:
        """The next unit; None when all are taken."""
        with self._lock:
            return next(self._units, None)


def _remaining(unit: WorkUnit, framework: str, done: CompletedRecords) -> WorkUnit:
    """The cases and modes of a unit that have no record yet."""
    missing = ((i, case, [mode for mode in modes if not done.has(framework, mode, i)]) for i, case, modes in unit)
    return [(i, case, modes) for i, case, modes in missing if modes]


class UnitDone(NamedTuple):
    """All cases of a work unit are finished."""


class DriverDone(NamedTuple):
    """A thread has ended; `error` is an exception of gradagree itself, if one ended it."""

    error: BaseException | None


Message = JudgeRequest | Record | UnitDone | DriverDone


@dataclass(frozen=True)
class Driver:
    """The thread of one worker process: takes units until there are none left.

    The first worker of a framework reports the failed probes. It is put into `kept`, if given, instead of being closed.
    """

    plan: Plan
    process: FrameworkProcess
    units: WorkQueue
    first: bool
    messages: queue.Queue[Message]
    started: Callable[[str, Any], None] | None
    deadline: float | None
    draining: threading.Event
    kept: dict[str, FrameworkProcess] | None = None
    stopped: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        failure: BaseException | None = None
        try:
            with contextlib.ExitStack() as stack:
                stack.enter_context(self.process)
                self._drive()
                if self.first and self.kept is not None:
                    self.kept[self.process.framework] = self.process
                    stack.pop_all()
        except BaseException as error:  # noqa: BLE001  (the thread that judges raises it)
            failure = error
        self.messages.put(DriverDone(failure))

    def stop(self) -> None:
        self.stopped.set()
        if self.process not in (self.kept or {}).values():
            self.process.close()

    def _drive(self) -> None:
        name, handshake = self.process.framework, self.process.handshake
        if self.started is not None:
            self.started(name, handshake)
        if self.first and isinstance(handshake, Ready):
            for failed in (failed_probes(name, handshake, dtype) for dtype in self.plan.all_dtypes):
                if failed is not None:
                    self.messages.put(failed)
        framework = Framework.of(name, handshake)
        while not self._is_over() and (unit := self.units.take()) is not None:
            self._compute(framework, handshake, unit)
            self.messages.put(UnitDone())

    def _compute(self, framework: Framework, handshake: Any, unit: WorkUnit) -> None:
        """Compute one unit; after the deadline no further case of it is started."""
        requests = [(case, case.arrays(), modes) for _, case, modes in unit]
        absent = isinstance(handshake, Absent)
        responses = _absent_failures(handshake, unit) if absent else self.process.compute_all(requests)
        with contextlib.closing(responses):
            last = 0
            for position, response in responses:
                if position != last and self._is_over():
                    break
                last = position
                index, case, _ = unit[position]
                self.messages.put(JudgeRequest(case, requests[position][1], framework, response, index))

    def _is_over(self) -> bool:
        if self.stopped.is_set() or self.draining.is_set():
            return True
        return self.deadline is not None and time.monotonic() > self.deadline


def _absent_failures(handshake: Any, unit: WorkUnit) -> Generator[tuple[int, Failure]]:
    """(position in the unit, failure) for each mode of each case, where the framework is not installed."""
    return ((k, failure) for k, (_, _, modes) in enumerate(unit) for failure in failures(handshake, modes))


def run_plan(
    plan: Plan,
    extensions: Sequence[str] = (),
    workers: int = 1,
    started: Callable[[str, Any], None] | None = None,
    deadline: float | None = None,
    done: CompletedRecords | None = None,
    unit_done: Callable[[], None] = lambda: None,
    draining: threading.Event | None = None,
    kept: dict[str, FrameworkProcess] | None = None,
) -> Generator[Record]:
    """The records of a plan that are not in `done`, as they come.

    Args:
        plan: cases and modes.
        extensions: files of the user's functions and adapters, loaded in each worker.
        workers: worker processes of each framework; they share its cases.
        started: called with the name and the handshake of a framework for each of its workers.
        deadline: time of `time.monotonic` after which no case is started.
        done: records that exist already; new ones are added.
        unit_done: called after each work unit.
        draining: when set, no further case is started.
        kept: receives one worker process of each framework, still running; the others are closed at the end.
    """
    messages: queue.Queue[Message] = queue.Queue(MAX_PENDING)
    done, draining = done or CompletedRecords(), draining or threading.Event()
    drivers = [
        Driver(plan, FrameworkProcess(name, extensions), units, k == 0, messages, started, deadline, draining, kept)
        for name, units in ((name, WorkQueue(plan, name, done)) for name in plan.frameworks)
        for k in range(workers)
    ]
    threads = [threading.Thread(target=driver.run, daemon=True) for driver in drivers]
    for thread in threads:
        thread.start()
    try:
        for record in _judge_responses(messages, len(drivers), unit_done, draining):
            if not done.has_probe(record):
                done.add(record)
                yield record
        yield from done.conventions.findings()
    finally:
        for driver in drivers:
            driver.stop()
        _join(threads, messages)


@contextlib.contextmanager
def process_pool() -> Iterator[dict[str, FrameworkProcess]]:
    """A dict for worker processes to be reused after a run; those in it at the end are closed."""
    kept: dict[str, FrameworkProcess] = {}
    try:
        yield kept
    finally:
        for process in kept.values():
            process.close()


def _judge_responses(
    messages: queue.Queue[Message], running: int, unit_done: Callable[[], None], draining: threading.Event
) -> Iterator[Record]:
    """The records in the order of the messages, judged in batches of what has arrived."""
    judge, waited = Judge(), 0.0
    while running:
        try:
            batch = [messages.get(timeout=STOP_POLL)]
        except queue.Empty:
            waited += STOP_POLL * draining.is_set()
            if waited > DRAIN_LIMIT:
                return
            continue
        with contextlib.suppress(queue.Empty):
            while len(batch) < MAX_PENDING:
                batch.append(messages.get_nowait())
        records = judge([message for message in batch if isinstance(message, JudgeRequest)])
        for message in batch:
            if isinstance(message, Record):
                yield message
            elif isinstance(message, JudgeRequest):
                yield next(records)
            elif isinstance(message, UnitDone):
                unit_done()
            else:
                running -= 1
                if message.error is not None:
                    raise message.error


def _join(threads: list[threading.Thread], messages: queue.Queue[Message]) -> None:
    """Wait for the threads to end; empties the queue, so that none blocks on it."""
    while any(thread.is_alive() for thread in threads):
        try:
            messages.get(timeout=0.05)
        except queue.Empty:
            continue
