"""Where a program of PyTorch stops gradients, kept in its trace: `detach` and `no_grad`."""

from __future__ import annotations

from typing import Any

import torch
from torch.overrides import TorchFunctionMode
from torch.utils import _pytree as pytree

DETACHING = (torch.Tensor.detach, torch.detach, torch.Tensor.data.__get__)


class Stops(TorchFunctionMode):  # type: ignore[misc]
    """Records ``aten.detach`` for every result that the user's program computes under ``no_grad``.

    PyTorch itself runs the forward pass of a custom ``autograd.Function`` without gradients. There, nothing is stopped,
    and `detach` is recorded as ``aten.alias``: the gradient is the user's backward pass, and not that of its steps.

    Gradients must be enabled when the program starts.
    """

    def __init__(self) -> None:
        super().__init__()
        self.stopped = False
        self.enabled = 0  # nested enable_grad() inside a forward pass

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch._C._set_grad_enabled:
            self.switch(bool(args[0]))
        elif func in DETACHING and self.in_custom_forward():
            return torch.ops.aten.alias(args[0])
        found = func(*args, **(kwargs or {}))
        return pytree.tree_map_only(torch.Tensor, stop, found) if self.stopped else found

    def in_custom_forward(self) -> bool:
        return not self.stopped and (self.enabled > 0 or not torch.is_grad_enabled())

    def switch(self, on: bool) -> None:
        """Gradients are switched on or off."""
        if on and not torch.is_grad_enabled():
            self.enabled += not self.stopped
            self.stopped = False
        elif not on and torch.is_grad_enabled():
            self.stopped = not self.enabled
            self.enabled -= bool(self.enabled)


def stop(x: torch.Tensor) -> torch.Tensor:
    return torch.ops.aten.detach(x) if x.dtype.is_floating_point or x.dtype.is_complex else x
