"""Operations of array programs that NumPy does not have as functions, against loops and NumPy's own forms."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gradagree.reference.operations.cumulative import running_log_sum_exp, running_max, running_min
from gradagree.reference.operations.ordering import top_k
from gradagree.reference.operations.scatter import add_at, put, put_along_axis, rows_by_target, scatter_add
from gradagree.reference.operations.windows import convolution, spread_out, windows

RNG = np.random.default_rng(3)


def normal(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape)


def convolution_by_loops(x: np.ndarray, w: np.ndarray, stride: int, low: int, high: int, step: int) -> np.ndarray:
    padded = np.concatenate([np.zeros((*x.shape[:2], low)), x, np.zeros((*x.shape[:2], high))], axis=2)
    outputs, channels, size = w.shape
    places = range(0, padded.shape[2] - step * (size - 1), stride)
    found = np.zeros((len(x), outputs, len(places)))
    for n, o, c, k in np.ndindex(len(x), outputs, channels, size):
        for i, place in enumerate(places):
            found[n, o, i] += padded[n, c, place + step * k] * w[o, c, k]
    return found


@pytest.mark.parametrize(("stride", "low", "high", "step"), [(1, 0, 0, 1), (2, 1, 0, 1), (1, 2, 3, 2), (3, 0, 1, 2)])
def test_that_a_convolution_is_the_sum_over_its_window(stride: int, low: int, high: int, step: int) -> None:
    x, w = normal(2, 3, 9), normal(4, 3, 3)
    found = convolution(x, w, [stride], [(low, high)], [step])
    assert np.allclose(found, convolution_by_loops(x, w, stride, low, high, step), rtol=1e-13, atol=1e-13)


def test_that_groups_divide_the_channels() -> None:
    x, w = normal(2, 4, 6), normal(6, 2, 3)
    found = convolution(x, w, [1], [(0, 0)], [1], groups=2)
    halves = [convolution(x[:, 2 * k : 2 * k + 2], w[3 * k : 3 * k + 3], [1], [(0, 0)], [1]) for k in (0, 1)]
    assert np.allclose(found, np.concatenate(halves, axis=1), rtol=1e-14)


def test_that_a_transposed_convolution_is_the_vjp_of_a_convolution() -> None:
    x, w, g = normal(1, 2, 7), normal(3, 2, 3), normal(1, 3, 3)
    forward = np.sum(convolution(x, w, [2], [(0, 0)], [1]) * g)
    flipped = np.flip(np.swapaxes(w, 0, 1), axis=2)
    back = convolution(g, flipped, [1], [(2, 2)], [1], gaps=[2])
    assert np.isclose(forward, np.sum(back * x), rtol=1e-13)


def test_that_windows_are_those_of_numpy() -> None:
    x = normal(2, 5, 6)
    expected = np.lib.stride_tricks.sliding_window_view(x, (3, 2), axis=(1, 2))
    assert np.array_equal(windows(x, (3, 2), (1, 1), (1, 1)), expected)
    assert np.array_equal(windows(x, (3, 2), (2, 3), (1, 1)), expected[:, ::2, ::3])
    assert windows(x, (6, 1), (1, 1), (1, 1)).shape == (2, 0, 6, 6, 1)


def test_that_negative_widths_cut() -> None:
    x = np.array([1.0, 2.0, 3.0])
    assert spread_out(x, [(-1, 2)], [1]).tolist() == [2.0, 3.0, 0.0, 0.0]
    assert spread_out(x, [(1, -1)], [2], value=9.0).tolist() == [9.0, 1.0, 9.0, 2.0, 9.0]


@pytest.mark.parametrize("index", [2, slice(None, None, 2), [0, 3, 0], (slice(None), 1), np.eye(4, 3) > 0, ...])
def test_that_put_and_add_at_do_as_numpy_does_in_place(index: Any) -> None:
    x = normal(4, 3)
    values = normal(*x[index].shape)
    for found, change in ((put(x, index, values), False), (add_at(x, index, values), True)):
        expected = x.copy()
        if change:
            np.add.at(expected, index, values)
        else:
            expected[index] = values
        assert np.allclose(found, expected, rtol=1e-15)


def test_that_put_along_axis_does_as_numpy_does_in_place() -> None:
    x, indices, values = normal(3, 4), np.array([[0, 3], [1, 2], [2, 2]]), normal(3, 2)
    expected = x.copy()
    np.put_along_axis(expected, indices, values, axis=1)
    assert np.array_equal(put_along_axis(x, indices, values, axis=1), expected)


def test_that_rows_by_target_hold_each_position_once() -> None:
    places = np.array([5, 1, 5, -1, 5, 1, 0])
    groups = [pair for targets, rows in rows_by_target(places) for pair in zip(targets, rows, strict=True)]
    found = {int(target): set(row.tolist()) for target, row in groups}
    assert found == {0: {6}, 1: {1, 5}, 5: {0, 2, 4}}
    assert scatter_add(np.ones(7), places, (2, 3)).tolist() == [[1.0, 2.0, 0.0], [0.0, 0.0, 3.0]]
    assert scatter_add(np.ones(0), np.zeros(0, dtype=int), (2,)).tolist() == [0.0, 0.0]


@pytest.mark.parametrize("axis", [None, 0, 1, -1])
def test_that_cumulative_operations_are_those_of_numpy(axis: int | None) -> None:
    x = normal(3, 4)
    for function, ufunc in ((running_max, np.maximum), (running_min, np.minimum), (running_log_sum_exp, np.logaddexp)):
        flat, along = (x.ravel(), 0) if axis is None else (x, axis)
        assert np.array_equal(function(x, axis), ufunc.accumulate(flat, axis=along))


def test_that_top_k_are_the_largest_or_smallest_entries() -> None:
    x = np.array([[3.0, 1.0, 2.0], [4.0, 6.0, 5.0]])
    assert top_k(x, 2).tolist() == [[3.0, 2.0], [6.0, 5.0]]
    assert top_k(x, 1, axis=0, largest=False).tolist() == [[3.0, 1.0, 2.0]]
