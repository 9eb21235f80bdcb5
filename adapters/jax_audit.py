"""JAX's gradients and comparisons, as the audit of existing tests sees them; with the libraries built on them."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from gradagree.adapters.audit_arrays import ArrayKind, Memory, Numbers, widen

AUTOGRAD = (
    "grad", "jacobian", "elementwise_grad", "hessian", "holomorphic_grad", "deriv", "grad_named", "multigrad_dict",
    "hessian_tensor_product", "hessian_vector_product", "tensor_jacobian_product", "vector_jacobian_product",
)  # fmt: skip
"""Functions of HIPS autograd that return a function of derivatives."""
Quads = Iterator[tuple[Any, Any, float, float]]


def array_kind(jax: Any) -> ArrayKind:
    """How JAX's arrays are read, and the leaves of its pytrees."""

    def numbers(x: Any) -> Numbers:
        array = np.asarray(x)
        return widen(array), "" if array.dtype.kind in "iu" else array.dtype.name

    def memory(x: Any) -> Memory | None:
        try:
            start = x.unsafe_buffer_pointer()
        except Exception:  # noqa: BLE001 (sharded arrays and devices without addresses)
            return None
        return (start, start + x.nbytes) if start and x.nbytes else None

    def concrete(x: Any) -> bool:
        inexact = jax.numpy.issubdtype(x.dtype, np.number)
        return not isinstance(x, jax.core.Tracer) and bool(inexact) and not x.is_deleted()

    return ArrayKind(
        lambda x: isinstance(x, jax.Array), concrete, numbers, memory,
        leaves=lambda x: [y for y in jax.tree_util.tree_leaves(x) if y is x or not callable(y)],
    )  # fmt: skip


def whole(result: Any, aux: bool) -> Any:
    """The gradients in the result of ``grad`` and its relatives."""
    return result[0] if aux else result


def install(jax: Any, audit: Any) -> None:
    """Watch the derivatives of the module jax."""
    audit.add_kind(array_kind(jax))
    audit.transform(jax, "grad", "jax.grad", whole, True)
    audit.transform(jax, "value_and_grad", "jax.value_and_grad", lambda result, aux: result[1], True)
    for name in ("jacrev", "jacfwd", "jacobian", "hessian"):
        audit.transform(jax, name, f"jax.{name}", whole)
    audit.source(jax, "jvp", "jax.jvp", lambda result, args, kwargs: result[1])
    audit.pullback(jax, "linearize", "jax.linearize")
    pullback = getattr(jax._src.api, "VJP", None)
    if pullback is None:
        audit.pullback(jax, "vjp", "jax.vjp")
    else:  # a pytree, which must stay one
        audit.source(pullback, "__call__", "jax.vjp", lambda result, args, kwargs: result)
    for name in ("vmap", "pmap", "checkpoint", "remat"):
        audit.passage(jax, name)
    audit.passage(jax, "jit", True)


def install_numpy(module: Any, audit: Any) -> None:
    """Watch the comparisons of ``jax.numpy``."""
    for name in ("allclose", "isclose"):
        audit.comparison(module, name, f"jax.numpy.{name}", first_two("rtol", "atol"))
    audit.comparison(module, "array_equal", "jax.numpy.array_equal", first_two())


def install_test_util(module: Any, audit: Any) -> None:
    """Watch JAX's numerical check."""

    def origin(args: Any) -> tuple[Any, Any, int]:
        return args["f"], args["args"], args["order"]

    for name in ("check_grads", "check_vjp", "check_jvp"):
        chosen = origin if name == "check_grads" else lambda args: None
        audit.numerical(module, name, f"jax.test_util.{name}", chosen)


