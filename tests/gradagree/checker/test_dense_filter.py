"""What the filter accepts, rounded arithmetic accepts too; and the filter accepts most correct arrays."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from gradagree import Case, draw
from gradagree.adapters import ForTorch
from gradagree.arithmetic.model import FORMATS, model
from gradagree.arithmetic.rounded import Rounded
from gradagree.cases.case import problem_of
from gradagree.cases.regimes import REGIMES
from gradagree.checker.allowances import ToleranceOptions
from gradagree.checker.comparison import Comparison, compare
from gradagree.checker.dense import DenseCheck
from gradagree.checker.dense_operands import table_cells, tabulated_radii
from gradagree.checker.reverse import accept
from gradagree.checker.verdict import Verdict
from gradagree.reference import Activation, ErrorFunction
from gradagree.reference.graph import quantity_of

PASSES = (Verdict.AGREE, Verdict.UNDECIDED, Verdict.OUT_OF_RANGE)
ERRORS = [ErrorFunction.named(name) for name in ("sse", "mse", "huber", "bce_logits", "cross_entropy")]
FAR = 4
"""In tolerances: next to a number with few bits the filter's tolerance may be larger than that of the number."""
each_dtype = pytest.mark.parametrize("dtype", FORMATS)


def arrays_of(one: DenseCheck) -> Iterator[tuple[str, Any, Comparison | None, Any]]:
    """(part, observed array, the filter's comparison, the array expected by rounded arithmetic) of one node."""
    answer = one.answer
    c = answer.values[one.node.output]
    yield "c", c, accepted_by_filter(one, "c", c), one.expected_value
    observed = answer.cotangents[one.node.input]
    if not one.kinks:
        yield "delta_p", observed, accepted_by_filter(one, "delta_p", observed), one.expected_cotangent
    for name in one.node.parameters:
        own, part = answer.gradients[one.node.parameters[name]], f"d{name}"
        yield part, own, accepted_by_filter(one, part, own), one.expected_gradient(name)


def accepted_by_filter(one: DenseCheck, part: str, observed: Any) -> Comparison | None:
    """The filter's comparison of one part with this observed array; None if it is not accepted."""
    answer = one.answer
    node = one.node
    field, name = {"c": ("values", node.output), "delta_p": ("cotangents", node.input)}.get(
        part, ("gradients", node.parameters.get(part[1:], ""))
    )
    again = DenseCheck(node, replace(answer, **{field: {**getattr(answer, field), name: observed}}), one.model)
    accept([again])
    return next((found for quantity, found in again.accepted.items() if quantity.label == part), None)


@pytest.fixture(scope="module")
def torch() -> Iterator[ForTorch]:
    adapter = ForTorch()
    with adapter.settings():
        yield adapter


def boxes_of(torch: ForTorch, case: Case) -> Iterator[DenseCheck]:
    """The operations on torch's own numbers; its bfloat16 products flush subnormals."""
    arrays, rules = case.arrays(), model(case.dtype, flushes=case.dtype == "bfloat16")
    answer, _ = torch.answers(problem_of(case, arrays), "backward")
    for node in case.nodes(arrays)[:-1]:
        yield DenseCheck(node, answer, rules)


@each_dtype
@pytest.mark.parametrize("regime", REGIMES)
def test_that_what_the_filter_accepts_is_within_the_worst_case_tolerance(
    torch: ForTorch, dtype: str, regime: str
) -> None:
    passed = 0
    for case in draw(12, 5, [dtype], errors=ERRORS, regimes=[regime]):
        for one in boxes_of(torch, case):
            for part, observed, accepted, expect in arrays_of(one):
                if accepted is not None:
                    passed += 1
                    with np.errstate(all="ignore"):
                        full = compare(quantity_of(one.node.name, part, 9), observed, expect)
                    assert full.verdict in PASSES, f"{case}: operation {one.node.name}, {part}"
    assert passed > 0


