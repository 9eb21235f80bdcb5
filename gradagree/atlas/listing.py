"""The findings as a table in Markdown, the worst first."""

from __future__ import annotations

from collections import Counter
from typing import Any

from gradagree.atlas.finding import Finding
from gradagree.atlas.paging import text
from gradagree.atlas.surveying import Surveyed

HEAD = ("severity", "what", "function", "calls", "of", "modes", "dtypes", "example", "gives", "true")
TOLD = ("high", "medium", "note")


def listing(found: Surveyed, about: dict[str, Any]) -> str:
    """findings.md: those of high and medium severity, and notes."""
    versions = ", ".join(f"{name} {version}" for name, version in found.versions.items())
    counts = Counter(finding.severity for finding in found.findings)
    told = ", ".join(f"{count} {severity}" for severity, count in counts.items())
    first = (
        f"# What the survey found\n\n{versions}; profile {about['profile']}; {told}. Each is proved by ball arithmetic;"
        " `findings.json` has a program that shows it, and [the page](../../docs/survey.md) says what is meant.\n\n"
    )
    lines = [f"| {' | '.join(HEAD)} |", f"|{' --- |' * len(HEAD)}"]
    lines += [line(finding) for finding in found.findings if finding.severity in TOLD]
    return first + "\n".join(lines) + "\n"


def line(finding: Finding) -> str:
    e = finding.example
    where = f"`{e['function']}` at {text(e['input'], 8)}" + (f", target {text(e['target'], 8)}" if e["target"] else "")
    where += f", {e['dtype']} {e['mode']}"
    other = f" ({e.get('beside') or e.get('other_mode')}: {text(e['other_given'], 8)})" if "other_given" in e else ""
    cells = (
        finding.severity, finding.kind + (f" ({finding.note})" if finding.note else ""), finding.function,
        f"`{finding.calls}`", finding.quantity, ", ".join(finding.modes), ", ".join(finding.dtypes), where,
        text(e["given"], 8) + (f" ({e['window']})" if "window" in e else "") + other,
        " to ".join(text(x, 8) for x in e.get("between", [e["true"]])),
    )  # fmt: skip
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
