"""Sampled rounding errors follow every use of a value, where variance arithmetic takes errors for independent."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from benchmarks.functions_calibration import compute, findings
from gradagree.arithmetic.model import model
from gradagree.arithmetic.tape import trace
from gradagree.checker.verdict import Verdict
from gradagree.functions import judge as judging
from gradagree.functions.enclosures import expect, probable, sampled
from gradagree.functions.judge import judge
from gradagree.functions.sampling import noise, sampled_deviations

X = np.asarray(np.random.default_rng(5).standard_normal((40, 30)), np.float32).astype(float)


def test_that_noise_is_uniform_and_equal_for_equal_numbers() -> None:
    found = noise(np.arange(1.0, 1e5), 7)
    assert abs(found.mean()) < 0.02
    assert abs(found.std() - 1) < 0.02
    assert np.max(np.abs(found)) <= np.sqrt(3)
    assert np.unique(noise(np.full(9, 0.1), 3)).size == 1
    assert abs(np.corrcoef(found, noise(np.arange(1.0, 1e5), 8))[0, 1]) < 0.02


def test_that_errors_of_a_value_used_often_add_up() -> None:
    def often(x: Any) -> Any:
        y = np.exp(x)
        return y + y + y + y + y + y + y + y

    inside = model("float32")
    graph = trace(often, X)
    (sample,), _ = sampled_deviations(graph, [X], [None], inside, 64)
    (once,), _ = sampled_deviations(trace(np.exp, X), [X], [None], inside, 64)
    assert np.mean(sample / once) > 7
    assumed = probable(graph, [X], [None], "stored", "float32")
    (widened,), _ = sampled(graph, [X], [None], "stored", "float32", assumed)
    assert np.mean(widened / assumed[0][0]) > 1.5


def test_that_independent_errors_have_the_variance_of_the_model() -> None:
    w = np.asarray(np.random.default_rng(6).standard_normal((30, 20)), np.float32).astype(float)
    graph, arrays, g = trace(lambda x, w: np.tanh(x @ w), X, w), [X, w], [np.ones((40, 20))]
    assumed = probable(graph, arrays, g, "stored", "float32")
    values, gradients = sampled_deviations(graph, arrays, g, model("float32"))
    for tolerance, deviation in zip((*assumed[0], *assumed[1]), (*values, *gradients), strict=True):
        assert 0.5 < np.median(8 * deviation / tolerance) < 1.5


@pytest.mark.parametrize("seed", [9, 566, 693, 739, 798])
def test_that_correct_programs_with_shared_errors_are_not_suspect(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gradagree.functions.enclosures.is_sharp", lambda *_: False)
    assert not any(finding.verdict.fails for finding in findings(seed, "float32"))
    monkeypatch.setattr(judging, "judge_by", judging.judge_within)
    monkeypatch.setattr(judging, "in_order", lambda observed, expected, found: found)
    assert Verdict.SUSPECT in [finding.verdict for finding in findings(seed, "float32")]


def test_that_an_error_beyond_the_sampled_tolerance_stays_suspect() -> None:
    graph = trace(lambda x: np.sum(np.tanh(x @ (x.T @ x)), axis=0), X)
    g = [np.ones(30)]
    expected = expect(graph, [X], g, "stored", "float32", ["float32", "float32"])[1][0]
    assert expected is not None
    assert expected.correlated is not None
    _, (right,) = compute(graph, [X], g, "float32")
    assert not judge(right.astype(float), {"stored": expected}).verdict.fails
    wrong = right.astype(float)
    limit = np.maximum(expected.correlated(), expected.probable)
    wrong[3, 4] += min(2 * limit[3, 4], expected.radius[3, 4] / 2)
    assert 1.9 * limit[3, 4] < expected.radius[3, 4]
    assert judge(wrong, {"stored": expected}).verdict is Verdict.SUSPECT


def test_that_partial_sums_in_the_order_of_the_terms_may_be_larger_than_those_of_random_signs() -> None:
    """The first half of the terms is positive: their sum of 64 is far larger than the root of 128 terms."""
    signs = np.where(np.arange(128) < 64, 1.0, -1.0)
    numbers = np.random.default_rng(7).uniform(0.5, 1.5, 128).astype(np.float32)
    arrays = [(signs * numbers).astype(np.float64)[None, :], np.ones((128, 1))]
    graph = trace(np.matmul, *arrays)
    (expected,), _ = expect(graph, arrays, [None], "stored", "float32", ["float32"] * 3)
    assert expected.probable is not None
    assert expected.correlated is not None
    assert expected.ordered is not None
    known, ordered = np.fmax(expected.probable, expected.correlated()), expected.ordered()
    assert np.all((2 * known < ordered) & (4 * ordered < expected.radius))
    right, wrong = expected.value + (known + ordered) / 2, expected.value + 1.5 * ordered
    assert judge(right, {"stored": expected}).verdict is Verdict.AGREE
    assert judge(wrong, {"stored": expected}).verdict is Verdict.SUSPECT
    (total,), _ = expect(trace(np.sum, arrays[0]), arrays[:1], [None], "stored", "float32", ["float32"] * 2)
    assert total.ordered is not None
    assert np.allclose(total.ordered(), ordered, rtol=0.1)
