"""The audit command."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import click

from gradagree.cli.options import print_error

PYTEST_CODES = {0: 0, 1: 1, 2: 130, 3: 3, 4: 2, 5: 5}
"""The exit code for each of pytest's: passed, failed, interrupted, internal error, usage, no tests."""


@click.command(context_settings={"ignore_unknown_options": True})
@click.option(
    "--report", type=click.Path(path_type=Path, file_okay=False), metavar="DIR",
    help="Write audit.html, audit.md and audit.json to DIR (default: write none).",
)  # fmt: skip
@click.option("--fail", metavar="CLASSES", help="Exit with 1 for these classes, such as vacuous,loose (default: none).")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar="[-- PYTEST-ARGS]")
def audit(report: Path | None, fail: str | None, arguments: tuple[str, ...]) -> int:
    """Audit the gradient tests of a project: what would their comparisons let through?

    The tests run as always, with the arguments of pytest. The exit code is 0 if they pass, 1 if one fails or a
    comparison is of a class that fails, 5 if no gradient is compared.
    """
    from gradagree.audit.results import JSON, read_results

    with tempfile.TemporaryDirectory() as folder:
        target = report or Path(folder)
        options = ["--gradagree-audit", f"--gradagree-audit-report={target}"]
        options += [] if fail is None else [f"--gradagree-audit-fail={fail}"]
        (target / JSON).unlink(missing_ok=True)
        done = subprocess.run([sys.executable, "-m", "pytest", *plugin(), *options, *arguments], check=False)
        status = PYTEST_CODES.get(done.returncode, 3)
        written = target / JSON
        if status == 0 and not (written.exists() and read_results(written).records):
            print_error("gradagree: no comparison of a gradient was found; docs/audit.md says what is recognised")
            return 5
    return status


def plugin() -> list[str]:
    """The option that loads the plugin where gradagree is not installed, but on the path."""
    from importlib import metadata

    names = {entry.value for entry in metadata.entry_points(group="pytest11")}
    return [] if "gradagree.pytest_plugin" in names else ["-p", "gradagree.pytest_plugin"]
