"""Every adapter: numbers arrive bit for bit and come back, taps change nothing, and nothing is silently missing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from gradagree import Case
from gradagree.adapters import Adapter, Answer, Problem, Unsupported
from gradagree.adapters.programs import multiplication
from gradagree.arithmetic.model import model
from gradagree.checker.answers import same_bits
from gradagree.checker.reverse import check
from gradagree.reference import contract
from gradagree.reference.activations import Tanh
from gradagree.reference.errors import SumOfSquares

TAPPED = {"torch": ("backward", "grad", "vmap"), "jax": ("grad", "jit", "vmap")}
SMALL = "2-3b-2:id,tanh:sse:n3:f32:ordinary:s4"


class _WithoutSpelling(Tanh):
    torch = jax = None  # type: ignore[assignment]


class _ErrorWithoutSpelling(SumOfSquares):
    torch = jax = None  # type: ignore[assignment]


class _Deaf(Tanh):
    """Zero, whatever p is."""

    def value(self, p: Any) -> Any:
        return 0 * p

    def derivative(self, p: Any) -> Any:
        return 0 * p

    def torch(self, p: Any, torch: Any) -> Any:
        return torch.zeros_like(p)

    def jax(self, p: Any, jax: Any) -> Any:
        return jax.numpy.zeros_like(p)


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What a test registers is gone after it."""
    monkeypatch.setattr(Adapter, "catalogue", dict(Adapter.catalogue))
    before = set(contract.implementation_names)
    yield
    contract.implementation_names.intersection_update(before)


@pytest.mark.parametrize("spec", [SMALL, "2-2:id,sigmoid:cross_entropy:n1:f64:ordinary:s4"])
def test_that_answers_have_the_shapes_that_are_documented(
    adapter: Adapter, problem: Callable[..., Problem], spec: str
) -> None:
    given = problem(spec)
    count, depth = len(given.inputs), len(given.activations)
    widths = [given.weights[0].shape[0], *(w.shape[1] for w in given.weights)]
    widths += widths[-1:] * (depth - len(given.weights))
    for mode in TAPPED[adapter.name]:
        tapped, untapped = adapter.answers(given, mode)
        assert isinstance(tapped.E, float)
        assert [p.shape for p in tapped.values.values()] == [(count, width) for width in widths]
        assert [d.shape for d in tapped.cotangents.values()] == [(count, width) for width in widths]
        assert [d.shape for d in untapped.cotangents.values()] == [(count, widths[0])]
        assert len(untapped.values) == 1
        for answer in (tapped, untapped):
            assert parameter_shapes(answer) == shapes(given)
            arrays = (*answer.values.values(), *answer.cotangents.values(), *answer.gradients.values())
            assert all(x.dtype == np.float64 for x in arrays)
            assert answer.seconds > 0


def parameter_shapes(answer: Answer) -> dict[str, tuple[int, ...]]:
    """The shapes of the gradients, without those of the operands of the loss, which only answers with taps have."""
    return {name: x.shape for name, x in answer.gradients.items() if name != "targets"}


def shapes(given: Problem) -> dict[str, tuple[int, ...]]:
    return {name: x.shape for name, x in given.parameters.items()}


def test_that_taps_do_not_change_a_bit_of_the_gradient(adapter: Adapter, problem: Callable[..., Problem]) -> None:
    eager = {"torch": "backward", "jax": "grad"}[adapter.name]
    specs = (SMALL, "3-2-2b:id,relu,softplus:mse:n4:f64:grid:s2")
    for spec in specs:
        tapped, untapped = adapter.answers(problem(spec), eager)
        assert same_bits(tapped, untapped), spec


def test_that_every_mode_passes_the_box_check(adapter: Adapter, problem: Callable[..., Problem]) -> None:
    case = Case.parse(SMALL)
    for mode in TAPPED[adapter.name]:
        tapped, _ = adapter.answers(problem(SMALL), mode)
        assert not [found for found in check(case, case.arrays(), tapped, model("float32")) if found.verdict.fails]


def test_that_the_gradient_of_what_the_error_does_not_depend_on_is_zero_and_not_none(
    adapter: Adapter, problem: Callable[..., Problem]
) -> None:
    spec = "2-3b-2b:id,tanh:sse:n3:f32:ordinary:s4"
    given = problem(spec, activations=(Tanh(), _Deaf()))
    for mode in TAPPED[adapter.name]:
        for answer in adapter.answers(given, mode):
            assert not np.any(answer.gradients["w1"])
            assert not np.any(answer.gradients["b1"])
            assert not np.any(answer.cotangents["inputs"])
            assert parameter_shapes(answer) == shapes(given)
            assert np.any(answer.gradients["b2"])


