"""Scheduler of a run on an existing dask.distributed cluster, whose workers keep framework processes of their own."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from typing import Any

import msgspec

from gradagree.cases.graph_case import AnyCase, parse_case
from gradagree.checker.judge import JUDGES, CaseJudge, Framework, Judge, JudgeRequest, failed_probes
from gradagree.checker.response import Absent, Ready, failures
from gradagree.checker.verdict import Record
from gradagree.errors import UsageError
from gradagree.runner.extensions import load_all
from gradagree.runner.options import Plan
from gradagree.runner.process import FrameworkProcess
from gradagree.runner.resume import CompletedRecords
from gradagree.runner.scheduler import WorkQueue, WorkUnit

CONNECT_TIMEOUT = 10
"""Seconds to connect to the scheduler."""
UNITS_PER_THREAD = 3
"""Work units submitted in advance for each thread of the cluster."""
EncodedResult = tuple[bytes, list[bytes]]
"""A framework's handshake and the records of a work unit, each as JSON."""
_handshake_decoder = msgspec.json.Decoder(Ready | Absent)
_record_decoder = msgspec.json.Decoder(Record)
_processes: dict[tuple[str, ...], FrameworkProcess] = {}
_lock = threading.Lock()


def run_unit(
    framework: str, extensions: tuple[str, ...], encoded: list[tuple[int, str, list[str]]],
    judges: dict[type, CaseJudge],
) -> EncodedResult:  # fmt: skip
    """Compute and judge one work unit; runs on a worker of the cluster, with the worker's own framework process."""
    with _lock:
        JUDGES.update(judges)
        load_all(extensions)
        key = (framework, *extensions)
        if key not in _processes:
            _processes[key] = FrameworkProcess(framework, extensions)
            _processes[key].start()
        process, judge = _processes[key], Judge()
        unit = [(index, case, case.arrays(), modes) for index, case, modes in _decode_unit(encoded)]
        info = Framework.of(framework, process.handshake)
        if isinstance(process.handshake, Absent):
            responses: Any = [
                (k, failure)
                for k, (_, _, _, modes) in enumerate(unit)
                for failure in failures(process.handshake, modes)
            ]
        else:
            responses = process.compute_all([(case, arrays, modes) for _, case, arrays, modes in unit])
        requests = [JudgeRequest(unit[k][1], unit[k][2], info, response, unit[k][0]) for k, response in responses]
        return msgspec.json.encode(process.handshake), [msgspec.json.encode(record) for record in judge(requests)]


def _decode_unit(encoded: list[tuple[int, str, list[str]]]) -> Iterator[tuple[int, AnyCase, list[str]]]:
    return ((index, parse_case(spec), modes) for index, spec, modes in encoded)


def run_plan(
    scheduler: str, plan: Plan, extensions: Sequence[str], started: Callable[[str, Any], None], deadline: float | None,
    done: CompletedRecords, unit_done: Callable[[], None], draining: threading.Event | None,
) -> Generator[Record]:  # fmt: skip
    """The records of a plan that are not in `done`, as they come; see `gradagree.runner.scheduler.run_plan`.

    A unit whose worker dies runs on another one. Raises UsageError if the cluster cannot be reached, or if its workers
    have different versions of a framework.
    """
    client, as_completed = _connect(scheduler)
    units = ((name, unit) for name in plan.frameworks for unit in iter(WorkQueue(plan, name, done).take, None))
    handshakes: dict[str, Ready | Absent] = {}
    running: dict[Any, str] = {}
    pool = as_completed()

    def submit(count: int) -> None:
        for name, unit in itertools.islice(units, count):
            future = client.submit(run_unit, name, tuple(extensions), _encode_unit(unit), JUDGES, pure=False)
            running[future] = name
            pool.add(future)

    try:
        submit(UNITS_PER_THREAD * max(1, sum(client.nthreads().values())))
        while running:
            future = next(pool)
            name = running.pop(future)
            handshake, records = _decode_result(future)
            for record in (*_probe_records(name, handshake, handshakes, plan, started), *records):
                if not done.has_probe(record):
                    done.add(record)
                    yield record
            unit_done()
            if not _is_over(deadline, draining):
                submit(1)
        yield from done.conventions.findings()
    finally:
        client.cancel(list(running))
        client.close()


def _is_over(deadline: float | None, draining: threading.Event | None) -> bool:
    """Whether to submit no further unit."""
    late = deadline is not None and time.monotonic() > deadline
    return late or (draining is not None and draining.is_set())


def _connect(scheduler: str) -> tuple[Any, Any]:
    """A client of the cluster, and dask's `as_completed`."""
    try:
        from distributed import Client, as_completed
    except ImportError:
        raise UsageError("--scheduler needs dask.distributed: pip install 'gradagree[dask]'") from None
    try:
        return Client(scheduler, timeout=CONNECT_TIMEOUT), as_completed
    except (OSError, ValueError, TypeError) as wrong:
        reason = next(iter(str(wrong).splitlines()), type(wrong).__name__)
        raise UsageError(f"--scheduler {scheduler[:200]}: cannot connect to a cluster: {reason}") from None


def _encode_unit(unit: WorkUnit) -> list[tuple[int, str, list[str]]]:
    return [(index, case.spec, modes) for index, case, modes in unit]


def _decode_result(future: Any) -> tuple[Ready | Absent, list[Record]]:
    try:
        handshake, lines = future.result()
    except UsageError:
        raise
    except Exception as wrong:
        reason = next(iter(str(wrong).splitlines()), "")
        raise UsageError(
            f"the cluster lost a unit of cases ({type(wrong).__name__}: {reason}); continue with --resume"
        ) from wrong
    return _handshake_decoder.decode(handshake), [_record_decoder.decode(line) for line in lines]


def _probe_records(
    name: str, handshake: Ready | Absent, handshakes: dict[str, Ready | Absent], plan: Plan,
    started: Callable[[str, Any], None],
) -> list[Record]:  # fmt: skip
    """The failed probes in a framework's first handshake.

    Raises UsageError if a later handshake has another version of the framework.
    """
    if name not in handshakes:
        handshakes[name] = handshake
        started(name, handshake)
        probes = (failed_probes(name, handshake, dtype) for dtype in plan.all_dtypes if isinstance(handshake, Ready))
        return [record for record in probes if record is not None]
    first, current = (one.version if isinstance(one, Ready) else "none" for one in (handshakes[name], handshake))
    if first != current:
        raise UsageError(
            f"the cluster's workers have several versions of {name}, {first} and {current}; install the same on all"
        )
    return []
