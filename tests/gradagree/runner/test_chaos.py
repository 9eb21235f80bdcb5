"""Whatever frameworks do, and whoever ends their processes: every case has one verdict, the innocent ones theirs."""

from __future__ import annotations

import importlib.util
import random
import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gradagree.adapters import Adapter
from gradagree.cases.case import Case
from gradagree.checker.response import Failure, Response
from gradagree.checker.verdict import Record, Verdict
from gradagree.runner import scheduler as drivers
from gradagree.runner.campaign import prepare
from gradagree.runner.options import Plan
from gradagree.runner.process import MAX_EXTERNAL_KILLS, MAX_EXTERNAL_KILLS_AT_START, FrameworkProcess
from gradagree.runner.scheduler import run_plan

FAKE = Path(__file__).parents[1] / "numpy_fake.py"
RIGHT = {Verdict.AGREE, Verdict.CONVENTION, Verdict.UNDECIDED, Verdict.INACCURATE, Verdict.OUT_OF_RANGE}
LIMIT, MEMORY = 2.0, 1 << 28
CASE = Case.parse("3-4b-2:id,tanh*2:sse:n5:f64:ordinary:s0")
ENDS = {
    "segfault": "SIGSEGV", "abort": "SIGABRT: the last word", "exits": "exit code 1: leaving", "leaves": "exit code 0",
    "garbage": "wrote invalid data to its pipe: ", "hungry": "used more than 0.25 GiB of memory",
    "unframed": "wrote invalid data to its pipe: ",
    "deaf": "no result within 2 seconds", "sleep": "no result within 2 seconds",
}  # fmt: skip


@pytest.fixture(scope="module")
def fake() -> Any:
    """The module of the frameworks in NumPy, which registers nothing here."""
    before = dict(Adapter.catalogue)
    spec = importlib.util.spec_from_file_location("numpy_fake_to_ask", FAKE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    Adapter.catalogue.clear()
    Adapter.catalogue.update(before)
    return module


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(Adapter, "catalogue", dict(Adapter.catalogue))
    return shutil.copy(FAKE, tmp_path / "numpy_fake.py")


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[FrameworkProcess]:
    """The processes of a run, which lose patience soon."""
    processes: list[FrameworkProcess] = []

    class Watched(FrameworkProcess):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args, limit=LIMIT, memory=MEMORY)
            processes.append(self)

    monkeypatch.setattr(drivers, "FrameworkProcess", Watched)
    return processes


def killing(found: Iterator[Record], made: list[FrameworkProcess], seed: int) -> Iterator[Record]:
    """The records of a run, one of whose processes is killed after every fifth or so.

    None as often as would be too much for it, were it always on its way to start.
    """
    dice, kills = random.Random(seed), Counter[int]()
    for record in found:
        running = [one for one in made if one._process is not None and kills[id(one)] < MAX_EXTERNAL_KILLS - 1]
        if running and dice.random() < 0.2:
            chosen = dice.choice(running)
            kills[id(chosen)] += 1
            if (process := chosen._process) is not None:
                process.kill()
        yield record


def planned(file: str, modes: str, cases: int) -> Plan:
    options = {"cases": cases, "seed": 5, "frameworks": "numpy_fake", "modes": modes, "dtypes": "float64"}
    return prepare([file], {**options, "regimes": "ordinary,grid,zeros"})


def assert_one_each(plan: Plan, made: list[Record]) -> None:
    (name,) = plan.frameworks
    wanted = Counter((i, mode) for i, _ in plan.draw_cases() for mode in plan.modes_of(name, i))
    assert Counter((record.index, record.mode) for record in made) == wanted


def test_that_in_a_unit_of_many_cases_each_meets_its_own_fate(fake: Any) -> None:
    cases = [replace(CASE, seed=seed) for seed in range(400)]
    of_each = {fake.fate(case.arrays().inputs): case for case in cases}
    requests = [(case, case.arrays(), ["fated", "right"]) for case in [*of_each.values(), *cases[:4]]]
    fates = [fake.fate(arrays.inputs) for _, arrays, _ in requests]
    assert {*fates} == {*fake.FATES, "right"} > {*ENDS}
    with FrameworkProcess("numpy_fake", [str(FAKE)], limit=LIMIT, memory=MEMORY) as process:
        answers = list(process.compute_all(requests))
    assert [place for place, _ in answers] == [place for place in range(len(requests)) for _ in range(2)]
    for place, answer in answers:
        met = fates[place] if answer.mode == "fated" else "right"
        if met in ENDS:
            assert isinstance(answer, Failure), met
            assert answer.reason.startswith(ENDS[met])
            assert answer.verdict == ("timeout" if met in ("deaf", "sleep") else "crashed")
        else:
            assert isinstance(answer, Response), (met, answer)


