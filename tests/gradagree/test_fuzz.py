"""Damaged input of every kind is refused in one line, soon, and without a traceback; more than 10,000 pieces of it."""

from __future__ import annotations

import contextlib
import itertools
import json
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gradagree import campaign, declared, extensions
from gradagree.adapters import Adapter
from gradagree.casefile import read_case, write_case
from gradagree.cases import Case
from gradagree.cli import code
from gradagree.errors import UsageError
from gradagree.extensions import _limited, load
from gradagree.journal import Journal, read_meta, read_records
from gradagree.plan import Plan
from gradagree.reference import Activation, ErrorFunction
from gradagree.reporting import write_reports
from gradagree.reporting.provenance import merged_meta
from gradagree.resuming import plan_of, told
from gradagree.verdict import Record, Verdict

LEAST = {
    "case": 3000, "case file": 1400, "results": 1400, "meta": 1200, "pyproject": 1300, "extension": 500, "option": 1200,
}  # fmt: skip
"""Of each kind so many pieces are refused, at the least."""
PATIENCE = 20
CASE = "10-4b-6-8-4:id,tanh*2,elu(alpha=0.5):sse:n8:f32:grid:s93"
TOML = '[project]\nname = "x"\n[tool.gradagree]\next = []\nseed = 3\nmodes = "torch:backward"\n'
SOURCE = '''from gradagree import Activation


class Bent(Activation):
    """A(p) = p^2."""

    def value(self, p): return p * p
    def derivative(self, p): return 2 * p
'''
OPTIONS = (
    "cases", "seed", "frameworks", "modes", "dtypes", "activations", "errors", "regimes", "profile", "ext", "budget",
    "workers", "shard", "resume",
)  # fmt: skip
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.just("../../../x\0\n\x1b[2J"),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4), max_leaves=6,
)  # fmt: skip


def damaged(good: bytes) -> st.SearchStrategy[bytes]:
    """Bytes with bits flipped, cut off, with a piece twice or away, or anything else at all."""
    place = st.integers(0, len(good) - 1)
    flipped = st.lists(st.tuples(place, st.integers(0, 7)), min_size=1, max_size=4).map(lambda flips: flip(good, flips))
    cut = place.map(lambda end: good[:end])
    spliced = st.tuples(place, place, place).map(lambda p: good[: p[0]] + good[p[1] : p[2]] + good[p[0] :])
    replaced = st.tuples(place, st.binary(max_size=6)).map(lambda p: good[: p[0]] + p[1] + good[p[0] + len(p[1]) :])
    return (flipped | cut | spliced | replaced | st.binary(max_size=60)).filter(lambda made: made != good)


def flip(good: bytes, flips: list[tuple[int, int]]) -> bytes:
    made = bytearray(good)
    for place, bit in flips:
        made[place] ^= 1 << bit
    return bytes(made)


