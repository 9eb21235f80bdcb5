"""``gradagree run``: a run or a shard of one, started or resumed."""

from __future__ import annotations

import contextlib
import json
import math
import shlex
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gradagree.cli.options import ending_options, extensions
from gradagree.errors import UsageError

if TYPE_CHECKING:
    from gradagree.runner.known import Entry
    from gradagree.runner.options import Plan
    from gradagree.runner.process import FrameworkProcess

ALONGSIDE = ("resume", "ext", "budget", "workers", "scheduler", "known", "shrink")
"""Options that make no other records."""


def choices(command: Callable[..., Any]) -> Callable[..., Any]:
    """--frameworks and --modes."""
    modes = "Gradient modes to check: MODE, FRAMEWORK:MODE or all (default: all but the slowest to compile)."
    command = click.option("--modes", metavar="LIST", help=modes)(command)
    frameworks = "Frameworks to check (default: all that gradagree knows)."
    return click.option("--frameworks", metavar="LIST", help=frameworks)(command)


def options(command: Callable[..., Any]) -> Callable[..., Any]:
    """All options of run."""
    for option in reversed(OPTIONS):
        command = option(command)
    return command


OPTIONS = (
    click.option(
        "--cases",
        type=int,
        metavar="N",
        help="Number of random architectures, each checked in every dtype (default: 40 quick, 200 ci, 2000 nightly).",
    ),
    click.option(
        "--seed", type=int, default=0, show_default=True, metavar="S", help="Seed of the random architectures."
    ),
    choices,
    click.option("--dtypes", metavar="LIST", help="Dtypes to check (default: float64,float32)."),
    click.option("--activations", metavar="LIST", help="Activations to draw from (default: all, or those of --ext)."),
    click.option("--errors", metavar="LIST", help="Loss functions to draw from (default: all, or those of --ext)."),
    click.option(
        "--regimes",
        metavar="LIST",
        help="Input distributions and data sets (default: ordinary,grid,zeros; nightly: all).",
    ),
    click.option(
        "--profile", default="ci", show_default=True, metavar="NAME", help="Size of the run: quick, ci or nightly."
    ),
    extensions,
    ending_options,
    click.option(
        "--budget", type=float, metavar="SECONDS", help="Start no new case after this time (default: no limit)."
    ),
    click.option(
        "--workers", type=int, metavar="N", help="Worker processes per framework (default: half the number of cores)."
    ),
    click.option(
        "--scheduler",
        metavar="tcp://...",
        help="Address of a dask.distributed scheduler that runs the cases (default: run locally).",
    ),
    click.option(
        "--shard",
        metavar="I/N",
        help="Run only part I of N of the cases; gradagree report joins the parts (default: 1/1).",
    ),
    click.option(
        "--resume",
        type=click.Path(path_type=Path),
        metavar="DIR",
        help="Results folder of a stopped run to continue (default: start a new run).",
    ),
    click.option("--strict", is_flag=True, help="Also exit with 1 for inaccurate gradients (default: they pass)."),
    click.option(
        "--out", type=click.Path(path_type=Path), metavar="DIR", help="Results folder (default: reports/run-DATE-TIME)."
    ),
)


@click.command()
@options
@click.pass_context
def run(
    context: click.Context, /, ext: tuple[str, ...], workers: int | None, budget: float | None, strict: bool,
    out: Path | None, resume: Path | None, scheduler: str | None, **asked: Any,
) -> int:  # fmt: skip
    """Cross-check gradients on random architectures and write a report.

    Draws random networks, computes their gradients with each framework and mode, and checks every operation against
    the reference. A LIST is separated by commas; "all" selects everything.
    """
    from gradagree.report import report_results
    from gradagree.report.console import Progress
    from gradagree.runner import campaign
    from gradagree.runner.campaign import drain_on_signal
    from gradagree.runner.extensions import extension_files
    from gradagree.runner.scheduler import process_pool

    _check(workers, budget)
    known, seconds = _ending(asked.pop("known"), asked.pop("shrink"))
    if resume is None:
        plan, folder = campaign.prepare(ext, asked), out or campaign.default_folder()
    else:
        (plan, strict), folder = _begun(context, resume, ext), resume
    stop = threading.Event()
    with process_pool() as kept:
        with Progress(sum(plan.counts().values())) as progress, drain_on_signal(stop):
            interrupted = campaign.execute(
                plan, folder, extensions=extension_files(ext), workers=workers,
                command=shlex.join(["gradagree", *sys.argv[1:]]), strict=strict, budget=budget, progress=progress,
                resume=resume is not None, draining=stop, scheduler=scheduler, kept=kept,
            )  # fmt: skip
        if known is not None:
            _keep_known(folder, known)
        if not interrupted:
            _shrink(folder, seconds, extension_files(ext), kept)
        status = report_results([folder], folder, strict)
    if interrupted:
        again = ["gradagree", "run", "--resume", str(folder), *(word for file in ext for word in ("--ext", file))]
        click.echo(f"gradagree: interrupted; continue with: {shlex.join(again)}", err=True)
    return 130 if interrupted else status


def _check(workers: int | None, budget: float | None) -> None:
    if workers is not None and workers < 1:
        raise UsageError(f"--workers {workers}: give a whole number of at least 1")
    if budget is not None and not 0 < budget < math.inf:
        raise UsageError(f"--budget {budget:g}: give a number of seconds above 0")


def _ending(known: str | None, shrink: float) -> tuple[Sequence[Entry] | None, float]:
    """The accepted differences and the seconds for shrinking. Raises UsageError where an option is wrong."""
    from gradagree.runner.known import find_known

    if not 0 <= shrink < math.inf:
        raise UsageError(f"--shrink {shrink:g}: give a number of seconds, or 0 to shrink nothing")
    return find_known(known), shrink


def _keep_known(folder: Path, known: Sequence[Entry]) -> None:
    """Keep the accepted differences in ``meta.json``, so that every later report of the folder shows them."""
    from gradagree.files import write_text
    from gradagree.runner.results import META, read_meta

    meta = {**read_meta(folder), "known": [entry.to_json() for entry in known]}
    write_text(folder / META, json.dumps(meta, indent=2, sort_keys=True) + "\n")


def _shrink(folder: Path, seconds: float, extensions: Sequence[str], kept: dict[str, FrameworkProcess]) -> None:
    """Shrink the failing cases of a run; kept holds worker processes that need not be started again."""
    from rich.console import Console

    from gradagree.shrink import shrink_findings

    if not seconds:
        return
    console = Console(stderr=True)
    with console.status("shrinking failing cases") if console.is_terminal else contextlib.nullcontext():
        shrink_findings(folder, seconds, extensions, lambda text: click.echo(text, err=True), kept)


def _begun(context: click.Context, folder: Path, ext: tuple[str, ...]) -> tuple[Plan, bool]:
    """The plan of a run to resume, and whether it is strict. Files that it used must be named again: the contents of a
    results folder never make code run.
    """
    from gradagree.runner.campaign import resume_plan
    from gradagree.runner.results import META

    source = context.get_parameter_source
    given = [name for name in context.params if name not in ALONGSIDE and source(name) is not _default()]
    if given:
        raise UsageError(f"--resume goes on with the options of {folder / META}: leave out --{', --'.join(given)}")
    return resume_plan(folder, ext)


def _default() -> Any:
    return click.core.ParameterSource.DEFAULT
