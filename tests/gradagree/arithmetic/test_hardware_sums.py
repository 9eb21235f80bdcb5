"""Sums and products enclose what frameworks give, in all dtypes; without roundings or radii they do not."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from gradagree.arithmetic import Rounded
from gradagree.arithmetic.model import FORMATS, Model

ROWS, COLUMNS = 24, 67
REDUCTIONS: dict[str, Callable[..., Any]] = {
    "sum": lambda lib, x, y: lib.sum(x),
    "sum of rows": lambda lib, x, y: lib.sum(x, axis=-1),
    "sum of columns": lambda lib, x, y: lib.sum(x, axis=0),
    "mean": lambda lib, x, y: lib.mean(x, axis=-1),
    "x @ y": lambda lib, x, y: x @ y.T,
    "x.T @ y": lambda lib, x, y: x.T @ y,
    "row @ y": lambda lib, x, y: x[:1] @ y.T,
    "row @ column": lambda lib, x, y: x[:1] @ y[:1].T,
    "x @ vector": lambda lib, x, y: x @ y[0],
    "batches": lambda lib, x, y: x[None, :, None] @ y[None, :, :, None],
}
each_program = pytest.mark.parametrize("program", ["numpy", "torch", "torch-strided", "jax", "jax-jit"])


def reductions(lib: Any, x: Any, y: Any) -> tuple[Any, ...]:
    return tuple(f(lib, x, y) for f in REDUCTIONS.values())


def violations(hardware: Any, program: str, dtype: str) -> Iterator[str]:
    """Every entry of a sum or product that a program gives and that lies outside its radius."""
    for scale, share in itertools.product(hardware.scales, (0.0, 2.0**-5)):
        rules, shape = hardware.model(program, dtype), (ROWS, COLUMNS)
        (x, a), (y, b) = (
            hardware.wider(hardware.numbers(dtype, scale, seed, shape, mirror), share, seed, rules)
            for seed, mirror in ((3, -1), (4, 1))
        )
        observed = hardware.run(program, dtype, reductions, a, b)
        for name, given, found in zip(REDUCTIONS, observed, reductions(np, x, y), strict=True):
            for k in hardware.escaped(found, given):
                yield f"{name} by {program}, {dtype}, {scale}, {share=}: entry {k} is {given[k]!r}"


@pytest.mark.parametrize("dtype", FORMATS)
@each_program
def test_that_radii_enclose_the_sums_of_programs(hardware: Any, program: str, dtype: str) -> None:
    assert list(violations(hardware, program, dtype)) == []


@pytest.mark.parametrize("dtype", FORMATS)
def test_that_radii_of_sums_say_something(hardware: Any, dtype: str) -> None:
    """In ordinary numbers they are finite, and little wider than the bound that they are made of."""
    rules = hardware.model("torch", dtype)
    x = hardware.numbers(dtype, "ordinary", 1, (ROWS, COLUMNS))
    bound = 2 * (rules.u + COLUMNS * rules.accumulator.u) * np.sum(np.abs(x), axis=-1)
    assert (np.sum(Rounded.stored(x, rules), axis=-1).radius <= bound).all()


def unrounded(rules: Model) -> Model:
    """The model of a program that computes and stores in 64 bits."""
    wide = FORMATS["float64"]
    return replace(rules, format=replace(rules.format, precision=wide.precision), accumulator=wide)


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@each_program
def test_that_sums_of_programs_leave_the_radii_of_more_precise_ones(
    hardware: Any, program: str, dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured = hardware.model
    monkeypatch.setattr(hardware, "model", lambda program, dtype: unrounded(measured(program, dtype)))
    assert next(violations(hardware, program, dtype), None) is not None


@pytest.mark.parametrize("place", [0, 1])
@each_program
def test_that_sums_of_programs_leave_radii_that_forget_an_operands(
    hardware: Any, program: str, place: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for f in (np.sum, np.matmul):

        def weaker(*operands: Any, rule: Any = Rounded.rules[f], **names: Any) -> Any:
            known = [Rounded(x.value, 0.0 if k == place else x.radius, x.model) for k, x in enumerate(operands)]
            return rule(*known, **names)

        monkeypatch.setitem(Rounded.rules, f, weaker)
    assert next(violations(hardware, program, "float64"), None) is not None
