"""What the replicas share: functions with their own backward pass, and reads of memory as a kernel does them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any


def torch_vjp(forward: Callable[..., Any], backward: Callable[..., Any]) -> Callable[..., Any]:
    """A function of torch with its own backward pass, which gets its arrays as they are in memory.

    Args:
        forward: The function of its arguments.
        backward: The cotangents of the outputs, then the arguments, to the gradients of the first arguments.
    """
    import torch

    class PlainKernel(torch.autograd.Function):
        """The function."""

        @staticmethod
        def forward(ctx: Any, *args: Any) -> Any:
            ctx.save_for_backward(*[x for x in args if isinstance(x, torch.Tensor)])
            ctx.arguments = [None if isinstance(x, torch.Tensor) else x for x in args]
            return forward(*args)

        @staticmethod
        def backward(ctx: Any, *cotangents: Any) -> tuple[Any, ...]:
            saved = iter(ctx.saved_tensors)
            args = [next(saved) if x is None else x for x in ctx.arguments]
            found = backward(*cotangents, *args)
            found = found if isinstance(found, tuple) else (found,)
            return (*found, *[None] * (len(args) - len(found)))

    return PlainKernel.apply


def jax_vjp(forward: Callable[..., Any], backward: Callable[..., Any]) -> Callable[..., Any]:
    """A function of JAX with its own backward pass.

    Args:
        forward: The function of its arguments.
        backward: The cotangent, then the arguments, to the gradients of all arguments; None for integers and for zero.
    """
    import jax

    def forward_pass(*args: Any) -> Any:
        return forward(*args), args

    def backward_pass(args: Any, g: Any) -> Any:
        return tuple(backward(g, *args))

    function = jax.custom_vjp(forward)
    function.defvjp(forward_pass, backward_pass)
    return function


def in_wide(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function of JAX that computes 16-bit arrays in float32, and returns an array of the dtype of the first one."""

    def computed(*args: Any) -> Any:
        return function(*[wide(x) for x in args]).astype(args[0].dtype)

    return computed


def gradients_in_wide(backward: Callable[..., Any]) -> Callable[..., Any]:
    """A backward pass of JAX that computes 16-bit arrays in float32; each gradient has the dtype of its array."""

    def computed(g: Any, *args: Any) -> Any:
        found = backward(wide(g), *[wide(x) for x in args])
        return tuple(d.astype(x.dtype) for d, x in zip(found, args, strict=True))

    return computed


def wide(*arrays: Any) -> Any:
    """The arrays of torch or JAX, those of 16 bits in float32: the format in which a kernel computes."""
    found = []
    for x in arrays:
        if hasattr(x, "astype"):
            found.append(x.astype("float32") if x.dtype in ("float16", "bfloat16") else x)
        else:
            found.append(x.float() if x.element_size() == 2 and x.is_floating_point() else x)
    return found[0] if len(found) == 1 else found


def read(x: Any, strides: Sequence[int]) -> Any:
    """What a kernel of torch reads from an array's memory if it takes these strides for those of the array.

    Behind the end of the memory it finds the beginning again, where a device would find other arrays.
    """
    import torch

    memory = x.as_strided((x.untyped_storage().nbytes() // x.element_size() - x.storage_offset(),), (1,))
    place = torch.zeros(x.shape, dtype=torch.long)
    for axis, (n, stride) in enumerate(zip(x.shape, strides, strict=True)):
        place = place + (torch.arange(n) * stride).reshape([-1 if k == axis else 1 for k in range(x.ndim)])
    return memory[place % memory.numel()]


def read_contiguous(x: Any) -> Any:
    """What a kernel of torch reads that takes an array for contiguous."""
    strides = [1]
    for n in reversed(x.shape[1:]):
        strides.insert(0, strides[0] * n)
    return read(x, strides[: x.ndim])
