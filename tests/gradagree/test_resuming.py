"""A run that was stopped anywhere goes on, and ends with the records of one that never was."""

from __future__ import annotations

import functools
import json
import os
import random
import shutil
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Self

import msgspec
import pytest

from gradagree import drivers, judging, wire, worker
from gradagree.adapters import Adapter
from gradagree.campaign import execute, prepare, resumed
from gradagree.cases import problem_of
from gradagree.errors import UsageError
from gradagree.journal import read_meta, read_records
from gradagree.plan import Plan
from gradagree.verdict import Record, Verdict


@functools.cache
def adapter(name: str) -> tuple[Adapter, wire.Ready]:
    made = Adapter.catalogue[name]()
    return made, worker.greeting(made)


class InThread:
    """Stands in for a framework's process."""

    def __init__(self, framework: str, extensions: Sequence[str] = ()) -> None:
        self.framework = framework
        self._adapter, self.hello = adapter(framework)

    def ask_all(self, asked: Sequence[Any]) -> Iterator[tuple[int, Any]]:
        for place, (case, arrays, modes) in enumerate(asked):
            for mode in modes:
                yield place, worker.answer(self._adapter, problem_of(case, arrays), mode)

    def close(self) -> None:
        """Nothing is open."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Frameworks in NumPy that answer at once; what is judged once is not judged again."""
    monkeypatch.setattr(Adapter, "catalogue", dict(Adapter.catalogue))
    monkeypatch.setattr(drivers, "FrameworkProcess", InThread)
    judge = judging.judge

    @functools.cache
    def remembered(spec: str, mode: str, index: int) -> dict[str, Record]:
        return {}

    def judged(case: Any, arrays: Any, framework: Any, answer: Any, index: int) -> Record:
        known = remembered(case.spec, answer.mode, index)
        if framework.name not in known:
            known[framework.name] = judge(case, arrays, framework, answer, index)
        return known[framework.name]

    monkeypatch.setattr(judging, "judge", judged)
    return shutil.copy(Path(__file__).parent / "numpy_fake.py", tmp_path / "numpy_fake.py")


def planned(file: str, cases: int, **options: Any) -> Plan:
    return prepare([file], {
        "cases": cases, "seed": 7, "frameworks": "numpy_fake", "modes": "right,wrong,raises", "dtypes": "float32",
        "activations": "tanh", "errors": "sse", **options,
    })  # fmt: skip


def kept(folder: Path) -> list[Record]:
    records = (msgspec.structs.replace(record, seconds=0.0) for record in read_records(folder))
    return sorted(records, key=lambda record: (record.key, record.index))


def go_on(folder: Path, file: str, **options: Any) -> bool:
    plan, strict = resumed(folder, [file])
    return execute(plan, folder, extensions=[file], workers=1, strict=strict, resume=True, **options)


def stopped_after(count: int, folder: Path, plan: Plan, file: str) -> None:
    """A run that is drained after so many records."""
    seen: list[Record] = []
    stop = threading.Event()

    def progress(record: Record) -> None:
        seen.append(record)
        if len(seen) == count:
            stop.set()

    assert execute(plan, folder, extensions=[file], workers=1, progress=progress, draining=stop) is True


