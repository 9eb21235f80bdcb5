"""The train command."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Any

import click


@click.command()
@click.argument("dataset", default="diabetes", metavar="[diabetes|digits]")
@click.option("--frameworks", metavar="LIST", help="Frameworks to train beside the hand-written network.")
@click.option("--way", default="stochastic", show_default=True, metavar="NAME", help="stochastic or full (batch).")
@click.option("--rate", type=float, metavar="R", help="Each weight changes by -R times its partial derivative.")
@click.option("--rounds", type=int, metavar="N", help="Rounds at most; a round polls as many pairs as there are.")
@click.option("--low-enough", type=float, default=0.0, metavar="E", help="Stop at this error.")
@click.option("--patience", type=int, metavar="N", help="Stop after so many rounds without a new lowest error.")
@click.option("--seconds", type=float, metavar="S", help="Stop after so long.")
@click.option("--every", type=int, metavar="K", help="Judge the frameworks after every K steps.")
@click.option("--seed", type=int, default=0, show_default=True, metavar="S", help="Initial weights and polled pairs.")
@click.option("--strict", is_flag=True, help="Lost digits (inaccurate) fail too.")
@click.option("--out", type=click.Path(path_type=Path), metavar="DIR", help="By default reports/run-DATE-TIME.")
def train(out: Path | None, strict: bool, **options: Any) -> int:
    """Train by hand, by torch and by jax side by side, and judge them along the way.

    All start from the same weights and see the same polled pairs. The default is the diabetes data, on which the
    10-4-6-8-4 network decides; the other is digits.
    """
    from gradagree import campaign, schooling
    from gradagree.declared import load_installed
    from gradagree.known import find_known
    from gradagree.report import report_results, write_training
    from gradagree.report.console import Progress

    load_installed()
    course = schooling.course_of(**options)
    folder, known = out or campaign.default_folder(), find_known(None)
    with Progress(0) as progress:
        trained = schooling.attend(course, folder, shlex.join(["gradagree", *sys.argv[1:]]), strict, progress)
    click.echo(f"{trained.steps:,} steps by hand; {trained.reason}")
    status = report_results([folder], folder, strict, known)
    click.echo(f"Training: {write_training(folder)}")
    return status
