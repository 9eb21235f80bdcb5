"""A survey's folder: atlas.jsonl, findings.json and .md, survey.json, the overview and a page for each function."""

from __future__ import annotations

import itertools
import platform
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec

from gradagree.atlas.conventions import gathered
from gradagree.atlas.finding import Finding
from gradagree.atlas.inlined import runs
from gradagree.atlas.listing import listing
from gradagree.atlas.paging import function_page, overview
from gradagree.atlas.profiles import Survey
from gradagree.atlas.reproduce import reproducer
from gradagree.atlas.surveying import Surveyed
from gradagree.atlas.trying import run_programs
from gradagree.files import make_folder, unwritable, write_text
from gradagree.reference import Activation, ErrorFunction

ROWS, FINDINGS, META, INDEX = "atlas.jsonl", "findings.json", "survey.json", "index.html"
LISTING = "findings.md"
LONG = 16
"""Entries."""


def prepared(folder: Path) -> Path:
    """The folder, made and tried. Raises UsageError where nothing can be written there."""
    make_folder(folder)
    trial = folder / ".gradagree"
    try:
        trial.write_bytes(b"")
        trial.unlink()
    except OSError as wrong:
        raise unwritable(folder, wrong) from None
    return folder


def with_reproducers(found: Surveyed, tried: bool = False) -> None:
    """Give each finding its program; if they are tried, those that do not show theirs are left out."""
    made: list[Finding] = []
    for finding in found.findings:
        text = finding.example["function"]
        kind: Any = Activation if finding.function in Activation.catalogue else ErrorFunction
        try:
            program = reproducer(finding, kind.named(text))
        except (OSError, TypeError, KeyError) as wrong:
            program = f"# {text} has no source to show: {wrong}\n"
        made.append(msgspec.structs.replace(finding, reproducer=program))
    found.findings = made
    if tried:
        shown = run_programs([(one.framework, one.reproducer) for one in made])
        found.findings = list(itertools.compress(made, shown))
        found.unshown += len(made) - len(found.findings)


def written(found: Surveyed, plan: Survey, profile: str, folder: Path, command: str) -> Path:
    """The overview's path."""
    about = {
        "profile": profile, "machine": f"{platform.machine()} {platform.system()}", "command": command,
        "versions": found.versions, "absent": found.absent, "dtypes": list(plan.dtypes), "rows": len(found.rows),
        "statuses": Counter(row.status for row in found.rows), "unshown": found.unshown,
        "findings": Counter(finding.severity for finding in found.findings),
    }  # fmt: skip
    encode = msgspec.json.Encoder().encode
    try:
        make_folder(folder / "functions")
        with (folder / ROWS).open("wb") as file:
            file.writelines(encode(lean(row)) + b"\n" for row in found.rows)
        (folder / FINDINGS).write_bytes(b"[\n" + b",\n".join(encode(short(one)) for one in found.findings) + b"\n]\n")
        (folder / META).write_bytes(msgspec.json.format(encode(about), indent=1) + b"\n")
    except OSError as wrong:
        raise unwritable(folder, wrong) from None
    write_text(folder / LISTING, listing(found, about))
    write_text(folder / INDEX, overview(found, plan.functions, about))
    for name in dict.fromkeys(function.name for function in plan.functions):
        write_text(folder / "functions" / f"{name}.html", page(name, found, about))
    return folder / INDEX


def lean(row: Any) -> dict[str, Any]:
    """A row without what it has nothing to say about, and without the version, which is in survey.json."""
    told = msgspec.to_builtins(row)
    del told["version"]
    return {key: value for key, value in told.items() if value not in ("", [], {}) or key in ("function", "mode")}


def short(finding: Finding) -> Finding:
    """With long rows as pairs: a number, and how often it follows upon itself."""
    example = finding.example
    long = {key: runs(row) for key in ("input", "target") if len(row := example[key] or ()) > LONG}
    return msgspec.structs.replace(finding, example={**example, **long}) if long else finding


def page(name: str, found: Surveyed, about: dict[str, Any]) -> str:
    return function_page(
        name, [row for row in found.rows if row.function.partition("(")[0] == name],
        [finding for finding in found.findings if finding.function == name],
        [curve for curve in found.curves if curve.function == name],
        [row for row in gathered(found.conventions) if row.function == name], about,
    )  # fmt: skip


def nothing(found: Surveyed) -> str:
    """What to say where no framework answered."""
    told = "; ".join(f"{name}: {reason}" for name, reason in found.absent.items())
    return f"survey: no framework that was asked for is installed ({told})"
