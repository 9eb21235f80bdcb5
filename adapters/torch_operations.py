"""Operations of PyTorch with their numbers, as a running model calls them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from torch.utils import _pytree as pytree

from gradagree.adapters.aten import ATEN, CHOICES
from gradagree.adapters.aten.windows import per_axis
from gradagree.adapters.operations import ConvolutionForm, ModelOperation, as_parts, on_parts
from gradagree.adapters.program import Program
from gradagree.adapters.torch_programs import (
    DECOMPOSITIONS,
    converting_form,
    is_inexact as is_inexact,
    is_random as is_random,
    name_of,
    to_numpy,
    trace_program,
)
from gradagree.errors import UsageError

MOVES = frozenset(
    f"aten.{name}" for name in (
        "t", "transpose", "permute", "view", "_unsafe_view", "reshape", "_reshape_alias", "slice", "select",
        "unsqueeze", "squeeze", "clone", "alias", "expand", "cat", "stack", "split", "split_with_sizes", "chunk",
        "unbind", "narrow", "lift_fresh", "contiguous", "unfold", "flip", "roll", "unsafe_split", "relu", "relu_",
        "max_pool2d_with_indices", "max_pool3d_with_indices", "masked_fill", "where",
    )
)  # fmt: skip
"""Operations that only move entries, or replace them."""
ONCE = frozenset(f"aten.{name}{end}" for name in ("add", "sub", "mul") for end in ("", "_"))
"""Operations that are rounded once, without keyword arguments."""
POOLS = {"aten.max_pool2d_with_indices": 1, "aten.max_pool3d_with_indices": 1}
"""Poolings, and which output has the entries that PyTorch took.

