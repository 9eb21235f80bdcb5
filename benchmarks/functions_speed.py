"""The time and memory of `assert_grads` with a reference, beside the function's own passes and `gradcheck`.

    OMP_NUM_THREADS=1 python -m benchmarks.functions_speed [--only NAMES] [--dtypes float32] [--rounds N] [--again]

The contestants take turns in one session, on one thread; the times are those of the processor. The results are in
reports/functions-speed.json, the page is docs/functions-speed.md.
"""

from __future__ import annotations

import argparse
import datetime
import fnmatch
import itertools
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.detection.versions import versions
from benchmarks.functions_speed_page import page
from benchmarks.layers import LayerFunction, attention, layer_norm
from benchmarks.speed.timing import told
from gradagree import assert_grads

RESULTS, PAGE = Path("reports/functions-speed.json"), Path("docs/functions-speed.md")
DTYPES = ("float64", "float32", "float16", "bfloat16")
NETWORK = (10, 4, 6, 8, 4)
ROUNDS = 5


def chain(xp: Any, x: Any) -> Any:
    """Four operations on each entry."""
    return xp.tanh(x) * xp.exp(-x) + x


def matmul(xp: Any, x: Any, w: Any) -> Any:  # noqa: ARG001 (the same call for each library)
    return x @ w


def network(xp: Any, x: Any, *weights: Any) -> Any:
    """Dense layers with tanh."""
    for w in weights:
        x = xp.tanh(x @ w)
    return x


LARGE = (
    LayerFunction("elementwise chain", chain, ((1000, 1000),)),
    LayerFunction("layer norm", layer_norm, ((1000, 1000), (1000,), (1000,))),
    LayerFunction("attention", attention, ((16, 256, 64), (16, 256, 64), (16, 256, 64))),
    LayerFunction("matrix product", matmul, ((700, 700), (700, 700))),
)
"""Functions of 1e6 entries; attention has 7.9e5 in its arguments and 1e6 in its scores."""
SMALL = LayerFunction("144 weights", network, ((8, 10), *itertools.pairwise(NETWORK)))


def arguments(layer: LayerFunction, dtype: str) -> list[torch.Tensor]:
    return [torch.tensor(x).to(getattr(torch, dtype)) for x in layer.arguments()]


def in_torch(layer: LayerFunction) -> Callable[..., Any]:
    return lambda *arrays: layer.formula(torch, *arrays)


def own_passes(layer: LayerFunction, args: list[torch.Tensor]) -> Callable[[], object]:
    """The function's own forward and backward pass."""
    function = in_torch(layer)
    seed = torch.randn(function(*args).shape).to(args[0].dtype)

    def passes() -> object:
        inputs = [x.detach().requires_grad_() for x in args]
        return torch.autograd.grad(function(*inputs), inputs, seed)

    return passes


def check(layer: LayerFunction, args: list[torch.Tensor], **options: Any) -> Callable[[], object]:
    return lambda: assert_grads(in_torch(layer), args, reference=layer.numpy, **options)


def gradcheck(layer: LayerFunction, args: list[torch.Tensor], fast: bool) -> Callable[[], object]:
    inputs = [x.detach().requires_grad_() for x in args]
    return lambda: torch.autograd.gradcheck(in_torch(layer), inputs, fast_mode=fast)


def contestants(layer: LayerFunction, dtype: str) -> dict[str, Callable[[], object]]:
    """What is timed, by name."""
    args = arguments(layer, dtype)
    found = {
        "own passes": own_passes(layer, args),
        "assert_grads": check(layer, args),
        "without conditions": check(layer, args, layouts=False, repeat=1),
    }
    if dtype == "float64":
        found["gradcheck, fast"] = gradcheck(layer, args, fast=True)
        if layer is SMALL:
            found["gradcheck"] = gradcheck(layer, args, fast=False)
    return found


def turns(contests: dict[str, Callable[[], object]], rounds: int) -> dict[str, dict[str, Any]]:
    """Seconds of the processor for each contestant, after one round to warm up; they take turns."""
    times: dict[str, list[float]] = {name: [] for name in contests}
    for turn in range(rounds + 1):
        for name, contest in contests.items():
            begun = time.process_time()
            contest()
            if turn:
                times[name].append(time.process_time() - begun)
    return {name: told(taken) for name, taken in times.items()}


def measure(layer: LayerFunction, dtype: str, rounds: int) -> dict[str, Any]:
    """One row: times, and the peak of memory as a multiple of the arrays."""
    times = turns(contestants(layer, dtype), 20 * rounds if layer is SMALL else rounds)
    row = {"function": layer.name, "dtype": dtype, "times": times}
    return row if layer is SMALL else {**row, "memory": memory_of(layer.name, dtype)}


# Memory, in a process of its own.


def memory_of(name: str, dtype: str) -> dict[str, float]:
    """Bytes of the arrays (arguments, outputs, gradients), and of the peak above them, in a child process."""
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.functions_speed", "--memory", name, "--dtypes", dtype]
    return dict(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))


def print_memory(layer: LayerFunction, dtype: str) -> None:
    small = LayerFunction(layer.name, layer.formula, tuple((*(min(n, 4) for n in s),) for s in layer.shapes))
    check(small, arguments(small, dtype))()  # load everything
    args = arguments(layer, dtype)
    output = in_torch(layer)(*args)
    arrays = sum(x.nbytes for x in args) * 2 + output.nbytes
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the peak is reset to what is in use
    before = in_use()
    check(layer, args)()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"arrays": arrays, "peak": max(peak_in_use(), 0) - before, "process": peak}))


def in_use() -> int:
    """Bytes of memory of this process."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")


def peak_in_use() -> int:
    """The largest number of bytes since the last reset."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


def main(options: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.functions_speed", description=__doc__)
    parser.add_argument("--only", default="*", help="names of functions, with * and ?, separated by commas")
    parser.add_argument("--dtypes", default=",".join(DTYPES))
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--again", action="store_true", help="only make the page again, from the JSON")
    parser.add_argument("--memory", help=argparse.SUPPRESS)
    given = parser.parse_args(options)
    torch.set_num_threads(1)
    np.seterr(all="ignore")
    dtypes = given.dtypes.split(",")
    if given.memory:
        print_memory(next(one for one in LARGE if one.name == given.memory), dtypes[0])
        return
    result: dict[str, Any] = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    rows = {(row["function"], row["dtype"]): row for row in result.get("rows", [])}
    patterns = given.only.split(",")
    chosen = [one for one in (SMALL, *LARGE) if any(fnmatch.fnmatch(one.name, pattern) for pattern in patterns)]
    for layer, dtype in [] if given.again else [(layer, dtype) for layer in chosen for dtype in dtypes]:
        row = rows[layer.name, dtype] = measure(layer, dtype, given.rounds)
        own = row["times"]["own passes"]["median"]
        ratios = {name: round(time["median"] / own, 2) for name, time in row["times"].items()}
        print(layer.name, dtype, f"{own * 1e3:.3f} ms", ratios, row.get("memory"), flush=True)
        command = "OMP_NUM_THREADS=1 python -m benchmarks.functions_speed"
        result = {"command": command, "date": f"{datetime.date.today()}", "versions": versions()}
        order = [(one.name, dtype) for one in (SMALL, *LARGE) for dtype in DTYPES]
        result["rows"] = [rows[key] for key in order if key in rows]
        RESULTS.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    PAGE.write_text(page(result), encoding="utf-8")
    print(f"{RESULTS}\n{PAGE}")


if __name__ == "__main__":
    main()
