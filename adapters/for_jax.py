"""JAX, on the CPU, one thread, with 64-bit numbers enabled. The framework is imported when the adapter is created."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from gradagree.adapters.adapter import Adapter
from gradagree.adapters.cache import cache_folder
from gradagree.adapters.entry_points import EntryPoints
from gradagree.adapters.graph_problem import GraphProblem
from gradagree.adapters.jax_flow import derivatives_flow
from gradagree.adapters.jax_packed import Packed
from gradagree.adapters.jax_packed_graphs import PackedGraphs
from gradagree.adapters.modes import Error, Mode, PointwiseMode, ScriptText
from gradagree.adapters.pointwise import Pointwise
from gradagree.adapters.problem import Answer, Problem, Unsupported


def grad(error: Error, per_example: Sequence[bool]) -> Callable[..., Any]:
    """``jax.value_and_grad``: reverse mode, operation by operation."""
    import jax

    return jax.value_and_grad(error, has_aux=True)


def jit(error: Error, per_example: Sequence[bool]) -> Callable[..., Any]:
    """``jax.jit(jax.value_and_grad)``: reverse mode, compiled as one program."""
    import jax

    return jax.jit(grad(error, per_example))


def vmap(error: Error, per_example: Sequence[bool]) -> Callable[..., Any]:
    """``jax.vmap(jax.value_and_grad)``: the gradients of single examples, summed."""
    import jax

    def alone(leaves: list[Any], target: Any) -> Any:
        return error([x[None] if own else x for x, own in zip(leaves, per_example, strict=True)], target[None])

    mapped = jax.vmap(jax.value_and_grad(alone, has_aux=True), in_axes=([0 if own else None for own in per_example], 0))

    def gradient(leaves: list[Any], targets: Any) -> Any:
        (E, aux), gradients = mapped(leaves, targets)
        summed = [x if own else x.sum(axis=0) for x, own in zip(gradients, per_example, strict=True)]
        return (E.sum(), [c[:, 0] for c in aux]), summed

    return gradient


def forward(error: Error, per_example: Sequence[bool]) -> Callable[..., Any]:
    """``jax.jacfwd``: forward mode, one tangent for each coordinate."""
    import jax

    def gradient(leaves: list[Any], targets: Any) -> Any:
        with unsupported_functions():
            return error(leaves, targets), jax.jacfwd(lambda leaves: error(leaves, targets)[0])(leaves)

    return gradient


def packed(error: Error, per_example: Sequence[bool]) -> Callable[..., Any]:
    """One padded program for each operation (`gradagree.adapters.jax_packed`); it has no gradient function."""
    raise Unsupported("jax: packed has no gradient function; call the adapter's method answers")


@contextmanager
def unsupported_functions() -> Iterator[None]:
    """Raise Unsupported where a mode cannot trace a function: a custom_vjp forward, or Python code that needs numbers.

    For example ``if p.sum() > 0``, ``np.asarray(p)`` and ``p[p > 0]``, which ``grad`` may accept.
    """
    from jax import errors

    needs_numbers = (
        errors.ConcretizationTypeError, errors.NonConcreteBooleanIndexError, errors.TracerArrayConversionError,
        errors.TracerIntegerConversionError,
    )  # fmt: skip
    try:
        yield
    except needs_numbers as wrong:
        raise Unsupported(f"jax: {str(wrong).splitlines()[0]}") from wrong
    except TypeError as wrong:
        if "forward-mode autodiff (jvp) to a custom_vjp" not in str(wrong):
            raise
        raise Unsupported("jax: a function with a custom_vjp has no forward mode; give it a custom_jvp") from wrong


def cache(version: str) -> dict[str, Any]:
    """Settings for JAX's own cache of compiled programs, in a private folder; none if it is switched off or fails.

    A program in it was compiled by the same version for the same machine; its results are checked like any others.
    """
    path = cache_folder(f"jax-{version}")
    if path is None:
        return {}
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError:
        return {}
    return {
        "jax_compilation_cache_dir": str(path),
        "jax_persistent_cache_min_compile_time_secs": 0,
        "jax_persistent_cache_min_entry_size_bytes": -1,
    }


REVERSE_SOURCE = "jax.value_and_grad(error, tuple(range(len(leaves))), has_aux=True)"
JIT_SOURCE = f"(E, values), gradients = jax.jit({REVERSE_SOURCE})(*leaves, target)"
"""For ``packed`` too: its programs need gradagree; a script compiled as one program uses the same derivatives."""
VMAP_SOURCE = """\
def alone(*leaves_and_target):
    E, values = error(*(x[None] if own else x for x, own in zip(leaves_and_target, each + [True])))
    return E{scale}, values


