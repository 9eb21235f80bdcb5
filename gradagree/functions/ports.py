"""`assert_port`: whether a function computes what a module of another framework computes, and its gradients."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any

import msgspec
import numpy as np

from gradagree.adapters.formats import FORMATS
from gradagree.adapters.function_adapters import adapter_of, others, port_tools
from gradagree.adapters.functions import FunctionAdapter
from gradagree.arithmetic.model import OWN, model
from gradagree.arithmetic.rounded import Rounded
from gradagree.arithmetic.rounding import is_representable
from gradagree.arithmetic.tape import trace
from gradagree.checker.verdict import Verdict
from gradagree.errors import UsageError
from gradagree.functions.assertions import check_function
from gradagree.functions.enclosures import Expected, enclose, interior, is_floating, lift, narrowest
from gradagree.functions.message import format_report
from gradagree.functions.port_statistics import paired
from gradagree.functions.records import Disagreement, GradientRecord, Report
from gradagree.functions.references import describe
from gradagree.functions.usage import check_compared, name_of
from gradagree.reference.graph import Graph

SEED = 20261130
LARGEST_CONSTANT = 1e4
WIDE = "float64"
DEFAULT = "float32"


@dataclass(frozen=True)
class PortSide:
    """One of the two programs, in float64.

    names: Names of its arrays. inputs: The arrays. graph: Its operations. outputs, gradients: With error bounds.
    """

    adapter: FunctionAdapter
    names: list[str]
    results: list[str]
    inputs: list[np.ndarray]
    graph: Graph
    outputs: list[Expected]
    gradients: list[Expected | None]

    def first(self, count: int) -> PortSide:
        """The program without its later outputs."""
        return replace(self, results=self.results[:count], outputs=self.outputs[:count])


def assert_port(torch_module: Any, jax_fn: Callable[..., Any], *, params: Any, batch: Any) -> Report:
    """Check that a JAX function is the port of a PyTorch module: the same values, and right gradients on both sides.

    Both programs are traced and compared in float64. If their values differ, the module whose value differs first is
    named, with a reason that reproduces the port's value, if there is one: another eps or slope, the other form of
    gelu, a missing bias, a transposed weight, the memory layout of a flattened image, the order of gates, the
    statistics of a batch norm. A port may return the new running statistics after its outputs, as ``(output, state)``:
    they are compared with the module's after the call, and another convention of momentum or variance is named. Then
    the gradients of both programs are checked as by `assert_grads`, and those of the batch and of equal parameters are
    compared with each other.

    Args:
        torch_module: The module, called as ``torch_module(*batch)``.
        jax_fn: Its port, called as ``jax_fn(params, *batch)``.
        params: The parameters of the port, in any containers, with the module's numbers.
        batch: An array, or a tuple of arrays, of NumPy or of one of the frameworks.

    Returns:
        The report, with records of both sides.

    Raises:
        Disagreement: The values differ, or a gradient is wrong; the message names the first module or array.
        UsageError: The programs cannot be called or traced; the message says which, and what to do.

    Example:
        >>> import jax, numpy as np, torch
        >>> from gradagree import assert_port
        >>> layer = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.GELU())
        >>> params = {name: p.detach().numpy() for name, p in layer.named_parameters()}
        >>> def port(params, x):
        ...     return jax.nn.gelu(x @ params["0.weight"].T + params["0.bias"], approximate=False)
        >>> x = np.linspace(-2, 2, 8, dtype=np.float32).reshape(2, 4)
        >>> assert_port(layer, port, params=params, batch=x).verdict.value
        'agree'
    """
    __tracebackhide__ = True
    report = port_report(torch_module, jax_fn, params, batch)
    if report.verdict.fails:
        raise Disagreement(report.records, format_report(report), report)
    check_compared(report)
    return report


def port_report(module: Any, function: Callable[..., Any], params: Any, batch: Any) -> Report:
    """As `assert_port`, whatever the verdict."""
    args = tuple(batch) if isinstance(batch, tuple | list) else (batch,)
    first = adapter_of_module(module)
    if not callable(function):
        raise UsageError(
            f"jax_fn is a {type(function).__name__}; give a function that is called as jax_fn(params, *batch)"
        )
    second = port_adapter(first, params)
    tools = port_tools(first)
    dtype = dtype_of(first, module, args)
    args = tuple(on_host(first, second, x) for x in args)
    title = f"{name_of(function)} as a port of {name_of(module)}"
    double = first.in_dtype(module, WIDE)
    given = first.in_dtype(args, WIDE)
    one = side_of(first, double, given, dtype)
    with second.precise():
        whole = side_of(second, function, second.in_dtype((params, *args), WIDE), dtype, len(one.outputs))
    statistics = tools.running_statistics(double, given) if len(whole.outputs) > len(one.outputs) else []
    other = whole.first(len(one.outputs)) if statistics else whole
    records = compare_values(one, other)
    if any(record.verdict.fails for record in records):
        reason = explain_values(tools, double, given, other)
        return Report([msgspec.structs.replace(r, reason=r.reason or reason) for r in records], title)
    if statistics:
        records += compare_statistics(one, whole, statistics)
        if any(record.verdict.fails for record in records):
            return Report(records, title)
    reports = [check_function(module, first.in_dtype(args, dtype))]
    with second.precise() if dtype == WIDE else nullcontext():
        reports.append(check_function(function, second.in_dtype((params, *args), dtype)))
    for side, report in zip((one, other), reports, strict=True):
        records += [msgspec.structs.replace(r, name=f"{side.adapter.name}: {r.name}") for r in report.records]
    records += compare_gradients(one, other)
    notes = list(dict.fromkeys(note for report in reports for note in report.notes))
    conditions = list(dict.fromkeys(c for report in reports for c in report.conditions))
    return Report(records, title, notes, "", conditions)


def adapter_of_module(module: Any) -> FunctionAdapter:
    """The framework of a module. Raises UsageError if it is none."""
    try:
        found = adapter_of(module, (), {})
    except UsageError:
        found = None
    if found is None or not found.is_module(module):
        raise UsageError(f"torch_module is a {type(module).__name__}; give the module that is ported")
    return found


def port_adapter(first: FunctionAdapter, params: Any) -> FunctionAdapter:
    """The framework of the port: that of its parameters, or the other one that is imported."""
    try:
        found = adapter_of(None, params, {})
        if found.name != first.name:
            return found
    except UsageError:
        pass
    candidates = others(first)
    if not candidates:
        raise UsageError("the framework of the port is not imported; import it, or give its own arrays as params")
    return candidates[0]


def on_host(first: FunctionAdapter, second: FunctionAdapter, x: Any) -> np.ndarray:
    """An array of the batch as one of NumPy.

    Raises:
        UsageError: It holds no numbers.
    """
    owner = next((adapter for adapter in (first, second) if adapter.owns(None, (x,))), None)
    found = np.asarray(x if owner is None else owner.to_numpy(x))
    if found.dtype.kind not in "biufc":
        raise UsageError(f"batch holds a {type(x).__name__}; give an array of numbers, or a tuple of arrays")
    return found


def dtype_of(adapter: FunctionAdapter, module: Any, args: Sequence[Any]) -> str:
    """The narrowest dtype among the parameters of a module; without any, among the batch."""
    own = [adapter.dtype(x) for x in adapter.prepare(module, (), {}, None).arrays]
    found = [d for d in (own or [str(getattr(x, "dtype", "")).rpartition(".")[2] for x in args]) if d in FORMATS]
    return narrowest(found or [DEFAULT])


def with_rounded_constants(graph: Graph, dtype: str) -> Graph:
    """A graph whose constants, such as eps, may have been rounded to the dtype: each is within a rounding error."""
    form, wide = FORMATS[dtype], model(WIDE)

    def rounded(x: Any) -> Any:
        if not isinstance(x, float | np.ndarray | np.generic) or not is_floating(x) or not np.all(np.isfinite(x)):
            return x
        if is_representable(np.asarray(x, dtype=np.float64), form) or np.max(np.abs(x)) > form.largest:
            return x
        return Rounded(np.asarray(x, dtype=np.float64), (form.u + OWN) * np.abs(x) + form.smallest, wide)

    steps = [step._replace(operands=tuple(map(rounded, step.operands))) for step in graph.applications]
    return replace(graph, applications=steps)


def side_of(
    adapter: FunctionAdapter, function: Any, args: Sequence[Any], dtype: str, count: int | None = None
) -> PortSide:
    """The graph of a program, its outputs and its gradients along one random cotangent for each of the first outputs.

    The program runs in float64; dtype is that of its parameters, to which its constants may have been rounded. count is
    the number of outputs with a cotangent; None for all.
    """
    call = adapter.prepare(function, args, {}, None)
    try:
        results = adapter.outputs(call)
    except Exception as error:
        raise UsageError(
            f"the {adapter.name} program cannot be called with these arguments: {describe(error)}"
        ) from error
    inputs = [adapter.to_numpy(x) for x in call.arrays]
    graph = with_rounded_constants(trace(adapter.trace(call), *inputs, names=call.names), dtype)
    rng = np.random.default_rng(SEED)
    seeds = [rng.standard_normal(tuple(y.shape)) if adapter.dtype(y) in FORMATS else None for y in results[:count]]
    seeds += [None] * (len(results) - len(seeds))
    outputs, gradients = enclose(graph, inputs, seeds, "stored", WIDE, [WIDE] * (len(results) + len(inputs)))
    return PortSide(adapter, list(call.names), list(call.results), inputs, graph, outputs, gradients)


def gap(a: Expected, b: Expected) -> tuple[np.ndarray, np.ndarray]:
    """(the difference of two arrays, the tolerance of each entry)."""
    return np.abs(a.value - b.value), a.radius + b.radius


def compared(
    name: str, quantity: str, a: Expected, b: Expected, sides: tuple[PortSide, PortSide], failing: Verdict
) -> GradientRecord:
    """The record of one array that both programs compute; a is the module's."""
    difference, tolerance = gap(a, b)
    size = float(np.max(np.abs(a.value), initial=0.0))
    fields: dict[str, Any] = {"verdict": Verdict.AGREE}
    if difference.size:
        ratio = difference / np.where(tolerance > 0, tolerance, 1.0)
        ratio = np.where(tolerance > 0, ratio, np.where(difference > 0, np.inf, 0.0))
        worst = np.unravel_index(int(np.argmax(ratio)), ratio.shape)
        sharpness = float(np.max(tolerance)) / size if size else 0.0
        fields |= {"ratio": float(ratio[worst]), "sharpness": sharpness, "share": 1.0}
        if ratio[worst] > 1 or not math.isfinite(float(ratio[worst])):
            fields |= {
                "verdict": failing, "entry": tuple(map(int, worst)), "expected": float(a.value[worst]).hex(),
                "observed": float(b.value[worst]).hex(), "tolerance": float(tolerance[worst]).hex(),
            }  # fmt: skip
    framework = f"{sides[0].adapter.name}, {sides[1].adapter.name}"
    return GradientRecord(
        name=name, quantity=quantity, framework=framework, dtype=WIDE, shape=a.value.shape, **fields
    )  # fmt: skip


