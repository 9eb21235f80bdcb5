"""What the survey asks about, and what it leaves out with a reason."""

from __future__ import annotations

import pytest

from gradagree.reference import ErrorFunction
from gradagree.surveys.subject import Subject


@pytest.mark.parametrize("name", ["ntxent", "generalized_dice"])
def test_that_what_couples_examples_has_no_point_of_its_own(name: str) -> None:
    assert "couples the examples" in Subject.of(ErrorFunction.named(name), "float64", 8).unsupported_reason
    assert Subject.of(ErrorFunction.named("mse"), "float64", 8).unsupported_reason == ""
