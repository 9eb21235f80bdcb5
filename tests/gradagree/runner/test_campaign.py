"""A run leaves one record for every case, framework and mode that it was asked, whatever they do."""

from __future__ import annotations

import importlib.util
import shutil
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gradagree.adapters import Adapter
from gradagree.checker.verdict import Record, Verdict
from gradagree.runner import scheduler as drivers
from gradagree.runner.campaign import execute, prepare
from gradagree.runner.options import Plan
from gradagree.runner.process import FrameworkProcess
from gradagree.runner.results import read_meta, read_records
from gradagree.runner.scheduler import process_pool, run_plan

needs_torch = pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="PyTorch is not installed")
EXPECTED = {
    "right": {Verdict.AGREE, Verdict.CONVENTION, Verdict.UNDECIDED, Verdict.INACCURATE},
    "prints": {Verdict.AGREE, Verdict.CONVENTION, Verdict.UNDECIDED, Verdict.INACCURATE},
    "segfault": {Verdict.CRASHED},
    "raises": {Verdict.CRASHED},
    "exits": {Verdict.CRASHED},
    "infinite": {Verdict.NONFINITE},
    "shapes": {Verdict.DISAGREE},
}


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The file of the frameworks in NumPy; what it registers leaves with the test."""
    monkeypatch.setattr(Adapter, "catalogue", dict(Adapter.catalogue))
    return shutil.copy(Path(__file__).parents[1] / "numpy_fake.py", tmp_path / "numpy_fake.py")


@pytest.fixture
def processes(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[FrameworkProcess]]:
    """Every process that a run starts; all have ended, and all threads too, when the test has."""
    made: list[FrameworkProcess] = []
    threads = set(threading.enumerate())

    class Watched(FrameworkProcess):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            made.append(self)

    monkeypatch.setattr(drivers, "FrameworkProcess", Watched)
    yield made
    assert made
    assert [process._process for process in made] == [None] * len(made)
    for thread in set(threading.enumerate()) - threads:
        thread.join(timeout=30)
        assert not thread.is_alive()


def planned(fake: str, frameworks: str, modes: str, cases: int = 4, **options: Any) -> Plan:
    return prepare([fake], {"cases": cases, "seed": 7, "frameworks": frameworks, "modes": modes, **options})


def keys(plan: Plan) -> Counter[tuple[str, str, str]]:
    """What a record is wanted for."""
    return Counter(
        (case.spec, name, mode)
        for index, case in plan.draw_cases()
        for name in plan.frameworks
        for mode in plan.modes_of(name, index)
    )


def without_seconds(made: list[Record]) -> list[Record]:
    return sorted((msgspec.structs.replace(record, seconds=0.0) for record in made), key=lambda record: record.key)


def test_that_a_run_leaves_one_record_for_every_case_framework_and_mode(
    fake: str, tmp_path: Path, processes: list[FrameworkProcess]
) -> None:
    plan = planned(fake, "numpy_fake,not_here", ",".join(EXPECTED), cases=2)
    seen: list[Record] = []
    assert execute(plan, tmp_path / "run", extensions=[fake], workers=1, progress=seen.append) is False
    written = list(read_records(tmp_path / "run"))
    assert written == seen
    assert Counter(record.key for record in written) == keys(plan)
    assert Counter(f"{record.framework}:{record.mode}" for record in written) == Counter(plan.counts())
    for record in written:
        assert record.verdict in ({Verdict.ABSENT} if record.framework == "not_here" else EXPECTED[record.mode]), record
    assert len(processes) == 2


@pytest.mark.parametrize("mode", ["flat", "none"])
def test_that_an_answer_of_the_wrong_parts_is_a_record_too(
    mode: str, fake: str, processes: list[FrameworkProcess]
) -> None:
    plan = planned(fake, "numpy_fake", f"right,{mode}", cases=1)
    made = list(run_plan(plan, [fake]))
    assert Counter(record.key for record in made) == keys(plan)
    assert all(record.verdict.fails for record in made if record.mode == mode)


def test_that_every_record_is_of_the_case_that_its_text_makes(fake: str, processes: list[FrameworkProcess]) -> None:
    plan = planned(fake, "numpy_fake", "right,segfault", cases=3, dtypes="float16,float32")
    cases = dict(plan.draw_cases())
    for record in run_plan(plan, [fake]):
        case = cases[record.index]
        assert (record.spec, record.case, record.dtype) == (case.spec, case.alias, case.dtype)
        assert record.sha256 == case.arrays().sha256


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_that_any_number_of_workers_makes_the_same_records_but_for_seconds(
    workers: int, fake: str, processes: list[FrameworkProcess]
) -> None:
    plan = planned(fake, "numpy_fake", "right,raises,wrong", cases=3)
    once, again = (without_seconds(list(run_plan(plan, [fake], n))) for n in (1, workers))
    assert once == again
    assert Counter(record.key for record in again) == keys(plan)


@needs_torch
def test_that_two_runs_with_torch_make_the_same_records_but_for_seconds(processes: list[FrameworkProcess]) -> None:
    plan = Plan.make(cases=6, seed=3, frameworks="torch", modes="backward")
    once, again = (without_seconds(list(run_plan(plan, workers=n))) for n in (1, 2))
    assert once == again
    assert Counter(record.key for record in once) == keys(plan)
    assert not any(record.verdict.fails for record in once)


def test_that_meta_tells_of_the_plan_and_of_every_framework(
    fake: str, tmp_path: Path, processes: list[FrameworkProcess]
) -> None:
    plan = planned(
        fake, "numpy_fake,not_here,stillborn", "right", cases=1, dtypes="float32", activations="elu(alpha=0.5)"
    )
    execute(plan, tmp_path / "run", extensions=[fake], workers=1, command="the command", strict=True)
    meta = read_meta(tmp_path / "run")
    assert (meta["command"], meta["seed"], meta["cases"], meta["strict"]) == ("the command", 7, 1, True)
    assert meta["plan"] == plan.counts()
    assert meta["options"]["activations"] == ["elu(alpha=0.5)"]
    assert meta["options"]["errors"] is None
    installed = {name: description["installed"] for name, description in meta["frameworks"].items()}
    assert installed == {"numpy_fake": True, "not_here": False, "stillborn": False}
    assert meta["frameworks"]["not_here"]["reason"].endswith("pip install not-here")
    assert meta["seconds"] > 0


def test_that_meta_is_there_from_the_start(fake: str, tmp_path: Path, processes: list[FrameworkProcess]) -> None:
    found: list[Any] = []
    plan = planned(fake, "numpy_fake", "right", cases=1)
    execute(plan, tmp_path, extensions=[fake], workers=1, progress=lambda record: found.append(read_meta(tmp_path)))
    assert found[0]["plan"] == plan.counts()
    assert "seconds" not in found[0]


def test_that_one_process_of_each_framework_is_kept_for_what_comes_next(
    fake: str, tmp_path: Path, processes: list[FrameworkProcess]
) -> None:
    plan = planned(fake, "numpy_fake", "right", cases=2)
    ((_, case), *_) = plan.draw_cases()
    with process_pool() as kept:
        execute(plan, tmp_path / "run", extensions=[fake], workers=2, kept=kept)
        assert kept == {"numpy_fake": processes[0]}
        assert [process._process is None for process in processes] == [False, True]
        assert next(processes[0].compute(case, case.arrays(), ["right"])).mode == "right"
    assert processes[0]._process is None
