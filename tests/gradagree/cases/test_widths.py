"""Functions that accept only short rows are drawn at their widths, and their kinks are met there."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gradagree import Activation, Case, draw
from gradagree.arithmetic.model import model
from gradagree.arithmetic.rounded import Rounded
from gradagree.cases.compatibility import adjust_widths
from gradagree.checker.allowances import ToleranceOptions
from gradagree.reference.samples import allowed_width


class _Rows(Activation):
    """(sum_i |p_i|)^4 + exp(p_n) of rows of `length` entries: one number from each row."""

    kinks = (0.0,)
    name = "rows"
    length: int = 2

    def width(self, n: int) -> int | None:
        return 1 if n == self.length else None

    def value(self, p: Any) -> Any:
        return np.sum(np.abs(p), axis=-1, keepdims=True) ** 4 + np.exp(p[..., -1:])

    def vjp(self, p: Any, delta_a: Any) -> Any:
        own = 4 * np.sum(np.abs(p), axis=-1, keepdims=True) ** 3 * np.sign(p)
        return (own + np.concatenate([np.zeros_like(p[..., 1:]), np.exp(p[..., -1:])], axis=-1)) * delta_a


@pytest.mark.parametrize("length", [2, 3, 4])
def test_that_a_function_of_short_rows_is_drawn_at_its_width(length: int) -> None:
    function = _Rows(length)
    boxes = [
        box for case in draw(40, activations=[function]) for box in zip(case.widths, case.activations, strict=False)
    ]
    used = [width for width, activation in boxes if activation == function]
    assert set(used) == {length}
    assert len(used) >= 40


def test_that_a_width_is_raised_if_possible_and_lowered_otherwise() -> None:
    assert allowed_width(_Rows(3), 2) == 3
    assert allowed_width(_Rows(3), 8) == 3
    with pytest.raises(ValueError, match="accepts no width from 1 to"):
        allowed_width(_Rows(-1), 8)


def test_that_a_function_without_a_derivative_does_not_widen_forever() -> None:
    class _Flat(_Rows):
        def vjp(self, p: Any, delta_a: Any) -> Any:
            return 0.0 * p * delta_a

    case = Case.parse("2-8-2:id*2:sse:n2:f64:ordinary:s1")
    assert adjust_widths(case.widths, (case.activations[0], _Flat()), case.error)[1] == 2


@pytest.mark.parametrize(("side", "last"), [("left", -31.0), ("right", 33.0), ("mean", 1.0)])
def test_that_a_kink_of_a_row_function_has_both_one_sided_derivatives(side: str, last: float) -> None:
    """At p = (2, 0), A' = (4 8, 1 - 4 8) from the left and (4 8, 1 + 4 8) from the right."""
    rules = model("float64", flushes=False)
    p, delta = (Rounded.stored(np.array(x), rules) for x in ([[2.0, 0.0]], [[1.0]]))
    found = ToleranceOptions(conditioning=True, one_sided=side, ad_forms=True).bounds(_Rows()).vjp(p, delta)
    assert np.all(np.abs(found.value - [[32.0, last]]) <= found.radius)
    assert np.all(found.radius < 1e-10)
