"""A failing case as a script, with an issue text beside it."""

from __future__ import annotations

import importlib.metadata
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from gradagree.cases.graph_case import AnyCase
from gradagree.checker.verdict import ORDER, Record, plain
from gradagree.files import write_text
from gradagree.report.text import format_exact, prose, visible
from gradagree.reproduce.programs import run_script
from gradagree.reproduce.record_script import format_script
from gradagree.reproduce.script import headline
from gradagree.runner.process import FrameworkProcess
from gradagree.shrink import ModeProcess, can_shrink, shrink
from gradagree.shrink.cut import numbers_in

SMALL = 24
"""A case with at most this many numbers is not shrunk."""
SECONDS = 20.0
"""Time limit for shrinking."""
LAST_LINES = 20
"""Lines of a script's output in the issue text."""


class ScriptFiles(NamedTuple):
    """The paths of the script and the issue text, and the script's output and exit code."""

    script: Path
    issue: Path
    output: str
    exit_code: int


def write_script(
    case: AnyCase, records: Sequence[Record], path: Path | None, extensions: Sequence[str]
) -> ScriptFiles | None:
    """Write the script of the worst record, with a smaller case where one is found; None if no record has a fault."""
    faults = [r for r in records if r.verdict.fails or r.verdict is r.verdict.INACCURATE]
    if not faults:
        return None
    record = min(faults, key=lambda r: ORDER[r.verdict])
    if numbers_in(case) > SMALL and can_shrink():
        with FrameworkProcess(record.framework, extensions) as process:
            small = shrink(case, record, ModeProcess(process, record.mode), SECONDS)
        case, record = small or (case, record)
    text = format_script(case, record)
    path = path or Path(f"gradagree-{case.alias}-{record.framework}-{record.mode}.py")
    write_text(path, text)
    output, exit_code = run_script(path)
    issue = path.with_suffix(".md")
    write_text(issue, format_issue(record, text, output))
    return ScriptFiles(path, issue, output, exit_code)


def format_issue(record: Record, text: str, output: str) -> str:
    """The text of an issue, in GitHub's Markdown."""
    lines = [f"# {prose(headline(record))}", ""]
    if record.expected is not None:
        radius = ""
        if record.expected_radius is not None:
            radius = f" (proved by ball arithmetic, within {plain(record.expected_radius):.1e})"
        lines += [(
            f"`{visible(record.entry)}` is expected to be {format_exact(record.expected, record.dtype)}{radius}; "
            f"{prose(visible(record.framework))} gives {format_exact(record.observed, record.dtype)}. "
            f"A correct program in {record.dtype} may be off by {plain(record.tolerance):.2g}."
        ), ""]  # fmt: skip
    lines += [prose(visible(record.reason)), ""] * bool(record.reason)
    lines += ["To reproduce, with only NumPy and the framework:", "", "````python", text.rstrip(), "````", ""]
    shown = (visible(line, 400).replace("````", "'''") for line in output.splitlines()[-LAST_LINES:])
    lines += ["Output:", "", "````text", "\n".join(shown), "````", "", "Versions:", ""]
    lines += [f"- {name} {version}" for name, version in versions(record)]
    return "\n".join([*lines, "", "Found by gradagree, which compares gradients with a derivation by hand.", ""])


def versions(record: Record) -> list[tuple[str, str]]:
    """The framework, NumPy, Python and the machine, with their versions."""
    framework = (visible(record.framework), visible(record.version))
    numpy = ("numpy", importlib.metadata.version("numpy"))
    return [framework, numpy, ("Python", platform.python_version()), (platform.system(), platform.machine())]
