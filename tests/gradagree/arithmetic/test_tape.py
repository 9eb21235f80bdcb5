"""Any NumPy function becomes a graph; the vjp of each primitive is compared with its value in ball arithmetic."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import flint
import numpy as np
import pytest

import gradagree.arithmetic
from gradagree.arithmetic.ball import Ball, precision
from gradagree.arithmetic.model import model
from gradagree.arithmetic.rounded import Rounded
from gradagree.arithmetic.tape import trace
from gradagree.reference.graph import Application, Graph
from gradagree.reference.operations import composites
from gradagree.reference.operations.ordering import top_k
from gradagree.reference.operations.primitive import Primitive
from gradagree.reference.operations.scatter import add_at, put, put_along_axis, scatter_add
from gradagree.reference.operations.windows import convolution, windows

assert gradagree.arithmetic
STEP = flint.arb(2) ** -60
RNG = np.random.default_rng(7)


def normal(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).round(3) + 0.0005


FUNCTIONS: dict[str, tuple[Callable[..., Any], list[np.ndarray]]] = {
    "matmul": (lambda a, b: a @ b, [normal(2, 3, 4), normal(4, 5)]),
    "vector times matrix": (lambda a, b: a @ b, [normal(4), normal(2, 4, 5)]),
    "matrix times vector": (lambda a, b: a @ b, [normal(3, 4), normal(4)]),
    "inner product": (lambda a, b: a @ b, [normal(4), normal(4)]),
    "einsum": (lambda a, b: np.einsum("bij,bkj->bik", a, b), [normal(2, 3, 4), normal(2, 5, 4)]),
    "broadcast": (lambda a, b: a * b + b / a - a, [normal(3, 1), normal(2, 1, 4)]),
    "softmax as one": (lambda x: composites.softmax(x, axis=-1), [normal(3, 4)]),
    "log_softmax as one": (lambda x: composites.log_softmax(x, axis=0), [normal(3, 4)]),
    "softmax": (lambda x: np.exp(x) / np.sum(np.exp(x), axis=-1, keepdims=True), [normal(3, 4)]),
    "prod": (lambda x: np.prod(x, axis=(0, 2)), [normal(2, 3, 4)]),
    "prod with zeros": (lambda x: np.prod(x, axis=0), [np.array([[0.0, 0.0, 1.5], [2.0, 0.0, 3.0]])]),
    "mean and var": (lambda x: np.var(x, axis=1) + np.mean(x, axis=1), [normal(3, 4)]),
    "max": (lambda x: np.max(x, axis=0) - np.min(x, axis=1)[:, None], [normal(3, 4)]),
    "logsumexp": (lambda x: np.logaddexp.reduce(x, axis=-1), [normal(3, 4)]),
    "cumsum": (lambda x: np.cumsum(x, axis=0), [normal(3, 2)]),
    "cumprod": (lambda x: np.cumprod(x, axis=1), [normal(2, 4)]),
    "indexing": (lambda x: x[[0, 2, 0], ::-1] * 2.0, [normal(3, 4)]),
    "take along axis": (lambda x: np.take_along_axis(x, np.array([[0, 0, 1]]), axis=0), [normal(2, 3)]),
    "pad, flip and roll": (lambda x: np.roll(np.flip(np.pad(x, 1), axis=0), 2, axis=1), [normal(2, 3)]),
    "pad with the edge": (lambda x: np.pad(x, 2, mode="edge"), [normal(2, 3)]),
    "concatenate and stack": (
        lambda a, b: np.stack([np.concatenate([a, b], axis=1), np.concatenate([b, a], axis=1)], axis=1),
        [normal(2, 3), normal(2, 1)],
    ),
    "split": (lambda x: np.split(x, 2, axis=1)[0] * np.split(x, 2, axis=1)[1], [normal(2, 4)]),
    "repeat, tile, diagonal": (lambda x: np.diagonal(np.tile(np.repeat(x, 2, axis=0), 2)), [normal(2, 3)]),
    "tril": (lambda x: np.tril(x) @ np.triu(x), [normal(3, 3)]),
    "where": (lambda x, y: np.where(x > y, x * y, np.sin(x)), [normal(3, 4), normal(4)]),
    "clip": (lambda x: np.clip(x, -0.5, 0.5) * x, [normal(3, 4)]),
    "sort": (lambda x: np.sort(x, axis=-1) ** 2, [normal(3, 4)]),
    "power": (lambda x, y: np.abs(x) ** y + x**3 + np.abs(x) ** -2, [normal(4), normal(4)]),
    "maximum": (lambda x, y: np.maximum(x, y) - np.minimum(x, 0.3 * y), [normal(3, 4), normal(4)]),
    "arctan2 and hypot": (lambda x, y: np.arctan2(x, y) * np.hypot(x, y), [normal(4), normal(4)]),
    "norm": (lambda x: np.linalg.norm(x, axis=-1), [normal(3, 4)]),
    "einsum with an ellipsis": (lambda a, b: np.einsum("...ij,...jk", a, b), [normal(2, 2, 3), normal(3, 2)]),
    "einsum of three": (lambda a, b, c: np.einsum("ij,jk,kl->il", a, b, c), [normal(2, 3), normal(3, 4), normal(4, 2)]),
    "einsum with a diagonal": (lambda a, b: np.einsum("iij,j->i", a, b), [normal(3, 3, 2), normal(2)]),
    "einsum by lists": (lambda a, b: np.einsum(a, [0, 1], b, [1, 2], [2, 0]), [normal(2, 3), normal(3, 2)]),
    "einsum, trace": (lambda a: np.einsum("ii", a), [normal(3, 3)]),
    "einsum of length 1": (lambda a, b: np.einsum("bi,bi->b", a, b), [normal(3, 1), normal(3, 4)]),
    "tensordot": (lambda a, b: np.tensordot(a, b, ([0, -1], [1, 0])), [normal(2, 3, 4), normal(4, 2)]),
    "cumulative max": (lambda x: np.maximum.accumulate(x, axis=1), [normal(3, 5)]),
    "cumulative min": (lambda x: np.minimum.accumulate(x, axis=0) * 2, [normal(3, 5)]),
    "cumulative logsumexp": (lambda x: np.logaddexp.accumulate(x, axis=-1), [normal(2, 4)]),
    "cumulative sum of all": (lambda x: np.cumsum(x) * np.cumprod(x), [normal(2, 2)]),
    "std and median": (lambda x: np.std(x, axis=(0, 2), ddof=1) + np.median(x, axis=(0, -1)), [normal(2, 3, 2)]),
    "norm of order 4": (lambda x: np.linalg.norm(x, 4, axis=0), [normal(3, 2)]),
    "top k": (lambda x: top_k(x, 2, axis=0) * top_k(x, 2, axis=0, largest=False), [normal(4, 2)]),
    "partition": (lambda x: np.partition(x, 1, axis=0)[0], [normal(4, 2)]),
    "put": (lambda x, v: put(x, (slice(None), [0, 2, 0]), v) ** 2, [normal(2, 3), normal(2, 3)]),
    "put a number": (lambda x, v: put(x, np.eye(3) > 0, v) ** 2, [normal(3, 3), normal(1)]),
    "add at": (lambda x, v: add_at(x, [0, 2, 0], v) ** 2, [normal(3, 2), normal(3, 1)]),
    "put along axis": (lambda x, v: put_along_axis(x, np.array([[1], [0]]), v, 1), [normal(2, 3), normal(2, 1)]),
    "scatter": (lambda x: scatter_add(x, np.array([3, -1, 0, 3, 3]), (2, 3)) ** 2, [normal(5)]),
    "pad by reflection": (lambda x: np.pad(x, ((1, 2), (0, 1)), mode="reflect") ** 2, [normal(3, 3)]),
    "pad around": (lambda x: np.pad(x, 2, mode="wrap") + np.pad(x, 2, mode="symmetric"), [normal(3)]),
    "pad with numbers": (lambda x: np.pad(x, 1, constant_values=((1.0, 2.0), (3.0, 4.0))) ** 2, [normal(2, 2)]),
    "sliding windows": (lambda x: np.max(np.lib.stride_tricks.sliding_window_view(x, 3), axis=-1), [normal(6)]),
    "windows": (lambda x: np.mean(windows(x, (2, 2), (1, 2), (2, 1)), axis=(-2, -1)), [normal(2, 4, 5)]),
    "convolution": (
        lambda x, w: convolution(x, w, (2, 1), ((1, 0), (1, -1)), (1, 2), groups=2),
        [normal(2, 4, 5, 5), normal(4, 2, 2, 2)],
    ),
    "transposed convolution": (
        lambda x, w: convolution(x, w, (1,), ((1, 2),), (1,), gaps=(2,)), [normal(1, 2, 3), normal(3, 2, 2)],
    ),
    "methods": (lambda x: x.T.reshape(2, -1).sum(axis=0).mean() + x.max(), [normal(3, 4)]),
}  # fmt: skip


def difference(function: Callable[..., Any], inputs: list[np.ndarray], directions: list[np.ndarray]) -> Any:
    """The derivative along a direction, by a central difference of 300 bits."""
    ends = []
    for sign in (1, -1):
        moved = [
            Ball(Ball.exact(x).balls + sign * STEP * Ball.exact(d).balls)
            for x, d in zip(inputs, directions, strict=True)
        ]
        ends.append(function(*moved))
    return (ends[0] - ends[1]) / Ball(2 * STEP)


def errors_of_vjp(function: Callable[..., Any], inputs: list[np.ndarray], graph: Graph | None = None) -> float:
    """The error of <cotangent, df(direction)> = <vjp(cotangent), direction>, relative to the sum of its terms."""
    graph = graph or trace(function, *inputs)
    directions = [normal(*x.shape) for x in inputs]
    with precision(300):
        values = graph.evaluate([Ball.exact(x) for x in inputs])
        (output,) = graph.results(values)
        g = normal(*output.shape)
        cotangents = graph.vjp(values, [Ball.exact(g)])
        forward = np.sum(difference(function, inputs, directions) * g)
        backward = [np.sum(c * d) for c, d in zip(cotangents, directions, strict=True) if c is not None]
        size = sum(float(np.sum(np.abs(c * d)).middle) for c, d in zip(cotangents, directions, strict=True))
        return abs(float((forward - sum(backward)).middle)) / max(size, 1e-300)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_that_a_graph_has_the_derivative_of_its_function(name: str) -> None:
    function, inputs = FUNCTIONS[name]
    graph = trace(function, *inputs)
    values = graph.evaluate(inputs)
    assert np.allclose(graph.results(values)[0], function(*inputs), rtol=1e-14)
    assert errors_of_vjp(function, inputs, graph) < 1e-25
    narrow = model("float32")
    lifted = graph.evaluate([Rounded.stored(x, narrow) for x in inputs])
    rounded = graph.vjp(lifted, [Rounded.stored(np.ones(np.shape(values[-1])), narrow)])
    exact = graph.vjp(values, [np.ones(np.shape(values[-1]))])
    for one, other in zip(rounded, exact, strict=True):
        assert np.allclose(one.value, other, rtol=1e-12)


def test_that_a_wrong_vjp_is_found() -> None:
    graph = trace(lambda a, b: np.sum(np.tanh(a @ b), axis=0), normal(3, 4), normal(4, 5))
    wrong = Primitive("tanh", np.tanh, lambda g, y, x: (g * (1 + y * y),))
    broken = [a._replace(operation=wrong) if a.operation.name == "tanh" else a for a in graph.applications]
    assert isinstance(broken[1], Application)
    inputs = [normal(3, 4), normal(4, 5)]
    function = lambda a, b: np.sum(np.tanh(a @ b), axis=0)  # noqa: E731
    assert errors_of_vjp(function, inputs, Graph(graph.inputs, broken, graph.outputs)) > 1e-3
    assert errors_of_vjp(function, inputs, graph) < 1e-25


def test_that_ties_admit_every_share_of_the_cotangent() -> None:
    x = Rounded.stored(np.array([1.0, 1.0, 0.5]), model("float32"))
    graph = trace(lambda x: np.max(x, axis=0), x.value)
    (found,) = graph.vjp(graph.evaluate([x]), [Rounded.stored(1.0, x.model)])
    for admissible in ([1.0, 0.0, 0.0], [0.5, 0.5, 0.0], [0.0, 1.0, 0.0]):
        assert np.all(np.abs(np.array(admissible) - found.value) <= found.radius)
    assert abs(1.5 - found.value[0]) > found.radius[0]
    assert found.radius[2] == 0


def test_that_a_branch_is_recorded_as_taken() -> None:
    def function(x: Any) -> Any:
        return np.exp(x) if np.sum(x) > 0 else x

    assert [a.operation.name for a in trace(function, np.ones(2)).applications][-1] == "exp"
    assert [a.operation.name for a in trace(function, -np.ones(2)).applications][-1] == "greater"


def test_that_the_place_of_each_operation_is_known() -> None:
    (application,) = trace(np.tanh, np.ones(2)).applications
    assert "test_tape.py" not in application.place or application.place
    (application,) = trace(lambda x: np.tanh(x), np.ones(2)).applications
    assert "test_tape.py:" in application.place