def grafted(good: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    """JSON with another value somewhere."""
    places = list(paths(good))
    return st.tuples(st.sampled_from(places), JSON).map(lambda pair: put(json.loads(json.dumps(good)), *pair))


def paths(tree: Any) -> Iterator[tuple[Any, ...]]:
    keys: Any = tree if isinstance(tree, dict) else range(len(tree)) if isinstance(tree, list) else ()
    for key in keys:
        yield (key,)
        yield from ((key, *rest) for rest in paths(tree[key]))


def put(tree: Any, path: tuple[Any, ...], value: Any) -> Any:
    inner = tree
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return tree


def complaint(attempt: Callable[[Any], object], piece: Any) -> str | None:
    """The line that refuses a piece, if one does."""
    try:
        attempt(piece)
    except UsageError as wrong:
        return str(wrong)
    return None


def refused(kind: str, pieces: st.SearchStrategy[Any], attempt: Callable[[Any], object]) -> None:
    """Every piece is taken or refused in one line; enough of them are refused."""
    counts: Counter[bool] = Counter()

    @settings(
        max_examples=LEAST[kind] * 5 // 4, deadline=None, database=None, derandomize=True,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(pieces)
    def tried(piece: Any) -> None:
        with _limited(PATIENCE):
            said = complaint(attempt, piece)
        counts[said is not None] += 1
        assert said is None or len(said.splitlines()) == 1

    tried()
    assert counts[True] >= LEAST[kind], counts


@pytest.fixture(autouse=True)
def as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a file registers leaves with the test."""
    for base in (Activation, ErrorFunction, Adapter):
        monkeypatch.setattr(base, "catalogue", dict(base.catalogue))


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """A good results folder."""
    folder = tmp_path / "run"
    plan = Plan.make(cases=3, frameworks="torch", modes="backward", activations="tanh")
    with Journal(folder) as journal:
        journal.meta({
            **campaign.environment("gradagree run"), "seed": 0, "cases": 3, "strict": False, "extensions": [],
            "plan": plan.counts(), "resume": told(plan, []), "options": {"dtypes": ["float64"]}, "shard": "1/2",
            "frameworks": {"torch": {"installed": True, "version": "2", "probes": {"float32": {"exact": True}}}},
        })  # fmt: skip
        for index, case in plan.drawn():
            journal.append(
                Record(
                    index=index,
                    case=case.alias,
                    spec=case.spec,
                    sha256="0" * 64,
                    framework="torch",
                    version="2",
                    mode="backward",
                    dtype=case.dtype,
                    verdict=Verdict.DISAGREE,
                    ratio=1.5,
                    box=1,
                    entry="dw[0,0]",
                    expected="0x1p+0",
                    observed="nan",
                    tolerance="inf",
                    seconds=0.5,
                    slopes={"relu:0": ["left"]},
                )
            )
    return folder


def test_that_the_pieces_are_ten_thousand() -> None:
    assert sum(LEAST.values()) >= 10_000


def test_that_a_piece_that_is_taken_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(LEAST, "one", 1)
    with pytest.raises(AssertionError, match=r"^Counter"):
        refused("one", st.integers(), lambda piece: piece)


def test_that_an_endless_loop_would_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "PATIENCE", 0.2)
    with pytest.raises(TimeoutError):
        refused("option", st.integers(), lambda piece: all(True for _ in itertools.repeat(piece)))


def test_that_damaged_case_texts_are_refused() -> None:
    texts = damaged(CASE.encode()).map(lambda made: made.decode(errors="replace")) | st.text(max_size=50)
    refused("case", texts, lambda text: Case.parse(text).spec)


def test_that_damaged_case_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "case.json"
    write_case(Case.parse("2-2b-1:id,tanh:sse:n1:f32:ordinary:s1"), path)
    good, whole = path.read_bytes(), json.loads(path.read_bytes())

    def attempt(piece: bytes | dict[str, Any]) -> None:
        path.write_bytes(piece if isinstance(piece, bytes) else json.dumps(piece).encode())
        read_case(path)

    refused("case file", damaged(good) | grafted(whole), attempt)


def test_that_damaged_results_are_refused_or_end_at_the_tear(results: Path) -> None:
    path = results / "results.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)

    def attempt(piece: bytes | dict[str, Any]) -> None:
        line = piece if isinstance(piece, bytes) else json.dumps(piece).encode()
        path.write_bytes(lines[0] + line + b"\n" + lines[1])
        list(read_records(results))

    refused("results", damaged(lines[0][:-1]) | grafted(json.loads(lines[0])), attempt)


def test_that_damaged_meta_files_make_no_plan(results: Path) -> None:
    path = results / "meta.json"
    good = path.read_bytes()
    resume = json.loads(good)["resume"]

    def attempt(piece: bytes | dict[str, Any]) -> None:
        path.write_bytes(piece if isinstance(piece, bytes) else json.dumps({"resume": piece}).encode())
        meta = read_meta(results)
        merged_meta([meta, meta])
        plan_of(meta, results, [])

    refused("meta", damaged(good) | grafted(resume), attempt)


def test_that_damaged_pyproject_files_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    def attempt(piece: bytes) -> None:
        (tmp_path / "pyproject.toml").write_bytes(piece)
        declared.load_all(())
        if declared.settings() == {"seed": 3, "modes": "torch:backward"} or "gradagree" not in piece.decode():
            return
        Plan.make(**declared.settings())

    inside = damaged(TOML.partition("[tool.")[2].encode()).map(lambda made: b"[tool." + made)
    refused("pyproject", inside | inside.map(lambda made: TOML.encode() + made) | damaged(TOML.encode()), attempt)


def test_that_damaged_extension_files_are_refused(tmp_path: Path) -> None:
    number = iter(range(10**6))

    def attempt(piece: bytes) -> None:
        path = tmp_path / f"f{next(number)}.py"
        path.write_bytes(piece)
        with contextlib.suppress(FileNotFoundError):
            load([str(path)])
        extensions._forget(next((name for name in list(sys.modules) if name.endswith(f"_{path.stem}")), ""))

    refused("extension", damaged(SOURCE.encode()), attempt)


def test_that_options_are_answered_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def accepted(*_: Any, **__: Any) -> bool:
        raise KeyboardInterrupt

    monkeypatch.setattr(campaign, "execute", accepted)
    monkeypatch.chdir(tmp_path)
    numbers = (
        st.integers().map(str) | st.floats().map(str) | st.sampled_from(["1e999", "0x10", "１", "1/0", "-0", "9" * 99])
    )
    words = st.text(max_size=20) | numbers | damaged(b"torch:backward").map(lambda made: made.decode(errors="replace"))

    def attempt(piece: tuple[str, str]) -> None:
        option, value = piece
        ended = code(["run", f"--{option}={value}"])
        said = capsys.readouterr()
        assert "Traceback" not in said.err, said.err
        assert ended in (2, 130), (piece, said.err)
        if ended == 2:
            assert re.fullmatch(r"gradagree: [^\n]+\n", said.err), said.err
            raise UsageError("refused")

    typed = words.filter(lambda word: "\0" not in word)
    refused("option", st.tuples(st.sampled_from(OPTIONS), typed), attempt)


FIELDS = [name for name in Record.__struct_fields__ if name not in ("verdict", "slopes", "schema", "index")]
HOSTILE = [
    "../../../outside",
    "/outside",
    "..",
    "\0",
    "x" * 5000,
    "a\nb",
    "\x1b[2J",
    "<script>",
    "$(touch outside)",
    "%2e%2e",
]


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_that_no_text_in_results_leads_what_is_written_elsewhere(text: str, results: Path, tmp_path: Path) -> None:
    line = json.loads((results / "results.jsonl").read_bytes().splitlines()[0])
    hostile = [{**line, name: text} for name in FIELDS if isinstance(line.get(name), str)]
    (results / "results.jsonl").write_bytes(b"".join(msgspec.json.encode(one) + b"\n" for one in hostile))
    meta = json.loads((results / "meta.json").read_text())
    meta = {**meta, "command": text, "started": text, "shard": text, "frameworks": {text: {"version": text}}}
    (results / "meta.json").write_text(json.dumps({**meta, "extensions": [text], "options": {text: text}}))
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    write_reports(tmp_path / "out", sources=[results])
    after = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    made = {path.relative_to(tmp_path / "out").as_posix() for path in set(after) - set(before)}
    assert made == {"report.md", "report.html", "junit.xml"}
    assert {path: after[path] for path in before} == before


@pytest.mark.parametrize("name", ["report.md.part", "report.md", "meta.json.part"])
def test_that_no_link_in_a_folder_leads_what_is_written_elsewhere(name: str, results: Path, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_text("precious")
    (results / name).symlink_to(precious)
    with contextlib.suppress(UsageError):
        write_reports(results)
    assert precious.read_text() == "precious"


@pytest.mark.parametrize("name", ["results.jsonl", "run.lock"])
def test_that_no_link_leads_a_run_that_goes_on_elsewhere(name: str, results: Path, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_text("precious")
    (results / name).unlink(missing_ok=True)
    (results / name).symlink_to(precious)
    with pytest.raises(UsageError, match=r"^cannot write "):
        Journal(results, resume=True)
    assert precious.read_text() == "precious"
