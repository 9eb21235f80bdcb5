"""References in NumPy, torch or JAX, and what they may return."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import special

from gradagree import assert_grads
from gradagree.api import Disagreement
from gradagree.arithmetic.tape import trace
from gradagree.reference.activations import Gelu

torch = pytest.importorskip("torch")
jax = pytest.importorskip("jax")
jnp = jax.numpy
X, W = np.linspace(-1, 1, 6).reshape(2, 3), np.linspace(-0.7, 0.9, 12).reshape(3, 4)


def in_numpy(x: Any, w: Any) -> Any:
    return special.expit(x @ w)


def in_torch(x: Any, w: Any) -> Any:
    return torch.sigmoid(torch.matmul(x, w))


def in_jax(x: Any, w: Any) -> Any:
    return jax.nn.sigmoid(jnp.matmul(x, w))


def twice(function: Any) -> Any:
    return lambda x, w: function(x, w) * 2


GRAPH = trace(in_numpy, X, W)


@pytest.mark.parametrize(
    "reference", [in_numpy, in_torch, in_jax, GRAPH, None], ids=["np", "torch", "jax", "graph", "own"]
)
@pytest.mark.parametrize("function", [in_torch, in_jax], ids=["torch", "jax"])
def test_that_a_reference_may_be_of_any_library(function: Any, reference: Any) -> None:
    array = torch.tensor if function is in_torch else jnp.asarray
    args = [array(X.astype("float32")), array(W.astype("float32"))]
    assert assert_grads(function, args, reference=reference).verdict.value == "agree"


@pytest.mark.parametrize("reference", [in_numpy, in_torch, in_jax], ids=["np", "torch", "jax"])
@pytest.mark.parametrize("function", [in_torch, in_jax], ids=["torch", "jax"])
def test_that_another_function_differs_from_a_reference_of_any_library(function: Any, reference: Any) -> None:
    array = torch.tensor if function is in_torch else jnp.asarray
    args = [array(X.astype("float32")), array(W.astype("float32"))]
    with pytest.raises(Disagreement, match="value-differs"):
        assert_grads(function, args, reference=twice(reference))


def test_that_an_activation_is_a_reference() -> None:
    x = torch.linspace(-3, 3, 7)
    assert assert_grads(torch.nn.functional.gelu, [x], reference=Gelu()).verdict.value == "agree"
    assert assert_grads(torch.nn.functional.gelu, [x], reference=Gelu).verdict.value == "agree"
    with pytest.raises(Disagreement, match="value-differs"):
        assert_grads(torch.nn.functional.silu, [x], reference=Gelu())


def by_name(x: Any, weight: Any, bias: Any) -> Any:
    return x @ weight.T + bias


def by_dict(x: Any, params: Any) -> Any:
    return x @ params["weight"].T + params["bias"]


@pytest.mark.parametrize(
    "reference", [by_name, by_dict, torch.nn.Linear(3, 2), lambda x, weight, bias: jnp.dot(x, weight.T) + bias]
)
def test_that_a_reference_of_a_module_has_its_parameters(reference: Any) -> None:
    module, x = torch.nn.Linear(3, 2), torch.tensor(X, dtype=torch.float32)
    report = assert_grads(module, [x], reference=reference)
    assert [record.label for record in report.records] == [
        "output",
        *(f"gradient of {name}" for name in ("args[0]", "weight", "bias")),
    ]
    with pytest.raises(Disagreement, match="value-differs"):
        assert_grads(lambda x, weight, bias: module(x) + 0 * (weight.sum() + bias.sum()), [x], reference=by_name,
                     kwargs={"weight": torch.ones(2, 3), "bias": torch.ones(2)})  # fmt: skip


@pytest.mark.parametrize(
    ("reference", "reason"),
    [
        (lambda x, w: in_numpy(x, w).sum(0), r"has shape \(2, 4\), the reference \(4,\)"),
        (lambda x, w: (in_numpy(x, w), x), "the function returns 1 arrays, the reference 2"),
    ],
)
def test_that_another_structure_differs_before_any_gradient(reference: Any, reason: str) -> None:
    args = [torch.tensor(X), torch.tensor(W)]
    with pytest.raises(Disagreement, match=reason) as caught:
        assert_grads(in_torch, args, reference=reference)
    assert [record.verdict.value for record in caught.value.report.records] == ["value-differs"]
