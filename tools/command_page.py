"""The page on the command line: python -m tools.command_page > docs/command-line.md."""

from __future__ import annotations

from collections.abc import Iterator

import click

from gradagree.cli.main import commands

INTRODUCTION = """\
# Command line

What each command says of itself with `--help`. This page is made by
`python -m tools.command_page > docs/command-line.md`.

Bad input is exit code 2 with one line that says what to do. Exit codes: 0 agree, 1 a failing verdict (with
`compare --gate`, a regression), 2 usage or configuration, 3 internal error, 5 nothing compared, 130 interrupted.
"""
WIDTH = 100


def text() -> str:
    """The whole page, in Markdown."""
    return "\n".join([INTRODUCTION, *_sections(commands, ("gradagree",))])


def _sections(command: click.Command, names: tuple[str, ...]) -> Iterator[str]:
    """A group's commands, each with its help; groups within it likewise."""
    if isinstance(command, click.Group):
        for name, inner in sorted(command.commands.items()):
            yield from _sections(inner, (*names, name))
    else:
        outer = click.Context(commands, info_name=" ".join(names[:-1]), **commands.context_settings)
        context = click.Context(command, parent=outer, info_name=names[-1], terminal_width=WIDTH)
        yield f"## {' '.join(names)}\n\n```text\n{command.get_help(context)}\n```\n"


if __name__ == "__main__":
    click.echo(text(), nl=False)
