"""``gradagree run``: a campaign, whole or in shards, begun or gone on with."""

from __future__ import annotations

import math
import shlex
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gradagree.cli_options import ending_options, extensions
from gradagree.errors import UsageError

if TYPE_CHECKING:
    from gradagree.plan import Plan

ALONGSIDE = ("resume", "ext", "budget", "workers", "scheduler", "known", "shrink")
"""Options that make no other records."""


def choices(command: Callable[..., Any]) -> Callable[..., Any]:
    """--frameworks and --modes."""
    for name, text in (("modes", "Modes, all, or FRAMEWORK:MODE."), ("frameworks", "Frameworks to compare.")):
        command = click.option(f"--{name}", metavar="LIST", help=text)(command)
    return command


def options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Which cases, and how they are asked."""
    for option in reversed(OPTIONS):
        command = option(command)
    return command


OPTIONS = (
    click.option("--cases", type=int, metavar="N", help="Random architectures, each in every dtype."),
    click.option("--seed", type=int, default=0, show_default=True, metavar="S", help="Which ones."),
    choices,
    click.option("--dtypes", metavar="LIST", help="By default float64,float32."),
    click.option("--activations", metavar="LIST", help="By default all, or those of --ext."),
    click.option("--errors", metavar="LIST", help="Error functions; likewise."),
    click.option("--regimes", metavar="LIST", help="By default ordinary,grid,zeros; data sets too."),
    click.option("--profile", default="ci", show_default=True, metavar="NAME", help="quick, ci or nightly."),
    extensions,
    ending_options,
    click.option("--budget", type=float, metavar="SECONDS", help="Begin no case after so long."),
    click.option("--workers", type=int, metavar="N", help="Processes per framework; by default half as many as cores."),
    click.option("--scheduler", metavar="tcp://...", help="Have a dask.distributed cluster do it."),
    click.option("--shard", metavar="I/N", help="The I-th of N parts of the same cases; report joins them."),
    click.option("--resume", type=click.Path(path_type=Path), metavar="DIR", help="Go on with a run that was stopped."),
    click.option("--strict", is_flag=True, help="Lost digits (inaccurate) fail too."),
    click.option("--out", type=click.Path(path_type=Path), metavar="DIR", help="By default reports/run-DATE-TIME."),
)


@click.command()
@options
@click.pass_context
def run(
    context: click.Context, /, ext: tuple[str, ...], workers: int | None, budget: float | None, strict: bool,
    out: Path | None, resume: Path | None, scheduler: str | None, **asked: Any,
) -> int:  # fmt: skip
    """Cross-check gradients on random architectures and write a report.

    Every LIST is separated by commas; "all" stands for all.
    """
    from gradagree import campaign
    from gradagree.declared import files
    from gradagree.drivers import keeping
    from gradagree.finishing import Ending
    from gradagree.report.console import Progress
    from gradagree.signals import draining

    _check(workers, budget)
    ending = Ending.of(asked)
    if resume is None:
        plan, folder = campaign.prepare(ext, asked), out or campaign.default_folder()
    else:
        (plan, strict), folder = _begun(context, resume, ext), resume
    stop = threading.Event()
    with keeping() as kept:
        with Progress(sum(plan.counts().values())) as progress, draining(stop):
            interrupted = campaign.execute(
                plan, folder, extensions=files(ext), workers=workers, command=shlex.join(["gradagree", *sys.argv[1:]]),
                strict=strict, budget=budget, progress=progress, resume=resume is not None, draining=stop,
                scheduler=scheduler, kept=kept,
            )  # fmt: skip
        status = ending.finish(folder, strict, None if interrupted else files(ext), kept)
    if interrupted:
        again = ["gradagree", "run", "--resume", str(folder), *(word for file in ext for word in ("--ext", file))]
        click.echo(f"gradagree: interrupted; go on with: {shlex.join(again)}", err=True)
    return 130 if interrupted else status


def _check(workers: int | None, budget: float | None) -> None:
    if workers is not None and workers < 1:
        raise UsageError(f"--workers {workers}: give a whole number of at least 1")
    if budget is not None and not 0 < budget < math.inf:
        raise UsageError(f"--budget {budget:g}: give a number of seconds above 0")


def _begun(context: click.Context, folder: Path, ext: tuple[str, ...]) -> tuple[Plan, bool]:
    """The plan of a run that is gone on with, and whether it is strict. Files that it used must be named once more:
    what a results folder says makes no code run.
    """
    from gradagree.campaign import resumed
    from gradagree.journal import META

    source = context.get_parameter_source
    given = [name for name in context.params if name not in ALONGSIDE and source(name) is not _default()]
    if given:
        raise UsageError(f"--resume goes on with the options of {folder / META}: leave out --{', --'.join(given)}")
    return resumed(folder, ext)


def _default() -> Any:
    return click.core.ParameterSource.DEFAULT
