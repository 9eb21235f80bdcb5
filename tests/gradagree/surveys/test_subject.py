"""Functions that cannot be surveyed point by point are left out with a reason."""

from __future__ import annotations

import pytest

from gradagree.reference import ErrorFunction
from gradagree.surveys.subject import Subject


@pytest.mark.parametrize("name", ["ntxent", "generalized_dice"])
def test_that_losses_that_couple_examples_are_not_surveyed(name: str) -> None:
    assert "couples the examples" in Subject.of(ErrorFunction.named(name), "float64", 8).unsupported_reason
    assert Subject.of(ErrorFunction.named("mse"), "float64", 8).unsupported_reason == ""
