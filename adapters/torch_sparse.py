"""Sparse arrays of PyTorch: their stored numbers are what a function is differentiated by.

A function runs on sparse arrays that are made of the numbers. It is traced on dense ones, on which the operations of
sparse arrays have another form: what is not stored is 0, or does not count.
"""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from gradagree.errors import UsageError

DENSE: contextvars.ContextVar[DenseForms | None] = contextvars.ContextVar("dense", default=None)
"""The forms for dense arrays while a function is traced."""


def is_sparse(x: torch.Tensor) -> bool:
    return x.layout is not torch.strided


def stored_numbers(x: torch.Tensor, name: str) -> torch.Tensor:
    """The numbers of a sparse array.

    Raises:
        UsageError: It is neither in coordinates (COO) nor in compressed rows (CSR).
    """
    if x.layout is torch.sparse_coo:
        found = x.detach()._values()
    elif x.layout is torch.sparse_csr and x.ndim == 2 and not x.dense_dim():
        found = x.detach().values()
    else:
        raise UsageError(
            f"{name} is a sparse tensor of the layout {x.layout} and {x.ndim} axes, which is not supported; give one "
            "in coordinates, as to_sparse() returns, or a matrix in compressed rows, as to_sparse_csr() does"
        )
    return found.requires_grad_(x.requires_grad)


def places_of(x: torch.Tensor) -> torch.Tensor:
    """The index of each stored number, one row for each sparse axis."""
    if x.layout is torch.sparse_coo:
        return x.detach()._indices()
    rows = torch.repeat_interleave(torch.arange(x.shape[0]), x.crow_indices().diff())
    return torch.stack([rows, x.col_indices()])


def with_numbers(x: torch.Tensor) -> Callable[[torch.Tensor], torch.Tensor]:
    """A function that makes an array like x of other stored numbers: a dense one while a function is traced."""
    places, shape, layout, whole = places_of(x), x.shape, x.layout, x.layout is not torch.sparse_coo
    whole = whole or x.is_coalesced()
    compressed = None if layout is torch.sparse_coo else (x.crow_indices(), x.col_indices())

    def make(numbers: torch.Tensor) -> torch.Tensor:
        if (forms := DENSE.get()) is not None:
            zeros = numbers.new_zeros(shape)
            dense = zeros.index_put(tuple(places), numbers, accumulate=not whole)
            return forms.stored_at(dense, zeros.bool().index_put(tuple(places), torch.tensor(True)))
        if compressed is None:
            return torch.sparse_coo_tensor(places, numbers, shape, is_coalesced=whole, check_invariants=False)
        return torch.sparse_compressed_tensor(*compressed, numbers, shape, layout=layout, check_invariants=False)

    return make


@contextlib.contextmanager
def on_dense_arrays() -> Iterator[None]:
    """Within this context, sparse arrays are dense, and their operations have forms for these."""
    forms = DenseForms()
    token = DENSE.set(forms)
    try:
        with forms:
            yield
    finally:
        DENSE.reset(token)


class DenseForms(TorchFunctionMode):  # type: ignore[misc]
    """Runs the operations of sparse arrays on dense ones, whose stored entries it knows."""

    def __init__(self) -> None:
        super().__init__()
        self.known: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        form = FORMS.get(getattr(func, "__name__", ""))
        if form is None or not isinstance(args[0], torch.Tensor) or is_sparse(args[0]):
            return func(*args, **(kwargs or {}))
        return form(self, *args, **(kwargs or {}))

    def stored_at(self, x: torch.Tensor, stored: torch.Tensor) -> torch.Tensor:
        """x, whose stored entries are marked."""
        self.known[id(x)] = x, stored
        return x

    def stored(self, x: torch.Tensor) -> torch.Tensor:
        """True for each stored entry."""
        return self.known[id(x)][1] if id(x) in self.known else x != 0


def sparse_product(forms: DenseForms, a: Any, b: Any, reduce: str = "sum") -> Any:
    """The product of matrices, or another reduction of the products with stored entries; 0 for rows without any."""
    if reduce == "sum":
        return a @ b
    stored = forms.stored(a)
    count = stored.sum(1, keepdim=True)
    if reduce == "mean":
        return (a @ b) / count.clamp(min=1)
    products = torch.where(stored[:, :, None], a[:, :, None] * b[None], -torch.inf if reduce == "amax" else torch.inf)
    return torch.where(count > 0, getattr(products, reduce)(1), 0.0)


def sampled_product(forms: DenseForms, x: Any, a: Any, b: Any, *, beta: float = 1.0, alpha: float = 1.0) -> Any:
    """beta x + alpha a b at the stored entries of x."""
    stored = forms.stored(x)
    return forms.stored_at(torch.where(stored, torch.addmm(x, a, b, beta=beta, alpha=alpha), 0.0), stored)


def softmax_of_stored(forms: DenseForms, x: Any, dim: int, dtype: Any = None) -> Any:
    """The softmax of the stored entries."""
    stored = forms.stored(x)
    x = x if dtype is None else x.to(dtype)
    found = torch.softmax(torch.where(stored, x, -torch.inf), dim)
    return forms.stored_at(torch.where(stored, found, 0.0), stored)


def sum_of_stored(forms: DenseForms, x: Any, dim: Any = None, dtype: Any = None) -> Any:
    x = x if dtype is None else x.to(dtype)
    return x.sum() if dim is None else x.sum(dim)


def made_sparse(forms: DenseForms, x: Any, *_: Any, **__: Any) -> Any:
    """The same array; its entries that are not 0 are stored."""
    return forms.stored_at(x.clone(), x != 0)


def masked(forms: DenseForms, x: Any, mask: Any, *_: Any) -> Any:
    stored = forms.stored(mask)
    return forms.stored_at(torch.where(stored, x, 0.0), stored)


FORMS: dict[str, Callable[..., Any]] = {
    "_sparse_mm": sparse_product, "sparse_sampled_addmm": sampled_product, "_sparse_softmax": softmax_of_stored,
    "_sparse_sum": sum_of_stored, "to_sparse": made_sparse, "to_sparse_coo": made_sparse,
    "to_sparse_csr": made_sparse, "to_sparse_csc": made_sparse, "sparse_mask": masked,
    "to_dense": lambda forms, x, *_, **__: x.clone(), "coalesce": lambda forms, x: x,
    "_sparse_addmm": lambda forms, x, a, b, **factors: torch.addmm(x, a, b, **factors),
}  # fmt: skip
"""The operations of sparse arrays on dense ones, by the names of PyTorch's functions and methods."""