def install_chex(chex: Any, audit: Any) -> None:
    """Watch the comparisons of chex."""
    close = functools.partial(tree_pairs, audit)

    def ulps(call: Any) -> Quads:
        eps = float(np.finfo(np.float32).eps)
        return ((a, b, 0.0, call["kwargs"].get("maxulp", 1) * eps) for a, b, _, _ in close(0.0, 0.0)(call))

    for name in ("assert_trees_all_close", "assert_tree_all_close"):
        audit.comparison(chex, name, f"chex.{name}", close(1e-6, 0.0), {})
    for name in ("assert_trees_all_equal", "assert_tree_all_equal"):
        audit.comparison(chex, name, f"chex.{name}", close(0.0, 0.0), {})
    audit.comparison(chex, "assert_trees_all_close_ulp", "chex.assert_trees_all_close_ulp", ulps, {})
    audit.numerical(chex, "assert_numerical_grads", "chex.assert_numerical_grads", lambda args: None)


def install_equinox(equinox: Any, audit: Any) -> None:
    """Watch the comparison of equinox, which also compares modules by ``==``."""

    def pairs(call: Any) -> Quads:
        for actual, expected, atol, rtol in tree_pairs(audit, 0.0, 0.0)(call):
            exact = isinstance(actual, float)  # the tolerances are those of arrays
            yield actual, expected, 0.0 if exact else atol, 0.0 if exact else rtol

    audit.comparison(equinox, "tree_equal", "equinox.tree_equal", pairs, {}, True)


def tree_pairs(audit: Any, rtol: float, atol: float) -> Callable[[Any], Quads]:
    """The pairs of a comparison of trees with the first one, with these tolerances by default."""

    def pairs(call: Any) -> Quads:
        trees, options = call["args"], call["kwargs"]
        for tree in trees[1:]:
            for actual, expected in audit.leaf_pairs(trees[0], tree):
                yield actual, expected, options.get("atol", atol), options.get("rtol", rtol)

    return pairs


def install_autograd(autograd: Any, audit: Any) -> None:
    """Watch the derivatives of HIPS autograd."""
    for name in AUTOGRAD:
        audit.transform(autograd, name, f"autograd.{name}", lambda result, aux: result)
    audit.transform(autograd, "grad_and_aux", "autograd.grad_and_aux", lambda result, aux: result[0])
    audit.transform(autograd, "value_and_grad", "autograd.value_and_grad", lambda result, aux: result[1])
    for name in ("make_vjp", "make_hvp", "make_ggnvp"):
        audit.transform(autograd, name, f"autograd.{name}", lambda result, aux: result, curried=True)
    audit.transform(autograd, "make_jvp", "autograd.make_jvp", lambda result, aux: result[1], curried=True)


def install_autograd_tests(module: Any, audit: Any) -> None:
    """Watch ``autograd.test_util.check_grads``, which compares projections, and ``check_equivalent``."""

    def pairs(args: Any) -> Quads:
        a, b = args["a"], args["b"]
        yield a, b, max(module.TOL, module.RTOL * abs(a + b)), 0.0

    def equivalent(args: Any) -> Quads:
        for a, b in audit.leaf_pairs(args["x"], args["y"]):
            yield a, b, module.TOL, 2 * module.RTOL  # |a - b| / |a + b| < RTOL

    audit.comparison(module, "scalar_close", "autograd.test_util.scalar_close", pairs)
    audit.comparison(module, "check_equivalent", "autograd.test_util.check_equivalent", equivalent)
    for name in ("check_vjp", "check_jvp"):
        audit.numerical(module, name, "autograd.test_util.check_grads", lambda args: None)


def install_pennylane(pennylane: Any, audit: Any) -> None:
    """Watch the derivatives of PennyLane."""
    for name in ("grad", "jacobian"):
        audit.transform(pennylane, name, f"pennylane.{name}", lambda result, aux: result)


def first_two(rtol: str = "", atol: str = "") -> Callable[[Any], Quads]:
    """The pair of a comparison whose first two arguments are the two sides."""

    def pairs(args: Any) -> Quads:
        actual, expected = list(args.values())[:2]
        yield actual, expected, args[atol] if atol else 0.0, args[rtol] if rtol else 0.0

    return pairs
