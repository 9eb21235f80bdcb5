"""A script and an issue text beside it, for one case."""

from __future__ import annotations

import importlib.metadata
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from gradagree.atlas.trying import run_script
from gradagree.cases import Case
from gradagree.files import write_text
from gradagree.report.text import exact, prose, visible
from gradagree.runner.process import FrameworkProcess
from gradagree.shrinking import Asked, can_shrink, shrink
from gradagree.shrinking.cuts import numbers_in
from gradagree.standalone.script import headline, script
from gradagree.verdict import ORDER, Record, plain

SMALL = 24
"""So many numbers need not be made fewer."""
SECONDS = 20.0


class Written(NamedTuple):
    """Where the script and the issue text lie, and what the script said and ended with."""

    script: Path
    issue: Path
    said: str
    ended: int


def write_script(case: Case, records: Sequence[Record], path: Path | None, extensions: Sequence[str]) -> Written | None:
    """Write the worst of the records down, its case made small where that can be done; None where nothing is wrong."""
    loud = [r for r in records if r.verdict.fails or r.verdict is r.verdict.INACCURATE]
    if not loud:
        return None
    record = min(loud, key=lambda r: ORDER[r.verdict])
    if numbers_in(case) > SMALL and can_shrink():
        with FrameworkProcess(record.framework, extensions) as process:
            small = shrink(case, record, Asked(process, record.mode), SECONDS)
        case, record = small or (case, record)
    text = script(case, record)
    place = path or Path(f"gradagree-{case.alias}-{record.framework}-{record.mode}.py")
    write_text(place, text)
    said, ended = run_script(place)
    issue = place.with_suffix(".md")
    write_text(issue, issue_text(record, text, said))
    return Written(place, issue, said, ended)


def issue_text(record: Record, text: str, said: str) -> str:
    """What to paste into an issue, in GitHub's Markdown."""
    lines = [f"# {prose(headline(record))}", ""]
    if record.expected is not None:
        radius = (
            ""
            if record.expected_radius is None
            else f" (proved by ball arithmetic, within {plain(record.expected_radius):.1e})"
        )
        lines += [
            (
                f"`{visible(record.entry)}` is expected to be {exact(record.expected, record.dtype)}{radius}; "
                f"{prose(visible(record.framework))} gives {exact(record.observed, record.dtype)}. A correct program "
                f"in {record.dtype} may be off by {plain(record.tolerance):.2g}."
            ),
            "",
        ]
    lines += [prose(visible(record.reason)), ""] * bool(record.reason)
    lines += ["To reproduce, with nothing but NumPy and the framework:", "", "````python", text.rstrip(), "````", ""]
    lines += ["It prints:", "", "````text", visible_lines(said), "````", "", "Versions:", ""]
    lines += [f"- {name} {version}" for name, version in versions(record)]
    return "\n".join([*lines, "", "Found by gradagree, which judges gradients by a derivation by hand.", ""])


def visible_lines(text: str) -> str:
    return "\n".join(visible(line, 400).replace("````", "'''") for line in text.splitlines()[-20:])


def versions(record: Record) -> list[tuple[str, str]]:
    found = [(visible(record.framework), visible(record.version)), ("numpy", importlib.metadata.version("numpy"))]
    return [*found, ("Python", platform.python_version()), (platform.system(), platform.machine())]
