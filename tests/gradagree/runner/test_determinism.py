"""The same records, however a run is cut up: by one worker or two, in shards, or stopped and gone on with."""

from __future__ import annotations

import importlib.util
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gradagree.checker.verdict import Record
from gradagree.runner.campaign import execute, resume_plan
from gradagree.runner.options import Plan
from gradagree.runner.results import read_records

MODES = {"torch": "backward,vmap", "jax": "grad,jit"}


@pytest.fixture(params=MODES)
def options(request: pytest.FixtureRequest) -> dict[str, Any]:
    """A small run of one framework; its cases ask every mode."""
    if importlib.util.find_spec(request.param) is None:
        pytest.skip(f"{request.param} is not installed")
    modes = ",".join(f"{request.param}:{mode}" for mode in MODES[request.param].split(","))
    return {
        "cases": 3, "seed": 2, "frameworks": request.param, "modes": modes, "dtypes": "float32",
        "regimes": "ordinary,grid", "errors": "sse,mse",
    }  # fmt: skip


def kept(*folders: Path) -> list[Record]:
    records = (msgspec.structs.replace(record, seconds=0.0) for folder in folders for record in read_records(folder))
    return sorted(records, key=lambda record: (record.key, record.index))


def started(options: dict[str, Any], folder: Path, workers: int = 1, **more: Any) -> Path:
    execute(Plan.make(**options, **more), folder, workers=workers)
    return folder


def stopped_and_resumed(options: dict[str, Any], folder: Path, counts: Sequence[int]) -> Path:
    """Drained after each of these numbers of records, and then left to its end."""
    plan = Plan.make(**options)
    for turn, count in enumerate([*counts, None]):
        stop, seen = threading.Event(), []

        def progress(record: Record, stop: threading.Event = stop, seen: list[Any] = seen, count: Any = count) -> None:
            seen.append(record)
            if len(seen) == count:
                stop.set()

        begun = plan if turn == 0 else resume_plan(folder, [])[0]
        assert execute(begun, folder, workers=1, progress=progress, draining=stop, resume=turn > 0) is stop.is_set()
    return folder


def test_that_records_do_not_depend_on_how_a_run_is_cut_up(options: dict[str, Any], tmp_path: Path) -> None:
    complete = kept(started(options, tmp_path / "one"))
    assert len(complete) == len({(record.key, record.index) for record in complete})
    assert {record.mode for record in complete} == {mode.partition(":")[2] for mode in options["modes"].split(",")}
    assert kept(started(options, tmp_path / "two", workers=2)) == complete
    shards = [started(options, tmp_path / f"shard-{i}", shard=f"{i}/2") for i in (1, 2)]
    assert all(kept(shard) for shard in shards)
    assert kept(*shards) == complete
    assert kept(stopped_and_resumed(options, tmp_path / "stopped", (2,))) == complete


def test_that_another_seed_makes_other_records() -> None:
    """What the test above compares can differ."""
    specs = [[case.spec for _, case in Plan.make(cases=4, seed=seed, dtypes="float32").draw_cases()] for seed in (2, 3)]
    assert specs[0] != specs[1]
