"""How a run ends before its time: interrupted, past its budget, or by an error of our own; what was written stays."""

from __future__ import annotations

import datetime
import shutil
import signal
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gradagree.adapters import Adapter
from gradagree.cases import case as cases
from gradagree.checker import judge as judging
from gradagree.checker.verdict import Record
from gradagree.errors import UsageError
from gradagree.reference import Activation, ErrorFunction
from gradagree.reference.activations import Tanh
from gradagree.runner import campaign, scheduler as drivers
from gradagree.runner.campaign import default_folder, default_workers, execute, prepare
from gradagree.runner.options import Plan
from gradagree.runner.process import FrameworkProcess
from gradagree.runner.results import read_meta, read_records
from gradagree.runner.scheduler import run_plan

LIMIT = 20
FUNCTIONS = """
from gradagree import Activation, ErrorFunction
import numpy as np

class Bent(Activation):
    def value(self, p): return SLOPE * p
    def derivative(self, p): return 2 * np.ones_like(p)

class Double(ErrorFunction):
    def value(self, o, t): return np.sum((o - t) ** 2, axis=(-2, -1))
    def sensitivity(self, o, t): return 2 * (o - t)
"""


@pytest.fixture(autouse=True)
def as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a file registers leaves with the test."""
    for base in (Activation, ErrorFunction, Adapter):
        monkeypatch.setattr(base, "catalogue", dict(base.catalogue))


@pytest.fixture
def fake(tmp_path: Path) -> str:
    """The file of the frameworks in NumPy."""
    return shutil.copy(Path(__file__).parents[1] / "numpy_fake.py", tmp_path / "numpy_fake.py")


@pytest.fixture
def processes(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[FrameworkProcess]]:
    """Every process that a run starts; all have ended when the test has."""
    made: list[FrameworkProcess] = []
    start = FrameworkProcess.start

    def watched(self: FrameworkProcess) -> Any:
        made.append(self)
        return start(self)

    monkeypatch.setattr(FrameworkProcess, "start", watched)
    yield made
    assert [process._process for process in made] == [None] * len(made)


@pytest.fixture
def interrupted_after(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A progress that has a signal interrupt the run some time after a record; answers may take LIMIT seconds."""

    class Limited(FrameworkProcess):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args, limit=LIMIT)

    monkeypatch.setattr(drivers, "FrameworkProcess", Limited)
    before = signal.signal(signal.SIGALRM, signal.default_int_handler)
    yield lambda seconds: lambda record: signal.setitimer(signal.ITIMER_REAL, seconds)
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


def planned(fake: str, cases: int = 4) -> Plan:
    return prepare([fake], {"cases": cases, "seed": 7, "frameworks": "numpy_fake", "modes": "right,raises"})


@pytest.mark.parametrize("workers", [1, 2])
def test_that_an_interrupt_keeps_what_was_written_and_ends_every_process(
    workers: int, fake: str, tmp_path: Path, processes: list[FrameworkProcess]
) -> None:
    seen: list[Record] = []

    def interrupt(record: Record) -> None:
        seen.append(record)
        if len(seen) == 5:
            raise KeyboardInterrupt

    assert execute(planned(fake), tmp_path / "run", extensions=[fake], workers=workers, progress=interrupt) is True
    assert list(read_records(tmp_path / "run")) == seen
    assert len(seen) == 5
    assert read_meta(tmp_path / "run")["seconds"] > 0
    assert len(processes) == workers


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="this system has no timer that sends signals")
def test_that_a_signal_does_not_wait_for_the_answer_that_a_framework_owes(
    fake: str, tmp_path: Path, processes: list[FrameworkProcess], interrupted_after: Any
) -> None:
    plan = prepare([fake], {"cases": 50, "frameworks": "numpy_fake", "modes": "right,sleep"})
    progress = interrupted_after(seconds=0.5)
    begun = time.monotonic()
    assert execute(plan, tmp_path / "run", extensions=[fake], workers=1, progress=progress) is True
    assert time.monotonic() - begun < LIMIT / 2
    assert [record.mode for record in read_records(tmp_path / "run")] == ["right"]


