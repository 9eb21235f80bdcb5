"""The bugs and the correct programs, examined by every check; the results as JSON."""

from __future__ import annotations

import datetime
import fnmatch
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.detection.versions import versions
from benchmarks.gradbugs.bug import Bug
from benchmarks.gradbugs.catalogue import all_bugs
from benchmarks.gradbugs.tools import OWN, TOLERANCES, TOOLS, Finding, examined
from benchmarks.gradbugs.variants import variants

RESULTS, PAGE = Path("reports/gradbugs.json"), Path("docs/gradbugs.md")
COMMAND = "OMP_NUM_THREADS=1 python -m benchmarks.gradbugs"
LONGEST_MESSAGE = 600
ABOUT = ("name", "source", "title", "framework", "operation", "condition", "kind", "arguments", "order")


def run(only: str = "*", tools: str = "*", say: Any = print) -> dict[str, Any]:
    """Examine the bugs whose names match, with their correct programs, by the checks whose names match."""
    begun = time.process_time()
    chosen = [bug for bug in all_bugs() if matches(bug.name, only)]
    checks = [name for name in TOOLS if matches(name, tools)]
    rows = []
    for bug in chosen:
        rows.append(examine(bug, checks))
        say(summary(rows[-1]))
    return {
        "command": COMMAND, "date": f"{datetime.date.today()}", "versions": versions(), "tools": checks,
        "tolerances": [{"name": t.name, "source": t.source} for t in TOLERANCES],
        "seconds": round(time.process_time() - begun), "bugs": rows,
    }  # fmt: skip


def examine(bug: Bug, checks: Sequence[str]) -> dict[str, Any]:
    """One row: what each check says about the faulty function by dtype, and which correct programs it accuses."""
    found: dict[str, dict[str, Any]] = {}
    seconds = dict.fromkeys(checks, 0.0)
    for name in checks:
        begun = time.process_time()
        by_dtype = {dtype: said(name, examined(name, bug, bug.wrong, bug.arrays(dtype), dtype)) for dtype in bug.dtypes}
        found[name] = {dtype: one for dtype, one in by_dtype.items() if one}
        seconds[name] += time.process_time() - begun
    accused: dict[str, list[str]] = {name: [] for name in checks}
    checked = dict.fromkeys(checks, 0)
    for variant in variants(bug):
        for name in checks:
            begun = time.process_time()
            finding = examined(name, bug, variant.function, variant.arrays(), variant.dtype)
            seconds[name] += time.process_time() - begun
            checked[name] += finding.accused is not None
            if finding.accused or (name == OWN and finding.accused is None):
                accused[name].append(f"{variant}: {finding.message[:LONGEST_MESSAGE]}")
    return {
        **{name: getattr(bug, name) for name in ABOUT}, "found": found, "accused": accused, "checked": checked,
        "seconds": {name: round(t, 2) for name, t in seconds.items()},
    }  # fmt: skip


def said(name: str, finding: Finding) -> dict[str, Any]:
    """What a check says about a faulty function; empty if it cannot be used."""
    if finding.accused is None and name != OWN:
        return {}
    about = {"found": bool(finding.accused)}
    if name == OWN:
        about |= {"argument": finding.arguments, "kind": finding.kind, "message": finding.message[:LONGEST_MESSAGE]}  # type: ignore[dict-item]
    return about


def summary(row: dict[str, Any]) -> str:
    """One line for the terminal."""
    own = row["found"].get(OWN, {}).values()
    marks = "".join(
        "." if one["found"] and one["argument"] and one["kind"] else "k" if one["found"] else "M" for one in own
    )
    false = len(row["accused"].get(OWN, []))
    others = [name for name, by in row["found"].items() if name != OWN and any(one["found"] for one in by.values())]
    return f"{marks:4} {row['seconds'].get(OWN, 0):5.1f} s {row['name']} | {', '.join(others)} | accused {false}"


def renewed(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    """The results with those of some bugs measured again."""
    new = {row["name"]: row for row in after["bugs"]}
    return {**before, "bugs": [new.get(row["name"], row) for row in before["bugs"]]}


def matches(name: str, patterns: str) -> bool:
    return any(fnmatch.fnmatch(name, pattern) for pattern in patterns.split(";"))


def write(result: dict[str, Any], path: Path) -> None:
    path.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
