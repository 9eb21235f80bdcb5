"""Past the dtype's range nothing is found but what certainly differs; where digits are lost, that is said."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from gradagree import Case
from gradagree.adapters import ForTorch
from gradagree.cases.case import Arrays, problem_of
from gradagree.checker.exact import enclosure
from gradagree.checker.verdict import Verdict, exit_code, plain

LARGEST = {"f64": float(np.finfo(np.float64).max), "f32": float(np.finfo(np.float32).max), "f16": 65504.0}
NOT_TOLD = (Verdict.OUT_OF_RANGE, Verdict.UNDECIDED)
each_dtype = pytest.mark.parametrize("dtype", ["f64", "f32"])
TINY = 2.0 ** np.arange(-20, -8).reshape(3, 4) * -1


def one_box(dtype: str, x: Any, w: Any, t: Any, error: str = "absolute") -> Case:
    x, w, t = (np.array(array, dtype=np.float64) for array in (x, w, t))
    case = Case.parse(f"{w.shape[0]}-{w.shape[1]}:id:{error}:n{len(x)}:{dtype}:ordinary:s0")
    return Case.of(case, Arrays((w,), (None,), x, t))


def verdicts(bench: Any, case: Case, lies: Any = None) -> dict[tuple[int | str, str], Verdict]:
    return {(found.box, found.part): found.verdict for found in bench.compared(case, bench.answer(case, lies))}


@each_dtype
def test_that_a_sum_past_the_range_is_out_of_range(bench: Any, dtype: str) -> None:
    top = LARGEST[dtype]
    case = one_box(dtype, [[top, top], [1.0, 2.0]], [[1.0], [1.0]], [[0.0], [0.0]])
    found = verdicts(bench, case)
    assert found[1, "c"] is Verdict.OUT_OF_RANGE
    assert found[1, "db" if any(case.biases) else "delta_p"] is Verdict.AGREE
    assert not bench.judged(case, bench.answer(case)).verdict.fails


@each_dtype
def test_that_a_partial_sum_past_the_range_is_out_of_range(bench: Any, dtype: str) -> None:
    top = LARGEST[dtype]
    case = one_box(dtype, [[top, top, -top, -top]], np.ones((4, 1)), [[0.0]])
    assert verdicts(bench, case)[1, "c"] is Verdict.OUT_OF_RANGE
    for c in (0.0, np.inf, np.nan):
        lies = {
            (1, "c"): lambda right, at, c=c: np.full_like(right, c),
            ("error", "E"): lambda right, at: np.abs(at.p).sum(),
        }
        assert verdicts(bench, case, lies)[1, "c"] is Verdict.OUT_OF_RANGE


@each_dtype
def test_that_numbers_near_the_end_of_the_range_agree_while_they_fit(bench: Any, dtype: str) -> None:
    case = one_box(
        dtype, [[LARGEST[dtype] / 8, 1.0], [1.0, LARGEST[dtype] / 8]], [[1.0, 0.5], [0.5, -1.0]], np.zeros((2, 2))
    )
    assert set(verdicts(bench, case).values()) == {Verdict.AGREE}


@each_dtype
def test_that_infinity_where_the_number_certainly_fits_is_nonfinite(bench: Any, dtype: str) -> None:
    top = LARGEST[dtype]
    case = one_box(dtype, [[top, top], [1.0, 2.0]], [[1.0], [1.0]], [[0.0], [0.0]])
    lie = {(1, "c"): lambda right, at: np.array([[right[0, 0]], [np.inf]])}
    assert verdicts(bench, case, lie)[1, "c"] is Verdict.NONFINITE


@each_dtype
def test_that_an_error_past_the_range_is_the_record_and_the_gradient_is_checked_all_the_same(
    bench: Any, dtype: str
) -> None:
    root = 2.0 ** (np.log2(LARGEST[dtype]) // 2 + 2)
    case = one_box(dtype, [[root]], [[1.0]], [[0.0]], "sse")
    assert verdicts(bench, case)["error", "E"] is Verdict.OUT_OF_RANGE
    assert bench.judged(case, bench.answer(case)).verdict is Verdict.OUT_OF_RANGE
    wrong = bench.answer(case, {("error", "delta_p"): lambda right, at: right / 2})
    assert bench.failing(case, wrong) == [("error", "delta_p")]


@pytest.mark.parametrize(
    "spec",
    [
        "3-4-3-2:id,relu,id:sse:n3",
        "3-4-4-2:id,elu,silu:mse:n3",
        "3-4b-4-2:id,gelu,softsign,tanh:absolute:n3",
        "3-4-3-2:id,gelu_tanh,softplus:cross_entropy:n2",
    ],
)
@pytest.mark.parametrize(
    ("dtype", "exponent"), [("f64", 500), ("f64", 340), ("f32", 62), ("f32", 42), ("f16", 7), ("f16", 5)]
)
def test_that_a_framework_that_overflows_where_it_must_is_not_accused(
    bench: Any, spec: str, dtype: str, exponent: int
) -> None:
    pytest.importorskip("torch")
    small = Case.parse(f"{spec}:{dtype}:ordinary:s1")
    x, scale = small.arrays(), 2.0**exponent
    case = Case.of(small, Arrays(tuple(w * scale for w in x.weights), x.biases, x.inputs * scale, x.targets))
    x, adapter = case.arrays(), ForTorch()
    problem = problem_of(case, x)
    with adapter.settings():
        tapped, untapped = adapter.answers(problem, "backward")
    assert not bench.judged(case, tapped, untapped).verdict.fails


def through_exp(right: np.ndarray, at: SimpleNamespace) -> np.ndarray:
    """elu spelled as exp(p) - 1, each step rounded to float32."""
    return np.where(at.p > 0, at.p, np.exp(at.p).astype(np.float32) - np.float32(1))


def losing(lie: Any, bench: Any) -> tuple[Case, Any, Any]:
    """A case with an elu near 0 on the output, the answer with that lie, and its record."""
    case = Case.of(
        Case.parse("4-4:id,elu:sse:n3:f32:ordinary:s0"), Arrays((np.eye(4),), (None,), TINY * 3, np.ones((3, 4)))
    )
    answer = bench.answer(case, {(2, "value"): lie})
    return case, answer, bench.judged(case, answer)


def test_that_digits_that_only_the_natural_scale_explains_are_inaccurate_and_proved(bench: Any) -> None:
    case, answer, record = losing(through_exp, bench)
    assert (record.verdict, record.box, record.function) == (Verdict.INACCURATE, 2, "elu")
    index = tuple(int(i) for i in (record.entry or "").removeprefix("c[").removesuffix("]").split(","))
    assert plain(record.observed) == answer.values["c2"][index]
    proof = enclosure(case, case.arrays(), answer, case.quantity(2, "c"), index)
    assert proof is not None
    assert (plain(record.expected), plain(record.expected_radius)) == (proof.value, proof.radius)
    assert float(record.reason.removeprefix("elu: ").split(" ")[0]) > 1
    assert "times what the formula's own rounding may lose" in record.reason


def test_that_inaccurate_fails_only_a_strict_run() -> None:
    assert [exit_code({Verdict.INACCURATE: 1, Verdict.AGREE: 9}, strict) for strict in (False, True)] == [0, 1]


def test_that_an_accurate_spelling_near_zero_agrees(bench: Any) -> None:
    assert losing(lambda right, at: right, bench)[2].verdict is Verdict.AGREE


@pytest.mark.parametrize("shift", [2.0**-12, -(2.0**-12)])
def test_that_more_than_the_natural_scale_explains_is_another_value(bench: Any, shift: float) -> None:
    _, _, record = losing(lambda right, at: right + shift, bench)
    assert (record.verdict, record.box) == (Verdict.VALUE_DIFFERS, 2)
