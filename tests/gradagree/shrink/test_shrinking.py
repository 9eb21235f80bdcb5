"""Failing cases made small: they fail in the same way, and nothing that matters not is left."""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gradagree.adapters import Adapter
from gradagree.cases.case import Case
from gradagree.checker.judge import Framework
from gradagree.checker.response import Failure, Ready, Response
from gradagree.checker.verdict import Record, Verdict, plain
from gradagree.errors import UsageError
from gradagree.runner.extensions import load
from gradagree.shrink import ModeProcess, can_shrink, read_small, shrink, shrink_findings
from gradagree.shrink.context import failing_case
from gradagree.shrink.cut import coarsen, cut, numbers_in
from gradagree.shrink.search import Search

FAKE = Path(__file__).parents[1] / "numpy_fake.py"
SPEC = "6-9b-7-5b-3:id,tanh,sigmoid,softplus:cross_entropy:n6:{}:ordinary:s{}"
SECONDS = 20.0
pytestmark = pytest.mark.skipif(importlib.util.find_spec("hypothesis") is None, reason="Hypothesis is not installed")
Lies = dict[tuple[Any, str], Callable[..., Any]]


class Lying:
    """A framework in NumPy whose lie is about one function, wherever it stands."""

    framework = "numpy"

    def __init__(self, bench: Any, function: str, step: str, lie: Callable[..., Any]) -> None:
        self.bench, self.function, self.step, self.lie, self.asks = bench, function, step, lie, 0
        self.handshake = Ready("1", "cpu", ["backward"], {})

    def compute(self, case: Case, arrays: Any, modes: list[str]) -> Iterator[Any]:
        self.asks += 1
        names = [*map(str, case.activations), str(case.error)]
        lies = {
            ("error" if k > case.depth else k, self.step): self.lie
            for k, name in enumerate(names, 1) if name == self.function
        }  # fmt: skip
        told = self.bench.received(self.bench.answer(case, lies))
        yield Response(modes[0], told, told)


class Silent(Lying):
    """A framework that only ever crashes."""

    def compute(self, case: Case, arrays: Any, modes: list[str]) -> Iterator[Any]:
        yield Failure(modes[0], "crashed", "raised E: e")


def shrunk(monkeypatch: pytest.MonkeyPatch, lying: Lying, spec: str, seconds: float = SECONDS) -> Any:
    monkeypatch.setattr(Framework, "of", lambda name, handshake: lying.bench.framework)
    case, asked = Case.parse(spec), ModeProcess(lying, "backward")  # type: ignore[arg-type]
    record = asked.record(case, case.arrays())
    assert record is not None
    assert record.verdict.fails
    return record, shrink(case, record, asked, seconds)


def off(right: np.ndarray, at: Any) -> np.ndarray:
    return right * 1.01


def doubled_when_positive(right: np.ndarray, at: Any) -> np.ndarray:
    return np.where(at.p > 0.5, 2 * right, right)


