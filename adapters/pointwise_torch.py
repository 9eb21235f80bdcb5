"""Single functions in torch: eager, compiled, vmapped, forward and reverse, and one on top of the other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gradagree.adapters.pointwise import Pointwise


def leaf(x: Any) -> Any:
    return x.detach().clone().requires_grad_()


def output(y: Any, k: int | None) -> Any:
    return y if k is None or y.ndim < 2 else y[..., k]


def pulled(y: Any, x: Any, keep: bool = False) -> Any:
    """dy/dx summed over y, by ones."""
    import torch

    if not y.requires_grad:
        return torch.zeros_like(x)
    return torch.autograd.grad(y, x, torch.ones_like(y), create_graph=keep, allow_unused=True, materialize_grads=True)[
        0
    ]


def tangent(x: Any, j: int | None) -> Any:
    import torch

    if j is None:
        return torch.ones_like(x)
    along = torch.zeros_like(x)
    along[..., j] = 1
    return along


def value(f: Any, x: Any, constants: Any, k: Any = None, j: Any = None) -> Any:
    import torch

    with torch.no_grad():
        return f(x.detach(), *constants)


def value_vmap(f: Any, x: Any, constants: Any, k: Any = None, j: Any = None) -> Any:
    from torch import func

    return func.vmap(lambda row, *cs: f(row[None], *(c[None] for c in cs))[0])(x.detach(), *constants)


def grad(f: Any, x: Any, constants: Any, k: Any = None, j: Any = None) -> Any:
    x = leaf(x)
    return pulled(output(f(x, *constants), k), x)


def backward(f: Any, x: Any, constants: Any, k: Any = None, j: Any = None) -> Any:
    import torch

    x = leaf(x)
    y = output(f(x, *constants), k)
    if y.requires_grad:
        y.backward(torch.ones_like(y))
    return torch.zeros_like(x) if x.grad is None else x.grad


def vmap(f: Any, x: Any, constants: Any, k: Any = None, j: Any = None) -> Any:
    from torch import func

    def alone(row: Any, *cs: Any) -> Any:
        return output(f(row[None], *(c[None] for c in cs)), k).sum()

    return func.vmap(func.grad(alone))(x.detach(), *constants)


def forward(f: Any, x: Any, constants: Any, k: Any = None, j: Any = None) -> Any:
    from torch import func

    x = x.detach()
    return solid(func.jvp(lambda x: f(x, *constants), (x,), (tangent(x, j),))[1])


def solid(x: Any) -> Any:
    """Zeros that torch did not write down, written down."""
    return x.new_zeros(x.shape) if x._is_zerotensor() else x


def reverse_reverse(f: Any, x: Any, constants: Any, k: Any = None, j: Any = None) -> Any:
    x = leaf(x)
    slope = pulled(output(f(x, *constants), k), x, keep=True)
    return pulled(slope if j is None else slope[..., j], x)


def slope_of(f: Any, constants: Any, k: Any) -> Callable[[Any], Any]:
    from torch import func

    return func.grad(lambda x: output(f(x, *constants), k).sum())


def forward_reverse(f: Any, x: Any, constants: Any, k: Any = None, j: Any = None) -> Any:
    from torch import func

    x = x.detach()
    return solid(func.jvp(slope_of(f, constants, k), (x,), (tangent(x, j),))[1])


def reverse_forward(f: Any, x: Any, constants: Any, k: Any = None, j: Any = None) -> Any:
    from torch import func

    x = x.detach()
    along = tangent(x, j)

    def slope(x: Any) -> Any:
        return output(func.jvp(lambda x: f(x, *constants), (x,), (along,))[1], k).sum()

    return func.grad(slope)(x)


class OfTorch(Pointwise):
    """torch, with its compiler asked for one graph for any number of points."""

    def __init__(self) -> None:
        self.values = {"eager": value, "vmap": value_vmap, "compile": self.value_compiled}
        self.slopes = {
            "backward": backward, "grad": grad, "vmap": vmap, "forward": forward, "compile": self.compiled,
        }  # fmt: skip
        self.seconds = {
            "reverse-reverse": reverse_reverse, "forward-reverse": forward_reverse,
            "reverse-forward": reverse_forward,
        }  # fmt: skip
        self._made: tuple[Any, Any] = (None, None)

    def _compile(self, f: Any) -> Any:
        import torch

        if self._made[0] is not f:
            torch.compiler.reset()
            self._made = (f, torch.compile(f, fullgraph=True, dynamic=True))
        return self._made[1]

    def compiled(self, f: Any, x: Any, constants: Any, k: Any = None, j: Any = None) -> Any:
        return grad(self._compile(f), x, constants, k)

    def value_compiled(self, f: Any, x: Any, constants: Any, k: Any = None, j: Any = None) -> Any:
        return self._compile(f)(leaf(x), *constants).detach()
