"""How every script in tools/ starts: bad input is one line on standard error and exit code 2."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import NoReturn

import click


def start(command: click.Command, name: str) -> NoReturn:
    """Run a script with the arguments of the process, and end with its exit code."""
    try:
        result = command.main(prog_name=f"python -m {name}", standalone_mode=False)
    except click.ClickException as error:
        click.echo(f"{name}: {' '.join(error.format_message().split())}", err=True)
        sys.exit(error.exit_code)
    except click.Abort:
        click.echo(f"{name}: interrupted", err=True)
        sys.exit(130)
    sys.exit(result or 0)


def printer(text: Callable[[], str], help_text: str) -> click.Command:
    """A script without arguments that prints a text."""

    @click.command(help=help_text)
    def main() -> None:
        click.echo(text(), nl=False)

    return main