@pytest.mark.parametrize("dtype", ["f64", "f32"])
@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize(
    ("function", "step", "lie"), [("sigmoid", "delta_p", off), ("softplus", "dw", off), ("tanh", "value", off)]
)
def test_that_a_lie_is_shown_by_one_box_and_a_handful_of_numbers(
    function: str, step: str, lie: Any, dtype: str, seed: int, bench: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    record, small = shrunk(monkeypatch, Lying(bench, function, step, lie), SPEC.format(dtype, seed))
    assert (small.record.verdict, small.record.function) == (record.verdict, record.function)
    assert str(small.record.entry).partition("[")[0] == str(record.entry).partition("[")[0]
    # One box of one unit, one example, and a sum of squares: p, w, t.
    assert small.case.spec.startswith(f"1-1:{function}:sse:n1:f64:explicit:@"), small.case.spec
    assert numbers_in(small.case) == 3
    assert all(float(x) in (-1, 0, 1) for _, array in small.case.arrays().named() for x in array.ravel())


@pytest.mark.parametrize("seed", range(3))
def test_that_a_lie_of_the_error_box_keeps_its_error_function(
    seed: int, bench: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, small = shrunk(monkeypatch, Lying(bench, "cross_entropy", "delta_p", off), SPEC.format("f32", seed))
    assert small.record.box == "error"
    assert str(small.case.error) == "cross_entropy"
    assert small.case.depth == 1
    assert small.case.batch == 1


def test_that_a_lie_about_some_numbers_keeps_one_of_them(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    _, small = shrunk(monkeypatch, Lying(bench, "sigmoid", "delta_p", doubled_when_positive), SPEC.format("f64", 1))
    assert small.case.arrays().inputs.tolist() == [[1.0]]


def test_that_past_the_deadline_no_further_case_is_asked(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    lying = Lying(bench, "sigmoid", "delta_p", off)
    _, small = shrunk(monkeypatch, lying, SPEC.format("f64", 1), seconds=0.0)
    assert small is None
    assert lying.asks <= 3


def test_that_what_fails_in_another_way_is_not_the_same(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Framework, "of", lambda name, handshake: bench.framework)
    case = Case.parse(SPEC.format("f64", 1))
    asked = ModeProcess(Lying(bench, "sigmoid", "delta_p", off), "backward")  # type: ignore[arg-type]
    record = asked.record(case, case.arrays())
    whole = failing_case(case, record, asked.answer(case, case.arrays()))  # type: ignore[arg-type]
    other = [
        ModeProcess(Lying(bench, name, step, lie), "backward").record(case, case.arrays())  # type: ignore[arg-type]
        for name, step, lie in [("tanh", "delta_p", off), ("sigmoid", "dw", off), ("id", "c", off)]
    ]
    assert whole.same(record)
    assert [whole.same(found) for found in other] == [False, False, False]
    assert not whole.same(None)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("error", ["cross_entropy", "sse", "bce_logits", "kl_div_of_logs"])
@pytest.mark.parametrize("pick", ["least", "most", "middle"])
def test_that_every_cut_is_a_case_of_the_dtypes_own_numbers(seed: int, error: str, pick: str, bench: Any) -> None:
    out = "log_softmax" if error.startswith("kl") else "softplus"
    case = Case.parse(f"6-9b-7-5b-4:id,tanh,glu,softplus,{out}:{error}:n6:f32:ordinary:s{seed}".replace("7-5b", "8-5b"))
    record = Record(case="", spec=case.spec, sha256="", framework="numpy", version="", mode="", dtype=case.dtype,
                    verdict=Verdict.DISAGREE, box=2, function="tanh", entry="delta_p[0,0]")  # fmt: skip
    asked = ModeProcess(Silent(bench, "", "", off), "backward")  # type: ignore[arg-type]
    whole = failing_case(case, record, asked.answer(case, case.arrays()))
    choose = {"least": lambda most: 0, "most": lambda most: most, "middle": lambda most: most // 2}[pick]
    for guilty in (None, *range(1, case.depth + 2)):
        try:
            left = cut(whole, guilty, choose)
        except UsageError:  # glu takes no single unit
            assert pick == "least"
            continue
        assert numbers_in(left) <= numbers_in(case) + left.widths[0] ** 2
        assert numbers_in(coarsen(left, choose)) == numbers_in(left)
        assert Case.parse(left.spec, left.explicit).spec == left.spec
        if pick == "most" and (guilty or 0) <= case.depth:
            assert left.arrays().sha256 == case.arrays().sha256


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, list[str]]:
    """A run of a framework with a wrong mode and a mode that raises, and its extensions."""
    from gradagree.runner.campaign import execute
    from gradagree.runner.options import Plan

    monkeypatch.setattr(Adapter, "catalogue", dict(Adapter.catalogue))
    copy = tmp_path / "numpy_fake.py"
    copy.write_text(FAKE.read_text())
    load([str(copy)])
    cases = [Case.parse(f"3-4b-2:id,tanh*2:cross_entropy:n5:f64:ordinary:s{seed}") for seed in range(2)]
    plan = Plan.of(cases, "numpy_fake", "right,wrong,raises")
    execute(plan, tmp_path / "run", extensions=[str(copy)], workers=1)
    return tmp_path / "run", [str(copy)]


def test_that_each_cause_of_a_run_gets_its_small_case(folder: tuple[Path, list[str]]) -> None:
    where, extensions = folder
    made = shrink_findings(where, 4 * SECONDS, extensions)
    small = read_small([where])
    assert made == len(small) >= 2
    assert {one.record.mode for one in small.values()} == {"wrong", "raises"}
    for cause, one in small.items():
        assert (one.record.verdict, one.record.framework) == (cause.verdict, cause.framework)
        assert (where / "cases" / f"{one.record.sha256[:12]}.f64.json").exists()
        assert plain(one.arrays["inputs"]["values"][0]) in (-1, 0, 1)


def test_that_time_is_kept(folder: tuple[Path, list[str]]) -> None:
    where, extensions = folder
    begun = time.monotonic()
    assert shrink_findings(where, 1e-9, extensions) == 0
    assert time.monotonic() - begun < SECONDS
    assert read_small([where]) == {}


def test_that_without_hypothesis_one_line_tells_what_to_install(
    folder: tuple[Path, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert can_shrink()
    monkeypatch.setattr("gradagree.shrink.search.can_shrink", lambda: False)
    said: list[str] = []
    assert shrink_findings(folder[0], SECONDS, folder[1], said.append) == 0
    assert said == ["findings are not made small, for Hypothesis is not installed: pip install 'gradagree[shrink]'"]


def test_that_damaged_lines_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "shrunk.jsonl").write_bytes(b"{}\n\xff\nnonsense\n")
    assert read_small([tmp_path, tmp_path / "none"]) == {}


def test_that_a_mistake_in_shrinking_is_told_and_no_run_fails_of_it(
    folder: tuple[Path, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> None:
        raise ZeroDivisionError("oh")

    monkeypatch.setattr("gradagree.shrink.search.shrink", broken)
    said: list[str] = []
    assert shrink_findings(folder[0], SECONDS, folder[1], said.append) == 0
    assert all("could not be made small: ZeroDivisionError: oh" in line for line in said)
    assert said


@pytest.mark.parametrize("name", ["logsumexp", "glu", "softmax", "layer_norm"])
def test_that_functions_that_change_widths_are_cut_too(name: str, bench: Any) -> None:
    case = Case.parse(f"6-8-5-3:id,{name},tanh:sse:n4:f64:ordinary:s1")
    record = Record(case="", spec=case.spec, sha256="", framework="numpy", version="", mode="", dtype=case.dtype,
                    verdict=Verdict.DISAGREE, box=3, function="tanh", entry="delta_p[0,0]")  # fmt: skip
    asked = ModeProcess(Silent(bench, "", "", off), "backward")  # type: ignore[arg-type]
    whole = failing_case(case, record, asked.answer(case, case.arrays()))
    search = Search(whole, asked, time.monotonic() + SECONDS, lambda draw: cut(whole, 3, draw))
    assert search.largest() is not None
    assert search.built(lambda most: 0) is not None
    search.built(lambda most: most if most > 1 else 0)


class Untapped(Lying):
    """A lying framework whose mode has no taps."""

    def compute(self, case: Case, arrays: Any, modes: list[str]) -> Iterator[Any]:
        for answer in super().compute(case, arrays, modes):
            told = self.bench.untapped(answer.tapped)
            yield Response(modes[0], told, told)


class Raising(Lying):
    """A framework that raises where it meets the function."""

    def compute(self, case: Case, arrays: Any, modes: list[str]) -> Iterator[Any]:
        if self.function in map(str, case.activations):
            yield Failure(modes[0], "crashed", f"raised TypeError: {len(arrays.inputs)} rows")
        else:
            yield from super().compute(case, arrays, modes)


@pytest.mark.parametrize(("kind", "verdict"), [(Untapped, Verdict.SUSPECT), (Raising, Verdict.CRASHED)])
@pytest.mark.parametrize("seed", range(2))
def test_that_where_no_box_is_named_the_guilty_function_is_found(
    kind: type[Lying], verdict: Verdict, seed: int, bench: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    lying = kind(bench, "sigmoid", "delta_p", lambda right, at: 3 * right)
    record, small = shrunk(monkeypatch, lying, SPEC.format("f64", seed), 4 * SECONDS)
    assert (record.verdict, small.record.verdict) == (verdict, verdict)
    assert small.case.depth == 1
    assert str(small.case.activations[0]) == "sigmoid"
    assert str(small.case.error) == "sse"
