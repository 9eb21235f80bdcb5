"""Library functions enclose what NumPy, torch and jax give: at every number of 16 bits, and at many of 32 and 64."""

from __future__ import annotations

import importlib
import math
import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import pytest
from scipy import special

from gradagree.arithmetic import Rounded, rounded_library as libraries, rounded_library as saturation
from gradagree.arithmetic.model import FORMATS, Format

PROGRAMS = ("numpy", "torch", "torch-strided", "jax", "jax-jit")
SHARE = 2.0**-6
COUNT = 3000
"""Numbers of 32 or 64 bits of each kind; of 16 bits all are tried."""


EXPONENTS, NEAR, POSITIVE, WIDE, INSIDE = None, (-6.0, 6.0), (0.0, 9.0), (-20.0, 20.0), (-1.0, 1.0)
"""Where most inputs are; EXPONENTS is a little more than the range of the dtype's exponents."""
FUNCTIONS: dict[Any, tuple[Any, ...]] = {
    **dict.fromkeys((np.exp, np.exp2, np.sinh, special.expit, special.log_expit), (EXPONENTS,)),
    **dict.fromkeys((np.expm1, np.cbrt, np.sin, np.cos, np.arctan, np.arcsinh), (NEAR,)),
    **dict.fromkeys((special.erf, special.erfc, special.ndtr, special.log_ndtr), (NEAR,)),
    **dict.fromkeys((np.log, np.log2, np.log10, np.sqrt), (POSITIVE,)),
    np.log1p: (INSIDE,),
    np.tanh: (WIDE,),
    np.logaddexp: (NEAR, NEAR),
    np.power: (POSITIVE, NEAR),
}
"""The ranges of each function's operands."""
ALIASES = {"log_expit": ("logsigmoid", "log_sigmoid"), "expit": ("sigmoid",), "power": ("pow",)}
PLACES = {
    "torch": ("torch", "torch.special", "torch.nn.functional"),
    "jax": ("jax.numpy", "jax.scipy.special", "jax.nn"),
}  # fmt: skip
WIDE_ONLY = {(special.ndtr, "jax"), (special.log_ndtr, "jax"), (special.log_ndtr, "torch")}
"""What a framework has for 32 and 64 bits only."""
each_function = pytest.mark.parametrize("f", FUNCTIONS, ids=lambda f: f.__name__)

Inputs = Callable[[np.ndarray], Any]
KNOWN: dict[tuple[Any, str, str], tuple[Inputs, str]] = {
    (np.cbrt, "jax", "float32"): (lambda x: np.abs(x) < 2.0**-126, "the root of a subnormal is -5.6e-16"),
    **{
        (special.ndtr, "torch", form): (lambda x: x < -2.8, "1 + erf cancels in the left tail") for form in FORMATS
    },
    **{
        (special.log_ndtr, "jax", form): (lambda x, end=end: (x < end) | (x > 2), "log(1 - small), few terms, x^2")
        for form, end in {"float64": -18, "float32": -1e19}.items()
    },
}  # fmt: skip
"""(function, framework, dtype): the inputs at which a framework's library leaves the model, and how."""


def offered(f: Any, framework: str) -> Any:
    """The function in torch or jax; None where it has none."""
    modules = [importlib.import_module(path) for path in PLACES[framework]]
    names = (*ALIASES.get(f.__name__, ()), f.__name__)
    return next((getattr(module, name) for name in names for module in modules if hasattr(module, name)), None)


def spelled(f: Any, program: str, dtype: str) -> Any:
    """The function in a program's library; None where it has none in the dtype."""
    framework = program.partition("-")[0]
    if framework == "numpy":
        return f
    return None if FORMATS[dtype].precision < 16 and (f, framework) in WIDE_ONLY else offered(f, framework)


def every(form: Format, seed: int) -> np.ndarray:
    """Numbers of all exponents, subnormal ones among them; of 16 bits all that there are."""
    significands, exponents = 2 ** (form.precision - 1), form.emax - form.emin + 2
    if significands * exponents <= 2**15:
        exponent, significand = np.divmod(np.arange(significands * exponents), significands)
    else:
        rng = np.random.default_rng(seed)
        exponent, significand = (rng.integers(0, bound, COUNT) for bound in (exponents, significands))
    whole = (significand + (exponent > 0) * significands).astype(np.float64)
    size = np.ldexp(whole, np.maximum(exponent, 1) - 1 + form.emin - form.precision + 1)
    return np.concatenate([size, -size])


def inputs(hardware: Any, f: Any, dtype: str) -> list[np.ndarray]:
    """For each operand numbers of all exponents, and some within the function's ranges."""
    drawn, form = [], FORMATS[dtype]
    for place, ends in enumerate(FUNCTIONS[f]):
        rng, end = np.random.default_rng([place, zlib.crc32(f.__name__.encode())]), 1.5 * math.log(form.largest)
        x = np.concatenate([every(form, place), hardware.held(dtype, rng.uniform(*(ends or (-end, end)), COUNT))])
        drawn.append(rng.permutation(x) if place else x)
    return drawn


