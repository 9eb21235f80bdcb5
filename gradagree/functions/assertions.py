"""`assert_grads`: compare the gradients of any function with those of a plain reference."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from gradagree.adapters.function_adapters import adapter_of
from gradagree.adapters.functions import Call, FunctionAdapter
from gradagree.arithmetic.duck import NoRule
from gradagree.arithmetic.tape import trace
from gradagree.errors import UsageError
from gradagree.functions.enclosures import (
    LADDER,
    Expected,
    enclose,
    interior,
    is_floating,
    narrowest,
    probable,
    with_probable,
)
from gradagree.functions.judge import judge
from gradagree.functions.records import GradientRecord, Report
from gradagree.reference.graph import Graph

SEED = 20240607


def check_call(
    adapter: FunctionAdapter, call: Call, reference: Any, args: Sequence[Any], kwargs: dict[str, Any],
    cotangents: Any = None, arithmetic: str = "auto",
) -> list[GradientRecord]:  # fmt: skip
    """The records of one call in reverse mode."""
    inputs = [adapter.to_numpy(x) for x in call.arrays]
    for name, x in zip(call.names, inputs, strict=True):
        if is_floating(x) and not np.isfinite(x).all():
            raise UsageError(f"{name} holds NaN or infinity; give finite numbers")
    outputs = adapter.outputs(call)
    if not any(adapter.dtype(y) in FLOATING for y in outputs):
        raise UsageError("the function returns no floating-point array; there is no gradient to check")
    seeds = draw_cotangents(adapter, outputs) if cotangents is None else list(cotangents)
    graph = graph_of(adapter, call, reference, inputs, args, kwargs)
    found, gradients = adapter.vjp(call, seeds)
    dtype = narrowest([adapter.dtype(call.arrays[k]) for k in call.wrt])
    expected = expectations(adapter, call, graph, inputs, outputs, seeds, dtype, arithmetic)
    records = []
    for k, y in enumerate(found):
        rungs = {rung: values[k] for rung, (values, _) in expected.items()}
        finding = judge(adapter.to_numpy(y), rungs, is_value=True)
        records.append(
            GradientRecord(
                name=call.results[k], quantity="value", framework=adapter.name, dtype=adapter.dtype(y),
                shape=tuple(y.shape), **finding.fields(),
            )
        )  # fmt: skip
    if any(record.verdict.fails for record in records):
        return records
    for k, g in zip(call.wrt, gradients, strict=True):
        rungs = {rung: grads[k] or zero(inputs[k]) for rung, (_, grads) in expected.items()}
        finding = judge(None if g is None else adapter.to_numpy(g), rungs)
        records.append(
            GradientRecord(
                name=call.names[k], quantity="gradient", framework=adapter.name, dtype=adapter.dtype(call.arrays[k]),
                shape=tuple(inputs[k].shape), **finding.fields(),
            )
        )  # fmt: skip
    return records


FLOATING = ("float64", "float32", "float16", "bfloat16")


def zero(x: np.ndarray) -> Expected:
    """The gradient of an input that no output depends on."""
    return Expected(np.zeros(x.shape), np.zeros(x.shape))


def expectations(
    adapter: FunctionAdapter, call: Call, graph: Graph, inputs: Sequence[np.ndarray], outputs: Sequence[Any],
    seeds: Sequence[Any], dtype: str, arithmetic: str,
) -> dict[str, tuple[list[Expected], list[Expected | None]]]:  # fmt: skip
    """Outputs and gradients for each admissible arithmetic; one is enough where the dtype is its own accumulator."""
    rungs = LADDER if arithmetic in ("auto", "stored") else ("wide",)
    if interior("wide", dtype) == interior("stored", dtype):
        rungs = rungs[-1:]
    stores = [*map(adapter.dtype, outputs), *map(adapter.dtype, call.arrays)]
    stores = [name if name in FLOATING else dtype for name in stores]
    numbers = [None if g is None else adapter.to_numpy(g) for g in seeds]
    found = {}
    for rung in rungs:
        values, gradients = enclose(graph, inputs, numbers, rung, dtype, stores)
        tolerances = probable(graph, inputs, numbers, rung, dtype)
        both = zip(gradients, tolerances, strict=True)
        found[rung] = values, [g if g is None else with_probable(g, t) for g, t in both]
    return found


def draw_cotangents(adapter: FunctionAdapter, outputs: Sequence[Any]) -> list[Any]:
    """Random cotangents without a pattern, the same at every call; None for outputs that are not floating-point."""
    rng = np.random.default_rng(SEED)
    found = []
    for y in outputs:
        drawn = rng.standard_normal(tuple(y.shape))
        found.append(adapter.array(drawn, y) if adapter.dtype(y) in FLOATING else None)
    return found


def graph_of(
    adapter: FunctionAdapter, call: Call, reference: Any, inputs: Sequence[np.ndarray], args: Sequence[Any],
    kwargs: dict[str, Any],
) -> Graph:  # fmt: skip
    """The reference as a graph; without one, the function's own forward pass."""
    if reference is None:
        return trace(adapter.trace(call), *inputs, names=call.names)
    try:
        return trace(numpy_call(adapter, reference, args, kwargs), *inputs, names=call.names)
    except (NoRule, TypeError, AttributeError) as in_numpy:
        try:
            other = adapter.prepare(reference, args, kwargs, None)
            return trace(adapter.trace(other), *inputs, names=call.names)
        except Exception:  # noqa: BLE001 (whatever the reference raises)
            raise UsageError(f"the reference cannot be evaluated: {in_numpy}") from in_numpy


def numpy_call(
    adapter: FunctionAdapter, reference: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any]
) -> Callable[..., Any]:
    """A NumPy function of positional arguments, with the call's arrays in their containers."""

    def function(*arrays: Any) -> Any:
        positional, named = adapter.rebuild(args, kwargs, arrays)
        found = reference(*positional, **named)
        return list(found) if isinstance(found, tuple | list) else [found]

    return function


def assert_grads(
    fn: Callable[..., Any],
    args: Sequence[Any],
    *,
    reference: Any = None,
    kwargs: dict[str, Any] | None = None,
    wrt: Any = None,
    cotangents: Any = None,
    arithmetic: str = "auto",
) -> Report:
    adapter = adapter_of(fn, args, kwargs or {})
    call = adapter.prepare(fn, args, kwargs or {}, wrt)
    records = check_call(adapter, call, reference, args, kwargs or {}, cotangents, arithmetic)
    report = Report(records, getattr(fn, "__name__", type(fn).__name__))
    if report.verdict.fails:
        raise AssertionError(str(report))
    return report