@pytest.mark.parametrize(
    ("changes", "name", "operands"),
    [
        ({"activations": (Tanh(), _WithoutSpelling())}, "_WithoutSpelling", "p"),
        ({"error": _ErrorWithoutSpelling()}, "_ErrorWithoutSpelling", "o, t"),
    ],
    ids=["activation", "error"],
)
def test_that_what_is_not_spelled_is_unsupported_and_the_method_to_add_is_named(
    adapter: Adapter, problem: Callable[..., Problem], changes: Any, name: str, operands: str
) -> None:
    with pytest.raises(Unsupported) as caught:
        adapter.answers(problem(SMALL, **changes), next(iter(adapter.modes)))
    framework = adapter.name
    assert str(caught.value) == (
        f"{name} has no method '{framework}': add `def {framework}(self, {operands}, {framework})` to it"
    )


def test_that_an_implementation_receives_its_framework(adapter: Adapter) -> None:
    class _Asks(Tanh):
        def torch(self, p: Any, torch: Any) -> Any:
            return (p, torch)

        jax = torch

    assert adapter.implementation(_Asks())(5) == (5, adapter.framework)


def test_that_an_adapter_registers_itself_and_its_spelling(registry: None) -> None:
    class ForAbacus(Adapter):
        name = "abacus"
        install = "take ten beads"
        modes = {}

    assert Adapter.catalogue["abacus"] is ForAbacus
    assert "abacus" in contract.implementation_names
    adapter = ForAbacus()
    for call in (
        lambda: adapter.array(np.ones(1), "float64"),
        lambda: adapter.back(1),
        lambda: adapter.apply(abs, [1], False),
    ):
        with pytest.raises(NotImplementedError):
            call()


def test_that_answers_of_two_calls_are_the_same_bits(adapter: Adapter, problem: Callable[..., Problem]) -> None:
    mode = next(iter(adapter.modes))
    one, other = (adapter.answers(problem(SMALL), mode) for _ in range(2))
    assert isinstance(one[0], Answer)
    assert same_bits(one[0], other[0])
    assert same_bits(one[1], other[1])


def test_that_version_device_and_installation_are_reported(adapter: Adapter) -> None:
    assert adapter.version == adapter.framework.__version__
    assert adapter.device == "cpu"
    assert adapter.install.startswith("pip install ")


class _OnlyArrays:
    """A number of a framework whose arrays are multiplied by arrays alone."""

    def __init__(self, x: Any) -> None:
        self.x = np.asarray(x)

    def __mul__(self, other: _OnlyArrays) -> _OnlyArrays:
        return _OnlyArrays(self.x * other.x)


class _Backend:
    """Converts numbers to a type of array."""

    def __init__(self, kind: Any) -> None:
        self.kind = kind

    def array(self, x: np.ndarray, dtype: str) -> Any:
        return self.kind(x.astype(dtype))


def test_that_the_factor_of_a_loss_is_an_array_where_arrays_take_no_number() -> None:
    backend: Any = _Backend(_OnlyArrays)
    with pytest.raises(AttributeError):
        _OnlyArrays(2.0) * 0.75
    assert multiplication(backend, 0.75, "float32")(_OnlyArrays(2.0)).x == 1.5
    backend = _Backend(np.asarray)
    assert multiplication(backend, 0.75, "float32")(2.0) == 1.5


def test_that_a_loss_without_multiplication_names_the_method_that_is_missing() -> None:
    backend: Any = _Backend(lambda x: object())
    with pytest.raises(TypeError, match=r"cannot be multiplied by 0\.75: define __mul__"):
        multiplication(backend, 0.75, "float32")(object())


def test_that_an_adapter_may_define_former_names(registry: None) -> None:
    with pytest.warns(DeprecationWarning, match="ForSlate.spellings is now called implementations"):

        class ForSlate(Adapter):
            name = "slate"
            install = "take a slate"
            modes = {}
            spellings = {"tanh": lambda function, p: (function, p)}

    assert ForSlate().implementation(Tanh())(5) == (Tanh(), 5)
