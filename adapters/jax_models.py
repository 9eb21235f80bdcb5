"""A model of JAX as it runs: every primitive on its way forward, and every cotangent on the way back.

The jaxpr of the model runs primitive by primitive. Each is differentiated alone, by `jax.vjp`, so that its value and
what it passes back are JAX's own; a function with a derivative rule of its own counts as one operation. Nothing is kept
longer than the backward pass of its operation.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend import core as jcore

from gradagree.adapters.formats import PARTS
from gradagree.adapters.functions import Call
from gradagree.adapters.jax_modules import container_of, module_of, naming
from gradagree.adapters.jax_products import products_of
from gradagree.adapters.jax_programs import ProgramRecorder, conjugated, is_floating, is_frexp, to_numpy, trace_program
from gradagree.adapters.lax.iterations import OWN_FILES
from gradagree.adapters.operations import ModelObserver, ModelOperation, PassedGradient, as_parts, on_parts
from gradagree.adapters.program import STOPS
from gradagree.errors import UsageError
from gradagree.reference.graph import Value

MOVES = frozenset(
    f"lax.{name}" for name in (
        "broadcast_in_dim", "concatenate", "copy", "copy_p", "dynamic_slice", "expand_dims", "gather", "pad", "reshape",
        "rev", "slice", "split", "squeeze", "transpose", "select_n",
    )
) | {"scan", "getitem", "reduce"}  # fmt: skip
"""Operations that only move entries."""
ONCE = frozenset(f"lax.{name}" for name in ("add", "sub", "mul"))
"""Operations that are rounded once."""
KEPT = MOVES - {"lax.select_n", "lax.pad", "lax.concatenate"} | {"lax.convert_element_type"}
"""Operations after which a parameter keeps its name."""
CUSTOM = ("custom_jvp_call", "custom_vjp_call", "custom_vjp_call_jaxpr")
"""Primitives for a function with a derivative rule of its own."""
KINKS = {"relu": lambda x: np.maximum(x, 0.0)}
"""Functions of JAX whose programs are written in another way than their derivative rules at a kink."""
ARGUMENTS = {
    "dot_general": ("lhs", "rhs"), "conv_general_dilated": ("lhs", "rhs"), "select_n": ("which", "on_false", "on_true"),
}  # fmt: skip
"""Names of operands in the signatures of `jax.lax`."""
UNNAMED = ("x", "y")


@dataclass
class Differentiated:
    """An operation whose backward pass has not run yet.

    inputs: Its floating-point operands. sources: The values that they are, by their numbers; None for others. moving:
    The places of the operands with a gradient, in the order of what `pullback` returns. outputs: The numbers of its
    outputs; None for one without a gradient. types: Their shapes and dtypes.
    """

    operation: ModelOperation
    inputs: list[Any]
    sources: list[int | None]
    moving: list[int]
    pullback: Callable[[Any], Any]
    outputs: list[int | None]
    types: list[Any]
    is_list: bool


class ModelRecorder(ProgramRecorder):
    """Runs a program primitive by primitive, tells an observer of each, and keeps those with a backward pass."""

    def __init__(self, observer: ModelObserver, call: Call, root: str) -> None:
        super().__init__(list(call.arrays), list(call.names), [x.dtype for x in call.arrays])
        self.observer = observer
        self.root = root
        self.stacks: list[str] = []
        self.params: dict[str, Any] = {}
        self.records: list[Differentiated] = []
        self.labels: dict[int, str] = dict(enumerate(call.names))
        self.wrt = set(call.wrt)

    def equation(self, equation: Any, operands: list[Any]) -> list[Any]:
        self.stacks.append(str(equation.source_info.name_stack))
        self.params = equation.params
        try:
            if equation.primitive.name in CUSTOM and not is_frexp(equation):
                return self.custom_function(equation, operands)
            return super().equation(equation, operands)
        finally:
            self.stacks.pop()

    def custom_function(self, equation: Any, operands: list[Any]) -> list[Any]:
        """A function with a derivative rule of its own, as one operation."""
        params = equation.params
        inner = params.get("call_jaxpr", params.get("fun_jaxpr"))
        info = inner.jaxpr.debug_info
        rule = params.get("bwd", params.get("jvp_jaxpr_fun"))
        source = getattr(getattr(rule, "debug_info", None), "func_src_info", None) or ""
        name, separator, place = source.partition(" at ")
        is_own = not separator or place.startswith(OWN_FILES)
        given = [self.concrete(x) for x in operands]
        forms: list[Any] = []

        def form(*arrays: Any) -> Any:
            if info.func_name in KINKS:
                return [KINKS[info.func_name](*arrays)]
            if not forms:
                names = [f"x{k}" for k in range(len(given))]
                forms.append(trace_program(jcore.jaxpr_as_fun(inner), [jnp.asarray(x) for x in given], names))
            return forms[0](*arrays)

        def native(*arrays: Any) -> Any:
            return equation.primitive.bind(*arrays, **equation.primitive.get_bind_params(params))

        before = self.place
        forward = getattr(params.get("fwd_jaxpr_thunk"), "debug_info", info)
        names = argument_names(forward, len(operands))
        self.place = self.place if is_own else place
        found = self.observed(
            info.func_name, form, native, operands, [v.aval for v in equation.outvars], names, "" if is_own else name
        )
        self.place = before
        return list(found)

    def record(
        self, name: str, form: Any, native: Callable[..., Any], operands: Sequence[Any], types: Sequence[Any] = ()
    ) -> Any:
        count = sum(map(self.is_inexact, operands))
        known = ARGUMENTS.get(name.removeprefix("lax."), UNNAMED if count < 3 else ())
        names = [known[k] if k < len(known) else f"operands[{k}]" for k in range(len(operands))]
        return self.observed(name, form, native, operands, types, names)

    def concrete(self, x: Any) -> Any:
        return self.numbers[x.number] if isinstance(x, Value) else x

    def stored(self, x: Any) -> Any:
        return self.concrete(x)

    def is_inexact(self, x: Any) -> bool:
        x = self.concrete(x)
        return not jnp.issubdtype(getattr(x, "dtype", np.int64), jax.dtypes.extended) and is_floating(x)

    def observed(
        self, name: str, form: Any, native: Callable[..., Any], operands: Sequence[Any], types: Sequence[Any],
        names: Sequence[str], rule: str = "",
    ) -> Any:  # fmt: skip
        """The results of an operation, after the observer has been told of it: values where they have a gradient."""
        arrays = [self.concrete(x) for x in operands]
        at = [k for k, x in enumerate(operands) if self.is_inexact(x)]
        moving = [k for k in at if isinstance(operands[k], Value)]
        results, pullback = self.evaluate_with_pullback(native, arrays, moving)
        is_list = isinstance(results, list | tuple)
        outputs = list(results) if is_list else [results]
        kept = [k for k, y in enumerate(outputs) if is_ordinary_float(y)]
        if not at or not kept:
            return results
        operation = self.describe(name, form, operands, outputs, at, kept, names, rule)
        self.observer.value(operation, [host(arrays[k]) for k in at], [host(outputs[k]) for k in kept])
        if pullback is None or name in STOPS:
            return results
        numbers = [self.keep(y) if k in kept else None for k, y in enumerate(outputs)]
        sources = [operands[k].number if k in moving else None for k in at]
        types = [jax.ShapeDtypeStruct(np.shape(y), y.dtype) for y in outputs]
        inputs, places = [arrays[k] for k in at], [at.index(k) for k in moving]
        self.records.append(Differentiated(operation, inputs, sources, places, pullback, numbers, types, is_list))
        if name in KEPT and len(moving) == 1 and len(kept) == 1:
            self.labels[numbers[kept[0]]] = self.labels.get(operands[moving[0]].number, "")  # type: ignore[index]
        found = [y if n is None else Value(n) for n, y in zip(numbers, outputs, strict=True)]
        return found if is_list else found[0]

    def keep(self, x: Any) -> int:
        """The number of a new value."""
        self.numbers.append(x)
        self.dtypes.append(x.dtype)
        return len(self.numbers) - 1

    def evaluate_with_pullback(self, native: Callable[..., Any], arrays: list[Any], moving: list[int]) -> Any:
        """(results, what gives the gradients by the moving operands; None without any)."""
        if not moving:
            return native(*arrays), None

        def function(*given: Any) -> Any:
            filled = list(arrays)
            for k, x in zip(moving, given, strict=True):
                filled[k] = x
            return native(*filled)

        try:
            return jax.vjp(function, *(arrays[k] for k in moving))
        except (NotImplementedError, TypeError, ValueError) as error:  # a problem only if a gradient comes back
            return native(*arrays), functools.partial(no_derivative, error)

    def describe(
        self, name: str, form: Any, operands: Sequence[Any], outputs: Sequence[Any], at: Sequence[int],
        kept: Sequence[int], names: Sequence[str], rule: str,
    ) -> ModelOperation:  # fmt: skip
        dtypes = [str(self.concrete(operands[k]).dtype) for k in at] + [str(outputs[k].dtype) for k in kept]
        constants = [None if k in at else self.concrete(x) for k, x in enumerate(operands)]
        reason = "" if form is not None else f"no NumPy form of the operation {name} is known"

        def function(*given: Any) -> Sequence[Any]:
            filled = [None if k in at else plain(x) for k, x in enumerate(constants)]
            for k, x in zip(at, given, strict=True):
                filled[k] = x
            found = form(*filled)
            found = list(found) if isinstance(found, list | tuple) else [found]
            return [found[k] for k in kept]

        on_pairs, real = on_parts(function, dtypes, len(at))
        shapes = [np.shape(x) for x in (*map(self.concrete, operands), *outputs)]
        convolution, factors, arrangement = products_of(name if real == dtypes else "", self.params, shapes)
        labels = [self.labels.get(x.number, "") if isinstance(x, Value) else "" for x in (operands[k] for k in at)]
        return ModelOperation(
            name, self.module(labels), self.place, [names[k] for k in at], real,
            None if form is None else on_pairs, factors, convolution, arrangement,
            moves=name in MOVES, once=name in ONCE, rule=rule, reason=reason, labels=labels,
        )  # fmt: skip

    def module(self, labels: Sequence[str]) -> str:
        """The name of the module whose code calls the current operation."""
        found = module_of("/".join(filter(None, self.stacks)), self.root)
        if found is not None:
            return found
        return next((container_of(label) for label in labels if label), "")


def no_derivative(error: Exception, _: Any) -> Any:
    raise UsageError(f"an operation of the model has no derivative: {error}") from error


def plain(x: Any) -> Any:
    """A constant as NumPy's forms take it; keys of random numbers as they are."""
    ordinary = isinstance(x, jax.Array | np.ndarray) and not jnp.issubdtype(x.dtype, jax.dtypes.extended)
    return to_numpy(x) if ordinary else x


