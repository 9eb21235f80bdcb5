"""The smallest fault in one gradient that `assert_grads` finds in functions of today's networks, beside other checks.

    OMP_NUM_THREADS=1 python -m benchmarks.dropins [--only NAMES] [--dtypes float32,bfloat16] [--again]

A fault is a factor 1 + eps in the gradient of one argument, or eps added to one entry of it. The other checks are
`torch.autograd.gradcheck`, `jax.test_util.check_grads`, and the rule "at most twice the error of low-precision math" of
the tests of attention kernels. The results are in reports/functions-detection.json, the page is
docs/functions-detection.md.
"""

from __future__ import annotations

import argparse
import datetime
import fnmatch
import json
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import jax.test_util
import numpy as np
import torch
from torch.nn import functional

from benchmarks.detection.versions import versions
from benchmarks.dropins_page import page
from benchmarks.layers import FUNCTIONS, LayerFunction
from gradagree import assert_grads
from gradagree.functions.records import Disagreement

RESULTS, PAGE = Path("reports/functions-detection.json"), Path("docs/functions-detection.md")
DTYPES = ("float64", "float32", "float16", "bfloat16")
NARROW = ("float16", "bfloat16")
KINDS = ("factor", "entry")
LARGEST, SMALLEST = 4, -53
"""Binary exponents of the largest and the smallest eps."""
COTANGENTS = 20240607


@dataclass(frozen=True)
class Fault:
    """A fault in the gradient of one argument.

    Args:
        argument: The argument.
        kind: ``"factor"``: the gradient times 1 + eps; ``"entry"``: eps times its largest entry, added to the entry in
            the middle.
        eps: The size, relative to the gradient or to its largest entry.
    """

    argument: int
    kind: str
    eps: float

    @property
    def by_kind(self) -> tuple[float, float]:
        """The factor less 1, and what is added to the entry in the middle, in units of the largest entry."""
        return (self.eps, 0.0) if self.kind == "factor" else (0.0, self.eps)


NO_FAULT = Fault(0, "factor", 0.0)


