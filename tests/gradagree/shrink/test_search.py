"""A smaller case fails in the same way, and holds nothing that the failure does not need."""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from gradagree.cases.case import Case
from gradagree.checker.judge import Framework
from gradagree.checker.response import Failure, Ready, Response
from gradagree.checker.verdict import Record, Verdict
from gradagree.errors import UsageError
from gradagree.shrink import ModeProcess, shrink
from gradagree.shrink.cut import coarsen, cut, numbers_in
from gradagree.shrink.failing_case import failing_case
from gradagree.shrink.search import Search

SPEC = "6-9b-7-5b-3:id,tanh,sigmoid,softplus:cross_entropy:n6:{}:ordinary:s{}"
SECONDS = 20.0
pytestmark = pytest.mark.skipif(importlib.util.find_spec("hypothesis") is None, reason="Hypothesis is not installed")


class Faulty:
    """A framework in NumPy with a fault in one step of one function, at every operation that uses it."""

    framework = "numpy"

    def __init__(self, bench: Any, function: str, step: str, fault: Callable[..., Any]) -> None:
        self.bench, self.function, self.step, self.fault, self.requests = bench, function, step, fault, 0
        self.handshake = Ready("1", "cpu", ["backward"], {})

    def compute(self, case: Case, arrays: Any, modes: list[str]) -> Iterator[Any]:
        self.requests += 1
        names = [*map(str, case.activations), str(case.error)]
        faults = {
            ("error" if k > case.depth else k, self.step): self.fault
            for k, name in enumerate(names, 1) if name == self.function
        }  # fmt: skip
        answer = self.bench.received(self.bench.answer(case, faults))
        yield Response(modes[0], answer, answer)


class Crashing(Faulty):
    """A framework that crashes on every case."""

    def compute(self, case: Case, arrays: Any, modes: list[str]) -> Iterator[Any]:
        yield Failure(modes[0], "crashed", "raised E: e")


def shrunk(monkeypatch: pytest.MonkeyPatch, faulty: Faulty, spec: str, seconds: float = SECONDS) -> Any:
    monkeypatch.setattr(Framework, "of", lambda name, handshake: faulty.bench.framework)
    case, mode = Case.parse(spec), ModeProcess(faulty, "backward")  # type: ignore[arg-type]
    record = mode.record(case, case.arrays())
    assert record is not None
    assert record.verdict.fails
    return record, shrink(case, record, mode, seconds)


def one_percent_off(right: np.ndarray, at: Any) -> np.ndarray:
    return right * 1.01


def doubled_when_positive(right: np.ndarray, at: Any) -> np.ndarray:
    return np.where(at.p > 0.5, 2 * right, right)