@pytest.mark.parametrize("workers", [1, 2])
def test_that_a_run_among_the_lost_judges_the_innocent_rightly(
    workers: int, fake: Any, file: str, made: list[FrameworkProcess]
) -> None:
    plan = planned(file, "fated,right", 24)
    fates = {i: fake.fate(case.arrays().inputs) for i, case in plan.draw_cases()}
    found = list(run_plan(plan, [file], workers))
    assert_one_each(plan, found)
    for record in found:
        met = fates[record.index] if record.mode == "fated" else "right"
        assert (record.verdict in RIGHT) == (met not in ENDS), (met, record)
        assert record.reason.startswith(ENDS.get(met, ""))


@pytest.mark.parametrize("seed", [1, 2])
def test_that_a_storm_of_kills_changes_no_verdict(
    seed: int, file: str, made: list[FrameworkProcess], monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, launches = planned(file, "right,raises", 60), []
    launch = FrameworkProcess._launch
    monkeypatch.setattr(FrameworkProcess, "_launch", lambda self: launches.append(self) or launch(self))
    found = list(killing(run_plan(plan, [file], 2), made, seed))
    assert_one_each(plan, found)
    assert len(launches) > 2
    for record in found:
        assert record.verdict in (RIGHT if record.mode == "right" else {Verdict.CRASHED}), record
        assert record.mode == "right" or record.reason.startswith("raised RuntimeError")


def test_that_a_case_whose_process_is_always_killed_is_a_crash_of_its_own() -> None:
    arrays = CASE.arrays()
    with FrameworkProcess("numpy_fake", [str(FAKE)]) as process:
        launched = 0
        launch = process._launch

        def counted() -> None:
            nonlocal launched
            launched += 1
            launch()

        process._launch = counted  # type: ignore[method-assign]
        first, second = process.compute(CASE, arrays, ["killed", "right"])
    assert first == Failure("killed", Verdict.CRASHED, "SIGKILL")
    assert isinstance(second, Response)
    assert launched == MAX_EXTERNAL_KILLS


def killed_at_starts(process: FrameworkProcess, count: int) -> list[int]:
    """From now on so many starts are ended at once; grows by one with each start."""
    launch, launched = process._launch, []

    def killing() -> None:
        launch()
        launched.append(1)
        if len(launched) <= count and process._process is not None:
            process._process.kill()

    process._launch = killing  # type: ignore[method-assign]
    return launched


def test_that_no_question_is_to_blame_for_starts_that_others_end() -> None:
    arrays = CASE.arrays()
    with FrameworkProcess("numpy_fake", [str(FAKE)]) as process:
        process.stop()
        launched = killed_at_starts(process, MAX_EXTERNAL_KILLS_AT_START - 1)
        (answer,) = process.compute(CASE, arrays, ["right"])
    assert isinstance(answer, Response), answer
    assert len(launched) == MAX_EXTERNAL_KILLS_AT_START > MAX_EXTERNAL_KILLS


def test_that_a_process_whose_every_start_is_ended_is_tried_once_more_for_each_question_and_no_oftener() -> None:
    arrays = CASE.arrays()
    with FrameworkProcess("numpy_fake", [str(FAKE)]) as process:
        process.stop()
        launched = killed_at_starts(process, MAX_EXTERNAL_KILLS_AT_START + 2)
        answers = list(process.compute(CASE, arrays, ["right"] * 5))
    reason = "its process did not start: SIGKILL"
    assert answers[:3] == [Failure("right", Verdict.CRASHED, reason)] * 3
    assert all(isinstance(answer, Response) for answer in answers[3:])
    assert len(launched) == MAX_EXTERNAL_KILLS_AT_START + 3


def test_that_a_process_which_took_too_much_between_questions_is_replaced_without_blame(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    arrays = CASE.arrays()
    with FrameworkProcess("numpy_fake", [str(FAKE)]) as process:
        list(process.compute(CASE, arrays, ["right"]))
        first = process._process
        assert first is not None
        monkeypatch.setattr("gradagree.runner.process.resident_memory", lambda pid: process.memory + (pid == first.pid))
        (answer,) = process.compute(CASE, arrays, ["right"])
        assert isinstance(answer, Response)
        assert first.poll() is not None
