"""Rows have ties, masks and huge entries, and each is combined with every target."""

from __future__ import annotations

import math

import numpy as np
import pytest

from gradagree.arithmetic.model import FORMATS
from gradagree.reference import Activation, ErrorFunction
from gradagree.surveys.rows import input_rows


@pytest.mark.parametrize("dtype", FORMATS)
def test_that_rows_hold_ties_masks_and_one_huge_entry(dtype: str) -> None:
    found, targets = input_rows(Activation.named("softmax"), dtype, 8)
    assert targets is None
    finite = found[np.isfinite(found).all(axis=1)]
    assert (found == -math.inf).any()
    assert ((finite == finite[:, :1]).all(axis=1) & (finite[:, 0] != 0)).any()
    assert (np.abs(finite) == FORMATS[dtype].largest).any()
    assert (finite == 0).all(axis=1).any()


@pytest.mark.parametrize("name", ["cross_entropy", "soft_cross_entropy"])
def test_that_logits_of_error_functions_are_masked_and_other_outputs_are_not(name: str) -> None:
    found, targets = input_rows(ErrorFunction.named(name), "float32", 8)
    assert targets is not None
    masked = np.isneginf(found).any(axis=1)
    assert masked.any()
    assert np.isfinite(found[masked]).any(axis=1).all()
    assert len(targets) == len(found)
    other, _ = input_rows(ErrorFunction.named("cosine_distance"), "float32", 8)
    assert np.isfinite(other).all()


def test_that_every_row_is_combined_with_every_class() -> None:
    found, targets = input_rows(ErrorFunction.named("cross_entropy"), "float32", 8)
    assert targets is not None
    assert set(targets.tolist()) == {0, 1, 2}
    assert len(found) == len(targets)
