"""`check` of a layer: its vjp against its value, then its implementations in each framework."""

from __future__ import annotations

import functools
import importlib
import itertools
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
import numpy as np

from gradagree.adapters.function_adapters import ADAPTERS, named_adapter
from gradagree.adapters.layer_libraries import LIBRARIES, is_found, library_function
from gradagree.arithmetic.tape import trace
from gradagree.checker.verdict import Verdict
from gradagree.errors import UsageError, nearest
from gradagree.functions.checked_call import FLOATING
from gradagree.functions.enclosures import enclose
from gradagree.functions.inputs import arguments_of, check_by_inputs, report_by_inputs
from gradagree.functions.message import format_report
from gradagree.functions.records import Disagreement, GradientRecord, Report
from gradagree.functions.references import describe
from gradagree.functions.usage import check_compared
from gradagree.reference.graph import Graph
from gradagree.reference.layer import Layer

SEED = 20261129
"""Of the example's numbers; another one than that of cotangents, so that these are independent of the inputs."""


def check_with_arrays(
    thing: Any, reference: Any, inputs: Any, frameworks: str | None = None, modes: Any = None,
    dtypes: Sequence[str] | str | None = None, **options: Any,
) -> Any:  # fmt: skip
    """The report of `gradagree.check` of a layer, or of any function by inputs.

    Raises:
        Disagreement: A verdict fails.
        UsageError: Nothing could be compared, or a layer is given a reference.
    """
    __tracebackhide__ = True
    if not is_layer(thing):
        return check_by_inputs(thing, reference, inputs, frameworks, modes, dtypes, **options)
    if reference is not None:
        raise UsageError("a layer is its own reference; leave reference= out")
    return check_layer(thing, frameworks, modes, dtypes, inputs, **options)


def check_layer(
    thing: Layer | type[Layer], frameworks: str | None = None, modes: Any = None,
    dtypes: Sequence[str] | str | None = None, inputs: Any = None, **options: Any,
) -> Report:  # fmt: skip
    """The report of `gradagree.check` of a layer. Raises Disagreement if a verdict fails, and UsageError.

    A class is checked with its defaults and with its other `settings`, an instance as it is.
    """
    __tracebackhide__ = True
    report = layer_report(thing, frameworks, modes, dtypes, inputs, **options)
    if report.verdict.fails:
        raise Disagreement(report.records, format_report(report), report)
    check_compared(report)
    return report


def is_layer(thing: Any) -> bool:
    """True for a layer, or a class of layers."""
    return isinstance(thing, Layer) or (isinstance(thing, type) and issubclass(thing, Layer))


def layer_report(
    thing: Layer | type[Layer], frameworks: str | None = None, modes: Any = None,
    dtypes: Sequence[str] | str | None = None, inputs: Any = None, **options: Any,
) -> Report:  # fmt: skip
    """As `check_layer`, whatever the verdict."""
    kind = thing if isinstance(thing, type) else type(thing)
    layers = thing().variants() if isinstance(thing, type) else [thing]
    records: list[GradientRecord] = []
    reports: list[Report] = []
    for layer in layers:
        arrays = example_arrays(layer, inputs)
        prove_layer(layer, arrays)
        for framework in frameworks_of(layer, frameworks):
            for dtype in dtypes.split(",") if isinstance(dtypes, str) else dtypes or FLOATING:
                report = in_framework(layer, framework, arrays, modes, dtype, options)
                reports.append(report)
                named = [record if len(layers) == 1 else in_variant(record, str(layer)) for record in report.records]
                records += [with_array_names(record, list(arrays)) for record in named]
    notes = list(dict.fromkeys(note for report in reports for note in report.notes))
    conditions = list(dict.fromkeys(one for report in reports for one in report.conditions))
    about = {name: text for report in reports for name, text in report.measured.items()}
    replay = next((report.replay for report in reports if report.replay), "")
    return Report(records, kind.name if isinstance(thing, type) else str(thing), notes, replay, conditions, None, about)


def in_framework(
    layer: Layer, framework: str, arrays: Mapping[str, np.ndarray], modes: Any, dtypes: str, options: Mapping[str, Any]
) -> Report:
    """The report of a layer's implementation in a framework."""
    places = [list(arrays).index(name) for name in layer.with_gradient(dict(arrays))]
    function = implementation_of(layer, framework)
    given = tuple(arrays.values())
    chosen = {"wrt": places} | dict(options)
    try:
        owner = LIBRARIES.get(framework, framework)
        return of_library(report_by_inputs(function, layer, given, owner, modes, dtypes, **chosen), framework)
    except UsageError as error:
        if not is_not_implemented(error):
            raise
        reason = str(error.__cause__ or error)
    record = GradientRecord(
        name="output", quantity="value", verdict=Verdict.UNSUPPORTED, framework=framework, dtype=dtypes, reason=reason
    )  # fmt: skip
    return Report([record])


