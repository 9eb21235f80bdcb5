"""Operations enclose those of exact processors that fuse, divide by reciprocals or multiply in another order."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from gradagree.arithmetic import Rounded
from gradagree.arithmetic.model import FORMATS, model

ACCUMULATORS = [*((form, form) for form in FORMATS), ("float16", "float32"), ("bfloat16", "float32")]
SIZE = 100


def quotient(machine: Any, x: float, y: float) -> float:
    """x times the reciprocal of y, where that is an ordinary number."""
    if machine.form.smallest_normal <= abs(y) <= 1 / machine.form.smallest_normal:
        return float(machine.product(x, machine.rounded(1 / Fraction(y))))
    return float(machine.rounded(Fraction(x) / Fraction(y))) if y else x * math.copysign(math.inf, y)


DIVISION = "x / y"
FUSED: dict[str, tuple[Callable[..., Any], Callable[..., float]]] = {
    "x y + x": (lambda x, y: x * y + x, lambda machine, x, y: machine.next(x, x, y)),
    "x y - y": (lambda x, y: x * y - y, lambda machine, x, y: machine.next(-y, x, y)),
    "x - y x": (lambda x, y: x - y * x, lambda machine, x, y: machine.next(x, -y, x)),
    "x y - y x": (lambda x, y: x * y - y * x, lambda machine, x, y: machine.next(-machine.product(y, x), x, y)),
    "x x + y y": (lambda x, y: x * x + y * y, lambda machine, x, y: machine.next(machine.product(y, y), x, x)),
    "1 - x^2": (lambda x, y: 1 - x**2, lambda machine, x, y: machine.next(1.0, -x, x)),
    "x (1 - x)": (lambda x, y: x * (1 - x), lambda machine, x, y: machine.next(x, -x, x)),
    DIVISION: (lambda x, y: x / y, quotient),
}
"""Expressions, and how a processor forms them in fewer roundings; a division in one more."""


def violations(hardware: Any, dtype: str, accumulator: str, names: Sequence[str] = tuple(FUSED)) -> Iterator[str]:
    """Every result of a processor that fuses, and stores in a narrower format, that lies outside its radius."""
    rules = model(dtype, accumulator=accumulator)
    machine = hardware.machine(FORMATS[dtype], FORMATS[accumulator], fused=True)
    for scale, name in itertools.product(hardware.scales, names):
        expression, fused = FUSED[name]
        x, y = hardware.operands(dtype, scale, 2, SIZE)
        found = expression(Rounded.stored(x, rules), Rounded.stored(y, rules))
        given = [machine.stored(fused(machine, *pair)) for pair in zip(x.tolist(), y.tolist(), strict=True)]
        for k in hardware.escaped(found, given):
            yield f"{name}, {dtype} in {accumulator}, {scale} at {x[k]!r}, {y[k]!r}: {given[k[0]]!r}"


def reordered(hardware: Any, dtype: str) -> Iterator[str]:
    """Products of three numbers that NumPy forms from the right and that lie outside the radius of those from the left.

    Products of two are next to 2, where a rounding is largest, and those of three are not.
    """
    rules, rng = hardware.model("numpy", dtype), np.random.default_rng(5)
    x, y, z = (hardware.held(dtype, rng.uniform(2**0.5, 1.45, 100 * SIZE)) for _ in range(3))
    found = (Rounded.stored(x, rules) * Rounded.stored(y, rules)) * Rounded.stored(z, rules)
    (given,) = hardware.run("numpy", dtype, lambda lib, x, y, z: (x * (y * z),), x, y, z)
    for k in hardware.escaped(found, given):
        yield f"{dtype} at {x[k]!r}, {y[k]!r}, {z[k]!r}: {given[k]!r}"


@pytest.mark.parametrize(("dtype", "accumulator"), ACCUMULATORS)
def test_that_radii_enclose_what_processors_fuse(hardware: Any, dtype: str, accumulator: str) -> None:
    assert list(violations(hardware, dtype, accumulator)) == []


@pytest.mark.parametrize("dtype", FORMATS)
def test_that_radii_enclose_products_in_another_order(hardware: Any, dtype: str) -> None:
    assert list(reordered(hardware, dtype)) == []


@pytest.mark.parametrize("name", [name for name in FUSED if name != DIVISION])
def test_that_operations_that_do_not_round_are_found(hardware: Any, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    hardware.weaken(
        monkeypatch,
        "result",
        lambda result: lambda value, spread, rules, *more, **names: result(value, spread, rules, keep=True),
    )
    assert next(violations(hardware, "float32", "float32", [name]), None) is not None


@pytest.mark.parametrize(("dtype", "roundings"), [("float64", 0.5), ("float32", 1), ("float16", 1), ("bfloat16", 1)])
def test_that_a_division_of_fewer_roundings_is_found(
    hardware: Any, dtype: str, roundings: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In float64 the reference's own rounding counts as much as the program's."""
    hardware.weaken(monkeypatch, "DIVISION", lambda _: roundings)
    assert next(violations(hardware, dtype, dtype, [DIVISION]), None) is not None


def test_that_a_radius_without_the_references_own_rounding_is_found(
    hardware: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    hardware.weaken(monkeypatch, "OWN", lambda _: 0.0)
    assert next(reordered(hardware, "float64"), None) is not None
