"""Replay of one case: every mode of the plan, with all comparisons behind the verdict."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from gradagree.cases.file import case_path, read_case
from gradagree.cases.graph_case import AnyCase, parse_case
from gradagree.cases.text import shorten
from gradagree.checker.comparison import Comparison
from gradagree.checker.judge import Framework, compared, judge
from gradagree.checker.response import Absent, Response, failures
from gradagree.checker.verdict import CONVENTION, Record
from gradagree.errors import UsageError, is_file
from gradagree.runner.known import mark_known
from gradagree.runner.known_entry import Entry
from gradagree.runner.options import Plan
from gradagree.runner.process import FrameworkProcess
from gradagree.runner.results import RESULTS, read_records


class ReplayResult(NamedTuple):
    """The record of one mode, and its comparisons in the order of the derivation."""

    record: Record
    comparisons: Sequence[Comparison]


def find_case(text: str, folder: Path | None = None) -> AnyCase:
    """The case given by its canonical text, a case file, or a six-digit alias in a results folder.

    Raises UsageError for anything else.
    """
    if re.fullmatch(r"\d{6}", text):
        return _find_by_alias(text, folder or _newest_folder())
    if text.count(":") >= 6:
        case = parse_case(text)
        return with_arrays(case, folder or _newest_folder()) if isinstance(case.seed, str) else case
    if is_file(text):
        return read_case(Path(text))
    if ":" in text:
        return parse_case(text)
    raise UsageError(f"{shorten(text)!r} is not a case, a case file, or a six-digit alias")


def replay(
    case: AnyCase, plan: Plan, extensions: Sequence[str] = (), known: Sequence[Entry] = ()
) -> Iterator[ReplayResult]:
    """Compute and judge the case in every mode of the plan, and mark the known differences."""
    arrays = case.arrays()
    for name in plan.frameworks:
        with FrameworkProcess(name, extensions) as process:
            framework = Framework.of(name, process.handshake)
            modes = plan.modes_of(name, 0)
            responses = process.compute(case, arrays, modes)
            if isinstance(process.handshake, Absent):
                responses = failures(process.handshake, modes)
            for response in responses:
                comparisons: Sequence[Comparison] = ()
                if isinstance(response, Response):
                    rules = framework.model(case.dtype, response.mode)
                    comparisons = compared(case, arrays, response.tapped, response.untapped, rules)
                record = mark_known(judge(case, arrays, framework, response), known, case)
                yield ReplayResult(record, comparisons)


def _find_by_alias(alias: str, folder: Path) -> AnyCase:
    found = dict.fromkeys(record.spec for record in read_records(folder) if record.case == alias)
    specs = [spec for spec in found if not spec.startswith(CONVENTION)]
    if not specs:
        raise UsageError(f"no case {alias} in {folder}; name another results folder with --dir")
    if len(specs) > 1:
        raise UsageError(
            f"{alias} is the alias of {len(specs)} cases in {folder}; give one of them: {' or '.join(specs)}"
        )
    return with_arrays(parse_case(specs[0]), folder)


def with_arrays(case: AnyCase, folder: Path) -> AnyCase:
    """The case with its explicit arrays, if the folder has them."""
    kept = case_path(folder, case)
    return read_case(kept) if isinstance(case.seed, str) and kept.is_file() else case


def _newest_folder() -> Path:
    """The current folder if it holds results, else the newest run below reports/."""
    if Path(RESULTS).exists():
        return Path()
    runs = sorted(Path("reports").glob(f"run-*/{RESULTS}"), key=lambda path: path.stat().st_mtime)
    if not runs:
        raise UsageError("an alias needs a results folder; give it with --dir")
    return runs[-1].parent
