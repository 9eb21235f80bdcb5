"""A run: draw the cases, ask the frameworks in their own processes, judge every answer, write it down at once."""

from __future__ import annotations

import datetime
import os
import platform
import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

from gradagree import wire
from gradagree.cases import Arrays, Case
from gradagree.extensions import load
from gradagree.journal import Journal
from gradagree.judge import Framework, failed_probes, judge
from gradagree.plan import Plan
from gradagree.process import FrameworkProcess
from gradagree.proof import prove
from gradagree.reference import Activation, ErrorFunction
from gradagree.verdict import SCHEMA, Record, Verdict

__all__ = ["default_workers", "execute", "records"]

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


def default_workers() -> int:
    """One process for each core, for frameworks whose modes compile."""
    return max(1, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)


def records(
    plan: Plan, extensions: Sequence[str] = (), workers: int = 1, started: Callable[[str, Any], None] | None = None,
    deadline: float | None = None,
) -> Iterator[Record]:  # fmt: skip
    """Every record of a plan, as it comes. started is told what each framework said of itself.

    Each framework has `workers` processes, which share its cases. Past the deadline (of time.monotonic) no further case
    is begun.
    """
    replies: queue.Queue[Reply | Record | Ended] = queue.Queue(WAITING)
    stop = threading.Event()
    threads = [
        threading.Thread(target=_drive, args=(plan, name, (k, workers), extensions, replies, stop, started, deadline))
        for name in plan.frameworks
        for k in range(workers)
    ]
    for thread in threads:
        thread.daemon = True
        thread.start()
    running = len(threads)
    try:
        while running:
            reply = replies.get()
            if isinstance(reply, Record):
                yield reply
                continue
            if isinstance(reply, Ended):
                running -= 1
                if reply.wrong is not None:
                    raise reply.wrong
                continue
            yield judge(reply.case, reply.arrays, reply.framework, reply.answer, reply.number)
    finally:
        stop.set()
        _drain(threads, replies)


def _drain(threads: list[threading.Thread], replies: queue.Queue[Reply | Record | Ended]) -> None:
    """Let the threads come to their end, whatever still waits."""
    while any(thread.is_alive() for thread in threads):
        try:
            replies.get(timeout=0.05)
        except queue.Empty:
            continue


def _drive(
    plan: Plan, name: str, turn: tuple[int, int], extensions: Sequence[str], replies: queue.Queue[Reply | Record |
    Ended], stop: threading.Event, started: Callable[[str, Any], None] | None, deadline: float | None,
) -> None:  # fmt: skip
    """One process of a framework, over every workers-th of its cases."""
    wrong: BaseException | None = None
    try:
        with FrameworkProcess(name, extensions) as process:
            if started is not None:
                started(name, process.hello)
            framework = Framework.of(name, process.hello)
            if turn[0] == 0 and isinstance(process.hello, wire.Ready):
                for failed in (failed_probes(name, process.hello, dtype) for dtype in plan.dtypes):
                    if failed is not None:
                        replies.put(failed)
            for place, (index, case, modes) in enumerate(_share(plan, name)):
                if stop.is_set() or (deadline is not None and time.monotonic() > deadline):
                    break
                if place % turn[1] != turn[0]:
                    continue
                arrays = case.arrays()
                for answer in _answers(process, case, arrays, modes):
                    replies.put(Reply(index, case, arrays, framework, answer))
    except BaseException as error:  # noqa: BLE001  (handed to the thread that judges, which raises it)
        wrong = error
    replies.put(Ended(wrong))


def _share(plan: Plan, name: str) -> Iterator[tuple[int, Case, list[str]]]:
    """The cases that a framework is asked, with its modes."""
    for index, case in plan.drawn():
        if modes := plan.asked(name, index):
            yield index, case, modes


def _answers(
    process: FrameworkProcess, case: Case, arrays: Arrays, modes: list[str]
) -> Iterator[wire.Answered | wire.Failed]:
    """One answer for each mode; where the framework is not there, the reason."""
    if isinstance(process.hello, wire.Absent):
        return (wire.Failed(mode, Verdict.ABSENT, process.hello.reason) for mode in modes)
    return process.ask(case, arrays, modes)


def execute(
    plan: Plan, folder: Path, *, extensions: Sequence[str] = (), workers: int | None = None, command: str = "",
    strict: bool = False, budget: float | None = None, progress: Callable[[Record], None] = lambda record: None,
) -> bool:  # fmt: skip
    """Run a plan into a results folder: every record is written as it comes, and ``meta.json`` at the start and the
    end.

    Returns whether it was interrupted; what was written until then stays.
    """
    begun = time.monotonic()
    meta = _meta(plan, command, strict)
    with Journal(folder) as journal:
        journal.meta(meta)

        def started(name: str, hello: wire.Ready | wire.Absent) -> None:
            meta["frameworks"][name] = describe(hello)

        deadline = None if budget is None else begun + budget
        try:
            for record in records(plan, extensions, workers or default_workers(), started, deadline):
                journal.append(record)
                progress(record)
        except KeyboardInterrupt:
            return True
        finally:
            meta["seconds"] = round(time.monotonic() - begun, 3)
            journal.meta(meta)
    return False


def prepare(extensions: Sequence[str], options: dict[str, Any]) -> Plan:
    """Load the extensions, make the plan, and prove every derivative of theirs before any framework is asked.

    Functions that the extensions define take the place of the catalogue, unless the options name others.
    """
    before = {*Activation.catalogue, *ErrorFunction.catalogue}
    load(extensions)
    catalogues: dict[str, dict[str, Any]] = {"activations": Activation.catalogue, "errors": ErrorFunction.catalogue}
    for option, catalogue in catalogues.items():
        added = [name for name in catalogue if name not in before]
        for name in added:
            prove(catalogue[name]())
        if added and options.get(option) is None:
            options = {**options, option: ",".join(added)}
    plan = Plan.make(**options)
    chosen: list[Activation | ErrorFunction] = [*(plan.activations or ()), *(plan.errors or ())]
    for function in chosen:
        prove(function)
    return plan


def describe(hello: wire.Ready | wire.Absent) -> dict[str, Any]:
    """What ``meta.json`` says of a framework."""
    if isinstance(hello, wire.Absent):
        return {"installed": False, "version": "", "device": "", "reason": hello.reason, "probes": {}}
    return {"installed": True, "version": hello.version, "device": hello.device, "reason": "", "probes": hello.probes}


def _meta(plan: Plan, command: str, strict: bool) -> dict[str, Any]:
    names = {"activations": plan.activations, "errors": plan.errors}
    chosen = {name: None if these is None else [str(f) for f in these] for name, these in names.items()}
    return {
        **environment(command),
        "seed": plan.seed,
        "cases": plan.cases,
        "strict": strict,
        "options": {"dtypes": list(plan.dtypes), "regimes": list(plan.regimes), **chosen},
        "plan": plan.counts(),
        "frameworks": {},
    }


def environment(command: str) -> dict[str, Any]:
    """What ``meta.json`` says of any run: when, where, by which command and versions."""
    return {
        "schema": SCHEMA,
        "gradagree": metadata.version("gradagree"),
        "command": command,
        "started": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        "platform": {
            "system": platform.system(),
            "machine": platform.machine(),
            "python": platform.python_version(),
            **{name: metadata.version(name) for name in ("numpy", "scipy", "python-flint")},
        },
    }


def default_folder() -> Path:
    """reports/run-DATE-TIME, below the current folder."""
    return Path("reports") / f"run-{datetime.datetime.now():%Y%m%d-%H%M%S}"
