"""Programs are run in processes, and succeed only if they reach their end."""

from __future__ import annotations

import io
import json

import pytest

from gradagree.adapters import Adapter
from gradagree.reproduce import programs
from gradagree.reproduce.finding import SurveyFinding
from gradagree.reproduce.programs import depend_on_processor, run_programs
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


def test_that_programs_of_several_frameworks_run_separately() -> None:
    some = [program(RIGHT), program(WRONG, "jax"), program(RIGHT, "jax"), program(WRONG), program(RIGHT)]
    assert run_programs(some) == [True, False, True, False, True]
    assert run_programs([]) == []


def test_that_many_programs_are_split_among_processes_without_repetition(monkeypatch: pytest.MonkeyPatch) -> None:
    some = [program((RIGHT, WRONG)[place % 3 == 0], ("torch", "jax")[place > 3]) for place in range(7)]
    monkeypatch.setattr(programs, "PROGRAMS_PER_PROCESS", 2)
    assert programs.split_by_framework([framework for framework, _ in some]) == [[0, 1], [4, 5], [2, 3], [6]]
    assert run_programs(some) == [place % 3 != 0 for place in range(7)]


def test_that_a_program_that_does_not_finish_counts_as_failed_and_the_next_one_runs() -> None:
    some = [program(source) for ending in ENDINGS.values() for source in (ending, RIGHT)]
    assert run_programs(some) == [False, True] * len(ENDINGS)


def test_that_the_framework_drops_its_programs_from_time_to_time(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    calls: list[None] = []
    monkeypatch.setattr(Adapter.catalogue["torch"], "__init__", lambda self: None)
    monkeypatch.setattr(Adapter.catalogue["torch"], "forget", lambda self: calls.append(None))
    monkeypatch.setattr(programs, "FORGET_AFTER", 2)
    monkeypatch.setattr("sys.stdin", io.StringIO(json.dumps([RIGHT] * 5)))
    programs.main("torch")
    assert len(calls) == 2
    assert capsys.readouterr().out.split() == ["ready", *["success"] * 5]


def test_that_a_program_that_exceeds_its_time_limit_fails_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(programs, "PROGRAM_LIMIT", 3.0)
    assert run_programs([program(RIGHT), program("import time\ntime.sleep(3600)"), program(RIGHT)]) == [
        True,
        False,
        True,
    ]


def test_that_a_finding_that_its_program_does_not_reproduce_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    from gradagree.surveys import results

    sources = iter([RIGHT, WRONG])
    monkeypatch.setattr(results, "format_reproducer", lambda *_: next(sources))
    found = SurveyResult(findings=[finding(""), finding("")])
    results.add_reproducers(found, run=True)
    assert [one.reproducer for one in found.findings] == [RIGHT]
    assert found.unshown == 1
    sources = iter([RIGHT, WRONG])
    results.add_reproducers(both := SurveyResult(findings=[finding(""), finding("")]))
    assert len(both.findings) == 2


DEPENDS = """
import torch
assert torch.backends.cpu.get_cpu_capability() != "DEFAULT"
"""
DEPENDS_IN_JAX = """
import os
import jax
assert "SSE4_2" not in os.environ.get("XLA_FLAGS", "")
assert float(jax.numpy.ones(()) + 1) == 2
"""


@pytest.mark.parametrize(("framework", "depends"), [("torch", DEPENDS), ("jax", DEPENDS_IN_JAX)], ids=["torch", "jax"])
def test_that_a_program_that_needs_vector_instructions_depends_on_the_processor(framework: str, depends: str) -> None:
    pytest.importorskip(framework)
    if run_programs([(framework, depends)]) == [False]:
        pytest.skip("this processor has no vector instructions that can be switched off")
    some = [(framework, depends), (framework, f"import {framework}\nassert True")]
    assert depend_on_processor(some) == [True, False]


def test_that_only_a_framework_with_settings_for_other_processors_is_checked() -> None:
    assert depend_on_processor([program(WRONG), ("unknown", WRONG)]) == [True, False]
    assert depend_on_processor([]) == []


@pytest.mark.parametrize("run", [True, False])
def test_that_a_finding_that_another_processor_does_not_show_says_so(
    run: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch = pytest.importorskip("torch")
    if torch.backends.cpu.get_cpu_capability() == "DEFAULT":
        pytest.skip("this processor has no vector instructions that can be switched off")
    from gradagree.surveys import results
    from gradagree.surveys.text import remarks

    programs = iter([DEPENDS, RIGHT, WRONG])
    monkeypatch.setattr(results, "format_reproducer", lambda *_: next(programs))
    found = SurveyResult(findings=[finding("") for _ in range(3)])
    results.add_reproducers(found, run=run)
    assert [one.depends_on_processor for one in found.findings] == ([True, False] if run else [True, False, False])
    first, second, *_ = found.findings
    assert first.reproducer.startswith("# It depends on the processor")
    assert first.reproducer.endswith(DEPENDS)
    assert second.reproducer == RIGHT
    assert (remarks(first), remarks(second)) == (["depends on the processor"], [])
    exec(first.reproducer, {})
