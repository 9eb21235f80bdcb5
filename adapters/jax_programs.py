"""Tracing of JAX programs into steps of primitives, and their replay with every cotangent kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax._src import source_info_util
from jax.extend import core as jcore

from gradagree.adapters.lax import numpy_form
from gradagree.adapters.lax.iterations import ITERATIONS, OWN_FILES, iteration
from gradagree.adapters.program import STOPS, Program, Step
from gradagree.errors import UsageError
from gradagree.reference.graph import Value
from gradagree.reference.operations.moves import constant, stop_gradient

COMPILED = ("jit", "pjit")
"""Primitives that stand for a compiled function."""
OPENED = {
    "jit": "jaxpr", "pjit": "jaxpr", "closed_call": "call_jaxpr", "core_call": "call_jaxpr", "remat2": "jaxpr",
    "checkpoint": "jaxpr", "custom_jvp_call": "call_jaxpr", "custom_vjp_call": "call_jaxpr",
    "custom_vjp_call_jaxpr": "fun_jaxpr", "custom_lin": "jaxpr", "composite": "jaxpr",
}  # fmt: skip
"""Primitives that stand for a program of their own, and the parameter that holds it."""

EXACT = frozenset({
    "abs", "and", "broadcast_in_dim", "clamp", "concatenate", "convert_element_type", "copy", "copy_p", "dynamic_slice",
    "dynamic_update_slice", "eq", "expand_dims", "floor", "gather", "ge", "gt", "iota", "le", "lt", "max", "min", "ne",
    "neg", "not", "or", "pad", "reduce_and", "reduce_max", "reduce_min", "reduce_or", "reshape", "rev", "select_n",
    "sign", "slice", "split", "squeeze", "stop_gradient", "transpose", "xor",
})  # fmt: skip
"""Primitives that round nothing: constants are computed by their NumPy forms, which takes no time to compile."""
CONVERSIONS = frozenset({"convert_element_type", "eig", "eigh", "nextafter", "reduce_precision", "svd"})
"""Primitives whose NumPy form needs the dtype that its operand has in the program, as the parameter ``source``."""
ALIKE: dict[str, Callable[..., Any]] = {
    "eq": lambda x, _: np.logical_not(np.isnan(x)), "ne": lambda x, _: np.isnan(x),
}  # fmt: skip
"""What a comparison of a number with itself asks."""
OWN = str(Path(__file__).resolve().parent)
"""Where this package's own frames are."""
LONGEST = 300
"""Iterations of a while loop that are unrolled."""
WHOLE = frozenset({"add", "mul", "sub"})
"""Primitives that round nothing for integers."""


def to_numpy(x: Any) -> np.ndarray:
    """An array as float64 or complex128 (or with its integers, or truth values), on the host."""
    found = np.asarray(x)
    if jnp.issubdtype(found.dtype, jnp.complexfloating):
        return found.astype(np.complex128)
    return found.astype(np.float64) if jnp.issubdtype(found.dtype, jnp.floating) else found


def is_floating(x: Any) -> bool:
    return bool(jnp.issubdtype(jnp.result_type(x), jnp.inexact))


def trace_program(function: Callable[..., Any], inputs: Sequence[Any], names: Sequence[str]) -> Program:
    """The primitives of a function of arrays, for the given inputs.

    ``jit``, ``custom_jvp``, ``custom_vjp`` and ``checkpoint`` are opened into their forward operations; ``scan``,
    ``cond`` and ``while`` are unrolled. Integers are constants: only floating-point numbers, and comparisons of them,
    are values.

    Args:
        function: Takes the arrays and returns a list of arrays.
        inputs: The arrays.
        names: Names of the inputs, for messages.

    Raises:
        UsageError: The function cannot be traced: it branches on numbers of its arrays, for example.
    """
    try:
        closed: Any = jax.make_jaxpr(function)(*inputs)
    except Exception as error:  # whatever the user's program raises under tracing
        reason = str(error).strip().split("\n")[0].rstrip(".")
        raise UsageError(f"the function cannot be traced: {reason}; give a reference function in NumPy") from error
    recorder = ProgramRecorder([to_numpy(x) for x in inputs], list(names), [x.dtype for x in inputs])
    operands = [Value(k) if is_floating(x) else x for k, x in enumerate(inputs)]
    outputs = recorder.run(closed.jaxpr, closed.consts, operands)
    results = [x if isinstance(x, Value) else to_numpy(x) for x in outputs]
    return Program(list(names), recorder.steps, results, native=recorder.natives, estimators=recorder.estimators)