each = {each}
one_by_one = jax.value_and_grad(alone, tuple(range(len(leaves))), has_aux=True)
mapped = jax.vmap(one_by_one, tuple(0 if own else None for own in each + [True]))
(E, values), gradients = mapped(*leaves, target)
E, values = E.sum(), [c[:, 0] for c in values]
gradients = [x if own else x.sum(0) for x, own in zip(gradients, each)]"""
FORWARD_SOURCE = (
    "E, values = error(*leaves, target)\n"
    "gradients = jax.jacfwd(lambda *leaves: error(*leaves, target)[0], tuple(range(len(leaves))))(*leaves)"
)


class ForJax(Adapter):
    """jax.Array on the CPU."""

    name = "jax"
    install = "pip install 'gradagree[jax]'"
    modes = {
        "grad": Mode(grad, compiles=True, source=f"(E, values), gradients = {REVERSE_SOURCE}(*leaves, target)"),
        "jit": Mode(jit, fused=True, compiles=True, source=JIT_SOURCE),
        "vmap": Mode(vmap, per_example=True, compiles=True, by_default=False, source=VMAP_SOURCE),
        "forward": Mode(forward, forward=True, compiles=True, by_default=False, source=FORWARD_SOURCE),
        "packed": Mode(packed, fused=True, source=JIT_SOURCE),
    }
    script = ScriptText(
        settings=(
            'jax.config.update("jax_enable_x64", True)\njax.config.update("jax_default_matmul_precision", "highest")'
        ),
        leaves='leaves = [jax.numpy.array(x, dtype="{dtype}") for x in arrays]',
        target="target = jax.numpy.array(target{to})",
        target_dtype=', dtype="{dtype}"',
        setup="jax.config.update('jax_enable_x64', True)",
        tensor="jax.numpy.array({}, dtype={!r})",
        parameter="jax.numpy.asarray({}, p.dtype)",
        scalar="float({})",
        ones="along = jax.numpy.ones_like(x)",
        unit="along = jax.numpy.zeros_like(x).at[..., {}].set(1)",
        output_ones="out = jax.numpy.ones_like(f(x, *t))",
        output_unit="out = jax.numpy.zeros_like(f(x, *t)).at{}.set(1)",
        modules={"jax": "jax", "optax": "optax", "jnp": "jax.numpy", "special": "jax.scipy.special"},
        conversions=("asarray", "jax.numpy.array", "jax.numpy.sum", "split"),
    )
    training = "jit"
    position = 2
    survey_processes = 2
    compiles_lengths = True
    pointwise_modes = {
        "value": {
            "eager": PointwiseMode(source="found = f(x, *t)"),
            "jit": PointwiseMode(lengths=True, quick=True, source="found = jax.jit(f)(x, *t)"),
            "vmap": PointwiseMode(
                source=("found = jax.jit(jax.vmap(lambda row, *ts: f(row[None], *(t[None] for t in ts))[0]))(x, *t)")
            ),
        },
        "slope": {
            "grad": PointwiseMode(
                sums=True, source=("slope = lambda x: jax.vjp(lambda x: f(x, *t), x)[1](out)[0]\nfound = slope(x)")
            ),
            "jit": PointwiseMode(
                sums=True,
                lengths=True,
                quick=True,
                source=("slope = lambda x: jax.vjp(lambda x: f(x, *t), x)[1](out)[0]\nfound = jax.jit(slope)(x)"),
            ),
            "vmap": PointwiseMode(
                source=(
                    "alone = lambda x, out, *ts: "
                    "jax.vjp(lambda x: f(x, *(t[None] for t in ts)), x[None])[1](out[None])[0][0]\n"
                    "found = jax.jit(jax.vmap(alone))(x, out, *t)"
                )
            ),
            "forward": PointwiseMode(
                source="found = jax.jit(lambda x: jax.jvp(lambda x: f(x, *t), (x,), (along,))[1])(x)"
            ),
        },
        "second": {
            "reverse-reverse": PointwiseMode(
                sums=True,
                quick=True,
                source=(
                    "slope = lambda x: jax.vjp(lambda x: f(x, *t), x)[1](out)[0]\n"
                    "found = jax.jit(lambda x: jax.vjp(slope, x)[1](along)[0])(x)"
                ),
            ),
            "forward-reverse": PointwiseMode(
                sums=True,
                source=(
                    "slope = lambda x: jax.vjp(lambda x: f(x, *t), x)[1](out)[0]\n"
                    "found = jax.jit(lambda x: jax.jvp(slope, (x,), (along,))[1])(x)"
                ),
            ),
            "reverse-forward": PointwiseMode(
                source=(
                    "ahead = lambda x: jax.jvp(lambda x: f(x, *t), (x,), (along,))[1]\n"
                    "found = jax.jit(lambda x: jax.vjp(ahead, x)[1](out)[0])(x)"
                )
            ),
            "forward-forward": PointwiseMode(
                source=(
                    "ahead = lambda x: jax.jvp(lambda x: f(x, *t), (x,), (along,))[1]\n"
                    "found = jax.jit(lambda x: jax.jvp(ahead, (x,), (across,))[1])(x)"
                )
            ),
        },
    }
    other_processors = ({"XLA_FLAGS": "--xla_cpu_max_isa=SSE4_2"}, {"XLA_FLAGS": "--xla_cpu_max_isa=AVX2"})
    libraries = ("optax",)
    entry_points = {
        "jax": EntryPoints(("jax.nn", "jax.numpy", "jax.scipy.special")),
        "optax": EntryPoints(("optax", "optax.losses")),
    }

    def __init__(self) -> None:
        os.environ.setdefault("JAX_PLATFORMS", "cpu")
        import jax

        self.framework = jax

    @contextmanager
    def settings(self) -> Iterator[None]:
        config = self.framework.config
        wanted = {"jax_enable_x64": True, "jax_default_matmul_precision": "highest", **cache(self.version)}
        before = {name: getattr(config, name) for name in wanted}
        for name, value in wanted.items():
            config.update(name, value)
        try:
            yield
        finally:
            for name, value in before.items():
                config.update(name, value)

    def array(self, x: np.ndarray, dtype: str) -> Any:
        if x.dtype.kind == "i":
            return self.framework.numpy.array(x)
        return self.framework.device_put(x.astype(self.framework.numpy.dtype(dtype)))

    def back(self, x: Any) -> np.ndarray:
        return np.asarray(x).astype(np.float64)

    def apply(self, function: Callable[..., Any], arrays: Sequence[Any], compiled: bool) -> Any:
        return (self.framework.jit(function) if compiled else function)(*arrays)

    def result_shape(self, function: Callable[..., Any], *arrays: Any) -> Any:
        """A description of what a function returns, with its shape; the function is traced, which compiles nothing."""
        return self.framework.eval_shape(function, *arrays)

    def pointwise(self) -> Any:
        return JaxPointwise().within(unsupported_functions)

    def passes_derivative(self, loss: Callable[..., Any], o: Any, x: Any, label: bool) -> bool:
        """Whether derivatives flow from x to the loss; never to labels, for which a custom_vjp may return None."""
        return not label and derivatives_flow(self.framework.make_jaxpr(loss)(o, x), 1)

    def forget(self) -> None:
        self.framework.clear_caches()

    @functools.cached_property
    def packed(self) -> Packed:
        return Packed(self)

    def answers(self, problem: Problem, mode: str) -> tuple[Answer, Answer]:
        """As in `Adapter`; ``packed`` returns one answer twice, since its operations always return cotangents."""
        with unsupported_functions():
            if mode != "packed":
                return super().answers(problem, mode)
            answer = self.packed.answer(problem)
            return answer, answer

    @functools.cached_property
    def packed_graphs(self) -> PackedGraphs:
        return PackedGraphs(self)

    def graph_answer(self, problem: GraphProblem, mode: str) -> Answer:
        """As in `Adapter`; ``packed`` compiles each operation by itself."""
        with unsupported_functions():
            return self.packed_graphs.answer(problem) if mode == "packed" else super().graph_answer(problem, mode)

    def jvp(self, function: Callable[[list[Any]], Any], leaves: list[Any], tangents: list[Any]) -> Any:
        with unsupported_functions():
            return self.framework.jvp(function, (leaves,), (tangents,))

    def jacobian(self, function: Callable[[list[Any]], Any], leaves: list[Any]) -> Any:
        with unsupported_functions():
            return self.framework.jacfwd(function)(leaves)


MAX_FUNCTIONS = 60
"""Number of functions after which jax's caches are cleared, since they fill the memory."""


