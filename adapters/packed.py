"""jax's ``packed`` mode: every box alone, padded to one shape, in a program that is compiled once for each function.

It exercises jax's derivative rules on every case at the price of none of its shapes: what jax's compiler makes of the
exact shapes, and of boxes one after the other, is what ``grad`` and ``jit`` show. Boxes hand on values and
sensitivities as they are, so it is the derivation's own chain rule that joins them.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from gradagree.adapters.problem import Answer, Problem, Unsupported, share
from gradagree.reference import Activation, ErrorFunction

if TYPE_CHECKING:
    from gradagree.adapters.adapter import Adapter

__all__ = ["EXAMPLES", "WIDTH", "Packed"]

EXAMPLES, WIDTH = 32, 64
"""The shape that everything is padded to."""
MOST = 512
"""Programs that are kept."""


class Packed:
    """The programs of one adapter, by function, dtype and, where a function works on whole rows, width."""

    def __init__(self, adapter: Adapter) -> None:
        self.adapter, self.jax = adapter, adapter.framework
        self._made: dict[Any, Any] = {}

    def answer(self, problem: Problem) -> Answer:
        """The gradient, with taps. Raises Unsupported for what does not fit."""
        fits(problem)
        dtype, n = problem.dtype, problem.inputs.shape[0]
        pad = lambda x, shape: self.adapter.constant(padded(x, shape), dtype)  # noqa: E731
        spare = [None] * (len(problem.activations) - len(problem.weights))
        inputs, boxes = [pad(problem.inputs, (EXAMPLES, WIDTH))], []
        widths, started = [problem.inputs.shape[1]], time.perf_counter()
        for activation, w, b in zip(
            problem.activations, [*problem.weights, *spare], [*problem.biases, *spare], strict=True
        ):
            numbers = (
                pad(np.eye(WIDTH) if w is None else w, (WIDTH, WIDTH)),
                pad(np.zeros(1) if b is None else b, (WIDTH,)),
            )
            box = self.box(activation, dtype, widths[-1])
            size = (n, widths[-1], (activation.width(widths[-1]) or 0) if w is None else w.shape[1])
            boxes.append((box, numbers, size))
            inputs.append(box[0](inputs[-1], *numbers, size))
            widths.append(size[2])
        E, delta = self.error(problem, widths[-1])(inputs[-1])
        sensitivities, gradients = [delta], []
        for p, (box, numbers, size) in zip(reversed(inputs[:-1]), reversed(boxes), strict=True):
            delta, *gradient = box[1](p, *numbers, size, delta)
            sensitivities.append(delta)
            gradients.append(gradient)
        seconds = time.perf_counter() - started
        return self._assembled(problem, widths, E, inputs, sensitivities[::-1], gradients[::-1], seconds)

    def _assembled(
        self, problem: Problem, widths: Any, E: Any, inputs: Any, sensitivities: Any, gradients: Any, seconds: float
    ) -> Answer:
        back, n = self.adapter.back, problem.inputs.shape[0]
        whole = [problem.inputs, *(back(c)[:n, :width] for c, width in zip(inputs[1:], widths[1:], strict=True))]
        deltas = tuple(back(delta)[:n, :width] for delta, width in zip(sensitivities, widths, strict=True))
        weights: list[Any] = [None] * len(gradients)
        biases: list[Any] = [None] * len(gradients)
        for k, (w, b) in enumerate(zip(problem.weights, problem.biases, strict=True)):
            weights[k] = back(gradients[k][0])[: w.shape[0], : w.shape[1]]
            biases[k] = None if b is None else back(gradients[k][1])[: b.shape[0]]
        own = tuple(() for _ in gradients)
        return Answer(float(back(E)), tuple(whole), deltas, tuple(weights), tuple(biases), seconds, activations=own)

    def box(self, activation: Activation, dtype: str, width: int) -> Any:
        """c of (p, w, b, size), and (delta_p, dw, db) of (p, w, b, size, delta_c); size: examples, inputs, outputs."""
        return self._program(
            (activation, dtype, activation.along_last_axis and width), lambda: self._box(activation, width)
        )

    def _box(self, activation: Activation, width: int) -> Any:
        jax, jnp, function = self.jax, self.jax.numpy, self.adapter.spelling(activation)
        rows, columns = np.arange(EXAMPLES)[:, None], np.arange(WIDTH)

        def value(p: Any, w: Any, b: Any, size: Any) -> Any:
            inside = (rows < size[0]) & (columns < size[1])
            p = jnp.where(inside, p, jax.lax.stop_gradient(p[0, 0]))
            if activation.along_last_axis:
                a = function(p[:, :width])
                a = jnp.pad(jnp.where(rows < size[0], a, 0), ((0, 0), (0, WIDTH - a.shape[1])))
            else:
                a = jnp.where(inside, function(p), 0)
            return jnp.where((rows < size[0]) & (columns < size[2]), a @ w + b, 0)

        def pull(p: Any, w: Any, b: Any, size: Any, delta_c: Any) -> Any:
            return jax.vjp(functools.partial(value, size=size), p, w, b)[1](delta_c)

        return jax.jit(value), jax.jit(pull)

    def error(self, problem: Problem, width: int) -> Callable[[Any], Any]:
        """(E, delta_o) of the padded output: each example alone, summed, as far as the error function allows that."""
        error, dtype, t = problem.error, problem.dtype, problem.targets
        n, counts = len(t), share(error, len(t))
        repeated = self.adapter.constant(np.concatenate([t, np.repeat(t[:1], EXAMPLES - n, axis=0)]), dtype)
        scale = self.adapter.constant(np.asarray(counts), dtype)
        program = self._program((error, dtype, width, t.shape[1:]), lambda: self._error(error, width))
        return lambda o: program(o, repeated, scale, n)

    def _error(self, error: ErrorFunction, width: int) -> Any:
        jax, jnp, function = self.jax, self.jax.numpy, self.adapter.spelling(error)
        rows = np.arange(EXAMPLES)

        def alone(o: Any, t: Any) -> Any:
            return function(o[None], t[None])

        def value(o: Any, t: Any, scale: Any, n: Any) -> Any:
            o = jnp.where((rows < n)[:, None], o[:, :width], jax.lax.stop_gradient(o[:1, :width]))
            each = jax.vmap(alone)(o, t)
            return jnp.sum(jnp.where(rows < n, each * scale, 0))

        return jax.jit(jax.value_and_grad(value))

    def _program(self, key: Any, make: Callable[[], Any]) -> Any:
        if key not in self._made:
            if len(self._made) >= MOST:
                self._made.clear()
                self.adapter.forget()
            self._made[key] = make()
        return self._made[key]


def fits(problem: Problem) -> None:
    """Raises Unsupported."""
    widths = [problem.inputs.shape[1], *(w.shape[1] for w in problem.weights)]
    for activation in problem.activations:
        if activation.own_weights:
            raise Unsupported(f"packed: the weights that {activation} has of its own are not packed")
    n = problem.inputs.shape[0]
    if n > EXAMPLES or max(widths) > WIDTH:
        raise Unsupported(f"packed: {n} examples, up to {max(widths)} wide; it holds {EXAMPLES} and {WIDTH}")


def padded(x: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """x in the corner of zeros."""
    whole = np.zeros(shape)
    whole[tuple(slice(0, n) for n in x.shape)] = x
    return whole
