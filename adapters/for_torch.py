"""PyTorch, on the CPU, one thread. The framework is imported when the adapter is created."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from gradagree.adapters.adapter import Adapter
from gradagree.adapters.entry_points import EntryPoints
from gradagree.adapters.modes import Error, Gradient, Mode, PointwiseMode, ScriptText
from gradagree.adapters.pointwise_torch import TorchPointwise
from gradagree.adapters.problem import Unsupported
from gradagree.adapters.programs import MAX_PROGRAMS, Program

NOT_SUPPORTED = (
    "vmap:",
    "does not have vmap support",
    "batching rule not implemented",
    "we do not yet support",
    "don't yet support",
    "does not support it because",
    "is not implemented",
    "this is unsupported",
    "it must override the setup_context",
    "must implement the jvp function",
    "doesn't have storage",
    "cannot register a hook",
)
"""Phrases, in lower case, of torch's messages about what its function transforms do not support.

They are raised in these modes only; an error that ``backward`` raises as well is reported there.
"""


@contextmanager
def unsupported_functions() -> Iterator[None]:
    """Raise Unsupported where torch reports that a function does not support what is computed."""
    try:
        yield
    except RuntimeError as wrong:
        if not any(phrase in str(wrong).lower() for phrase in NOT_SUPPORTED):
            raise
        raise Unsupported(f"torch: {str(wrong).splitlines()[0]}") from wrong


def with_unsupported(gradient_of: Gradient) -> Gradient:
    """The gradient function, which raises Unsupported where torch reports that it does not support a function."""

    @functools.wraps(gradient_of)
    def checked(error: Error, per_example: Sequence[bool]) -> Callable[..., Any]:
        gradient = gradient_of(error, per_example)

        def run(leaves: list[Any], targets: Any) -> Any:
            with unsupported_functions():
                return gradient(leaves, targets)

        return run

    return checked


def backward(error: Error, per_example: Sequence[bool]) -> Callable[..., Any]:
    """``E.backward()``: reverse mode, eagerly; arrays in aux keep their gradients too."""

    def gradient(leaves: list[Any], targets: Any) -> Any:
        for leaf in leaves:
            leaf.retain_grad()
        E, aux = error(leaves, targets)
        E.backward()
        return (E, aux), [gradient_at(leaf) for leaf in leaves]

    return gradient


def gradient_at(x: Any) -> Any:
    """The gradient stored at x; zeros if the loss does not depend on x."""
    return x.new_zeros(x.shape) if x.grad is None else x.grad


def grad(error: Error, per_example: Sequence[bool]) -> Callable[..., Any]:
    """``torch.autograd.grad``: reverse mode, eagerly, without touching ``.grad``."""
    import torch

    def gradient(leaves: list[Any], targets: Any) -> Any:
        E, aux = error(leaves, targets)
        return (E, aux), torch.autograd.grad(E, leaves, allow_unused=True, materialize_grads=True)

    return gradient


@with_unsupported
def vmap(error: Error, per_example: Sequence[bool]) -> Callable[..., Any]:
    """``torch.func.vmap(torch.func.grad)``: the gradients of single examples, summed."""
    from torch import func

    def alone(leaves: list[Any], target: Any) -> Any:
        return error([x[None] if own else x for x, own in zip(leaves, per_example, strict=True)], target[None])

    mapped = func.vmap(func.grad_and_value(alone, has_aux=True), ([0 if own else None for own in per_example], 0))

    def gradient(leaves: list[Any], targets: Any) -> Any:
        gradients, (E, aux) = mapped(leaves, targets)
        summed = [x if own else x.sum(0) for x, own in zip(gradients, per_example, strict=True)]
        return (E.sum(), [c[:, 0] for c in aux]), summed

    return gradient


@with_unsupported
def forward(error: Error, per_example: Sequence[bool]) -> Callable[..., Any]:
    """``torch.func.jacfwd``: forward mode, one tangent for each coordinate; beyond 256 weights, eight directions."""
    from torch import func

    def gradient(leaves: list[Any], targets: Any) -> Any:
        return error(leaves, targets), func.jacfwd(lambda leaves: error(leaves, targets)[0])(leaves)

    return gradient


def compiled(error: Error, per_example: Sequence[bool]) -> Callable[..., Any]:
    """``torch.compile``: the forward and the backward pass compiled by TorchInductor, anew for every architecture.

    One graph, or several if a function's Python code needs numbers, as in ``gaussian_nll_loss``.
    """
    import torch

    torch._dynamo.config.recompile_limit = MAX_PROGRAMS
    broken = (torch._dynamo.exc.Unsupported, torch._dynamo.exc.UserError)
    programs = [torch.compile(error, fullgraph=full, dynamic=False) for full in (True, False)]

    def gradient(leaves: list[Any], targets: Any) -> Any:
        try:
            try:
                E, aux = programs[0](leaves, targets)
            except broken:
                del programs[:-1]
                E, aux = programs[0](leaves, targets)
            return (E, aux), torch.autograd.grad(E, leaves, allow_unused=True, materialize_grads=True)
        except torch._inductor.exc.InvalidCxxCompiler as missing:
            raise Unsupported("torch.compile needs a C++ compiler: install g++ or clang++") from missing

    return gradient


EAGER_SOURCE = "E, values = error(*leaves, target)\n"
REVERSE_SOURCE = "gradients = torch.autograd.grad(E, leaves, allow_unused=True, materialize_grads=True)"
VMAP_SOURCE = """\
def alone(*leaves_and_target):
    E, values = error(*(x[None] if own else x for x, own in zip(leaves_and_target, each + [True])))
    return E{scale}, values