def compare_values(one: PortSide, other: PortSide) -> list[GradientRecord]:
    """The records of the outputs of both programs."""
    names = f"{one.adapter.name}, {other.adapter.name}"
    if len(one.outputs) != len(other.outputs):
        reason = f"the port returns {len(other.outputs)} arrays, the module {len(one.outputs)}; return the same"
        return [mismatch("output", names, reason)]
    records = []
    for k, (a, b) in enumerate(zip(one.outputs, other.outputs, strict=True)):
        if a.value.shape != b.value.shape:
            reason = f"the port returns the shape {b.value.shape}, the module {a.value.shape}"
            records.append(mismatch(one.results[k], names, reason))
        else:
            records.append(compared(one.results[k], "value", a, b, (one, other), Verdict.VALUE_DIFFERS))
    return records


def compare_statistics(one: PortSide, other: PortSide, statistics: Sequence[Any]) -> list[GradientRecord]:
    """The records of what a port returns beside its outputs: the running statistics after the call.

    Integers, such as the number of batches, are not compared.
    """
    later = [k for k in range(len(one.outputs), len(other.outputs)) if is_floating(other.outputs[k].value)]
    names, arrays = [other.results[k] for k in later], [other.outputs[k] for k in later]
    records = []
    for k, statistic, reason in paired(names, arrays, statistics):
        if statistic is None:
            frameworks = f"{one.adapter.name}, {other.adapter.name}"
            text = "no running statistic of the module is left for it; return the outputs, and then the new statistics"
            records.append(mismatch(names[k], frameworks, text))
            continue
        new = Expected(statistic.new.reshape(arrays[k].value.shape), arrays[k].radius)  # its error is like the port's
        name = f"{statistic.name} and {names[k]}"
        record = compared(name, "value", new, arrays[k], (one, other), Verdict.VALUE_DIFFERS)
        if record.verdict.fails:
            reason = reason or f"no usual reason explains the port's value of {statistic.name}"
            record = msgspec.structs.replace(record, reason=reason)
        records.append(record)
    return records


