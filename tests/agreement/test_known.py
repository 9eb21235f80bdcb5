"""What is known to be wrong in torch, each with its proof: the agreement suite leaves these functions out."""

from __future__ import annotations

import math

import numpy as np
import pytest

from gradagree import Case, Record, check
from gradagree.api import Disagreement
from gradagree.cases.case import Arrays
from gradagree.checker.verdict import Verdict, plain


def judged(case: Case) -> Record:
    """The record of torch's backward pass, which disagrees."""
    with pytest.raises(Disagreement) as caught:
        check(case, frameworks="torch", modes="backward", known="none")
    (record,) = caught.value.records
    return record


def one_output(error: str, o: float, t: float, dtype: str) -> Case:
    """An error function met at one output."""
    arrays = Arrays((np.zeros((1, 1)),), (np.array([o]),), np.zeros((1, 1)), np.array([[t]]))
    return Case.of(Case.parse(f"1-1b:id:{error}:n1:{dtype}:grid:s1"), arrays)


@pytest.mark.parametrize("dtype", ["f64", "f32"])
@pytest.mark.parametrize(("o", "t", "slope"), [(0.0, 0.0, 1.0), (1.0, 1.0, -1.0)])
def test_that_torch_gives_0_for_the_slope_of_bce_where_it_is_certain_and_right(
    o: float, t: float, slope: float, dtype: str
) -> None:
    case = one_output("bce", o, t, dtype)
    record = judged(case)
    assert record.verdict is Verdict.DISAGREE
    assert (plain(record.expected), plain(record.observed)) == (slope * case.loss_weight, 0.0)


@pytest.mark.parametrize(("dtype", "o"), [("f64", 1024.0), ("f32", 128.0)])
def test_that_torchs_soft_margin_overflows_where_its_error_is_small(dtype: str, o: float) -> None:
    case = one_output("soft_margin", -o, 1.0, dtype)
    record = judged(case)
    assert record.verdict is Verdict.NONFINITE
    assert plain(record.expected) == o * case.loss_weight
    assert math.isinf(plain(record.observed))


@pytest.mark.parametrize(("dtype", "counted"), [("bfloat16", 256), ("float16", 2048)])
def test_that_torchs_layer_norm_adds_a_biass_gradient_in_16_bits(dtype: str, counted: int) -> None:
    """Of 4096 rows, as many as the dtype can count by ones, times the number of threads."""
    torch = pytest.importorskip("torch")
    form = getattr(torch, dtype)
    weight, bias = (torch.full((4,), x, dtype=form, requires_grad=True) for x in (1.0, 0.0))
    rows = torch.arange(4 * 4096, dtype=torch.float32).reshape(4096, 4).to(form)
    torch.nn.functional.layer_norm(rows, (4,), weight, bias).sum(dim=0).backward(torch.ones(4, dtype=form))
    assert float(bias.grad[0]) == counted * torch.get_num_threads() < 4096


@pytest.mark.parametrize(("dtype", "counted"), [("bfloat16", 256), ("float16", 2048)])
def test_that_torch_adds_the_gradients_of_a_repeated_row_in_16_bits(dtype: str, counted: int) -> None:
    """Of indexing and of embeddings; those of index_select are added in float32."""
    torch = pytest.importorskip("torch")
    rows = torch.zeros(4096, dtype=torch.long)
    table = torch.zeros(2, 3, dtype=getattr(torch, dtype), requires_grad=True)
    embedded = torch.nn.functional.embedding(rows, table)
    for gathered, expected in ((table[rows], counted), (embedded, counted), (table.index_select(0, rows), 4096)):
        (gradient,) = torch.autograd.grad(gathered.sum(), table)
        assert gradient[0].tolist() == [expected] * 3


@pytest.mark.parametrize("name", ["conv1d", "conv2d", "conv3d", "conv_transpose1d"])
def test_that_torch_adds_the_examples_shares_of_a_kernels_gradient_in_float16(name: str) -> None:
    """The gradient of the bias is added in float32, and so is that of the kernel in bfloat16."""
    torch = pytest.importorskip("torch")
    ones = [1] * int(name[-2])
    for dtype, counted in ((torch.float16, 2048), (torch.bfloat16, 4096)):
        kernel, bias = (torch.zeros(*shape, dtype=dtype, requires_grad=True) for shape in ((1, 1, *ones), (1,)))
        y = getattr(torch.nn.functional, name)(torch.ones(4096, 1, *ones, dtype=dtype), kernel, bias)
        by_kernel, by_bias = torch.autograd.grad(y.sum(), (kernel, bias))
        assert (by_kernel.item(), by_bias.item()) == (counted, 4096)


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:DeprecationWarning")
def test_that_torchs_binary_cross_entropy_has_a_forward_derivative_of_0_by_its_weight() -> None:
    torch = pytest.importorskip("torch")
    o, t, w = (torch.full((2,), x, dtype=torch.float64) for x in (0.875, 0.0, 1.0))

    def loss(w: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.binary_cross_entropy(o, t, w, reduction="sum")

    value, tangent = torch.func.jvp(loss, (w,), (torch.ones(2, dtype=torch.float64),))
    assert (float(tangent), float(loss(2 * w) - loss(w))) == (0.0, float(value))
    with pytest.raises(RuntimeError, match="not differentiable"):
        torch.func.grad(loss)(w)