def test_that_a_run_cut_off_at_any_byte_ends_with_the_same_records(file: str, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    execute(planned(file, 2), folder, extensions=[file], workers=1)
    whole, content = kept(folder), (folder / "results.jsonl").read_bytes()
    assert len(whole) == 6
    ends = [i for i, byte in enumerate(content, 1) if byte == ord("\n")]
    near = {length for end in ends for length in range(end - 2, end + 3) if 0 <= length <= len(content)}
    for length in sorted({*near, *range(0, len(content), 97)}):
        (folder / "results.jsonl").write_bytes(content[:length])
        assert go_on(folder, file) is False
        assert kept(folder) == whole, length


@pytest.mark.parametrize("tail", [b"\0" * 500, b'{"schema"', b"\xff\xfe", b'{"case": "\0\0'])
def test_that_what_a_power_cut_leaves_at_the_end_is_dropped(tail: bytes, file: str, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    execute(planned(file, 2), folder, extensions=[file], workers=1)
    whole, path = kept(folder), folder / "results.jsonl"
    first = path.read_bytes().splitlines(keepends=True)[0]
    path.write_bytes(first + tail)
    go_on(folder, file)
    assert kept(folder) == whole


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_that_a_run_stopped_again_and_again_ends_with_the_same_records(seed: int, file: str, tmp_path: Path) -> None:
    plan, dice = planned(file, 25), random.Random(seed)
    execute(plan, tmp_path / "whole", extensions=[file], workers=2)
    folder = tmp_path / "stopped"
    stopped_after(1, folder, plan, file)
    sizes = [len(kept(folder))]
    while len(kept(folder)) < len(kept(tmp_path / "whole")):
        stop, left = threading.Event(), [dice.randint(1, 20)]

        def progress(record: Record, stop: threading.Event = stop, left: list[int] = left) -> None:
            left[0] -= 1
            if left[0] <= 0:
                stop.set()

        go_on(folder, file, progress=progress, draining=stop)
        sizes.append(len(kept(folder)))
    assert len(sizes) > 3
    assert kept(folder) == kept(tmp_path / "whole")


def test_that_no_case_is_asked_again(file: str, tmp_path: Path) -> None:
    plan = planned(file, 10)
    stopped_after(7, tmp_path, plan, file)
    before, again = kept(tmp_path), []
    go_on(tmp_path, file, progress=again.append)
    assert {(r.index, r.mode) for r in again} & {(r.index, r.mode) for r in before} == set()
    assert len(before) + len(again) == sum(plan.counts().values())


def test_that_what_all_records_tell_together_is_told_once(
    file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    judge = judging.judge

    def left_or_right(case: Any, arrays: Any, framework: Any, answer: Any, index: int) -> Record:
        side = "left" if index % 2 else "right"
        return msgspec.structs.replace(judge(case, arrays, framework, answer, index), slopes={"bent:0": [side]})

    monkeypatch.setattr(judging, "judge", left_or_right)
    plan = planned(file, 12, modes="right")
    execute(plan, tmp_path / "whole", extensions=[file], workers=1)
    stopped_after(5, tmp_path / "stopped", plan, file)
    assert [r.spec for r in kept(tmp_path / "stopped")].count("convention:bent:0") == 1
    go_on(tmp_path / "stopped", file)
    assert kept(tmp_path / "stopped") == kept(tmp_path / "whole")
    (told,) = (r for r in kept(tmp_path / "whole") if r.spec.startswith("convention:"))
    assert told.verdict is Verdict.DISAGREE


def test_that_a_shard_goes_on_as_the_shard_that_it_is(file: str, tmp_path: Path) -> None:
    plan = planned(file, 40, shard="2/3", regimes="grid")
    execute(plan, tmp_path / "whole", extensions=[file], workers=1, strict=True)
    stopped_after(4, tmp_path / "stopped", plan, file)
    plan_again, _ = resumed(tmp_path / "stopped", [file])
    assert plan_again == plan
    go_on(tmp_path / "stopped", file)
    assert kept(tmp_path / "stopped") == kept(tmp_path / "whole")


def test_that_seconds_add_up_and_meta_keeps_its_command(file: str, tmp_path: Path) -> None:
    stopped_after(3, tmp_path, planned(file, 4), file)
    meta = json.loads((tmp_path / "meta.json").read_text())
    (tmp_path / "meta.json").write_text(json.dumps({**meta, "seconds": 1000.0, "command": "the first"}))
    go_on(tmp_path, file)
    assert read_meta(tmp_path)["seconds"] > 1000
    assert read_meta(tmp_path)["command"] == "the first"


def complaint(folder: Path, *files: str) -> str:
    before = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}

    def go() -> None:
        plan, _ = resumed(folder, files)
        execute(plan, folder, extensions=files, workers=1, resume=True)

    with pytest.raises(UsageError) as caught:
        go()
    assert "\n" not in str(caught.value)
    assert {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()} == before
    return str(caught.value)


def changed(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    meta = json.loads((folder / "meta.json").read_text())
    change(meta)
    (folder / "meta.json").write_text(json.dumps(meta))


def test_that_another_version_of_a_framework_is_refused(file: str, tmp_path: Path) -> None:
    stopped_after(3, tmp_path, planned(file, 4), file)
    changed(tmp_path, lambda meta: meta["frameworks"]["numpy_fake"].update(version="0.0"))
    for _ in range(2):
        with pytest.raises(
            UsageError, match=r"^the run was begun with numpy_fake 0\.0, and here is numpy_fake .*: run it"
        ):
            go_on(tmp_path, file)


def test_that_files_are_run_only_if_they_are_named_once_more(file: str, tmp_path: Path) -> None:
    stopped_after(3, tmp_path / "run", planned(file, 4), file)
    said = complaint(tmp_path / "run")
    assert said == f"{tmp_path / 'run'} was begun with the files {[str(file)]}: name the same with --ext, and no others"
    Path(file).write_text(Path(file).read_text() + "\n# changed\n")
    assert "another version of gradagree, or with other functions" in complaint(tmp_path / "run", file)


@pytest.mark.parametrize(
    "resume",
    [
        None, 3, {}, {"cases": "many"}, {"more": 1}, {"modes": [["torch:nothing", 1]]}, {"dtypes": []},
        {"dtypes": ["float31"]}, {"regimes": ["gird"]}, {"cases": 0}, {"cases": 10**40}, {"seed": -1}, {"shard": "4/3"},
        {"activations": ["tahn"]}, {"errors": ["sse("]}, {"fingerprint": ""}, {"cases": 5}, {"shard": "\n1/1"},
    ],
)  # fmt: skip
def test_that_a_meta_file_that_tells_of_no_plan_is_refused(resume: Any, file: str, tmp_path: Path) -> None:
    stopped_after(3, tmp_path / "run", planned(file, 4), file)
    changed(
        tmp_path / "run",
        lambda meta: meta.update(
            resume={**meta["resume"], **resume} if isinstance(resume, dict) and resume else resume
        ),
    )
    complaint(tmp_path / "run", file)


@pytest.mark.parametrize("field", [{"index": 10**6}, {"index": -1}, {"mode": "sleep"}, {"framework": "torch"}])
def test_that_records_of_another_run_are_refused(field: dict[str, Any], file: str, tmp_path: Path) -> None:
    stopped_after(3, tmp_path / "run", planned(file, 4), file)
    path = tmp_path / "run" / "results.jsonl"
    first = json.loads(path.read_bytes().splitlines()[0])
    path.write_bytes(json.dumps({**first, **field}).encode() + b"\n" + path.read_bytes())
    assert complaint(tmp_path / "run", file).endswith("holds records that its meta.json does not ask for: run it anew")


def test_that_a_damaged_line_in_the_middle_is_named_and_kept(file: str, tmp_path: Path) -> None:
    stopped_after(3, tmp_path / "run", planned(file, 4), file)
    path = tmp_path / "run" / "results.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([lines[0], lines[1][:50] + b"\n", *lines[2:]]))
    assert "line 2, is no record" in complaint(tmp_path / "run", file)


def test_that_two_runs_into_one_folder_are_refused(file: str, tmp_path: Path) -> None:
    said: list[str] = []
    plan = planned(file, 2)

    def progress(record: Record) -> None:
        for resume in (False, True):
            with pytest.raises(UsageError) as caught:
                execute(plan, tmp_path, extensions=[file], workers=1, resume=resume)
            said.append(str(caught.value))

    execute(plan, tmp_path, extensions=[file], workers=1, progress=progress)
    assert {*said} == {f"{tmp_path} is being written by process {os.getpid()}: wait, or choose another --out"}
    assert len(kept(tmp_path)) == 6
    assert not list(tmp_path.glob("earlier-*"))
    assert not (tmp_path / "run.lock").exists()


def test_that_a_lock_that_a_dead_process_left_is_taken_over(file: str, tmp_path: Path) -> None:
    (tmp_path / "run.lock").write_text("1\n")
    execute(planned(file, 2), tmp_path, extensions=[file], workers=1)
    assert len(kept(tmp_path)) == 6


def test_that_a_folder_removed_while_the_run_writes_is_told(file: str, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with pytest.raises(UsageError, match=r"^cannot write |was removed while the run wrote to it"):
        execute(
            planned(file, 40), folder, extensions=[file], workers=1,
            progress=lambda record: shutil.rmtree(folder, ignore_errors=True),
        )  # fmt: skip
