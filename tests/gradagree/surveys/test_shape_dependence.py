"""A dependence on the length of a vector is shown by copies of one input."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import numpy as np
import pytest

from gradagree.reference import Activation
from gradagree.reproduce.finding import parse_position
from gradagree.runner import protocol
from gradagree.surveys.cache import cached_exact_values
from gradagree.surveys.classify import ErrorCode
from gradagree.surveys.measurements import Deviation
from gradagree.surveys.shape_dependence import (
    request_in_lengths,
    sample_points,
    shape_deviations,
    shape_example,
    windows,
)
from gradagree.surveys.subject import Subject


@pytest.fixture(autouse=True)
def _no_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRADAGREE_CACHE", "off")


ELU = Subject.of(Activation.named("elu"), "float32", 8)


def deviations_of(compute: Callable[[np.ndarray, int], np.ndarray]) -> list[Deviation]:
    """The deviations of a framework that computes `compute(points, length of the vector)`."""
    some = ELU.at(sample_points(ELU))
    requested = windows(len(some.points), 2)
    together = compute(some.points, len(ELU.points))
    parts = np.concatenate([compute(some.points[a:b], b - a) for a, b in requested])
    return list(
        shape_deviations(
            some, "value", "torch", "eager", together, parts, requested, cached_exact_values(some, "value")
        )
    )


def tail(x: np.ndarray, n: int) -> np.ndarray:
    """The last n % 8 entries are doubled, and NaN is a number there."""
    last = np.arange(len(x)) >= n - n % 8
    return np.where(last, np.where(np.isnan(x), 1.0, 2 * x), x)


def test_that_a_value_that_does_not_depend_on_the_length_is_no_deviation() -> None:
    assert deviations_of(lambda x, n: x * 2) == []


def test_that_nan_in_a_tail_is_a_separate_deviation() -> None:
    found = {deviation.region: deviation for deviation in deviations_of(tail)}
    assert set(found) == {"ordinary", "nan"}
    assert all(deviation.code == ErrorCode.SHAPE for deviation in found.values())
    assert np.isnan(found["nan"].subject.points).all()
    assert math.isnan(found["nan"].exact)
    only = deviations_of(lambda x, n: np.where(np.isnan(x), np.where(n < 8, 1.0, x), x))
    assert [deviation.region for deviation in only] == ["nan"]


def test_that_kinks_zeros_and_nan_are_in_the_sample() -> None:
    x = ELU.points[sample_points(ELU)]
    assert np.isnan(x).any()
    assert (x == 0).sum() == 2
    assert len(x) == len(np.unique(x)) + 1


def test_that_two_entries_of_copies_that_differ_are_the_example() -> None:
    (deviation, *_) = deviations_of(tail)
    request = request_in_lengths(deviation)
    assert request.windows is not None
    points = protocol.unpack(request.points)
    assert len(np.unique(points)) == 1
    result = np.concatenate([tail(points[a:b], b - a) for a, b in request.windows])
    example = shape_example(deviation, [result])
    assert example is not None
    for name, given in (("window", "given"), ("beside", "other_given")):
        entry, length = parse_position(example[name])
        x = np.full(length, example["input"][0])
        assert tail(x, length)[entry] == example[given]
    assert example["given"] != example["other_given"]


def test_that_copies_with_equal_values_give_no_example() -> None:
    (deviation, *_) = deviations_of(tail)
    request = request_in_lengths(deviation)
    assert request.windows is not None
    count = sum(b - a for a, b in request.windows)
    assert shape_example(deviation, [np.ones(count)]) is None
    assert shape_example(deviation, [np.full(count, np.nan)]) is None
    assert shape_example(deviation, ["no array"]) is None
    assert shape_example(dataclasses.replace(deviation, other_observed=2.0), []) is not None


def test_that_there_are_fewer_copies_of_wide_rows() -> None:
    narrow, wide = (Subject.of(Activation.named(name), "float16", 8) for name in ("elu", "softmax"))
    rows = dataclasses.replace(wide, points=np.zeros((2, 65_539), dtype=wide.points.dtype))
    narrow_and_wide = [dataclasses.replace(deviations_of(tail)[0], subject=subject) for subject in (narrow, rows)]
    short, long = (sum(b - a for a, b in request_in_lengths(deviation).windows) for deviation in narrow_and_wide[::-1])
    assert long > 4096
    assert short * 65_539 < 3 << 20
