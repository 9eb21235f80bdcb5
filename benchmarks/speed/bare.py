"""The bare frameworks on the cases of a run: numbers in, gradients out, no verdict.

`python bare.py torch|jax|packed CASES.npz`; `written` makes the file. Of gradagree, packed uses the programs, no more.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

FUNCTIONS = ("tanh", "relu", "sigmoid", "gelu", "softplus", "elu")
ERRORS = ("sse", "mse", "cross_entropy", "bce_logits")


def written(plan: Any, framework: str, mode: str, path: Path) -> int:
    """Write the cases that one mode of a framework is asked, with their numbers; how many there are."""
    cases, arrays = [], {}
    for number, case in plan.draw_cases():
        if mode in plan.modes_of(framework, number):
            numbers = case.arrays()
            k = len(cases)
            arrays |= {f"{k} inputs": numbers.inputs, f"{k} targets": numbers.targets}
            arrays |= {f"{k} w{i}": w for i, w in enumerate(numbers.weights)}
            arrays |= {f"{k} b{i}": b for i, b in enumerate(numbers.biases) if b is not None}
            names = [activation.name for activation in case.activations]
            cases.append({"functions": names, "error": case.error.name, "boxes": len(numbers.weights)})
    np.savez(path, cases=np.array(json.dumps(cases)), **arrays)
    return len(cases)


def torch_functions() -> dict[str, Any]:
    import torch
    from torch.nn import functional

    return {
        "id": lambda p: p, "tanh": torch.tanh, "relu": torch.relu, "sigmoid": torch.sigmoid, "gelu": functional.gelu,
        "softplus": lambda p: torch.logaddexp(p, p.new_zeros(())), "elu": functional.elu,
        "sse": lambda o, t: ((o - t) ** 2).sum(), "mse": functional.mse_loss, "cross_entropy": functional.cross_entropy,
        "bce_logits": functional.binary_cross_entropy_with_logits,
    }  # fmt: skip


def jax_functions() -> dict[str, Any]:
    import jax
    import jax.numpy as jnp

    def log_loss(o: Any, t: Any) -> Any:
        return jnp.mean(jnp.maximum(o, 0) - o * t + jnp.log1p(jnp.exp(-jnp.abs(o))))

    return {
        "id": lambda p: p, "tanh": jnp.tanh, "relu": jax.nn.relu, "sigmoid": jax.nn.sigmoid,
        "gelu": lambda p: jax.nn.gelu(p, approximate=False), "softplus": jax.nn.softplus, "elu": jax.nn.elu,
        "sse": lambda o, t: ((o - t) ** 2).sum(), "mse": lambda o, t: ((o - t) ** 2).mean(),
        "cross_entropy": lambda o, t: -jnp.mean(jnp.take_along_axis(jax.nn.log_softmax(o), t[:, None], axis=1)),
        "bce_logits": log_loss,
    }  # fmt: skip


def forward(functions: dict[str, Any], case: dict[str, Any], x: Any, weights: Any, biases: Any, t: Any) -> Any:
    for k, name in enumerate(case["functions"]):
        x = functions[name](x)
        if k < case["boxes"]:
            x = x @ weights[k]
            x = x if biases[k] is None else x + biases[k]
    return functions[case["error"]](x, t)


def numbers(data: Any, k: int, case: dict[str, Any]) -> tuple[Any, ...]:
    weights = [data[f"{k} w{i}"] for i in range(case["boxes"])]
    biases = [data.get(f"{k} b{i}") for i in range(case["boxes"])]
    return data[f"{k} inputs"], weights, biases, data[f"{k} targets"]


def by_torch(data: Any, cases: list[dict[str, Any]]) -> None:
    import torch

    torch.set_num_threads(1)
    functions = torch_functions()
    for k, case in enumerate(cases):
        x, weights, biases, t = numbers(data, k, case)
        leaf = lambda a: None if a is None else torch.from_numpy(a).requires_grad_()  # noqa: E731
        x, weights, biases = leaf(x), [leaf(w) for w in weights], [leaf(b) for b in biases]
        forward(functions, case, x, weights, biases, torch.from_numpy(t)).backward()


def by_jax(data: Any, cases: list[dict[str, Any]]) -> None:
    import jax

    jax.config.update("jax_enable_x64", True)
    functions = jax_functions()
    for k, case in enumerate(cases):
        x, weights, biases, t = numbers(data, k, case)
        error = lambda leaves: forward(functions, case, *leaves, t)  # noqa: B023, E731
        jax.block_until_ready(jax.grad(error)((x, weights, biases)))


def by_packed(data: Any, cases: list[dict[str, Any]]) -> None:
    from gradagree.adapters import ForJax, Problem
    from gradagree.reference import Activation, ErrorFunction

    adapter = ForJax()
    with adapter.settings():
        for k, case in enumerate(cases):
            x, weights, biases, t = numbers(data, k, case)
            activations = [Activation.named(name) for name in case["functions"]]
            error = ErrorFunction.named(case["error"])
            adapter.packed.answer(Problem.dense(activations, error, weights, biases, x, t, "float64"))


if __name__ == "__main__":
    with np.load(sys.argv[2]) as file:
        held = {name: file[name] for name in file.files}
    {"torch": by_torch, "jax": by_jax, "packed": by_packed}[sys.argv[1]](held, json.loads(str(held["cases"])))
