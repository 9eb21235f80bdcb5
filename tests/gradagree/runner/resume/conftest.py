"""Runs of fast frameworks in NumPy: started, stopped and resumed."""

from __future__ import annotations

import functools
import shutil
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import msgspec
import pytest

from gradagree.adapters import Adapter
from gradagree.cases.case import problem_of
from gradagree.checker import judge as judging
from gradagree.checker.response import Ready, handshake, respond
from gradagree.checker.verdict import Record
from gradagree.runner import campaign, scheduler
from gradagree.runner.options import Plan
from gradagree.runner.results import read_records


@functools.cache
def adapter(name: str) -> tuple[Adapter, Ready]:
    made = Adapter.catalogue[name]()
    return made, handshake(made)


class InThread:
    """Replaces a framework process by calls in the same process."""

    def __init__(self, framework: str, extensions: Sequence[str] = ()) -> None:
        self.framework = framework
        self._adapter, self.handshake = adapter(framework)

    def compute_all(self, requests: Sequence[Any]) -> Iterator[tuple[int, Any]]:
        for place, (case, arrays, modes) in enumerate(requests):
            for mode in modes:
                yield place, respond(self._adapter, problem_of(case, arrays), mode)

    def close(self) -> None:
        """Nothing is open."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@dataclass(frozen=True)
class Runs:
    """Runs with the functions and frameworks of one file."""

    file: str

    def planned(self, cases: int, **options: Any) -> Plan:
        return campaign.prepare([self.file], {
            "cases": cases, "seed": 7, "frameworks": "numpy_fake", "modes": "right,wrong,raises", "dtypes": "float32",
            "activations": "tanh", "errors": "sse", **options,
        })  # fmt: skip

    def execute(self, plan: Plan, folder: Path, workers: int = 1, **options: Any) -> bool:
        return campaign.execute(plan, folder, extensions=[self.file], workers=workers, **options)

    def kept(self, folder: Path) -> list[Record]:
        records = (msgspec.structs.replace(record, seconds=0.0) for record in read_records(folder))
        return sorted(records, key=lambda record: (record.key, record.index))

    def resume(self, folder: Path, **options: Any) -> bool:
        plan, strict = campaign.resume_plan(folder, [self.file])
        return self.execute(plan, folder, strict=strict, resume=True, **options)

    def stopped_after(self, count: int, folder: Path, plan: Plan) -> None:
        """A run that is drained after `count` records."""
        seen: list[Record] = []
        stop = threading.Event()

        def progress(record: Record) -> None:
            seen.append(record)
            if len(seen) == count:
                stop.set()

        assert self.execute(plan, folder, progress=progress, draining=stop) is True


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Runs:
    """Fast frameworks in NumPy; each result is judged once and cached."""
    monkeypatch.setattr(Adapter, "catalogue", dict(Adapter.catalogue))
    monkeypatch.setattr(scheduler, "FrameworkProcess", InThread)
    judge_all = judging.judge_all

    @functools.cache
    def remembered(spec: str, mode: str, index: int) -> dict[str, Record]:
        return {}

    def judged(requests: Any) -> Iterator[Record]:
        for one in requests:
            known = remembered(one.case.spec, one.reply.mode, one.number)
            if one.framework.name not in known:
                (known[one.framework.name],) = judge_all([one])
            yield known[one.framework.name]

    monkeypatch.setattr(judging, "judge_all", judged)
    return Runs(str(shutil.copy(Path(__file__).parents[2] / "numpy_fake.py", tmp_path / "numpy_fake.py")))
