"""The reference of a check as a graph: a function in NumPy, torch or JAX, an operation, or the function itself."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from gradagree.adapters.function_adapters import others
from gradagree.adapters.functions import Call, FunctionAdapter
from gradagree.adapters.program import STEP_FUNCTIONS, STOPS, Program
from gradagree.arithmetic.duck import NoRule
from gradagree.arithmetic.model import FORMATS
from gradagree.arithmetic.tape import trace
from gradagree.errors import UsageError
from gradagree.functions.parts import Parts, of_parts, real_dtype
from gradagree.reference import Operation
from gradagree.reference.graph import Graph, Value
from gradagree.reference.operations.casts import CAST

PARAMETERS = "params"
"""Argument of a reference that takes all parameters of a module, by name."""


def graph_of(
    adapter: FunctionAdapter, call: Call, reference: Any, inputs: Sequence[np.ndarray], args: Sequence[Any],
    kwargs: Mapping[str, Any], outputs: Parts | None = None, notes: list[str] | None = None,
) -> Graph:  # fmt: skip
    """The reference as a graph of real arrays; without one, the function's own forward pass. Remarks go to the notes.

    A reference is first called with NumPy arrays, then with arrays of the function's framework, then with those of the
    other frameworks that are imported.

    Raises:
        UsageError: The reference cannot be evaluated with any of them; the message says what each reported.
    """
    if isinstance(reference, Graph):
        return checked_graph(reference, inputs)
    parts = Parts([adapter.dtype(x) for x in call.arrays])
    names = parts.names(call.names)
    if reference is None:
        program = adapter.trace(call)
        stopped = check_stops(call, program)
        if notes is not None:
            notes += stopped
        return traced(of_parts(program, parts, outputs, call.results), inputs, names, "the function")
    if isinstance(reference, type) and issubclass(reference, Operation):
        reference = reference()
    if isinstance(reference, Operation):
        reference = reference.value
    if not callable(reference):
        raise UsageError(f"reference={reference!r} cannot be called; give a function, an Operation or a Graph")
    failures = []
    for name, attempt in attempts(adapter, call, reference, args, kwargs):
        try:
            return trace(of_parts(attempt(), parts, outputs, call.results), *inputs, names=names)
        except Exception as error:  # noqa: BLE001 (whatever the reference raises with these arrays)
            failures.append(f"with {name}: {describe(error)}")
    raise UsageError(f"the reference cannot be evaluated {'; '.join(failures)}")


def own_graph(
    adapter: FunctionAdapter, call: Call, inputs: Sequence[np.ndarray], outputs: Parts, reference: Graph
) -> Graph | None:
    """The function's own forward pass as a graph.

    None if it cannot be traced, returns other shapes, or converts to a format with fewer digits than the reference
    does: then it computes something else.
    """
    try:
        found = graph_of(adapter, call, None, inputs, (), {}, outputs)
    except Exception:  # noqa: BLE001 (whatever the user's function raises under tracing)
        return None
    floating = [FORMATS[d].precision for x in call.arrays if (d := real_dtype(adapter.dtype(x))) in FORMATS]
    least = min([*floating, *digits_kept(reference)])
    return found if found.shapes == reference.shapes and min(digits_kept(found), default=least) >= least else None


def digits_kept(graph: Graph) -> list[int]:
    """The significant bits of the formats to which a graph converts numbers."""
    return [FORMATS[a.parameters["to"]].precision for a in graph.applications if a.operation is CAST]


def check_stops(call: Call, program: Program) -> list[str]:
    """A note for each array whose gradient the function stops on all ways to its outputs.

    Raises:
        UsageError: That is every array, so that there is no gradient to check.
    """
    found = []
    for k in call.wrt:
        reached, stops = {k}, []
        for step in program.steps:
            if reached.isdisjoint(values_in([*step.operands, step.keywords])):
                continue
            if step.name in STOPS:
                stops.append(f"{step.name} ({step.place})" if step.place else step.name)
            else:
                reached.add(step.output)
        if stops and reached.isdisjoint(values_in(program.outputs)):
            found.append(f"no gradient passes from {call.names[k]} to an output: {stops[0]} stops it")
    if found and len(found) == len(call.wrt):
        raise UsageError(f"{found[0]}; there is no gradient to check, so remove it, or give a reference")
    return found


def check_estimators(program: Program, written: Sequence[tuple[str, str]], constant: Sequence[str]) -> None:
    """Refuse a function whose backward pass is on purpose not the derivative of its forward pass.

    Args:
        program: The function's own operations.
        written: Its own backward passes and their places.
        constant: Names of the arrays with a wrong gradient whose derivative of the forward pass is 0 everywhere.

    Raises:
        UsageError: It is a straight-through estimator.
    """
    if program.estimators:
        raise UsageError(
            f"the forward pass stops the gradient ({program.estimators[0]}) in a function with a backward pass of its "
            "own, which has another derivative: give a reference that has your derivative"
        )
    steps = [step for name in constant for step in step_functions_of(program, name)]
    if written and steps:
        names = " or ".join(f"{name} ({place})" if place else name for name, place in written)
        raise UsageError(
            f"the derivative of the forward pass by {constant[0]} is 0 everywhere ({steps[0]}), but {names} returns "
            "another one: "
            "give a reference that has your derivative, such as x + (f(x) - x) with the gradient of the bracket stopped"
        )


def step_functions_of(program: Program, name: str) -> list[str]:
    """The step functions, with their places, of numbers that depend on an input."""
    name = name if name in program.inputs else name.removesuffix(".real").removesuffix(".imag")
    reached, found = {list(program.inputs).index(name)}, []
    for step in program.steps:
        if not reached.isdisjoint(values_in([*step.operands, step.keywords])):
            reached.add(step.output)
            if step.name in STEP_FUNCTIONS:
                found.append(f"{step.name} at {step.place}" if step.place else step.name)
    return found


def values_in(x: Any) -> set[int]:
    """The numbers of the values in nested arguments."""
    if isinstance(x, Value):
        return {x.number}
    inside = x.values() if isinstance(x, Mapping) else x if isinstance(x, list | tuple) else ()
    return set().union(*map(values_in, inside))


def attempts(
    adapter: FunctionAdapter, call: Call, reference: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]
) -> list[tuple[str, Callable[[], Callable[..., Any]]]]:
    """The ways to evaluate a reference, by the name of the library whose arrays it takes."""
    found = (
        [] if adapter.is_module(reference) else [("NumPy", lambda: in_numpy(adapter, call, reference, args, kwargs))]
    )
    found.append((adapter.name, lambda: in_framework(adapter, call, reference, args, kwargs)))
    return [*found, *((one.name, elsewhere(adapter, one, call, reference, args, kwargs)) for one in others(adapter))]


def in_numpy(
    adapter: FunctionAdapter, call: Call, reference: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]
) -> Callable[..., Any]:
    """A NumPy function of positional arguments, with the call's arrays in their containers."""
    own = set(parameters_of(call, kwargs))

    def function(*arrays: Any) -> Any:
        named = dict(zip(call.names, arrays, strict=True))
        given = [x for name, x in named.items() if name not in own]
        positional, keywords = adapter.rebuild(args, dict(kwargs), given)
        parameters = {name: x for name, x in named.items() if name in own}
        found = reference(*positional, **keywords, **keywords_for(reference, parameters))
        return leaves(found)

    return function


