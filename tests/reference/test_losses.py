"""Every error function of the catalogue: its sensitivity, its kinks and its implementations against its value."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import flint
import numpy as np
import pytest

from gradagree.arithmetic import Ball, Dual, Rounded
from gradagree.arithmetic.ball import lift
from gradagree.arithmetic.model import model
from gradagree.checker.allowances import ToleranceOptions
from gradagree.reference import ErrorFunction, errors
from gradagree.reference.samples import to_domain

pytestmark = pytest.mark.usefixtures("working_precision")
BITS = 600
EXAMPLES, OUTPUTS = 2, 6
SHAPE = (EXAMPLES, OUTPUTS)
ENTRIES = list(np.ndindex(SHAPE))
OF_PAIRS = {"ntxent": (3, 4)}
"""The shapes of outputs for error functions of pairs of examples, which are nothing, or constant, in a batch of two."""
REGISTERED = [made for made in ErrorFunction.catalogue.values() if made.__module__.startswith("gradagree.reference")]
DEFAULTS = [made() for made in REGISTERED]
REDUCED = [made for made in DEFAULTS if hasattr(made, "reduction")]
PER_CLASS = (0.5, 2.0, 1.0, 0.25, 3.0, 1.5)
VARIANTS = [
    *DEFAULTS,
    *(dataclasses.replace(made, reduction=way) for made in REDUCED for way in ("mean", "sum", "none")
      if made.reduction != way),
    errors.Huber(delta=0.375),
    errors.SmoothL1(beta=0.375),
    errors.Quantile(q=0.25),
    errors.Hinge(margin=0.5),
    errors.HingeEmbedding(margin=0.5),
    errors.MarginRanking(margin=0.5),
    errors.CosineEmbedding(margin=0.25),
    errors.CosineDistance(eps=0.25),
    errors.PairwiseDistance(eps=0.25),
    errors.TripletMargin(margin=0.5, eps=0.25, swap=True),
    errors.TripletMarginOfSquares(margin=0.5, eps=0.25),
    errors.GaussianNll(full=True, eps=0.0625),
    errors.PoissonNll(full=True),
    errors.PoissonNllOfRates(full=True, eps=0.25),
    errors.BinaryCrossEntropyOnLogits(weight=PER_CLASS, pos_weight=3.0),
    errors.BinaryCrossEntropyOnLogits(pos_weight=PER_CLASS),
    errors.BinaryCrossEntropy(weight=PER_CLASS),
    errors.SigmoidFocal(alpha=0.25, gamma=1.5),
    errors.SoftmaxCrossEntropy(weight=PER_CLASS, ignore_index=2, label_smoothing=0.25),
    errors.SoftmaxCrossEntropy(weight=PER_CLASS, label_smoothing=0.125, reduction="none"),
    errors.Nll(weight=PER_CLASS, ignore_index=2),
    errors.SoftCrossEntropy(weight=PER_CLASS, label_smoothing=0.25),
    errors.PolyCrossEntropy(epsilon=-0.5),
    errors.MultiMargin(p=2, margin=0.5, weight=PER_CLASS),
    errors.MultilabelSoftMargin(weight=PER_CLASS),
    errors.Dice(weight=PER_CLASS, smooth=0.5, alpha=0.25, beta=0.875, together=True),
    errors.Dice(weight=PER_CLASS, ignore_background=True, reduction="none"),
    errors.DiceOfProbabilities(weight=PER_CLASS, smooth=0.5, alpha=0.25, beta=0.875),
    errors.DiceOfProbabilities(together=True, ignore_background=True, reduction="none"),
    errors.GeneralizedDice(smooth=0.5, eps=0.25, ignore_background=True),
    errors.BinaryDice(smooth=0.25),
    errors.Ntxent(temperature=0.5, eps=0.25),
]  # fmt: skip
TOGETHER = (errors.CosineEmbedding, errors.Ntxent, errors.PairwiseDistance, errors.TripletMargin)
"""Several outputs have to move together to leave their kinks."""
FORMULAS = ("absolute", "bce_logits", "cross_entropy", "huber", "mse", "sse")
SPELLED_OUT = [made for made in (*DEFAULTS, errors.Huber(delta=0.375)) if made.name in FORMULAS]


class Planted:
    """An error function with another sensitivity."""

    def __init__(self, error: ErrorFunction, sensitivity: Callable[[Any, Any], Any]) -> None:
        self.value = error.value
        self.sensitivity = sensitivity
        self.targets = error.targets
        self.domain = error.domain
        self.width = error.width
        self.name = error.name
        self.kink = error.kink


def each(made: list[ErrorFunction]) -> Any:
    return pytest.mark.parametrize("error", made, ids=str)


def outputs(error: Any, scale: float = 1.0) -> np.ndarray:
    """Twelve different odd multiples of 1/16, large and small, so that no two are equal and no one is a target."""
    odd = np.array([1, -3, 21, -47, 5, 77, -11, -33, 15, 2, -19, 63])
    return to_domain(error.domain, (2 * odd + 1).reshape(OF_PAIRS.get(error.name, SHAPE)) / 16 * scale)


def targets(error: Any) -> np.ndarray:
    """Of the kind and width that the error function takes."""
    if error.name in OF_PAIRS:
        return np.array([2, 0, 2])
    kind, shape = error.targets, (EXAMPLES, error.width(OUTPUTS))
    if kind == "classes":
        return np.array([2, 0])
    bits = np.resize([0.0, 1.0, 1.0, 0.0, 1.0], shape)
    shares = np.resize([1.0, 2.0, 0.0, 3.0, 2.0, 0.0], shape) / 8
    real = np.resize(np.arange(12.0)[::-1] / 4 - 1, shape)
    return {"bits": bits, "signs": 1 - 2 * bits, "simplex": shares, "real": real, "positive": np.abs(real) + 0.25}[kind]


def seed(o: np.ndarray, entry: tuple[int, int]) -> Dual:
    """o, of which one entry is the variable."""
    slope = np.zeros(o.shape)
    slope[entry] = 1.0
    return Dual(Ball.exact(o), Ball.exact(slope))


def slope(error: Any, o: np.ndarray, t: np.ndarray, entry: tuple[int, int]) -> flint.arb:
    return lift(error.value(seed(o, entry), t).tangent).balls.item()


def wrong_entries(error: Any, o: np.ndarray) -> list[tuple[int, int]]:
    """The entries on no kink whose sensitivity is not proved to be the slope of the value, to half of the bits."""
    t, sharp = targets(error), flint.arb(2) ** (-BITS // 2)
    sensitivity = lift(error.sensitivity(Ball.exact(o), t)).balls
    smooth = ~np.broadcast_to(error.kink(o, t), o.shape)
    pairs = [(entry, sensitivity[entry], slope(error, o, t, entry)) for entry in np.ndindex(o.shape) if smooth[entry]]
    small = [sharp * max(1, abs(y).upper()) for _, _, y in pairs]
    return [
        entry
        for (entry, x, y), least in zip(pairs, small, strict=True)
        if not (x.overlaps(y) and max(x.rad(), y.rad()) < least)
    ]


@each(VARIANTS)
@pytest.mark.parametrize("scale", [2.0**-40, 2.0**-4, 1.0, 2.0**10])
def test_that_the_gradient_is_the_derivative_of_the_value(error: ErrorFunction, scale: float) -> None:
    assert wrong_entries(error, outputs(error, scale)) == []


@each(VARIANTS)
@pytest.mark.parametrize("factor", [1 + 1e-9, -1.0, 0.5, OUTPUTS / EXAMPLES])
def test_that_a_gradient_times_a_wrong_factor_is_found(error: ErrorFunction, factor: float) -> None:
    planted = Planted(error, lambda o, t: error.sensitivity(o, t) * factor)
    o = outputs(error, 2.0**-4)
    s, kinked = error.sensitivity(o, targets(error)), np.broadcast_to(error.kink(o, targets(error)), o.shape)
    sloping = [entry for entry in np.ndindex(o.shape) if s[entry] != 0 and not kinked[entry]]
    assert sloping
    assert wrong_entries(planted, o) == sloping


@each(DEFAULTS)
@pytest.mark.parametrize("entry", [(0, 0), (1, 3)], ids=str)
def test_that_a_gradient_wrong_in_one_entry_is_found_there(error: ErrorFunction, entry: tuple[int, int]) -> None:
    here = np.zeros(OF_PAIRS.get(error.name, SHAPE))
    here[entry] = 2.0**-70
    planted = Planted(error, lambda o, t: error.sensitivity(o, t) + here)
    assert wrong_entries(planted, outputs(error)) == [entry]


def jumps(error: Any, o: np.ndarray, t: np.ndarray, entry: tuple[int, int]) -> bool:
    """Whether the slope stays different to both sides of this output while the step vanishes."""
    changes = []
    for step in (2.0**-8, 2.0**-30):
        left, right = o.copy(), o.copy()
        left[entry] -= step
        right[entry] += step
        changes.append(abs(slope(error, right, t, entry) - slope(error, left, t, entry)))
    return bool(changes[1] > changes[0] / 2)


def on_kinks(error: Any, t: np.ndarray) -> np.ndarray:
    """Outputs on the kinks of many error functions, and a few beside them."""
    alike = error.targets == "real" and t.shape == SHAPE
    o = np.zeros(SHAPE) + (t if alike else 0.0)
    o[1] += np.array([-1.0, 1.0, 0.375, -0.375, 0.5, -0.5])
    return to_domain(error.domain, o)


@each([made for made in VARIANTS if not isinstance(made, TOGETHER)])
def test_that_kink_marks_the_outputs_where_the_derivative_jumps(error: ErrorFunction) -> None:
    t = targets(error)
    o = on_kinks(error, t)
    marked = np.broadcast_to(error.kink(o, t), SHAPE)
    assert marked.tolist() == [[jumps(error, o, t, (i, j)) for j in range(OUTPUTS)] for i in range(EXAMPLES)]


def test_that_two_embeddings_at_right_angles_are_a_kink() -> None:
    error, t = errors.CosineEmbedding(), np.array([[-1.0], [1.0]])
    o = np.array([[1.0, 0.0, 0.0, 2.0]] * 2)
    assert error.kink(o, t).tolist() == [[True] * 4, [False] * 4]
    assert [jumps(error, o, t, (0, j)) for j in range(4)] == [False, True, True, False]


def test_that_an_embedding_of_the_least_length_is_a_kink() -> None:
    error, t = errors.Ntxent(temperature=0.5, eps=0.25), np.array([1, 0, 1])
    o = np.array([[0.5, 0.0], [0.0, 1.0], [1.0, 1.0]])
    assert error.kink(o, t).tolist() == [[True] * 2, [False] * 2, [False] * 2]
    along_it, across_it = ((0, 0), (0, 1))
    assert [jumps(error, o, t, entry) for entry in (along_it, across_it, (1, 1))] == [True, False, False]
    assert error.across(o, t)[across_it] == 0 != error.across(o, t)[along_it]


def test_that_some_kink_is_marked_and_a_missing_mark_is_found() -> None:
    absolute, o = errors.Absolute(), np.zeros(SHAPE)
    assert absolute.kink(o, np.zeros(SHAPE)).all()
    assert jumps(absolute, o, np.zeros(SHAPE), (1, 1))
    assert not ErrorFunction.kink(absolute, o, np.zeros(SHAPE)).any()


def expected_value(error: ErrorFunction, o: np.ndarray, t: np.ndarray) -> Any:
    """E by the formula of its docstring, example by example, output by output, in ball arithmetic."""
    arb, pairs = flint.arb, [(flint.arb(o[k]), k) for k in ENTRIES]
    if error.name == "cross_entropy":
        rows = [[arb(x) for x in row] for row in o]
        return sum(sum(x.exp() for x in row).log() - row[c] for row, c in zip(rows, t, strict=True)) / EXAMPLES
    difference = [x - arb(t[k]) for x, k in pairs]
    if error.name in ("sse", "mse"):
        return sum(d**2 for d in difference) / (1 if error.name == "sse" else 12)
    if error.name == "absolute":
        return sum(abs(d) for d in difference)
    if error.name == "huber":
        delta = arb(error.delta)  # type: ignore[attr-defined]
        return sum(d**2 / 2 if abs(d) <= delta else delta * (abs(d) - delta / 2) for d in difference) / 12
    return sum((1 + x.exp()).log() - arb(t[k]) * x for x, k in pairs) / 12


@each(SPELLED_OUT)
def test_that_the_value_is_the_formula_of_the_docstring(error: ErrorFunction) -> None:
    o, t = outputs(error), targets(error)
    value = error.value(Ball.exact(o), t).balls.item()
    assert value.overlaps(expected_value(error, o, t))
    assert value.rad() < flint.arb(2) ** (-BITS // 2)
    assert not (value * (1 + flint.arb(2) ** -60)).overlaps(expected_value(error, o, t))


@each(VARIANTS)
def test_that_leading_axes_hold_one_network_each_and_inputs_are_unchanged(error: ErrorFunction) -> None:
    scaled = [outputs(error, scale) for scale in (1.0, 0.5, -1.0)]
    o, t = np.stack(scaled), np.stack([targets(error)] * 3)
    before = o.copy(), t.copy()
    E, sensitivity = error.value(o, t), error.sensitivity(o, t)
    assert (E.shape, sensitivity.shape) == ((3,), o.shape)
    np.testing.assert_array_equal(E, [error.value(x, y) for x, y in zip(o, t, strict=True)])
    np.testing.assert_array_equal(sensitivity, [error.sensitivity(x, y) for x, y in zip(o, t, strict=True)])
    np.testing.assert_array_equal(o, before[0])
    np.testing.assert_array_equal(t, before[1])


def strays(error: ErrorFunction, framework: str, reference: ErrorFunction) -> bool:
    """Whether the implementation is outside what a correct float32 program may compute."""
    module = pytest.importorskip(framework)
    make = module.tensor if framework == "torch" else module.numpy.asarray
    o, t = outputs(error, 0.25).astype(np.float32).astype(float), targets(error)
    as_held = t if error.targets == "classes" else t.astype(np.float32)
    observed = getattr(error, framework)(make(o.astype(np.float32)), make(as_held), module)
    expected = ToleranceOptions(conditioning=True).bounds(reference).value(Rounded.stored(o, model("float32")), t)
    return bool(not abs(float(observed) - expected.value) <= expected.radius)


@pytest.mark.filterwarnings("ignore:reduction. 'mean' divides")
@each(VARIANTS)
@pytest.mark.parametrize("framework", ["torch", "jax"])
def test_that_the_implementation_computes_the_same_error(error: ErrorFunction, framework: str) -> None:
    assert not strays(error, framework, error)


@pytest.mark.parametrize("framework", ["torch", "jax"])
def test_that_an_implementation_of_another_error_is_found(framework: str) -> None:
    assert strays(errors.MeanSquared(), framework, errors.SumOfSquares())
    assert strays(errors.Huber(delta=0.375), framework, errors.Huber())


def test_that_every_parameter_of_the_catalogue_is_tried_off_its_default() -> None:
    parameters = {(made.name, field.name) for made in DEFAULTS for field in dataclasses.fields(made)}
    tried = {
        (made.name, field.name)
        for made in VARIANTS
        for field in dataclasses.fields(made)
        if getattr(made, field.name) != field.default
    }
    assert parameters == tried