def direction(shape: Any, dtype: Any, k: int | None) -> Any:
    """Ones, or 1 at entry k of the last axis and 0 elsewhere."""
    import jax

    entries = np.ones(shape)
    if k is not None and len(shape) > 1:
        entries = np.broadcast_to(np.arange(shape[-1]) == k, shape)
    return jax.numpy.asarray(entries, dtype)


def vjp(f: Any, x: Any, constants: Any, out: Any) -> Any:
    """dy/dx times the direction out, summed over y."""
    import jax

    return jax.vjp(lambda x: f(x, *constants), x)[1](out)[0]


def value(f: Any, x: Any, constants: Any, out: Any, along: Any) -> Any:
    return f(x, *constants)


def value_vmap(f: Any, x: Any, constants: Any, out: Any, along: Any) -> Any:
    import jax

    return jax.vmap(lambda row, *cs: f(row[None], *(c[None] for c in cs))[0])(x, *constants)


def pointwise_grad(f: Any, x: Any, constants: Any, out: Any, along: Any) -> Any:
    return vjp(f, x, constants, out)


def pointwise_vmap(f: Any, x: Any, constants: Any, out: Any, along: Any) -> Any:
    import jax

    def alone(row: Any, out: Any, *cs: Any) -> Any:
        return vjp(f, row[None], [c[None] for c in cs], out[None])[0]

    return jax.vmap(alone)(x, out, *constants) if out.ndim else pointwise_grad(f, x, constants, out, along)


