"""JAX's products and convolutions and transposed ones of PyTorch as products of matrices: one wrong entry is found."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

jax = pytest.importorskip("jax")
torch = pytest.importorskip("torch")

from gradagree.adapters.function_adapters import adapter_of  # noqa: E402
from gradagree.adapters.jax_products import products_of  # noqa: E402
from gradagree.adapters.operations import ModelOperation, PassedGradient  # noqa: E402
from gradagree.adapters.torch_operations import convolution_of  # noqa: E402
from gradagree.functions import model_operations  # noqa: E402
from gradagree.functions.model_operations import judge_gradients, judge_values  # noqa: E402
from gradagree.functions.models import check_model  # noqa: E402

SEED = 17
LAST = ("NHWC", "HWIO", "NHWC")


def convolution(**options: Any) -> Callable[..., Any]:
    return lambda x, w: jax.lax.conv_general_dilated(x, w, **options)


CASES: dict[str, tuple[Callable[..., Any], tuple[int, ...], tuple[int, ...]]] = {
    "channels last, strides": (
        convolution(window_strides=(2, 3), padding=[(1, 2), (0, 1)], dimension_numbers=LAST),
        (2, 19, 22, 12), (5, 3, 12, 16),
    ),
    "groups, dilation": (
        convolution(window_strides=(1, 1), padding="SAME", rhs_dilation=(2, 1), feature_group_count=2),
        (2, 8, 18, 17), (12, 4, 3, 3),
    ),
    "transposed": (
        convolution(window_strides=(1, 1), padding=[(2, 2), (1, 3)], lhs_dilation=(2, 3), dimension_numbers=LAST),
        (2, 11, 9, 12), (3, 4, 12, 16),
    ),
    "transposed, groups, dilation": (
        convolution(
            window_strides=(1,), padding=[(3, 1)], lhs_dilation=(2,), rhs_dilation=(2,), feature_group_count=4,
        ),
        (3, 16, 200), (24, 4, 5),
    ),
    "product": (lambda x, w: jax.lax.dot_general(x, w, (((1, 3), (2, 0)), ((), ()))), (8, 5, 30, 6), (6, 40, 5)),
}  # fmt: skip


class Sample:
    """An operation with its numbers: operands, value, cotangent, gradients."""

    operation: ModelOperation
    inputs: list[np.ndarray]
    value: np.ndarray
    cotangent: np.ndarray
    gradients: list[np.ndarray]

    def findings(self, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
        """Those of the value and of the gradients, of which none may be judged in the general way."""

        def graph_of(*_: Any) -> Any:
            raise AssertionError("judged in the general way")

        def rungs(_: str) -> Sequence[str]:
            return ("stored",)

        monkeypatch.setattr(model_operations, "graph_of", graph_of)
        monkeypatch.setattr(model_operations, "LEAST", 0)
        passed = [PassedGradient((k,), g) for k, g in enumerate(self.gradients)]
        found = judge_values(self.operation, self.inputs, [self.value], rungs)
        return found + judge_gradients(self.operation, self.inputs, [self.cotangent], passed, rungs)


def draw(*shapes: Sequence[int]) -> list[np.ndarray]:
    rng = np.random.default_rng(SEED)
    return [rng.standard_normal(shape, dtype=np.float32) for shape in shapes]


def sample_of_jax(name: str) -> Sample:
    function, *shapes = CASES[name]
    one = Sample()
    one.inputs = draw(*shapes)
    value, pullback = jax.vjp(function, *one.inputs)
    (one.cotangent,) = draw(value.shape)
    one.value, one.gradients = np.array(value), [np.array(g) for g in pullback(one.cotangent)]
    (equation,) = (e for e in jax.make_jaxpr(function)(*one.inputs).eqns if e.primitive.name != "transpose")
    operator = f"lax.{equation.primitive.name}"
    form, factors, arrangement = products_of(operator, equation.params, [*shapes, value.shape])
    one.operation = ModelOperation(
        operator, "", "", ["lhs", "rhs"], ["float32"] * 3, lambda *_: [], factors, form, arrangement
    )
    return one


def sample_of_torch(bias: bool) -> Sample:
    shapes = (2, 8, 14, 15), (8, 6, 4, 3), (12,)
    one = Sample()
    one.inputs = draw(*shapes)[: 3 if bias else 2]
    tensors = [torch.tensor(x, requires_grad=True) for x in one.inputs]
    settings = (2, 3), (1, 1), (1, 2), True, (1, 0), 2
    stride, padding, dilation, transposed, extra, groups = settings
    y = torch.conv_transpose2d(
        tensors[0], tensors[1], tensors[2] if bias else None, stride, padding, extra, groups, dilation
    )
    (one.cotangent,) = draw(y.shape)
    y.backward(torch.tensor(one.cotangent))
    one.value, one.gradients = y.detach().numpy().copy(), [x.grad.numpy().copy() for x in tensors]
    args = (*tensors[:2], None, stride, padding, dilation, transposed, extra, groups)
    one.operation = ModelOperation(
        "aten.convolution", "", "", ["input", "weight", "bias"][: len(tensors)], ["float32"] * (len(tensors) + 1),
        lambda *_: [], convolution=convolution_of("aten.convolution", args, {}),
    )  # fmt: skip
    return one


def test_that_one_wrong_entry_of_the_gradient_of_a_bias_is_found() -> None:
    (g,) = draw((3000, 20))
    found = model_operations.sum_of_rows(g, g.sum(axis=0))
    assert found.verdict.value == "agree"
    wrong = g.sum(axis=0)
    wrong[7] += 0.04  # in the worst case the tolerance is 0.4
    assert model_operations.sum_of_rows(g, wrong).verdict.fails


def test_that_large_partial_sums_that_cancel_are_not_accused() -> None:
    model = torch.nn.Sequential(
        torch.nn.Conv2d(8, 32, 3), torch.nn.BatchNorm2d(32), torch.nn.AvgPool2d(28), torch.nn.Flatten()
    )
    torch.manual_seed(0)
    args = (torch.randn(8, 8, 30, 30),)
    assert not check_model(adapter_of(model, args, {}), model, args, {}).verdict.fails


def test_that_sums_of_equal_products_are_not_accused() -> None:
    net = torch.nn.Conv2d(8, 32, 3)
    x = torch.full((8, 8, 62, 62), 0.1)
    g = torch.full((8, 32, 60, 60), 1 / 36000)
    report = check_model(adapter_of(net, (x,), {}), net, (x,), {}, cotangents=[g])
    assert not report.verdict.fails


def test_that_a_sum_of_equal_rows_one_after_the_other_is_not_accused() -> None:
    g = np.full((4000, 6), 0.1, dtype=np.float32)
    assert not model_operations.sum_of_rows(g, np.cumsum(g, axis=0)[-1]).verdict.fails


def check_one_wrong_entry(one: Sample, monkeypatch: pytest.MonkeyPatch) -> None:
    """Right arrays agree; each array with one wrong entry fails, and the entry is named."""
    found = one.findings(monkeypatch)
    assert [finding.verdict.value for finding in found] == ["agree"] * len(found)
    for k, array in enumerate([one.value, *one.gradients]):
        if (k == 0 and (len(one.inputs) > 2 or one.operation.factors is not None)) or k == 3:
            continue  # a wrong one is judged again in the general way
        at = np.unravel_index(int(np.argmax(np.abs(array))), array.shape)
        kept = array[at]
        array[at] *= np.float32(1 + 20 * found[k].sharpness)
        wrong = one.findings(monkeypatch)
        array[at] = kept
        assert [other.verdict.fails for other in wrong] == [n == k for n in range(len(wrong))]
        assert array.ndim == 1 or wrong[k].entry == tuple(map(int, at))


@pytest.mark.parametrize("name", CASES)
def test_that_jax_s_products_are_judged_as_products(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    check_one_wrong_entry(sample_of_jax(name), monkeypatch)


@pytest.mark.parametrize("bias", [False, True])
def test_that_transposed_convolutions_of_torch_are_judged_as_products(
    bias: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    check_one_wrong_entry(sample_of_torch(bias), monkeypatch)


def test_that_the_gradient_of_a_repeated_array_has_the_tolerance_of_a_sum() -> None:
    (g,) = draw((60, 70, 9))
    operation = ModelOperation(
        "expand", "", "", ["x"], ["float32"] * 2, lambda x: [np.broadcast_to(x, g.shape)], moves=True
    )

    def finding(by_x: np.ndarray) -> Any:
        passed = [PassedGradient((0,), by_x)]
        (found,) = judge_gradients(operation, [np.ones(9, np.float32)], [g], passed, lambda _: ("stored",))
        return found

    right = g.sum(axis=(0, 1), dtype=np.float64).astype(np.float32)
    assert finding(right).verdict.value == "agree"
    assert finding(right).sharpness < 1e-4  # 4200 terms in the worst case: 1e-2
    wrong = right.copy()
    wrong[4] += 0.1  # in the worst case the tolerance is 0.8
    assert finding(wrong).verdict.fails


def test_that_padding_of_one_entry_is_no_repetition() -> None:
    operation = ModelOperation("pad", "", "", ["x"], ["float32"] * 2, lambda x: [np.pad(x, (0, 3))], moves=True)
    (g,) = draw((4,))
    for by_x, fails in ((g[:1], False), (g.sum(keepdims=True), True)):
        passed = [PassedGradient((0,), by_x)]
        (found,) = judge_gradients(operation, [np.ones(1, np.float32)], [g], passed, lambda _: ("stored",))
        assert found.verdict.fails is fails


@pytest.mark.parametrize(
    "options",
    [
        {"window_strides": (1, 1), "padding": [(-1, 0), (0, 0)]},
        {"window_strides": (2, 2), "padding": [(0, 0), (0, 0)], "lhs_dilation": (2, 2)},
        {"window_strides": (1, 1), "padding": [(9, 9), (9, 9)], "lhs_dilation": (2, 2)},
    ],
)
def test_that_other_convolutions_of_jax_are_judged_in_the_general_way(options: Any) -> None:
    shapes = (1, 2, 9, 9), (2, 2, 3, 3)
    (equation,) = jax.make_jaxpr(convolution(**options))(*draw(*shapes)).eqns
    assert (
        products_of("lax.conv_general_dilated", equation.params, [*shapes, equation.outvars[0].aval.shape])[0] is None
    )
