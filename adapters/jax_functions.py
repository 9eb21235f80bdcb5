"""Calls of JAX functions for the check of a user's function."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import tree_util

from gradagree.adapters.functions import Call, choose, gradient_call
from gradagree.adapters.jax_models import run_model
from gradagree.adapters.jax_modules import scopes
from gradagree.adapters.jax_programs import backward_passes, conjugated, replay, to_numpy, trace_program
from gradagree.adapters.operations import ModelObserver
from gradagree.adapters.program import Program
from gradagree.errors import UsageError

WIDE = {"float32": "complex64", "float64": "complex128"}
"""The dtype of complex numbers with parts of a dtype."""


class JaxFunctions:
    """See `gradagree.adapters.functions.FunctionAdapter`."""

    name = "jax"
    strided = False

    def owns(self, function: Any, args: Any) -> bool:
        return any(isinstance(leaf, jax.Array) for leaf in tree_util.tree_leaves((function, args)))

    def prepare(self, function: Any, args: Sequence[Any], kwargs: dict[str, Any], wrt: Any) -> Call:
        function = applied(function)
        tree = (function if not callable_only(function) else None, tuple(args), dict(kwargs))
        pairs, spec = tree_util.tree_flatten_with_path(tree)
        at = [k for k, (_, leaf) in enumerate(pairs) if is_numeric(leaf)]
        names = [name_of_path(pairs[k][0]) for k in at]
        arrays = [jnp.asarray(pairs[k][1]) for k in at]
        static = [leaf for _, leaf in pairs]
        results: list[str] = []

        def call(given: Sequence[Any]) -> list[Any]:
            leaves = list(static)
            for k, x in zip(at, given, strict=True):
                leaves[k] = x
            own, positional, named = tree_util.tree_unflatten(spec, leaves)
            roots = [("", own), *((f"args.{k}", x) for k, x in enumerate(positional)), *named.items()]
            with scopes(roots):
                found = (function if own is None else own)(*positional, **named)
            outputs = tree_util.tree_flatten_with_path(found)[0]
            results[:] = ["output" + tree_util.keystr(path) for path, _ in outputs]
            return [jnp.asarray(y) for _, y in outputs]

        return Call(call, names, arrays, select(names, arrays, wrt), results)

    def rebuild(self, args: Sequence[Any], kwargs: dict[str, Any], arrays: Sequence[Any]) -> tuple[Any, Any]:
        leaves, spec = tree_util.tree_flatten((tuple(args), dict(kwargs)))
        given = iter(arrays)
        return tree_util.tree_unflatten(spec, [next(given) if is_numeric(x) else x for x in leaves])

    def is_module(self, function: Any) -> bool:
        return not callable_only(function)

    def conjugated(self, x: Any) -> Any:
        return conjugated(x)

    def dtype(self, x: Any) -> str:
        return str(x.dtype)

    def to_numpy(self, x: Any) -> np.ndarray:
        return to_numpy(x)

    def on_host(self, x: Any) -> np.ndarray:
        found = np.asarray(x)
        return to_numpy(x) if found.dtype.kind == "V" or found.dtype.itemsize < 4 else found

    def array(self, x: np.ndarray, like: Any) -> Any:
        return jnp.asarray(x, dtype=like.dtype)

    def constant(self, x: np.ndarray) -> Any:
        return jnp.asarray(x)

    def in_dtype(self, thing: Any, dtype: str | None) -> Any:
        def convert(x: Any) -> Any:
            if not isinstance(x, jax.Array | np.ndarray):
                return x
            x = jnp.asarray(x)
            if dtype is None or not jnp.issubdtype(x.dtype, jnp.inexact):
                return x
            if jnp.issubdtype(x.dtype, jnp.floating):
                return x.astype(dtype)
            if dtype not in WIDE:
                raise UsageError(f"there are no complex numbers of dtype {dtype}; give dtypes='float32,float64'")
            return x.astype(WIDE[dtype])

        return tree_util.tree_map(convert, thing)

    def store(self, x: Any) -> tuple[np.ndarray, dict[str, Any]] | None:
        if not isinstance(x, jax.Array) or not is_numeric(x):
            return None
        narrow = jnp.issubdtype(x.dtype, jnp.floating) and x.dtype.itemsize < 4
        return np.asarray(x, "float32" if narrow else None), {"dtype": str(x.dtype)}

    def restore(self, numbers: np.ndarray, about: dict[str, Any]) -> Any:
        return jnp.asarray(numbers, dtype=about["dtype"])

    def settings(self) -> list[str]:
        return ["import jax", "", 'jax.config.update("jax_enable_x64", True)'] if jax.config.jax_enable_x64 else []

    def version(self) -> str:
        return str(jax.__version__)

    def device(self, x: Any) -> str:
        return next((one.device_kind for one in x.devices()), "") if isinstance(x, jax.Array) else "cpu"

    def precision(self) -> str:
        return str(jax.config.jax_default_matmul_precision)

    def copy(self, x: Any) -> Any:
        return x  # arrays of JAX cannot be written to

    def write(self, x: Any, numbers: Any) -> None:
        pass

    def same(self, a: Any, b: Any) -> bool:
        a, b = np.asarray(a), np.asarray(b)
        return bool(np.all((a == b) | ((a != a) & (b != b))))

    def layouts(self, _: Any) -> dict[str, Callable[[], Any]]:
        return {}

    def expanded(self, _: Any) -> Any:
        return None

    def expanded_ones(self, like: Any) -> Any:
        return jnp.asarray(np.ones(np.shape(like)), dtype=like.dtype)

    def uninitialized_as_nan(self) -> AbstractContextManager[Any]:
        return nullcontext()

    def precise(self) -> AbstractContextManager[Any]:
        return jax.enable_x64(True)

    def has_no_forward_mode(self, error: BaseException) -> bool:
        return isinstance(error, TypeError) and "forward-mode autodiff (jvp) to a custom_vjp" in str(error)

    def outputs(self, call: Call) -> list[Any]:
        return compiled(call, "outputs", call.function)(call.arrays)

    def vjp(self, call: Call, cotangents: Sequence[Any]) -> tuple[list[Any], list[Any]]:
        def function(arrays: Sequence[Any], seeds: Sequence[Any]) -> Any:
            outputs, vjp = jax.vjp(lambda moving: call.function(with_arrays(call, arrays, moving)), moved(call, arrays))
            both = zip(outputs, seeds, strict=True)
            found = vjp([zeros_of(y) if g is None else conjugated(g) for y, g in both])[0]
            return outputs, list(map(conjugated, found))

        seeds = list(cotangents)
        if any(g is None for g in seeds):
            seeds = filled(call, seeds)
        return compiled(call, "vjp", function)(call.arrays, seeds)

    def vjps(self, call: Call, many: Sequence[Sequence[Any]]) -> tuple[list[Any], list[list[Any]]]:
        found = [self.vjp(call, cotangents) for cotangents in many]
        return found[0][0], [gradients for _, gradients in found]

    def jvp(self, call: Call, tangents: Sequence[Any]) -> tuple[list[Any], list[Any]]:
        def function(arrays: Sequence[Any], tangents: Sequence[Any]) -> Any:
            return self.pushforward(call, arrays, tangents)

        return compiled(call, type(self).__name__, function)(call.arrays, list(tangents))

    def pushforward(self, call: Call, arrays: Sequence[Any], tangents: Sequence[Any]) -> tuple[list[Any], list[Any]]:
        """(outputs, their tangents) for other arrays than those of the call."""
        along = (moved(call, arrays),), (list(tangents),)
        return jax.jvp(lambda moving: call.function(with_arrays(call, arrays, moving)), *along)

    def tangent(self, call: Call, tangents: Sequence[Any]) -> Call:
        """The tangents of the floating-point outputs as a function of the call's arrays and then of the tangents."""

        def function(given: Sequence[Any]) -> list[Any]:
            arrays, along = given[: len(call.arrays)], given[len(call.arrays) :]
            return [t for t in self.pushforward(call, arrays, along)[1] if t.dtype != jax.dtypes.float0]

        types = jax.eval_shape(call.function, call.arrays)
        results = [
            f"tangent of {name}"
            for name, y in zip(call.results, types, strict=True)
            if jnp.issubdtype(y.dtype, jnp.inexact)
        ]
        names = [*call.names, *(f"tangent of {call.names[k]}" for k in call.wrt)]
        moving = range(len(call.arrays), len(names))
        return Call(function, names, [*call.arrays, *tangents], [*call.wrt, *moving], results)

    def gradient(self, call: Call, cotangents: Sequence[Any]) -> Call:
        kept = [k for k, g in enumerate(cotangents) if g is not None]

        def function(given: Sequence[Any]) -> list[Any]:
            arrays, seeds = given[: len(call.arrays)], dict(zip(kept, given[len(call.arrays) :], strict=True))
            outputs, vjp = jax.vjp(lambda moving: call.function(with_arrays(call, arrays, moving)), moved(call, arrays))
            given = [conjugated(seeds[k]) if k in seeds else zeros_of(y) for k, y in enumerate(outputs)]
            return list(map(conjugated, vjp(given)[0]))

        return gradient_call(call, cotangents, kept, function)

    def trace(self, call: Call) -> Program:
        return trace_program(lambda *arrays: call.function(arrays), call.arrays, call.names)

    def replay(self, program: Program, call: Call, cotangents: Sequence[Any]) -> tuple[list[Any], list[Any]]:
        return replay(program, call.arrays, cotangents)

    def watch(
        self, function: Any, call: Call, cotangents: Callable[[list[Any]], Sequence[Any]], observer: ModelObserver
    ) -> int:
        return run_model(function, call, cotangents, observer)

    def backward_passes(self, call: Call) -> list[tuple[str, str]]:
        return backward_passes(lambda *arrays: call.function(arrays), call.arrays)