def in_framework(
    adapter: FunctionAdapter, call: Call, reference: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]
) -> Callable[..., Any]:
    """The NumPy form of a reference that takes the framework's own arrays."""
    own = parameters_of(call, kwargs)
    if own and not adapter.is_module(reference):
        kwargs = {**kwargs, **keywords_for(reference, {n: call.arrays[call.names.index(n)] for n in own})}
    return by_name(adapter.prepare(reference, args, dict(kwargs), None), adapter, call)


def elsewhere(
    adapter: FunctionAdapter, other: FunctionAdapter, call: Call, reference: Any, args: Sequence[Any],
    kwargs: Mapping[str, Any],
) -> Callable[[], Callable[..., Any]]:  # fmt: skip
    """As `in_framework`, for a reference that takes another framework's arrays; it computes in float64."""

    def attempt() -> Callable[..., Any]:
        own = parameters_of(call, kwargs)
        with other.precise():
            arrays = {n: other.constant(adapter.to_numpy(x)) for n, x in zip(call.names, call.arrays, strict=True)}
            given = [x for name, x in arrays.items() if name not in own]
            positional, keywords = adapter.rebuild(args, dict(kwargs), given)
            if own and not other.is_module(reference):
                keywords = {**keywords, **keywords_for(reference, {name: arrays[name] for name in own})}
            return by_name(other.prepare(reference, positional, dict(keywords), None), other, call)

    return attempt