class ProgramRecorder:
    """Evaluates a program operation by operation and records those that depend on floating-point inputs."""

    def __init__(self, inputs: list[Any], names: list[str], dtypes: list[Any]) -> None:
        self.numbers = inputs
        self.names = names
        self.dtypes = dtypes
        self.custom = 0
        """How many functions with a derivative of their own are being evaluated."""
        self.estimators: list[str] = []
        self.integers: dict[int, Any] = {}
        self.steps: list[Step] = []
        self.natives: list[tuple[Callable[..., Any], tuple[Any, ...]]] = []
        self.place = ""

    def concrete(self, x: Any) -> Any:
        return self.numbers[x.number] if isinstance(x, Value) else x

    def record(
        self, name: str, form: Any, native: Callable[..., Any], operands: Sequence[Any], types: Sequence[Any] = ()
    ) -> Any:
        """Append a step unless nothing in it depends on the inputs; the value, a constant in that case.

        types: The types of the outputs; without them they are floating-point numbers.
        """
        if not any(isinstance(x, Value) for x in operands):
            if not self.rounds(name, form, operands, types):
                return self.constant(name, form, native, operands, types)
            operands = [self.traced(x) if k == first_float(operands) else x for k, x in enumerate(operands)]
        if form is None:  # its operand's copies have as cotangents what it passes back
            operands = [self.record("copy", np.copy, jnp.copy, [x]) if self.is_inexact(x) else x for x in operands]
        given = [x if isinstance(x, Value) else to_numpy(x) for x in operands]
        known = self.evaluate(form, native, operands, given)
        several = isinstance(known, list | tuple)
        if not several and np.asarray(known).dtype.kind in "iu":
            return self.keep_integers(as_type(known, types))
        output = Value(len(self.names) + len(self.steps))
        self.steps.append(Step(name, form, tuple(given), {}, output.number, self.place))
        self.natives.append((native, tuple(operands)))
        dtype = types[0].dtype if types else next(self.dtypes[x.number] for x in operands if isinstance(x, Value))
        self.dtypes.append(dtype)
        self.numbers.append(known if several else rounded(known, dtype))
        if not several:
            return output
        parts = zip(range(len(known)), types, strict=False)
        return [self.record("getitem", item(k), item(k), [output], [kind]) for k, kind in parts]

    def is_inexact(self, x: Any) -> bool:
        return (
            isinstance(x, Value)
            and self.dtypes[x.number] is not None
            and bool(jnp.issubdtype(self.dtypes[x.number], jnp.inexact))
        )

    def rounds(self, name: str, form: Any, operands: Sequence[Any], types: Sequence[Any]) -> bool:
        """True for an operation on constants whose floating-point results another program may round otherwise."""
        if form is None or name.removeprefix("lax.") in EXACT or first_float(operands) is None:
            return False
        known = self.of_dtype(operands[first_float(operands)].dtype) is not None  # type: ignore[index]
        return known and bool(types) and all(jnp.issubdtype(kind.dtype, jnp.floating) for kind in types)

    def of_dtype(self, dtype: Any) -> int | None:
        """The first value of a dtype, whose arithmetic is that of a constant; None without any."""
        found = (k for k, kind in enumerate(self.dtypes) if kind == dtype and isinstance(self.numbers[k], np.ndarray))
        return next(found, None)

    def traced(self, x: Any) -> Value:
        """A constant as a value of the program."""
        kind = jax.ShapeDtypeStruct(np.shape(x), x.dtype)
        like = Value(self.of_dtype(x.dtype))  # type: ignore[arg-type]
        return self.record("constant", constant, lambda _, c: c, [like, x], [kind])

    def constant(self, name: str, form: Any, native: Any, operands: Sequence[Any], types: Sequence[Any]) -> Any:
        """The value of an operation on constants, in their dtype."""
        primitive = name.removeprefix("lax.")
        if any(id(x) in self.integers for x in operands):
            if primitive == "bitcast_convert_type" and jnp.issubdtype(types[0].dtype, jnp.floating):
                raise UsageError(
                    f"the function makes numbers from the bits of others{where(self.place)}; "
                    "give a reference function in NumPy"
                )
            found = self.ordinary(primitive, form, native, operands, types)
            return found if isinstance(found, list | tuple) else self.keep_integers(found)
        return self.ordinary(primitive, form, native, operands, types)

    def keep_integers(self, x: Any) -> Any:
        """Remember that these integers depend on the inputs."""
        self.integers[id(x)] = x
        return x

    def ordinary(self, primitive: str, form: Any, native: Any, operands: Sequence[Any], types: Sequence[Any]) -> Any:
        """The value of an operation on constants: by NumPy where that rounds nothing, or else by JAX."""
        whole = bool(types) and primitive in WHOLE and types[0].dtype.kind in "iu"
        if form is None or not (primitive in EXACT or whole):
            return native(*operands)
        with np.errstate(all="ignore"):
            found = form(*map(to_numpy, operands))
        if isinstance(found, list | tuple):
            return [as_type(x, [kind]) for x, kind in zip(found, types, strict=True)]
        return as_type(found, types)

    def evaluate(self, form: Any, native: Callable[..., Any], operands: Sequence[Any], given: Sequence[Any]) -> Any:
        """The value of an operation: by its NumPy form, which takes no time to compile, or else by JAX."""
        if form is not None:
            with np.errstate(all="ignore"):
                return form(*map(self.concrete, given))
        found = native(*(self.stored(x) for x in operands))
        return [to_numpy(y) for y in found] if isinstance(found, list | tuple) else to_numpy(found)

    def stored(self, x: Any) -> Any:
        """A value as an array of the dtype that it has in the program."""
        return jnp.asarray(self.concrete(x), self.dtypes[x.number]) if isinstance(x, Value) else x

    def run(self, jaxpr: Any, consts: Sequence[Any], operands: Sequence[Any]) -> list[Any]:
        """The outputs of a jaxpr."""
        known: dict[Any, Any] = dict(zip(jaxpr.constvars, consts, strict=True))
        known.update(zip(jaxpr.invars, operands, strict=True))

        def read(v: Any) -> Any:
            return np.asarray(v.val, v.aval.dtype) if isinstance(v, jcore.Literal) else known[v]

        for equation in jaxpr.eqns:
            self.place = place_of(equation) or self.place
            given = [read(v) for v in equation.invars]
            found = self.equation(equation, given)
            known.update(zip(equation.outvars, found, strict=True))
        return [read(v) for v in jaxpr.outvars]

    def equation(self, equation: Any, operands: list[Any]) -> list[Any]:
        name, params = equation.primitive.name, equation.params
        if is_frexp(equation):
            return self._frexp(equation, operands)
        if name in COMPILED and (whole := self.iteration(params, operands)):
            own, function = whole
            return [self.record(f"jax.{params['name']}", own, function, operands, [equation.outvars[0].aval])]
        if name in OPENED:
            inner = params[OPENED[name]]
            consts = getattr(inner, "consts", ())
            self.custom += name.startswith("custom_")
            first = len(self.steps)
            found = self.run(getattr(inner, "jaxpr", inner), consts, operands)
            self.custom -= name.startswith("custom_")
            if name.startswith("custom_vjp"):
                self.estimators += stopped(self.steps[first:], operands, found)
            return found
        if name in ("scan", "while", "cond", "reduce"):
            return getattr(self, f"_{name}")(params, operands)
        if name == "custom_linear_solve":
            return self._solve(params, operands)

        def native(*given: Any) -> Any:
            found = equation.primitive.bind(*given, **params)
            return jnp.tril(found) if name == "cholesky" else found  # the other triangle holds anything

        numbers = [self.concrete(x) for x in operands]
        known = {**params, "source": str(equation.invars[0].aval.dtype)} if name in CONVERSIONS else params
        form = numpy_form(name, known, numbers) if all(map(is_ordinary, numbers)) else None
        if name in ALIKE and all(isinstance(x, Value) for x in operands) and operands[0] == operands[1]:
            form = ALIKE[name]
        found = self.record(f"lax.{name}", form, native, operands, [v.aval for v in equation.outvars])
        return list(found) if equation.primitive.multiple_results else [found]

    def iteration(self, params: dict[str, Any], operands: Sequence[Any]) -> Any:
        """(NumPy form, JAX's function) of a function of JAX that iterates; None for any other."""
        if params["name"] not in ITERATIONS:
            return None
        info = params["jaxpr"].jaxpr.debug_info.func_src_info or ""
        return iteration(params["name"], info, [jnp.asarray(self.stored(x)) for x in operands])

    def _frexp(self, equation: Any, operands: list[Any]) -> list[Any]:
        """x times a power of two, and the exponent: the program takes both from the bits of x."""
        program = equation.params["call_jaxpr"]
        mantissa, exponent = jcore.jaxpr_as_fun(program)(*map(self.stored, operands))
        kind = jax.ShapeDtypeStruct(mantissa.shape, mantissa.dtype)
        minus = -np.asarray(exponent).astype(mantissa.dtype)
        power = self.record("lax.exp2", np.exp2, jnp.exp2, [minus], [kind])
        found = self.record("lax.mul", np.multiply, jnp.multiply, [operands[0], power], [kind])
        return [found, self.keep_integers(np.asarray(exponent))]

    def _cond(self, params: dict[str, Any], operands: list[Any]) -> list[Any]:
        index, *rest = operands
        branches = params["branches"]
        branch = branches[int(np.clip(np.asarray(self.concrete(index)), 0, len(branches) - 1))]
        return self.run(branch.jaxpr, branch.consts, rest)

    def _reduce(self, params: dict[str, Any], operands: list[Any]) -> list[Any]:
        """A reduction by a function of the user, one entry after the other."""
        count = len(operands) // 2
        shape, axes = np.shape(self.concrete(operands[0])), params["dimensions"]
        kept = tuple(n for k, n in enumerate(shape) if k not in axes)
        order = (*(k for k in range(len(shape)) if k not in axes), *axes)
        places = np.transpose(np.arange(int(np.prod(shape))).reshape(shape), order).reshape(int(np.prod(kept)), -1)

        def column(k: int) -> Callable[[Any], Any]:
            return lambda x: x.reshape(-1)[places[:, k]]

        def filled(xp: Any) -> Callable[[Any], Any]:
            return lambda x: xp.broadcast_to(x, (len(places),))

        carry = [self.record("reduce", filled(np), filled(jnp), [x]) for x in operands[count:]]
        types = [jax.ShapeDtypeStruct((len(places),), v.aval.dtype) for v in params["jaxpr"].invars]
        inner = jax.vmap(lambda *xs: jcore.jaxpr_as_fun(jcore.ClosedJaxpr(params["jaxpr"], ()))(*xs))
        body = jax.make_jaxpr(inner)(*types)
        for k in range(places.shape[1]):
            columns = [self.record("reduce", column(k), column(k), [x]) for x in operands[:count]]
            carry = self.run(body.jaxpr, body.consts, [*carry, *columns])

        def shaped(xp: Any) -> Callable[[Any], Any]:
            return lambda x: xp.reshape(x, kept)

        return [self.record("reduce", shaped(np), shaped(jnp), [x]) for x in carry]

    def _while(self, params: dict[str, Any], operands: list[Any]) -> list[Any]:
        n, m = params["cond_nconsts"], params["body_nconsts"]
        tests, own, carry = operands[:n], operands[n : n + m], operands[n + m :]
        condition, body = params["cond_jaxpr"], params["body_jaxpr"]
        for _ in range(LONGEST):
            (going,) = self.run(condition.jaxpr, condition.consts, [*tests, *carry])
            if isinstance(going, Value) and self.custom:
                raise UsageError(
                    f"the function iterates until its numbers are close enough{where(self.place)}, so that the "
                    "derivative of its steps is not that of the function; give a reference function"
                )
            if not np.any(self.concrete(going)):
                return carry
            found = self.run(body.jaxpr, body.consts, [*own, *carry])
            if np.ndim(self.concrete(going)):  # a batch of loops, each of which ends at its own time
                found = [self.chosen(going, new, old) for new, old in zip(found, carry, strict=True)]
            carry = found
        raise UsageError(f"a while loop runs more than {LONGEST} times{where(self.place)}; give a reference function")

    def chosen(self, which: Any, new: Any, old: Any) -> Any:
        """The new values where a condition on the leading axes is true."""
        lined = (*np.shape(self.concrete(which)), *(1,) * (np.ndim(self.concrete(new)) - np.ndim(self.concrete(which))))
        dtype = self.dtypes[new.number] if isinstance(new, Value) else np.asarray(new).dtype
        return self.record(
            "lax.select_n", lambda which, x, y: np.where(np.reshape(which, lined), x, y),
            lambda which, x, y: jnp.where(jnp.reshape(which, lined), x, y), [which, new, old],
            [jax.ShapeDtypeStruct((), dtype)],
        )  # fmt: skip

    def _solve(self, params: dict[str, Any], operands: list[Any]) -> list[Any]:
        """x of A x = b: the solution x0, as a constant, plus that of A d = b - A x0, which has the derivative of x."""
        lengths, programs = params["const_lengths"], params["jaxprs"]
        own = operands[: lengths.matvec]
        first = lengths.matvec + lengths.vecmat
        solver = [self.stop(x) for x in operands[first : first + lengths.solve]]
        right = operands[first + lengths.solve + lengths.transpose_solve :]
        solve, product = programs.solve, programs.matvec
        start = [self.stop(x) for x in self.run(solve.jaxpr, solve.consts, [*solver, *right])]
        reached = self.run(product.jaxpr, product.consts, [*own, *start])
        rest = [self.record("lax.sub", np.subtract, jnp.subtract, pair) for pair in zip(right, reached, strict=True)]
        more = self.run(solve.jaxpr, solve.consts, [*solver, *rest])
        return [self.record("lax.add", np.add, jnp.add, pair) for pair in zip(start, more, strict=True)]

    def stop(self, x: Any) -> Any:
        return self.record("lax.stop_gradient", stop_gradient, lax.stop_gradient, [x])

    def _scan(self, params: dict[str, Any], operands: list[Any]) -> list[Any]:
        n, m = params["num_consts"], params["num_carry"]
        own, carry, over = operands[:n], operands[n : n + m], operands[n + m :]
        body, length = params["jaxpr"], params["length"]
        rows: list[list[Any]] = []
        order = range(length - 1, -1, -1) if params["reverse"] else range(length)
        for k in order:
            slices = [self.record("scan", item(k), item(k), [x]) for x in over]
            found = self.run(body.jaxpr, body.consts, [*own, *carry, *slices])
            carry, row = found[:m], found[m:]
            rows.append(row)
        rows = rows[::-1] if params["reverse"] else rows
        stacked = [
            self.record("scan", lambda *xs: np.stack(xs, axis=0), lambda *xs: jnp.stack(xs), list(column))
            for column in zip(*rows, strict=True)
        ]
        return [*carry, *stacked]


