"""Records: the worst comparison, its sharpness, its proof, and the reference itself convicted where it is wrong."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from gradagree import Case
from gradagree.adapters import Answer
from gradagree.arithmetic import Ball
from gradagree.arithmetic.dual import Dual
from gradagree.cases.case import Arrays
from gradagree.checker.answers import disturbed, same_bits
from gradagree.checker.comparison import Comparison
from gradagree.checker.judge import Framework, judge, model as model_of
from gradagree.checker.response import Absent, Failure, Ready
from gradagree.checker.reverse import check
from gradagree.checker.verdict import Verdict, plain
from gradagree.reference.graph import quantity_of

CASE = "3-4b-2:id,tanh,sigmoid:mse:n5:f32:ordinary:s11"
PROBES = {
    "float32": {"accumulator": "float64", "biases": "float64", "flushes": True, "fast_math": False, "exact": True},
    "bfloat16": {"accumulator": "bfloat16", "biases": "bfloat16", "flushes": False, "fast_math": False, "exact": True},
}


def proved(*components: Any) -> bool:
    """Whether a formula is being run in ball arithmetic."""
    inner = [x.value if isinstance(x, Dual) else x for x in components]
    return any(isinstance(x, Ball) for x in inner)


@pytest.mark.parametrize("verdict", [Verdict.CRASHED, Verdict.TIMEOUT, Verdict.UNSUPPORTED, Verdict.ABSENT])
def test_that_what_failed_is_a_record_with_its_reason(bench: Any, verdict: Verdict) -> None:
    case = Case.parse(CASE)
    record = judge(case, case.arrays(), bench.framework, Failure("jit", str(verdict), "the reason why"), 7)
    assert (record.verdict, record.reason, record.mode, record.index) == (verdict, "the reason why", "jit", 7)
    assert (record.ratio, record.sharpness, record.box, record.entry, record.expected) == (None,) * 5


def test_that_a_record_names_the_case_and_the_framework(bench: Any) -> None:
    case = Case.parse(CASE)
    record = bench.judged(case, bench.answer(case))
    said = (
        record.spec,
        record.case,
        record.sha256,
        record.framework,
        record.version,
        record.mode,
        record.device,
        record.dtype,
    )
    assert said == (
        CASE, case.alias, case.arrays().sha256, "numpy", np.__version__, "backward", "cpu", "float32",
    )  # fmt: skip
    assert record.verdict is Verdict.AGREE


def test_that_an_honest_record_shows_its_worst_entry(bench: Any) -> None:
    case = Case.parse(CASE)
    answer = bench.answer(case)
    record = bench.judged(case, answer)
    worst = max(bench.compared(case, answer), key=lambda found: found.ratio)
    assert 0 < plain(record.ratio) == worst.ratio < 1
    assert (record.box, record.entry) == (worst.box, worst.entry)
    gap = abs(plain(record.observed) - plain(record.expected))
    assert plain(record.ratio) == gap / plain(record.tolerance)
    assert record.expected_radius is None, "only a finding is proved"


def test_that_sharpness_and_share_are_over_all_gradient_arrays(bench: Any) -> None:
    case = Case.parse(CASE)
    answer = bench.answer(case)
    record = bench.judged(case, answer)
    arrays = [("error", "delta_p"), *((k, "delta_p") for k in (1, 2, 3)), (1, "dw"), (2, "dw"), (1, "db")]
    expected, sharp, entries = 0.0, 0, 0
    for found in bench.compared(case, answer):
        if (found.box, found.part) in arrays:
            expected, sharp, entries = max(expected, found.sharpness), sharp + found.sharp, entries + found.entries
    sizes = [bench.part(answer, *where) for where in arrays]
    tolerances = [bench.tolerance(case, answer, *where) for where in arrays]
    assert record.sharpness == expected
    assert record.share == sharp / entries
    assert entries == sum(size.size for size in sizes)
    upper = max(np.max(tolerance) / np.max(np.abs(size)) for tolerance, size in zip(tolerances, sizes, strict=True))
    assert 0 < expected <= upper * (1 + expected)


def test_that_sums_of_exact_data_leave_no_room_for_the_last_bit(bench: Any) -> None:
    case = Case.parse("4-3b-2:id,relu:sse:n4:f32:grid:s3")
    answer = bench.answer(case)
    sums = {(1, "c"), (1, "dw"), (1, "db"), (2, "db")}
    assert {found.sharpness for found in bench.compared(case, answer) if (found.box, found.part) in sums} == {0.0}
    for part in ("dw", "db"):
        right = bench.part(answer, 1, part).astype(np.float32)
        moved = np.nextafter(right, np.float32(np.inf)).astype(np.float64)
        assert bench.failing(case, bench.with_part(answer, 1, part, moved)) == [(1, part)]


def test_that_a_vacuous_check_shows_in_sharpness_and_share(bench: Any) -> None:
    third = float(np.float32(1 / 3))
    near = float(np.nextafter(np.float32(third), np.float32(1)))
    arrays = Arrays((np.array([[third]]),), (None,), np.array([[third], [near]]), np.zeros((2, 1)))
    case = Case.of(Case.parse("1-1:id:sse:n2:f32:ordinary:s0"), arrays)
    lie = {("error", "delta_p"): lambda right, at: np.array([[third], [-third]])}
    compared = bench.compared(case, bench.answer(case, lie))
    (dw,) = (found for found in compared if found.part == "dw")
    assert dw.verdict is Verdict.UNDECIDED
    assert (dw.sharp, dw.entries) == (0, 1)


def test_that_the_worst_verdict_is_named_before_the_farthest_entry(bench: Any) -> None:
    case = Case.parse(CASE)
    lies = {
        (2, "dw"): lambda right, at: right * 8,
        (1, "db"): lambda right, at: np.where(right == right[1], np.nan, right),
    }
    record = bench.judged(case, bench.answer(case, lies))
    assert (record.verdict, record.box, record.entry) == (Verdict.NONFINITE, 1, "db[1]")
    assert plain(record.ratio) == math.inf


def test_that_of_two_findings_the_farther_is_named(bench: Any) -> None:
    case = Case.parse(CASE)
    lies = {(2, "dw"): lambda right, at: right * 8, (1, "db"): lambda right, at: right * 2}
    assert bench.judged(case, bench.answer(case, lies)).box == 2
    lies = {(2, "dw"): lambda right, at: right * 2, (1, "db"): lambda right, at: right * 8}
    assert bench.judged(case, bench.answer(case, lies)).box == 1


def test_that_a_gradient_that_differs_in_bits_but_is_probable_agrees(bench: Any) -> None:
    case = Case.parse(CASE)
    tapped = bench.answer(case)
    untapped = bench.untapped(tapped)
    moved = np.nextafter(untapped.gradients["w1"].astype(np.float32), np.float32(np.inf)).astype(np.float64)
    record = bench.judged(case, tapped, bench.with_part(untapped, 1, "dw", moved))
    assert record.verdict is Verdict.AGREE
    assert 0 < plain(record.probable_ratio) <= 1
    assert bench.judged(case, tapped, untapped).probable_ratio is None


def test_that_an_array_that_taps_did_not_change_is_checked_by_the_box_check_alone(bench: Any) -> None:
    """Where b is lost in c, its gradient is no less certain: past the probable tolerance, but the tapped one's own."""
    case = Case.parse(CASE)
    tapped = bench.answer(case)
    untapped = bench.untapped(tapped)
    parts = [
        Comparison(quantity_of(1, "dw", 2), Verdict.SUSPECT, 2.0),
        Comparison(quantity_of(1, "db", 2), Verdict.AGREE, 0.5),
    ]
    assert disturbed(parts, tapped, untapped) == []
    for part in parts:
        moved = bench.with_part(untapped, 1, part.part, 2 * bench.part(untapped, 1, part.part))
        assert disturbed(parts, tapped, moved) == [part]


