"""A run: draw the cases, ask the frameworks in their own processes, judge every answer, write it down at once."""

from __future__ import annotations

import datetime
import os
import platform
import time
from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from gradagree import wire
from gradagree.declared import load_all
from gradagree.drivers import records
from gradagree.journal import Journal
from gradagree.plan import Plan
from gradagree.proof import prove
from gradagree.reference import Activation, ErrorFunction
from gradagree.verdict import SCHEMA, Record

__all__ = ["default_folder", "default_workers", "describe", "environment", "execute", "prepare"]


def default_workers() -> int:
    """Processes for each framework, so that with two frameworks each core has one."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, cores // 2)


def execute(
    plan: Plan, folder: Path, *, extensions: Sequence[str] = (), workers: int | None = None, command: str = "",
    strict: bool = False, budget: float | None = None, progress: Callable[[Record], None] = lambda record: None,
) -> bool:  # fmt: skip
    """Run a plan into a results folder: every record is written as it comes, and ``meta.json`` at the start and the
    end.

    Returns whether it was interrupted; what was written until then stays.
    """
    begun = time.monotonic()
    meta = {**_meta(plan, command, strict), "extensions": [str(Path(file).resolve()) for file in extensions]}
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
    """Load what is not ours, make the plan, and prove every derivative of theirs before any framework is asked.

    Functions of the files that the user names take the place of the catalogue, unless the options name others; those
    of installed packages join it.
    """
    loaded = load_all(extensions)
    for kind in (*loaded.named, *loaded.installed):
        prove(kind())
    for option, base in (("activations", Activation), ("errors", ErrorFunction)):
        added = [kind.name for kind in loaded.named if issubclass(kind, base)]
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
