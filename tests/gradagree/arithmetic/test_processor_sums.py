"""Sums and products enclose those of exact processors, in any order, fused or not; a weaker bound does not."""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from gradagree.arithmetic import exactness
from gradagree.arithmetic.model import FORMATS, Model, model

ACCUMULATORS = [*((form, form) for form in FORMATS), ("float16", "float32"), ("bfloat16", "float32")]
SCALES = ("ordinary", "cancelling", "spread", "tiny", "huge", "grid", "steps", "lost")
COUNTS = (1, 2, 3, 7, 40)
LONG = 300
"""More terms than 1 / u of bfloat16."""
Pairs = Sequence[tuple[float, float]]


def chain(machine: Any, pairs: Pairs) -> float:
    """One after the other."""
    total = 0.0
    for x, y in pairs:
        total = machine.next(total, x, y)
    return total


def pairwise(machine: Any, pairs: Pairs) -> float:
    half = len(pairs) // 2
    if not half:
        return chain(machine, pairs)
    return float(machine.added(pairwise(machine, pairs[:half]), pairwise(machine, pairs[half:])))


def together(machine: Any, parts: Sequence[Pairs]) -> float:
    """Chains whose totals are added."""
    return chain(machine, [(chain(machine, part), 1.0) for part in parts if part])


def blocked(machine: Any, pairs: Pairs) -> float:
    """Blocks of twelve terms, in four lanes each, as BLAS adds."""
    blocks = [pairs[k : k + 12] for k in range(0, len(pairs), 12)]
    return chain(machine, [(together(machine, [block[lane::4] for lane in range(4)]), 1.0) for block in blocks])


def size(pair: tuple[float, float]) -> float:
    return abs(pair[0]) * abs(pair[1])


def shuffled(pairs: Pairs) -> Pairs:
    return [pairs[k] for k in np.random.default_rng(len(pairs)).permutation(len(pairs))]


ORDERS: dict[str, Callable[[Any, Pairs], float]] = {
    "forward": chain,
    "backward": lambda machine, pairs: chain(machine, pairs[::-1]),
    "pairwise": pairwise,
    "shuffled": lambda machine, pairs: chain(machine, shuffled(pairs)),
    "ascending": lambda machine, pairs: chain(machine, sorted(pairs, key=size)),
    "descending": lambda machine, pairs: chain(machine, sorted(pairs, key=size, reverse=True)),
    "signs": lambda machine, pairs: chain(machine, sorted(pairs, key=lambda pair: pair[0] * pair[1])),
    "blocked": blocked,
}


def terms(hardware: Any, dtype: str, accumulator: str, scale: str, count: int, place: int) -> np.ndarray:
    """The numbers of a sum, or the left (place 0) or right (1) ones of a product.

    Those of "steps" are positive multiples of 1/4; those of "lost" are lost when added to 1, which is then taken away.
    """
    if scale == "steps":
        return np.abs(hardware.numbers(dtype, "grid", count + 10 * place, (count,)))
    if scale != "lost":
        return np.asarray(hardware.numbers(dtype, scale, count + 10 * place, (count,), (-1, 1)[place]))
    x = np.ones(count)
    if not place:
        x[1:] = hardware.held(dtype, 0.99 * FORMATS[accumulator].u)
        x[-1] = -1
    return x


def violations(
    hardware: Any, dtype: str, accumulator: str, scale: str, flushes: bool = False, counts: Sequence[int] = COUNTS
) -> Iterator[str]:
    """Every sum and dot product that lies outside its radius."""
    rules = model(dtype, accumulator=accumulator, flushes=flushes)
    for count, share, dot in itertools.product(counts, (0.0, 2.0**-5), (False, True)):
        (x, a), (y, b) = (
            hardware.wider(terms(hardware, dtype, accumulator, scale, count, place), share, count + place, rules)
            for place in (0, 1)
        )
        found = (x[None] @ y[:, None])[0, 0] if dot else np.sum(x)
        pairs = [(i, j if dot else 1.0) for i, j in zip(a.tolist(), b.tolist(), strict=True)]
        for order, fused in itertools.product(ORDERS, (False, True)[: 1 + dot]):
            machine = hardware.machine(FORMATS[dtype], FORMATS[accumulator], fused, flushes)
            observed = machine.stored(ORDERS[order](machine, pairs))
            for _ in hardware.escaped(found, observed):
                yield f"{dtype} in {accumulator}, {scale}, {count} terms, {order}, {fused=}: {observed!r}"


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize(("dtype", "accumulator"), ACCUMULATORS)
def test_that_radii_enclose_every_order_of_summation(hardware: Any, dtype: str, accumulator: str, scale: str) -> None:
    assert list(violations(hardware, dtype, accumulator, scale)) == []