def is_ordinary_float(x: Any) -> bool:
    return not jnp.issubdtype(getattr(x, "dtype", np.int64), jax.dtypes.extended) and is_floating(x)


def host(x: Any) -> np.ndarray:
    """The numbers of an array, without a copy where NumPy has the dtype; 16-bit numbers as float32.

    Complex ones are a real array whose first axis holds their parts.
    """
    found = as_parts(np.asarray(x))
    return found.astype(np.float32) if found.dtype.itemsize < 4 and is_floating(found) else found


def cotangent(g: Any) -> np.ndarray:
    """The numbers of a cotangent; dL/dx + i dL/dy of a complex number x + i y, where JAX has dL/dx - i dL/dy."""
    return host(conjugated(g))


def argument_names(info: Any, count: int) -> list[str]:
    """What a function calls its arguments; constants that it refers to come first and have no names."""
    names = [str(name).removeprefix("args") for name in getattr(info, "arg_names", None) or ()]
    names = [""] * (count - len(names)) + names if len(names) < count else names
    return [name or f"operands[{k}]" for k, name in enumerate(names[:count])]


def run_model(model: Any, call: Call, cotangents: Callable[[list[Any]], Sequence[Any]], observer: ModelObserver) -> int:
    """Run a model and its backward pass once, and tell the observer of every operation.

    Args:
        model: The module or function.
        call: Its call.
        cotangents: The cotangents of the outputs; None for an output without one.
        observer: Is told of each operation.

    Returns:
        The number of operations with a backward pass.
    """
    try:
        with naming():
            closed: Any = jax.make_jaxpr(lambda *arrays: call.function(arrays))(*call.arrays)
    except (jax.errors.JAXTypeError, jax.errors.JAXIndexError) as error:
        reason = str(error).strip().split("\n")[0].rstrip(".")
        raise UsageError(f"the model cannot be traced: {reason}; leave out modules=True") from error
    owner = getattr(model, "__self__", model)
    recorder = ModelRecorder(observer, call, type(owner).__name__)
    operands = [Value(k) if k in call.wrt else x for k, x in enumerate(call.arrays)]
    outputs = recorder.run(closed.jaxpr, closed.consts, operands)
    seeds = cotangents([jnp.asarray(recorder.concrete(y)) for y in outputs])
    parts: dict[int, list[Any]] = {}
    for y, g in zip(outputs, seeds, strict=True):
        if g is not None and isinstance(y, Value):
            parts.setdefault(y.number, []).append(conjugated(g))
    count = len(recorder.records)
    while recorder.records:
        pass_back(recorder.records.pop(), parts, observer)
    for k in call.wrt:
        given = parts.pop(k, [])
        if len(given) != 1:
            total = sum_of(given) if given else None
            dtype = str(call.arrays[k].dtype)
            observed = None if total is None else cotangent(total)
            observer.total("", call.names[k], PARTS.get(dtype, dtype), list(map(cotangent, given)), observed)
    return count