Their own backward passes follow it; a backward pass that the user wrote may take any of several equal entries.
"""
FACTORS = {
    "aten.mm": (0, 1, None), "aten.bmm": (0, 1, None), "aten.addmm": (1, 2, 0), "aten.baddbmm": (1, 2, 0),
}  # fmt: skip
"""Matrix products: the positions of both factors, and of the array that is added."""
SKIPPED = frozenset(
    f"aten.{name}" for name in (
        "detach", "detach_", "zero_", "fill_", "empty_like", "zeros_like", "ones_like", "new_zeros", "new_ones",
        "new_empty", "new_full", "full_like", "requires_grad_", "resize_", "set_", "new_empty_strided",
        "empty_strided", "_local_scalar_dense", "is_nonzero",
    )
)  # fmt: skip
"""Operations that compute nothing from the numbers of their floating-point operands."""


def flatten(x: Any) -> list[Any]:
    """All leaves of nested arguments, in order."""
    if isinstance(x, torch.Tensor):
        return [x]
    return pytree.tree_leaves(x)


def host(x: torch.Tensor) -> np.ndarray:
    """The numbers of a tensor on the host, without a copy where NumPy has the dtype; 16-bit numbers as float32.

    Complex ones are a real array whose first axis holds their parts.
    """
    x = x.detach().cpu()
    if x.dtype in (torch.float16, torch.bfloat16):
        x = x.float()
    return as_parts(x.numpy(force=True))


def dtype_of(x: torch.Tensor) -> str:
    return str(x.dtype).removeprefix("torch.")


def constant(x: Any) -> Any:
    """An argument that is no floating-point array, as the NumPy forms take it."""
    return to_numpy(x) if isinstance(x, torch.Tensor) else x


def argument_names(func: Any, args: Sequence[Any], kwargs: Any) -> list[str]:
    """The name in the signature for each floating-point operand, in order."""
    declared = [one.name for one in func._schema.arguments]
    found = []
    for name, x in [*zip(declared, args, strict=False), *kwargs.items()]:
        inexact = [y for y in flatten(x) if isinstance(y, torch.Tensor) and is_inexact(y)]
        found += [name] if isinstance(x, torch.Tensor) and inexact else [f"{name}[{k}]" for k in range(len(inexact))]
    return found


def describe_operation(func: Any, args: Any, kwargs: Any, found: Any, module: str, place: str) -> ModelOperation | None:
    """An operation that has been called; None if it computes nothing from floating-point numbers."""
    name = name_of(func)
    results = [x for x in flatten(found) if isinstance(x, torch.Tensor)]
    kept = [k for k, x in enumerate(results) if is_inexact(x)]
    if name in SKIPPED or not kept:
        return None
    leaves, spec = pytree.tree_flatten((tuple(args), dict(kwargs)))
    at = [k for k, x in enumerate(leaves) if isinstance(x, torch.Tensor) and is_inexact(x)]
    numbers = [None if k in at else constant(x) for k, x in enumerate(leaves)]
    dtypes = [dtype_of(leaves[k]) for k in at] + [dtype_of(results[k]) for k in kept]
    form, reason = form_of(func, name, args, kwargs, found)
    extra = {}
    if (choice := CHOICES.get(name, POOLS.get(name))) is not None and isinstance(found, tuple):
        extra = {"taken": to_numpy(found[choice])}

    def function(*arrays: Any) -> Sequence[Any]:
        assert form is not None
        filled = list(numbers)
        for k, x in zip(at, arrays, strict=True):
            filled[k] = x
        positional, named = pytree.tree_unflatten(filled, spec)
        answer = form(*positional, **named, **extra)
        answers = list(answer) if isinstance(answer, tuple | list) else [answer]
        return [answers[k] for k in kept]

    on_pairs, real = on_parts(function, dtypes, len(at))
    is_real = real == dtypes
    factors = FACTORS.get(name)
    if factors is not None and (not is_real or kwargs or any(leaves[k].ndim != leaves[at[-1]].ndim for k in at[-2:])):
        factors = None
    rows = constant(args[1]) if name == "aten.embedding" and is_real and not any(args[3:]) else None
    if rows is not None and len(args) > 2 and args[2] >= 0:
        rows = None
    once = name in ONCE and not kwargs
    return ModelOperation(
        name, module, place, argument_names(func, args, kwargs), real, None if form is None else on_pairs,
        factors, convolution_of(name, args, kwargs) if is_real else None, (), rows, name in MOVES, once,
        reason=reason,
    )  # fmt: skip


def convolution_of(name: str, args: Any, kwargs: Any) -> ConvolutionForm | None:
    """How a convolution of a batch of images moves, or a transposed one; None for anything else."""
    if name != "aten.convolution" or kwargs or args[0].ndim != args[1].ndim:
        return None
    rank = args[1].ndim - 2
    stride, padding, dilation = (per_axis(x, rank) for x in args[3:6])
    return ConvolutionForm(tuple(stride), tuple((p, p) for p in padding), tuple(dilation), args[8], args[6])


def form_of(func: Any, name: str, args: Any, kwargs: Any, found: Any) -> tuple[Callable[..., Any] | None, str]:
    """(the NumPy form of an operation, why there is none)."""
    if name == "aten.copy_":
        return copied(args[0], args[1]), ""
    written = name.endswith("_") and not name.endswith("__") and func._schema.is_mutable
    result = found if isinstance(found, torch.Tensor) else None
    plain = name.removesuffix("_") if written else name
    if name == "aten.native_dropout":
        return dropped(found[1]), ""
    form = converting_form(func, [x if isinstance(x, torch.Tensor) else None for x in args], result, ATEN.get(plain))
    if form is None and func in DECOMPOSITIONS and not func._schema.is_mutable:
        return by_decomposition(func, args, kwargs)
    return form, "" if form is not None else f"no NumPy form of the operation {name} is known"


def copied(into: torch.Tensor, source: Any) -> Callable[..., Any]:
    """The form of a write: the source in the shape and dtype of what it overwrites."""
    dtype = source.dtype if isinstance(source, torch.Tensor) else into.dtype
    shape = tuple(into.shape)
    convert = ATEN["prims.convert_element_type"]

    def form(old: Any, new: Any, *_: Any) -> Any:
        new = convert(new, into.dtype, source=dtype) if dtype != into.dtype else new
        return np.broadcast_to(new, shape)

    return form


def dropped(mask: torch.Tensor) -> Callable[..., Any]:
    """The form of a dropout whose mask has been drawn."""
    kept = host(mask) != 0

    def form(x: Any, p: float, train: bool | None = True) -> Any:
        p = 0.0 if train is False else p
        return x * np.where(kept, 1.0, 0.0) * (1 / (1 - p) if p < 1 else 0.0), kept

    return form


def by_decomposition(func: Any, args: Any, kwargs: Any) -> tuple[Callable[..., Any] | None, str]:
    """The form of an operation by PyTorch's own decomposition of it."""
    leaves, spec = pytree.tree_flatten((tuple(args), dict(kwargs)))
    at = [k for k, x in enumerate(leaves) if isinstance(x, torch.Tensor)]

    def again(*tensors: torch.Tensor) -> Any:
        filled = list(leaves)
        for k, x in zip(at, tensors, strict=True):
            filled[k] = x
        positional, named = pytree.tree_unflatten(filled, spec)
        answer = func(*positional, **named)
        return list(answer) if isinstance(answer, tuple) else answer

    try:
        program = traced(again, [leaves[k].detach() for k in at])
    except UsageError as error:
        return None, str(error)
    if program.unknown:
        return None, f"no NumPy form of the operation {program.unknown[0].name} is known"

    def form(*positional: Any, **named: Any) -> Any:
        given = pytree.tree_flatten((tuple(positional), dict(named)))[0]
        return tuple(program(*(given[k] for k in at)))

    return form, ""


