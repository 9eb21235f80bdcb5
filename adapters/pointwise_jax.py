"""Single functions in jax: operation by operation (eager, grad), and compiled as a whole (all others).

Directions are arrays: what was compiled for one output or input serves for all.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gradagree.adapters.pointwise import Pointwise

MOST = 60
"""Functions after which what was compiled is forgotten, for it fills the memory."""


def direction(shape: Any, dtype: Any, k: int | None) -> Any:
    """Ones, or 1 at the last axis's entry k and 0 elsewhere."""
    import jax
    import numpy as np

    made = np.ones(shape)
    if k is not None and len(shape) > 1:
        made = np.broadcast_to(np.arange(shape[-1]) == k, shape)
    return jax.numpy.asarray(made, dtype)


def slope_of(f: Any, x: Any, constants: Any, out: Any) -> Any:
    """dy/dx times the direction out, summed over y."""
    import jax

    return jax.vjp(lambda x: f(x, *constants), x)[1](out)[0]


def value(f: Any, x: Any, constants: Any, out: Any, along: Any) -> Any:
    return f(x, *constants)


def value_vmap(f: Any, x: Any, constants: Any, out: Any, along: Any) -> Any:
    import jax

    return jax.vmap(lambda row, *cs: f(row[None], *(c[None] for c in cs))[0])(x, *constants)


def grad(f: Any, x: Any, constants: Any, out: Any, along: Any) -> Any:
    return slope_of(f, x, constants, out)


def vmap(f: Any, x: Any, constants: Any, out: Any, along: Any) -> Any:
    import jax

    def alone(row: Any, out: Any, *cs: Any) -> Any:
        return slope_of(f, row[None], [c[None] for c in cs], out[None])[0]

    return jax.vmap(alone)(x, out, *constants) if out.ndim else grad(f, x, constants, out, along)


def forward(f: Any, x: Any, constants: Any, out: Any, along: Any) -> Any:
    import jax

    return jax.jvp(lambda x: f(x, *constants), (x,), (along,))[1]


def reverse_reverse(f: Any, x: Any, constants: Any, out: Any, along: Any) -> Any:
    import jax

    return jax.vjp(lambda x: slope_of(f, x, constants, out), x)[1](along)[0]


def forward_reverse(f: Any, x: Any, constants: Any, out: Any, along: Any) -> Any:
    import jax

    return jax.jvp(lambda x: slope_of(f, x, constants, out), (x,), (along,))[1]


def reverse_forward(f: Any, x: Any, constants: Any, out: Any, along: Any) -> Any:
    import jax

    return jax.vjp(lambda x: forward(f, x, constants, out, along), x)[1](out)[0]


class OfJax(Pointwise):
    """jax: each way by its name. All but the first are compiled as a whole."""

    pads = True

    def __init__(self) -> None:
        self._function: Any = None
        self._turns = 0
        self._jits: dict[Any, Any] = {}
        eager, jit = self._eager, self._jit
        self.values = {"eager": eager(value), "jit": jit(value), "vmap": jit(value_vmap)}
        self.slopes = {"grad": eager(grad), "jit": jit(grad), "vmap": jit(vmap), "forward": jit(forward)}
        self.seconds = {
            "reverse-reverse": jit(reverse_reverse), "forward-reverse": jit(forward_reverse),
            "reverse-forward": jit(reverse_forward),
        }  # fmt: skip

    def _eager(self, way: Callable[..., Any]) -> Callable[..., Any]:
        def asked(f: Any, x: Any, constants: Any, k: Any = None, j: Any = None) -> Any:
            return way(f, x, constants, *directions(f, x, constants, k, j))

        return asked

    def _jit(self, way: Callable[..., Any]) -> Callable[..., Any]:
        """The same, compiled as a whole; once for each function."""

        def asked(f: Any, x: Any, constants: Any, k: Any = None, j: Any = None) -> Any:
            import jax

            if self._function is not f:
                self._function, self._jits, self._turns = f, {}, self._turns + 1
                if self._turns % MOST == 0:
                    jax.clear_caches()
            if way not in self._jits:
                self._jits[way] = jax.jit(lambda x, out, along, *cs: way(f, x, cs, out, along))
            return self._jits[way](x, *directions(f, x, constants, k, j), *constants)

        return asked


def directions(f: Any, x: Any, constants: Any, k: Any, j: Any) -> tuple[Any, Any]:
    """The direction of the outputs, and of the inputs."""
    import jax

    y = jax.eval_shape(f, x, *constants)
    return direction(y.shape, y.dtype, k), direction(x.shape, x.dtype, j)
