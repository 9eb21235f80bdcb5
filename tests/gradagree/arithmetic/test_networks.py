"""The graph of a network has the gradients of backpropagation through its boxes, whose vjps are written by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gradagree.arithmetic import Rounded
from gradagree.arithmetic.model import model
from gradagree.arithmetic.networks import network_graph, network_inputs
from gradagree.reference import Activation, Box, ErrorFunction, backpropagate, network
from gradagree.reference.graph import INPUTS, TARGETS, nodes

EXAMPLES, FORM = 4, model("float64")
TEXTS = {
    "one box": ([3, 2], "tanh", "sse", True),
    "classic": ([10, 4, 6, 8, 4], "id,tanh,tanh,tanh", "sse", False),
    "deep": ([5] * 9, "gelu,silu,softplus,elu,tanh,sigmoid,id,softsign", "mse", True),
    "classes": ([4, 7, 3], "relu,tanh", "cross_entropy", True),
    "bits": ([4, 1, 2], "id,silu", "bce_logits", True),
    "output activation": ([4, 3], "tanh,softmax", "mse", True),
    "rows": ([4, 4, 3], "softmax,log_softmax", "huber", False),
    "parameters": ([4, 4, 3], "prelu,prelu", "sse", True),
}


def built_in(base: Any) -> list[str]:
    return sorted(n for n, kind in base.catalogue.items() if kind.__module__.startswith("gradagree.reference"))


def numbers(rng: np.random.Generator, domain: str, *shape: int) -> np.ndarray:
    x = rng.uniform(0.1, 0.9, shape)
    if domain in ("simplex", "log_simplex"):
        x = x / np.sum(x, axis=-1, keepdims=True)
        return np.log(x) if domain == "log_simplex" else x
    return rng.standard_normal(shape) if domain == "real" else x


def targets(rng: np.random.Generator, error: ErrorFunction, n: int) -> np.ndarray:
    m = error.width(n)
    assert m is not None
    if error.targets == "classes":
        return rng.integers(0, n, EXAMPLES)
    if error.targets in ("bits", "signs"):
        bits = rng.integers(0, 2, (EXAMPLES, m))
        return (bits if error.targets == "bits" else 2 * bits - 1).astype(float)
    return numbers(rng, error.targets, EXAMPLES, m)


def made(widths: list[int], activations: list[Activation], error: ErrorFunction, biased: bool) -> tuple[Box, Any]:
    rng = np.random.default_rng(len(widths))
    p = numbers(rng, activations[0].domain, EXAMPLES, widths[0])
    inside = [a.width(n) or n for a, n in zip(activations, widths, strict=False)]
    weights = [rng.standard_normal((n, m)) for n, m in zip(inside, widths[1:], strict=False)]
    biases = [rng.standard_normal(m) if biased else None for m in widths[1:]]
    last = activations[-1].width(widths[-1]) if len(activations) == len(widths) else widths[-1]
    return network(activations, weights, biases, error, targets(rng, error, last or widths[-1]), 0.5), p


def assert_equal_gradients(box: Box, p: Any) -> None:
    """The gradients of the boxes lie within the error bounds of the graph's, for any correct program in float64."""
    graph, given = network_graph(box, p), network_inputs(box, p)
    values = graph.evaluate([Rounded.stored(x, FORM) for x in given.values()])
    found = dict(zip(graph.inputs, graph.vjp(values, [Rounded.stored(1.0, FORM)]), strict=True))
    answer = backpropagate(box, p)
    (loss,) = graph.results(values)
    assert abs(loss.value - answer.E) <= loss.radius
    expected = {INPUTS: answer.delta_p}
    for node, gradient, own in zip(nodes(box), answer.gradients, answer.activations, strict=False):
        arrays = {"w": gradient.w, "b": gradient.b, **own}
        expected.update({array: arrays[name.removeprefix("A.")] for name, array in node.parameters.items()})
    for name, x in expected.items():
        value, radius = (np.broadcast_to(getattr(found[name], part, 0.0), x.shape) for part in ("value", "radius"))
        assert np.all(np.abs(value - x) <= radius), name
        assert np.max(radius) <= 1e-10 * max(np.max(np.abs(x)), loss.value), name


@pytest.mark.parametrize("name", TEXTS)
def test_that_the_graph_of_a_network_has_the_gradients_of_its_boxes(name: str) -> None:
    widths, texts, error, biased = TEXTS[name]
    activations = [Activation.named(text) for text in texts.split(",")]
    assert_equal_gradients(*made(widths, activations, ErrorFunction.named(error), biased))


@pytest.mark.parametrize("name", built_in(Activation))
def test_that_every_activation_has_the_vjp_of_its_value(name: str) -> None:
    activation = Activation.named(name)
    width = next(n for n in (4, 5, 6, 8, 3, 2, 1) if activation.width(n) is not None)
    assert_equal_gradients(*made([width, 2], [activation], ErrorFunction.named("sse"), True))


@pytest.mark.parametrize("name", built_in(ErrorFunction))
def test_that_every_loss_has_the_vjp_of_its_value(name: str) -> None:
    error = ErrorFunction.named(name)
    width = next(n for n in (3, 4, 6) if error.width(n) is not None)
    rng = np.random.default_rng(1)
    o = numbers(rng, error.domain, EXAMPLES, width)
    box = network([Activation.named("id")], [], [], error, targets(rng, error, width))
    assert_equal_gradients(box, o)


def test_that_a_wrong_sensitivity_is_found() -> None:
    class Wrong(type(Activation.named("tanh"))):  # type: ignore[misc]
        name = "tanh_with_wrong_derivative"

        def derivative(self, p: Any) -> Any:
            return super().derivative(p) * (1 + 1e-9)

    try:
        with pytest.raises(AssertionError):
            assert_equal_gradients(*made([3, 2], [Wrong()], ErrorFunction.named("sse"), True))
    finally:
        del Activation.catalogue[Wrong.name]


def test_that_targets_have_their_gradient() -> None:
    box, p = made([3, 2], [Activation.named("tanh")], ErrorFunction.named("sse"), True)
    graph, given = network_graph(box, p), network_inputs(box, p)
    values = graph.evaluate(list(given.values()))
    found = dict(zip(graph.inputs, graph.vjp(values, [np.ones(())]), strict=True))
    assert np.allclose(found[TARGETS], 0.5 * -2 * (box.weigh(p) - given[TARGETS]))
