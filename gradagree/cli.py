"""The command line: run, train, replay, report, compare, survey, list, new.

Exit codes: 0 agree, 1 a failing verdict, 2 usage or configuration, 3 internal error, 5 nothing compared, 130
interrupted.
"""

from __future__ import annotations

import functools
import math
import os
import shlex
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from gradagree.cli_compare import compare
from gradagree.cli_list import list_
from gradagree.cli_new import new
from gradagree.cli_options import ending_options, extensions, known_option
from gradagree.cli_survey import survey
from gradagree.cli_train import train
from gradagree.errors import UsageError, check_target, nearest

__all__ = ["main"]


class Commands(click.Group):
    """Offers the nearest command for one that does not exist."""

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        if args and args[0] not in self.commands:
            raise UsageError(f"no command {args[0]!r}; {nearest(args[0], self.commands)}")
        return super().resolve_command(ctx, args)


HELP = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


@click.group(cls=Commands, invoke_without_command=True, context_settings=HELP)
@click.version_option(package_name="gradagree", message="%(version)s")
@click.pass_context
def commands(context: click.Context) -> None:
    """Is this gradient right? Backpropagation derived by hand judges PyTorch and JAX, box by box."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


def choices(command: Callable[..., Any]) -> Callable[..., Any]:
    """--frameworks and --modes."""
    for name, text in (("modes", "Modes, all, or FRAMEWORK:MODE."), ("frameworks", "Frameworks to compare.")):
        command = click.option(f"--{name}", metavar="LIST", help=text)(command)
    return command


@commands.command()
@click.option("--cases", type=int, metavar="N", help="Random architectures, each in every dtype.")
@click.option("--seed", type=int, default=0, show_default=True, metavar="S", help="Which ones.")
@choices
@click.option("--dtypes", metavar="LIST", help="By default float64,float32.")
@click.option("--activations", metavar="LIST", help="By default all, or those of --ext.")
@click.option("--errors", metavar="LIST", help="Error functions; likewise.")
@click.option("--regimes", metavar="LIST", help="By default ordinary,grid,zeros; data sets too.")
@click.option("--profile", default="ci", show_default=True, metavar="NAME", help="quick, ci or nightly.")
@extensions
@ending_options
@click.option("--budget", type=float, metavar="SECONDS", help="Begin no case after so long.")
@click.option("--workers", type=int, metavar="N", help="Processes per framework; by default half as many as cores.")
@click.option("--strict", is_flag=True, help="Lost digits (inaccurate) fail too.")
@click.option("--out", type=click.Path(path_type=Path), metavar="DIR", help="By default reports/run-DATE-TIME.")
def run(
    ext: tuple[str, ...], workers: int | None, budget: float | None, strict: bool, out: Path | None, **options: Any
) -> int:
    """Cross-check gradients on random architectures and write a report.

    Every LIST is separated by commas; "all" stands for all.
    """
    from gradagree import campaign
    from gradagree.console import Progress
    from gradagree.declared import files
    from gradagree.finishing import Ending

    if workers is not None and workers < 1:
        raise UsageError(f"--workers {workers}: give a whole number of at least 1")
    if budget is not None and not 0 < budget < math.inf:
        raise UsageError(f"--budget {budget:g}: give a number of seconds above 0")
    ending, plan = Ending.of(options), campaign.prepare(ext, options)
    folder = out or campaign.default_folder()
    with Progress(sum(plan.counts().values())) as progress:
        interrupted = campaign.execute(
            plan, folder, extensions=files(ext), workers=workers, command=shlex.join(["gradagree", *sys.argv[1:]]),
            strict=strict, budget=budget, progress=progress,
        )  # fmt: skip
    status = ending.finish(folder, strict, None if interrupted else files(ext))
    return 130 if interrupted else status


@commands.command()
@click.argument("case", metavar="ID|FILE")
@choices
@extensions
@click.option("--dir", "folder", type=click.Path(path_type=Path), metavar="DIR", help="Results folder of an alias.")
@click.option("--script", is_flag=False, flag_value="", metavar="[FILE]", help="Write a stand-alone script of it.")
def replay(
    case: str, frameworks: str | None, modes: str | None, ext: tuple[str, ...], folder: Path | None, script: str | None
) -> int:
    """Check one case again and show every box.

    ID is a case's text, or its six digits within a results folder; FILE is a case file.
    """
    from gradagree.console import print_replay
    from gradagree.declared import files, load_all
    from gradagree.plan import Plan
    from gradagree.replay import find
    from gradagree.replay import replay as replayed

    load_all(ext)
    target = check_target("--script", script, ".py") if script else None
    found = find(case, folder)
    shown = list(replayed(found, Plan.of([found], frameworks, modes or "all"), files(ext)))
    return print_replay(found, shown, script is not None, target, files(ext))


@commands.command()
@click.argument("folders", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="DIR...")
@click.option("--out", type=click.Path(path_type=Path), metavar="DIR", help="By default the first folder.")
@click.option("--strict", is_flag=True, help="Lost digits (inaccurate) fail too.")
@known_option
def report(folders: tuple[Path, ...], out: Path | None, strict: bool, known: str | None) -> int:
    """Write the reports of one results folder anew, or of several as one.

    Of a folder that only holds results folders, write the index page.
    """
    from gradagree.console import shown
    from gradagree.journal import META
    from gradagree.known import find_known
    from gradagree.reporting import write_index

    if len(folders) == 1 and out is None and not (folders[0] / META).exists() and any(folders[0].glob(f"*/{META}")):
        click.echo(f"Index: {write_index(folders[0])}")
        return 0
    return shown(list(folders), out or folders[0], strict, find_known(known))


commands.add_command(train)
commands.add_command(list_)
commands.add_command(compare)
commands.add_command(new)
commands.add_command(survey)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and end with its exit code."""
    sys.exit(code(arguments))


def code(arguments: list[str] | None = None) -> int:
    """The exit code of a command line; every error is one line on standard error."""
    say = functools.partial(click.echo, err=True)
    try:
        return commands.main(arguments, prog_name="gradagree", standalone_mode=False) or 0
    except UsageError as wrong:
        say(f"gradagree: {wrong}")
        return 2
    except click.ClickException as wrong:
        say(f"gradagree: {wrong.format_message()}")
        return 2
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (KeyboardInterrupt, click.Abort):
        say("gradagree: interrupted")
        return 130
    except Exception as wrong:  # noqa: BLE001  (an error of our own is reported as one)
        traceback.print_exc()
        say(f"gradagree: internal error, please report it: {wrong}")
        return 3