def test_that_an_error_of_our_own_while_a_case_is_drawn_comes_out(
    fake: str, tmp_path: Path, processes: list[FrameworkProcess], monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn, arrays = [], cases._draw_arrays

    def broken(case: Any) -> Any:
        drawn.append(case)
        return arrays(case) if len(drawn) < 3 else 1 / 0

    monkeypatch.setattr(cases, "_draw_arrays", broken)
    with pytest.raises(ZeroDivisionError):
        execute(planned(fake), tmp_path / "run", extensions=[fake], workers=1)
    assert len(list(read_records(tmp_path / "run"))) <= 4
    assert read_meta(tmp_path / "run")["seconds"] > 0


def test_that_an_error_of_our_own_while_an_answer_is_judged_comes_out(
    fake: str, tmp_path: Path, processes: list[FrameworkProcess], monkeypatch: pytest.MonkeyPatch
) -> None:
    judged, judge_all = [], judging.judge_all

    def broken(requests: Any) -> Iterator[Record]:
        for record in judge_all(requests):
            judged.append(record)
            yield record if len(judged) < 4 else 1 / 0  # type: ignore[misc]

    monkeypatch.setattr(judging, "judge_all", broken)
    with pytest.raises(ZeroDivisionError):
        execute(planned(fake, 40), tmp_path / "run", extensions=[fake], workers=2)
    assert len(list(read_records(tmp_path / "run"))) == 3


def test_that_an_error_in_a_start_callback_is_raised(fake: str, processes: list[FrameworkProcess]) -> None:
    def fail(name: str, handshake: Any) -> None:
        raise LookupError(name)

    with pytest.raises(LookupError, match="numpy_fake"):
        list(run_plan(planned(fake), [fake], started=fail))


def test_that_past_its_budget_no_case_is_begun(fake: str, tmp_path: Path, processes: list[FrameworkProcess]) -> None:
    plan = planned(fake)
    assert execute(plan, tmp_path / "run", extensions=[fake], workers=1, budget=1e-9) is False
    assert list(read_records(tmp_path / "run")) == []
    assert read_meta(tmp_path / "run")["plan"] == plan.counts()


def test_that_a_budget_stops_between_cases_and_never_within_one(
    fake: str, processes: list[FrameworkProcess], monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, ticks = planned(fake), iter(range(1000))
    monkeypatch.setattr(campaign.time, "monotonic", lambda: next(ticks))
    found = Counter(record.spec for record in run_plan(plan, [fake], deadline=2))
    assert 0 < len(found) < plan.cases * len(plan.dtypes)
    assert set(found.values()) == {2}


def test_that_functions_of_a_file_take_the_place_of_the_catalogue(fake: str, tmp_path: Path) -> None:
    mine = tmp_path / "mine.py"
    mine.write_text(FUNCTIONS.replace("SLOPE", "2"))
    plan = prepare([str(mine)], {})
    assert list(map(str, plan.activations or ())) == ["bent"]
    assert list(map(str, plan.errors or ())) == ["double"]
    plan = prepare([str(mine)], {"activations": "tanh"})
    assert plan.activations == (Tanh(),)


def test_that_a_wrong_derivative_is_found_before_any_framework_runs(fake: str, tmp_path: Path) -> None:
    mine = tmp_path / "mine.py"
    mine.write_text(FUNCTIONS.replace("SLOPE", "3"))
    with pytest.raises(
        UsageError, match=r"^bent: derivative does not match value: at p = \S+ it gives 2\.0, but the derivative of"
    ):
        prepare([str(mine)], {"activations": "tanh"})


def test_that_a_folder_is_named_after_the_time_and_there_is_a_worker_at_least() -> None:
    folder = default_folder()
    assert folder.parent == Path("reports")
    assert datetime.datetime.strptime(folder.name, "run-%Y%m%d-%H%M%S") <= datetime.datetime.now()
    assert default_workers() >= 1
