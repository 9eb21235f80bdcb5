"""How well variance arithmetic knows the rounding errors: against Monte Carlo arithmetic, and against real frameworks.

For each regime, fresh networks: the standard deviation that variance arithmetic predicts, over that of 400 Monte Carlo
samples, for every entry of every gradient; and torch's and jax's real errors in predicted standard deviations.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from typing import Any

import numpy as np

from benchmarks.montecarlo import Sampled
from gradagree.arithmetic.model import Model, model
from gradagree.arithmetic.variance import Variance
from gradagree.cases.case import Arrays, Case
from gradagree.cases.regimes import Source
from gradagree.checker.statistical import ActivationVariance, LossVariance
from gradagree.reference import backpropagate, network

FUNCTIONS = ("tanh", "sigmoid", "relu", "elu", "softplus", "gelu", "leaky_relu", "hardtanh", "silu", "softsign")
ERRORS = ("sse", "mse", "huber", "bce_logits", "cross_entropy")
WIDTHS = (2, 3, 4, 6, 8, 12)


def fresh(regime: str, seed: int, dtype: str) -> Case:
    """A network of 1 to 5 boxes, small enough for 400 samples."""
    source = Source(f"calibration {regime} {seed}")
    depth = 1 + int(source.integers(5))
    widths = "-".join(str(source.choice(WIDTHS)) for _ in range(depth + 1))
    functions = ",".join(["id", *(source.choice(FUNCTIONS) for _ in range(depth - 1))])
    short = {"float64": "f64", "float32": "f32", "bfloat16": "bf16", "float16": "f16"}[dtype]
    return Case.parse(
        f"{widths}:{functions}:{source.choice(ERRORS)}:n{source.choice((1, 2, 4, 8))}:{short}:{regime}:s{seed}"
    )


def backpropagated(case: Case, arrays: Arrays, stored: Any, probable: bool) -> Iterator[Any]:
    """The outermost sensitivity and every gradient, on arrays that `stored` makes."""
    activations: Any = [ActivationVariance(a) for a in case.activations] if probable else case.activations
    error: Any = LossVariance(case.error) if probable else case.error
    targets = arrays.targets if case.error.targets == "classes" else stored(arrays.targets)
    weights = [stored(w) for w in arrays.weights]
    biases = [None if b is None else stored(b) for b in arrays.biases]
    with np.errstate(all="ignore"):
        answer = backpropagate(network(activations, weights, biases, error, targets), stored(arrays.inputs))
    yield answer.delta_p
    for gradient in answer.gradients:
        yield from (x for x in gradient if x is not None)


def ratios(case: Case, rules: Model) -> np.ndarray:
    """Predicted over sampled standard deviation, of every entry that either gives an error."""
    arrays, random = case.arrays(), np.random.Generator(np.random.PCG64(1))
    predicted = backpropagated(case, arrays, lambda x: Variance.stored(x, rules), True)
    sampled = backpropagated(case, arrays, lambda x: Sampled.stored(x, rules, random), False)
    found = []
    for one, other in zip(predicted, sampled, strict=True):
        drawn = np.broadcast_to(other.deviation, one.shape)
        drawn_at_all = drawn > 1e-3 * rules.u * np.abs(one.value)
        kept = drawn_at_all & np.isfinite(one.deviation)
        found.append(one.deviation[kept] / drawn[kept])
    return np.concatenate([np.ravel(x) for x in found]) if found else np.array([])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--networks", type=int, default=30, help="for each regime")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--regimes", default="ordinary,grid,zeros,saturated,mixed")
    parser.add_argument("--json", help="where to write the figures")
    options = parser.parse_args()
    rules, table = model(options.dtype), {}
    print(f"predicted over sampled standard deviation, {options.networks} fresh networks each, {options.dtype}")
    print(f"{'regime':>10}  {'entries':>8}  {'0.1 %':>6}  {'median':>6}  {'99.9 %':>6}")
    for regime in options.regimes.split(","):
        found = np.concatenate([ratios(fresh(regime, seed, options.dtype), rules) for seed in range(options.networks)])
        low, middle, high = np.quantile(found, (0.001, 0.5, 0.999))
        table[regime] = {"entries": found.size, "low": low, "median": middle, "high": high}
        print(f"{regime:>10}  {found.size:8}  {low:6.2f}  {middle:6.2f}  {high:6.3g}")
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump({"dtype": options.dtype, "networks": options.networks, "ratios": table}, file, indent=1)


if __name__ == "__main__":
    main()