def traced(function: Callable[..., Any], tensors: Sequence[torch.Tensor]) -> Program:
    """The program of a function, traced in a thread of its own: there no mode of PyTorch is active."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(trace_program, function, tensors, [f"x{k}" for k in range(len(tensors))]).result()


def describe_function(
    kind: Any, args: Any, kwargs: Any, found: Any, module: str, state: torch.Tensor
) -> ModelOperation:  # fmt: skip
    """A custom ``autograd.Function`` that has been called: its forward pass is traced when it is needed."""
    tensors = [x for x in args if isinstance(x, torch.Tensor)]
    inexact = [x for x in tensors if is_inexact(x)]
    results = [x for x in flatten(found) if isinstance(x, torch.Tensor)]
    kept = [k for k, x in enumerate(results) if is_inexact(x)]
    others = [None if is_inexact(x) else to_numpy(x) for x in tensors]
    shapes = [x.detach() for x in tensors]
    programs: list[Any] = []

    def again(*given: torch.Tensor) -> Any:
        remaining = iter(given)
        with torch.random.fork_rng(devices=[]):
            torch.set_rng_state(state)
            answer = kind.apply(*(next(remaining) if isinstance(x, torch.Tensor) else x for x in args), **kwargs)
        return [x for x in flatten(answer) if isinstance(x, torch.Tensor)]

    def function(*arrays: Any) -> Sequence[Any]:
        if not programs:
            programs.append(traced(again, shapes))
        remaining = iter(arrays)
        answers = programs[0](*(next(remaining) if x is None else x for x in others))
        return [answers[k] for k in kept]

    code = kind.backward.__code__ if hasattr(kind.backward, "__code__") else None
    place = f"{code.co_filename}:{code.co_firstlineno}" if code is not None else ""
    dtypes = [dtype_of(x) for x in inexact] + [dtype_of(results[k]) for k in kept]
    on_pairs, real = on_parts(function, dtypes, len(inexact))
    rule = f"{kind.__name__}.backward"
    return ModelOperation(kind.__name__, module, place, function_arguments(kind, args), real, on_pairs, rule=rule)


def function_arguments(kind: Any, args: Sequence[Any]) -> list[str]:
    """What the forward pass of a custom function calls its floating-point operands."""
    code = kind.forward.__code__
    names = list(code.co_varnames[: code.co_argcount])
    names = names[1:] if len(names) == len(args) + 1 or names[:1] == ["ctx"] else names
    names += [f"args[{k}]" for k in range(len(names), len(args))]
    return [name for name, x in zip(names, args, strict=False) if isinstance(x, torch.Tensor) and is_inexact(x)]
