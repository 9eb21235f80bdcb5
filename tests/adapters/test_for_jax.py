"""JAX: 64-bit numbers within the settings only, the compiled mode, and taps that are zeros added to each c."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from gradagree import Case
from gradagree.adapters import Adapter, ForJax, Problem
from gradagree.adapters.for_jax import grad, jit
from gradagree.arithmetic.model import model
from gradagree.checker.reverse import check

jax: Any = pytest.importorskip("jax")

SPEC = "2-2b:id,tanh:sse:n2:f64:ordinary:s4"


def settings() -> tuple[Any, Any]:
    return jax.config.jax_enable_x64, jax.config.jax_default_matmul_precision


@pytest.fixture
def others() -> Any:
    """Settings that are not those of the adapter."""
    before = settings()
    jax.config.update("jax_enable_x64", False)
    jax.config.update("jax_default_matmul_precision", "default")
    yield settings()
    jax.config.update("jax_enable_x64", before[0])
    jax.config.update("jax_default_matmul_precision", before[1])


def test_that_settings_are_on_within_and_as_before_after(others: Any) -> None:
    adapter = ForJax()
    assert settings() == others, "making an adapter sets nothing"
    with adapter.settings():
        assert settings() == (True, "highest")
        assert str(adapter.array(np.ones(1), "float64").dtype) == "float64"
    assert settings() == others


def test_that_settings_are_as_before_after_an_error_too(others: Any) -> None:
    with pytest.raises(RuntimeError, match="within"), ForJax().settings():
        raise RuntimeError("within")
    assert settings() == others


@pytest.mark.parametrize("mode", [grad, jit])
def test_that_a_mode_gives_error_aux_and_gradients(mode: Any) -> None:
    with ForJax().settings():
        leaves = [jax.numpy.array([1.0, 2.0]), jax.numpy.array(3.0)]
        error = lambda leaves, t: (jax.numpy.sum(leaves[0] ** 2) * leaves[1] * t, [leaves[1]])  # noqa: E731
        (E, aux), gradients = mode(error, [False, False])(leaves, 1.0)
    assert (float(E), float(aux[0])) == (15.0, 3.0)
    assert [np.asarray(g).tolist() for g in gradients] == [[6.0, 12.0], 5.0]


def test_that_the_compiled_mode_compiles_the_whole_and_the_eager_one_does_not(problem: Callable[..., Problem]) -> None:
    traced: dict[str, list[bool]] = {"grad": [], "jit": []}
    for mode, seen in traced.items():

        def error(leaves: list[Any], targets: Any, seen: list[bool] = seen) -> Any:
            seen.append(isinstance(leaves[0], jax.core.Tracer))
            seen.append(hasattr(leaves[0], "primal") and isinstance(leaves[0].primal, jax.core.Tracer))
            return jax.numpy.sum(leaves[0]), ()

        ForJax.modes[mode](error, [False])([jax.numpy.ones(2)], None)
    assert traced == {"grad": [True, False], "jit": [True, True]}


def test_that_compiled_answers_pass_the_box_check(problem: Callable[..., Problem]) -> None:
    case, adapter = Case.parse(SPEC), ForJax()
    with adapter.settings():
        tapped, untapped = adapter.answers(problem(SPEC), "jit")
    found = list(check(case, case.arrays(), tapped, model("float64", flushes=True)))
    assert not [one for one in found if one.verdict.fails]
    assert len(tapped.cotangents) == 3
    assert len(untapped.cotangents) == 1


def test_that_the_sensitivity_of_a_box_is_the_gradient_at_its_current_input(problem: Callable[..., Problem]) -> None:
    given, adapter = problem(SPEC), ForJax()
    with adapter.settings():
        tapped, _ = adapter.answers(given, "grad")
        factor = jax.numpy.asarray(given.loss_weight)
        error = lambda p: factor * jax.numpy.sum((jax.numpy.tanh(p) - given.targets) ** 2)  # noqa: E731
        slope = jax.grad(error)(tapped.values["c1"])
    assert np.array_equal(tapped.cotangents["c1"], np.asarray(slope))


def test_that_a_function_is_compiled_on_request() -> None:
    adapter, seen = ForJax(), []

    def function(x: Any) -> Any:
        seen.append(isinstance(x, jax.core.Tracer))
        return x * 2

    for compiled in (False, True):
        assert np.asarray(adapter.apply(function, [np.ones(2)], compiled)).tolist() == [2.0, 2.0]
    assert seen == [False, True]


def test_that_the_catalogue_has_it() -> None:
    assert Adapter.catalogue["jax"] is ForJax
    assert {"grad": grad, "jit": jit}.items() <= {n: mode.gradient for n, mode in ForJax.modes.items()}.items()
