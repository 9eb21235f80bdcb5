"""Which error functions are made of their entries' own, told from their numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gradagree.adapters.jax_packed import LossReduction, is_separable, loss_reduction
from gradagree.reference import ErrorFunction
from gradagree.reference.samples import allowed_width, to_domain

WHOLE_ROWS = (
    "binary_dice", "cosine_distance", "cosine_embedding", "cross_entropy", "dice", "dice_of_probabilities",
    "gaussian_nll", "generalized_dice", "kl_div", "kl_div_of_logs", "margin_ranking", "multi_margin",
    "multiclass_hinge", "multiclass_perceptron", "multiclass_sparsemax", "multilabel_margin", "nll", "ntxent",
    "pairwise_distance", "poly_cross_entropy", "soft_cross_entropy", "triplet_margin", "triplet_margin_of_squares",
)  # fmt: skip


def test_that_sums_and_means_are_told_apart() -> None:
    parts = np.arange(6.0).reshape(2, 3) + 1
    assert loss_reduction(parts.sum(), parts.sum(axis=1), parts) == ("sum", "sum")
    assert loss_reduction(parts.mean(), parts.mean(axis=1), parts) == ("mean", "mean")
    assert loss_reduction(parts.sum() + 1e-9, parts.sum(axis=1)) == (None, None)
    assert LossReduction("mean", "sum").counts(4, 5) == 1 / 4
    assert LossReduction("sum", "mean").counts(4, 5) == 1 / 5


@pytest.mark.parametrize("name", list(ErrorFunction.catalogue))
def test_that_entries_make_up_every_error_but_those_of_whole_rows(name: str) -> None:
    error = ErrorFunction.named(name)
    width = allowed_width(error, 5)
    draws = np.random.default_rng(1)
    o = to_domain(error.domain, draws.normal(size=(1, width)))
    t = {"bits": draws.integers(0, 2, (1, width)), "signs": 1 - 2 * draws.integers(0, 2, (1, width))}.get(
        error.targets, draws.uniform(0.5, 1.5, (1, width))
    )
    assert is_separable(error, width) is (name not in WHOLE_ROWS)
    if name in WHOLE_ROWS:
        return
    alone: Any = [float(error.value(o[:, k : k + 1], t[:, k : k + 1])) for k in range(width)]
    ways = [pytest.approx(total, rel=width * np.finfo(float).eps) for total in (sum(alone), sum(alone) / width)]
    assert float(error.value(o, t)) in ways


def test_that_a_pair_in_a_thousand_that_hangs_together_is_seen() -> None:
    class _Neighbours(type(ErrorFunction.named("sse"))):  # type: ignore[misc]
        name = "neighbours"

        def value(self, o: Any, t: Any) -> Any:
            return super().value(o, t) + 1e-9 * np.sum(o[..., :-1] * o[..., 1:], axis=(-1, -2))

    try:
        assert not is_separable(_Neighbours(), 5)
    finally:
        ErrorFunction.catalogue.pop("neighbours", None)
