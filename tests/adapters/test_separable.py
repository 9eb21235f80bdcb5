"""Which error functions are made of their entries' own, told from their numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gradagree.adapters.separable import entry_share
from gradagree.reference import ErrorFunction
from gradagree.reference.samples import allowed_width, inside

WHOLE_ROWS = (
    "cross_entropy", "nll", "kl_div", "kl_div_of_logs", "multi_margin", "multilabel_margin", "cosine_distance", "dice",
    "ntxent", "pairwise_distance", "gaussian_nll", "multiclass_hinge", "triplet_margin", "soft_cross_entropy",
)  # fmt: skip


@pytest.mark.parametrize("name", WHOLE_ROWS)
def test_that_a_row_that_hangs_together_is_no_sum_of_entries(name: str) -> None:
    error = ErrorFunction.named(name)
    assert entry_share(error, allowed_width(error, 4)) is None


def test_that_sums_and_means_are_told_apart() -> None:
    assert entry_share(ErrorFunction.named("sse"), 5) == 1
    assert entry_share(ErrorFunction.named("mse"), 5) == 1 / 5


@pytest.mark.parametrize("name", list(ErrorFunction.catalogue))
def test_that_entries_make_up_the_error_where_they_are_said_to(name: str) -> None:
    error = ErrorFunction.named(name)
    width = allowed_width(error, 5)
    counts = entry_share(error, width)
    if counts is None:
        return
    draws = np.random.default_rng(1)
    o = inside(error.domain, draws.normal(size=(1, width)))
    t = {"bits": draws.integers(0, 2, (1, width)), "signs": 1 - 2 * draws.integers(0, 2, (1, width))}.get(
        error.targets, draws.uniform(0.5, 1.5, (1, width))
    )
    alone: Any = [float(error.value(o[:, k : k + 1], t[:, k : k + 1])) for k in range(width)]
    assert counts * sum(alone) == pytest.approx(float(error.value(o, t)), rel=width * np.finfo(float).eps)


def test_that_a_pair_in_a_thousand_that_hangs_together_is_seen() -> None:
    class _Neighbours(type(ErrorFunction.named("sse"))):  # type: ignore[misc]
        name = "neighbours"

        def value(self, o: Any, t: Any) -> Any:
            return super().value(o, t) + 1e-9 * np.sum(o[..., :-1] * o[..., 1:], axis=(-1, -2))

    try:
        assert entry_share(_Neighbours(), 5) is None
    finally:
        ErrorFunction.catalogue.pop("neighbours", None)
