"""A run from plan to results folder, signals, end."""

from __future__ import annotations

import contextlib
import datetime
import os
import platform
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Any

from gradagree.cases.text import shorten
from gradagree.checker.proofs import prove_derivatives
from gradagree.checker.response import Absent, Ready
from gradagree.checker.verdict import SCHEMA, Record
from gradagree.errors import UsageError
from gradagree.reference import Activation, ErrorFunction
from gradagree.runner import cluster as clusters
from gradagree.runner.extensions import extension_files, load_all
from gradagree.runner.options import Plan
from gradagree.runner.process import FrameworkProcess
from gradagree.runner.results import Journal, read_meta
from gradagree.runner.resume import (
    CompletedRecords,
    check_version,
    decode_plan,
    encode_plan,
    recorded_versions,
    recover,
)
from gradagree.runner.scheduler import run_plan
from gradagree.runner.shards import UNSHARDED

# A run: draw the cases, ask the frameworks in their own processes, judge every answer, write it down at once
# -----------------------------------------------------------------------------------------------------------


def default_workers() -> int:
    """Processes for each framework, so that with two frameworks each core has one."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, cores // 2)


def execute(
    plan: Plan, folder: Path, *, extensions: Sequence[str] = (), workers: int | None = None, command: str = "",
    strict: bool = False, budget: float | None = None, progress: Callable[[Record], None] = lambda record: None,
    resume: bool = False, draining: threading.Event | None = None, scheduler: str | None = None,
    kept: dict[str, FrameworkProcess] | None = None,
) -> bool:  # fmt: skip
    """Run a plan into a results folder: every record is written as it comes, and ``meta.json`` at the start and the
    end. With resume, the folder holds the beginning of this very run, and what it has is not asked again. A process
    of each framework is left in kept, where that is given.

    Returns whether it was interrupted (KeyboardInterrupt, or draining was set); what was written until then stays.
    """
    begun = time.monotonic()
    with Journal(folder, resume) as journal:
        done = recover(journal, plan) if resume else CompletedRecords()
        meta = read_meta(folder) if resume else _meta(plan, command, strict, extensions)
        seconds = float(before) if isinstance(before := meta.get("seconds"), int | float) else 0.0
        journal.write_meta(meta)
        deadline = None if budget is None else begun + budget
        rest = (_record_handshake(meta), deadline, done, journal.sync, draining)
        if scheduler is None:
            made = run_plan(plan, extensions, workers or default_workers(), *rest, kept)
        else:
            made = clusters.run_plan(scheduler, plan, extensions, *rest)
        try:
            with contextlib.closing(made):
                for record in made:
                    journal.append(record)
                    progress(record)
            journal.sync()
        except KeyboardInterrupt:
            if draining is not None and draining.is_set():
                raise
            return True
        finally:
            meta["seconds"] = round(seconds + time.monotonic() - begun, 3)
            journal.write_meta(meta)
    return draining is not None and draining.is_set()


def _record_handshake(meta: dict[str, Any]) -> Callable[[str, Ready | Absent], None]:
    """Keeps what a framework says of itself. Raises UsageError where the run was begun with another version."""
    known = recorded_versions(meta)

    def started(name: str, handshake: Ready | Absent) -> None:
        found = describe_framework(handshake)
        check_version(name, known.get(name), found["version"])
        meta["frameworks"][name] = found

    return started


def prepare(extensions: Sequence[str], options: dict[str, Any]) -> Plan:
    """Load what is not ours, make the plan, and prove every derivative of theirs before any framework is asked.

    Functions of the files that the user names take the place of the catalogue, unless the options name others; those
    of installed packages join it.
    """
    loaded = load_all(extensions)
    for kind in (*loaded.named, *loaded.installed):
        prove_derivatives(kind())
    for option, base in (("activations", Activation), ("errors", ErrorFunction)):
        added = [kind.name for kind in loaded.named if issubclass(kind, base)]
        if added and options.get(option) is None:
            options = {**options, option: ",".join(added)}
    plan = Plan.make(**options)
    chosen: list[Activation | ErrorFunction] = [*(plan.activations or ()), *(plan.errors or ())]
    for function in chosen:
        prove_derivatives(function)
    return plan


def resume_plan(folder: Path, ext: Sequence[str]) -> tuple[Plan, bool]:
    """The plan of a run that was begun in a folder, and whether it is strict.

    Raises UsageError where it was begun with other files than those of ext and of pyproject.toml.
    """
    load_all(ext)
    meta, named = read_meta(folder), [str(Path(file).resolve()) for file in extension_files(ext)]
    if meta.get("extensions") != named:
        had = shorten(str(meta.get("extensions")), 300)
        raise UsageError(f"{folder} was begun with the files {had}: name the same with --ext, and no others")
    return decode_plan(meta, folder, named), meta.get("strict") is True


def describe_framework(handshake: Ready | Absent) -> dict[str, Any]:
    """What ``meta.json`` says of a framework."""
    if isinstance(handshake, Absent):
        return {"installed": False, "version": "", "device": "", "reason": handshake.reason, "probes": {}}
    return {
        "installed": True,
        "version": handshake.version,
        "device": handshake.device,
        "reason": "",
        "probes": handshake.probes,
    }


def _meta(plan: Plan, command: str, strict: bool, extensions: Sequence[str]) -> dict[str, Any]:
    names = {"activations": plan.activations, "errors": plan.errors}
    chosen = {name: None if these is None else [str(f) for f in these] for name, these in names.items()}
    return {
        **environment(command),
        "seed": plan.seed,
        "cases": plan.cases,
        "strict": strict,
        "extensions": [str(Path(file).resolve()) for file in extensions],
        "resume": encode_plan(plan, extensions),
        "options": {"dtypes": list(plan.dtypes), "regimes": list(plan.regimes), **chosen},
        "plan": plan.counts(),
        **({} if plan.shard.of == 1 else {"shard": str(plan.shard), "whole": replace(plan, shard=UNSHARDED).counts()}),
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


# What Ctrl-C and SIGTERM do to a run: the first drains it, the second ends it
# ----------------------------------------------------------------------------


SIGNALS = (signal.SIGINT, signal.SIGTERM)
STOP_MESSAGE = b"\ngradagree: stopping; what is being computed is still judged (once more: stop at once)\n"


@contextlib.contextmanager
def drain_on_signal(stop: threading.Event) -> Iterator[None]:
    """The first SIGINT or SIGTERM sets the event; the next one raises KeyboardInterrupt.

    Only the main thread is told of signals: elsewhere the event stays as it is.
    """

    def told(*_: object) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()
        with contextlib.suppress(OSError):
            os.write(2, STOP_MESSAGE)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, told) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
