"""The command line: survey."""

from __future__ import annotations

from pathlib import Path

import click

from gradagree.errors import UsageError

__all__ = ["survey"]


@click.command()
@click.option("--kinks", is_flag=True, help="What each framework answers where a slope jumps.")
@click.option("--modes", metavar="LIST", help="By default all but torch:compile.")
@click.option("--frameworks", metavar="LIST", help="Frameworks to ask.")
@click.option("--ext", multiple=True, metavar="FILE", help="A Python file with your own functions; loading it runs it.")
@click.option("--out", type=click.Path(path_type=Path), metavar="DIR", help="Write conventions.md and .json there.")
def survey(kinks: bool, modes: str | None, frameworks: str | None, ext: tuple[str, ...], out: Path | None) -> int:
    """Look at every function alone, where it is hardest.

    Ends with 1 if an answer lies outside the slopes on both sides of a kink.
    """
    from rich.console import Console

    from gradagree.atlas.kinks import conventions
    from gradagree.atlas.table import terminal, write
    from gradagree.declared import files, load_all

    if not kinks:
        raise UsageError("survey: say what to look at: gradagree survey --kinks")
    load_all(ext)
    rows = list(conventions(None, frameworks, modes, files(ext)))
    if not rows:
        raise UsageError("survey: no framework that was asked for is installed")
    Console().print(terminal(rows))
    if out is not None:
        for path in write(rows, out):
            click.echo(f"Written: {path}")
    return 1 if any(row.finding for row in rows) else 0