def of_library(report: Report, name: str) -> Report:
    """The report of a library's own module, with its name as that of the framework."""
    if name in LIBRARIES:
        report.records = [msgspec.structs.replace(record, framework=name) for record in report.records]
    return report


def is_not_implemented(error: BaseException) -> bool:
    """True if a framework reports that it has no such operation in the dtype."""
    return any(words in str(error) for words in ("NotImplementedError", "not implemented", "is not supported by"))


def implementation_of(layer: Layer, framework: str) -> Callable[..., Any]:
    """The implementation of a layer in a framework or a library of layers: a function of its arrays.

    Raises:
        UsageError: The layer has none.
    """
    if framework in LIBRARIES:
        written = library_function(framework, layer)
        if written is None:
            raise UsageError(f"{layer} has no module of {framework}: define the method {framework!r}")
        return written
    method = getattr(layer, framework, None)
    if method is None:
        raise UsageError(f"{layer} has no implementation in {framework}: define the method {framework!r}")
    return functools.partial(method, **{framework: importlib.import_module(framework)})


def example_arrays(layer: Layer, inputs: Any) -> dict[str, np.ndarray]:
    """The arrays to check a layer on: the given ones, or its own example.

    Raises:
        UsageError: The given arrays are not those that the layer takes, hold NaN or infinity, or have no derivative.
    """
    found = layer.example(np.random.default_rng(SEED))
    if inputs is not None:
        found = named_arrays(layer, list(found), *arguments_of(inputs))
    for name, x in found.items():
        if x.dtype.kind == "f" and not np.isfinite(x).all():
            raise UsageError(f"{layer}: {name} holds NaN or infinity; give finite numbers")
    if not layer.with_gradient(found):
        given = ", ".join(f"{name} ({x.dtype})" for name, x in found.items())
        raise UsageError(f"{layer}: no array has a derivative: {given}; give one of floating-point numbers")
    return found


def named_arrays(
    layer: Layer, names: Sequence[str], args: Sequence[Any], kwargs: Mapping[str, Any]
) -> dict[str, np.ndarray]:
    """The given arrays by the layer's own names of them, in its order."""
    unknown = next((name for name in kwargs if name not in names), None)
    if unknown is not None:
        raise UsageError(f"{layer} has no array {unknown!r}: {nearest(unknown, names)}")
    given = dict(zip(names, args, strict=False)) | dict(kwargs)
    if len(args) + len(kwargs) != len(names) or len(given) != len(names):
        count = len(args) + len(kwargs)
        raise UsageError(f"{layer} takes the arrays {', '.join(names)}; give these {len(names)}, not {count}")
    return {name: np.asarray(given[name]) for name in names}


def frameworks_of(layer: Layer, named: str | None) -> list[str]:
    """The frameworks and libraries to check a layer in: those named, or all with an implementation that are installed.

    Raises:
        UsageError: The layer has no implementation in a framework that is named, or in any.
    """
    has = [name for name in ADAPTERS if getattr(layer, name, None) is not None]
    if named is None:
        found = [name for name in has if is_installed(name)]
        found += [name for name in LIBRARIES if is_installed(name) and library_function(name, layer) is not None]
        if not found:
            raise UsageError(f"{layer} has no implementation: define one method named after {' or '.join(ADAPTERS)}")
        return found
    for name in named.split(","):
        if name not in (*ADAPTERS, *LIBRARIES):
            raise UsageError(f"frameworks={name!r}: {nearest(name, (*ADAPTERS, *LIBRARIES))}")
        named_adapter(LIBRARIES.get(name, name))
        if name in LIBRARIES and not is_found(name):
            raise UsageError(f"{name} is not installed; install it to check its modules")
        implementation_of(layer, name)
    return named.split(",")


def is_installed(framework: str) -> bool:
    """True if a framework, or a library of layers and its framework, can be imported."""
    try:
        named_adapter(LIBRARIES.get(framework, framework))
    except UsageError:
        return False
    return framework not in LIBRARIES or is_found(framework)


