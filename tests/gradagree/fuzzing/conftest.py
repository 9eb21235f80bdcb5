"""Damaged input of every kind: how it is made, and how it is seen that it is refused in one line, and soon."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from gradagree.adapters import Adapter
from gradagree.checker.verdict import Record, Verdict
from gradagree.cli.main import code
from gradagree.errors import UsageError
from gradagree.reference import Activation, ErrorFunction
from gradagree.runner import campaign
from gradagree.runner.extensions import _time_limit
from gradagree.runner.options import Plan
from gradagree.runner.results import Journal
from gradagree.runner.resume import encode_plan

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.just("../../../x\0\n\x1b[2J"),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4), max_leaves=6,
)  # fmt: skip
NUMBERS = (
    st.integers().map(str) | st.floats().map(str) | st.sampled_from(["1e999", "0x10", "１", "1/0", "-0", "9" * 99])
)


class Fuzz:
    """Pieces of bad input, and attempts that must refuse them."""

    least = {
        "case": 2400, "case file": 1100, "results": 1100, "meta": 900, "pyproject": 1000, "extension": 400,
        "known": 1000, "run option": 900, "survey option": 500, "compare file": 400, "compare option": 200,
        "replay": 500, "pytest option": 400,
    }  # fmt: skip
    """Of each kind so many pieces are refused, at the least."""
    patience = 20.0
    """Seconds for one piece."""

    def damaged(self, good: bytes) -> st.SearchStrategy[bytes]:
        """Bytes with bits flipped, cut off, with a piece twice or away, or anything else at all."""
        place = st.integers(0, len(good) - 1)
        flips = st.lists(st.tuples(place, st.integers(0, 7)), min_size=1, max_size=4)
        flipped = flips.map(lambda flips: flip(good, flips))
        cut = place.map(lambda end: good[:end])
        spliced = st.tuples(place, place, place).map(lambda p: good[: p[0]] + good[p[1] : p[2]] + good[p[0] :])
        replaced = st.tuples(place, st.binary(max_size=6)).map(lambda p: good[: p[0]] + p[1] + good[p[0] + len(p[1]) :])
        return (flipped | cut | spliced | replaced | st.binary(max_size=60)).filter(lambda made: made != good)

    def grafted(self, good: Any) -> st.SearchStrategy[Any]:
        """JSON with another value somewhere."""
        places = list(paths(good))
        return st.tuples(st.sampled_from(places), JSON).map(lambda pair: put(json.loads(json.dumps(good)), *pair))

    def words(self, good: str) -> st.SearchStrategy[str]:
        """What may be typed behind an option: text, numbers, or something good that is damaged; no byte 0, which no
        system hands on."""
        near = self.damaged(good.encode()).map(lambda made: made.decode(errors="replace"))
        return (st.text(max_size=20) | NUMBERS | near).filter(lambda word: "\0" not in word)

    def refused(self, kind: str, pieces: st.SearchStrategy[Any], attempt: Callable[[Any], object]) -> None:
        """Every piece is taken or refused in one line; enough of them are refused."""
        counts: Counter[bool] = Counter()

        @settings(
            max_examples=self.least[kind] * 5 // 4, deadline=None, database=None, derandomize=True,
            suppress_health_check=list(HealthCheck),
        )  # fmt: skip
        @given(pieces)
        def tried(piece: Any) -> None:
            with _time_limit(self.patience):
                said = complaint(attempt, piece)
            counts[said is not None] += 1
            assert said is None or len(said.splitlines()) == 1

        tried()
        assert counts[True] >= self.least[kind], counts

    def typed(self, words: list[str], capsys: pytest.CaptureFixture[str], ends: tuple[int, ...]) -> None:
        """Type a command. Raises UsageError where it ends with 2 and one line; else it ends as it may."""
        ended = code(words)
        said = capsys.readouterr()
        assert "Traceback" not in said.err, said.err
        assert ended in (2, *ends), (words, ended, said.err)
        if ended == 2:
            assert re.fullmatch(r"gradagree: [^\n]+\n", said.err), said.err
            raise UsageError("refused")


def flip(good: bytes, flips: list[tuple[int, int]]) -> bytes:
    made = bytearray(good)
    for place, bit in flips:
        made[place] ^= 1 << bit
    return bytes(made)


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


@pytest.fixture
def fuzz() -> Fuzz:
    return Fuzz()


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
        journal.write_meta({
            **campaign.environment("gradagree run"), "seed": 0, "cases": 3, "strict": False, "extensions": [],
            "plan": plan.counts(), "resume": encode_plan(plan, []), "options": {"dtypes": ["float64"]}, "shard": "1/2",
            "frameworks": {"torch": {"installed": True, "version": "2", "probes": {"float32": {"exact": True}}}},
        })  # fmt: skip
        for index, case in plan.draw_cases():
            record = Record(
                index=index, case=case.alias, spec=case.spec, sha256="0" * 64, framework="torch", version="2",
                mode="backward", dtype=case.dtype, verdict=Verdict.DISAGREE, ratio=1.5, box=1, entry="dw[0,0]",
                expected="0x1p+0", observed="nan", tolerance="inf", seconds=0.5, slopes={"relu:0": ["left"]},
            )  # fmt: skip
            journal.append(record)
    return folder
