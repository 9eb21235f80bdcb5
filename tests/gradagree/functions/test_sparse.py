"""Sparse arrays of PyTorch are checked by their stored numbers; faults of their gradients are found."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from gradagree import assert_grads
from gradagree.errors import UsageError
from gradagree.functions.records import Disagreement

pytestmark = pytest.mark.filterwarnings("ignore:Sparse.*beta state:UserWarning")

RNG = np.random.default_rng(12)
DENSE = torch.tensor(RNG.standard_normal((4, 4)) * (RNG.uniform(size=(4, 4)) < 0.5), dtype=torch.float32)
DENSE[2] = 0.0
B = torch.tensor(RNG.standard_normal((4, 3)), dtype=torch.float32)
TWICE = torch.sparse_coo_tensor(
    torch.tensor([[0, 0, 1], [1, 1, 2]]), torch.tensor([2.0, 3.0, 0.5]), (4, 4), check_invariants=False
)
"""Two numbers are stored at one place, and add up."""
PRODUCTS: dict[str, Callable[[Any, Any], Any]] = {
    "mm": torch.sparse.mm,
    "matmul": lambda a, b: a @ b,
    "addmm": lambda a, b: torch.sparse.addmm(b, a, b, beta=0.5, alpha=2.0),
    "dense": lambda a, b: a.to_dense() @ b,
}
REDUCED = {name: lambda a, b, name=name: torch.sparse.mm(a, b, name) for name in ("sum", "mean", "amax", "amin")}
OTHERS: dict[str, tuple[Callable[..., Any], tuple[Any, ...]]] = {
    "sampled_addmm": (
        lambda a, b: torch.sparse.sampled_addmm(a, b, b.mT, beta=0.5, alpha=2.0), ("to_sparse_csr", B),
    ),
    "softmax": (lambda a: torch.sparse.softmax(a, 1), ("to_sparse",)),
    "sum": (lambda a: torch.sparse.sum(a, 0), ("to_sparse",)),
    "entries": (lambda a: (a + a * a).to_dense(), ("to_sparse",)),
    "to_sparse": (lambda x: torch.sparse.mm(x.exp().to_sparse(), x), (DENSE,)),
    "numbers at one place": (lambda a: torch.sparse.mm(a, DENSE), (TWICE,)),
}  # fmt: skip


@pytest.mark.parametrize("layout", ["to_sparse", "to_sparse_csr"])
@pytest.mark.parametrize("name", PRODUCTS)
def test_that_products_with_sparse_matrices_agree(name: str, layout: str) -> None:
    report = assert_grads(PRODUCTS[name], (getattr(DENSE, layout)(), B))
    assert report.verdict.value == "agree"
    assert [r.name for r in report.records if r.quantity == "gradient"] == ["args[0].values()", "args[1]"]


@pytest.mark.parametrize("name", REDUCED)
def test_that_other_reductions_of_rows_agree(name: str) -> None:
    assert assert_grads(REDUCED[name], (DENSE.to_sparse_csr(), B)).verdict.value == "agree"


@pytest.mark.parametrize("name", OTHERS)
def test_that_operations_of_sparse_arrays_agree(name: str) -> None:
    function, args = OTHERS[name]
    given = [getattr(DENSE, x)() if isinstance(x, str) else x for x in args]
    assert assert_grads(function, given).verdict.value == "agree"


class Product(torch.autograd.Function):
    """a b, whose backward pass forgets to transpose one of both."""

    @staticmethod
    def forward(ctx: Any, a: Any, b: Any) -> Any:
        ctx.save_for_backward(a, b)
        return torch.sparse.mm(a, b)

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        a, b = ctx.saved_tensors
        return (g @ b.mT).sparse_mask(a), torch.sparse.mm(a, g)


def test_that_a_wrong_product_is_found() -> None:
    with pytest.raises(Disagreement, match=r"gradient of args\[1\]"):
        assert_grads(Product.apply, (DENSE.to_sparse(), B))


def test_that_a_reference_in_numpy_gets_dense_arrays() -> None:
    assert assert_grads(torch.sparse.mm, (DENSE.to_sparse(), B), reference=np.matmul).verdict.value == "agree"
    with pytest.raises(Disagreement):
        assert_grads(torch.sparse.mm, (DENSE.to_sparse(), B), reference=lambda a, b: 1.01 * (a @ b))


def test_that_other_layouts_are_refused() -> None:
    with pytest.raises(UsageError, match=r"args\[0\] is a sparse tensor of the layout torch.sparse_csc.*to_sparse_csr"):
        assert_grads(torch.sparse.mm, (DENSE.to_sparse_csc(), B))
