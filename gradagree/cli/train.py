"""The train command."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from gradagree.cli.options import command_line


@click.command()
@click.argument("dataset", default="diabetes", metavar="[diabetes|digits]")
@click.option(
    "--frameworks", metavar="LIST", help="Frameworks to train beside the reference (default: all that can train)."
)
@click.option(
    "--way",
    default="stochastic",
    show_default=True,
    metavar="NAME",
    help="Gradient descent: stochastic (one example a step) or full (batch).",
)
@click.option("--rate", type=float, metavar="R", help="Learning rate (default: that of the data set).")
@click.option("--rounds", type=int, metavar="N", help="Maximum number of epochs (default: that of the data set).")
@click.option(
    "--low-enough", type=float, default=0.0, show_default=True, metavar="E", help="Stop when the loss is at most E."
)
@click.option(
    "--patience", type=int, metavar="N", help="Stop after N epochs without a new lowest loss (default: no such limit)."
)
@click.option("--seconds", type=float, metavar="S", help="Stop after S seconds (default: no limit).")
@click.option("--every", type=int, metavar="K", help="Check the gradients every K steps (default: 8 times in all).")
@click.option(
    "--seed",
    type=int,
    default=0,
    show_default=True,
    metavar="S",
    help="Seed of the initial weights and of the sampled examples.",
)
@click.option("--strict", is_flag=True, help="Also exit with 1 for inaccurate gradients (default: they pass).")
@click.option(
    "--out", type=click.Path(path_type=Path), metavar="DIR", help="Results folder (default: reports/run-DATE-TIME)."
)
def train(out: Path | None, strict: bool, **options: Any) -> int:
    """Train the reference and the frameworks side by side, and check their gradients along the way.

    All start from the same weights and see the same examples. The data set is diabetes (default; a 10-4-6-8-4
    network) or digits.
    """
    from gradagree.report import report_results, write_training
    from gradagree.report.console import Progress
    from gradagree.runner import campaign
    from gradagree.runner.extensions import load_installed
    from gradagree.runner.known import find_known
    from gradagree.train.run import parse_training_run, run_training

    load_installed()
    training = parse_training_run(**options)
    folder, known = out or campaign.default_folder(), find_known(None)
    with Progress(0) as progress:
        trained = run_training(training, folder, command_line(), strict, progress)
    click.echo(f"{trained.steps:,} steps by the reference; {trained.reason}")
    status = report_results([folder], folder, strict, known)
    click.echo(f"Training: {write_training(folder)}")
    return status
