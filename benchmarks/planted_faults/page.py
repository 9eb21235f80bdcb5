"""The tables of the measured rows, in Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

FRAMEWORKS = ("torch", "jax")
METHODS = ("run", "check")
METHOD_NAMES = {"run": "default run", "check": "check"}
Row = dict[str, Any]
RESULTS = Path(__file__).parents[2] / "reports" / "planted-faults.json"
INTRODUCTION = """\
`{command}` plants faults in activations, functions of rows and losses with a
derivative of their own (`torch.autograd.Function`, `jax.custom_vjp`, `jax.custom_jvp`), and counts those that the
default run of `gradagree run --ext FILE` and `check` with its defaults find. Both stop at the first failure. A fault in
what a class declares is found if the class is refused. The table counts the rows that were measured, of {faults}
faults, in [reports/planted-faults.json](../reports/planted-faults.json), {date}."""


def section(result: dict[str, Any]) -> str:
    """A section of ``docs/detection.md``: found of planted by kind, the faults that are missed, and false alarms."""
    rows = result["rows"]
    planted = [row for row in rows if row["planted"]]
    names = list(dict.fromkeys(row["fault"] for row in planted))
    introduction = INTRODUCTION.format(command=result["command"], faults=len(names), date=result["date"])
    right = [row for row in rows if not row["planted"]]
    parts = [[introduction], table(planted), missed(planted), alarms(right)]
    return "\n\n".join("\n".join(part) for part in parts) + "\n"


def table(rows: Sequence[Row]) -> list[str]:
    """Found of planted, by kind, method and framework."""
    columns = [(method, framework) for method in METHODS for framework in FRAMEWORKS]
    heads = " | ".join(f"{METHOD_NAMES[method]}, {framework}" for method, framework in columns)
    lines = [f"| kind | {heads} |", "| --- |" + " --- |" * len(columns)]
    for kind in (*dict.fromkeys(row["kind"] for row in rows), None):
        of_kind = [row for row in rows if kind in (None, row["kind"])]
        cells = (share(row for row in of_kind if (row["method"], row["framework"]) == one) for one in columns)
        lines.append(f"| {kind or '**all**'} | {' | '.join(cells)} |")
    return lines


def share(rows: Iterable[Row]) -> str:
    found = [row["found"] for row in rows]
    return f"{sum(found)}/{len(found)}" if found else "–"


def missed(rows: Sequence[Row]) -> list[str]:
    """A sentence for each fault that is missed."""
    lost: dict[str, list[str]] = {}
    for row in rows:
        if not row["found"]:
            lost.setdefault(row["fault"], []).append(f"{METHOD_NAMES[row['method']]} in {row['framework']}")
    if not lost:
        return ["No fault is missed."]
    return ["Missed:", "", *(f"- *{name}*: by {', '.join(where)}." for name, where in lost.items())]


def alarms(rows: Sequence[Row]) -> list[str]:
    """How many of the same functions without a fault are accused."""
    accused = [f"{row['fault']} ({row['framework']}, {METHOD_NAMES[row['method']]})" for row in rows if row["found"]]
    text = f"The same functions without a fault: {len(accused)} of {len(rows)} accused"
    return [text + (f": {', '.join(accused)}." if accused else ".")]