def is_frexp(equation: Any) -> bool:
    """True for JAX's function that takes numbers apart by their bits."""
    is_custom = equation.primitive.name == "custom_jvp_call"
    return is_custom and equation.params["call_jaxpr"].jaxpr.debug_info.func_name == "_frexp"


def first_float(operands: Sequence[Any]) -> int | None:
    """The first operand of floating-point numbers; None without any."""
    return next((k for k, x in enumerate(operands) if not isinstance(x, Value) and is_floating(x)), None)


def stopped(steps: Sequence[Step], inputs: Sequence[Any], outputs: Sequence[Any]) -> list[str]:
    """Where steps stop the gradient on all ways from inputs to outputs; nothing if one way is open."""
    reached, stops = {x.number for x in inputs if isinstance(x, Value)}, []
    for step in steps:
        if reached.isdisjoint(x.number for x in step.operands if isinstance(x, Value)):
            continue
        if step.name in STOPS:
            stops.append(step.place)
        else:
            reached.add(step.output)
    return [] if reached.intersection(x.number for x in outputs if isinstance(x, Value)) else stops


def item(k: int) -> Callable[[Any], Any]:
    return lambda x: x[k]


def where(place: str) -> str:
    return f" (called at {place})" if place else ""


def is_ordinary(x: Any) -> bool:
    """True for numbers and truth values; False for keys of random numbers."""
    return not jnp.issubdtype(getattr(x, "dtype", float), jax.dtypes.extended)