def sum_of(parts: Sequence[Any]) -> Any:
    """Cotangents added by JAX in the order in which the backward pass meets them."""
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    return total


def pass_back(one: Differentiated, parts: dict[int, list[Any]], observer: ModelObserver) -> None:
    """Run the backward pass of one operation, and compare what it passes to its operands."""
    given = [parts.pop(n, []) if n is not None else [] for n in one.outputs]
    if not any(given):
        return
    totals = [sum_of(g) if g else None for g in given]
    pairs = zip(totals, one.types, strict=True)
    seeds = [zero_cotangent(kind) if g is None else g for g, kind in pairs]
    gradients = one.pullback(seeds if one.is_list else seeds[0])
    known = [None if g is None else cotangent(g) for g, n in zip(totals, one.outputs, strict=True) if n is not None]
    passed = [PassedGradient((k,), cotangent(g)) for k, g in zip(one.moving, gradients, strict=True)]
    observer.gradient(one.operation, list(map(host, one.inputs)), known, passed)
    for k, g in zip(one.moving, gradients, strict=True):
        parts.setdefault(one.sources[k], []).append(g)  # type: ignore[arg-type]


def zero_cotangent(kind: Any) -> Any:
    if jnp.issubdtype(kind.dtype, jnp.inexact):
        return jnp.zeros(kind.shape, kind.dtype)
    return np.zeros(kind.shape, jax.dtypes.float0)
