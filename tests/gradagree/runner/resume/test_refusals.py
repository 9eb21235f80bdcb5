"""A folder that cannot be resumed is refused with one line and stays unchanged."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gradagree.errors import UsageError
from gradagree.runner.campaign import execute, resume_plan


def complaint(folder: Path, *files: str) -> str:
    before = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}

    def go() -> None:
        plan, _ = resume_plan(folder, files)
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


def test_that_another_version_of_a_framework_is_refused(runs: Any, tmp_path: Path) -> None:
    runs.stopped_after(3, tmp_path, runs.planned(4))
    changed(tmp_path, lambda meta: meta["frameworks"]["numpy_fake"].update(version="0.0"))
    for _ in range(2):
        with pytest.raises(
            UsageError,
            match=r"^the run was started with numpy_fake 0\.0, but numpy_fake .* is installed; start a new run",
        ):
            runs.resume(tmp_path)


def test_that_the_same_extension_files_must_be_given_again(runs: Any, tmp_path: Path) -> None:
    runs.stopped_after(3, tmp_path / "run", runs.planned(4))
    message = complaint(tmp_path / "run")
    assert message == f"{tmp_path / 'run'} was started with the files {[runs.file]}; give exactly these with --ext"
    Path(runs.file).write_text(Path(runs.file).read_text() + "\n# changed\n")
    assert "another version of gradagree or other functions" in complaint(tmp_path / "run", runs.file)


@pytest.mark.parametrize(
    "resume",
    [
        None, 3, {}, {"cases": "many"}, {"more": 1}, {"modes": [["torch:nothing", 1]]}, {"dtypes": []},
        {"dtypes": ["float31"]}, {"regimes": ["gird"]}, {"cases": 0}, {"cases": 10**40}, {"seed": -1}, {"shard": "4/3"},
        {"activations": ["tahn"]}, {"errors": ["sse("]}, {"fingerprint": ""}, {"cases": 5}, {"shard": "\n1/1"},
    ],
)  # fmt: skip
def test_that_a_meta_file_without_a_valid_plan_is_refused(resume: Any, runs: Any, tmp_path: Path) -> None:
    runs.stopped_after(3, tmp_path / "run", runs.planned(4))
    changed(
        tmp_path / "run",
        lambda meta: meta.update(
            resume={**meta["resume"], **resume} if isinstance(resume, dict) and resume else resume
        ),
    )
    complaint(tmp_path / "run", runs.file)


@pytest.mark.parametrize("field", [{"index": 10**6}, {"index": -1}, {"mode": "sleep"}, {"framework": "torch"}])
def test_that_records_of_another_run_are_refused(field: dict[str, Any], runs: Any, tmp_path: Path) -> None:
    runs.stopped_after(3, tmp_path / "run", runs.planned(4))
    path = tmp_path / "run" / "results.jsonl"
    first = json.loads(path.read_bytes().splitlines()[0])
    path.write_bytes(json.dumps({**first, **field}).encode() + b"\n" + path.read_bytes())
    assert complaint(tmp_path / "run", runs.file).endswith(
        "holds records that are not in the plan of its meta.json; start a new run"
    )


def test_that_a_damaged_line_in_the_middle_is_named_and_kept(runs: Any, tmp_path: Path) -> None:
    runs.stopped_after(3, tmp_path / "run", runs.planned(4))
    path = tmp_path / "run" / "results.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([lines[0], lines[1][:50] + b"\n", *lines[2:]]))
    assert "line 2 is not a record" in complaint(tmp_path / "run", runs.file)
