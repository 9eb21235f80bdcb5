"""Single functions in jax: operation by operation, compiled, vmapped, forward and reverse, and one on top of the other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gradagree.adapters.pointwise import Pointwise

__all__ = ["OfJax"]


def output(y: Any, k: int | None) -> Any:
    return y if k is None or y.ndim < 2 else y[..., k]


def tangent(x: Any, j: int | None) -> Any:
    import jax

    return jax.numpy.ones_like(x) if j is None else jax.numpy.zeros_like(x).at[..., j].set(1)


def slope_of(f: Any, constants: Any, k: Any) -> Callable[[Any], Any]:
    """dy/dx summed over y, by ones."""
    import jax

    def slope(x: Any) -> Any:
        y, pull = jax.vjp(lambda x: output(f(x, *constants), k), x)
        return pull(jax.numpy.ones_like(y))[0]

    return slope


def value(f: Any, x: Any, constants: Any, k: Any = None, j: Any = None) -> Any:
    return f(x, *constants)


def value_vmap(f: Any, x: Any, constants: Any, k: Any = None, j: Any = None) -> Any:
    import jax

    return jax.vmap(lambda row, *cs: f(row[None], *(c[None] for c in cs))[0])(x, *constants)


def grad(f: Any, x: Any, constants: Any, k: Any = None, j: Any = None) -> Any:
    return slope_of(f, constants, k)(x)


def vmap(f: Any, x: Any, constants: Any, k: Any = None, j: Any = None) -> Any:
    import jax

    def alone(row: Any, *cs: Any) -> Any:
        return output(f(row[None], *(c[None] for c in cs)), k).sum()

    return jax.vmap(jax.grad(alone))(x, *constants)


def forward(f: Any, x: Any, constants: Any, k: Any = None, j: Any = None) -> Any:
    import jax

    return jax.jvp(lambda x: f(x, *constants), (x,), (tangent(x, j),))[1]


def reverse_reverse(f: Any, x: Any, constants: Any, k: Any = None, j: Any = None) -> Any:
    import jax

    slope = slope_of(f, constants, k)
    y, pull = jax.vjp(lambda x: slope(x) if j is None else slope(x)[..., j], x)
    return pull(jax.numpy.ones_like(y))[0]


def forward_reverse(f: Any, x: Any, constants: Any, k: Any = None, j: Any = None) -> Any:
    import jax

    return jax.jvp(slope_of(f, constants, k), (x,), (tangent(x, j),))[1]


def reverse_forward(f: Any, x: Any, constants: Any, k: Any = None, j: Any = None) -> Any:
    import jax

    along = tangent(x, j)
    y, pull = jax.vjp(lambda x: output(jax.jvp(lambda x: f(x, *constants), (x,), (along,))[1], k), x)
    return pull(jax.numpy.ones_like(y))[0]


def compiled(way: Callable[..., Any]) -> Callable[..., Any]:
    """The same, compiled as a whole."""

    def jitted(f: Any, x: Any, constants: Any, k: Any = None, j: Any = None) -> Any:
        import jax

        return jax.jit(lambda x, *cs: way(f, x, cs, k, j))(x, *constants)

    return jitted


class OfJax(Pointwise):
    """jax: each way by its name."""

    pads = True

    def __init__(self) -> None:
        self.values = {"eager": value, "jit": compiled(value), "vmap": value_vmap}
        self.slopes = {"grad": grad, "jit": compiled(grad), "vmap": vmap, "forward": forward}
        self.seconds = {
            "reverse-reverse": reverse_reverse, "forward-reverse": forward_reverse,
            "reverse-forward": reverse_forward, "jit": compiled(reverse_reverse),
        }  # fmt: skip
