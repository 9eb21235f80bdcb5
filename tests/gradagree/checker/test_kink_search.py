"""Unlisted kinks are found at their points; a smooth function is never reported, however steep."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gradagree import Activation, ErrorFunction
from gradagree.arithmetic.ball import Ball, lift
from gradagree.arithmetic.dual import Dual, tangent_of
from gradagree.cases.regimes import Source
from gradagree.checker.kink_search import (
    LINE_ENDS,
    adjacent_intervals,
    find_jumps,
    prove_kinks,
    prove_loss_kinks,
    search_lines,
    unlisted_kinks,
    unlisted_loss_kinks,
)
from gradagree.checker.point_proofs import derivative_without_jump
from gradagree.checker.proofs import prove_derivatives, sample_batch
from gradagree.errors import UsageError
from gradagree.reference.activations import Hardtanh, LeakyRelu, Relu, Softplus, Tanh
from gradagree.reference.errors import PairwiseDistance, SmoothL1, TripletMargin
from gradagree.reference.samples import allowed_width

ACTIVATIONS = [kind() for kind in Activation.catalogue.values()]
ELEMENTWISE = [activation for activation in ACTIVATIONS if not activation.along_last_axis]
ERRORS = [kind() for kind in ErrorFunction.catalogue.values()]
PARAMETERS = [
    "huber(delta=0.1)",
    "quantile(q=0.25)",
    "hinge(margin=0.5)",
    "triplet_margin(swap=True)",
    "multi_margin(p=2)",
]
BENT = "prelu_by_column"
"""Its columns have a kink at 0; kinks are listed for elementwise functions only."""
FAR = "ntxent"
"""Its kinks are outputs far shorter than any here, and it has a test of its own."""
KINKED = [error for error in ERRORS if type(error).kink is not ErrorFunction.kink and error.name != FAR]


@pytest.mark.parametrize("activation", ELEMENTWISE, ids=str)
def test_that_the_kinks_of_the_catalogue_are_complete(activation: Activation) -> None:
    assert list(unlisted_kinks(activation)) == []


@pytest.mark.parametrize("activation", [a for a in ACTIVATIONS if a.along_last_axis and a.name != BENT], ids=str)
def test_that_activations_along_the_last_axis_have_no_kinks(activation: Activation) -> None:
    source = Source(f"line {activation}")
    x, along = (source.dyadic((1, allowed_width(activation, 6)), 20, 1) for _ in range(2))
    weights = source.dyadic((activation.width(x.shape[1]) or 0,), 20, 1)

    def derivative(s: Ball) -> Any:
        moved = Ball.exact(x) + s[:, None] * along
        tangents = tangent_of(activation.value(Dual(moved, lift(np.broadcast_to(along, moved.shape)))))
        return np.sum(tangents * weights, axis=-1)

    assert list(find_jumps(derivative, adjacent_intervals(LINE_ENDS))) == []


@pytest.mark.parametrize("error", [*ERRORS, *map(ErrorFunction.named, PARAMETERS)], ids=str)
@pytest.mark.parametrize("outputs", [1, 4])
def test_that_the_kinks_of_error_functions_are_complete_in_outputs_and_targets(
    error: ErrorFunction, outputs: int
) -> None:
    o, t = sample_batch(error, 2, max(outputs, 1 + (error.targets == "classes")))
    assert list(unlisted_loss_kinks(error, o.shape, t)) == []


def without(function: Any, name: str, default: Any) -> Any:
    """The function with one of its attributes left at its default."""
    kind = type(function)
    return type(f"_{kind.__name__}", (kind,), {name: default})()


@pytest.mark.parametrize("activation", [a for a in ELEMENTWISE if a.kinks], ids=str)
def test_that_all_unlisted_kinks_are_found_at_their_points(activation: Activation) -> None:
    found = [jump.point for jump in unlisted_kinks(without(activation, "kinks", ()))]
    assert found == list(activation.kinks)


@pytest.mark.parametrize("error", KINKED, ids=str)
def test_that_a_loss_without_a_kink_rule_is_reported(error: ErrorFunction) -> None:
    outputs = 1 if isinstance(error, PairwiseDistance) else 4
    o, t = sample_batch(error, 2, outputs)
    assert next(unlisted_loss_kinks(without(error, "kink", ErrorFunction.kink), o.shape, t), None) is not None


class _WithoutTie(TripletMargin):
    def kink(self, o: Any, t: Any) -> Any:
        return super().kinks(o, t)["the margin"]


def test_that_one_of_several_kinds_of_kinks_is_missed() -> None:
    o, t = sample_batch(TripletMargin(), 2, 9)
    line, jump = next(unlisted_loss_kinks(_WithoutTie(swap=True), o.shape, t))
    _, far, other = _WithoutTie(swap=True)._squares(line.at(jump.interval.reshape(1))[1])
    assert np.any(np.abs((far - other).middle) <= (far - other).radius)


def test_that_lines_lead_through_outputs_and_targets() -> None:
    error = ErrorFunction.named("absolute")
    o, t = sample_batch(error, 2, 4)
    jumping = {
        line.of_targets for line, _ in unlisted_loss_kinks(without(error, "kink", ErrorFunction.kink), o.shape, t)
    }
    assert jumping == {False, True}
    assert len(list(search_lines(error, o.shape, t))) == o.shape[1] + 2


class _Unlisted(Relu):
    kinks = ()


class _Third(Activation):
    name = "_third"

    def value(self, p: Any) -> Any:
        return np.maximum(3 * p - 1, 0)

    def derivative(self, p: Any) -> Any:
        return np.where(3 * p > 1, 3.0, 0.0)


class _Misplaced(_Third):
    name = "_misplaced"
    kinks = (0.3333,)


class _Slight(Tanh):
    def value(self, p: Any) -> Any:
        return np.tanh(p) + np.abs(p - 0.3) / 32

    def derivative(self, p: Any) -> Any:
        return 1 - np.tanh(p) ** 2 + np.sign(p - 0.3) / 32


def test_that_the_message_has_the_point_both_derivatives_and_a_remedy() -> None:
    with pytest.raises(UsageError) as caught:
        prove_derivatives(_Unlisted())
    assert str(caught.value) == (
        "relu: an unlisted kink: at p = 0.0 the derivative of value jumps from 0.0 to 1.0 (proved), "
        "and kinks has none; add 0.0 to kinks"
    )


@pytest.mark.parametrize(("activation", "point"), [(_Third(), 1 / 3), (_Misplaced(), 1 / 3), (_Slight(), 0.3)], ids=str)
def test_that_a_kink_is_found_at_its_exact_point(activation: Activation, point: float) -> None:
    (jump,) = unlisted_kinks(activation)
    assert jump.point == point
    with pytest.raises(UsageError, match=f"add {point!r} to kinks"):
        prove_kinks(activation)


def test_that_the_message_for_an_unlisted_kink_has_the_listed_ones() -> None:
    with pytest.raises(UsageError, match=r"at p = 1\.0 .* kinks has -1\.0; add 1\.0 to kinks"):
        prove_kinks(without(Hardtanh(), "kinks", (-1.0,)))


def test_that_an_unmarked_kink_of_a_loss_is_reported_with_its_point() -> None:
    error = without(ErrorFunction.named("absolute"), "kink", ErrorFunction.kink)
    message = r"from -1\.0 to 1\.0 \(proved\) at o = \[\[.* and t = \[\[.*, where kink\(o, t\) is false; make it true"
    with pytest.raises(UsageError, match=f"absolute: an unlisted kink: the derivative of value jumps {message}"):
        prove_loss_kinks(error, *sample_batch(error, 2, 4))


class _Chosen(ErrorFunction):
    """mean of (o - t)^2 where t > 0, and of its half elsewhere: targets choose a branch."""

    name = "_chosen"
    bent: float = 0.0

    def value(self, o: Any, t: Any) -> Any:
        d = o - t
        return np.mean(np.where(t > 0, d**2, d**2 / 2) + self.bent * np.abs(d), axis=(-2, -1))

    def sensitivity(self, o: Any, t: Any) -> Any:
        d = o - t
        return (np.where(t > 0, 2 * d, d) + self.bent * np.sign(d)) / (o.shape[-1] * o.shape[-2])


def test_that_targets_which_choose_a_branch_are_no_kink() -> None:
    prove_loss_kinks(_Chosen(), *sample_batch(_Chosen(), 3, 4))
    bent = _Chosen(bent=0.5)
    lines = [line for line, _ in unlisted_loss_kinks(bent, (3, 4), sample_batch(bent, 3, 4)[1])]
    assert {line.of_targets for line in lines} == {True, False}


class _Steep(Activation):
    """A(p) = tanh(2^steepness p)."""

    name = "_steep"
    steepness: int = 10

    def value(self, p: Any) -> Any:
        return np.tanh(2.0**self.steepness * p)

    def derivative(self, p: Any) -> Any:
        return 2.0**self.steepness * (1 - np.tanh(2.0**self.steepness * p) ** 2)


class _Root(Activation):
    """A(p) = p^(1/3), whose derivative is infinite at 0, from both sides."""

    name = "_root"

    def value(self, p: Any) -> Any:
        return np.cbrt(p)

    def derivative(self, p: Any) -> Any:
        return 1 / (3 * np.cbrt(p) ** 2)


SMOOTH = [_Steep(), _Steep(steepness=60), _Steep(steepness=600), Softplus(beta=1e200), LeakyRelu(1.0), _Root()]


@pytest.mark.parametrize("activation", SMOOTH, ids=str)
def test_that_a_smooth_function_is_not_reported_however_steep(activation: Activation) -> None:
    assert list(unlisted_kinks(activation)) == []


def test_that_a_loss_that_bends_within_a_short_interval_is_not_reported() -> None:
    error = SmoothL1(beta=2.0**-200)
    o, t = sample_batch(error, 2, 4)
    assert list(unlisted_loss_kinks(error, o.shape, t)) == []


class _FalseKink(Tanh):
    kinks = (0.0,)


class _Cusp(_Root):
    kinks = (0.0,)


class _Step(Activation):
    """Its value jumps at 0.5, where its derivative has no value."""

    name = "_step"
    kinks = (0.5,)

    def value(self, p: Any) -> Any:
        return np.where(p > 0.5, p + 1, p)

    def derivative(self, p: Any) -> Any:
        return np.where(p > 0.5, 1.0, 1.0)


class _Doubled(Activation):
    """Its derivative jumps from 1 to 2 at 0."""

    name = "_doubled"
    kinks = (0.0,)

    def value(self, p: Any) -> Any:
        return np.where(p > 0, 2 * p, p)

    def derivative(self, p: Any) -> Any:
        return np.where(p > 0, 2.0, 1.0)


def test_that_a_kink_without_a_jump_is_refused() -> None:
    with pytest.raises(UsageError) as caught:
        prove_derivatives(_FalseKink())
    assert str(caught.value) == (
        "tanh: a false kink: at p = 0.0 the derivative of value does not jump, it is 1.0 on both sides; "
        "remove 0.0 from kinks"
    )


class _RoundedConstant(Activation):
    """0.2 p + 0.5 between 0 and 1; in float64 0.2 is a little larger, so its derivative jumps just right of -2.5."""

    name = "_rounded_constant"
    kinks = (-2.5, 2.5)

    def value(self, p: Any) -> Any:
        return np.maximum(0, np.minimum(1, 0.2 * p + 0.5))

    def derivative(self, p: Any) -> Any:
        return np.where(np.abs(p) < 2.5, 0.2, 0.0)


class _RoundedConstantMissed(_RoundedConstant):
    """The same with a kink where there is none, at a distance that rounding does not explain."""

    name = "_rounded_constant_missed"
    kinks = (-2.5, -2.5 + 2.0**-30, 2.5)


def test_that_a_kink_may_be_where_rounded_constants_put_it() -> None:
    prove_derivatives(_RoundedConstant())
    with pytest.raises(UsageError, match=r"a false kink: at p = -2\.499999999"):
        prove_derivatives(_RoundedConstantMissed())


@pytest.mark.parametrize("activation", [_Cusp(), _Step(), _Doubled()], ids=str)
def test_that_points_where_value_or_derivative_jump_are_no_false_kinks(activation: Activation) -> None:
    assert [derivative_without_jump(activation, kink) for kink in activation.kinks] == [None]


@pytest.mark.parametrize("activation", [a for a in ELEMENTWISE if a.kinks], ids=str)
def test_that_every_kink_of_the_catalogue_is_one(activation: Activation) -> None:
    assert [derivative_without_jump(activation, kink) for kink in activation.kinks] == [None] * len(activation.kinks)
