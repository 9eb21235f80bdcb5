"""Where ball arithmetic convicts the reference, the framework is not accused."""

from __future__ import annotations

from typing import Any

import pytest

from gradagree import Case
from gradagree.arithmetics import Ball
from gradagree.arithmetics.dual import Dual
from gradagree.judge import InternalError
from gradagree.reference.activations import Identity, Tanh
from gradagree.reference.errors import SumOfSquares
from gradagree.verdict import Verdict


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
def test_that_a_reference_that_is_proved_wrong_is_our_own_error(bench: Any, broken: str, dtype: str) -> None:
    activations, error, where = BROKEN[broken]
    sound = Case((3, 2, 2), (Identity(), Tanh()), SumOfSquares(), 4, dtype, seed=1)
    honest = bench.answer(sound)
    assert not bench.judged(sound, honest).verdict.fails
    with pytest.raises(InternalError, match=rf"{where}.*the truth is .*please report this"):
        bench.judged(Case.of(Case((3, 2, 2), activations, error, 4, dtype, seed=1), sound.arrays()), honest)


def test_that_a_framework_that_shares_the_references_mistake_is_not_accused_by_mistake(bench: Any) -> None:
    case = Case((3, 2, 2), (Identity(), _WrongDerivative()), SumOfSquares(), 4, "float32", seed=1)
    assert bench.judged(case, bench.answer(case)).verdict is Verdict.AGREE