@each_dtype
def test_that_the_filter_accepts_most_correct_arrays(torch: ForTorch, dtype: str) -> None:
    found = [
        accepted is not None
        for case in draw(10, 3, [dtype], errors=ERRORS, regimes=["ordinary"])
        for one in boxes_of(torch, case)
        for _, _, accepted, _ in arrays_of(one)
    ]
    assert sum(found) > len(found) / 2


@each_dtype
@pytest.mark.parametrize("seed", range(3))
def test_that_an_entry_moved_past_its_tolerance_is_never_accepted(torch: ForTorch, dtype: str, seed: int) -> None:
    moved = 0
    for case in draw(6, seed, [dtype], errors=ERRORS, regimes=["ordinary", "grid"]):
        for one in boxes_of(torch, case):
            for part, observed, accepted, expect in arrays_of(one):
                certain = expect(ToleranceOptions(ad_forms=True))
                tolerance = certain.radius
                if accepted is None or not np.isfinite(tolerance).all():
                    continue
                place = (seed,) * observed.ndim if min(observed.shape) > seed else (0,) * observed.ndim
                wrong = observed.copy()
                past = certain.value[place] + FAR * tolerance[place]
                wrong[place] = max(np.nextafter(past, np.inf), past + FORMATS[dtype].smallest_normal)
                assert accepted_by_filter(one, part, wrong) is None, f"{case}: operation {one.node.name}, {part}"
                moved += 1
    assert moved > 0


def test_that_a_non_finite_entry_is_never_accepted(torch: ForTorch) -> None:
    case = Case.parse("3-4-2:id,tanh:sse:n5:f32:ordinary:s1")
    for one in boxes_of(torch, case):
        for part, observed, accepted, _ in arrays_of(one):
            assert accepted is not None
            for bad in (np.nan, np.inf, -np.inf):
                wrong = observed.copy()
                wrong.flat[0] = bad
                assert accepted_by_filter(one, part, wrong) is None


@each_dtype
@pytest.mark.parametrize("name", ["tanh", "gelu", "softplus", "relu", "id"])
def test_that_the_table_holds_the_radii_of_rounded_arithmetic(name: str, dtype: str) -> None:
    activation, rules = Activation.named(name), model(dtype)
    p = np.concatenate([[0.0], np.geomspace(2.0**-8, 2.0**4, 200), -np.geomspace(2.0**-8, 2.0**4, 200)])
    bounds = ToleranceOptions(ad_forms=True).bounds(activation)
    stored = Rounded.stored(p, rules)
    for table, radius in zip(
        tabulated_radii(activation, rules), (bounds.value(stored).radius, bounds.derivative(stored).radius), strict=True
    ):
        found = table[table_cells(p)]
        assert np.all((found <= 2 * radius) | np.isnan(found))
        assert np.median(found[radius > 0] / radius[radius > 0]) > 1 / 2 if radius.any() else not found.any()


def test_that_nothing_is_accepted_outside_the_table() -> None:
    table, _ = tabulated_radii(Activation.named("tanh"), model("float64"))
    assert np.isnan(table[table_cells(np.array([2.0**16, -(2.0**40), 2.0**-65, np.inf]))]).all()
    assert table[table_cells(np.array([0.0, -0.0]))].tolist() == [0.0, 0.0]


def test_that_an_exact_sum_has_no_tolerance(torch: ForTorch) -> None:
    case = Case.parse("3-4-2:id*2:sse:n5:f32:grid:s1")
    for one in boxes_of(torch, case):
        observed = one.answer.values[one.node.output]
        for part, seen, accepted, _ in arrays_of(one):
            assert accepted is not None, part
            assert accepted.ratio == 0
            assert seen.shape
        off = one.answer.values[one.node.output] + 2.0**-40
        assert accepted_by_filter(one, "c", observed) is not None
        assert accepted_by_filter(one, "c", off) is None