def violations(
    hardware: Any,
    program: str,
    dtype: str,
    functions: Iterable[Any] = FUNCTIONS,
    share: float = 0.0,
    known: bool = False,
) -> Iterator[str]:
    """Every answer of a program's library that lies outside its radius, at the known inputs or at all others."""
    rules = hardware.model(program, dtype)
    spelt = {f: g for f in functions if (g := spelled(f, program, dtype)) is not None}
    wider = [[hardware.wider(x, share, k, rules) for k, x in enumerate(inputs(hardware, f, dtype))] for f in spelt]

    def answers(lib: Any, *xs: Any) -> tuple[Any, ...]:
        left = iter(xs)
        return tuple(g(*(next(left) for _ in FUNCTIONS[f])) for f, g in spelt.items())

    observed = hardware.run(program, dtype, answers, *(member for pairs in wider for _, member in pairs))
    for f, pairs, given in zip(spelt, wider, observed, strict=True):
        excused, _ = KNOWN.get((f, program.partition("-")[0], dtype), (lambda x: x != x, ""))
        for k in hardware.escaped(f(*(x for x, _ in pairs)), given):
            at = [member[k] for _, member in pairs]
            if bool(excused(at[0])) == known:
                yield f"{f.__name__} by {program}, {dtype}, {share=} at {at}: {given[k]!r}"


@pytest.mark.parametrize("dtype", FORMATS)
@pytest.mark.parametrize("program", PROGRAMS)
def test_that_radii_enclose_library_functions(hardware: Any, program: str, dtype: str) -> None:
    assert list(violations(hardware, program, dtype)) == []


@pytest.mark.parametrize("dtype", FORMATS)
@pytest.mark.parametrize("program", ["numpy", "torch"])
def test_that_radii_enclose_library_functions_of_all_numbers_within(hardware: Any, program: str, dtype: str) -> None:
    assert list(violations(hardware, program, dtype, share=SHARE)) == []


@pytest.mark.parametrize(
    ("f", "framework", "dtype"),
    [
        pytest.param(*key, marks=pytest.mark.xfail(strict=True, reason=f"{key[1]} {key[0].__name__} {key[2]}: {how}"))
        for key, (_, how) in KNOWN.items()
    ],
)
def test_that_radii_enclose_library_functions_everywhere(hardware: Any, f: Any, framework: str, dtype: str) -> None:
    assert next(violations(hardware, framework, dtype, [f], known=True), None) is None


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_that_a_function_said_to_be_missing_is_missing(hardware: Any, dtype: str) -> None:
    for f, program in WIDE_ONLY:
        with pytest.raises((NotImplementedError, TypeError), match=r"not (supported|implemented)"):
            hardware.run(program, dtype, lambda lib, x, f=f, program=program: (offered(f, program)(x),), np.ones(3))


def test_that_every_function_that_a_framework_offers_is_compared(hardware: Any) -> None:
    """Those of `libraries.FUNCTIONS` are, in test_libraries; the others need their ranges here."""
    assert set(FUNCTIONS) - set(libraries.FUNCTIONS) == {np.logaddexp, np.power}
    for f in FUNCTIONS:
        assert offered(f, "torch") or offered(f, "jax")


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@each_function
def test_that_a_library_without_errors_is_found_out(
    hardware: Any, f: Any, dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if f is np.log1p and dtype == "float64":
        pytest.skip("its bound does not rest on LIBRARY: see libraries.FUNCTIONS")
    hardware.weaken(monkeypatch, "LIBRARY", lambda _: 0)
    programs = ("numpy", "torch", "jax")
    assert any(next(violations(hardware, program, dtype, [f]), None) is not None for program in programs)


@each_function
def test_that_a_rule_that_forgets_its_operands_radius_is_found_out(
    hardware: Any, f: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    rule = Rounded.rules[f]
    monkeypatch.setitem(Rounded.rules, f, lambda *xs: rule(*(Rounded(x.value, 0.0, x.model) for x in xs)))
    assert next(violations(hardware, "numpy", "float32", [f], SHARE), None) is not None


@pytest.mark.parametrize("f", saturation.TAILS, ids=lambda f: f.__name__)
def test_that_a_limit_taken_too_soon_is_found_out(hardware: Any, f: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(saturation, "SATURATED", 8)
    assert next(violations(hardware, "torch", "float32", [f]), None) is not None


def test_that_a_library_that_flushes_is_found_out(hardware: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Format, "smallest_normal", property(lambda form: form.smallest))
    assert next(violations(hardware, "torch", "float32"), None) is not None
