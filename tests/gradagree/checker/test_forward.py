"""The box check of forward mode: correct tangents pass, and of wrong ones the guilty box is named, with proof."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from gradagree import Case
from gradagree.adapters import Answer, ForTorch
from gradagree.cases.case import problem_of
from gradagree.checker.comparison import Comparison
from gradagree.checker.exact import enclosure
from gradagree.checker.forward import ForwardCheck, Localization
from gradagree.checker.judge import Framework, judge
from gradagree.checker.response import Response, handshake, respond
from gradagree.checker.statistical import compare_statistically
from gradagree.checker.verdict import Verdict
from gradagree.reference import Activation, ErrorFunction
from gradagree.reference.samples import allowed_width

pytest.importorskip("torch")
pytestmark = pytest.mark.filterwarnings("ignore")
KNOWN = {("hardsigmoid", "f64")}
"""torch multiplies by 1/6 rounded to float32."""
VISIBLE = {"f64": 1e-12, "f32": 1e-4, "f16": 0.03, "bf16": 0.2}
"""Relative faults that each dtype shows in one box."""
DEEP = "3-5b-4-2:id,tanh,softmax:mse:n4:{}:ordinary:s11"
OWN = "3-4b-3-2b:id,prelu,prelu_by_column,tanh:mse:n3:f64:ordinary:s6"
WIDE = "20-30b-10:id,gelu:huber:n5:{}:ordinary:s3"
DULL = "2-64-64:id,hardtanh:hinge:n8:f64:tiny:s232326656"
PAST = (
    "8-3b-8b-3b-10b-4b:id,selu,square,gumbel_softmax,reciprocal:multiclass_sparsemax:n2:f16:saturated:s278784530",
    "8-2b-3b-2b-32b:id,square,hardshrink,exp:mse:n4:f16:saturated:s127832795",
)
SUMS = "24-16b-24b-4b-64b-6b-5b:id,log_softmax,log_sigmoid,exp,cos,hardshrink,log_softmax:nll:n8:f16:ordinary:s19563269"
VAGUE = "64-16-16:id,square,dropout:multilabel_soft_margin:n3:bf16:saturated:s408632378"


@pytest.fixture(scope="module")
def torch() -> Iterator[tuple[ForTorch, Framework]]:
    adapter = ForTorch()
    with adapter.settings():
        yield adapter, Framework.of("torch", handshake(adapter))


Given = Callable[[str], tuple[Any, ...]]


@pytest.fixture
def given(torch: tuple[ForTorch, Framework]) -> Given:
    """(case, arrays, the answer with tangents, the one without, the model) of a case's text."""

    def both(spec: str) -> tuple[Any, ...]:
        case = Case.parse(spec)
        arrays = case.arrays()
        answers = torch[0].answers(problem_of(case, arrays), "forward")
        return case, arrays, *answers, torch[1].model(case.dtype, "forward")

    return both


def asked(adapter: ForTorch, spec: str) -> tuple[Any, ...]:
    """A case, its arrays, and what a worker answers."""
    case = Case.parse(spec)
    arrays = case.arrays()
    return case, arrays, respond(adapter, problem_of(case, arrays), "forward")