def as_type(x: Any, types: Sequence[Any]) -> Any:
    return np.asarray(x, dtype=types[0].dtype) if types else x


def rounded(x: Any, dtype: Any) -> np.ndarray:
    """Numbers as they are stored in the dtype."""
    with np.errstate(all="ignore"):
        return to_numpy(np.asarray(x).astype(dtype))


def place_of(equation: Any) -> str:
    """File and line of the user's code."""
    for frame in source_info_util.user_frames(equation.source_info.traceback):
        if not frame.file_name.startswith(OWN):
            return f"{frame.file_name}:{frame.start_line}"
    return ""


def conjugated(g: Any) -> Any:
    """From dL/dx - i dL/dy, which JAX has for a complex number x + i y, to dL/dx + i dL/dy, and back."""
    return jnp.conj(g) if jnp.issubdtype(jnp.result_type(g), jnp.complexfloating) else g


def replay(program: Program, inputs: Sequence[Any], cotangents: Sequence[Any | None]) -> tuple[list[Any], list[Any]]:
    """All values of the traced program and their cotangents, by JAX itself.

    Returns:
        Two lists by the numbers of the values; None for a cotangent that is not a floating-point array.
    """

    def run(arrays: Sequence[Any], zeros: dict[int, Any]) -> list[Any]:
        values = list(arrays)
        for native, operands in program.native:
            given = [values[x.number] if isinstance(x, Value) else x for x in operands]
            found = native(*given)
            k = len(values)
            values.append(found + zeros[k] if k in zeros else found)
        return values

    plain = run(inputs, {})
    arrays = {k: x for k, x in enumerate(plain) if not isinstance(x, list | tuple) and is_floating(x)}
    first = len(program.inputs)
    zeros = {k: jnp.zeros_like(x) for k, x in arrays.items() if k >= first}
    moving = {k: inputs[k] for k in range(first) if k in arrays}

    def outputs(moving: dict[int, Any], zeros: dict[int, Any]) -> list[Any]:
        values = run([moving.get(k, x) for k, x in enumerate(inputs)], zeros)
        return [values[x.number] for x, g in zip(program.outputs, cotangents, strict=True) if kept(x, g)]

    def kept(x: Any, g: Any) -> bool:
        return isinstance(x, Value) and g is not None

    seeds = [conjugated(g) for x, g in zip(program.outputs, cotangents, strict=True) if kept(x, g)]
    try:
        _, vjp = jax.vjp(outputs, moving, zeros)
    except Exception as error:  # an operation that only the backward pass of the user differentiates
        raise UsageError(f"the operations of the program have no derivative: {error}") from error
    by_inputs, by_zeros = vjp(seeds)
    found = {k: conjugated(g) for k, g in (by_inputs | by_zeros).items()}
    return plain, [found.get(k) for k in range(len(plain))]


def backward_passes(function: Callable[..., Any], inputs: Sequence[Any]) -> list[tuple[str, str]]:
    """(name, file and line) of the derivative rules of the ``custom_vjp`` and ``custom_jvp`` functions in a program.

    JAX's own functions with such rules, relu among them, do not count.
    """
    found: dict[tuple[str, str], None] = {}

    def search(jaxpr: Any) -> None:
        for equation in jaxpr.eqns:
            rule = equation.params.get("bwd", equation.params.get("jvp_jaxpr_fun"))
            info = getattr(getattr(rule, "debug_info", None), "func_src_info", None)
            name, separator, place = (info or "").partition(" at ")
            if separator and not place.startswith(OWN_FILES):
                found[name, place] = None
            for inner in jcore.jaxprs_in_params(equation.params):
                search(inner)

    search(jax.make_jaxpr(function)(*inputs).jaxpr)
    return list(found)
