"""The compare command."""

from __future__ import annotations

from pathlib import Path

import click

from gradagree.cli.options import known_option
from gradagree.errors import UsageError, check_target


@click.command()
@click.argument("before", metavar="A", type=click.Path(path_type=Path))
@click.argument("after", metavar="[B]", required=False, type=click.Path(path_type=Path))
@click.option("--gate", is_flag=True, help="Exit with 1 on a regression (default: exit with 0).")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Folder for compare.md and compare.html (default: print only).",
)
@click.option(
    "--extract",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write a small baseline of A to FILE instead of comparing.",
)
@known_option
def compare(
    before: Path, after: Path | None, gate: bool, out: Path | None, extract: Path | None, known: str | None
) -> int:
    """Compare two results folders: A before, B after a change.

    A and B may also be baselines made with --extract. With --gate, a new failure that is not a known difference, lost
    coverage, and accuracy or relative tolerance lost beyond the noise are regressions: the exit code is 1.
    """
    from rich.console import Console

    from gradagree.compare import compare_runs, read_side
    from gradagree.compare.page import print_comparison, write_comparison
    from gradagree.files import make_folder
    from gradagree.runner.known import find_known

    if extract is not None:
        return _write_baseline(before, after, extract)
    if after is None:
        raise UsageError(
            "compare: name a second results folder, or use --extract FILE to write a baseline of the first"
        )
    entries = find_known(known)
    if out is not None:
        make_folder(out)
    found = compare_runs(read_side(before, entries), read_side(after, entries))
    print_comparison(found, Console())
    if out is not None:
        for path in write_comparison(found, out):
            click.echo(f"Written: {path}")
    return found.exit if gate or not found.matched else 0


def _write_baseline(before: Path, after: Path | None, path: Path) -> int:
    from gradagree.compare import read_side, write_extract

    if after is not None:
        raise UsageError("compare --extract FILE writes a baseline of one results folder: name only one")
    check_target("--extract", path)
    side = read_side(before)
    left_out = write_extract(side, path)
    omitted = f"; {left_out:,} records omitted" if left_out else ""
    click.echo(f"Baseline: {path}, {len(side.outcomes):,} records, {path.stat().st_size / 1000:,.0f} kB{omitted}")
    return 0
