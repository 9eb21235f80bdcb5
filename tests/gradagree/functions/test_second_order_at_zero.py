"""Second derivatives where a formula of the first one divides by zero and its limit is used."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import special

from gradagree import assert_grads
from gradagree.api import Disagreement

ZERO = torch.tensor([0.0, 0.75, 0.0, -1.25], dtype=torch.float64)
FUNCTIONS = {
    "sinc": (lambda x: sinc(x), np.sinc),
    "power of a variable exponent": (lambda y: torch.tensor(1.5, dtype=torch.float64) ** y, lambda y: 1.5**y),
    "expm1 over x": (lambda x: exprel(x), special.exprel),
}


def sinc(x: torch.Tensor) -> torch.Tensor:
    """sin(pi x) / (pi x), by its series at 0."""
    safe = torch.where(x == 0, torch.ones_like(x), x)
    return torch.where(x == 0, 1 - (np.pi * x) ** 2 / 6, torch.sin(np.pi * safe) / (np.pi * safe))


def exprel(x: torch.Tensor) -> torch.Tensor:
    """(e^x - 1) / x, by its series near 0."""
    series = 1 + x / 2 + x**2 / 6 + x**3 / 24
    safe = torch.where(x == 0, torch.ones_like(x), x)
    return torch.where(x == 0, series, torch.expm1(safe) / safe)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_second_derivative_is_right_at_zero(name: str) -> None:
    function, reference = FUNCTIONS[name]
    report = assert_grads(function, [ZERO.clone().requires_grad_()], reference=reference, order=2)
    assert any(record.order == 2 for record in report.records)


def powers() -> list[torch.Tensor]:
    x = torch.tensor([0.5, 1.5, 2.0, 1.25], dtype=torch.float64, requires_grad=True)
    return [x, torch.tensor([0.0, 1.0, 2.0, 0.0], dtype=torch.float64, requires_grad=True)]


def test_the_derivative_of_a_power_moves_with_the_exponent_zero() -> None:
    assert_grads(lambda x, y: torch.exp(y * torch.log(x)), powers(), reference=np.power, order=2)


def test_that_torch_loses_the_second_derivative_of_a_power_at_the_exponent_zero() -> None:
    with pytest.raises(Disagreement, match=r"second derivative, gradient of args\[1\]"):
        assert_grads(torch.pow, powers(), reference=np.power, order=2)


def test_that_torch_gives_nan_for_the_second_derivative_of_sinc_at_zero() -> None:
    with pytest.raises(Disagreement, match="nonfinite"):
        assert_grads(torch.sinc, [ZERO.clone().requires_grad_()], reference=np.sinc, order=2)


def test_a_second_derivative_that_is_zero_at_zero_is_found() -> None:
    def flat(x: torch.Tensor) -> torch.Tensor:
        """sinc, a constant at 0."""
        safe = torch.where(x == 0, torch.ones_like(x), x)
        return torch.where(x == 0, torch.ones_like(x), torch.sin(np.pi * safe) / (np.pi * safe))

    with pytest.raises(Disagreement, match="second derivative"):
        assert_grads(flat, [ZERO.clone().requires_grad_()], reference=np.sinc, order=2)
