"""Every function of the catalogue in both frameworks: it agrees, or the disagreement is the one that is known."""

from __future__ import annotations

import importlib.util
from typing import Any

import pytest

from gradagree import Case
from gradagree.api import Disagreement, _insert, check
from gradagree.checker.verdict import plain
from gradagree.reference import Activation, ErrorFunction

ROUNDED_SIXTH = ("hardsigmoid", "torch", "float64")
"""torch multiplies by 1/6 in float32 in the backward pass of hardsigmoid, whatever the dtype."""
SHAPE = "3-6b-4"
EXAMPLES = {"ntxent": 9}
"""More examples than classes, so that some are pairs; of other functions, there are 3."""
CASES = ("f64:ordinary", "f32:grid")
MODES = {"torch": "backward,forward", "jax": "grad"}
FUNCTIONS = [
    kind() for base in (Activation, ErrorFunction) for kind in base.catalogue.values()
    if kind.__module__.startswith("gradagree.reference")
]  # fmt: skip


def small(function: Any, numbers: str) -> Case:
    """A small network with the function in every place where it can be."""
    dtype, regime = numbers.split(":")
    n = EXAMPLES.get(function.name, 3)
    return _insert(Case.parse(f"{SHAPE}:id*2:sse:n{n}:{dtype}:{regime}:s4"), function)


def checked(function: Any, framework: str, numbers: str, known: str | None = None) -> Any:
    """The records of one framework's fast modes."""
    pytest.importorskip(framework)
    modes = ",".join(f"{framework}:{mode}" for mode in MODES[framework].split(","))
    return check(small(function, numbers), frameworks=framework, modes=modes, known=known)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("framework", MODES)
@pytest.mark.parametrize("numbers", CASES)
@pytest.mark.parametrize("function", FUNCTIONS, ids=str)
def test_that_frameworks_agree_with_the_catalogue(function: Any, framework: str, numbers: str) -> None:
    records = checked(function, framework, numbers)
    assert {record.framework for record in records} == {framework}
    assert any(record.verdict.compared for record in records)


def test_that_the_known_disagreement_is_a_sixth_rounded_to_float32() -> None:
    with pytest.raises(Disagreement) as caught:
        checked(Activation.named("hardsigmoid"), *ROUNDED_SIXTH[1:2], CASES[0], known="none")
    found = next(record for record in caught.value.records if record.mode == "backward")
    assert (found.verdict, found.function, found.dtype) == ("disagree", "hardsigmoid", "float64")
    relative = plain(found.observed) / plain(found.expected) - 1
    rounding = 2.0**-24
    assert rounding / 4 < abs(relative) <= rounding


WIDENED = ("multiclass_sparsemax", "f32:grid")
"""Where 64-bit numbers are enabled, optax's projection onto the simplex makes float64 tangents of float32 numbers."""
OPTAX = [function for function in FUNCTIONS if hasattr(function, "optax")]


@pytest.mark.skipif(importlib.util.find_spec("optax") is None, reason="optax is not installed")
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("numbers", CASES)
@pytest.mark.parametrize("error", OPTAX, ids=str)
def test_that_optax_agrees_with_the_catalogue(error: ErrorFunction, numbers: str) -> None:
    import jax
    import optax

    from gradagree.api import with_implementation

    by_optax = with_implementation(error, "jax", lambda o, t: error.optax(o, t, optax, jax))  # type: ignore[attr-defined]
    if (error.name, numbers) == WIDENED:
        with pytest.raises(Disagreement, match="Custom JVP rule"):
            check(small(by_optax, numbers), frameworks="jax", modes="jax:grad")
        return
    records = check(small(by_optax, numbers), frameworks="jax", modes="jax:grad")
    assert any(record.verdict.compared for record in records)
