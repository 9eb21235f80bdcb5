"""How sharp a verdict is: the tolerance over the largest entry, by dtype and depth, from torch's own gradients."""

from __future__ import annotations

import numpy as np

from gradagree.adapters.for_torch import ForTorch
from gradagree.arithmetic.model import model
from gradagree.cases.case import Case, problem_of
from gradagree.cases.regimes import Source
from gradagree.checker.response import handshake
from gradagree.checker.reverse import check

DEPTHS = (1, 2, 3, 5, 10, 20)
DTYPES = ("float64", "float32")
FUNCTIONS = ("tanh", "relu", "gelu", "softplus")
NETWORKS = 25
WIDTH = 16


def networks(depth: int, dtype: str) -> list[Case]:
    """Networks of so many boxes, 16 wide, 8 examples."""
    made = []
    for seed in range(NETWORKS):
        source = Source(f"sharpness {depth} {seed}")
        functions = ",".join(["id", *(source.choice(FUNCTIONS) for _ in range(depth - 1))])
        widths = "-".join([str(WIDTH)] * (depth + 1))
        short = {"float64": "f64", "float32": "f32"}[dtype]
        made.append(Case.parse(f"{widths}:{functions}:mse:n8:{short}:ordinary:s{seed}"))
    return made


def sharpness(adapter: ForTorch, dtype: str, depth: int) -> list[float]:
    """The tolerance over the largest entry of every gradient array of every box."""
    probes = handshake(adapter).probes[dtype]
    rules = model(dtype, probes["accumulator"], probes["flushes"])
    found = []
    for case in networks(depth, dtype):
        arrays = case.arrays()
        tapped, _ = adapter.answers(problem_of(case, arrays), "backward")
        found += [c.sharpness for c in check(case, arrays, tapped, rules) if c.is_gradient]
    return found


def main() -> None:
    adapter = ForTorch()
    print(f"tolerance over largest entry, median (95 %), {NETWORKS} networks each, torch {adapter.version}")
    print("depth  " + "  ".join(f"{dtype:>20}" for dtype in DTYPES))
    for depth in DEPTHS:
        cells = []
        for dtype in DTYPES:
            values = sharpness(adapter, dtype, depth)
            cells.append(f"{np.median(values):9.1e} ({np.quantile(values, 0.95):.1e})")
        print(f"{depth:5}  " + "  ".join(f"{cell:>20}" for cell in cells))


if __name__ == "__main__":
    main()
