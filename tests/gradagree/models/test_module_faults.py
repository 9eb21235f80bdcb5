"""Classic faults planted in one module of a model: each is found, with the operation and the argument, at any depth."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

from gradagree.adapters.function_adapters import adapter_of  # noqa: E402
from gradagree.functions.models import check_model  # noqa: E402

SEED = 5
WIDTH = 8
DEPTHS = (1, 12)


def planted(forward: Callable[..., Any], backward: Callable[..., Any], name: str) -> Any:
    """A custom function; backward takes the cotangent and the arguments of forward."""

    def run(ctx: Any, *args: Any) -> Any:
        ctx.save_for_backward(*args)
        return forward(*args)

    run.__code__ = run.__code__.replace(co_name=name)
    members = {"forward": staticmethod(run), "backward": staticmethod(lambda ctx, g: backward(g, *ctx.saved_tensors))}
    return type(name, (torch.autograd.Function,), members)


MASK = torch.tensor([1.0, 0, 1, 1, 0, 1, 1, 0])
ROWS = torch.tensor([0, 2, 2, 1, 2])


def lost_duplicates(g: Any, table: Any) -> Any:
    found = torch.zeros_like(table)
    found[ROWS] = g  # the last of equal rows wins
    return found


def swapped_gates(g: Any, x: Any, w: Any) -> Any:
    gate, value = (x * w).chunk(2, -1)
    s = torch.sigmoid(gate)
    inner = torch.cat([g * s, g * value * s * (1 - s)], -1)  # the gradient of the gate comes first
    return inner * w, (inner * x).sum(0)


def norm_without_mean(g: Any, x: Any, w: Any) -> Any:
    scale = torch.rsqrt(x.square().mean(-1, keepdim=True) + 1e-6)
    return g * w * scale, (g * x * scale).sum(0)


FAULTS: dict[str, tuple[Any, str, bool]] = {
    "MissingTerm": (
        planted(lambda x, w: x * torch.rsqrt(x.square().mean(-1, keepdim=True) + 1e-6) * w, norm_without_mean,
                "MissingTerm"), "args[0]", True,
    ),
    "MaskNotApplied": (planted(lambda x: x * MASK, lambda g, x: g, "MaskNotApplied"), "args[0]", False),
    "WrongAxis": (
        planted(lambda x: x - x.mean(-1, keepdim=True), lambda g, x: g - g.mean(0, keepdim=True), "WrongAxis"),
        "args[0]", False,
    ),
    "ForgottenScale": (planted(lambda x: torch.tanh(x / 3), lambda g, x: g * (1 - torch.tanh(x / 3) ** 2),
                               "ForgottenScale"), "args[0]", False),
    "SwappedGates": (
        planted(lambda x, w: torch.sigmoid((x * w).chunk(2, -1)[0]) * (x * w).chunk(2, -1)[1], swapped_gates,
                "SwappedGates"), "args[0]", True,
    ),
    "StaleStatistics": (
        planted(lambda x: x / x.detach().abs().mean(), lambda g, x: g / 0.5, "StaleStatistics"), "args[0]", False,
    ),
    "WrongWeight": (planted(lambda x, w: x * w, lambda g, x, w: (g * w, g.sum(0)), "WrongWeight"), "args[1]", True),
}  # fmt: skip


class Faulty(nn.Module):
    """A module with a planted function, and a weight if it takes one."""

    def __init__(self, function: Any, weighted: bool) -> None:
        super().__init__()
        self.function = function
        if weighted:
            self.weight = nn.Parameter(torch.rand(WIDTH) + 0.5)

    def forward(self, x: Any) -> Any:
        return self.function.apply(x, *self.parameters())


def deep(middle: nn.Module, depth: int, width: int = WIDTH) -> nn.Module:
    """The module between blocks with residual connections."""

    class Block(nn.Module):
        def __init__(self, n: int) -> None:
            super().__init__()
            self.linear, self.norm = nn.Linear(n, n), nn.LayerNorm(n)

        def forward(self, x: Any) -> Any:
            return x + torch.tanh(self.linear(self.norm(x)))

    before = [Block(WIDTH) for _ in range(depth)]
    return nn.Sequential(*before, middle, *(Block(width) for _ in range(depth)))


def faults_of(net: Any, inputs: Any) -> dict[str, tuple[str, ...]]:
    report = check_model(adapter_of(net, inputs, {}), net, inputs, {})
    return {one.name: one.faults for one in report.modules if one.verdict.fails}


@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize("name", FAULTS)
def test_that_a_planted_fault_is_found_with_function_and_argument(name: str, depth: int) -> None:
    torch.manual_seed(SEED)
    function, argument, weighted = FAULTS[name]
    net = deep(Faulty(function, weighted), depth, WIDTH // 2 if name == "SwappedGates" else WIDTH)
    found = faults_of(net, (torch.randn(4, WIDTH),))
    assert list(found) == [str(depth)]
    assert any(f"{name}.backward" in text and f"a wrong gradient of {argument}" in text for text in found[str(depth)])


def test_that_lost_duplicates_of_an_embedding_are_found() -> None:
    torch.manual_seed(SEED)
    function = planted(lambda table: table[ROWS], lost_duplicates, "LostDuplicates")

    class Rows(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table = nn.Parameter(torch.randn(4, WIDTH))

        def forward(self, x: Any) -> Any:
            return x + function.apply(self.table)

    found = faults_of(nn.Sequential(nn.Linear(3, WIDTH), Rows()), (torch.randn(5, 3),))
    assert list(found) == ["1"]
    assert "LostDuplicates.backward" in found["1"][0]
    assert found["1"][0].endswith("1.table")