def mismatch(name: str, framework: str, reason: str) -> GradientRecord:
    return GradientRecord(
        name=name, quantity="value", framework=framework, dtype=WIDE, verdict=Verdict.VALUE_DIFFERS, reason=reason
    )


def compare_gradients(one: PortSide, other: PortSide) -> list[GradientRecord]:
    """The records of the gradients of arrays that both programs have: the batch, and parameters of equal numbers."""
    records = []
    for j, k, moved in same_arrays(one, other):
        a, b = one.gradients[j], other.gradients[k]
        if a is None and b is None:
            continue
        zero = Expected(np.zeros(one.inputs[j].shape), np.zeros(one.inputs[j].shape))
        a = a or zero
        a = Expected(moved(a.value), moved(a.radius))
        b = b or Expected(np.zeros(a.value.shape), np.zeros(a.value.shape))
        name = f"{one.names[j]} and {other.names[k]}"
        records.append(compared(name, "gradient", a, b, (one, other), Verdict.DISAGREE))
    return records


def same_arrays(one: PortSide, other: PortSide) -> Iterator[tuple[int, int, Callable[[np.ndarray], np.ndarray]]]:
    """Pairs of floating arrays with the same numbers, as (place, place, how the first becomes the second).

    Where several arrays have the same numbers, none of them is paired: their gradients may differ.
    """
    ours = [k for k, x in enumerate(one.inputs) if is_floating(x)]
    theirs = [k for k, x in enumerate(other.inputs) if is_floating(x)]
    keys = {(side, k): key_of(x) for side, arrays in ((0, one.inputs), (1, other.inputs)) for k, x in enumerate(arrays)}
    for j in ours:
        found = [k for k in theirs if keys[1, k] == keys[0, j]]
        if len(found) == 1 and sum(keys[0, i] == keys[0, j] for i in ours) == 1:
            moved = movement(one.inputs[j], other.inputs[found[0]])
            if moved is not None:
                yield j, found[0], moved


