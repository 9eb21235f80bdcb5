"""``gradagree run``: a run or a shard of one, started or resumed."""

from __future__ import annotations

import contextlib
import shlex
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gradagree.cli.options import command_line, extensions, finish_options, print_error, selection_options
from gradagree.errors import UsageError

if TYPE_CHECKING:
    from gradagree.runner.options import Plan

ALONGSIDE = ("resume", "ext", "budget", "workers", "scheduler", "known", "shrink")
"""Options that do not change the records."""


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
    selection_options,
    click.option(
        "--dtypes",
        metavar="LIST",
        help="Dtypes to check (default: float64,float32; float16,bfloat16 in two cases of seven).",
    ),
    click.option(
        "--architectures",
        metavar="LIST",
        help="Families of networks: dense,convolutional,residual,transformer,recurrent,mixer (default: all).",
    ),
    click.option("--activations", metavar="LIST", help="Activations to draw from (default: all, or those of --ext)."),
    click.option("--errors", metavar="LIST", help="Loss functions to draw from (default: all, or those of --ext)."),
    click.option(
        "--regimes",
        metavar="LIST",
        help="Input distributions and data sets (default: ordinary,grid,zeros,saturated,extreme; nightly: all).",
    ),
    click.option(
        "--profile", default="ci", show_default=True, metavar="NAME", help="Size of the run: quick, ci or nightly."
    ),
    extensions,
    finish_options,
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
    out: Path | None, resume: Path | None, scheduler: str | None, known: str | None, shrink: float, **selection: Any,
) -> int:  # fmt: skip
    """Cross-check gradients on random architectures and write a report.

    Draws random networks, computes their gradients with each framework and mode, and checks every operation against
    the reference. A LIST is separated by commas; "all" selects everything.
    """
    from rich.console import Console

    from gradagree.api import finish_run
    from gradagree.report import print_summary
    from gradagree.report.console import Progress
    from gradagree.runner import campaign
    from gradagree.runner.campaign import drain_on_signal
    from gradagree.runner.extensions import extension_files
    from gradagree.runner.known import find_known
    from gradagree.runner.options import check_limits
    from gradagree.runner.scheduler import process_pool

    check_limits(workers=workers, budget=budget, shrink=shrink)
    if resume is None:
        plan, folder = campaign.prepare(ext, selection), out or campaign.default_folder()
    else:
        (plan, strict), folder = _resume(context, resume, ext), resume
    entries = find_known(known)
    files, stop = extension_files(ext), threading.Event()
    with process_pool() as kept:
        with Progress(sum(plan.counts().values())) as progress, drain_on_signal(stop):
            interrupted = campaign.execute(
                plan, folder, extensions=files, workers=workers, command=command_line(),
                strict=strict, budget=budget, progress=progress, resume=resume is not None, draining=stop,
                scheduler=scheduler, kept=kept, known=entries,
                notify=lambda text: print_error(f"gradagree: {text}"),
            )  # fmt: skip
        with _status("shrinking failing cases") if shrink and not interrupted else contextlib.nullcontext():
            summary = finish_run(folder, 0 if interrupted else shrink, files, print_error, kept)
    print_summary(summary, Console(), folder)
    if interrupted:
        again = ["gradagree", "run", "--resume", str(folder), *(word for file in ext for word in ("--ext", file))]
        print_error(f"gradagree: interrupted; continue with: {shlex.join(again)}")
    return 130 if interrupted else summary.exit_code_for(strict)


def _status(text: str) -> contextlib.AbstractContextManager[Any]:
    """A line with a spinner on standard error, where that is a terminal."""
    from rich.console import Console

    console = Console(stderr=True)
    return console.status(text) if console.is_terminal else contextlib.nullcontext()


def _resume(context: click.Context, folder: Path, ext: tuple[str, ...]) -> tuple[Plan, bool]:
    """The plan of a run to resume, and whether it is strict.

    Extension files must be named again: the contents of a results folder never make code run.
    """
    from gradagree.runner.campaign import resume_plan
    from gradagree.runner.results import META

    source, default = context.get_parameter_source, click.core.ParameterSource.DEFAULT
    given = [name for name in context.params if name not in ALONGSIDE and source(name) is not default]
    if given:
        raise UsageError(f"--resume uses the options in {folder / META}: leave out --{', --'.join(given)}")
    return resume_plan(folder, ext)
