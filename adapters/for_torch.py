"""PyTorch, on the CPU, one thread. The framework is imported only when the adapter is made."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from gradagree.adapters.adapter import Adapter


def backward(error: Callable[..., Any]) -> Callable[..., Any]:
    """``E.backward()``: reverse mode, eagerly; arrays in aux keep their gradients too."""

    def gradient(leaves: list[Any]) -> Any:
        E, aux = error(leaves)
        E.backward()
        return (E, aux), [zero_if_none(leaf) for leaf in leaves]

    return gradient


def zero_if_none(x: Any) -> Any:
    """The gradient at x; None means that the error does not depend on x."""
    return x.new_zeros(x.shape) if x.grad is None else x.grad


class ForTorch(Adapter):
    """torch.Tensor on the CPU."""

    name = "torch"
    install = "pip install 'gradagree[torch]'"
    modes = {"backward": backward}

    def __init__(self) -> None:
        import torch

        self.framework = torch

    @contextmanager
    def settings(self) -> Iterator[None]:
        torch = self.framework
        threads, precision = torch.get_num_threads(), torch.get_float32_matmul_precision()
        torch.set_num_threads(1)
        torch.set_float32_matmul_precision("highest")
        try:
            yield
        finally:
            torch.set_num_threads(threads)
            torch.set_float32_matmul_precision(precision)

    def array(self, x: np.ndarray, dtype: str) -> Any:
        if x.dtype.kind == "i":
            return self.framework.from_numpy(x.copy())
        return self.framework.from_numpy(x.copy()).to(getattr(self.framework, dtype)).requires_grad_()

    def back(self, x: Any) -> np.ndarray:
        return np.asarray(x.detach().to(self.framework.float64).numpy(), dtype=np.float64)

    def apply(self, function: Callable[..., Any], arrays: Sequence[Any], compiled: bool) -> Any:
        with self.framework.no_grad():
            return function(*arrays)

    def tapped(self, mode: str, error: Callable[..., Any], leaves: list[Any], shapes: Sequence[tuple[int, ...]]) -> Any:
        watched: list[Any] = []

        def tap(c: Any) -> Any:
            c.retain_grad()
            watched.append(c)
            return c

        (E, _), gradients = self.modes[mode](lambda leaves: (error(leaves, tap), ()))(leaves)
        return (E, watched), gradients, [zero_if_none(c) for c in watched]
