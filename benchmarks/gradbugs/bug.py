"""One bug in a gradient: a faulty function, a repaired one, a plain reference, and where the bug was reported."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

DTYPES = ("float64", "float32", "float16", "bfloat16")

KINDS = {
    "sign": r"wrong sign",
    "scale": r"times the gradient|half the gradient|1/\S+ of the gradient|the factors? [-0-9]",
    "transposed": r"transposed",
    "order": r"reverse order|arrives at other entries|shifted|order of axis|gathered, not scattered|transposed|"
    r"exchanged",
    "wrong-axis": r"over axis|along axis \d+, not|not summed over|also reaches entries|arrives at other entries",
    "missing-term": r"(through|orthogonal) .* missing|is not applied|factor is missing|depend on it get nothing|"
    r"not contribute|ignores the cotangent of",
    "wrong-term": r"contribution through .* (factor|sign|twice|wrong)|derivative of |applies .* again|"
    r"is the gradient (times|divided)",
    "extra-term": r"also reaches entries|counts? twice|counted twice",
    "region": r"only the cotangent of .* at .* is passed on wrongly|(missing|not 1,) at (index|the indices)|"
    r"only where the index|not contribute",
    "mask-not-applied": r"mask is not applied|mask of where|as its mask|not 0 where the gradient is 0|"
    r"share in the other",
    "entries-missing": r"0 where the gradient is not|no gradient was returned|0 everywhere",
    "duplicates-lost": r"duplicates are lost|occurs more than once",
    "ties": r"at a tie|are tied",
    "layout": r"in a contiguous array gives|in contiguous arrays give|"
    r"the gradient of the sum of the output",
    "uniform-cotangent": r"cotangent( of .*)? is taken|cotangent is not used",
    "none-for-zero": r"no cotangent of|no gradient was returned|crashed",
    "stale": r"later call has overwritten|first backward pass overwrites|non-deterministic|it is overwritten",
    "uninitialized": r"nothing was written to",
    "modified": r"modifies .* in place",
    "accumulation": r"inaccurate|partial sums",
    "nonfinite": r"nonfinite|NaN|infinit",
    "second-order": r"second derivative",
    "where": r"only where",
    "value": r"value-differs|values with a derivative",
}
"""What the message of a check that names the kind of fault says."""


@dataclass(frozen=True)
class Bug:
    """A bug that was reported in public, as a small replica of its mechanism.

    Args:
        name: Name of the bug, unique.
        source: Address of the public issue or pull request.
        title: Its title.
        framework: ``"torch"`` or ``"jax"``.
        operation: The operation, such as ``"attention"``.
        condition: Where the bug hides, such as ``"last tile"``; empty if everywhere.
        kind: What is wrong, a key of `KINDS`.
        wrong: The faulty function of the framework's arrays.
        right: The repaired one.
        inputs: Draws the arguments with a generator: NumPy arrays in float64, which are converted to the dtype; arrays
            of integers and booleans; anything else that is no array.
        arguments: The arrays whose gradient is wrong, by the names of `assert_grads`: ``("args[0]",)``. The names of
            outputs for a wrong value.
        reference: The plain forward function, in NumPy or in the framework; None if the forward pass is plain itself.
        dtypes: The dtypes in which the faulty function is wrong.
        order: 1, or 2 for a bug in the second derivative.
        kernel: Forward pass, and the faulty and the repaired backward pass, where the function is such a kernel.
        kwargs: Further keyword arguments of `assert_grads` that a user has to give, such as ``{"modes": "forward"}``.
    """

    name: str
    source: str
    title: str
    framework: str
    operation: str
    condition: str
    kind: str
    wrong: Callable[..., Any]
    right: Callable[..., Any]
    inputs: Callable[[np.random.Generator], Sequence[Any]]
    arguments: tuple[str, ...]
    reference: Callable[..., Any] | None = None
    dtypes: tuple[str, ...] = DTYPES
    order: int = 1
    kwargs: tuple[tuple[str, Any], ...] = ()
    kernel: tuple[Callable[..., Any], tuple[Callable[..., Any], Callable[..., Any]]] | None = None

    def arrays(self, dtype: str, seed: int = 0) -> list[Any]:
        """The arguments as arrays of the framework."""
        return [as_array(self.framework, x, dtype) for x in self.inputs(np.random.default_rng(seed))]

    def options(self) -> dict[str, Any]:
        """The keyword arguments of `assert_grads`: the reference, the order, and what else is needed."""
        order = {} if self.order == 1 else {"order": self.order}
        return {"reference": self.reference, **order, **dict(self.kwargs)}

    def names_kind(self, message: str) -> bool:
        """True if a message says what is wrong."""
        return re.search(KINDS[self.kind], message) is not None


def as_array(framework: str, x: Any, dtype: str) -> Any:
    """An argument as an array of the framework; numbers with a fraction in the dtype."""
    if isinstance(x, list | tuple):
        return type(x)(as_array(framework, one, dtype) for one in x)
    if isinstance(x, dict):
        return {name: as_array(framework, one, dtype) for name, one in x.items()}
    if not isinstance(x, np.ndarray):
        return x
    if framework == "torch":
        import torch

        found = torch.tensor(x)
        return found.to(getattr(torch, dtype)) if found.is_floating_point() else found
    import jax.numpy as jnp

    return jnp.asarray(x, dtype) if x.dtype.kind == "f" else jnp.asarray(x)


def kernel_bug(*, forward: Callable[..., Any], backward: Callable[..., Any], **about: Any) -> Bug:
    """A bug of torch in the backward pass of a kernel, whose forward pass is the reference too.

    Args:
        forward: The plain function.
        backward: The gradients of the first arguments by the cotangents of the outputs and the arguments; the keyword
            argument ``faulty`` chooses between the faulty and the repaired ones.
        about: The other fields of the bug.
    """
    passes = functools.partial(backward, faulty=True), functools.partial(backward, faulty=False)
    wrong, right = (with_vjp(forward, one) for one in passes)
    fields = {"reference": forward, "kernel": (forward, passes)} | about
    return Bug(framework="torch", wrong=wrong, right=right, **fields)


def with_vjp(forward: Callable[..., Any], backward: Callable[..., Any]) -> Callable[..., Any]:
    """A kernel of torch with its own backward pass; both compute 16-bit arrays in float32.

    Args:
        forward: The function of its arguments.
        backward: The cotangents of the outputs, then the arguments, to the gradients of the first arguments.
    """
    import torch

    narrow = (torch.float16, torch.bfloat16)

    def wide(x: Any) -> Any:
        return x.float() if isinstance(x, torch.Tensor) and x.dtype in narrow else x

    def rounded(y: Any, dtype: Any) -> Any:
        return y.to(dtype) if isinstance(y, torch.Tensor) and y.is_floating_point() else y

    class Kernel(torch.autograd.Function):
        """The function."""

        @staticmethod
        def forward(ctx: Any, *args: Any) -> Any:
            ctx.save_for_backward(*[x for x in args if isinstance(x, torch.Tensor)])
            ctx.arguments = [(isinstance(x, torch.Tensor), None if isinstance(x, torch.Tensor) else x) for x in args]
            dtype = next(x.dtype for x in args if isinstance(x, torch.Tensor) and x.is_floating_point())
            found = forward(*map(wide, args))
            return tuple(rounded(y, dtype) for y in found) if isinstance(found, tuple) else rounded(found, dtype)

        @staticmethod
        def backward(ctx: Any, *cotangents: Any) -> tuple[Any, ...]:
            saved = iter(ctx.saved_tensors)
            args = [next(saved) if is_array else x for is_array, x in ctx.arguments]
            found = backward(*map(wide, cotangents), *map(wide, args))
            found = found if isinstance(found, tuple) else (found,)
            found = [rounded(y, x.dtype) for y, x in zip(found, args, strict=False)]
            return (*found, *[None] * (len(args) - len(found)))

    return Kernel.apply