def prove_layer(layer: Layer, arrays: Mapping[str, np.ndarray]) -> None:
    """Raises UsageError if a layer's vjp is not the derivative of its value, or its other formula gives another one.

    Both are evaluated in float64 with error bounds at the example; they must overlap in every entry.
    """
    given = list(arrays.values())
    floating = [k for k, x in enumerate(given) if x.dtype.kind == "f"]
    points = [np.asarray(given[k], dtype=np.float64) for k in floating]
    graph = traced_layer(layer, "value", function_of(layer.value, given, floating), points)
    outputs = graph.results(graph.evaluate(points))
    prove_other_value(layer, graph, function_of(layer.other_value, given, floating), points)
    rng = np.random.default_rng(SEED + 1)  # a cotangent equal to an input would hide a transposed product
    seeds = [rng.standard_normal(np.shape(y)) for y in outputs]

    def written(*both: Any) -> list[Any]:
        every = list(given)
        for k, x in zip(floating, both[len(seeds) :], strict=True):
            every[k] = x
        cotangents = both[: len(seeds)]
        found = layer.vjp(cotangents[0] if len(seeds) == 1 else tuple(cotangents), *every)
        if len(found) != len(given):
            raise UsageError(f"{layer}: vjp returns {len(found)} cotangents for {len(given)} arrays; give one for each")
        return [found[k] for k in used]

    names = list(arrays)
    needed = layer.with_gradient(dict(arrays))
    used = [k for k in floating if names[k] in needed]
    own = traced_layer(layer, "vjp", written, [*seeds, *points])
    _, expected = enclose(graph, points, seeds, "stored", "float64", ["float64"] * (len(outputs) + len(points)))
    stores = ["float64"] * (len(used) + len(seeds) + len(points))
    found, _ = enclose(own, [*seeds, *points], [None] * len(used), "stored", "float64", stores)
    for k, y in zip(used, found, strict=True):
        one = expected[floating.index(k)]
        value, radius = (np.zeros(given[k].shape), 0.0) if one is None else (one.value, one.radius)
        if y.value.shape != value.shape:
            raise UsageError(f"{layer}: vjp gives {names[k]} the shape {y.value.shape}; it must be {value.shape}")
        if np.any(np.abs(y.value - value) > radius + y.radius):
            worst = np.unravel_index(np.argmax(np.abs(y.value - value)), value.shape)
            place = [int(i) for i in worst]
            raise UsageError(
                f"{layer}: vjp is not the derivative of value: that of {names[k]} at {place} is {y.value[worst]:.6g}, "
                f"but {value[worst]:.6g} follows from value; correct one of the two"
            )


def prove_other_value(layer: Layer, graph: Graph, other: Callable[..., Any], points: Sequence[np.ndarray]) -> None:
    """Raises UsageError if the layer's other formula, where it has one, does not give its value."""
    if attempt(layer, "other_value", lambda: other(*points)) is None:
        return
    graphs = (graph, traced_layer(layer, "other_value", other, points))
    both = []
    for one in graphs:
        stores = ["float64"] * (len(one.outputs) + len(points))
        both.append(enclose(one, points, [None] * len(one.outputs), "stored", "float64", stores)[0])
    for x, y in itertools.zip_longest(*both):
        if x is None or y is None or x.value.shape != y.value.shape:
            raise UsageError(f"{layer}: other_value returns arrays of other shapes than value; correct one of the two")
        if np.any(np.abs(x.value - y.value) > x.radius + y.radius):
            place = np.unravel_index(np.argmax(np.abs(x.value - y.value)), x.value.shape)
            raise UsageError(
                f"{layer}: other_value is not equal to value: {y.value[place]:.6g} in place of {x.value[place]:.6g} "
                f"at {[int(i) for i in place]}; correct one of the two"
            )


def traced_layer(layer: Layer, method: str, function: Callable[..., Any], points: Sequence[np.ndarray]) -> Graph:
    """The graph of a layer's method. Raises UsageError if it cannot be evaluated with these arrays."""
    graph: Graph = attempt(layer, method, lambda: trace(function, *points))
    return graph


def attempt(layer: Layer, method: str, evaluate: Callable[[], Any]) -> Any:
    """What an evaluation of a layer's method gives. Raises UsageError if it cannot be evaluated."""
    try:
        return evaluate()
    except UsageError:
        raise
    except Exception as error:
        raise UsageError(f"{layer}: {method} cannot be evaluated with these arrays: {describe(error)}") from error


def function_of(value: Callable[..., Any], given: Sequence[Any], floating: Sequence[int]) -> Callable[..., Any]:
    """A function of the floating arrays only."""

    def function(*points: Any) -> Any:
        every = list(given)
        for k, x in zip(floating, points, strict=True):
            every[k] = x
        return value(*every)

    return function


def in_variant(record: GradientRecord, text: str) -> GradientRecord:
    return msgspec.structs.replace(record, name=f"{record.name} of {text}")


def with_array_names(record: GradientRecord, names: Sequence[str]) -> GradientRecord:
    """The record with the layer's own names of its arrays in place of ``args[0]``."""
    name = re.sub(r"args\[(\d+)\]", lambda found: names[int(found[1])], record.name)
    return msgspec.structs.replace(record, name=name)
