"""Cases that hang or end their process are shrunk in the process, within the time limit."""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from gradagree.adapters import Adapter
from gradagree.cases.case import Case
from gradagree.checker.verdict import Record, Verdict
from gradagree.runner.extensions import load
from gradagree.runner.process import FrameworkProcess
from gradagree.shrink import ModeProcess, Shrunk, search, shrink
from gradagree.shrink.cut import numbers_in

FAKE = Path(__file__).parents[1] / "numpy_fake.py"
PICKY = '''

class Picky(NumpyFake):
    """Answers wrongly if there is a sigmoid."""

    name = "picky"

    def answers(self, problem: Problem, mode: str) -> tuple[Answer, Answer]:
        faulty = any(str(activation) == "sigmoid" for activation in problem.activations)
        return super().answers(problem, mode if faulty else "right")
'''
CASE = Case.parse("4-5b-3-2:id,sigmoid,tanh:mse:n3:f32:ordinary:s1")
SECONDS, LIMIT = 12.0, 300.0
pytestmark = pytest.mark.skipif(importlib.util.find_spec("hypothesis") is None, reason="Hypothesis is not installed")


@pytest.fixture
def process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FrameworkProcess]:
    monkeypatch.setattr(Adapter, "catalogue", dict(Adapter.catalogue))
    monkeypatch.setattr(search, "SHORTEST", 0.2)
    file = tmp_path / "picky.py"
    file.write_text(FAKE.read_text() + PICKY)
    load([str(file)])
    with FrameworkProcess("picky", [str(file)], limit=LIMIT) as started:
        yield started


def failing_record(verdict: Verdict, mode: str, reason: str) -> Record:
    return Record(
        case=CASE.alias, spec=CASE.spec, sha256="", framework="picky", version="", mode=mode, dtype=CASE.dtype,
        verdict=verdict, reason=reason,
    )  # fmt: skip


def assert_one_sigmoid_and_fewer_numbers(small: Shrunk | None) -> None:
    assert small is not None
    assert "sigmoid" in list(map(str, small.case.activations))
    assert numbers_in(small.case) < numbers_in(CASE)


def test_that_a_case_that_hangs_is_shrunk_long_before_its_limit(process: FrameworkProcess) -> None:
    started_at, record = time.monotonic(), failing_record(Verdict.TIMEOUT, "sleep", "no answer within 300 seconds")
    small = shrink(CASE, record, ModeProcess(process, "sleep"), SECONDS)
    assert time.monotonic() - started_at < LIMIT / 2
    assert_one_sigmoid_and_fewer_numbers(small)
    assert small is not None
    assert small.record.verdict is Verdict.TIMEOUT
    assert process.limit == LIMIT


@pytest.mark.parametrize("mode", ["segfault", "abort", "exits"])
def test_that_a_case_that_ends_its_process_is_shrunk(mode: str, process: FrameworkProcess) -> None:
    reason = {"segfault": "SIGSEGV: at 0xa1", "abort": "SIGABRT: last line", "exits": "exit code 1"}[mode]
    small = shrink(CASE, failing_record(Verdict.CRASHED, mode, reason), ModeProcess(process, mode), SECONDS)
    assert_one_sigmoid_and_fewer_numbers(small)
    assert small is not None
    assert small.record.reason.startswith(reason.partition(":")[0])


def test_that_another_signal_is_another_failure(process: FrameworkProcess) -> None:
    record = failing_record(Verdict.CRASHED, "abort", "SIGSEGV: the last word")
    assert shrink(CASE, record, ModeProcess(process, "abort"), SECONDS) is None


def test_that_a_case_with_an_answer_does_not_hang(process: FrameworkProcess) -> None:
    record = failing_record(Verdict.TIMEOUT, "right", "no answer within 300 seconds")
    assert shrink(CASE, record, ModeProcess(process, "right"), SECONDS) is None


def test_that_a_slow_case_does_not_count_as_hanging(process: FrameworkProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the longer limit at the end it answers."""
    sleeping = ModeProcess(process, "sleep")
    record, answer = failing_record(Verdict.TIMEOUT, "sleep", "no answer within 300 seconds"), ModeProcess.answer
    limits: list[float] = []

    def hangs_for_a_while(self: ModeProcess, case: Case, arrays: object) -> object:
        limits.append(process.limit)
        slow = len(limits) > 1 and process.limit > 2 * min(limits)
        return answer(ModeProcess(process, "right") if slow or len(limits) == 1 else self, case, arrays)  # type: ignore[arg-type]

    monkeypatch.setattr(ModeProcess, "answer", hangs_for_a_while)
    assert shrink(CASE, record, sleeping, SECONDS) is None
    assert len(limits) > 3


def test_that_without_time_for_several_limits_nothing_is_tried(process: FrameworkProcess) -> None:
    started_at = time.monotonic()
    record = failing_record(Verdict.TIMEOUT, "sleep", "no answer within 300 seconds")
    assert shrink(CASE, record, ModeProcess(process, "sleep"), 1.0) is None
    assert time.monotonic() - started_at < 1
