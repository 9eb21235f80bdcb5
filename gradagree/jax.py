"""Drop-in replacements of `jax.test_util.check_grads`, `check_vjp` and `check_jvp`: any dtype, computed tolerances."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from gradagree.adapters.functions import Call
from gradagree.adapters.jax_functions import JaxFunctions
from gradagree.errors import UsageError
from gradagree.functions.assertions import check_call
from gradagree.functions.message import format_report
from gradagree.functions.records import Disagreement, GradientRecord, Report
from gradagree.functions.saved import FailedCheck, save_call
from gradagree.functions.usage import check_compared, name_of

MODES = {"rev": "reverse", "fwd": "forward"}
_warned: set[str] = set()


def check_grads(
    f: Callable[..., Any],
    args: Sequence[Any],
    order: int,
    modes: Sequence[str] | str = ("fwd", "rev"),
    atol: float | None = None,
    rtol: float | None = None,
    eps: float | None = None,
) -> None:
    """Check gradients up to an order against the traced forward pass of the function itself, in any dtype.

    The signature is that of `jax.test_util.check_grads`.

    Args:
        f: A function of arrays, or of pytrees of them.
        args: Its arguments.
        order: Order of the highest derivative to check, at least 1: the derivative of each checked derivative follows.
        modes: ``"fwd"``, ``"rev"`` or both.
        atol: Not used: the tolerance is computed.
        rtol: Not used.
        eps: Not used: there are no finite differences.

    Raises:
        Disagreement: A derivative is not right. It is an ``AssertionError``, as the original's.
        UsageError: The function cannot be traced, or an argument does not fit.

    Example:
        >>> import jax.numpy as jnp
        >>> from gradagree.jax import check_grads
        >>> check_grads(jnp.tanh, (jnp.linspace(-1, 1, 5, dtype="bfloat16"),), order=1)
    """
    _warn_unused(atol=atol, rtol=rtol, eps=eps)
    if order < 1:
        raise UsageError(f"order={order}: give 1 or more")
    chosen = _modes(modes)
    function, operands = f, tuple(args)
    check = FailedCheck("gradagree.jax.check_grads", (f, args, order, modes), {})
    for step in range(1, order + 1):
        _check(JaxFunctions(), function, operands, chosen, name_of(f), step, check)
        if step < order:
            function = _derivative(function, operands, chosen)


def check_vjp(
    f: Callable[..., Any], f_vjp: Callable[..., Any], args: Sequence[Any], atol: float | None = None,
    rtol: float | None = None, eps: float = 1e-4, err_msg: str = "",
) -> None:  # fmt: skip
    """Check a function that returns a value and its vjp. The signature is that of `jax.test_util.check_vjp`.

    Args:
        f: The function.
        f_vjp: Takes the arguments and returns ``(value, vjp)``, such as ``functools.partial(jax.vjp, f)``.
        args: The arguments.
        atol: Not used.
        rtol: Not used.
        eps: Not used.
        err_msg: Text to put in front of the message of a failure.

    Raises:
        Disagreement: The value or the vjp is not right.
    """
    _warn_unused(atol=atol, rtol=rtol, eps=None if eps == 1e-4 else eps)

    class Given(JaxFunctions):
        def vjp(self, call: Call, cotangents: Sequence[Any]) -> tuple[list[Any], list[Any]]:  # noqa: ARG002
            value, vjp = f_vjp(*args)
            leaves, spec = jax.tree_util.tree_flatten(value)
            found = vjp(jax.tree_util.tree_unflatten(spec, list(cotangents)))
            floating = [
                g for g, x in zip(*map(jax.tree_util.tree_leaves, (found, tuple(args))), strict=True)
                if jnp.issubdtype(jnp.result_type(x), jnp.inexact)
            ]  # fmt: skip
            return leaves, floating

    check = FailedCheck("gradagree.jax.check_vjp", (f, f_vjp, args), {})
    _check(Given(), f, tuple(args), ("reverse",), err_msg or name_of(f), 1, check)


def check_jvp(
    f: Callable[..., Any], f_jvp: Callable[..., Any], args: Sequence[Any], atol: float | None = None,
    rtol: float | None = None, eps: float = 1e-4, err_msg: str = "",
) -> None:  # fmt: skip
    """Check a function that returns a value and its tangent. The signature is that of `jax.test_util.check_jvp`.

    Args:
        f: The function.
        f_jvp: Takes arguments and tangents and returns ``(value, tangent)``, such as ``functools.partial(jax.jvp, f)``.
        args: The arguments.
        atol: Not used.
        rtol: Not used.
        eps: Not used.
        err_msg: Text to put in front of the message of a failure.

    Raises:
        Disagreement: The value or the tangent is not right.
    """
    _warn_unused(atol=atol, rtol=rtol, eps=None if eps == 1e-4 else eps)

    class Given(JaxFunctions):
        def jvp(self, call: Call, tangents: Sequence[Any]) -> tuple[list[Any], list[Any]]:  # noqa: ARG002
            spec = jax.tree_util.tree_structure(tuple(args))
            found = f_jvp(tuple(args), jax.tree_util.tree_unflatten(spec, list(tangents)))
            return jax.tree_util.tree_leaves(found[0]), jax.tree_util.tree_leaves(found[1])

    check = FailedCheck("gradagree.jax.check_jvp", (f, f_jvp, args), {})
    _check(Given(), f, tuple(args), ("forward",), err_msg or name_of(f), 1, check)


def _modes(modes: Sequence[str] | str) -> tuple[str, ...]:
    given = (modes,) if isinstance(modes, str) else tuple(modes)
    unknown = [mode for mode in given if mode not in MODES]
    if unknown or not given:
        raise UsageError(f"modes={modes!r}: give 'fwd', 'rev' or both")
    return tuple(MODES[mode] for mode in given)


def _check(
    adapter: JaxFunctions, function: Callable[..., Any], args: tuple[Any, ...], modes: Sequence[str], name: str,
    order: int, check: FailedCheck,
) -> None:  # fmt: skip
    call = adapter.prepare(function, args, {}, None)
    records: list[GradientRecord] = check_call(adapter, call, None, args, {}, modes=modes)
    report = Report(records, name if order == 1 else f"{name}, derivative of order {order}")
    if report.verdict.fails:
        save_call(report, check)
        raise Disagreement(report.records, format_report(report), report)
    check_compared(report)


def _derivative(function: Callable[..., Any], args: tuple[Any, ...], modes: Sequence[str]) -> Callable[..., Any]:
    """The vjp of a function with fixed cotangents, as a function of the same arguments."""
    outputs = jax.eval_shape(function, *args)
    leaves, spec = jax.tree_util.tree_flatten(outputs)
    keys = jax.random.split(jax.random.PRNGKey(len(leaves)), len(leaves))
    along = [jax.random.normal(key, y.shape, y.dtype) for key, y in zip(keys, leaves, strict=True)]
    cotangents = jax.tree_util.tree_unflatten(spec, along)

    def reverse(*operands: Any) -> Any:
        return jax.vjp(function, *operands)[1](cotangents)

    def forward(*operands: Any) -> Any:
        return jax.jvp(function, operands, jax.tree_util.tree_map(jnp.ones_like, operands))[1]

    return reverse if "reverse" in modes else forward


def _warn_unused(**given: Any) -> None:
    """Say once in a process which hand-picked numbers are not used."""
    unused = [name for name, value in given.items() if value is not None and name not in _warned]
    if unused:
        _warned.update(unused)
        names = ", ".join(unused)
        warnings.warn(f"{names}: not used; gradagree computes the tolerance from the dtype", stacklevel=3)
