"""Functions that move entries or look at shapes treat all components alike, and joining and padding lift numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from gradagree.arithmetic import Ball, Dual, Rounded
from gradagree.arithmetic.ball import precision
from gradagree.arithmetic.duck import Duck
from gradagree.arithmetic.model import model
from gradagree.arithmetic.structural import JOINING, SHAPES, SPLITTING, STRUCTURAL
from gradagree.arithmetic.variance import Variance

NUMBERS = np.array([[1.0, -2.0, 3.0], [0.5, 4.0, -0.25]])
OTHERS = NUMBERS[::-1] * 8 + 1
KINDS: dict[str, Callable[[Any], Any]] = {
    "rounded": lambda x: Rounded(x, np.abs(x) / 64, model("float32")),
    "dual": lambda x: Dual(np.asarray(x), np.asarray(x) * 32),
    "ball": Ball.exact,
    "variance": lambda x: Variance(x, np.square(x) / 64, model("float32")),
}
each_kind = pytest.mark.parametrize("kind", KINDS)


@pytest.fixture(autouse=True)
def working_precision() -> Iterator[None]:
    with precision(200):
        yield


def parts(x: Any) -> list[list[float]]:
    """The components as lists of floats."""
    return [np.asarray(part, dtype=object).astype(float).tolist() for part in x._parts()]


MOVES: dict[Any, Callable[[Any], Any]] = {
    np.broadcast_to: lambda x: np.broadcast_to(x, (4, 2, 3)), np.expand_dims: lambda x: np.expand_dims(x, 1),
    np.flip: lambda x: np.flip(x, axis=-1), np.moveaxis: lambda x: np.moveaxis(x, 0, -1), np.ravel: np.ravel,
    np.repeat: lambda x: np.repeat(x, 2, axis=0), np.reshape: lambda x: np.reshape(x, (3, 2), order="F"),
    np.roll: lambda x: np.roll(x, 1), np.squeeze: lambda x: np.squeeze(x[:1]), np.tile: lambda x: np.tile(x, 2),
    np.swapaxes: lambda x: np.swapaxes(x, 0, 1), np.take: lambda x: np.take(x, [2, 0], axis=1), np.copy: np.copy,
    np.take_along_axis: lambda x: np.take_along_axis(x, np.array([[1], [0]]), axis=-1), np.transpose: np.transpose,
    np.concatenate: lambda x: np.concatenate([x, x[:1]]), np.stack: lambda x: np.stack([x, x], axis=-1),
    np.diagonal: np.diagonal, np.fliplr: np.fliplr, np.flipud: np.flipud, np.rot90: np.rot90,
    np.rollaxis: lambda x: np.rollaxis(x, 1), np.atleast_1d: lambda x: np.atleast_1d(x[0, 0]),
    np.atleast_2d: lambda x: np.atleast_2d(x[0]), np.atleast_3d: np.atleast_3d,
    np.hstack: lambda x: np.hstack([x, x[:, :1]]), np.vstack: lambda x: np.vstack([x, x[0]]),
    np.dstack: lambda x: np.dstack([x, x]), np.column_stack: lambda x: np.column_stack([x[:, 0], x]),
    np.lib.stride_tricks.sliding_window_view: lambda x: np.lib.stride_tricks.sliding_window_view(x, 2, axis=1),
    np.append: lambda x: np.append(x, x[0]), np.pad: lambda x: np.pad(x, ((1, 0), (0, 2)), mode="edge"),
}  # fmt: skip
SPLITS: dict[Any, Callable[[Any], Any]] = {
    np.split: lambda x: np.split(x, 3, axis=1), np.array_split: lambda x: np.array_split(x, 2, axis=-1),
    np.hsplit: lambda x: np.hsplit(x, [1]), np.vsplit: lambda x: np.vsplit(x, 2),
    np.dsplit: lambda x: np.dsplit(x[None], 3), np.broadcast_arrays: lambda x: np.broadcast_arrays(x, x[0]),
    np.atleast_1d: lambda x: np.atleast_1d(x, x[0, 0]),
}  # fmt: skip


def test_that_every_structural_function_is_tested() -> None:
    assert set(MOVES) >= {*STRUCTURAL, *JOINING}
    assert set(SPLITS) >= set(SPLITTING)


@each_kind
@pytest.mark.parametrize("move", MOVES.values(), ids=[f.__name__ for f in MOVES])
def test_that_a_structural_function_moves_all_components_alike(kind: str, move: Any) -> None:
    x = KINDS[kind](NUMBERS)
    moved = move(x)
    assert type(moved) is type(x)
    assert moved.shape == move(NUMBERS).shape
    assert parts(moved) == [move(np.asarray(part)).tolist() for part in parts(x)]


@each_kind
@pytest.mark.parametrize("split", SPLITS.values(), ids=[f.__name__ for f in SPLITS])
def test_that_a_split_gives_the_parts_of_all_components(kind: str, split: Any) -> None:
    x = KINDS[kind](NUMBERS)
    expected = [split(np.asarray(part)) for part in parts(x)]
    assert [parts(piece) for piece in split(x)] == [
        [one.tolist() for one in piece] for piece in zip(*expected, strict=True)
    ]


@each_kind
@pytest.mark.parametrize("join", [*JOINING, np.hstack, np.vstack, np.dstack, np.append, np.column_stack])
def test_that_joining_lifts_ordinary_arrays(kind: str, join: Any) -> None:
    join = (lambda arrays: np.append(*arrays)) if join is np.append else join
    for arrays in ([NUMBERS, OTHERS], [NUMBERS[0], OTHERS[1]]):
        joined = join([KINDS[kind](arrays[0]), arrays[1]])
        assert parts(joined)[0] == join(arrays).tolist()
        assert all(np.shape(part) == joined.shape for part in joined._parts())
        assert parts(join([arrays[1], KINDS[kind](arrays[0])]))[0] == join(arrays[::-1]).tolist()


@each_kind
@pytest.mark.parametrize("mode", ["constant", "edge", "reflect", "wrap", "symmetric"])
def test_that_padding_repeats_entries_or_puts_a_constant(kind: str, mode: str) -> None:
    more: dict[str, Any] = {"constant_values": 0.5} if mode == "constant" else {}
    padded = np.pad(KINDS[kind](NUMBERS), ((1, 1), (0, 2)), mode=mode, **more)
    assert parts(padded)[0] == np.pad(NUMBERS, ((1, 1), (0, 2)), mode=mode, **more).tolist()
    if kind == "rounded" and mode == "constant":
        assert (padded.radius > 0).tolist() == (np.pad(NUMBERS, ((1, 1), (0, 2))) != 0).tolist()


@each_kind
@pytest.mark.parametrize("k", [-1, 0, 2])
def test_that_a_triangle_keeps_one_side_of_a_diagonal(kind: str, k: int) -> None:
    x = KINDS[kind](np.stack([NUMBERS, OTHERS]))
    for f in (np.tril, np.triu):
        kept, expected = f(x, k), f(np.stack([NUMBERS, OTHERS]), k)
        assert parts(kept)[0] == expected.tolist()
        assert [(np.asarray(part) != 0).tolist() for part in parts(kept)[1:]] == [(expected != 0).tolist()] * (
            len(parts(kept)) - 1
        )


@each_kind
@pytest.mark.parametrize("shape", SHAPES, ids=lambda f: f.__name__)
def test_that_functions_of_the_shape_answer_with_ordinary_numbers(kind: str, shape: Any) -> None:
    x, more = KINDS[kind](NUMBERS), (7.0,) if shape is np.full_like else ()
    found, expected = shape(x, *more), shape(NUMBERS, *more)
    assert not isinstance(found, Duck)
    assert np.shape(found) == np.shape(expected)
    assert shape is np.empty_like or np.array_equal(found, expected)


def test_that_structure_keeps_exactness() -> None:
    x = Rounded.stored(NUMBERS, model("float32"))
    for same in (np.tril(x), np.pad(x, 1), np.vstack([x, x[0]]), *np.split(x, 3, axis=1), np.sort(x), np.copy(x)):
        assert same.q == x.q
        assert not np.sum(same * 3).radius.any()
