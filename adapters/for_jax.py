"""JAX, on the CPU, one thread, with 64-bit numbers enabled. The framework is imported only when the adapter is made."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from gradagree.adapters.adapter import Adapter


def grad(error: Callable[..., Any]) -> Callable[..., Any]:
    """``jax.value_and_grad``: reverse mode, operation by operation."""
    import jax

    return jax.value_and_grad(error, has_aux=True)


def jit(error: Callable[..., Any]) -> Callable[..., Any]:
    """``jax.jit(jax.value_and_grad)``: reverse mode, compiled as a whole."""
    import jax

    return jax.jit(grad(error))


class ForJax(Adapter):
    """jax.Array on the CPU."""

    name = "jax"
    install = "pip install 'gradagree[jax]'"
    modes = {"grad": grad, "jit": jit}

    def __init__(self) -> None:
        os.environ.setdefault("JAX_PLATFORMS", "cpu")
        import jax

        self.framework = jax

    @contextmanager
    def settings(self) -> Iterator[None]:
        config = self.framework.config
        wanted = {"jax_enable_x64": True, "jax_default_matmul_precision": "highest"}
        before = {name: getattr(config, name) for name in wanted}
        for name, value in wanted.items():
            config.update(name, value)
        try:
            yield
        finally:
            for name, value in before.items():
                config.update(name, value)

    def array(self, x: np.ndarray, dtype: str) -> Any:
        if x.dtype.kind == "i":
            return self.framework.numpy.array(x)
        return self.framework.numpy.array(x.astype(self.framework.numpy.dtype(dtype)))

    def back(self, x: Any) -> np.ndarray:
        return np.asarray(x).astype(np.float64)

    def apply(self, function: Callable[..., Any], arrays: Sequence[Any], compiled: bool) -> Any:
        return (self.framework.jit(function) if compiled else function)(*arrays)

    def tapped(self, mode: str, error: Callable[..., Any], leaves: list[Any], shapes: Sequence[tuple[int, ...]]) -> Any:
        zeros = [self.framework.numpy.zeros(shape, leaves[0].dtype) for shape in shapes]

        def watched_error(everything: list[Any]) -> Any:
            added = iter(everything[len(leaves) :])
            watched: list[Any] = []

            def tap(c: Any) -> Any:
                watched.append(c + next(added))
                return watched[-1]

            return error(everything[: len(leaves)], tap), watched

        (E, watched), gradients = self.modes[mode](watched_error)([*leaves, *zeros])
        return (E, watched), gradients[: len(leaves)], gradients[len(leaves) :]
