"""Subjects have wide rows, and a reason where a function cannot be surveyed point by point."""

from __future__ import annotations

import pytest

from gradagree.arithmetic.model import FORMATS
from gradagree.reference import Activation, ErrorFunction
from gradagree.surveys.subject import Subject


@pytest.mark.parametrize("name", ["ntxent", "generalized_dice"])
def test_that_losses_that_couple_examples_are_not_surveyed(name: str) -> None:
    assert "couples the examples" in Subject.of(ErrorFunction.named(name), "float64", 8).unsupported_reason
    assert Subject.of(ErrorFunction.named("mse"), "float64", 8).unsupported_reason == ""


@pytest.mark.parametrize("dtype", FORMATS)
def test_that_the_widest_rows_have_more_entries_than_the_dtype_can_count(dtype: str) -> None:
    widths = [subject.points.shape[1] for subject in Subject.wide(Activation.named("softmax"), dtype)]
    assert (max(widths) > FORMATS[dtype].largest) == (dtype == "float16")
    assert min(widths) == 1027
    labels = [subject.inputs for subject in Subject.wide(Activation.named("softmax"), dtype)]
    assert len(set(labels)) == len(labels)
    assert not list(Subject.wide(Activation.named("tanh"), dtype))
    narrower = [subject.points.shape[1] for subject in Subject.wide(Activation.named("softmax"), dtype, False)]
    assert narrower == [1027]