def test_that_weights_of_an_activations_own_may_be_of_several_shapes() -> None:
    own = [Comparison(quantity_of(1, name, 2), Verdict.SUSPECT, 2.0) for name in ("da", "ds")]
    one, other = (Answer(0.0, gradients={"box 1 a": np.ones(()), "box 1 s": x * np.ones(3)}) for x in (1, 2))
    assert disturbed(own, one, one) == []
    assert disturbed(own, one, other) == own[1:]


def test_that_zeros_of_either_sign_and_nans_are_the_same_bits() -> None:
    def answer(E: float, delta: list[float], bias: list[float]) -> Answer:
        return Answer(E, cotangents={"inputs": np.array(delta)}, gradients={"b1": np.array(bias)})

    one, other = (answer(0.0, [x, math.nan], [1.0, 1.0]) for x in (0.0, -0.0))
    assert same_bits(one, other)
    assert not same_bits(one, answer(0.0, [0.0, 0.0], [1.0, 1.0]))
    assert not same_bits(one, answer(1.0, [0.0, math.nan], [1.0, 1.0]))
    assert not same_bits(one, answer(0.0, [0.0, math.nan], [1.0, 2.0]))


def test_that_the_probes_make_the_model() -> None:
    framework = Framework.of("torch", Ready("9.9", "cpu", ["backward"], PROBES))
    assert framework == Framework(
        "torch",
        "9.9",
        "cpu",
        {"float32": model_of("float32", "float64", True), "bfloat16": model_of("bfloat16", "bfloat16", False)},
    )
    assert Framework.of("jax", Absent("not installed")) == Framework("jax", "", "cpu", {})


def test_that_the_model_of_the_framework_is_what_decides(bench: Any) -> None:
    case = Case.parse("3-2:id:sse:n4:f32:ordinary:s5")
    tiny = 2.0**-140
    case = Case.of(
        case,
        Arrays(tuple(np.ones_like(w) for w in case.arrays().weights), (None,), np.full((4, 3), tiny), np.zeros((4, 2))),
    )
    flushed = bench.answer(case, {(1, "c"): lambda right, at: 0 * right})
    assert bench.failing(case, flushed) == [(1, "c")]
    found = check(case, case.arrays(), flushed, model_of("float32", flushes=True))
    assert not any(comparison.verdict.fails for comparison in found)