@pytest.mark.parametrize(("dtype", "accumulator"), [(form, form) for form in FORMATS if form != "float16"])
@pytest.mark.parametrize("scale", ["tiny", "spread"])
def test_that_radii_enclose_processors_that_flush(hardware: Any, dtype: str, accumulator: str, scale: str) -> None:
    assert list(violations(hardware, dtype, accumulator, scale, flushes=True)) == []


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_that_radii_enclose_sums_of_more_terms_than_the_format_can_count(hardware: Any, dtype: str) -> None:
    assert LONG * FORMATS["bfloat16"].u > 1
    assert list(violations(hardware, dtype, dtype, "ordinary", counts=(LONG,))) == []


Weaken = Callable[[Any, pytest.MonkeyPatch], None]


def bound(**changes: Callable[[dict[str, Any]], Any]) -> Weaken:
    """The bound of a sum from other arguments."""

    def weaker(summed: Any) -> Any:
        def changed(*args: Any, **names: Any) -> Any:
            given = inspect.signature(summed).bind(*args, **names).arguments
            return summed(**{**given, **{name: change(given) for name, change in changes.items()}})

        return changed

    return lambda hardware, monkeypatch: hardware.weaken(monkeypatch, "sum_of_terms", weaker)


def attribute(owner: Any, name: str, value: Any) -> Weaken:
    return lambda hardware, monkeypatch: monkeypatch.setattr(owner, name, value)


def quantum(value: float) -> Weaken:
    return attribute(Model, "quantum", property(lambda rules: value))


FITS = exactness.is_representable
WEAKER: dict[str, tuple[Weaken, str, str, str, dict[str, Any]]] = {
    "one term": (bound(terms=lambda given: 1), "float32", "float32", "lost", {}),
    "one term of 64 bits": (bound(terms=lambda given: 1), "float64", "float64", "lost", {}),
    "n / (1 - n u)": (
        bound(terms=lambda given: given["terms"] / (1 - given["terms"] * given["model"].accumulator.u)),
        "bfloat16", "bfloat16", "ordinary", {"counts": (LONG,)},
    ),
    "no accumulator": (bound(terms=lambda given: 0), "bfloat16", "float32", "lost", {}),
    "accumulator of 32 bits": (
        bound(model=lambda given: replace(given["model"], accumulator=FORMATS["float32"])),
        "float16", "float16", "ordinary", {},
    ),
    "no last rounding": (
        bound(model=lambda given: replace(given["model"], format=given["model"].accumulator)),
        "float16", "float32", "ordinary", {},
    ),
    "no overflow": (bound(size=lambda given: np.minimum(given["size"], 1.0)), "float16", "float16", "huge", {}),
    "no radii": (bound(spread=lambda given: 0.0 * given["spread"]), "float32", "float32", "ordinary", {}),
    "no quantum": (quantum(0.0), "float32", "float32", "tiny", {}),
    "no flushing": (quantum(2.0**-150), "float32", "float32", "tiny", {"flushes": True}),
    "always exact": (
        attribute(exactness, "is_exact", lambda *args, **names: True), "float32", "float32", "ordinary", {},
    ),
    "exact for longer": (
        attribute(exactness, "is_representable", lambda largest, q, form: FITS(largest / 4, q, form)),
        "bfloat16", "float32", "steps", {},
    ),
}  # fmt: skip
"""What is weakened, and the inputs over which it is found: dtype, accumulator, scale and more."""


@pytest.mark.parametrize("weakness", WEAKER)
def test_that_a_weaker_bound_of_sums_is_found(hardware: Any, weakness: str, monkeypatch: pytest.MonkeyPatch) -> None:
    weaken, dtype, accumulator, scale, more = WEAKER[weakness]
    assert next(violations(hardware, dtype, accumulator, scale, **more), None) is None
    weaken(hardware, monkeypatch)
    assert next(violations(hardware, dtype, accumulator, scale, **more), None) is not None


@pytest.mark.parametrize("dtype", FORMATS)
@pytest.mark.parametrize("scale", ["ordinary", "spread", "tiny", "huge"])
def test_that_an_exact_processor_computes_as_hardware_does(hardware: Any, dtype: str, scale: str) -> None:
    numbers = [hardware.numbers(dtype, scale, seed, (300,)) for seed in (1, 2, 3)]
    (observed,) = hardware.run("numpy", dtype, lambda lib, total, x, y: (total + x * y,), *numbers)
    machine = hardware.machine(FORMATS[dtype], FORMATS[dtype])
    np.testing.assert_array_equal([machine.next(*each) for each in zip(*map(list, numbers), strict=True)], observed)


def test_that_a_fused_processor_rounds_once(hardware: Any) -> None:
    """(1 + 2^-12)^2 - 1 is 2^-11 + 2^-24; the last term is lost where the product is rounded to 24 bits."""
    x, single = 1 + 2.0**-12, FORMATS["float32"]
    fused, plain = (hardware.machine(single, single, fused) for fused in (True, False))
    assert (fused.next(-1.0, x, x), plain.next(-1.0, x, x)) == (2.0**-11 + 2.0**-24, 2.0**-11)