each = {each}
one_by_one = torch.func.grad_and_value(alone, tuple(range(len(leaves))), has_aux=True)
mapped = torch.func.vmap(one_by_one, tuple(0 if own else None for own in each + [True]))
gradients, (E, values) = mapped(*leaves, target)
E, values = E.sum(), [c[:, 0] for c in values]
gradients = [x if own else x.sum(0) for x, own in zip(gradients, each)]"""
FORWARD_SOURCE = (
    "gradients = torch.func.jacfwd(lambda *leaves: error(*leaves, target)[0], tuple(range(len(leaves))))(*leaves)"
)
COMPILED_SOURCE = "E, values = torch.compile(error, fullgraph=True, dynamic=False)(*leaves, target)\n"


TORCH_CALLS = {
    "torch.nn.functional.layer_norm": "torch.nn.functional.layer_norm(x, x.shape[-1:])",
    "torch.nn.functional.rms_norm": "torch.nn.functional.rms_norm(x, x.shape[-1:])",
    "torch.nn.LayerNorm": "torch.nn.LayerNorm(x.shape[-1], elementwise_affine=False)(x)",
    "torch.nn.RMSNorm": "torch.nn.RMSNorm(x.shape[-1], elementwise_affine=False)(x)",
    "torch.nn.PReLU": "torch.nn.PReLU(dtype=x.dtype)(x)",
    **{
        f"torch.nn.{name}": f"torch.nn.{name}{make}(x.chunk(2, -1)[0], t, x.chunk(2, -1)[1])"
        for name, make in (("functional.gaussian_nll_loss", ""), ("GaussianNLLLoss", "()"))
    },
    **{
        f"torch.nn.{name}": f"torch.nn.{name}{make}(*x.chunk(3, -1))"
        for name, make in (("functional.triplet_margin_loss", ""), ("TripletMarginLoss", "()"))
    },
    **{
        f"torch.nn.{name}": f"torch.nn.{name}{make}(*x.chunk(2, -1), t)"
        for name, make in (("functional.margin_ranking_loss", ""), ("MarginRankingLoss", "()"))
    },
    **{
        f"torch.nn.{name}": f"torch.nn.{name}{make}(*x.chunk(2, -1), t[..., 0])"
        for name, make in (("functional.cosine_embedding_loss", ""), ("CosineEmbeddingLoss", "()"))
    },
}
"""Calls of the functions that need more than their operands, or more operands than an output and a target."""


class ForTorch(Adapter):
    """torch.Tensor on the CPU."""

    name = "torch"
    install = "pip install 'gradagree[torch]'"
    modes = {
        "backward": Mode(backward, source=EAGER_SOURCE + "E.backward()\ngradients = [x.grad for x in leaves]"),
        "grad": Mode(grad, source=EAGER_SOURCE + REVERSE_SOURCE),
        "vmap": Mode(vmap, per_example=True, source=VMAP_SOURCE),
        "forward": Mode(forward, forward=True, source=EAGER_SOURCE + FORWARD_SOURCE),
        "compile": Mode(
            compiled, fused=True, compiles=True, by_default=False, slow=True, source=COMPILED_SOURCE + REVERSE_SOURCE
        ),
    }
    script = ScriptText(
        settings='torch.set_num_threads(1)\ntorch.set_float32_matmul_precision("highest")',
        leaves="leaves = [torch.from_numpy(x).to(torch.{dtype}).requires_grad_() for x in arrays]",
        target="target = torch.from_numpy(target){to}",
        target_dtype=".to(torch.{dtype})",
        setup="",
        tensor="torch.tensor({}, dtype=torch.{})",
        parameter="torch.tensor({}, dtype=p.dtype)",
        scalar="{}.item()",
        ones="along = torch.ones_like(x.detach())",
        unit="along = torch.zeros_like(x.detach())\nalong[..., {}] = 1",
        detached=".detach()",
        requires_gradient=".requires_grad_()",
        modules={"torch": "torch"},
        conversions=("asarray", "as_tensor", "torch.tensor", "split"),
    )
    documented = {("bce", "value"): "documented: the logarithm is clamped at -100"}
    entry_points = {"torch": EntryPoints(("torch.nn.functional", "torch.nn", "torch", "torch.special"), TORCH_CALLS)}
    other_processors = (
        {"ATEN_CPU_CAPABILITY": "default", "MKL_CBWR": "COMPATIBLE", "ONEDNN_MAX_CPU_ISA": "SSE41"},
        {"ATEN_CPU_CAPABILITY": "avx2", "MKL_CBWR": "AVX2", "ONEDNN_MAX_CPU_ISA": "AVX2"},
    )
    training = "backward"
    position = 1
    survey_processes = 2
    pointwise_modes = {
        "value": {
            "eager": PointwiseMode(lengths=True, quick=True, source="found = f(x, *t)"),
            "vmap": PointwiseMode(
                source=("found = torch.func.vmap(lambda row, *ts: f(row[None], *(t[None] for t in ts))[0])(x, *t)")
            ),
            "compile": PointwiseMode(lengths=True, slow=True, source="found = torch.compile(f, dynamic=True)(x, *t)"),
        },
        "slope": {
            "backward": PointwiseMode(
                sums=True,
                lengths=True,
                quick=True,
                source=("y = f(x, *t){k}\ny.backward(torch.ones_like(y))\nfound = x.grad"),
            ),
            "grad": PointwiseMode(
                sums=True, source=("y = f(x, *t){k}\nfound = torch.autograd.grad(y, x, torch.ones_like(y))[0]")
            ),
            "vmap": PointwiseMode(
                source=(
                    "alone = lambda row, *ts: f(row[None], *(t[None] for t in ts)){k}.sum()\n"
                    "found = torch.func.vmap(torch.func.grad(alone))(x.detach(), *t)"
                )
            ),
            "forward": PointwiseMode(
                lengths=True,
                quick=True,
                source="found = torch.func.jvp(lambda x: f(x, *t), (x.detach(),), (along,))[1]",
            ),
            "compile": PointwiseMode(
                sums=True,
                lengths=True,
                slow=True,
                source=(
                    "y = torch.compile(f, dynamic=True)(x, *t){k}\n"
                    "found = torch.autograd.grad(y, x, torch.ones_like(y))[0]"
                ),
            ),
        },
        "second": {
            "reverse-reverse": PointwiseMode(
                sums=True,
                lengths=True,
                quick=True,
                source=(
                    "y = f(x, *t){k}\n"
                    "g = torch.autograd.grad(y, x, torch.ones_like(y), create_graph=True)[0]{j}\n"
                    "found = torch.autograd.grad(g, x, torch.ones_like(g))[0]"
                ),
            ),
            "forward-reverse": PointwiseMode(
                sums=True,
                quick=True,
                source=(
                    "slope = torch.func.grad(lambda x: f(x, *t){k}.sum())\n"
                    "found = torch.func.jvp(slope, (x.detach(),), (along,))[1]"
                ),
            ),
            "reverse-forward": PointwiseMode(
                source=(
                    "slope = lambda x: torch.func.jvp(lambda x: f(x, *t), (x,), (along,))[1]{k}.sum()\n"
                    "found = torch.func.grad(slope)(x.detach())"
                )
            ),
            "forward-forward": PointwiseMode(
                source=(
                    "ahead = lambda x: torch.func.jvp(lambda x: f(x, *t), (x,), (along,))[1]\n"
                    "found = torch.func.jvp(ahead, (x.detach(),), (across,))[1]"
                )
            ),
        },
    }

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
        plain = self.framework.from_numpy(x.copy())
        return plain if x.dtype.kind == "i" else plain.to(getattr(self.framework, dtype)).requires_grad_()

    def pointwise(self) -> Any:
        return TorchPointwise().within(unsupported_functions)

    def constant(self, x: np.ndarray, dtype: str) -> Any:
        return self.array(x, dtype).detach()

    def copy(self, x: Any) -> Any:
        return x.clone()

    def back(self, x: Any) -> np.ndarray:
        return np.asarray(x.detach().to(self.framework.float64).numpy(), dtype=np.float64)

    def apply(self, function: Callable[..., Any], arrays: Sequence[Any], compiled: bool) -> Any:
        with self.framework.no_grad():
            return function(*arrays)

    def jvp(self, function: Callable[[list[Any]], Any], leaves: list[Any], tangents: list[Any]) -> Any:
        with unsupported_functions():
            return self.framework.func.jvp(function, (leaves,), (tangents,))

    def jacobian(self, function: Callable[[list[Any]], Any], leaves: list[Any]) -> Any:
        with unsupported_functions():
            return self.framework.func.jacfwd(function)(leaves)

    def update(self, weights: Sequence[Any], gradients: Sequence[Any], rate: float) -> list[Any]:
        """By ``torch.optim.SGD``."""
        changed = [w.detach().clone().requires_grad_() for w in weights]
        for w, gradient in zip(changed, gradients, strict=True):
            w.grad = gradient.detach().clone()
        self.framework.optim.SGD(changed, lr=rate).step()
        for w in changed:
            w.grad = None
        return changed

    def tapped(self, mode: str, error: Callable[..., Any]) -> Program:
        """In ``backward`` by retained gradients, which leave the graph as it is."""
        return retain_cotangents(error) if mode == "backward" else super().tapped(mode, error)

    def passes_derivative(self, loss: Callable[..., Any], o: Any, x: Any, label: bool) -> bool:
        """Whether autograd has a gradient by x: it has none where x is detached, or a function returns None."""
        operands = [one.detach().clone().requires_grad_() for one in (o, x)]
        return self.framework.autograd.grad(loss(*operands), operands, allow_unused=True)[1] is not None

    def forget(self) -> None:
        """Reset the compiler, if it is imported; nothing else has caches."""
        if "torch._dynamo" in sys.modules:
            self.framework.compiler.reset()


def retain_cotangents(error: Callable[..., Any]) -> Program:
    """The program of ``E.backward()`` with the gradients of the nodes' values retained."""

    def program(leaves: list[Any], targets: Any, _: list[Any]) -> Any:
        values: list[Any] = []

        def tap(c: Any) -> Any:
            c.retain_grad()
            values.append(c)
            return c.clone()

        (E, _), gradients = backward(lambda leaves, targets: (error(leaves, targets, tap), []), ())(leaves, targets)
        return (E, values), gradients, [gradient_at(c) for c in values]

    return program
