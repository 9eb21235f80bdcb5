"""Where ball arithmetic convicts the reference, the framework is not accused."""

from __future__ import annotations

from typing import Any

import pytest

from gradagree import Case
from gradagree.arithmetic import Ball
from gradagree.arithmetic.dual import Dual
from gradagree.checker.comparison import Comparison
from gradagree.checker.exact import Enclosure, InternalError, confirmed
from gradagree.checker.verdict import Verdict
from gradagree.reference.activations import Identity, Tanh
from gradagree.reference.errors import SumOfSquares
from gradagree.reference.graph import quantity_of


def proved(*components: Any) -> bool:
    """Whether a formula is being run in ball arithmetic."""
    inner = [x.value if isinstance(x, Dual) else x for x in components]
    return any(isinstance(x, Ball) for x in inner)


class _WrongDerivative(Tanh):
    def derivative(self, p: Any) -> Any:
        return Tanh.derivative(self, p) * (1 if proved(p) else 1.125)


class _WrongValue(Tanh):
    def value(self, p: Any) -> Any:
        return Tanh.value(self, p) * (1 if proved(p) else 1.125)


class _WrongError(SumOfSquares):
    def value(self, o: Any, t: Any) -> Any:
        return super().value(o, t) * (1 if proved(o, t) else 1.125)


class _WrongSensitivity(SumOfSquares):
    def sensitivity(self, o: Any, t: Any) -> Any:
        return super().sensitivity(o, t) * (1 if proved(o, t) else 1.125)


BROKEN = {
    "derivative": ((Identity(), _WrongDerivative()), SumOfSquares(), "box 2, delta_p"),
    "value": ((Identity(), _WrongValue()), SumOfSquares(), "box 2, c"),
    "error": ((Identity(), Tanh()), _WrongError(), "box error, E"),
    "sensitivity": ((Identity(), Tanh()), _WrongSensitivity(), "box error, delta_p"),
}


@pytest.mark.parametrize("broken", BROKEN)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_that_a_reference_that_is_proved_wrong_is_our_own_error(
    bench: Any, broken: str, dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "gradagree.cases.case.LOSS_WEIGHTS", (1.0,)
    )  # the answer is that of the case with the sound loss
    activations, error, where = BROKEN[broken]
    sound = Case((3, 2, 2), (Identity(), Tanh()), SumOfSquares(), 4, dtype, seed=1)
    honest = bench.answer(sound)
    assert not bench.judged(sound, honest).verdict.fails
    with pytest.raises(InternalError, match=rf"{where}.*the exact value is .*please report this"):
        bench.judged(Case.of(Case((3, 2, 2), activations, error, 4, dtype, seed=1), sound.arrays()), honest)


def test_that_a_framework_that_shares_the_references_mistake_is_not_accused_by_mistake(bench: Any) -> None:
    case = Case((3, 2, 2), (Identity(), _WrongDerivative()), SumOfSquares(), 4, "float32", seed=1)
    assert bench.judged(case, bench.answer(case)).verdict is Verdict.AGREE


STEP = 2.0**-20


@pytest.mark.parametrize(
    ("true", "sharpness", "verdict"),
    [(0.0, 0.1, Verdict.DISAGREE), (0.25, 0.1, Verdict.AGREE), (0.25, 2.0, Verdict.UNDECIDED)],
)
def test_that_between_the_references_rounding_and_the_truth_nobody_is_wrong(
    true: float, sharpness: float, verdict: Verdict, monkeypatch: pytest.MonkeyPatch
) -> None:
    judged, found, proof = convicted_of(true, sharpness, monkeypatch)
    assert judged[0].verdict is verdict
    assert (found is judged[0]) is (verdict is not Verdict.AGREE)
    assert (proof is None) is (verdict is not Verdict.DISAGREE)
    assert judged[0].ratio <= 1 or verdict is Verdict.DISAGREE


def test_that_a_reference_past_the_tolerance_of_the_truth_is_convicted(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InternalError, match="box 2, dw"):
        convicted_of(2.0, 0.1, monkeypatch)


def convicted_of(true: float, sharpness: float, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The reference at 1, the framework 1.125 tolerances above it, and the truth as many as said."""
    monkeypatch.setattr("gradagree.checker.exact.enclosure", lambda *_: Enclosure(1 + true * STEP, STEP / 16))
    past = Comparison(
        quantity_of(2, "dw", 2), Verdict.DISAGREE, 1.125, (0, 0), 1.0, 1 + 1.125 * STEP, STEP, sharpness, 4, 4
    )
    case = Case((3, 2), (Tanh(),), SumOfSquares(), 4, "float64", seed=1)
    return confirmed(case, case.arrays(), None, [past, Comparison(quantity_of(1, "dw", 2), Verdict.AGREE, 0.99)])  # type: ignore[arg-type]
