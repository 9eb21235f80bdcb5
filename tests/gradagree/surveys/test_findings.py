"""The example of a finding is the most ordinary input, in the clearest dtype, with a correct exact value."""

from __future__ import annotations

import numpy as np
import pytest

from gradagree.reference import Activation
from gradagree.surveys.exact import compute_exact_values
from gradagree.surveys.findings import confirm, example_priority, join_deviations
from gradagree.surveys.measurements import Deviation, deviations, measure
from gradagree.surveys.subject import Subject
from gradagree.surveys.text import format_exact


def wrong_by(error: float, name: str, dtype: str, point: float, quantity: str = "value") -> Deviation:
    """The deviation of a result with this relative error."""
    subject = Subject(Activation.named(name), dtype, np.array([point]))
    exact = compute_exact_values(subject, quantity, balls_only=True)
    observed = exact.high * (1 + error) if exact.high[0] else np.full(1, error)
    (found,) = deviations(measure(subject, quantity, "torch", "backward", observed, exact))
    return found


@pytest.mark.parametrize("first", ["float32", "float64", "float16", "bfloat16"])
def test_that_the_example_is_near_1_whatever_the_dtype(first: str) -> None:
    near = wrong_by(1.0, "softsign", first, 1.0)
    others = [wrong_by(1.0, "softsign", dtype, 2.0**-11) for dtype in ("float32", "float64") if dtype != first]
    assert min([*others, near], key=example_priority) is near


def test_that_among_ordinary_inputs_the_dtype_that_loses_most_digits_is_the_example() -> None:
    half, most = wrong_by(2.0**-10, "softsign", "float32", 1.0), wrong_by(2.0**-10, "softsign", "float64", 2.0)
    assert half.code == most.code
    assert min([half, most], key=example_priority) is most
    both = [wrong_by(1.0, "softsign", dtype, 1.0) for dtype in ("float64", "float16", "float32")]
    assert min(both, key=example_priority).subject.dtype == "float32"


@pytest.mark.parametrize(
    ("name", "point", "text"), [("mish", 128.0, "−6.72212e−109"), ("tanh", 30000.0, "0, to rounding")]
)
def test_that_a_confirmed_example_has_the_exact_value_or_says_that_it_is_0_to_rounding(
    name: str, point: float, text: str
) -> None:
    subject = Subject(Activation.named(name), "float32", np.array([point]))
    exact = compute_exact_values(subject, "second")
    (found,) = deviations(measure(subject, "second", "torch", "backward", np.ones(1), exact))
    example = confirm(found, [found.values])
    assert example is not None
    assert format_exact(example) == text


def test_that_a_finding_that_condition_explains_has_low_severity() -> None:
    x = float(np.nextafter(np.float32(3), np.float32(0)))
    for points, severity in (([x], "low"), ([x, 2.0], "medium")):
        subject = Subject(Activation.named("hardsigmoid"), "float32", np.array(points))
        exact = compute_exact_values(subject, "slope")
        found = deviations(measure(subject, "slope", "jax", "jit", np.zeros(len(points)), exact))
        ((finding,), unconfirmed) = join_deviations(found, {"jax": "0"}, None)
        assert unconfirmed == 0
        assert (finding.kind, finding.severity) == ("early zero", severity)
        assert finding.example["input"] == [points[-1]]


def softmax_deviations(shift: float, cotangent: float | None) -> list[Deviation]:
    """Those of a vjp of softmax, or of its derivative, that is wrong by this share of the cotangent."""
    points = np.array([[0.0, 1.0, 2.0]])
    c = None if cotangent is None else np.array([[1.0, 0.5, -2.0]]) * cotangent
    ks = (0, 1, 2) if c is None else (0,)
    subject = Subject(Activation.named("softmax"), "float32", points, None, ks, (0, 1, 2), c)
    exact = compute_exact_values(subject, "slope")
    observed = exact.high + shift * (cotangent or 1.0)
    return list(deviations(measure(subject, "slope", "torch", "backward", observed, exact)))


def test_that_cotangents_have_a_finding_of_their_own_only_if_the_derivative_is_better() -> None:
    for shift, count in ((2.0**-8, 1), (2.0**-18, 2), (0.0, 1)):
        found, _ = join_deviations(
            [*softmax_deviations(shift, None), *softmax_deviations(2.0**-8, 3.0)], {"torch": "0"}, None
        )
        assert len(found) == count
        assert ["cotangent" in one.example for one in found].count(True) == (shift < 2.0**-8)
