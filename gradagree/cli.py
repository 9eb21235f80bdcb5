"""The command line: run, train, replay, report, compare, survey, list, new.

Exit codes: 0 agree, 1 a failing verdict, 2 usage or configuration, 3 internal error, 5 nothing compared, 130
interrupted.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import io
import os
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gradagree.cli_compare import compare
from gradagree.cli_list import list_
from gradagree.cli_new import new
from gradagree.cli_options import extensions, known_option
from gradagree.cli_run import choices, run
from gradagree.cli_survey import survey
from gradagree.cli_train import train
from gradagree.errors import UsageError, check_target, in_one_line, nearest

if TYPE_CHECKING:
    from gradagree.cases import Case
    from gradagree.verdict import Record


class Commands(click.Group):
    """Offers the nearest command for one that does not exist."""

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        if args and args[0] not in self.commands:
            raise UsageError(f"no command {args[0]!r}; {nearest(args[0], self.commands)}")
        return super().resolve_command(ctx, args)


UNWRITABLE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES)
"""What the place where something is to be written is to blame for."""
HELP = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


@click.group(cls=Commands, invoke_without_command=True, context_settings=HELP)
@click.version_option(package_name="gradagree", message="%(version)s")
@click.pass_context
def commands(context: click.Context) -> None:
    """Check gradients of PyTorch and JAX against a hand-written reference, with computed tolerances."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


@commands.command()
@click.argument("case", metavar="ID|FILE")
@choices
@extensions
@click.option(
    "--dir",
    "folder",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Results folder in which to look up a six-digit ID (default: the latest run).",
)
@click.option(
    "--script",
    is_flag=False,
    flag_value="",
    metavar="[FILE]",
    help="Write a stand-alone script that shows the worst verdict (default: none; FILE is optional).",
)
def replay(
    case: str, frameworks: str | None, modes: str | None, ext: tuple[str, ...], folder: Path | None, script: str | None
) -> int:
    """Check one case again and show every operation.

    ID is the text of a case, or its six digits within a results folder; FILE is a case file.
    """
    from gradagree.declared import files, load_all
    from gradagree.plan import Plan
    from gradagree.replay import find, replay as replayed
    from gradagree.report.console import print_replay

    load_all(ext)
    target = check_target("--script", script, ".py") if script else None
    found = find(case, folder)
    results = list(replayed(found, Plan.of([found], frameworks, modes or "all"), files(ext)))
    status = print_replay(found, results)
    if script is not None:
        _write_script(found, [result.record for result in results], target, files(ext))
    return status


def _write_script(case: Case, records: Sequence[Record], target: Path | None, extensions: Sequence[str]) -> None:
    """Write a stand-alone script of the worst record, and print what it prints."""
    from gradagree.standalone import write_script

    written = write_script(case, records, target, extensions)
    if written is None:
        click.echo("\nNo script is written: nothing is wrong.")
        return
    click.echo(f"\nScript: {written.script}\nIssue: {written.issue}")
    click.echo(f"The script ends with {written.ended} and says:\n{written.said}")


@commands.command()
@click.argument("folders", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="DIR...")
@click.option(
    "--out", type=click.Path(path_type=Path), metavar="DIR", help="Folder for the reports (default: the first DIR)."
)
@click.option("--strict", is_flag=True, help="Also exit with 1 for inaccurate gradients (default: they pass).")
@known_option
def report(folders: tuple[Path, ...], out: Path | None, strict: bool, known: str | None) -> int:
    """Write the reports of one results folder again, or of several joined into one.

    For a folder that only contains results folders, write an index page.
    """
    from gradagree.journal import META
    from gradagree.known import find_known
    from gradagree.report import report_results, write_index

    if len(folders) == 1 and out is None and not (folders[0] / META).exists() and any(folders[0].glob(f"*/{META}")):
        click.echo(f"Index: {write_index(folders[0])}")
        return 0
    return report_results(list(folders), out or folders[0], strict, find_known(known))


commands.add_command(run)
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
        say(f"gradagree: {in_one_line(str(wrong))}")
        return 2
    except click.ClickException as wrong:
        say(f"gradagree: {in_one_line(wrong.format_message())}")
        return 2
    except BrokenPipeError:
        _say_no_more()
        return 0
    except (KeyboardInterrupt, click.Abort):
        say("gradagree: interrupted")
        return 130
    except Exception as wrong:  # noqa: BLE001  (an error of our own is reported as one)
        if isinstance(wrong, OSError) and wrong.errno in UNWRITABLE:
            _say_no_more()
            say(f"gradagree: cannot write {in_one_line(str(wrong.filename or 'what it says'))}: {wrong.strerror}")
            return 2
        traceback.print_exc()
        say(f"gradagree: internal error, please report it: {wrong}")
        return 3


def _say_no_more() -> None:
    """What is still on its way to standard output goes nowhere."""
    with contextlib.suppress(io.UnsupportedOperation):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
