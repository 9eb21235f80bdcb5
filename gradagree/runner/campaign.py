"""A run: from a plan to a results folder. The first Ctrl-C or SIGTERM drains it, the second aborts it."""

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
from gradagree.runner import cluster
from gradagree.runner.extensions import extension_files, load_all
from gradagree.runner.known_entry import Entry
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

COMPANIONS = {"activations": ["id", "tanh", "sigmoid", "softplus"], "errors": ["sse", "mse", "cross_entropy"]}
"""Functions drawn beside the user's own; a fault in one of them does not fail the run."""
OWN_LAYERS = "residual"
"""The family of graphs of the user's own layers, unless options name others."""
SIGNALS = (signal.SIGINT, signal.SIGTERM)
STOP_MESSAGE = b"\ngradagree: finishing the running cases; press Ctrl-C again to abort\n"


def default_workers() -> int:
    """Worker processes of each framework: half of the cores, so that two frameworks use them all."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, cores // 2)


def execute(
    plan: Plan, folder: Path, *, extensions: Sequence[str] = (), workers: int | None = None, command: str = "",
    strict: bool = False, budget: float | None = None, progress: Callable[[Record], None] = lambda record: None,
    resume: bool = False, draining: threading.Event | None = None, scheduler: str | None = None,
    kept: dict[str, FrameworkProcess] | None = None, known: Sequence[Entry] | None = None,
    notify: Callable[[str], None] = lambda text: None,
) -> bool:  # fmt: skip
    """Run a plan into a results folder.

    Each record is written as it comes, ``meta.json`` at the start and at the end.

    Args:
        plan: cases and modes.
        folder: results folder.
        extensions: files of the user's functions and adapters.
        workers: worker processes of each framework; `default_workers` if None.
        command: command line, for ``meta.json``.
        strict: whether inaccurate gradients fail, for ``meta.json``.
        budget: seconds after which no case is started.
        progress: called with each record.
        resume: whether the folder holds a stopped run of this plan; its records are not computed again.
        draining: when set, no further case is started.
        scheduler: address of a dask.distributed scheduler; None runs on this machine.
        kept: receives one running worker process of each framework.
        known: accepted differences, for ``meta.json``, so that every later report of the folder shows them.
        notify: called with a sentence where the folder held the results of an earlier run.

    Returns:
        Whether the run was interrupted, by KeyboardInterrupt or `draining`. Records written until then stay.
    """
    start = time.monotonic()
    with Journal(folder, resume) as journal:
        if journal.earlier is not None:
            notify(f"{folder} held the results of an earlier run; they are now in {journal.earlier}")
        done = recover(journal, plan) if resume else CompletedRecords()
        meta = read_meta(folder) if resume else _meta(plan, command, strict, extensions)
        if known is not None:
            meta["known"] = [entry.to_json() for entry in known]
        seconds = float(before) if isinstance(before := meta.get("seconds"), int | float) else 0.0
        journal.write_meta(meta)
        deadline = None if budget is None else start + budget
        common = (_record_handshake(meta), deadline, done, journal.sync, draining)
        if scheduler is None:
            records = run_plan(plan, extensions, workers or default_workers(), *common, kept)
        else:
            records = cluster.run_plan(scheduler, plan, extensions, *common)
        try:
            with contextlib.closing(records):
                for record in records:
                    journal.append(record)
                    progress(record)
            journal.sync()
        except KeyboardInterrupt:
            if draining is not None and draining.is_set():
                raise
            return True
        finally:
            meta["seconds"] = round(seconds + time.monotonic() - start, 3)
            journal.write_meta(meta)
    return draining is not None and draining.is_set()


def _record_handshake(meta: dict[str, Any]) -> Callable[[str, Ready | Absent], None]:
    """A callback that stores the handshake of a framework in ``meta.json``'s dict.

    It raises UsageError if a resumed run was started with another version.
    """
    recorded = recorded_versions(meta)

    def started(name: str, handshake: Ready | Absent) -> None:
        description = describe_framework(handshake)
        check_version(name, recorded.get(name), description["version"])
        meta["frameworks"][name] = description

    return started


def prepare(extensions: Sequence[str], options: dict[str, Any]) -> Plan:
    """Load extensions, make the plan, and verify the derivatives of all functions before any framework is started.

    Functions from the user's files replace the catalogue, unless the options name functions; where there are only
    activations, or only losses, the other ones are `COMPANIONS`. Graphs are built of layers from the user's files, if
    there are any. Functions from installed packages are added to the
    catalogue. Raises UsageError for an invalid option or a wrong derivative.
    """
    loaded = load_all(extensions)
    for kind in (*loaded.named, *loaded.installed):
        prove_derivatives(kind())
    own = [kind.name for kind in loaded.named]
    alone = bool(own) and options.get("activations") is None and options.get("errors") is None
    for option, base in (("activations", Activation), ("errors", ErrorFunction)):
        added = [kind.name for kind in loaded.named if issubclass(kind, base)]
        if (drawn := added or (COMPANIONS[option] if alone else [])) and options.get(option) is None:
            options = {**options, option: ",".join(drawn)}
    layers = tuple(kind() for kind in loaded.layers)
    for layer in layers:
        prove_derivatives(layer)
    if layers and not own and options.get("architectures") is None:
        options = {**options, "architectures": OWN_LAYERS}
    plan = replace(Plan.make(**options), layers=layers)
    if alone:
        plan = replace(plan, own=tuple(own))
    elif layers and not own:
        plan = replace(plan, own=tuple(layer.name for layer in layers))
    chosen: list[Activation | ErrorFunction] = [*(plan.activations or ()), *(plan.errors or ())]
    for function in chosen:
        prove_derivatives(function)
    return plan


def resume_plan(folder: Path, ext: Sequence[str]) -> tuple[Plan, bool]:
    """The plan of the stopped run in a folder, and whether it is strict.

    Raises UsageError if it was started with other extension files than those of ext and pyproject.toml.
    """
    load_all(ext)
    meta, named = read_meta(folder), [str(Path(file).resolve()) for file in extension_files(ext)]
    if meta.get("extensions") != named:
        before = shorten(str(meta.get("extensions")), 300)
        raise UsageError(f"{folder} was started with the files {before}; give exactly these with --ext")
    return decode_plan(meta, folder, named), meta.get("strict") is True


def describe_framework(handshake: Ready | Absent) -> dict[str, Any]:
    """The entry of a framework in ``meta.json``."""
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
    options = plan.options()
    return {
        **environment(command),
        "seed": plan.seed,
        "cases": plan.cases,
        "strict": strict,
        "extensions": [str(Path(file).resolve()) for file in extensions],
        "resume": encode_plan(plan, extensions),
        "options": {name: getattr(options, name) for name in ("dtypes", "regimes", "activations", "errors")},
        "plan": plan.counts(),
        **({"own": list(plan.own)} if plan.own else {}),
        **({} if plan.shard.of == 1 else {"shard": str(plan.shard), "whole": replace(plan, shard=UNSHARDED).counts()}),
        "frameworks": {},
    }


def environment(command: str) -> dict[str, Any]:
    """The part of ``meta.json`` that all commands write: time, platform, command and versions."""
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
    """reports/run-DATE-TIME."""
    return Path("reports") / f"run-{datetime.datetime.now():%Y%m%d-%H%M%S}"


@contextlib.contextmanager
def drain_on_signal(stop: threading.Event) -> Iterator[None]:
    """The first SIGINT or SIGTERM sets the event; the next one raises KeyboardInterrupt.

    Does nothing outside the main thread, the only one that receives signals.
    """

    def handle(*_: object) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()
        with contextlib.suppress(OSError):
            os.write(2, STOP_MESSAGE)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, handle) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