def pointwise_forward(f: Any, x: Any, constants: Any, out: Any, along: Any) -> Any:
    import jax

    return jax.jvp(lambda x: f(x, *constants), (x,), (along,))[1]


def reverse_reverse(f: Any, x: Any, constants: Any, out: Any, along: Any) -> Any:
    import jax

    return jax.vjp(lambda x: vjp(f, x, constants, out), x)[1](along)[0]


def forward_reverse(f: Any, x: Any, constants: Any, out: Any, along: Any) -> Any:
    import jax

    return jax.jvp(lambda x: vjp(f, x, constants, out), (x,), (along,))[1]


def reverse_forward(f: Any, x: Any, constants: Any, out: Any, along: Any) -> Any:
    import jax

    return jax.vjp(lambda x: pointwise_forward(f, x, constants, out, along), x)[1](out)[0]


def forward_forward(f: Any, x: Any, constants: Any, out: Any, along: Any) -> Any:
    """The second derivative along one input and each input; only the outputs of `out` count."""
    import jax

    def ahead(x: Any) -> Any:
        return pointwise_forward(f, x, constants, out, along)

    def across(direction: Any) -> Any:
        return jax.jvp(ahead, (x,), (direction,))[1]

    if x.ndim < 2:
        return across(along)
    units = (direction(x.shape, x.dtype, i) for i in range(x.shape[-1]))
    columns = [jax.numpy.where(out != 0, across(unit), 0) for unit in units]
    return jax.numpy.stack([y if y.ndim < 2 else y.sum(-1) for y in columns], -1)


class JaxPointwise(Pointwise):
    """The survey modes of jax; all but ``eager`` and ``grad`` are compiled."""

    pads = True

    def __init__(self) -> None:
        self._function: Any = None
        self._count = 0
        self._jits: dict[Any, Any] = {}
        eager, jit = self._eager, self._jit
        self.values = {"eager": eager(value), "jit": jit(value), "vmap": jit(value_vmap)}
        self.slopes = {
            "grad": eager(pointwise_grad),
            "jit": jit(pointwise_grad),
            "vmap": jit(pointwise_vmap),
            "forward": jit(pointwise_forward),
        }
        self.seconds = {
            "reverse-reverse": jit(reverse_reverse), "forward-reverse": jit(forward_reverse),
            "reverse-forward": jit(reverse_forward), "forward-forward": jit(forward_forward),
        }  # fmt: skip

    def _eager(self, mode: Callable[..., Any]) -> Callable[..., Any]:
        """A mode of `Pointwise` from a function of (f, x, constants, out, along)."""

        def evaluate(f: Any, x: Any, constants: Any, k: Any = None, j: Any = None) -> Any:
            return mode(f, x, constants, *directions(f, x, constants, k, j))

        return evaluate

    def _jit(self, mode: Callable[..., Any]) -> Callable[..., Any]:
        """As `_eager`, compiled once for each function."""

        def evaluate(f: Any, x: Any, constants: Any, k: Any = None, j: Any = None) -> Any:
            import jax

            if self._function is not f:
                self._function, self._jits, self._count = f, {}, self._count + 1
                if self._count % MAX_FUNCTIONS == 0:
                    jax.clear_caches()
            if mode not in self._jits:
                self._jits[mode] = jax.jit(lambda x, out, along, *cs: mode(f, x, cs, out, along))
            return self._jits[mode](x, *directions(f, x, constants, k, j), *constants)

        return evaluate


def directions(f: Any, x: Any, constants: Any, k: Any, j: Any) -> tuple[Any, Any]:
    """The direction of the outputs, and of the inputs."""
    import jax

    y = jax.eval_shape(f, x, *constants)
    return direction(y.shape, y.dtype, k), direction(x.shape, x.dtype, j)
