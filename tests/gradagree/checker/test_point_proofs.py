"""Derivatives are proved at single points: listed kinks, points where branches meet, ties, ends of probabilities."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gradagree import Activation, ErrorFunction
from gradagree.checker import point_proofs
from gradagree.checker.proofs import prove_derivatives
from gradagree.errors import UsageError
from gradagree.reference.activations import Silu, Softplus
from gradagree.reference.errors import Absolute, BinaryCrossEntropy, Hinge, KlDiv, SumOfSquares

CATALOGUE = [
    kind()
    for base in (Activation, ErrorFunction)
    for kind in base.catalogue.values()
    if kind.__module__.startswith("gradagree.")
]


class _MarksTies(SumOfSquares):
    """Its gradient is continuous where outputs equal targets."""

    name = "_marks_ties"

    def kink(self, o: Any, t: Any) -> Any:
        return o == t


class _MarksMore(Absolute):
    """It has kinks at ties only."""

    name = "_marks_more"

    def kink(self, o: Any, t: Any) -> Any:
        return (o == t) | (o - t == 1)


class _HalfAtTies(SumOfSquares):
    """Its gradient at ties is 0."""

    name = "_half_at_ties"

    def sensitivity(self, o: Any, t: Any) -> Any:
        return np.where(o == t, 0.5, 2 * (o - t))


class _ZeroAtZero(Silu):
    """Its derivative at 0 is 1/2."""

    name = "_zero_at_zero"

    def derivative(self, p: Any) -> Any:
        return np.where(p == 0, 0.0, super().derivative(p))


class _WrongAtTwo(Softplus):
    """Its derivative at 2 is 0.88."""

    name = "_wrong_at_two"

    def derivative(self, p: Any) -> Any:
        return np.where(p == 2, 1.0, super().derivative(p))


class _WrongNearZero(BinaryCrossEntropy):
    """Its gradient is cut off for small probabilities."""

    name = "_wrong_near_zero"

    def _derivative(self, o: Any, t: Any) -> Any:
        return np.where(o < 1e-3, 0.0, super()._derivative(o, t))


class _WrongInTheLogarithms(KlDiv):
    """Its gradient is cut off for small probabilities."""

    name = "_wrong_in_the_logarithms"

    def sensitivity(self, o: Any, t: Any) -> Any:
        return np.where(o < -30, 0.0, super().sensitivity(o, t))


class _Logit(Activation):
    """A(p) = log p - log(1 - p), whose derivative is cut off near 1."""

    name = "_logit"
    domain = "unit"

    def value(self, p: Any) -> Any:
        return np.log(p) - np.log(1 - p)

    def derivative(self, p: Any) -> Any:
        return np.where(p > 0.9999, 0.0, 1 / p + 1 / (1 - p))


class _PowerOfShares(Activation):
    """A(p) = p^2 of probabilities, whose vjp is wrong for small ones."""

    name = "_power_of_shares"
    domain = "simplex"

    def value(self, p: Any) -> Any:
        return p**2

    def vjp(self, p: Any, delta_a: Any) -> Any:
        return np.where(np.max(p, axis=-1, keepdims=True) > 0.99, 0.0, 2 * p) * delta_a


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (
            _MarksTies(),
            r"a false kink: at o = .* the derivative of value does not jump at .*, it is 0.0 on both",
        ),
        (_MarksMore(), "a false kink: at o = .*, it is 1.0 on both sides, but kink"),
        (_HalfAtTies(), r"it gives 0.5 for o\[\d,\d\], but the derivative of value is 0.0 \(proved\)"),
        (_ZeroAtZero(), r"at p = 0.0 it gives 0.0, but the derivative of value is 0.5 \(proved\)"),
        (_WrongAtTwo(), r"at p = 2.0 it gives 1.0, but the derivative of value is 0.88079707797788\d* \(proved\)"),
        (_WrongNearZero(), "sensitivity does not match value"),
        (_WrongInTheLogarithms(), "sensitivity does not match value"),
        (_Logit(), "derivative does not match value: at p = 0.99990?"),
        (_PowerOfShares(), "vjp does not match value"),
    ],
    ids=lambda x: getattr(type(x), "__name__", ""),
)
def test_that_a_wrong_point_is_refused(function: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        prove_derivatives(function)


@pytest.mark.parametrize("function", CATALOGUE, ids=str)
def test_that_the_catalogue_is_proved_at_single_points(function: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(point_proofs, "is_own", lambda function: True)
    with np.errstate(all="ignore"):
        if isinstance(function, ErrorFunction):
            point_proofs.prove_loss_at_ties(function)
        elif not function.along_last_axis:
            point_proofs.prove_listed_kinks(function)
            point_proofs.prove_meeting_points(function)


@pytest.mark.parametrize("error", [Absolute(), Hinge()], ids=str)
def test_that_kinks_of_losses_are_met(error: ErrorFunction) -> None:
    assert any(np.any(error.kink(o, t)) for o, t in point_proofs.tied_batches(error))


class _RoundedClip(Absolute):
    """A sum of clipped 0.2 (o - t) + 0.5; 0.2 is rounded up, so its gradient jumps beside o - t = -2.5."""

    name = "_rounded_clip"

    def _term(self, o: Any, t: Any) -> Any:
        return np.maximum(0, np.minimum(1, 0.2 * (o - t) + 0.5))

    def _derivative(self, o: Any, t: Any) -> Any:
        return np.where(np.abs(o - t) < 2.5, 0.2, 0.0)

    def kink(self, o: Any, t: Any) -> Any:
        return np.abs(o - t) == 2.5


def test_that_a_kink_of_a_loss_may_be_where_rounded_constants_put_it() -> None:
    o, t = np.array([[0.25, 1.0]]), np.array([[2.75, 1.25]])
    assert _RoundedClip().kink(o, t).tolist() == [[True, False]]
    point_proofs._prove_batch(_RoundedClip(), o, t)