class Linearized(JaxFunctions):
    """Tangents by `jax.linearize` in place of `jax.jvp`."""

    def pushforward(self, call: Call, arrays: Sequence[Any], tangents: Sequence[Any]) -> tuple[list[Any], list[Any]]:
        function = lambda moving: call.function(with_arrays(call, arrays, moving))  # noqa: E731
        outputs, linear = jax.linearize(function, moved(call, arrays))
        return outputs, linear(list(tangents))


def is_numeric(x: Any) -> bool:
    """True for an array of numbers; False for keys of random numbers and anything else."""
    return isinstance(x, jax.Array | np.ndarray) and not jnp.issubdtype(x.dtype, jax.dtypes.extended)


def applied(function: Any) -> Any:
    """The method ``apply`` of a module that holds no parameters, as those of flax.linen; anything else as it is."""
    separate = callable_only(function) and callable(getattr(function, "init", None))
    return function.apply if separate and callable(getattr(function, "apply", None)) else function


def callable_only(function: Any) -> bool:
    """True for a plain function; False for a callable that holds arrays, such as a module that is a pytree."""
    leaves = tree_util.tree_leaves(function)
    return len(leaves) == 1 and leaves[0] is function


class Compiled:
    """A function by ``jax.jit``, as programs are run, and so without compiling each operation alone.

    A function that reads numbers of its arrays runs operation by operation.

    Args:
        function: Takes arrays in any containers.
        programs: Compiled programs by their text, which functions with the same text share.
    """

    def __init__(self, function: Callable[..., Any], programs: dict[Any, Any]) -> None:
        self.function = function
        self.programs = programs
        self.known: dict[Any, Callable[..., Any]] = {}
        """The program by the types of the arguments."""

    def __call__(self, *args: Any) -> Any:
        leaves, structure = tree_util.tree_flatten(args)
        types = structure, jax.config.jax_enable_x64, *map(jax.typeof, leaves)
        if types not in self.known:
            self.known[types] = self.compile(args)
        return self.known[types](*args)

    def compile(self, args: Sequence[Any]) -> Callable[..., Any]:
        """The program for arguments of these types: tracing takes milliseconds, compiling a hundred times as long."""
        try:
            lowered = jax.jit(self.function).lower(*args)
        except (jax.errors.JAXTypeError, jax.errors.JAXIndexError):
            return self.function
        text = lowered.as_text()
        if text not in self.programs:
            self.programs[text] = lowered.compile()
        return self.programs[text]


