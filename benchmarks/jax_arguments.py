"""Arguments for the functions of JAX: from the signature, or from a table."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import lax

Cast = Callable[[Any], Any]
Made = tuple[Callable[..., Any], list[Any]]

SEED = 1729


def draw(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(SEED + seed).standard_normal(shape)


def inside(*shape: int, seed: int = 0) -> np.ndarray:
    """Numbers between 0.1 and 0.9."""
    return np.random.default_rng(SEED + seed).uniform(0.1, 0.9, shape)


def regular(n: int) -> np.ndarray:
    return draw(n, n) + 3 * np.eye(n)


def positive(n: int) -> np.ndarray:
    return draw(n, n) @ draw(n, n).T + np.eye(n)


def required(function: Any) -> int | None:
    """The number of arguments that the signature requires, 2 for any number; None if it is unknown."""
    if hasattr(function, "nin"):
        return int(function.nin)
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return None
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    found = sum(p.kind in kinds and p.default is inspect.Parameter.empty for p in parameters)
    return found or 2 * any(p.kind is inspect.Parameter.VAR_POSITIONAL for p in parameters)


def guesses(function: Any, cast: Cast) -> Iterator[list[Any]]:
    """Arguments to try, one after the other."""
    n = required(function)
    if n is None or not 1 <= n <= 5:
        return
    for make in (draw, inside, lambda *shape, seed: 1.5 + inside(*shape, seed=seed)):
        for shape in ((3, 4), (4, 4), (5,)):
            arrays = [cast(make(*shape, seed=k)) for k in range(n)]
            yield arrays
            if n == 1:
                yield [arrays]


def plain(*arrays: Any, **fixed: Any) -> Callable[[Any, Cast], Made]:
    """These arrays, and keyword arguments that are not differentiated."""
    return lambda function, cast: ((lambda *xs: function(*xs, **fixed)), [cast(x) for x in arrays])


def then(*arrays: Any, after: tuple[Any, ...]) -> Callable[[Any, Cast], Made]:
    """These arrays, then positional arguments that are not differentiated."""
    return lambda function, cast: ((lambda *xs: function(*xs, *after)), [cast(x) for x in arrays])


def first(*before: Any, arrays: tuple[Any, ...]) -> Callable[[Any, Cast], Made]:
    """Positional arguments that are not differentiated, then arrays."""
    return lambda function, cast: ((lambda *xs: function(*before, *xs)), [cast(x) for x in arrays])


def listed(*arrays: Any, **fixed: Any) -> Callable[[Any, Cast], Made]:
    """One list of these arrays."""
    return lambda function, cast: ((lambda *xs: function(list(xs), **fixed)), [cast(x) for x in arrays])


X, Y, Z, V, U = draw(3, 4), draw(3, 4, seed=1), draw(3, 4, seed=2), draw(5), draw(5, seed=1)
A, B = draw(3, 4), draw(4, 2, seed=1)
PARTS = inside(3, 4)
INDEX = np.array([[0], [2], [2]])
GATHER = lax.GatherDimensionNumbers(offset_dims=(1,), collapsed_slice_dims=(0,), start_index_map=(0,))
SCATTER = lax.ScatterDimensionNumbers(
    update_window_dims=(1,), inserted_window_dims=(0,), scatter_dims_to_operand_dims=(0,)
)
IMAGE, KERNEL = draw(2, 3, 6, 6), draw(4, 3, 3, 3, seed=1)
MATRICES = ("NCHW", "OIHW", "NCHW")


def scattering(index: np.ndarray = INDEX, **fixed: Any) -> Callable[[Any, Cast], Made]:
    return lambda function, cast: (
        lambda x, u: function(x, index, u, SCATTER, **fixed), [cast(draw(4, 3)), cast(draw(3, 3, seed=1))]
    )  # fmt: skip


WINDOWS: dict[str, Any] = {
    "window_dimensions": (1, 1, 3, 3), "window_strides": (1, 1, 2, 2), "padding": ((0, 0), (0, 0), (1, 1), (0, 1)),
}  # fmt: skip

ARGUMENTS: dict[str, Callable[[Any, Cast], Made]] = {
    # jax.lax
    **dict.fromkeys(("lax.approx_max_k", "lax.approx_min_k"), then(X, after=(2,))),
    "lax.composite": lambda f, cast: (f(lambda x: jnp.sin(x) * x, "own.scaled_sine"), [cast(X)]),
    "lax.platform_dependent": lambda f, cast: (lambda x: f(x, default=jnp.sin), [cast(X)]),
    "lax.ragged_dot": lambda f, cast: (
        lambda x, w: f(x, w, np.array([2, 0, 3], np.int32)),
        [cast(draw(5, 4)), cast(draw(3, 4, 2, seed=1))],
    ),
    "lax.scatter_apply": lambda f, cast: (
        lambda x: f(x, np.array([[0], [2], [1]]), jnp.sin, SCATTER, update_shape=(3, 3), unique_indices=True),
        [cast(draw(4, 3))],
    ),
    "lax.betainc": lambda f, cast: (lambda x: f(cast(1 + PARTS), cast(2 + PARTS), x), [cast(PARTS)]),
    "lax.batch_matmul": plain(draw(2, 3, 4), draw(2, 4, 2, seed=1)),
    "lax.broadcast": then(X, after=((2,),)),
    "lax.broadcast_in_dim": then(X, after=((2, 3, 4), (1, 2))),
    "lax.broadcast_shapes": then(X, after=()),
    "lax.broadcast_to_rank": then(X, after=(3,)),
    "lax.clamp": plain(np.full((3, 4), -0.5), X, np.full((3, 4), 0.5)),
    "lax.collapse": then(X, after=(0, 2)),
    "lax.concatenate": listed(X, Y, dimension=1),
    "lax.cond": lambda f, cast: (lambda x: f(x[0, 0] > 0, jnp.sin, jnp.cos, x), [cast(X)]),
    "lax.conv": then(IMAGE, KERNEL, after=((1, 1), "SAME")),
    "lax.conv_general_dilated": then(IMAGE, KERNEL, after=((2, 1), [(1, 1), (0, 2)], (1, 2), (2, 1), MATRICES)),
    "lax.conv_general_dilated_local": then(draw(2, 3, 4), draw(4, 6, 3, seed=1), after=((1,), "VALID", (2,))),
    "lax.conv_general_dilated_patches": then(IMAGE, after=((2, 2), (1, 1), "SAME")),
    "lax.conv_transpose": then(draw(2, 5, 5, 3), draw(3, 3, 3, 2, seed=1), after=((2, 2), "SAME")),
    "lax.conv_with_general_padding": then(IMAGE, KERNEL, after=((1, 1), ((1, 1), (1, 1)), None, None)),
    "lax.convert_element_type": then(X, after=(jnp.float32,)),
    "lax.cumlogsumexp": then(X, after=(1,)),
    "lax.dot_general": then(draw(2, 3, 4), draw(2, 4, 5, seed=1), after=((((2,), (1,)), ((0,), (0,))),)),
    "lax.dynamic_index_in_dim": then(X, after=(1,)),
    "lax.dynamic_slice": then(X, after=((1, 0), (2, 3))),
    "lax.dynamic_slice_in_dim": then(X, after=(1, 2)),
    "lax.dynamic_update_index_in_dim": then(X, draw(4), after=(1, 0)),
    "lax.dynamic_update_slice": then(X, draw(2, 2), after=((1, 0),)),
    "lax.dynamic_update_slice_in_dim": then(X, draw(2, 4), after=(1, 0)),
    "lax.expand_dims": then(X, after=((0, 2),)),
    "lax.fori_loop": lambda f, cast: (lambda x: f(0, 3, lambda i, c: jnp.sin(c) + c, x), [cast(X)]),
    "lax.gather": lambda f, cast: (lambda x: f(x, INDEX, GATHER, (1, 3)), [cast(draw(4, 3))]),
    "lax.index_in_dim": then(X, after=(1,)),
    "lax.index_take": then(X, after=((np.array([0, 2, 2]),), (0,))),
    "lax.integer_pow": then(X, after=(3,)),
    "lax.map": lambda f, cast: (lambda x: f(jnp.sin, x), [cast(X)]),
    "lax.associative_scan": lambda f, cast: (lambda x: f(jnp.multiply, x), [cast(X)]),
    "lax.pad": lambda f, cast: (lambda x: f(x, jnp.zeros((), x.dtype), ((1, 2, 1), (-1, 0, 0))), [cast(X)]),
    "lax.polygamma": lambda f, cast: (lambda x: f(jnp.full_like(x, 2), x), [cast(PARTS)]),
    "lax.zeta": lambda f, cast: (lambda x: f(jnp.full_like(x, 3), x), [cast(PARTS)]),
    "lax.reduce": lambda f, cast: (lambda x: f(x, jnp.zeros((), x.dtype), lax.add, (1,)), [cast(X)]),
    "lax.reduce_max": then(X, after=((1,),)),
    "lax.reduce_min": then(X, after=((1,),)),
    "lax.reduce_precision": then(X, after=(8, 7)),
    "lax.reduce_prod": then(X, after=((1,),)),
    "lax.reduce_sum": then(X, after=((1,),)),
    "lax.reduce_window": lambda f, cast: (lambda x: f(x, -np.inf, lax.max, *WINDOWS.values()), [cast(IMAGE)]),
    "lax.reshape": then(X, after=((4, 3),)),
    "lax.rev": then(X, after=((0,),)),
    "lax.scan": lambda f, cast: (lambda x: f(lambda c, y: (jnp.tanh(c + y), c * y), x[0], x), [cast(X)]),
    "lax.scatter": lambda f, cast: (
        lambda x, u: f(x, np.array([[0], [2], [1]]), u, SCATTER, unique_indices=True),
        [cast(draw(4, 3)), cast(draw(3, 3))],
    ),
    "lax.scatter_add": scattering(),
    "lax.scatter_sub": scattering(),
    "lax.scatter_max": scattering(),
    "lax.scatter_min": scattering(),
    "lax.scatter_mul": lambda f, cast: (
        lambda x, u: f(x, np.array([[0], [2], [1]]), u, SCATTER, unique_indices=True),
        [cast(draw(4, 3)), cast(draw(3, 3))],
    ),
    "lax.select": lambda f, cast: (lambda x, y: f(X > 0, x, y), [cast(X), cast(Y)]),
    "lax.select_n": lambda f, cast: (lambda x, y: f(X > 0, x, y), [cast(X), cast(Y)]),
    "lax.slice": then(X, after=((0, 1), (3, 4), (2, 1))),
    "lax.slice_in_dim": then(X, after=(0, 2)),
    "lax.split": then(X, after=((1, 2),)),
    "lax.squeeze": then(draw(3, 1), after=((1,),)),
    "lax.switch": lambda f, cast: (lambda x: f(1, (jnp.sin, jnp.cos), x), [cast(X)]),
    "lax.top_k": then(X, after=(2,)),
    "lax.transpose": then(X, after=((1, 0),)),
    "lax.custom_root": lambda f, cast: (
        lambda a: f(
            lambda x: x**2 - a, jnp.ones_like(a), lambda g, x: jnp.sqrt(a), lambda g, y: y / g(jnp.ones_like(y))
        ),
        [cast(2.0)],
    ),
    "lax.custom_linear_solve": lambda f, cast: (
        lambda a, b: f(lambda x: a * x, b, lambda mv, b: b / a, lambda mv, b: b / a, symmetric=True),
        [cast(1 + PARTS), cast(Y)],
    ),
    # jax.nn
    "nn.dot_product_attention": plain(draw(2, 3, 2, 4), draw(2, 5, 2, 4, seed=1), draw(2, 5, 2, 4, seed=2)),
    "nn.one_hot": lambda f, cast: (lambda x: x * f(np.array([0, 2, 1]), 4, dtype=x.dtype), [cast(X)]),
    "nn.standardize": plain(X, axis=-1),
    "lax.complex": plain(X, Y),
    **{
        f"lax.{f}": lambda f, cast: (lambda x, y: f(lax.complex(x, y)), [cast(X), cast(Y)])
        for f in ("conj", "real", "imag")
    },
    "lax.fft": lambda f, cast: (lambda x, y: f(lax.complex(x, y), "FFT", (4,)), [cast(X), cast(Y)]),
    # jax.numpy
    "numpy.choose": lambda f, cast: (
        lambda x, y: f(np.array([[0, 1, 0, 1]] * 3), [x, y], mode="clip"),
        [cast(X), cast(Y)],
    ),
    **{
        f"numpy.{f}": plain(X, size=12)
        for f in ("unique", "unique_all", "unique_counts", "unique_inverse", "unique_values")
    },
    **{f"numpy.{f}": plain(X, Y, size=24) for f in ("intersect1d", "setdiff1d", "setxor1d", "union1d")},
    **dict.fromkeys(("numpy.atleast_1d", "numpy.atleast_2d", "numpy.atleast_3d", "numpy.negative"), plain(X)),
    **dict.fromkeys(("numpy.broadcast_arrays", "numpy.meshgrid"), plain(V, U)),
    "numpy.astype": lambda f, cast: (lambda x: f(x, x.dtype), [cast(X)]),
    "lax.tile": then(X, after=((2, 1),)),
    "numpy.angle": plain(PARTS),
    "numpy.compress": lambda f, cast: (lambda x: f(np.array([True, False, True]), x, axis=0, size=2), [cast(X)]),
    "numpy.histogram2d": lambda f, cast: (lambda w: f(V, U, bins=3, weights=w)[0], [cast(PARTS[0, :1].repeat(5))]),
    "numpy.permute_dims": then(X, after=((1, 0),)),
    "numpy.roots": plain(draw(5), strip_zeros=False),
    "numpy.polyfit": then(inside(6), draw(6), after=(2,)),
    "numpy.append": plain(X, Y, axis=0),
    "numpy.apply_along_axis": lambda f, cast: (lambda x: f(jnp.cumsum, 1, x), [cast(X)]),
    "numpy.apply_over_axes": lambda f, cast: (lambda x: f(jnp.sum, x, (0,)), [cast(X)]),
    "numpy.array_split": then(X, after=(2,)),
    "numpy.block": listed(X, Y),
    "numpy.broadcast_to": then(X, after=((2, 3, 4),)),
    "numpy.clip": plain(X, min=-0.5, max=0.5),
    "numpy.convolve": plain(V, U[:3]),
    "numpy.correlate": plain(V, U[:3]),
    "numpy.cross": plain(draw(4, 3), draw(4, 3, seed=1)),
    "numpy.delete": then(V, after=(1,)),
    "numpy.diag_indices_from": then(X, after=()),
    "numpy.dot": plain(A, B),
    "numpy.dsplit": then(draw(2, 3, 4), after=(2,)),
    "numpy.einsum": first("ij,jk->ik", arrays=(A, B)),
    "numpy.expand_dims": then(X, after=(1,)),
    "numpy.extract": lambda f, cast: (lambda x: f(X > 0, x, size=5), [cast(X)]),
    "numpy.fill_diagonal": lambda f, cast: (lambda x, v: f(x, v, inplace=False), [cast(X), cast(1.5)]),
    "numpy.full_like": lambda f, cast: (lambda v: f(np.zeros((2, 3)), v, dtype=v.dtype), [cast(1.5)]),
    "numpy.full": lambda f, cast: (lambda v: f((2, 3), v), [cast(1.5)]),
    "numpy.hsplit": then(X, after=(2,)),
    "numpy.insert": lambda f, cast: (lambda x, v: f(x, 1, v), [cast(V), cast(1.5)]),
    "numpy.interp": lambda f, cast: (lambda x, fp: f(x, jnp.arange(5, dtype=x.dtype), fp), [cast(3 * PARTS), cast(V)]),
    "numpy.ldexp": lambda f, cast: (lambda x: f(x, 2), [cast(X)]),
    "numpy.linspace": lambda f, cast: (lambda x, y: f(x, y, 5, dtype=x.dtype), [cast(0.5), cast(1.5)]),
    "numpy.logspace": lambda f, cast: (lambda x, y: f(x, y, 5, dtype=x.dtype), [cast(0.5), cast(1.5)]),
    "numpy.geomspace": lambda f, cast: (lambda x, y: f(x, y, 5, dtype=x.dtype), [cast(0.5), cast(1.5)]),
    "numpy.matmul": plain(A, B),
    "numpy.matrix_power": then(regular(3), after=(3,)),
    "numpy.matvec": plain(A, draw(4)),
    "numpy.moveaxis": then(draw(2, 3, 4), after=(0, 2)),
    "numpy.nanpercentile": then(X, after=(30,)),
    "numpy.nanquantile": then(X, after=(0.3,)),
    "numpy.pad": then(X, after=(((1, 1), (0, 2)),)),
    "numpy.partition": then(X, after=(2,)),
    "numpy.percentile": then(X, after=(30,)),
    "numpy.piecewise": lambda f, cast: (lambda x: f(x, [x < 0, x >= 0], [jnp.sin, jnp.cos]), [cast(X)]),
    "numpy.place": lambda f, cast: (lambda x, v: f(x, X > 0, v, inplace=False), [cast(X), cast(V)]),
    "numpy.polyder": plain(V),
    "numpy.polyint": plain(V),
    "numpy.polyval": plain(V, U),
    "numpy.put": lambda f, cast: (lambda x, v: f(x, np.array([0, 5]), v, inplace=False), [cast(X), cast(V[:2])]),
    "numpy.put_along_axis": lambda f, cast: (
        lambda x, v: f(x, np.array([[0], [2], [1]]), v, 1, inplace=False),
        [cast(X), cast(draw(3, 1))],
    ),
    "numpy.quantile": then(X, after=(0.3,)),
    "numpy.repeat": then(X, after=(2,)),
    "numpy.reshape": then(X, after=((4, 3),)),
    "numpy.resize": then(X, after=((2, 5),)),
    "numpy.roll": then(X, after=(1,)),
    "numpy.rollaxis": then(draw(2, 3, 4), after=(2,)),
    "numpy.select": lambda f, cast: (lambda x, y: f([X > 0, Y > 0], [x, y]), [cast(X), cast(Y)]),
    "numpy.split": then(X, after=(3,)),
    "numpy.swapaxes": then(X, after=(0, 1)),
    "numpy.take": then(X, after=(np.array([0, 5, 5]),)),
    "numpy.take_along_axis": then(X, after=(np.array([[0], [2], [2]]), 1)),
    "numpy.tensordot": then(draw(2, 3, 4), draw(3, 4, 5, seed=1), after=(2,)),
    "numpy.tile": then(X, after=((2, 1),)),
    "numpy.transpose": plain(X),
    "numpy.unwrap": plain(V),
    "numpy.vander": plain(V),
    "numpy.vecmat": plain(draw(3), A),
    "numpy.vsplit": then(X, after=(3,)),
    "numpy.where": lambda f, cast: (lambda x, y: f(X > 0, x, y), [cast(X), cast(Y)]),
}

DEVICES = "needs several devices"
CREATES = "creates arrays; has no floating-point input"
INTEGERS = "takes integers"
NO_FLOATS = "returns no floating-point numbers"
FLOAT8 = "for formats of 8 bits"
NO_DERIVATIVE = "JAX has no derivative of it"
DESCRIBES = "describes arguments or types; computes nothing"
NOT_DIFFERENTIABLE = (DEVICES, CREATES, INTEGERS, NO_FLOATS, NO_DERIVATIVE, DESCRIBES)
"""The reasons of functions that have no derivative."""
REASONS: dict[str, str] = {
    **dict.fromkeys((
        "lax.all_gather", "lax.all_to_all", "lax.axis_index", "lax.axis_size", "lax.pbroadcast", "lax.pcast",
        "lax.pmax", "lax.pmean", "lax.pmin", "lax.ppermute", "lax.pshuffle", "lax.psum", "lax.psum_scatter",
        "lax.pswapaxes", "lax.ragged_all_to_all", "lax.pvary",
    ), DEVICES),
    **dict.fromkeys((
        "numpy.arange", "numpy.empty", "numpy.eye", "numpy.identity", "numpy.ones", "numpy.zeros", "numpy.tri",
        "lax.empty", "lax.iota", "lax.broadcasted_iota", "numpy.bartlett", "numpy.blackman", "numpy.hamming",
        "numpy.hanning", "numpy.kaiser", "lax.rng_uniform", "lax.rng_bit_generator", "numpy.empty_like",
        "numpy.ones_like", "numpy.zeros_like", "lax.full", "lax.full_like", "numpy.indices",
    ), CREATES),
    **dict.fromkeys((
        "lax.ConvGeneralDilatedDimensionNumbers", "lax.DotDimensionNumbers", "lax.PrecisionLike", "lax.after_all",
        "lax.broadcast_shapes", "lax.conv_dimension_numbers", "lax.conv_general_permutations",
        "lax.conv_general_shape_tuple", "lax.conv_shape_tuple", "lax.conv_transpose_shape_tuple", "lax.create_token",
        "lax.dtype", "lax.padtype_to_pads", "lax.reduce_window_shape_tuple", "lax.shape_as_value", "lax.dce_sink",
        "lax.linalg.EigImplementation", "lax.linalg.EighImplementation", "lax.linalg.SvdAlgorithm",
        "nn.get_scaled_dot_general_config", "numpy.array_repr", "numpy.array_str", "numpy.broadcast_shapes",
        "numpy.diag_indices", "numpy.diag_indices_from", "numpy.dtype", "numpy.einsum_path", "numpy.finfo",
        "numpy.frompyfunc", "numpy.get_printoptions", "numpy.iinfo", "numpy.ix_", "numpy.mask_indices",
        "numpy.printoptions", "numpy.promote_types", "numpy.result_type", "numpy.save", "numpy.savez",
        "numpy.set_printoptions", "numpy.vectorize", "numpy.from_dlpack", "numpy.issubdtype", "numpy.isdtype",
        "numpy.iterable", "numpy.tril_indices", "numpy.triu_indices",
        "numpy.r_", "numpy.c_", "numpy.index_exp", "numpy.s_", "numpy.mgrid", "numpy.ogrid",
    ), DESCRIBES),
    **dict.fromkeys((
        "numpy.frombuffer", "numpy.fromfile", "numpy.fromfunction", "numpy.fromiter", "numpy.fromstring", "numpy.load",
    ), CREATES),
    **dict.fromkeys((
        "lax.bitcast_convert_type", "lax.clz", "lax.mulhi", "lax.population_count", "lax.reduce_and", "lax.reduce_or",
        "lax.reduce_xor", "lax.shift_left", "lax.shift_right_arithmetic", "lax.shift_right_logical", "numpy.packbits",
        "numpy.unpackbits", "numpy.bincount", "numpy.ravel_multi_index", "numpy.unravel_index", "lax.argmax",
        "lax.argmin", "lax.linalg.lu_pivots_to_permutation",
    ), INTEGERS),
    **dict.fromkeys(("lax.precv", "lax.psend", "lax.with_sharding_constraint", "lax.pmin"), DEVICES),
    **dict.fromkeys(("lax.scaled_dot", "nn.scaled_dot_general", "nn.scaled_matmul"), FLOAT8),
    **dict.fromkeys(("numpy.argpartition", "numpy.isclose"), NO_FLOATS),
    "lax.ragged_dot_general": "as lax.ragged_dot, with dimensions that it does not know",
    "numpy.trim_zeros": "the shape of the result depends on numbers",
    **dict.fromkeys(("lax.while_loop", "lax.nextafter", "lax.igamma_grad_a", "lax.random_gamma_grad", "numpy.nextafter",
        "numpy.spacing", "lax.stop_gradient"), NO_DERIVATIVE),
    "scipy.special.lpmn": "deprecated", "scipy.special.lpmn_values": "deprecated",
}  # fmt: skip
