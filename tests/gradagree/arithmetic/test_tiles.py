"""Rules on parts of large arrays give what the rules give on the whole, and outward is the next number."""

from __future__ import annotations

import numpy as np
import pytest

from gradagree.arithmetic.model import model
from gradagree.arithmetic.rounded import Rounded
from gradagree.arithmetic.rounding import is_representable, outward, round_to_format
from gradagree.arithmetic.tiles import TILE

RULES = (np.add, np.subtract, np.multiply, np.divide)
SHAPES = (
    ((400, 200), (400, 200)), ((400, 200), (200,)), ((400, 200), (400, 1)), ((1, 3 * TILE), (2, 3 * TILE)),
    ((3 * TILE,), ()), ((2, 5 * TILE), (2, 1)), ((3, 4, 2 * TILE), (4, 1)), ((400, 1), (1, 200)),
)  # fmt: skip


def arrays(shapes: tuple[tuple[int, ...], ...], dtype: str, seed: int) -> list[Rounded]:
    """Numbers with zeros, ones and an infinity among them, some of them exact."""
    rng, found = np.random.default_rng(seed), []
    for shape in shapes:
        x = np.asarray(rng.choice([0.0, 1.0, -1.0, np.inf, 0.5, 3e-40, 1.7, -2.3e5], shape, p=[0.1] * 4 + [0.15] * 4))
        found.append(Rounded(x, np.where(rng.random(shape) < 0.5, 0.0, 1e-3 * np.abs(rng.random(shape))), model(dtype)))
    return found


@pytest.mark.parametrize("rule", RULES, ids=[f.__name__ for f in RULES])
@pytest.mark.parametrize("shapes", SHAPES, ids=map(str, SHAPES))
@pytest.mark.parametrize("dtype", ["float64", "bfloat16"])
def test_that_a_large_array_has_the_entries_of_its_parts(
    rule: np.ufunc, shapes: tuple[tuple[int, ...], ...], dtype: str
) -> None:
    x, y = arrays(shapes, dtype, 0)
    found = rule(x, y)
    with np.errstate(all="ignore"):
        whole = Rounded.rules[rule].__wrapped__(x, y)
    np.testing.assert_array_equal(found.value, whole.value)
    np.testing.assert_array_equal(found.radius, whole.radius)
    assert found.shape == whole.shape
    assert found.q <= whole.q


def test_that_a_library_function_has_the_entries_of_its_parts() -> None:
    x = arrays(((3 * TILE,),), "float32", 1)[0]
    with np.errstate(all="ignore"):
        whole = Rounded.rules[np.tanh].__wrapped__(x)
    np.testing.assert_allclose(np.tanh(x).radius, whole.radius, rtol=1e-2)  # a bound for all of a part


def test_that_outward_is_the_next_number() -> None:
    rng = np.random.default_rng(0)
    x = np.ldexp(rng.uniform(-1, 1, 10_000), rng.integers(-900, 900, 10_000))
    x = np.concatenate([x, np.ldexp(1.0, np.arange(-900, 900)), -np.ldexp(1.0, np.arange(-900, 900))])
    for side in (-1, 1):
        np.testing.assert_array_equal(outward(x, side), np.nextafter(x, side * np.inf))
    np.testing.assert_array_equal(outward(np.array([np.inf]), -1), [np.finfo(float).max])


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "bfloat16"])
def test_that_the_numbers_of_a_format_are_known(dtype: str) -> None:
    form, rng = model(dtype).format, np.random.default_rng(0)
    x = round_to_format(rng.standard_normal(1000) * form.smallest_normal * rng.choice([0.1, 1.0, 1e6], 1000), form)
    assert is_representable(np.append(x, [np.inf, form.largest, form.smallest]), form)
    assert not is_representable(np.append(x, np.nan), form)
    if dtype != "float64":
        assert not is_representable(np.append(x, 1 + form.u), form)
        assert not is_representable(np.append(x, form.smallest / 2), form)