def compiled(call: Call, what: str, function: Callable[..., Any]) -> Compiled:
    """The program of a call's function, or of its derivative; it is traced once."""
    programs = call.compiled.setdefault("programs", {})
    found: Compiled = call.compiled.setdefault((what, call.function, *call.wrt), Compiled(function, programs))
    return found


def filled(call: Call, cotangents: Sequence[Any]) -> list[Any]:
    """Cotangents with zeros for outputs that have none: JAX knows no difference."""
    types = call.compiled.get(("types", call.function))
    if types is None:
        types = call.compiled["types", call.function] = jax.eval_shape(call.function, call.arrays)
    return [
        jnp.zeros(y.shape, y.dtype) if g is None and jnp.issubdtype(y.dtype, jnp.inexact) else g
        for g, y in zip(cotangents, types, strict=True)
    ]


def zeros_of(y: Any) -> np.ndarray:
    """The cotangent of an output that has none, as JAX expects it."""
    floating = jnp.issubdtype(y.dtype, jnp.inexact)
    return np.zeros(np.shape(y), y.dtype if floating else jax.dtypes.float0)


def moved(call: Call, arrays: Sequence[Any]) -> list[Any]:
    return [arrays[k] for k in call.wrt]


def with_arrays(call: Call, arrays: Sequence[Any], moving: Sequence[Any]) -> list[Any]:
    found = list(arrays)
    for k, x in zip(call.wrt, moving, strict=True):
        found[k] = x
    return found


def name_of_path(path: Any) -> str:
    """``args[0]``, ``mask`` for a keyword argument, ``args[1]['w']`` inside a container, ``.weight`` of a module."""
    first, *rest = path
    if first.idx == 0:
        return tree_util.keystr(tuple(rest)).removeprefix(".") or "fn"
    if first.idx == 1:
        return "args" + tree_util.keystr(tuple(rest))
    return str(rest[0].key) + tree_util.keystr(tuple(rest[1:]))


def select(names: Sequence[str], arrays: Sequence[Any], wrt: Any) -> list[int]:
    """The positions of the arrays to differentiate: by default all floating ones."""
    floating = [k for k, x in enumerate(arrays) if jnp.issubdtype(x.dtype, jnp.inexact)]
    return floating if wrt is None else choose({names[k]: k for k in floating}, wrt)
