"""Invalid labels: what the formula gives, and which results are findings."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from gradagree.reference import ErrorFunction
from gradagree.surveys.findings import join_deviations
from gradagree.surveys.labels import QUANTITIES, describe, formula_values, label_deviation, subjects_with_invalid_labels
from gradagree.surveys.plan import SurveyPlan
from gradagree.surveys.results import add_reproducers
from gradagree.surveys.subject import Subject
from gradagree.surveys.survey import run_survey
from gradagree.surveys.text import format_exact


def with_label(name: str, label: str) -> Subject:
    found = subjects_with_invalid_labels(ErrorFunction.named(name), "float32")
    return next(one for one in found if one.label == label)


def test_that_classes_have_the_labels_before_the_first_and_after_the_last() -> None:
    found = list(subjects_with_invalid_labels(ErrorFunction.named("nll"), "float32"))
    assert [one.targets.tolist() for one in found if one.targets is not None] == [[-1], [3]]
    assert not list(subjects_with_invalid_labels(ErrorFunction.named("mse"), "float32"))
    assert not list(subjects_with_invalid_labels(ErrorFunction.named("ntxent"), "float32"))


@pytest.mark.parametrize("name", ErrorFunction.catalogue)
def test_that_the_formula_gives_a_number_for_every_invalid_label_but_classes(name: str) -> None:
    for subject in subjects_with_invalid_labels(ErrorFunction.named(name), "float32"):
        for quantity in QUANTITIES:
            known = formula_values(subject, quantity, (1,)).known
            assert known.any() == (not subject.classes)


@pytest.mark.parametrize(
    ("result", "count", "text"),
    [(np.nan, 0, "NaN"), (np.inf, 0, "infinity"), (0.0, 1, "numbers"), (1.25, 1, "numbers")],
)
def test_that_any_number_for_a_class_that_does_not_exist_is_a_finding(result: float, count: int, text: str) -> None:
    subject = with_label("nll", "label -1")
    observed = np.array([result])
    found = label_deviation(subject, "value", "jax", "jit", observed, formula_values(subject, "value", (1,)))
    assert (found is not None) == bool(count)
    assert text in describe(observed)


def test_that_the_number_of_the_formula_is_no_finding_and_another_one_is() -> None:
    subject = with_label("bce_logits", "label 1.5")
    exact = formula_values(subject, "value", (6, 1))
    o = subject.points
    expected = np.maximum(o, 0) - 1.5 * o + np.log1p(np.exp(-np.abs(o)))
    np.testing.assert_allclose(exact.high, expected, rtol=1e-14)
    assert label_deviation(subject, "value", "jax", "jit", np.float32(expected).astype(float), exact) is None
    found = label_deviation(subject, "value", "jax", "jit", expected + 0.5 * (o == 2), exact)
    assert found is not None
    assert (found.count, found.subject.points.tolist()) == (1, [[2.0]])
    (finding,), unconfirmed = join_deviations([found], {"jax": "0"}, None)
    assert (finding.kind, finding.severity, unconfirmed) == ("number for an invalid label", "medium", 0)
    assert finding.example["true"] == pytest.approx(float(expected[o == 2][0]))


def test_that_the_exact_value_for_a_class_that_does_not_exist_is_undefined() -> None:
    subject = with_label("nll", "label 3")
    found = label_deviation(subject, "value", "jax", "jit", np.zeros(1), formula_values(subject, "value", (1,)))
    assert found is not None
    ((finding,), _) = join_deviations([found], {"jax": "0"}, None)
    assert finding.severity == "low"  # a formula of gradagree
    assert format_exact(finding.example) == "undefined"


def test_that_what_torch_does_with_invalid_classes_is_recorded() -> None:
    pytest.importorskip("torch")
    plan = SurveyPlan.make(profile="quick", activations="none", errors="nll", frameworks="torch", dtypes="float32")
    result = run_survey(plan)
    rows = [row for row in result.rows if row.inputs.startswith("label") and row.status != "unasked"]
    assert {(row.inputs, row.quantity) for row in rows} >= {("label -1", "value"), ("label 3", "slope")}
    assert all(row.status == "raised" or row.reason for row in rows)
    assert any(row.status == "raised" and "out of bounds" in row.reason for row in rows)
    add_reproducers(result)
    for one in result.findings:
        assert msgspec.to_builtins(one)
