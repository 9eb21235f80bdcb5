"""False alarms of the tolerances of functions: random graphs that use values many times, computed in the dtype.

Every program rounds each operation's result to the dtype (IEEE 754 in float32, rounded from float32 in 16 bits), so it
is correct; a verdict that fails is a false alarm.

    python -m benchmarks.functions_calibration --dtype bfloat16 --seconds 60
"""

from __future__ import annotations

import argparse
import collections
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from scipy import special

from gradagree.adapters.formats import FORMATS
from gradagree.arithmetic.rounding import round_to_precision
from gradagree.arithmetic.tape import trace
from gradagree.functions.enclosures import expect
from gradagree.functions.judge import ArrayFinding, judge
from gradagree.functions.localize import rungs_of
from gradagree.reference.graph import Graph, Value, combine


def normalise(x: Any) -> Any:
    centred = x - np.mean(x, axis=-1, keepdims=True)
    return centred / np.sqrt(np.mean(centred * centred, axis=-1, keepdims=True) + 1e-5)


def softmax(x: Any) -> Any:
    e = np.exp(x - np.max(x, axis=-1, keepdims=True))
    return e / np.sum(e, axis=-1, keepdims=True)


def repeated(x: Any) -> Any:
    """A sum of equal entries."""
    mean = np.mean(x, axis=-1, keepdims=True)
    return x + 0.1 * np.sum(np.broadcast_to(np.tanh(mean), np.shape(x)), axis=-1, keepdims=True)


UNARY: tuple[Callable[[Any], Any], ...] = (
    np.tanh, special.expit, lambda x: x + x + x, lambda x: x * x - x, normalise, softmax, repeated,
    lambda x: x / (1.0 + np.sum(x * x, axis=-1, keepdims=True)), lambda x: np.sin(x) * x + np.cos(x),
    lambda x: np.exp(0.1 * x), lambda x: np.maximum(x, 0.3 * x), lambda x: np.cumsum(x, axis=-1) * 0.2,
    lambda x: x - np.mean(x, axis=0), lambda x: np.log1p(x * x),
)  # fmt: skip
BINARY: tuple[Callable[[Any, Any], Any], ...] = (
    np.add, np.subtract, np.multiply, lambda x, y: x / (1.0 + y * y), lambda x, y: x * np.tanh(y) + y,
)  # fmt: skip


def random_program(rng: np.random.Generator) -> Callable[..., Any]:
    """A function of x of shape (n, m) and w of shape (m, m)."""
    choices = [(int(rng.integers(3)), rng.integers(1 << 30, size=4)) for _ in range(int(rng.integers(3, 12)))]

    def function(x: Any, w: Any) -> Any:
        known = [x, x @ w]
        for kind, draws in choices:
            first, second = (known[-1 - int(d) % min(3, len(known))] for d in draws[:2])
            if kind == 0:
                known.append(BINARY[draws[2] % len(BINARY)](first, second))
            elif kind == 1 and draws[3] % 4 == 0:
                known.append(first @ w)
            else:
                known.append(UNARY[draws[2] % len(UNARY)](first))
        return known[-1] if choices[0][0] else np.sum(known[-1], axis=0)

    return function


def rounded(x: Any, dtype: str) -> Any:
    if isinstance(x, np.ndarray | np.floating) and np.asarray(x).dtype.kind == "f":
        x = np.asarray(x, dtype=np.float32)
        return x if dtype == "float32" else round_to_precision(x, FORMATS[dtype].precision).astype(np.float32)
    return x


def compute(graph: Graph, inputs: Sequence[Any], cotangents: Sequence[Any], dtype: str) -> tuple[list[Any], list[Any]]:
    """Outputs and gradients of a graph, every result rounded to the dtype."""
    values = [rounded(x, dtype) for x in inputs]
    for step in graph.applications:
        operands = [rounded(x, dtype) for x in graph.operands(step, values)]
        values.append(rounded(step.operation.function(*operands, **step.parameters), dtype))
    parts: list[list[Any]] = [[] for _ in range(graph.size)]
    for output, g in zip(graph.outputs, cotangents, strict=True):
        if isinstance(output, Value):
            parts[output.number].append(rounded(g, dtype))
    for step in reversed(graph.applications):
        g = rounded(combine(parts[step.output.number], None), dtype)
        if g is None or step.operation.vjp is None:
            continue
        operands = [rounded(x, dtype) for x in graph.operands(step, values)]
        given = step.operation.vjp(g, values[step.output.number], *operands, **step.parameters)
        for operand, cotangent in zip(step.operands, given, strict=False):
            if isinstance(operand, Value) and cotangent is not None:
                parts[operand.number].append(rounded(cotangent, dtype))
    gradients = [rounded(combine(parts[k], None), dtype) for k in range(len(inputs))]
    return [rounded(y, dtype) for y in graph.results(values)], gradients


def findings(seed: int, dtype: str) -> list[ArrayFinding]:
    """The findings on the output and the gradients of one random program."""
    rng = np.random.default_rng(seed)
    n, m = int(rng.integers(1, 12)), int(rng.integers(2, 24))
    inputs = [np.asarray(rounded(rng.standard_normal(s), dtype), float) for s in ((n, m), (m, m))]
    inputs[1] = np.asarray(rounded(inputs[1] / np.sqrt(m), dtype), float)
    graph = trace(random_program(rng), *inputs)
    with np.errstate(all="ignore"):
        y = graph.results(graph.evaluate(inputs))[0]
        cotangents = [np.asarray(rounded(rng.standard_normal(np.shape(y)), dtype), float)]
        outputs, gradients = compute(graph, inputs, cotangents, dtype)
    stores = [dtype] * 3
    expected = {rung: expect(graph, inputs, cotangents, rung, dtype, stores) for rung in rungs_of(dtype)}
    found = [judge(np.asarray(outputs[0], float), {r: e[0][0] for r, e in expected.items()}, is_value=True)]
    for k, g in enumerate(gradients):
        rungs = {r: e[1][k] for r, e in expected.items()}
        if g is not None:
            found.append(judge(np.asarray(g, float), rungs))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dtype", default="float32", choices=("float32", "bfloat16", "float16"))
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    counts: collections.Counter[str] = collections.Counter()
    end, seed = time.monotonic() + given.seconds, given.seed
    while time.monotonic() < end:
        for finding in findings(seed, given.dtype):
            counts[finding.verdict.value] += 1
            if finding.verdict.fails:
                print(f"seed {seed}: {finding.verdict.value}, {finding.ratio:.3g} times the tolerance")
        seed += 1
    print(f"{given.dtype}: {seed - given.seed} programs, {dict(counts.most_common())}")


if __name__ == "__main__":
    main()
