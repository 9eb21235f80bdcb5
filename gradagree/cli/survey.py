"""The survey command."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from gradagree.cli.options import command_line, print_error
from gradagree.errors import UsageError


@click.command()
@click.option(
    "--profile", default="quick", show_default=True, metavar="NAME", help="Size of the survey: quick, ci or nightly."
)
@click.option("--activations", metavar="LIST", help="Activations to survey (default: all, or those of --ext).")
@click.option("--errors", metavar="LIST", help="Loss functions to survey (default: all, or those of --ext).")
@click.option("--frameworks", metavar="LIST", help="Frameworks and libraries to survey (default: all).")
@click.option("--modes", metavar="LIST", help="Modes to survey (default: those of the profile).")
@click.option("--dtypes", metavar="LIST", help="Dtypes to survey (default: those of the profile).")
@click.option("--kinks", is_flag=True, help="Only list the derivative that each framework returns at kinks.")
@click.option(
    "--ext",
    multiple=True,
    metavar="FILE",
    help="Python file that defines your own functions; it is executed (default: none).",
)
@click.option(
    "--out", type=click.Path(path_type=Path), metavar="DIR", help="Results folder (default: reports/run-DATE-survey)."
)
def survey(kinks: bool, ext: tuple[str, ...], out: Path | None, **options: Any) -> int:
    """Measure the error of every function on a grid of inputs, against exact values.

    The exit code is 0 whatever is found; with --kinks, it is 1 if a derivative at a kink lies outside the interval
    between the one-sided derivatives.
    """
    if kinks:
        return _kinks(ext, out, **options)
    return _survey(ext, out, **options)


def _survey(ext: tuple[str, ...], out: Path | None, **options: Any) -> int:
    from gradagree.runner.campaign import default_folder
    from gradagree.runner.extensions import extension_files, load_all
    from gradagree.surveys.plan import SurveyPlan
    from gradagree.surveys.results import add_reproducers, prepare_folder, write_survey
    from gradagree.surveys.survey import run_survey
    from gradagree.surveys.terminal import SurveyProgress, no_framework_message, print_summary

    own = load_all(ext).named
    plan = SurveyPlan.make(own=own, **options)
    folder = prepare_folder(out or default_folder().with_name(f"{default_folder().name}-survey"))
    with SurveyProgress(len(plan.functions) * len(plan.dtypes)) as counting:
        found = run_survey(plan, extension_files(ext), counting.step)
        add_reproducers(found, plan.profile.thorough)
    if not found.versions:
        print_error(f"gradagree: {no_framework_message(found)}")
        return 5
    path = write_survey(found, plan, options["profile"], folder, command_line())
    print_summary(found)
    click.echo(f"Written: {path}")
    return 0


def _kinks(ext: tuple[str, ...], out: Path | None, **options: Any) -> int:
    from rich.console import Console

    from gradagree.runner.extensions import extension_files, load_all
    from gradagree.runner.options import Plan
    from gradagree.surveys.convention_table import terminal_table, write_conventions
    from gradagree.surveys.conventions import DTYPES, conventions
    from gradagree.surveys.plan import SurveyPlan
    from gradagree.surveys.results import prepare_folder

    own = load_all(ext).named
    frameworks, modes = options["frameworks"], options["modes"]
    named = [options[name] for name in ("activations", "errors") if options[name]]
    checked = SurveyPlan.make(**{**options, "modes": None, "frameworks": None, "own": own})
    Plan.of([], frameworks, modes or "all")
    if out is not None:
        prepare_folder(out)
    functions = list(checked.functions) if named else None
    dtypes = checked.dtypes if options["dtypes"] else DTYPES
    rows = list(conventions(functions, frameworks, modes, extension_files(ext), dtypes))
    if not rows:
        raise UsageError(
            "survey: nothing to list: no selected framework is installed, or no selected function has a kink"
        )
    Console().print(terminal_table(rows))
    if out is not None:
        for path in write_conventions(rows, out):
            click.echo(f"Written: {path}")
    return 1 if any(row.finding for row in rows) else 0