@pytest.mark.parametrize("dtype", ["f64", "f32"])
@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize(
    ("function", "step", "fault"),
    [("sigmoid", "delta_p", one_percent_off), ("softplus", "dw", one_percent_off), ("tanh", "value", one_percent_off)],
)
def test_that_a_fault_needs_one_operation_and_three_numbers(
    function: str, step: str, fault: Any, dtype: str, seed: int, bench: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    record, small = shrunk(monkeypatch, Faulty(bench, function, step, fault), SPEC.format(dtype, seed))
    assert (small.record.verdict, small.record.function) == (record.verdict, record.function)
    assert str(small.record.entry).partition("[")[0] == str(record.entry).partition("[")[0]
    # One operation of one unit, one example, and a sum of squares: p, w, t.
    assert small.case.spec.startswith(f"1-1:{function}:sse:n1:f64:explicit:@"), small.case.spec
    assert numbers_in(small.case) == 3
    assert all(float(x) in (-1, 0, 1) for _, array in small.case.arrays().by_name.items() for x in array.ravel())


@pytest.mark.parametrize("seed", range(3))
def test_that_a_fault_of_the_loss_keeps_the_loss(seed: int, bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    _, small = shrunk(monkeypatch, Faulty(bench, "cross_entropy", "delta_p", one_percent_off), SPEC.format("f32", seed))
    assert small.record.box == "error"
    assert str(small.case.error) == "cross_entropy"
    assert small.case.depth == 1
    assert small.case.batch == 1


def test_that_a_fault_at_some_numbers_keeps_one_of_them(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    _, small = shrunk(monkeypatch, Faulty(bench, "sigmoid", "delta_p", doubled_when_positive), SPEC.format("f64", 1))
    assert small.case.arrays().inputs.tolist() == [[1.0]]


def test_that_after_the_deadline_no_further_case_is_tried(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    faulty = Faulty(bench, "sigmoid", "delta_p", one_percent_off)
    _, small = shrunk(monkeypatch, faulty, SPEC.format("f64", 1), seconds=0.0)
    assert small is None
    assert faulty.requests <= 3


def test_that_another_fault_is_not_the_same_failure(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Framework, "of", lambda name, handshake: bench.framework)
    case = Case.parse(SPEC.format("f64", 1))
    mode = ModeProcess(Faulty(bench, "sigmoid", "delta_p", one_percent_off), "backward")  # type: ignore[arg-type]
    record = mode.record(case, case.arrays())
    original = failing_case(case, record, mode.answer(case, case.arrays()))  # type: ignore[arg-type]
    other = [
        ModeProcess(Faulty(bench, name, step, fault), "backward").record(case, case.arrays())  # type: ignore[arg-type]
        for name, step, fault in [
            ("tanh", "delta_p", one_percent_off),
            ("sigmoid", "dw", one_percent_off),
            ("id", "c", one_percent_off),
        ]
    ]
    assert original.same(record)
    assert [original.same(found) for found in other] == [False, False, False]
    assert not original.same(None)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("error", ["cross_entropy", "sse", "bce_logits", "kl_div_of_logs"])
@pytest.mark.parametrize("pick", ["least", "most", "middle"])
def test_that_every_cut_is_a_case_with_numbers_of_its_dtype(seed: int, error: str, pick: str, bench: Any) -> None:
    out = "log_softmax" if error.startswith("kl") else "softplus"
    case = Case.parse(f"6-9b-7-5b-4:id,tanh,glu,softplus,{out}:{error}:n6:f32:ordinary:s{seed}".replace("7-5b", "8-5b"))
    record = Record(case="", spec=case.spec, sha256="", framework="numpy", version="", mode="", dtype=case.dtype,
                    verdict=Verdict.DISAGREE, box=2, function="tanh", entry="delta_p[0,0]")  # fmt: skip
    mode = ModeProcess(Crashing(bench, "", "", one_percent_off), "backward")  # type: ignore[arg-type]
    original = failing_case(case, record, mode.answer(case, case.arrays()))
    choose = {"least": lambda most: 0, "most": lambda most: most, "middle": lambda most: most // 2}[pick]
    for location in (None, *range(1, case.depth + 2)):
        try:
            smaller = cut(original, location, choose)
        except UsageError:  # glu takes no single unit
            assert pick == "least"
            continue
        assert numbers_in(smaller) <= numbers_in(case) + smaller.widths[0] ** 2
        assert numbers_in(coarsen(smaller, choose)) == numbers_in(smaller)
        assert Case.parse(smaller.spec, smaller.explicit).spec == smaller.spec
        if pick == "most" and (location or 0) <= case.depth:
            assert smaller.arrays().sha256 == case.arrays().sha256


@pytest.mark.parametrize("name", ["logsumexp", "glu", "softmax", "layer_norm"])
def test_that_functions_that_change_widths_are_cut(name: str, bench: Any) -> None:
    case = Case.parse(f"6-8-5-3:id,{name},tanh:sse:n4:f64:ordinary:s1")
    record = Record(case="", spec=case.spec, sha256="", framework="numpy", version="", mode="", dtype=case.dtype,
                    verdict=Verdict.DISAGREE, box=3, function="tanh", entry="delta_p[0,0]")  # fmt: skip
    mode = ModeProcess(Crashing(bench, "", "", one_percent_off), "backward")  # type: ignore[arg-type]
    original = failing_case(case, record, mode.answer(case, case.arrays()))
    search = Search(original, mode, time.monotonic() + SECONDS, lambda draw: cut(original, 3, draw))
    assert search.largest() is not None
    assert search.build(lambda most: 0) is not None
    search.build(lambda most: most if most > 1 else 0)


class Untapped(Faulty):
    """A faulty framework whose mode has no taps."""

    def compute(self, case: Case, arrays: Any, modes: list[str]) -> Iterator[Any]:
        for response in super().compute(case, arrays, modes):
            answer = self.bench.untapped(response.tapped)
            yield Response(modes[0], answer, answer)


class Raising(Faulty):
    """A framework that raises an error at the function."""

    def compute(self, case: Case, arrays: Any, modes: list[str]) -> Iterator[Any]:
        if self.function in map(str, case.activations):
            yield Failure(modes[0], "crashed", f"raised TypeError: {len(arrays.inputs)} rows")
        else:
            yield from super().compute(case, arrays, modes)


@pytest.mark.parametrize(("kind", "verdict"), [(Untapped, Verdict.SUSPECT), (Raising, Verdict.CRASHED)])
@pytest.mark.parametrize("seed", range(2))
def test_that_without_a_named_operation_the_faulty_function_is_found(
    kind: type[Faulty], verdict: Verdict, seed: int, bench: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    faulty = kind(bench, "sigmoid", "delta_p", lambda right, at: 3 * right)
    record, small = shrunk(monkeypatch, faulty, SPEC.format("f64", seed), 4 * SECONDS)
    assert (record.verdict, small.record.verdict) == (verdict, verdict)
    assert small.case.depth == 1
    assert str(small.case.activations[0]) == "sigmoid"
    assert str(small.case.error) == "sse"
