"""The command line: all commands, and the exit code of each error."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import io
import os
import platform
import sys
import traceback
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from gradagree.cli.audit import audit
from gradagree.cli.check import check
from gradagree.cli.compare import compare
from gradagree.cli.new import new
from gradagree.cli.options import extensions, known_option, print_error, selection_options
from gradagree.cli.run import run
from gradagree.cli.survey import survey
from gradagree.cli.train import train
from gradagree.errors import UsageError, check_target, in_one_line, nearest

if TYPE_CHECKING:
    from gradagree.cases.graph_case import AnyCase
    from gradagree.checker.verdict import Record

LISTS = ("activations", "errors", "layers", "architectures", "frameworks", "modes", "regimes")


@click.command(name="list")
@click.argument("what", metavar="|".join(LISTS))
@extensions
def list_(what: str, ext: tuple[str, ...]) -> int:
    """List the activations, losses, layers, architectures, frameworks, modes or input distributions with a name."""
    from gradagree.runner.extensions import load_all

    if what not in LISTS:
        raise UsageError(f"list {what!r}: {nearest(what, LISTS)}")
    load_all(ext)
    print_list(what)
    return 0


def print_list(what: str) -> None:
    """Print the names of a list of `LISTS`, one per line with a description."""
    table = Table(box=None, pad_edge=False, show_header=False)
    for row in _rows(what):
        table.add_row(*(Text(cell) for cell in row))
    Console(soft_wrap=True).print(table)


def _rows(what: str) -> list[tuple[str, ...]]:
    from gradagree.adapters import Adapter
    from gradagree.reference import Activation, ErrorFunction, Layer, layers  # noqa: F401 (registers the layers)

    if what == "layers":
        return [(kind.name, _parameters(kind), kind.summary(), *_origin(kind)) for kind in Layer.catalogue.values()]
    if what == "architectures":
        from gradagree.cases.architectures import BUILDERS
        from gradagree.cases.graph_text import DENSE

        dense = (DENSE, "Chains of dense layers with an activation before each.")
        return [dense, *((name, summary(build)) for name, build in BUILDERS.items())]
    if what in ("activations", "errors"):
        kinds: Any = (Activation if what == "activations" else ErrorFunction).catalogue
        return [(kind.name, _parameters(kind), kind.summary(), *_origin(kind)) for kind in kinds.values()]
    if what == "frameworks":
        return [(name, *_installed(name, kind.install), *_origin(kind)) for name, kind in Adapter.catalogue.items()]
    if what == "modes":
        modes = ((name, kind.modes.items()) for name, kind in Adapter.catalogue.items())
        return [(f"{name}:{mode}", summary(one.gradient)) for name, offered in modes for mode, one in offered]
    from gradagree.cases.datasets import DATASETS
    from gradagree.cases.regimes import REGIMES

    loaders = {name: data.load for name, data in DATASETS.items()}
    return [(name, summary(function)) for name, function in (REGIMES | loaders).items()]


def summary(function: Any) -> str:
    """The first line of a docstring, without backticks."""
    return (function.__doc__ or "").strip().split("\n")[0].replace("``", "")


def _parameters(kind: Any) -> str:
    return ", ".join(f"{field.name}={field.default!r}" for field in dataclasses.fields(kind))


def _origin(kind: type) -> tuple[str, ...]:
    """The file of a class that is not built in."""
    from gradagree.reference.parameters import file_of
    from gradagree.runner.extensions import is_builtin

    path = file_of(kind) or kind.__module__
    return () if is_builtin(kind) else (f"from {path.removeprefix(f'{Path.cwd()}{os.sep}')}",)


def _installed(name: str, install: str) -> tuple[str, str]:
    try:
        return "installed", metadata.version(name)
    except metadata.PackageNotFoundError:
        return "not installed", f"{install}  (Python {platform.python_version()})"


class Commands(click.Group):
    """A group whose error for an unknown command suggests the nearest one."""

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        if args and args[0] not in self.commands:
            raise UsageError(f"no command {args[0]!r}; {nearest(args[0], self.commands)}")
        return super().resolve_command(ctx, args)


UNWRITABLE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES)
"""Errors that mean that a file cannot be written where the user wants it."""
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
@selection_options
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
@known_option
def replay(
    case: str, frameworks: str | None, modes: str | None, ext: tuple[str, ...], folder: Path | None,
    script: str | None, known: str | None,
) -> int:  # fmt: skip
    """Check one case again and show every operation.

    ID is the text of a case, or its six digits within a results folder; FILE is a case file.
    """
    from gradagree.functions import graph_check as graph_check  # judges graphs of layers
    from gradagree.report.console import print_replay
    from gradagree.runner.extensions import extension_files, load_all
    from gradagree.runner.known import known_by
    from gradagree.runner.options import Plan
    from gradagree.runner.replay import find_case, replay as replay_case

    load_all(ext)
    target = check_target("--script", script, ".py") if script else None
    entries, found = known_by(known), find_case(case, folder)
    plan = Plan.of([found], frameworks, modes or "all")
    results = list(replay_case(found, plan, extension_files(ext), entries))
    status = print_replay(found, results)
    if script is not None:
        _write_script(found, [result.record for result in results], target, extension_files(ext))
    return status


def _write_script(case: AnyCase, records: Sequence[Record], target: Path | None, extensions: Sequence[str]) -> None:
    """Write a stand-alone script of the worst record, and print what it prints."""
    from gradagree.reproduce import write_script

    written = write_script(case, records, target, extensions)
    if written is None:
        click.echo("\nNo script is written: nothing is wrong.")
        return
    click.echo(f"\nScript: {written.script}\nIssue: {written.issue}")
    click.echo(f"The script ends with {written.exit_code} and prints:\n{written.output}")


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
    from gradagree.report import report_results, write_index
    from gradagree.runner.known import find_known
    from gradagree.runner.results import META

    if len(folders) == 1 and out is None and not (folders[0] / META).exists() and any(folders[0].glob(f"*/{META}")):
        click.echo(f"Index: {write_index(folders[0])}")
        return 0
    return report_results(list(folders), out or folders[0], strict, find_known(known))


commands.add_command(run)
commands.add_command(check)
commands.add_command(train)
commands.add_command(list_)
commands.add_command(compare)
commands.add_command(new)
commands.add_command(survey)
commands.add_command(audit)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and end with its exit code."""
    sys.exit(code(arguments))


def code(arguments: list[str] | None = None) -> int:
    """The exit code of a command line; every error is one line on standard error."""
    try:
        return commands.main(arguments, prog_name="gradagree", standalone_mode=False) or 0
    except UsageError as error:
        print_error(f"gradagree: {in_one_line(str(error))}")
        return 2
    except click.ClickException as error:
        print_error(f"gradagree: {in_one_line(error.format_message())}")
        return 2
    except BrokenPipeError:
        _discard_output()
        return 0
    except (KeyboardInterrupt, click.Abort):
        print_error("gradagree: interrupted")
        return 130
    except Exception as error:  # noqa: BLE001  (reported as an internal error)
        if isinstance(error, OSError) and error.errno in UNWRITABLE:
            _discard_output()
            print_error(f"gradagree: cannot write {in_one_line(str(error.filename or 'the output'))}: {error.strerror}")
            return 2
        traceback.print_exc()
        print_error(f"gradagree: internal error, please report it: {error}")
        return 3


def _discard_output() -> None:
    """Send whatever is still buffered for standard output to the null device."""
    with contextlib.suppress(io.UnsupportedOperation):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
