"""Whatever is typed behind an option is answered in one line, soon, and without a traceback."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from _pytest.config.argparsing import Parser
from hypothesis import strategies as st

from gradagree.errors import UsageError
from gradagree.pytest_plugin import pytest_addoption
from gradagree.pytest_plugin.items import Settings
from gradagree.pytest_plugin.records import Reporter
from gradagree.runner import campaign, replay
from gradagree.surveys import conventions, survey as surveying

RUN = (
    "cases", "seed", "frameworks", "modes", "dtypes", "activations", "errors", "regimes", "profile", "ext", "budget",
    "workers", "shard", "resume", "known", "shrink",
)  # fmt: skip
SURVEY = ("profile", "activations", "errors", "frameworks", "modes", "dtypes", "ext")
PYTEST = ("profile", "seed", "report")
CASE = "2-2b-1:id,tanh:sse:n1:f32:ordinary:s1"
INTERRUPTED = 130
SOURCE = b'''from gradagree import ErrorFunction


class Off(ErrorFunction):
    """E = sum (o - t)^4."""

    def value(self, o, t): return ((o - t) ** 4).sum()
    def sensitivity(self, o, t): return 4 * (o - t) ** 3
'''


def accepted(*_: Any, **__: Any) -> Any:
    """In the place of the work that a good command begins."""
    raise KeyboardInterrupt


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_that_options_of_a_run_are_answered(
    fuzz: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(campaign, "execute", accepted)

    def attempt(piece: tuple[str, str]) -> None:
        fuzz.typed(["run", "--{}={}".format(*piece)], capsys, (INTERRUPTED,))

    fuzz.refused("run option", st.tuples(st.sampled_from(RUN), fuzz.words("torch:backward")), attempt)


def test_that_options_and_files_of_a_survey_are_answered(
    fuzz: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(surveying, "run_survey", accepted)
    monkeypatch.setattr(conventions, "conventions", accepted)
    numbers = iter(range(10**6))

    def attempt(piece: tuple[str, str, bool] | bytes) -> None:
        if isinstance(piece, bytes):
            path = Path(f"functions{next(numbers)}.py")
            path.write_bytes(piece)
            words = [f"--ext={path}"]
        else:
            words = ["--{}={}".format(*piece[:2]), *["--kinks"] * piece[2]]
        fuzz.typed(["survey", *words, "--out", "made"], capsys, (INTERRUPTED,))

    typed = st.tuples(st.sampled_from(SURVEY), fuzz.words("torch:eager,jax:jit"), st.booleans())
    fuzz.refused("survey option", typed | fuzz.damaged(SOURCE), attempt)


def test_that_what_is_compared_is_taken_or_refused(
    fuzz: Any, results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fuzz.typed(["compare", str(results), "--extract", "good.jsonl"], capsys, (0,))
    good = Path("good.jsonl").read_bytes()
    lines = [json.loads(line) for line in good.splitlines()]
    folder = Path("damaged")
    shutil.copytree(results, folder)
    record = (folder / "results.jsonl").read_bytes().splitlines()[0]

    def attempt(piece: bytes | list[Any]) -> None:
        text = piece if isinstance(piece, bytes) else b"\n".join(json.dumps(line).encode() for line in piece)
        Path("bad.jsonl").write_bytes(text)
        fuzz.typed(["compare", "bad.jsonl", "good.jsonl", "--gate"], capsys, (0, 1, 5))
        fuzz.typed(["compare", "good.jsonl", "bad.jsonl", "--out", "pages"], capsys, (0, 5))

    def attempt_folder(piece: tuple[str, bytes]) -> None:
        for path in results.iterdir():
            shutil.copy(path, folder)
        name, damaged = piece
        (folder / name).write_bytes(damaged + b"\n")
        fuzz.typed(["compare", "good.jsonl", str(folder), "--gate"], capsys, (0, 1, 5))

    metas = fuzz.damaged((results / "meta.json").read_bytes())
    folders = st.tuples(st.just("results.jsonl"), fuzz.damaged(record)) | st.tuples(st.just("meta.json"), metas)

    def either(piece: Any) -> None:
        (attempt_folder if isinstance(piece, tuple) else attempt)(piece)

    fuzz.refused("compare file", fuzz.damaged(good) | fuzz.grafted(lines) | folders, either)


def test_that_options_of_a_comparison_are_answered(
    fuzz: Any, results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def attempt(piece: tuple[str, str]) -> None:
        kind, value = piece
        words = {"known": [results, results, f"--known={value}"], "side": [results, "--", value]}[kind]
        fuzz.typed(["compare", *map(str, words)], capsys, (0, 5))

    typed = st.tuples(st.sampled_from(["known", "side"]), fuzz.words("good.jsonl"))
    fuzz.refused("compare option", typed, attempt)


def test_that_what_is_replayed_is_taken_or_refused(
    fuzz: Any, results: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(replay, "replay", accepted)
    line = (results / "results.jsonl").read_bytes().splitlines()[0]
    alias = json.loads(line)["case"]

    def attempt(piece: tuple[str, Any]) -> None:
        kind, value = piece
        if kind == "dir":
            (results / "results.jsonl").write_bytes(value + b"\n")
        words = {
            "case": ["--", value], "file": ["case.json"], "dir": [alias, "--dir", str(results)],
            "script": [CASE, f"--script={value}"], "modes": [CASE, f"--modes={value}"],
            "folder": [alias, f"--dir={value}"],
        }[kind]  # fmt: skip
        if kind == "file":
            Path("case.json").write_bytes(value)
        fuzz.typed(["replay", *words], capsys, (INTERRUPTED,))

    typed = st.tuples(st.sampled_from(["case", "script", "modes", "folder"]), fuzz.words(CASE))
    files = st.tuples(st.sampled_from(["file", "dir"]), fuzz.damaged(line))
    fuzz.refused("replay", typed | files, attempt)


def test_that_options_of_pytest_are_answered(fuzz: Any) -> None:
    parser = Parser(_ispytest=True)
    Path("a.file").write_text("no folder can be made here")
    pytest_addoption(parser)  # type: ignore[arg-type]

    def attempt(piece: tuple[str, str, str]) -> None:
        option, value, setting = piece
        Path("pyproject.toml").write_text(f"[tool.gradagree]\n{setting}\n", encoding="utf-8", errors="replace")
        try:
            if option == "report":
                Reporter(Path("a.file", value)).journal.close()
            given = parser.parse(["--gradagree", f"--gradagree-{option}={value}"])
            Settings.of(SimpleNamespace(getoption=lambda name: getattr(given, name.strip("-").replace("-", "_"))))  # type: ignore[arg-type]
        except pytest.UsageError as wrong:
            raise UsageError(str(wrong).splitlines()[-1]) from None

    settings = st.sampled_from(["", "seed = 3", 'modes = "torch:backward"', 'profile = "ci"'])
    broken = fuzz.damaged(b'seed = 3\nmodes = "torch:backward"').map(lambda made: made.decode(errors="replace"))
    typed = st.tuples(st.sampled_from(PYTEST), fuzz.words("nightly"), settings | broken)
    fuzz.refused("pytest option", typed, attempt)
