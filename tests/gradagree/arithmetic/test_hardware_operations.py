"""Operations and choices enclose what frameworks give, in all dtypes; weaker rules do not."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from gradagree.arithmetic import Rounded, exactness
from gradagree.arithmetic.model import FORMATS, Model
from gradagree.arithmetic.rounded import COMPARISONS
from gradagree.arithmetic.three_valued import split

SIZE = 250
SHARES = (0.0, 2.0**-5, 1.25)

LOST = {(name, "float64", "tiny") for name in ("x / y", "x * y")}
"""Where a radius may be lost in float64, `test_that_a_radius_does_not_underflow`."""

EXPRESSIONS: dict[str, Callable[..., Any]] = {
    "x + y": lambda lib, x, y: x + y,
    "x - y": lambda lib, x, y: x - y,
    "x * y": lambda lib, x, y: x * y,
    "x / y": lambda lib, x, y: x / y,
    "-x": lambda lib, x, y: -x,
    "+x": lambda lib, x, y: +x,
    "|x|": lambda lib, x, y: abs(x),
    "fabs x": lambda lib, x, y: getattr(lib, "fabs", lib.abs)(x),
    "sign x": lambda lib, x, y: lib.sign(x),
    "max(x, y)": lambda lib, x, y: lib.maximum(x, y),
    "min(x, y)": lambda lib, x, y: lib.minimum(x, y),
    "max of x": lambda lib, x, y: lib.max(x),
    "min of x": lambda lib, x, y: lib.min(x),
    "clip x": lambda lib, x, y: lib.clip(x, -0.3, 0.75),
    "1 / x": lambda lib, x, y: lib.reciprocal(x),
    "x squared": lambda lib, x, y: lib.square(x),
    **{f"x^{n}": lambda lib, x, y, n=n: x**n for n in (0, 1, 2, 3, 5, -1, -2)},
    "0.1 x": lambda lib, x, y: 0.1 * x,
    "x / 7": lambda lib, x, y: x / 7,
    "x > y": lambda lib, x, y: lib.where(x > y, x, -x),
    "x >= y": lambda lib, x, y: lib.where(x >= y, x, 0.1 * y),
    "x < y": lambda lib, x, y: lib.where(x < y, x, y),
    "x <= y": lambda lib, x, y: lib.where(x <= y, x + x, y),
    "x == y": lambda lib, x, y: lib.where(x == y, x, -y),
    "x != y": lambda lib, x, y: lib.where(x != y, x, 0.5 * y),
    "x y + x": lambda lib, x, y: x * y + x,
    "x y + x fused": lambda lib, x, y: lib.addcmul(x, x, y) if hasattr(lib, "addcmul") else x * y + x,
    "x - y x": lambda lib, x, y: x - y * x,
    "x y - y x": lambda lib, x, y: x * y - y * x,
    "x x + y y": lambda lib, x, y: x * x + y * y,
    "x / (1 + |x|)": lambda lib, x, y: x / (1 + abs(x)),
    "1 - x^2": lambda lib, x, y: 1 - x**2,
    "x (1 - x)": lambda lib, x, y: x * (1 - x),
    "x + 0.044715 x^3": lambda lib, x, y: x + 0.044715 * x**3,
}  # fmt: skip
"""Every operation, and expressions of several that may be fused."""
ALL = tuple(EXPRESSIONS)
ALONE = [(name,) for name in ALL[ALL.index("x y + x") :]]
"""A compiler fuses products that are used only once."""


@functools.cache
def expressions(names: tuple[str, ...]) -> Callable[..., tuple[Any, ...]]:
    return lambda lib, x, y: tuple(EXPRESSIONS[name](lib, x, y) for name in names)


def violations(hardware: Any, program: str, dtype: str) -> Iterator[str]:
    """Every result of an expression that a program gives and that lies outside its radius."""
    rules = hardware.model(program, dtype)
    groups = [ALL, *ALONE] if program == "jax-jit" else [ALL]
    for scale, share, names in itertools.product(hardware.scales, SHARES, groups):
        operands = hardware.operands(dtype, scale, 1, SIZE)
        (x, a), (y, b) = (hardware.wider(z, share, k, rules) for k, z in enumerate(operands))
        observed = hardware.run(program, dtype, expressions(names), a, b)
        for name, given, found in zip(names, observed, expressions(names)(np, x, y), strict=True):
            if share and (name, dtype, scale) in LOST:
                continue
            for k in hardware.escaped(found, given):
                at = ", ".join(repr(float(z[k or 0])) for z in (a, b))
                yield f"{name} by {program}, {dtype}, {scale}, {share=} at {at}: {given[k]!r}"


@pytest.mark.parametrize("dtype", FORMATS)
@pytest.mark.parametrize("program", ["numpy", "torch", "torch-strided", "jax", "jax-jit"])
def test_that_radii_enclose_what_programs_compute(hardware: Any, program: str, dtype: str) -> None:
    assert list(violations(hardware, program, dtype)) == []


@pytest.mark.parametrize(
    ("operation", "x", "y", "shares"),
    [
        ("x / y", 2.0**-1074, 1.875 * 2.0**-531, (0, 0.5)),
        ("x * y", 1.015625 * 2.0**-533, 1.9375 * 2.0**-543, (0.75, 0.75)),
    ],
)
def test_that_a_radius_does_not_underflow(hardware: Any, operation: str, x: float, y: float, shares: Any) -> None:
    rules, f = hardware.model("numpy", "float64"), EXPRESSIONS[operation]
    found = f(np, *(Rounded(z, share * z, rules) for z, share in zip((x, y), shares, strict=True)))
    members = ([(1 + side * share) * z for side in (-1, 1)] for z, share in zip((x, y), shares, strict=True))
    assert [pair for pair in itertools.product(*members) for _ in hardware.escaped(found, f(np, *pair))] == []


Weaken = Callable[[Any, pytest.MonkeyPatch], None]


def constant(name: str, value: Any) -> Weaken:
    return lambda hardware, monkeypatch: hardware.weaken(monkeypatch, name, lambda _: value)


def attribute(owner: Any, name: str, value: Any) -> Weaken:
    return lambda hardware, monkeypatch: monkeypatch.setattr(owner, name, value)


def quantum(value: float) -> Weaken:
    return attribute(Model, "quantum", property(lambda rules: value))


def changed(name: str, weaker: Callable[[Any], Any]) -> Weaken:
    return lambda hardware, monkeypatch: hardware.weaken(monkeypatch, name, weaker)


def rule(*functions: Any, weaker: Callable[..., Any]) -> Weaken:
    """Other rules: weaker(the rule)."""

    def weaken(hardware: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        for f in functions:
            monkeypatch.setitem(Rounded.rules, f, weaker(Rounded.rules[f]))

    return weaken


def without_radius(place: int) -> Callable[..., Any]:
    """A rule that forgets the radius of one operand."""

    def bare(x: Any, k: int) -> Any:
        return Rounded(x.value, 0.0, x.model) if k == place and isinstance(x, Rounded) else x

    return lambda rule: lambda *xs: rule(*(bare(x, k) for k, x in enumerate(xs)))


def decided(rule: Any) -> Any:
    """A comparison that takes the answer of the centres."""
    return lambda x, y: split(rule(x, y))[0]


def without_roundings(result: Any) -> Any:
    return lambda value, spread, rules, *more, **names: result(value, spread, rules, keep=True)


def finite(finished: Any) -> Any:
    return lambda value, radius, rules, *more: Rounded(value, np.where(np.isinf(radius), np.abs(value), radius), rules)


BINARY = (np.add, np.subtract, np.multiply, np.divide, np.maximum, np.minimum)
UNARY = (np.negative, np.absolute, np.sign, np.square, np.reciprocal, np.max, np.min)
WEAKER: dict[str, tuple[Weaken, str, str]] = {
    "no roundings": (changed("result", without_roundings), "torch", "float32"),
    "no library's own": (constant("LIBRARY", 0), "numpy", "float32"),
    "no quantum": (quantum(0.0), "numpy", "float16"),
    "no flushing": (quantum(2.0**-150), "jax", "float32"),
    "always exact": (attribute(exactness, "is_exact", lambda *args, **names: True), "torch", "bfloat16"),
    "all ones": (constant("is_one", lambda x: np.abs(np.abs(x.value) - 1) < 0.5), "numpy", "float32"),
    "all zeros": (constant("is_zero", lambda x: np.abs(x.value) < 0.5), "numpy", "float64"),
    "exact constants": (attribute(Rounded, "constant", lambda x, rules: Rounded(x, 0.0, rules)), "jax", "float32"),
    "no overflow": (changed("finish", finite), "torch", "float16"),
    "comparisons decided": (rule(*COMPARISONS, weaker=decided), "torch", "float32"),
    **{f"no first radius in {f.__name__}": (rule(f, weaker=without_radius(0)), "numpy", "float32") for f in BINARY},
    **{f"no second radius in {f.__name__}": (rule(f, weaker=without_radius(1)), "torch", "float64") for f in BINARY},
    **{f"no radius in {f.__name__}": (rule(f, weaker=without_radius(0)), "torch", "float32") for f in UNARY},
}
"""What is weakened, and the program and dtype that find it."""


@pytest.mark.parametrize("weakness", WEAKER)
def test_that_programs_find_a_weaker_rule(hardware: Any, weakness: str, monkeypatch: pytest.MonkeyPatch) -> None:
    weaken, program, dtype = WEAKER[weakness]
    weaken(hardware, monkeypatch)
    assert next(violations(hardware, program, dtype), None) is not None


def test_that_every_operation_is_used(hardware: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    used: set[Any] = set()

    def watched(f: Any, known: Any) -> Any:
        return lambda *args, **names: [used.add(f), known(*args, **names)][1]

    for f, known in Rounded.rules.items():
        monkeypatch.setitem(Rounded.rules, f, watched(f, known))
    x = Rounded([1.0, 2.0], [0.5, 0.5], hardware.model("numpy", "float32"))
    expressions(ALL)(np, x, x + x)
    assert used == hardware.operations
