"""Large convolutions as products of matrices: right ones agree, one wrong entry of a value or gradient is found."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from gradagree.adapters.operations import ConvolutionForm  # noqa: E402
from gradagree.arithmetic.model import model  # noqa: E402
from gradagree.functions.convolutions import (  # noqa: E402
    check_products,
    input_products,
    value_products,
    weight_products,
)
from gradagree.functions.judge import ArrayFinding  # noqa: E402

SEED = 11
FLOAT32 = model("float32")
CASES = {
    "stride 4": ((2, 3, 33, 30), (8, 3, 11, 11), ConvolutionForm((4, 4), ((2, 2), (2, 2)), (1, 1), 1)),
    "groups": ((2, 8, 12, 12), (16, 4, 5, 5), ConvolutionForm((1, 1), ((2, 2), (2, 2)), (1, 1), 2)),
    "dilation": ((3, 4, 100), (6, 4, 3), ConvolutionForm((2,), ((1, 1),), (3,), 1)),
    "three axes": (
        (2, 4, 7, 9, 8), (4, 4, 1, 3, 2), ConvolutionForm((2, 1, 3), ((0, 0), (1, 1), (1, 1)), (1, 1, 1), 1),
    ),
    "stride above the kernel": ((2, 8, 20, 20), (8, 8, 1, 1), ConvolutionForm((3, 3), ((0, 0), (0, 0)), (1, 1), 1)),
}  # fmt: skip


class Sample:
    """A convolution in float32 with its numbers, as PyTorch computes them."""

    def __init__(self, name: str) -> None:
        shape, kernel, self.form = CASES[name]
        rng = np.random.default_rng(SEED)
        x, w, b = (torch.tensor(rng.standard_normal(s, dtype=np.float32), requires_grad=True)
                   for s in (shape, kernel, kernel[:1]))  # fmt: skip
        rank = len(kernel) - 2
        function = (torch.nn.functional.conv1d, torch.nn.functional.conv2d, torch.nn.functional.conv3d)[rank - 1]
        form = self.form
        y = function(x, w, b, form.stride, tuple(p for p, _ in form.padding), form.dilation, form.groups)
        g = torch.tensor(rng.standard_normal(y.shape, dtype=np.float32))
        y.backward(g)
        arrays = (x.detach(), w.detach(), b.detach(), g, y.detach(), x.grad, w.grad)
        self.x, self.w, self.b, self.g, self.y, self.by_x, self.by_w = (one.numpy().copy() for one in arrays)

    def finding(self, quantity: str) -> ArrayFinding | None:
        make: Any = {
            "y": lambda y: value_products(self.x, self.w, self.b, y, self.form),
            "by_x": lambda y: input_products(self.g, self.w, y, self.form),
            "by_w": lambda y: weight_products(self.x, self.g, y, self.form),
        }[quantity]
        return check_products(make, getattr(self, quantity), FLOAT32)


@pytest.mark.parametrize("quantity", ["y", "by_x", "by_w"])
@pytest.mark.parametrize("name", CASES)
def test_that_a_right_array_agrees_and_one_wrong_entry_is_found(name: str, quantity: str) -> None:
    sample = Sample(name)
    found = sample.finding(quantity)
    assert found is not None
    assert found.verdict.value == "agree"
    assert found.sharpness < FLOAT32.u**0.5
    array = getattr(sample, quantity)
    at = np.unravel_index(int(np.argmax(np.abs(array))), array.shape)
    array[at] *= np.float32(1 + 8 * found.sharpness)
    wrong = sample.finding(quantity)
    assert wrong is None or wrong.verdict.fails  # None: the operation is judged again, in the general way
    assert wrong is None or wrong.entry == tuple(map(int, at))


def test_that_a_gradient_where_no_kernel_reaches_is_found() -> None:
    sample = Sample("stride above the kernel")
    sample.by_x[0, 0, 1, 1] = 1e-3
    assert sample.finding("by_x") is None


def test_that_an_exchanged_kernel_is_a_finding_of_its_gradient() -> None:
    sample = Sample("groups")
    sample.by_w = sample.by_w[..., ::-1].copy()
    found = sample.finding("by_w")
    assert found is not None
    assert found.verdict.fails
