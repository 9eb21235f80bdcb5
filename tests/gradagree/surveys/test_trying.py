"""Programs are run, and only those that come to their end have shown what they assert."""

from __future__ import annotations

import pytest

from gradagree.reproduce import run as trying
from gradagree.reproduce.finding import SurveyFinding
from gradagree.reproduce.run import run_programs
from gradagree.surveys.survey import SurveyResult

RIGHT, WRONG = "assert 1 + 1 == 2", "assert 1 + 1 == 3"
ENDINGS = {
    "raises": "raise ValueError(3)", "dies": "import os\nos._exit(3)", "is no program": "def (",
    "leaves": "raise SystemExit(0)", "lies": "print('success')\nassert False",
}  # fmt: skip


def program(source: str, framework: str = "torch") -> tuple[str, str]:
    return framework, source


def finding(program: str, framework: str = "torch") -> SurveyFinding:
    return SurveyFinding(
        framework=framework, version="1", function="relu", variants=[], calls="", own=True, quantity="slope",
        kind="wrong sign", severity="high", region="ordinary", modes=[], dtypes=["float32"], ranges={}, count=1,
        example={"function": "relu"}, reproducer=program,
    )  # fmt: skip


def test_that_programs_of_several_frameworks_are_told_apart() -> None:
    some = [program(RIGHT), program(WRONG, "jax"), program(RIGHT, "jax"), program(WRONG), program(RIGHT)]
    assert run_programs(some) == [True, False, True, False, True]
    assert run_programs([]) == []


def test_that_many_programs_are_shared_among_processes_each_one_once(monkeypatch: pytest.MonkeyPatch) -> None:
    some = [program((RIGHT, WRONG)[place % 3 == 0], ("torch", "jax")[place > 3]) for place in range(7)]
    monkeypatch.setattr(trying, "PROGRAMS_PER_PROCESS", 2)
    assert trying.split_by_framework([framework for framework, _ in some]) == [[0, 1], [4, 5], [2, 3], [6]]
    assert run_programs(some) == [place % 3 != 0 for place in range(7)]


def test_that_what_does_not_come_to_its_end_shows_nothing_and_the_next_one_goes_on() -> None:
    some = [program(source) for ending in ENDINGS.values() for source in (ending, RIGHT)]
    assert run_programs(some) == [False, True] * len(ENDINGS)


def test_that_a_program_that_takes_too_long_shows_nothing_and_takes_nothing_from_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(trying, "PROGRAM_LIMIT", 3.0)
    assert run_programs([program(RIGHT), program("import time\ntime.sleep(3600)"), program(RIGHT)]) == [
        True,
        False,
        True,
    ]


def test_that_a_finding_that_its_program_does_not_show_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    from gradagree.surveys import pages as writing

    programs = iter([RIGHT, WRONG])
    monkeypatch.setattr(writing, "reproducer", lambda *_: next(programs))
    found = SurveyResult(findings=[finding(""), finding("")])
    writing.add_reproducers(found, tried=True)
    assert [one.reproducer for one in found.findings] == [RIGHT]
    assert found.unshown == 1
    programs = iter([RIGHT, WRONG])
    writing.add_reproducers(both := SurveyResult(findings=[finding(""), finding("")]))
    assert len(both.findings) == 2
