"""One case again, in every mode asked: what each box makes of the framework's own numbers."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from gradagree import wire
from gradagree.boxcheck import Comparison, check
from gradagree.casefile import read_case
from gradagree.cases import Case
from gradagree.errors import UsageError
from gradagree.journal import RESULTS, read_records
from gradagree.judge import Framework, judge
from gradagree.plan import Plan
from gradagree.process import FrameworkProcess
from gradagree.verdict import Record, Verdict

__all__ = ["Replayed", "find", "replay"]


class Replayed(NamedTuple):
    """One framework's mode: the record, and every comparison behind it in the derivation's order."""

    record: Record
    comparisons: Sequence[Comparison]


def find(text: str, folder: Path | None = None) -> Case:
    """The case that a text stands for: its canonical text, the name of a case file, or an alias within a folder.

    Raises UsageError, saying what to write, for anything else.
    """
    if re.fullmatch(r"\d{6}", text):
        return _by_alias(text, folder or _newest_folder())
    if text.count(":") >= 6:
        return Case.parse(text)
    if Path(text).is_file():
        return read_case(Path(text))
    if ":" in text:
        return Case.parse(text)
    raise UsageError(f"{text!r} is neither a case, nor a case file, nor a six-digit alias")


def replay(case: Case, plan: Plan, extensions: Sequence[str] = ()) -> Iterator[Replayed]:
    """Ask every framework of the plan, in every mode."""
    arrays = case.arrays()
    for name in plan.frameworks:
        with FrameworkProcess(name, extensions) as process:
            framework = Framework.of(name, process.hello)
            modes = plan.asked(name, 0)
            if isinstance(process.hello, wire.Absent):
                for mode in modes:
                    absent = wire.Failed(mode, Verdict.ABSENT, process.hello.reason)
                    yield Replayed(judge(case, arrays, framework, absent), ())
                continue
            for answer in process.ask(case, arrays, modes):
                comparisons: Sequence[Comparison] = ()
                if isinstance(answer, wire.Answered):
                    tapped = wire.unpack_answer(answer.tapped)
                    comparisons = list(check(case, arrays, tapped, framework.models[case.dtype]))
                yield Replayed(judge(case, arrays, framework, answer), comparisons)


def _by_alias(alias: str, folder: Path) -> Case:
    for record in read_records(folder):
        if record.case == alias:
            return Case.parse(record.spec)
    raise UsageError(f"no case {alias} in {folder}; name another results folder with --dir")


def _newest_folder() -> Path:
    """The current folder if it holds results, else the newest run below reports/."""
    if Path(RESULTS).exists():
        return Path()
    runs = sorted(Path("reports").glob(f"run-*/{RESULTS}"), key=lambda path: path.stat().st_mtime)
    if not runs:
        raise UsageError("an alias stands for a case of a results folder: name the folder with --dir")
    return runs[-1].parent
