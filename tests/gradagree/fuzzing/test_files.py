"""Damaged files and texts are refused in one line, soon, and without a traceback."""

from __future__ import annotations

import contextlib
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as st

from gradagree.cases.case import Case
from gradagree.cases.file import read_case, write_case
from gradagree.report.provenance import merged_meta
from gradagree.runner import extensions, extensions as declared
from gradagree.runner.extensions import load
from gradagree.runner.known import read_known
from gradagree.runner.options import Plan
from gradagree.runner.results import read_meta, read_records
from gradagree.runner.resume import decode_plan

CASE = "10-4b-6-8-4:id,tanh*2,elu(alpha=0.5):sse:n8:f32:grid:s93"
TOML = '[project]\nname = "x"\n[tool.gradagree]\next = []\nseed = 3\nmodes = "torch:backward"\n'
SOURCE = '''from gradagree import Activation


class Bent(Activation):
    """A(p) = p^2."""

    def value(self, p): return p * p
    def derivative(self, p): return 2 * p
'''
KNOWN = """[[known]]
framework = "torch"
function = "gelu"
class = "disagree"
version = ">=2.4,<2.15"
dtype = "float32"
reason = "x"
expiry = 2027-06-30
"""


def test_that_damaged_case_texts_are_refused(fuzz: Any) -> None:
    texts = fuzz.damaged(CASE.encode()).map(lambda made: made.decode(errors="replace")) | st.text(max_size=50)
    fuzz.refused("case", texts, lambda text: Case.parse(text).spec)


def test_that_damaged_case_files_are_refused(fuzz: Any, tmp_path: Path) -> None:
    path = tmp_path / "case.json"
    write_case(Case.parse("2-2b-1:id,tanh:sse:n1:f32:ordinary:s1"), path)
    good, whole = path.read_bytes(), json.loads(path.read_bytes())

    def attempt(piece: bytes | dict[str, Any]) -> None:
        path.write_bytes(piece if isinstance(piece, bytes) else json.dumps(piece).encode())
        read_case(path)

    fuzz.refused("case file", fuzz.damaged(good) | fuzz.grafted(whole), attempt)


def test_that_damaged_results_are_refused_or_end_at_the_tear(fuzz: Any, results: Path) -> None:
    path = results / "results.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)

    def attempt(piece: bytes | dict[str, Any]) -> None:
        line = piece if isinstance(piece, bytes) else json.dumps(piece).encode()
        path.write_bytes(lines[0] + line + b"\n" + lines[1])
        list(read_records(results))

    fuzz.refused("results", fuzz.damaged(lines[0][:-1]) | fuzz.grafted(json.loads(lines[0])), attempt)


def test_that_damaged_meta_files_make_no_plan(fuzz: Any, results: Path) -> None:
    path = results / "meta.json"
    good = path.read_bytes()
    resume = json.loads(good)["resume"]

    def attempt(piece: bytes | dict[str, Any]) -> None:
        path.write_bytes(piece if isinstance(piece, bytes) else json.dumps({"resume": piece}).encode())
        meta = read_meta(results)
        merged_meta([meta, meta])
        decode_plan(meta, results, [])

    fuzz.refused("meta", fuzz.damaged(good) | fuzz.grafted(resume), attempt)


def test_that_damaged_pyproject_files_are_refused(fuzz: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    def attempt(piece: bytes) -> None:
        (tmp_path / "pyproject.toml").write_bytes(piece)
        declared.load_all(())
        if declared.settings() == {"seed": 3, "modes": "torch:backward"} or "gradagree" not in piece.decode():
            return
        Plan.make(**declared.settings())

    inside = fuzz.damaged(TOML.partition("[tool.")[2].encode()).map(lambda made: b"[tool." + made)
    twice = inside.map(lambda made: TOML.encode() + made)
    fuzz.refused("pyproject", inside | twice | fuzz.damaged(TOML.encode()), attempt)


def test_that_damaged_extension_files_are_refused(fuzz: Any, tmp_path: Path) -> None:
    number = iter(range(10**6))

    def attempt(piece: bytes) -> None:
        path = tmp_path / f"f{next(number)}.py"
        path.write_bytes(piece)
        with contextlib.suppress(FileNotFoundError):
            load([str(path)])
        extensions._forget(next((name for name in list(sys.modules) if name.endswith(f"_{path.stem}")), ""))

    fuzz.refused("extension", fuzz.damaged(SOURCE.encode()), attempt)


def test_that_damaged_files_of_known_differences_are_refused(fuzz: Any, tmp_path: Path) -> None:
    path = tmp_path / "gradagree-known.toml"

    def attempt(piece: bytes) -> None:
        path.write_bytes(piece)
        read_known(path)

    fuzz.refused("known", fuzz.damaged(KNOWN.encode()), attempt)
