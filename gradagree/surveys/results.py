"""The results folder of a survey: atlas.jsonl, findings.json, findings.md, survey.json and the pages."""

from __future__ import annotations

import itertools
import platform
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from gradagree.errors import UsageError
from gradagree.files import make_folder, unwritable, write_text
from gradagree.reference import Activation, ErrorFunction
from gradagree.reproduce.finding import SurveyFinding
from gradagree.reproduce.literals import run_lengths
from gradagree.reproduce.programs import depend_on_processor, run_programs
from gradagree.reproduce.reproducer import format_reproducer
from gradagree.surveys.pages import function_page, overview
from gradagree.surveys.plan import SurveyPlan
from gradagree.surveys.survey import SurveyResult
from gradagree.surveys.text import describe_example, format_exact, format_value, remarks

ROWS_FILE, FINDINGS_FILE, META_FILE, INDEX_FILE = "atlas.jsonl", "findings.json", "survey.json", "index.html"
LISTING_FILE = "findings.md"
LONG_ROW = 16
"""Longer rows are written as pairs of a number and its count."""


def prepare_folder(folder: Path) -> Path:
    """Create the folder. Raises UsageError if no file can be written there."""
    make_folder(folder)
    trial = folder / ".gradagree"
    try:
        trial.write_bytes(b"")
        trial.unlink()
    except OSError as wrong:
        raise unwritable(folder, wrong) from None
    return folder


def add_reproducers(found: SurveyResult, run: bool = False) -> None:
    """Add a program to each finding, and mark findings that depend on the processor.

    With `run`, remove the findings that their programs do not reproduce; without it, only findings of high and medium
    severity are checked.
    """
    made: list[SurveyFinding] = []
    for finding in found.findings:
        text = finding.example["function"]
        kind: Any = Activation if finding.function in Activation.catalogue else ErrorFunction
        try:
            program = format_reproducer(finding, kind.named(text))
        except (OSError, TypeError, KeyError, UsageError) as wrong:
            program = f"# {text} has no source code: {wrong}\n"
        made.append(msgspec.structs.replace(finding, reproducer=program))
    found.findings = made
    if run:
        reproduced = run_programs([(one.framework, one.reproducer) for one in made])
        found.findings = list(itertools.compress(made, reproduced))
        found.unshown += len(made) - len(found.findings)
    found.findings = mark_processors(found.findings, None if run else SERIOUS)


def mark_processors(findings: Sequence[SurveyFinding], severities: Sequence[str] | None) -> list[SurveyFinding]:
    """The findings, where those of these severities (None: all) that need this processor's instructions say so."""
    places = [k for k, one in enumerate(findings) if severities is None or one.severity in severities]
    programs = [(findings[k].framework, findings[k].reproducer) for k in places]
    vanished = list(itertools.compress(places, depend_on_processor(programs)))
    if severities is not None:  # the programs were not run here
        shown = run_programs([(findings[k].framework, findings[k].reproducer) for k in vanished])
        vanished = list(itertools.compress(vanished, shown))
    found = list(findings)
    for k in vanished:
        found[k] = msgspec.structs.replace(
            found[k], depends_on_processor=True, reproducer=PROCESSOR_COMMENT + found[k].reproducer
        )
    return found


PROCESSOR_COMMENT = (
    "# It depends on the processor: as on a processor with fewer vector instructions, this program does not show it.\n"
)
SERIOUS = ("high", "medium")


def write_survey(found: SurveyResult, plan: SurveyPlan, profile: str, folder: Path, command: str) -> Path:
    """Write the results folder, and return the path of the overview."""
    about = {
        "profile": profile, "machine": f"{platform.machine()} {platform.system()}", "command": command,
        "versions": found.versions, "absent": found.absent, "dtypes": list(plan.dtypes), "rows": len(found.rows),
        "statuses": Counter(row.status for row in found.rows), "unshown": found.unshown,
        "findings": Counter(finding.severity for finding in found.findings),
    }  # fmt: skip
    encode = msgspec.json.Encoder().encode
    try:
        make_folder(folder / "functions")
        with (folder / ROWS_FILE).open("wb") as file:
            file.writelines(encode(compact_row(row)) + b"\n" for row in found.rows)
        (folder / FINDINGS_FILE).write_bytes(
            b"[\n" + b",\n".join(encode(compact_finding(one)) for one in found.findings) + b"\n]\n"
        )
        (folder / META_FILE).write_bytes(msgspec.json.format(encode(about), indent=1) + b"\n")
    except OSError as wrong:
        raise unwritable(folder, wrong) from None
    write_text(folder / LISTING_FILE, findings_markdown(found, about))
    write_text(folder / INDEX_FILE, overview(found, plan.functions, about))
    for name in dict.fromkeys(function.name for function in plan.functions):
        write_text(folder / "functions" / f"{name}.html", function_page(name, found, about))
    return folder / INDEX_FILE


def compact_row(row: Any) -> dict[str, Any]:
    """A row without its empty fields, and without the version, which is in survey.json."""
    fields = msgspec.to_builtins(row)
    del fields["version"]
    return {key: value for key, value in fields.items() if value not in ("", [], {}) or key in ("function", "mode")}


def compact_finding(finding: SurveyFinding) -> SurveyFinding:
    """A finding with long rows as pairs of a number and the times that it is repeated."""
    example = finding.example
    long = {key: run_lengths(row) for key in ("input", "target", "cotangent")
            if len(row := example.get(key) or ()) > LONG_ROW}  # fmt: skip
    return msgspec.structs.replace(finding, example={**example, **long}) if long else finding


COLUMNS = (
    "severity", "error class", "function", "call", "quantity", "modes", "dtypes", "example", "result", "exact value"
)  # fmt: skip
LISTED_SEVERITIES = ("high", "medium", "note")


def findings_markdown(found: SurveyResult, about: dict[str, Any]) -> str:
    """findings.md: findings of high and medium severity, and notes."""
    versions = ", ".join(f"{name} {version}" for name, version in found.versions.items())
    counts = Counter(finding.severity for finding in found.findings)
    severities = ", ".join(f"{count} {severity}" for severity, count in counts.items())
    lines = [" | ".join(COLUMNS), " | ".join("---" for _ in COLUMNS)]
    lines += [finding_line(finding) for finding in found.findings if finding.severity in LISTED_SEVERITIES]
    return (
        f"# Findings of the survey\n\n{versions}; profile {about['profile']}; {severities}. "
        "Exact values are computed in ball arithmetic. `findings.json` has a program that reproduces each finding; "
        "[the documentation](../../docs/survey.md) defines the error classes.\n\n"
    ) + "".join(f"| {line} |\n" for line in lines)


def finding_line(finding: SurveyFinding) -> str:
    """The cells of a finding, in the order of `COLUMNS`."""
    e = finding.example
    result = format_value(e["given"], 8) + (f" ({e['window']})" if "window" in e else "")
    if "other_given" in e:
        result += f" ({e.get('beside') or e.get('other_mode')}: {format_value(e['other_given'], 8)})"
    cells = (
        finding.severity, finding.kind + "".join(f" ({one})" for one in remarks(finding)), finding.function,
        f"`{finding.calls}`", finding.quantity, ", ".join(finding.modes), ", ".join(finding.dtypes),
        describe_example({**e, "function": f"`{e['function']}`"}, 8), result,
        format_exact(e, 8),
    )  # fmt: skip
    return " | ".join(cell.replace("|", "\\|") for cell in cells)
