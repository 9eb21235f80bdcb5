"""Drop-in replacements of `jax.test_util.check_grads`, `check_vjp` and `check_jvp`: any dtype, computed tolerances."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import jax.numpy as jnp
from jax import tree_util

from gradagree.adapters.functions import Call
from gradagree.adapters.jax_functions import JaxFunctions, Linearized, is_numeric, zeros_of
from gradagree.adapters.jax_programs import conjugated
from gradagree.errors import UsageError
from gradagree.functions.assertions import check_call
from gradagree.functions.drawing import draw_cotangents
from gradagree.functions.message import format_report
from gradagree.functions.records import Disagreement, GradientRecord, Report
from gradagree.functions.saved import FailedCheck, save_call
from gradagree.functions.usage import check_compared, name_of

MODES = {"fwd": JaxFunctions, "rev": JaxFunctions, "lin": Linearized}
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
        args: Its arguments: arrays, Python numbers, or pytrees of them; whatever else the function takes is passed on.
        order: Order of the highest derivative to check, at least 1. Each derivative in each mode is differentiated
            again, with respect to the arguments and to its cotangents or tangents.
        modes: ``"fwd"`` (`jax.jvp`), ``"rev"`` (`jax.vjp`), ``"lin"`` (`jax.linearize`), or several of them.
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
    chosen, given = _modes(modes), _arrays(args)
    check = FailedCheck("gradagree.jax.check_grads", (f, args, order, modes), {})
    call = JaxFunctions().prepare(f, given, {}, None)
    _check_orders(_Checked(given, name_of(f), check), call, chosen, order)


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

    given = _arrays(args)

    class Given(JaxFunctions):
        def vjp(
            self,
            call: Call,  # noqa: ARG002
            cotangents: Sequence[Any],
        ) -> tuple[list[Any], list[Any]]:
            value, vjp = f_vjp(*given)
            outputs, spec = tree_util.tree_flatten(value)
            pairs = zip(outputs, cotangents, strict=True)
            seeds = [zeros_of(y) if g is None else conjugated(g) for y, g in pairs]
            found, inputs = map(_entries, (tuple(vjp(tree_util.tree_unflatten(spec, seeds))), given))
            if len(found) != len(inputs):
                raise UsageError(f"f_vjp has {len(found)} gradients for {len(inputs)} arguments; give one for each")
            return outputs, [
                None if g is None else conjugated(g) for g, x in zip(found, inputs, strict=True) if _is_inexact(x)
            ]

    checked = _Checked(given, err_msg or name_of(f), FailedCheck("gradagree.jax.check_vjp", (f, f_vjp, args), {}))
    _check(checked, Given(), Given().prepare(f, given, {}, None), ("reverse",))


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

    given = _arrays(args)

    class Given(JaxFunctions):
        def jvp(self, call: Call, tangents: Sequence[Any]) -> tuple[list[Any], list[Any]]:  # noqa: ARG002
            leaves, spec = tree_util.tree_flatten(given)
            moving = iter(tangents)
            along = [next(moving) if _is_inexact(x) else zeros_of(jnp.asarray(x)) for x in leaves]
            found = f_jvp(given, tree_util.tree_unflatten(spec, along))
            return tree_util.tree_leaves(found[0]), tree_util.tree_leaves(found[1])

    checked = _Checked(given, err_msg or name_of(f), FailedCheck("gradagree.jax.check_jvp", (f, f_jvp, args), {}))
    _check(checked, Given(), Given().prepare(f, given, {}, None), ("forward",))


def _modes(modes: Sequence[str] | str) -> tuple[str, ...]:
    """The names of the modes; a string may hold several of them, as with the original."""
    given = [mode.strip() for mode in modes.split(",")] if isinstance(modes, str) else list(modes)
    if not given or any(mode not in MODES for mode in given):
        raise UsageError(f"modes={modes!r}: give 'fwd', 'rev', 'lin', or several of them")
    return tuple(given)


def _arrays(args: Sequence[Any]) -> tuple[Any, ...]:
    """The arguments with Python's floating-point numbers as arrays."""
    return tree_util.tree_map(lambda x: jnp.asarray(x) if isinstance(x, float | complex) else x, tuple(args))


def _entries(tree: Any) -> list[Any]:
    """The leaves of a pytree, None among them."""
    return tree_util.tree_leaves(tree, is_leaf=lambda x: x is None)


def _is_inexact(x: Any) -> bool:
    return is_numeric(x) and bool(jnp.issubdtype(x.dtype, jnp.inexact))


@dataclass(frozen=True)
class _Checked:
    """The arguments and the name of a checked function, and how to check it again."""

    args: tuple[Any, ...]
    name: str
    check: FailedCheck


def _check_orders(checked: _Checked, call: Call, modes: Sequence[str], order: int) -> None:
    """Check the derivatives of a call, then those of each of its derivatives."""
    adapters = {mode: MODES[mode]() for mode in modes}
    for mode, adapter in adapters.items():
        _check(checked, adapter, call, ("reverse" if mode == "rev" else "forward",))
    if order == 1:
        return
    for mode, adapter in adapters.items():
        along = draw_cotangents(adapter, adapter.outputs(call) if mode == "rev" else [call.arrays[k] for k in call.wrt])
        derivative = adapter.gradient(call, along) if mode == "rev" else adapter.tangent(call, along)
        own = replace(checked, name=f"{checked.name}, {'vjp' if mode == 'rev' else 'jvp'}")
        _check_orders(own, derivative, modes, order - 1)


def _check(checked: _Checked, adapter: JaxFunctions, call: Call, modes: Sequence[str]) -> None:
    records: list[GradientRecord] = check_call(adapter, call, None, checked.args, {}, modes=modes)
    report = Report(records, checked.name)
    if report.verdict.fails:
        save_call(report, checked.check)
        raise Disagreement(report.records, format_report(report), report)
    check_compared(report)


def _warn_unused(**given: Any) -> None:
    """Say once in a process which hand-picked numbers are not used."""
    unused = [name for name, value in given.items() if value is not None and name not in _warned]
    if unused:
        _warned.update(unused)
        names = ", ".join(unused)
        warnings.warn(f"{names}: not used; gradagree computes the tolerance from the dtype", stacklevel=3)