def found(case: Case, arrays: Any, pushed: Answer, model: Any, most: int = 8) -> list[Comparison]:
    """All comparisons, in some of the directions."""
    check = ForwardCheck(case, arrays, pushed, model)
    which = range(0, len(pushed.along), max(1, len(pushed.along) // most))
    return [*check.values, *check.along(which)]


def specs() -> Iterator[tuple[str, str]]:
    for kind, regime in itertools.product(VISIBLE, ("ordinary", "grid")):
        for activation in Activation.catalogue.values():
            width = allowed_width(activation(), 3)
            yield activation.name, f"3-{width}b-4:id,{activation.name}:sse:n4:{kind}:{regime}:s5"
        for error in ErrorFunction.catalogue.values():
            before = {"simplex": ",softmax", "log_simplex": ",log_softmax", "unit": ",sigmoid", "positive": ",softplus"}
            width = allowed_width(error(), 4)
            yield error.name, f"3-{width}b:id{before.get(error.domain, '')}:{error.name}:n4:{kind}:{regime}:s5"


@pytest.mark.parametrize(("name", "spec"), list(specs()), ids=str)
def test_that_every_tangent_of_torchs_passes(torch: tuple[ForTorch, Framework], name: str, spec: str) -> None:
    case, arrays, answered = asked(torch[0], spec)
    if not isinstance(answered, Response):
        assert answered.verdict == Verdict.UNSUPPORTED
        return
    pushed = answered.tapped
    failing = [one for one in found(case, arrays, pushed, torch[1].model(case.dtype, "forward")) if one.verdict.fails]
    assert bool(failing) == ((name, spec.split(":")[4]) in KNOWN), failing


@pytest.mark.parametrize("dtype", VISIBLE)
@pytest.mark.parametrize("spec", [DEEP, WIDE])
@pytest.mark.parametrize("box", [1, 2])
def test_that_a_wrong_tangent_is_found_in_its_box_and_proved(given: Given, spec: str, dtype: str, box: int) -> None:
    case, arrays, pushed, _, model = given(spec.format(dtype))
    place = np.unravel_index(np.argmax(np.abs(pushed.tangents[f"c{box}"])), pushed.tangents[f"c{box}"].shape)
    wrong = pushed.tangents[f"c{box}"].copy()
    wrong[place] *= 1 + VISIBLE[dtype]
    lying = replace(pushed, tangents={**pushed.tangents, f"c{box}": wrong})
    which = int(place[0])
    first = next(one for one in ForwardCheck(case, arrays, lying, model).along([which]) if one.verdict.fails)
    assert (first.box, first.part, first.index) == (box, "c'", tuple(map(int, place)))
    proof = enclosure(case, arrays, lying, first.quantity, first.index)
    assert proof is not None
    assert abs(proof.value - first.expected) <= first.tolerance < abs(proof.value - first.observed)
    assert not any(one.verdict.fails for one in ForwardCheck(case, arrays, pushed, model).along([which]))


@pytest.mark.parametrize("dtype", VISIBLE)
def test_that_a_wrong_slope_of_the_error_is_found_in_the_error_box_and_proved(given: Given, dtype: str) -> None:
    case, arrays, pushed, _, model = given(WIDE.format(dtype))
    which = int(np.argmax(np.abs(pushed.along)))
    along = tuple(x * (1 + VISIBLE[dtype]) if k == which else x for k, x in enumerate(pushed.along))
    lying = replace(pushed, along=along)
    (wrong,) = (one for one in ForwardCheck(case, arrays, lying, model).along([which]) if one.verdict.fails)
    assert (wrong.box, wrong.entry) == ("error", f"E'[{which}]")
    proof = enclosure(case, arrays, lying, case.quantity("error", "E'"), wrong.index)
    assert proof is not None
    assert abs(proof.value - wrong.expected) <= wrong.tolerance < abs(proof.value - wrong.observed)


def test_that_the_directions_of_all_gradients_are_those_that_were_pushed(given: Given) -> None:
    case, arrays, pushed, untapped, model = given(OWN)
    clearance = Localization(case, arrays, pushed, untapped, model)
    parts = [(1, "delta_p"), (1, "dw"), (1, "db"), (2, "dw"), (3, "dw"), (3, "db"), (2, "da"), (3, "da")]
    suspects = [Comparison(case.quantity(box, part), Verdict.SUSPECT) for box, part in parts]
    seen = [which for one in suspects for which in clearance.directions(one)]
    assert sorted(seen) == list(
        range(arrays.inputs.size + sum(x.size for x in problem_of(case, arrays).parameters.values()))
    )
    assert all(clearance._same(one) for one in suspects)
    worst = clearance.directions(Comparison(case.quantity(1, "dw"), Verdict.SUSPECT, index=(1, 2)))
    assert (worst[0], len(worst)) == (arrays.inputs.size + 6, 12)


def test_that_a_suspect_is_cleared_only_if_the_same_numbers_came_out_without_taps(
    given: Given, monkeypatch: pytest.MonkeyPatch
) -> None:
    case, arrays, pushed, untapped, model = given(OWN)
    suspect = Comparison(case.quantity(1, "dw"), Verdict.SUSPECT, 2.0, (0, 0), 1.0, 2.0, 0.5)
    (cleared,), guilty = Localization(case, arrays, pushed, untapped, model)([suspect])
    assert (cleared.verdict, guilty) == (Verdict.AGREE, None)
    (cleared,), _ = Localization(case, arrays, pushed, untapped, model)(
        [replace(suspect, quantity=case.quantity("error", "E"), index=())]
    )
    assert cleared.verdict is Verdict.AGREE
    other = replace(untapped, gradients={**untapped.gradients, "w1": untapped.gradients["w1"] * (1 + 2.0**-50)})
    assert Localization(case, arrays, pushed, other, model)([suspect])[0] == [suspect]
    without = replace(pushed, tangents={})
    assert Localization(case, arrays, without, untapped, model)([suspect])[0] == [suspect]
    monkeypatch.setattr("gradagree.adapters.programs.MAX_TANGENTS", 1)
    inputs = replace(suspect, quantity=case.quantity(1, "delta_p"))
    _, _, pushed, untapped, _ = given(OWN)
    assert Localization(case, arrays, pushed, untapped, model)([inputs])[0] == [inputs]
    assert Localization(case, arrays, pushed, untapped, model)([suspect])[0][0].verdict is Verdict.AGREE


def test_that_a_fault_of_the_framework_is_a_proved_disagreement_of_its_box(torch: tuple[ForTorch, Framework]) -> None:
    case, arrays, answered = asked(torch[0], "3-4b-2:id,hardsigmoid:mse:n3:f64:ordinary:s4")
    record = judge(case, arrays, torch[1], answered)
    assert (record.verdict, record.box, record.function) == (Verdict.DISAGREE, 2, "hardsigmoid")
    assert (record.entry or "").startswith("c'[")
    assert record.expected_radius is not None


def test_that_directions_of_large_networks_are_looked_at_one_by_one(
    given: Given, monkeypatch: pytest.MonkeyPatch
) -> None:
    case, arrays, pushed, untapped, model = given(WIDE.format("f64"))
    suspect = Comparison(case.quantity("error", "E'"), Verdict.SUSPECT, 2.0, (3,), 1.0, 2.0, 0.5, entries=8)
    asked: list[Any] = []
    along = ForwardCheck.along
    monkeypatch.setattr(ForwardCheck, "along", lambda self, which: asked.append(which) or along(self, which))
    verdicts = []
    for together in (1 << 20, 1):
        monkeypatch.setattr("gradagree.checker.forward.MAX_STACKED_TANGENTS", together)
        (found,), guilty = Localization(case, arrays, pushed, untapped, model)([suspect])
        verdicts.append((found.verdict, guilty))
    assert verdicts == [(Verdict.AGREE, None)] * 2
    assert asked == [[3, 0, 1, 2, 4, 5, 6, 7], *([k] for k in (3, 0, 1, 2, 4, 5, 6, 7))]


def test_that_a_gradient_that_is_missing_or_of_another_shape_stays_suspect(given: Given) -> None:
    case, arrays, pushed, untapped, model = given(OWN)
    ordinary = {name: x for name, x in untapped.gradients.items() if not name.startswith("box")}
    for wrong in (replace(untapped, gradients=ordinary), replace(untapped, cotangents={"inputs": np.zeros((1, 1))})):
        comparisons = compare_statistically(case, arrays, wrong, model)
        told = [one for one in comparisons if one.reason]
        assert {one.verdict for one in told} == {Verdict.SUSPECT}
        judged, guilty = Localization(case, arrays, pushed, wrong, model)(comparisons)
        assert (judged, guilty) == (comparisons, None)


def test_that_a_wrong_value_is_reported_before_any_tangent(given: Given) -> None:
    case, arrays, pushed, untapped, model = given(OWN)
    suspect = Comparison(case.quantity("error", "E"), Verdict.SUSPECT, 2.0, (), 1.0, 2.0, 0.5)
    lying = (replace(one, E=2 * one.E) for one in (pushed, untapped))
    found, guilty = Localization(case, arrays, *lying, model)([suspect])
    assert guilty is not None
    assert (found[-1], guilty[0].verdict, guilty[0].entry) == (guilty[0], Verdict.VALUE_DIFFERS, "E")


def test_that_a_vague_suspect_is_no_finding(torch: tuple[ForTorch, Framework]) -> None:
    case, arrays, answered = asked(torch[0], VAGUE)
    record = judge(case, arrays, torch[1], answered)
    assert (record.verdict, record.probable_ratio > 1) == (Verdict.AGREE, True)
    assert record.reason == "along 8 directions, checked operation by operation, on the framework's own tangents"


def test_that_a_sum_of_tangents_that_does_not_fit_is_no_finding(
    torch: tuple[ForTorch, Framework], monkeypatch: pytest.MonkeyPatch
) -> None:
    case, arrays, answered = asked(torch[0], SUMS)
    assert judge(case, arrays, torch[1], answered).verdict is Verdict.OUT_OF_RANGE
    monkeypatch.setattr("gradagree.checker.dense_tangents.overflow_allowance", lambda size, rounds, rules: 0.0)
    accused = judge(case, arrays, torch[1], answered)
    assert (accused.verdict, accused.function) == (Verdict.NONFINITE, "log_softmax")


@pytest.mark.parametrize("spec", PAST)
def test_that_infinity_times_a_weight_that_does_not_change_is_no_finding(
    torch: tuple[ForTorch, Framework], spec: str
) -> None:
    case, arrays, answered = asked(torch[0], spec)
    assert isinstance(answered, Response)
    assert np.isnan(answered.tapped.tangents["c3"][0]).any()
    assert judge(case, arrays, torch[1], answered).verdict in (Verdict.OUT_OF_RANGE, Verdict.UNDECIDED)


def test_that_what_is_undecided_end_to_end_may_be_decided_box_by_box(
    torch: tuple[ForTorch, Framework], monkeypatch: pytest.MonkeyPatch
) -> None:
    case, arrays, answered = asked(torch[0], DULL)
    found = judge(case, arrays, torch[1], answered)
    assert (found.verdict, found.sharpness < 1) == (Verdict.AGREE, True)
    monkeypatch.setattr(
        "gradagree.checker.forward.Localization.__call__", lambda self, comparisons: ([*comparisons], None)
    )
    assert judge(case, arrays, torch[1], answered).verdict is Verdict.UNDECIDED


def without(arrays: Any) -> dict[str, np.ndarray]:
    """All but the first."""
    return dict(list(arrays.items())[1:])


def test_that_tangents_of_other_shapes_are_malformed(given: Given, torch: tuple[ForTorch, Framework]) -> None:
    case, arrays, pushed, untapped, _ = given(OWN)
    for wrong, says in (
        (replace(pushed, along=pushed.along[1:]), "48 directions for 40 weights and 9 inputs"),
        (replace(pushed, tangents=without(pushed.tangents)), "tangents of shapes"),
        (replace(pushed, values=without(pushed.values)), "and values of shapes"),
    ):
        record = judge(case, arrays, torch[1], Response("forward", wrong, untapped))
        assert record.verdict is Verdict.CRASHED
        assert says in record.reason


def test_that_a_blunt_end_to_end_tolerance_gives_way_to_a_sharper_one_of_the_boxes(
    torch: tuple[ForTorch, Framework], monkeypatch: pytest.MonkeyPatch
) -> None:
    case, arrays, answered = asked(torch[0], "10-6-64-24:id,maximum_zero,glu:sse:n16:f64:grid:s696905476")
    by_nodes = judge(case, arrays, torch[1], answered)
    monkeypatch.setattr("gradagree.checker.forward.BLUNT", 1.0)
    end_to_end = judge(case, arrays, torch[1], answered)
    assert by_nodes.verdict is Verdict.AGREE
    assert by_nodes.sharpness < 1e-6 < end_to_end.sharpness


@pytest.mark.parametrize(("slope", "fails"), [(0.0, False), (0.5, False), (1.0, False), (2.0, True), (-1.0, True)])
def test_that_a_tangent_at_a_kink_has_an_admissible_derivative(given: Given, slope: float, fails: bool) -> None:
    case, arrays, pushed, _, model = given("16-3:relu:sse:n4:f64:grid:s4")
    which = list(range(arrays.inputs.size))
    moved = np.eye(arrays.inputs.size).reshape(-1, *arrays.inputs.shape) * (arrays.inputs == 0)
    wrong = pushed.tangents["c1"].copy()
    wrong[which] += slope * moved @ case.network(arrays).w
    assert np.any(wrong != pushed.tangents["c1"]) == bool(slope)
    lying = replace(pushed, tangents={**pushed.tangents, "c1": wrong})
    (found,) = (one for one in ForwardCheck(case, arrays, lying, model).along(which) if one.box == 1)
    assert found.verdict.fails == fails
    assert fails or found.sharpness < 1e-12