def by_name(mine: Call, adapter: FunctionAdapter, call: Call) -> Callable[..., Any]:
    """The traced reference as a function of the arrays of the call, which it may have in another order."""
    program = adapter.trace(mine)
    order = [place_of(name, call.names) for name in mine.names]
    return lambda *arrays: program(*(arrays[k] for k in order))


def place_of(name: str, names: Sequence[str]) -> int:
    """The place of an argument of the reference among those of the function; ``params['w']`` is the parameter w."""
    for k, known in enumerate(names):
        plain = known.removeprefix(".")
        if name in (known, plain, plain.replace(".", "_"), f"{PARAMETERS}[{known!r}]"):
            return k
    raise UsageError(
        f"the reference has an array {name} that the function does not have; pass it as an argument of both"
    )


def parameters_of(call: Call, kwargs: Mapping[str, Any]) -> list[str]:
    """The names of the arrays that belong to the function itself, such as the parameters of a module."""
    arguments = ("args[", *(f"{key}{end}" for key in kwargs for end in ("[", ".")))
    return [name for name in call.names if name not in kwargs and not name.startswith(arguments)]


def keywords_for(reference: Callable[..., Any], parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters of a module as keyword arguments of a reference.

    A reference that has an argument ``params`` gets all of them as one dict by their names. Otherwise it has one
    argument for each, named like the parameter with ``_`` for each dot.
    """
    if not parameters:
        return {}
    known = inspect.signature(reference).parameters
    if PARAMETERS in known:
        return {PARAMETERS: dict(parameters)}
    keywords = {name.removeprefix(".").replace(".", "_"): x for name, x in parameters.items()}
    takes_all = any(one.kind is one.VAR_KEYWORD for one in known.values())
    missing = [] if takes_all else [name for name in keywords if name not in known]
    if missing:
        raise UsageError(
            f"the reference has no argument {missing[0]!r} for the module's parameter; add it, or an argument "
            f"{PARAMETERS!r} that takes a dict of all parameters"
        )
    return keywords


def leaves(found: Any) -> list[Any]:
    """The arrays in nested tuples, lists and dicts, in order."""
    if isinstance(found, Mapping):
        return [leaf for one in found.values() for leaf in leaves(one)]
    if isinstance(found, tuple | list):
        return [leaf for one in found for leaf in leaves(one)]
    return [found]


def traced(program: Callable[..., Any], inputs: Sequence[np.ndarray], names: Sequence[str], what: str) -> Graph:
    """The graph of a traced program.

    Raises:
        UsageError: A primitive rule is missing; the message names it.
    """
    try:
        return trace(program, *inputs, names=names)
    except NoRule as missing:
        raise UsageError(f"{what} cannot be checked against itself: {missing}; give a reference in NumPy") from missing


def checked_graph(graph: Graph, inputs: Sequence[np.ndarray]) -> Graph:
    if len(graph.inputs) != len(inputs):
        raise UsageError(
            f"the reference graph has {len(graph.inputs)} inputs, the function {len(inputs)}: {', '.join(graph.inputs)}"
        )
    return graph


def describe(error: BaseException) -> str:
    """The first line of an error, with its type unless it is ours."""
    first = (str(error).strip().split("\n") or [""])[0]
    return first if isinstance(error, UsageError | NoRule) else f"{type(error).__name__}: {first}"
