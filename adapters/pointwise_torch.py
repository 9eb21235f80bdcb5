"""The modes of a survey in torch: values, derivatives and second derivatives of a single function."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gradagree.adapters.pointwise import Pointwise


def leaf(x: Any) -> Any:
    return x.detach().clone().requires_grad_()


def output(y: Any, k: int | None) -> Any:
    return y if k is None or y.ndim < 2 else y[..., k]


def vjp_of_ones(y: Any, x: Any, keep: bool = False) -> Any:
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


def pointwise_grad(f: Any, x: Any, constants: Any, k: Any = None, j: Any = None) -> Any:
    x = leaf(x)
    return vjp_of_ones(output(f(x, *constants), k), x)


def pointwise_backward(f: Any, x: Any, constants: Any, k: Any = None, j: Any = None) -> Any:
    import torch

    x = leaf(x)
    y = output(f(x, *constants), k)
    if y.requires_grad:
        y.backward(torch.ones_like(y))
    return torch.zeros_like(x) if x.grad is None else x.grad


def pointwise_vmap(f: Any, x: Any, constants: Any, k: Any = None, j: Any = None) -> Any:
    from torch import func

    def alone(row: Any, *cs: Any) -> Any:
        return output(f(row[None], *(c[None] for c in cs)), k).sum()

    return func.vmap(func.grad(alone))(x.detach(), *constants)


def pointwise_forward(f: Any, x: Any, constants: Any, k: Any = None, j: Any = None) -> Any:
    from torch import func

    x = x.detach()
    return materialize(func.jvp(lambda x: f(x, *constants), (x,), (tangent(x, j),))[1])


def materialize(x: Any) -> Any:
    """Replace torch's symbolic zeros by an array of zeros."""
    return x.new_zeros(x.shape) if x._is_zerotensor() else x


def reverse_reverse(f: Any, x: Any, constants: Any, k: Any = None, j: Any = None) -> Any:
    x = leaf(x)
    derivative = vjp_of_ones(output(f(x, *constants), k), x, keep=True)
    return vjp_of_ones(derivative if j is None else derivative[..., j], x)


def derivative_of(f: Any, constants: Any, k: Any) -> Callable[[Any], Any]:
    from torch import func

    return func.grad(lambda x: output(f(x, *constants), k).sum())


def forward_reverse(f: Any, x: Any, constants: Any, k: Any = None, j: Any = None) -> Any:
    from torch import func

    x = x.detach()
    return materialize(func.jvp(derivative_of(f, constants, k), (x,), (tangent(x, j),))[1])


def reverse_forward(f: Any, x: Any, constants: Any, k: Any = None, j: Any = None) -> Any:
    from torch import func

    x = x.detach()
    along = tangent(x, j)

    def derivative(x: Any) -> Any:
        return output(func.jvp(lambda x: f(x, *constants), (x,), (along,))[1], k).sum()

    return materialize(func.grad(derivative)(x))


def forward_forward(f: Any, x: Any, constants: Any, k: Any = None, j: Any = None) -> Any:
    """The second derivative along j and each input; a loss of several entries is summed over each row."""
    import torch
    from torch import func

    x = x.detach()

    def ahead(x: Any) -> Any:
        return func.jvp(lambda x: f(x, *constants), (x,), (tangent(x, j),))[1]

    def across(i: int | None) -> Any:
        return materialize(func.jvp(ahead, (x,), (tangent(x, i),))[1])

    if j is None:
        return across(None)
    columns = [output(across(i), k) for i in range(x.shape[-1])]
    return torch.stack([y if y.ndim < 2 else y.sum(-1) for y in columns], -1)


class TorchPointwise(Pointwise):
    """The survey modes of torch; the compiler makes one graph for any number of points."""

    def __init__(self) -> None:
        self.values = {"eager": value, "vmap": value_vmap, "compile": self.value_compiled}
        self.slopes = {
            "backward": pointwise_backward, "grad": pointwise_grad, "vmap": pointwise_vmap,
            "forward": pointwise_forward, "compile": self.derivative_compiled,
        }  # fmt: skip
        self.seconds = {
            "reverse-reverse": reverse_reverse, "forward-reverse": forward_reverse,
            "reverse-forward": reverse_forward, "forward-forward": forward_forward,
        }  # fmt: skip
        self._program: tuple[Any, Any] = (None, None)

    def _compile(self, f: Any) -> Any:
        import torch

        if self._program[0] is not f:
            torch.compiler.reset()
            self._program = (f, torch.compile(f, fullgraph=True, dynamic=True))
        return self._program[1]

    def derivative_compiled(self, f: Any, x: Any, constants: Any, k: Any = None, j: Any = None) -> Any:
        return pointwise_grad(self._compile(f), x, constants, k)

    def value_compiled(self, f: Any, x: Any, constants: Any, k: Any = None, j: Any = None) -> Any:
        return self._compile(f)(leaf(x), *constants).detach()
