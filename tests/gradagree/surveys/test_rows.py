"""Rows have ties, masks and huge entries, and each is combined with every target."""

from __future__ import annotations

import copy
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


DOMAINS = ("positive", "unit", "simplex", "log_simplex")


def with_domain(domain: str) -> ErrorFunction:
    """A loss of rows with this domain."""
    function = copy.copy(ErrorFunction.named("cosine_distance"))
    object.__setattr__(function, "domain", domain)
    return function


@pytest.mark.parametrize("dtype", FORMATS)
@pytest.mark.parametrize("domain", DOMAINS)
def test_that_rows_lie_in_the_domain(domain: str, dtype: str) -> None:
    found, _ = input_rows(with_domain(domain), dtype, 8)
    assert len(found) > 20
    assert np.isfinite(found).all()
    if domain == "positive":
        assert (found > 0).all()
        return
    probabilities = np.exp(found) if domain == "log_simplex" else found
    assert ((probabilities >= 0) & (probabilities <= 1)).all()
    if domain != "unit":
        # each entry is rounded: half an ulp of an entry, or of its logarithm, which is at most that of the smallest one
        most = FORMATS[dtype].u * max(1.0, float(np.abs(found).max())) + FORMATS[dtype].smallest
        assert (np.abs(probabilities.sum(axis=1) - 1) <= found.shape[1] * most).all()


@pytest.mark.parametrize("dtype", FORMATS)
def test_that_rows_of_the_simplex_hold_zeros_ties_and_small_numbers(dtype: str) -> None:
    found, _ = input_rows(with_domain("simplex"), dtype, 8)
    assert (found == 0).any(axis=1).any()
    assert (found == 1).any()
    assert (found.min(axis=1) == found.max(axis=1)).any()
    assert 0 < found[found > 0].min() < 2.0 ** (FORMATS[dtype].emin / 2)


def test_that_rows_outside_log_probabilities_are_not_masked_where_the_domain_has_no_infinity() -> None:
    softmax = copy.copy(Activation.named("softmax"))
    object.__setattr__(softmax, "domain", "positive")
    found, _ = input_rows(softmax, "float32", 8)
    assert np.isfinite(found).all()
    assert (found > 0).all()
