"""How a function gets a pull of one's own in torch, jax and HIPS autograd, each by the framework's documented means."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from gradagree.adapters.for_jax import ForJax
from gradagree.adapters.for_torch import ForTorch
from gradagree.adapters.problem import Problem

Function = Callable[..., Any]


class Planting(ABC):
    """One framework: its arrays, its own pull of a function, and functions with another pull."""

    name: str

    @abstractmethod
    def pulled(self, honest: Function, given: Sequence[Any], delta: Any) -> tuple[Any, ...]:
        """What the framework's reverse mode makes of delta, for each of the arrays given."""

    @abstractmethod
    def operation(self, honest: Function, pull: Function) -> Function:
        """The honest function, whose reverse mode is pull(delta, *given)."""

    @abstractmethod
    def constant(self, x: np.ndarray, like: Any) -> Any:
        """x in the dtype of another array."""

    @abstractmethod
    def numbers(self, problem: Problem) -> tuple[list[Any], Any]:
        """The leaves (inputs, weights, biases) and the targets."""

    @abstractmethod
    def implementation(self, function: Any) -> Function:
        """The framework's own form of an activation or error function."""


class _Adapted(Planting):
    """A framework that gradagree has an adapter for."""

    def __init__(self, adapter: Any) -> None:
        self.adapter, self.name, self.framework = adapter, adapter.name, adapter.framework

    def numbers(self, problem: Problem) -> tuple[list[Any], Any]:
        leaves, targets, _ = self.adapter.operands(problem)
        return leaves, targets

    def implementation(self, function: Any) -> Function:
        return self.adapter.implementation(function)


class InTorch(_Adapted):
    """By ``torch.autograd.Function``."""

    def __init__(self) -> None:
        super().__init__(ForTorch())

    def pulled(self, honest: Function, given: Sequence[Any], delta: Any) -> tuple[Any, ...]:
        with self.framework.enable_grad():
            fresh = [x.detach().requires_grad_() for x in given]
            return self.framework.autograd.grad(honest(*fresh), fresh, delta)

    def operation(self, honest: Function, pull: Function) -> Function:
        class Planted(self.framework.autograd.Function):
            @staticmethod
            def forward(ctx: Any, *given: Any) -> Any:
                ctx.save_for_backward(*given)
                return honest(*given)

            @staticmethod
            def backward(ctx: Any, delta: Any) -> Any:
                return pull(delta, *ctx.saved_tensors)

        return Planted.apply

    def constant(self, x: np.ndarray, like: Any) -> Any:
        return self.framework.as_tensor(x).to(like.dtype)


class InJax(_Adapted):
    """By ``jax.custom_vjp``."""

    def __init__(self) -> None:
        super().__init__(ForJax())

    def pulled(self, honest: Function, given: Sequence[Any], delta: Any) -> tuple[Any, ...]:
        return self.framework.vjp(honest, *given)[1](delta)

    def operation(self, honest: Function, pull: Function) -> Function:
        planted = self.framework.custom_vjp(honest)
        planted.defvjp(lambda *given: (honest(*given), given), lambda given, delta: pull(delta, *given))
        return planted

    def constant(self, x: np.ndarray, like: Any) -> Any:
        return self.framework.numpy.asarray(x).astype(like.dtype)


class InJaxForward(InJax):
    """By ``jax.custom_jvp``, which forward mode needs: the push is the transpose of the faulty pull."""

    def operation(self, honest: Function, pull: Function) -> Function:
        jax = self.framework
        planted = jax.custom_jvp(honest)

        @planted.defjvp
        def push(given: Any, tangents: Any) -> Any:
            shape = jax.eval_shape(honest, *given)
            (tangent,) = jax.linear_transpose(lambda delta: pull(delta, *given), shape)(tuple(tangents))
            return honest(*given), tangent

        return planted


class InAutograd(Planting):
    """HIPS autograd, by ``primitive`` and ``defvjp_argnums``. It has no bfloat16."""

    name = "autograd"

    def __init__(self) -> None:
        import autograd.extend
        import autograd.numpy
        import autograd.scipy.special

        self.framework, self.numpy, self.special = autograd, autograd.numpy, autograd.scipy.special

    def pulled(self, honest: Function, given: Sequence[Any], delta: Any) -> tuple[Any, ...]:
        pull, _ = self.framework.make_vjp(honest, argnum=tuple(range(len(given))))(*given)
        return pull(delta)

    def operation(self, honest: Function, pull: Function) -> Function:
        planted = self.framework.extend.primitive(lambda *given: honest(*given))

        def vjp(argnums: Sequence[int], _answer: Any, given: Any, _keywords: Any) -> Function:
            return lambda delta: tuple(pull(delta, *given)[k] for k in argnums)

        self.framework.extend.defvjp_argnums(planted, vjp)
        return planted

    def constant(self, x: np.ndarray, like: Any) -> Any:
        return x.astype(like.dtype)

    def numbers(self, problem: Problem) -> tuple[list[Any], Any]:
        arrays = [problem.inputs, *problem.weights, *problem.biases, problem.targets]
        *leaves, targets = [np.asarray(x).astype(problem.dtype) for x in arrays]
        return leaves, targets

    def implementation(self, function: Any) -> Function:
        np, erf = self.numpy, self.special.erf
        return {
            "id": lambda p: p,
            "tanh": np.tanh,
            "softplus": lambda p: np.logaddexp(p, 0),
            "gelu": lambda p: p * 0.5 * (1 + erf(p / 2**0.5)),
            "relu": lambda p: np.maximum(p, 0),
            "sse": lambda o, t: np.sum((o - t) ** 2),
        }[str(function)]
