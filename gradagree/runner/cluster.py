"""Units of cases on the workers of a dask.distributed cluster that is there; each worker keeps processes of its own."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from typing import Any

import msgspec

from gradagree.cases.case import Case
from gradagree.checker.judge import Framework, Judge, JudgeRequest, failed_probes
from gradagree.checker.response import Absent, Ready, failures
from gradagree.checker.verdict import Record
from gradagree.errors import UsageError
from gradagree.runner.extensions import load_all
from gradagree.runner.options import Plan
from gradagree.runner.process import FrameworkProcess
from gradagree.runner.resume import CompletedRecords
from gradagree.runner.scheduler import WorkQueue, WorkUnit

CONNECT_TIMEOUT = 10
"""Seconds for the scheduler to answer."""
UNITS_PER_THREAD = 3
"""Units that wait for each thread of the cluster."""
EncodedResult = tuple[bytes, list[bytes]]
"""What a framework said of itself, and records; both as text."""
_handshake_decoder = msgspec.json.Decoder(Ready | Absent)
_record_decoder = msgspec.json.Decoder(Record)
_processes: dict[tuple[str, ...], FrameworkProcess] = {}
_lock = threading.Lock()


def run_unit(framework: str, extensions: tuple[str, ...], asked: list[tuple[int, str, list[str]]]) -> EncodedResult:
    """On a worker of the cluster: ask its own process of the framework, and judge what it answers."""
    with _lock:
        load_all(extensions)
        key = (framework, *extensions)
        if key not in _processes:
            _processes[key] = FrameworkProcess(framework, extensions)
            _processes[key].start()
        process, judge = _processes[key], Judge()
        unit = [(index, case, case.arrays(), modes) for index, case, modes in _decode_unit(asked)]
        about = Framework.of(framework, process.handshake)
        if isinstance(process.handshake, Absent):
            answers: Any = [
                (place, answer) for place, one in enumerate(unit) for answer in failures(process.handshake, one[3])
            ]
        else:
            answers = process.ask_all([(case, arrays, modes) for _, case, arrays, modes in unit])
        given = [
            JudgeRequest(unit[place][1], unit[place][2], about, answer, unit[place][0]) for place, answer in answers
        ]
        return msgspec.json.encode(process.handshake), [msgspec.json.encode(record) for record in judge(given)]


def _decode_unit(asked: list[tuple[int, str, list[str]]]) -> Iterator[tuple[int, Case, list[str]]]:
    return ((index, Case.parse(spec), modes) for index, spec, modes in asked)


def run_plan(
    scheduler: str, plan: Plan, extensions: Sequence[str], started: Callable[[str, Any], None], deadline: float | None,
    done: CompletedRecords, settled: Callable[[], None], draining: threading.Event | None,
) -> Generator[Record]:  # fmt: skip
    """Every record of a plan that is not done, as the cluster gives them; as `gradagree.runner.scheduler.run_plan`.

    A unit whose worker dies is given to another. Raises UsageError where the cluster cannot be reached, or its workers
    have several versions of a framework.
    """
    client, as_completed = _connect(scheduler)
    units = ((name, unit) for name in plan.frameworks for unit in iter(WorkQueue(plan, name, done).take, None))
    said: dict[str, Ready | Absent] = {}
    running: dict[Any, str] = {}
    pool = as_completed()

    def hand_out(count: int) -> None:
        for name, unit in itertools.islice(units, count):
            future = client.submit(run_unit, name, tuple(extensions), _encode_unit(unit), pure=False)
            running[future] = name
            pool.add(future)

    try:
        hand_out(UNITS_PER_THREAD * max(1, sum(client.nthreads().values())))
        while running:
            future = next(pool)
            name = running.pop(future)
            handshake, made = _decode_result(future)
            for record in (*_probe_records(name, handshake, said, plan, started), *made):
                if not done.has_probe(record):
                    done.add(record)
                    yield record
            settled()
            if not _is_over(deadline, draining):
                hand_out(1)
        yield from done.conventions.findings()
    finally:
        client.cancel(list(running))
        client.close()


def _is_over(deadline: float | None, draining: threading.Event | None) -> bool:
    """Whether no further unit is to be handed out."""
    late = deadline is not None and time.monotonic() > deadline
    return late or (draining is not None and draining.is_set())


def _connect(scheduler: str) -> tuple[Any, Any]:
    """A client of the cluster, and what its answers come by."""
    try:
        from distributed import Client, as_completed
    except ImportError:
        raise UsageError("--scheduler needs dask.distributed: pip install 'gradagree[dask]'") from None
    try:
        return Client(scheduler, timeout=CONNECT_TIMEOUT), as_completed
    except (OSError, ValueError, TypeError) as wrong:
        said = next(iter(str(wrong).splitlines()), type(wrong).__name__)
        raise UsageError(f"--scheduler {scheduler[:200]}: there is no cluster: {said}") from None


def _encode_unit(unit: WorkUnit) -> list[tuple[int, str, list[str]]]:
    return [(index, case.spec, modes) for index, case, modes in unit]


def _decode_result(future: Any) -> tuple[Ready | Absent, list[Record]]:
    try:
        handshake, lines = future.result()
    except UsageError:
        raise
    except Exception as wrong:
        said = next(iter(str(wrong).splitlines()), "")
        raise UsageError(
            f"the cluster lost a unit of cases ({type(wrong).__name__}: {said}); go on with --resume"
        ) from wrong
    return _handshake_decoder.decode(handshake), [_record_decoder.decode(line) for line in lines]


def _probe_records(
    name: str, handshake: Ready | Absent, said: dict[str, Ready | Absent], plan: Plan,
    started: Callable[[str, Any], None],
) -> list[Record]:  # fmt: skip
    """What a framework's first answer tells of it. Raises UsageError where workers have different versions of it."""
    if name not in said:
        said[name] = handshake
        started(name, handshake)
        probes = (failed_probes(name, handshake, dtype) for dtype in plan.dtypes if isinstance(handshake, Ready))
        return [record for record in probes if record is not None]
    first, now = (one.version if isinstance(one, Ready) else "none" for one in (said[name], handshake))
    if first != now:
        raise UsageError(f"the cluster's workers have several versions of {name}: {first} and {now}")
    return []