class PlantedInTorch(torch.autograd.Function):
    """The identity, with a fault in its backward pass."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, fault: Fault) -> torch.Tensor:
        ctx.fault = fault
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, g: torch.Tensor) -> tuple[torch.Tensor, None]:
        factor, added = ctx.fault.by_kind
        found = g.double().flatten() * (1 + factor)
        found[found.numel() // 2] += added * g.abs().max()
        return found.reshape(g.shape).to(g.dtype), None


@jax.custom_vjp
def planted_in_jax(x: Any, factor: float, added: float) -> Any:  # noqa: ARG001 (for the backward pass)
    """The identity, with a fault in its backward pass."""
    return x


def faulty_backward(residual: tuple[Any, Any], g: Any) -> tuple[Any, None, None]:
    factor, added = residual
    found = g.astype(jnp.float64).ravel() * (1 + factor)
    found = found.at[found.size // 2].add(added * jnp.abs(g).max())
    return found.reshape(g.shape).astype(g.dtype), None, None


planted_in_jax.defvjp(lambda x, factor, added: (x, (factor, added)), faulty_backward)


def wide(layer: LayerFunction, library: Any, arrays: Sequence[Any], dtype: str) -> Any:
    """A kernel: computed in float32 where the arrays have 16 bits, and rounded at the end."""
    if dtype not in NARROW:
        return layer.formula(library, *arrays)
    cast = (lambda x, d: x.to(getattr(torch, d))) if library is torch else (lambda x, d: x.astype(d))
    found = layer.formula(library, *(cast(x, "float32") for x in arrays))
    return tuple(cast(y, dtype) for y in found) if isinstance(found, tuple) else cast(found, dtype)


def in_torch(layer: LayerFunction, dtype: str, fault: Fault) -> Callable[..., Any]:
    """The kernel of torch with a fault."""

    def kernel(*arrays: Any) -> Any:
        given = list(arrays)
        given[fault.argument] = PlantedInTorch.apply(given[fault.argument], fault)
        return wide(layer, torch, given, dtype)

    return kernel


def in_jax(layer: LayerFunction, dtype: str, fault: Fault) -> Callable[..., Any]:
    """The kernel of jax with a fault."""

    def kernel(*arrays: Any) -> Any:
        given = list(arrays)
        given[fault.argument] = planted_in_jax(given[fault.argument], *fault.by_kind)
        return wide(layer, jnp, given, dtype)

    return kernel


def torch_arrays(layer: LayerFunction, dtype: str, seed: int = 0) -> list[torch.Tensor]:
    return [torch.tensor(x).to(getattr(torch, dtype)) for x in layer.arguments(seed)]


def jax_arrays(layer: LayerFunction, dtype: str, seed: int = 0) -> list[Any]:
    return [jnp.asarray(x, dtype) for x in layer.arguments(seed)]


# The checks: True if they accuse a function of torch or jax.


def by_assert_grads(kernel: Any, layer: LayerFunction, arrays: Sequence[Any], arithmetic: str = "auto") -> bool:
    try:
        assert_grads(kernel, arrays, reference=layer.numpy, arithmetic=arithmetic)
    except Disagreement:
        return True
    return False


def by_assert_grads_wide(kernel: Any, layer: LayerFunction, arrays: Sequence[Any]) -> bool:
    return by_assert_grads(kernel, layer, arrays, "wide")


def by_gradcheck(kernel: Any, _: LayerFunction, arrays: Sequence[Any], fast: bool = False) -> bool:
    inputs = [x.detach().requires_grad_() for x in arrays]
    return not torch.autograd.gradcheck(kernel, inputs, raise_exception=False, fast_mode=fast)


def by_fast_gradcheck(kernel: Any, layer: LayerFunction, arrays: Sequence[Any]) -> bool:
    return by_gradcheck(kernel, layer, arrays, fast=True)


def by_check_grads(kernel: Any, _: LayerFunction, arrays: Sequence[Any]) -> bool:
    try:
        jax.test_util.check_grads(kernel, tuple(arrays), order=1, modes=("rev",))
    except AssertionError:
        return True
    return False


def by_twice_the_error(kernel: Any, layer: LayerFunction, arrays: Sequence[Any]) -> bool:
    """The largest error of a value or gradient against a wider dtype, over twice that of the plain program."""
    dtype = arrays[0].dtype
    above = torch.float64 if dtype == torch.float32 else torch.float32
    plain = lambda *given: layer.formula(torch, *given)  # noqa: E731
    exact = values_and_gradients(plain, [x.to(above) for x in arrays], dtype)
    found, usual = (values_and_gradients(f, arrays, dtype) for f in (kernel, plain))
    error = [[float((a.to(above) - e).abs().max()) for a, e in zip(one, exact, strict=True)] for one in (found, usual)]
    return any(own > 2 * plain for own, plain in zip(*error, strict=True))


def values_and_gradients(function: Any, arrays: Sequence[torch.Tensor], dtype: torch.dtype) -> list[torch.Tensor]:
    """Outputs and gradients, for random cotangents that are numbers of the dtype."""
    inputs = [x.detach().requires_grad_() for x in arrays]
    outputs = function(*inputs)
    outputs = outputs if isinstance(outputs, tuple) else (outputs,)
    rng = np.random.default_rng(COTANGENTS)
    seeds = [torch.tensor(rng.standard_normal(tuple(y.shape))).to(dtype).to(y.dtype) for y in outputs]
    return [y.detach() for y in outputs] + list(torch.autograd.grad(outputs, inputs, seeds))


Check = Callable[[Any, LayerFunction, Sequence[Any]], bool]


@dataclass(frozen=True)
class Tool:
    """A check, with the framework and the dtypes that it is for, and the sets of numbers for correct programs."""

    name: str
    check: Check
    is_jax: bool = False
    dtypes: tuple[str, ...] = DTYPES
    seeds: int = 5

    def accuses(self, layer: LayerFunction, dtype: str, fault: Fault, seed: int = 0) -> bool:
        """True if the check fails for the kernel with a fault."""
        make, arrays = (in_jax, jax_arrays) if self.is_jax else (in_torch, torch_arrays)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return self.check(make(layer, dtype, fault), layer, arrays(layer, dtype, seed))

    def accuses_plain(self, layer: LayerFunction, dtype: str, seed: int, other: Any = None) -> bool:
        """True if the check fails for a correct program: the formula in the dtype, or another one."""
        library, arrays = (jnp, jax_arrays) if self.is_jax else (torch, torch_arrays)
        program = other or (lambda *given: layer.formula(library, *given))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return self.check(program, layer, arrays(layer, dtype, seed))


TOOLS = (
    Tool("assert_grads, torch", by_assert_grads),
    Tool("assert_grads, torch, wide", by_assert_grads_wide, dtypes=NARROW),
    Tool("assert_grads, jax", by_assert_grads, is_jax=True),
    Tool("gradcheck", by_gradcheck, dtypes=("float64",)),
    Tool("gradcheck, fast", by_fast_gradcheck, dtypes=("float64",)),
    Tool("check_grads", by_check_grads, is_jax=True),
    Tool("twice the error", by_twice_the_error, dtypes=("float32", *NARROW)),
)

OWN: dict[str, Callable[..., Any]] = {
    "attention": lambda q, k, v: functional.scaled_dot_product_attention(q, k, v),
    "layer norm": lambda x, w, b: functional.layer_norm(x, x.shape[-1:], w, b),
    "RMS norm": lambda x, w: functional.rms_norm(x, x.shape[-1:], w, 1e-6),
    "SwiGLU": lambda x, gate, up: functional.silu(x @ gate) * (x @ up),
    "cross-entropy": lambda x: functional.cross_entropy(x, torch.arange(len(x)) % x.shape[-1]),
    "convolution": functional.conv2d,
    "LSTM cell": lambda x, h, c, w, u, b: torch.lstm_cell(x, (h, c), w.T, u.T, b, torch.zeros_like(b)),
}
"""The same functions as PyTorch has them."""


def smallest(tool: Tool, layer: LayerFunction, dtype: str, kind: str) -> float | None:
    """The smallest power of two that is found as eps; None if the largest is not."""
    found = lambda k: tool.accuses(layer, dtype, Fault(layer.faulty, kind, 2.0**k))  # noqa: E731
    if not found(LARGEST):
        return None
    low, high = SMALLEST, LARGEST
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if found(middle) else (middle, high)
    return 2.0**high


def accusations(tool: Tool, layer: LayerFunction, dtype: str) -> list[int]:
    """(accused, checked) of correct programs: the kernel, the formula in the dtype, PyTorch's own function."""
    verdicts = []
    for seed in range(tool.seeds):
        verdicts.append(tool.accuses(layer, dtype, NO_FAULT, seed))
        if tool.check is not by_assert_grads_wide:
            verdicts.append(tool.accuses_plain(layer, dtype, seed))
            if not tool.is_jax and layer.name in OWN:
                verdicts.append(tool.accuses_plain(layer, dtype, seed, OWN[layer.name]))
    return [sum(verdicts), len(verdicts)]