def move(x: np.ndarray, axes: tuple[int, ...], shape: tuple[int, ...]) -> np.ndarray:
    return np.transpose(x, axes).reshape(shape)


def key_of(x: np.ndarray) -> tuple[int, bytes]:
    return x.size, np.sort(np.asarray(x, dtype=np.float64), axis=None).tobytes()


def movement(x: np.ndarray, y: np.ndarray) -> Callable[[np.ndarray], np.ndarray] | None:
    """How x becomes y: by a permutation of its axes and another shape; None if it does not."""
    for axes in itertools.permutations(range(x.ndim)):
        if np.array_equal(np.transpose(x, axes).reshape(-1), y.reshape(-1)):
            return functools.partial(move, axes=axes, shape=y.shape)
    return None


class Counterparts:
    """The values of all operations of the port, to find those of a module among them, in any order of the entries."""

    def __init__(self, side: PortSide) -> None:
        inside = interior("stored", WIDE)
        with np.errstate(all="ignore"):
            values = side.graph.evaluate([lift(x, inside) if is_floating(x) else x for x in side.inputs])
        self.by_size: dict[int, list[tuple[np.ndarray, float]]] = {}
        for x in values:
            number = x.value if isinstance(x, Rounded) else np.asarray(x)
            if number.dtype.kind == "f" and number.size:
                radius = float(np.max(x.radius)) if isinstance(x, Rounded) else 0.0
                self.by_size.setdefault(number.size, []).append((np.sort(number, axis=None), radius))
        self.constants = constants_of(side.graph)

    def has(self, arrays: Sequence[np.ndarray]) -> bool:
        return all(self.has_one(x) for x in arrays)

    def has_one(self, x: np.ndarray) -> bool:
        sorted_x = np.sort(np.asarray(x, dtype=np.float64), axis=None)
        return any(
            bool(np.max(np.abs(sorted_x - y), initial=0.0) <= 2 * radius)  # the module's error is like the port's
            for y, radius in self.by_size.get(x.size, [])
        )


def constants_of(graph: Graph) -> list[float]:
    """The floating-point constants of a program, without 0 and 1."""
    found = set()
    for step in graph.applications:
        for operand in step.operands:
            x = operand.value if isinstance(operand, Rounded) else operand
            if isinstance(x, float | np.ndarray | np.generic) and is_floating(x) and np.size(x) == 1:
                found.add(float(np.asarray(x).reshape(())))
    return sorted(x for x in found if x not in (0.0, 1.0) and abs(x) < LARGEST_CONSTANT)


def explain_values(tools: Any, model: Any, args: Sequence[Any], port: PortSide) -> str:
    """The first module whose value the port does not compute, and the likely reason."""
    calls = tools.module_calls(model, args)
    known = Counterparts(port)
    matched = [known.has(call.outputs) for call in calls]
    last = max((k for k, found in enumerate(matched) if found), default=-1)
    later = range(last + 1, len(calls))
    culprit = next((k for k in later if known.has(calls[k].inputs)), last + 1)
    if culprit >= len(calls):
        return "every module has its value in the port; the values differ after the last one"
    call = calls[culprit]
    where = f"{call.name} ({call.text})" if call.name else "the model's own operations, outside of its modules"
    for text, outputs in tools.variants(call, known.constants, calls[:culprit]):
        if outputs and known.has(outputs):
            return f"the first module whose value differs is {where}; the port has {text}"
    return f"the first module whose value differs is {where}; no usual reason explains the port's value"
