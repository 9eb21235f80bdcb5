"""A check calls a function many times; each call begins with the same state, and the user's stays as it is."""

from __future__ import annotations

import functools
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from gradagree.functions.assertions import assert_grads, check_function

torch = pytest.importorskip("torch")
from torch.nn.utils.parametrizations import spectral_norm  # noqa: E402

from gradagree.adapters.torch_state import seeded  # noqa: E402


class Counting(torch.nn.Module):  # type: ignore[misc]
    """Multiplies by the number of its calls, which it keeps in a buffer or an attribute."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind, self.calls = kind, 0
        self.weight = torch.nn.Parameter(torch.ones(4))
        self.register_buffer("count", torch.zeros(()))

    def forward(self, x: Any) -> Any:
        if self.kind == "new buffer":
            self.count = self.count + 1
        elif self.kind == "written buffer":
            self.count += 1
        else:
            self.calls += 1
        return x * self.weight * (self.count + self.calls)


MODULES: dict[str, Callable[[], Any]] = {
    "batch norm": lambda: torch.nn.BatchNorm1d(4),
    "batch norm in evaluation": lambda: torch.nn.BatchNorm1d(4).eval(),
    "spectral norm": lambda: spectral_norm(torch.nn.Linear(4, 3)),
    "nested": lambda: torch.nn.Sequential(torch.nn.BatchNorm1d(4), torch.nn.Linear(4, 4), torch.nn.Dropout(0.5)),
    **{kind: functools.partial(Counting, kind) for kind in ("new buffer", "written buffer", "attribute")},
}
WAYS: dict[str, Callable[[Any], Any]] = {
    "module": lambda module: module,
    "bound method": lambda module: module.forward,
    "closure": lambda module: lambda x: module(x),
    "partial": lambda module: functools.partial(lambda inner, x: inner(x), module),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", MODULES)
def test_that_a_module_with_state_agrees_and_keeps_it(name: str, way: str) -> None:
    torch.manual_seed(5)
    module = MODULES[name]()
    before = {key: x.clone() for key, x in module.state_dict().items()}
    drawn = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()
    x = torch.linspace(-1, 2, 24, dtype=torch.float64).reshape(6, 4)
    assert assert_grads(WAYS[way](module.double()), (x,)).verdict.value == "agree"
    after = module.state_dict()
    assert all(torch.equal(before[key].to(after[key].dtype), after[key]) for key in before)
    assert getattr(module, "calls", 0) == 0
    assert torch.equal(drawn[0], torch.get_rng_state())
    assert (drawn[1], drawn[2]) == (random.getstate(), np.random.get_state()[1].tolist())


def test_that_random_numbers_of_any_generator_are_the_same_in_each_call() -> None:
    def function(x: Any, generator: Any) -> Any:
        mask = torch.rand(x.shape, generator=generator) + random.random() + np.random.rand()
        return x * mask

    generator = torch.Generator().manual_seed(3)
    before = generator.get_state()
    report = check_function(function, (torch.linspace(-1, 1, 5), generator))
    assert report.verdict.value == "agree", report
    assert torch.equal(before, generator.get_state())


class WrongBatchNorm(torch.nn.BatchNorm1d):  # type: ignore[misc]
    """Passes twice the gradient to the bias."""

    def forward(self, x: Any) -> Any:
        return super().forward(x) + self.bias - self.bias.detach()


def test_that_a_wrong_module_with_state_is_still_found() -> None:
    x = torch.linspace(-1, 2, 24).reshape(6, 4)

    def reference(x: Any, weight: Any, bias: Any) -> Any:
        return (x - x.mean(0)) / np.sqrt(x.var(0) + 1e-5) * weight + bias

    failures = check_function(WrongBatchNorm(4), (x,), reference=reference).failures
    assert [record.label for record in failures] == ["gradient of bias"]


def test_that_the_users_arrays_are_restored() -> None:
    def function(x: Any, workspace: Any) -> Any:
        workspace += 1
        x.data.mul_(2)
        return x * workspace

    x, workspace = torch.ones(3), torch.ones(3)
    report = check_function(function, (x, workspace), wrt=0, reference=lambda x, w: 2 * x * (w + 1))
    assert "modifies args[0] in place" in report.failures[0].reason
    assert torch.equal(x, torch.ones(3))
    assert torch.equal(workspace, torch.ones(3))


@pytest.mark.parametrize("before", [0, 1, 2])
def test_that_the_state_of_numpy_is_restored(before: int) -> None:
    """Of two normal numbers that are drawn at once, the second may still be waiting."""
    generator = np.random.get_bit_generator()
    np.random.seed(5)
    np.random.randn(before)
    state = np.random.get_state()
    for _ in range(2):
        with seeded():
            first = np.random.randn()
        with seeded():
            assert np.random.randn() == first
        with seeded():
            np.random.seed(7)
    with seeded():
        np.random.set_bit_generator(np.random.MT19937(3))
        np.random.rand()
        np.random.set_bit_generator(generator)
    assert [np.array_equal(x, y) for x, y in zip(np.random.get_state(), state, strict=True)] == [True] * 5