def measure(tool: Tool, layer: LayerFunction, dtype: str) -> dict[str, Any]:
    """One row: the smallest faults found, and how many correct programs are accused."""
    accused, checked = accusations(tool, layer, dtype)
    usable = not tool.accuses(layer, dtype, NO_FAULT)
    found = {kind: smallest(tool, layer, dtype, kind) if usable else None for kind in KINDS}
    return {
        "dtype": dtype, "function": layer.name, "tool": tool.name, **found, "accused": accused, "checked": checked,
    }  # fmt: skip


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.dropins", description=__doc__)
    parser.add_argument("--only", default="*", help="names of functions, with * and ?, separated by commas")
    parser.add_argument("--tools", default="*", help="names of checks, with * and ?, separated by semicolons")
    parser.add_argument("--dtypes", default=",".join(DTYPES))
    parser.add_argument("--again", action="store_true", help="only make the page again, from the JSON")
    options = parser.parse_args(arguments)
    jax.config.update("jax_enable_x64", True)
    torch.set_num_threads(1)
    result: dict[str, Any] = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    rows = {(row["dtype"], row["function"], row["tool"]): row for row in result.get("rows", [])}
    chosen = [
        (tool, layer, dtype)
        for dtype in options.dtypes.split(",")
        for layer in FUNCTIONS
        for tool in TOOLS
        if dtype in tool.dtypes and matches(layer.name, options.only, ",") and matches(tool.name, options.tools, ";")
    ]
    for tool, layer, dtype in [] if options.again else chosen:
        begun = time.perf_counter()
        row = rows[dtype, layer.name, tool.name] = measure(tool, layer, dtype)
        print(f"{time.perf_counter() - begun:6.1f} s {row}", flush=True)
        command = "OMP_NUM_THREADS=1 python -m benchmarks.dropins"
        result = {"command": command, "date": f"{datetime.date.today()}", "versions": versions()}
        result |= {"tools": [tool.name for tool in TOOLS], "rows": ordered(rows)}
        RESULTS.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    PAGE.write_text(page(result), encoding="utf-8")
    print(f"{RESULTS}\n{PAGE}")


def ordered(rows: dict[tuple[str, str, str], dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows by dtype, function and check."""
    keys = [(dtype, layer.name, tool.name) for dtype in DTYPES for layer in FUNCTIONS for tool in TOOLS]
    return [rows[key] for key in keys if key in rows]


def matches(name: str, patterns: str, separator: str) -> bool:
    return any(fnmatch.fnmatch(name, pattern) for pattern in patterns.split(separator))


if __name__ == "__main__":
    main()
