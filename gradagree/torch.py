"""Drop-in replacements of `torch.autograd.gradcheck` and `gradgradcheck`: any dtype, computed tolerances."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import torch
from msgspec.structs import replace
from torch.autograd.gradcheck import GradcheckError

from gradagree.adapters.functions import Call
from gradagree.adapters.torch_functions import TorchFunctions
from gradagree.adapters.torch_state import seeded
from gradagree.functions.assertions import check_call
from gradagree.functions.drawing import draw_cotangents
from gradagree.functions.message import format_report
from gradagree.functions.records import Disagreement, GradientRecord, Report
from gradagree.functions.saved import FailedCheck, save_call
from gradagree.functions.usage import check_compared, name_of

HAND_PICKED = {"eps": 1e-6, "atol": 1e-5, "rtol": 1e-3, "nondet_tol": 0.0, "fast_mode": False}
"""Arguments of the originals that choose a step or a tolerance, with their defaults."""
_warned: set[str] = set()


class GradcheckDisagreement(Disagreement, GradcheckError):  # type: ignore[misc]
    """A gradient is not right; also a ``torch.autograd.gradcheck.GradcheckError``, as the original raises.

    Args:
        report: The report of the check.
    """

    def __init__(self, report: Report) -> None:
        Disagreement.__init__(self, report.records, format_report(report), report)


class _Batched(TorchFunctions):
    """Computes the gradients for two cotangents in one batched backward pass, and returns those of the first."""

    def vjp(self, call: Call, cotangents: Sequence[Any]) -> tuple[list[Any], list[Any]]:
        arrays = [x.detach().requires_grad_(k in call.wrt) for k, x in enumerate(call.arrays)]
        with seeded(), call.state():
            outputs = call.function(arrays)
            pairs = [(y, g) for y, g in zip(outputs, cotangents, strict=True) if g is not None and y.requires_grad]
            batch = [torch.stack([g, g.flip(tuple(range(g.dim()))) if g.dim() else 2 * g]) for _, g in pairs]
            both = [y for y, _ in pairs], [arrays[k] for k in call.wrt], batch
            found = torch.autograd.grad(*both, allow_unused=True, is_grads_batched=True)
        return [y.detach() for y in outputs], [None if g is None else g[0] for g in found]


class _BatchedForward(TorchFunctions):
    """Computes the tangents for two directions by ``vmap``, and returns those of the first."""

    def jvp(self, call: Call, tangents: Sequence[Any]) -> tuple[list[Any], list[Any]]:
        def tangent(*along: Any) -> tuple[Any, ...]:
            return tuple(super(_BatchedForward, self).jvp(call, along)[1])

        found = torch._vmap_internals._vmap(tangent)(*(torch.stack([t, 2 * t]) for t in tangents))
        return self.outputs(call), [y[0] for y in found]


def gradcheck(
    func: Callable[..., Any],
    inputs: Any,
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 0.001,
    raise_exception: bool = True,
    nondet_tol: float = 0.0,
    check_undefined_grad: bool = True,
    check_grad_dtypes: bool = False,
    check_batched_grad: bool = False,
    check_batched_forward_grad: bool = False,
    check_forward_ad: bool = False,
    check_backward_ad: bool = True,
    fast_mode: bool = False,
    masked: bool | None = None,
) -> bool:
    """Check gradients against the traced forward pass of the function itself, in any dtype.

    The signature is that of `torch.autograd.gradcheck`. There are no finite differences: the function is traced into
    PyTorch's operations, whose derivatives are known, and the tolerance follows from the dtype.

    Args:
        func: A function of tensors that returns a tensor or several.
        inputs: A tensor or a sequence of arguments; those that require a gradient are checked.
        eps, atol, rtol, nondet_tol, fast_mode: Not used: the tolerance is computed, and all entries are checked.
        raise_exception: False to return False in place of raising an error.
        check_undefined_grad: Check that undefined gradients of the outputs count as zeros.
        check_grad_dtypes: Check that each gradient has the dtype of its input.
        check_batched_grad: Check batched gradients, by ``is_grads_batched``.
        check_batched_forward_grad: Check batched forward mode, by ``vmap``; needs check_forward_ad.
        check_forward_ad: Check forward mode.
        check_backward_ad: Check reverse mode.
        masked: Accepted; gradients of sparse tensors are those of their stored numbers.

    Returns:
        True if all gradients agree; False if one does not and raise_exception is False.

    Raises:
        GradcheckDisagreement: A gradient is not right.
        ValueError: No input requires a gradient, or arguments contradict each other, as in the original.
        UsageError: The function cannot be traced, or an input holds NaN or infinity.

    Example:
        >>> import torch
        >>> from gradagree.torch import gradcheck
        >>> gradcheck(torch.tanh, torch.linspace(-1, 1, 5, dtype=torch.bfloat16, requires_grad=True))
        True
    """
    check = FailedCheck.of(gradcheck, (func, inputs), _options(locals()))
    _warn_unused({"eps": eps, "atol": atol, "rtol": rtol, "nondet_tol": nondet_tol, "fast_mode": fast_mode})
    _check_choice(check_backward_ad, check_forward_ad, check_batched_grad, check_batched_forward_grad)
    args = _arguments(inputs, "gradcheck")
    modes = [mode for mode, on in (("reverse", check_backward_ad), ("forward", check_forward_ad)) if on]
    batched = [mode for mode, on in (("reverse", check_batched_grad), ("forward", check_batched_forward_grad)) if on]
    conditions = [c for c, on in ((_undefined_gradients, check_undefined_grad), (_dtypes, check_grad_dtypes)) if on]
    return _check(func, args, None, modes, batched, conditions if check_backward_ad else [], 1, check, raise_exception)


def gradgradcheck(
    func: Callable[..., Any],
    inputs: Any,
    grad_outputs: Any = None,
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 0.001,
    gen_non_contig_grad_outputs: bool = False,
    raise_exception: bool = True,
    nondet_tol: float = 0.0,
    check_undefined_grad: bool = True,
    check_grad_dtypes: bool = False,
    check_batched_grad: bool = False,
    check_fwd_over_rev: bool = False,
    check_rev_over_rev: bool = True,
    fast_mode: bool = False,
    masked: bool = False,
) -> bool:
    """Check the gradients of gradients. The signature is that of `torch.autograd.gradgradcheck`.

    Args:
        func: A function of tensors that returns a tensor or several.
        inputs: A tensor or a sequence of arguments.
        grad_outputs: Cotangents of the outputs; by default random ones, which are differentiated too.
        eps, atol, rtol, nondet_tol, fast_mode: Not used.
        gen_non_contig_grad_outputs: Use cotangents that are not contiguous.
        raise_exception: False to return False in place of raising an error.
        check_undefined_grad: As in `gradcheck`.
        check_grad_dtypes: As in `gradcheck`.
        check_batched_grad: As in `gradcheck`.
        check_fwd_over_rev: Check forward mode over reverse mode.
        check_rev_over_rev: Check reverse mode over reverse mode.
        masked: Accepted.

    Returns:
        True if all gradients agree; False if one does not and raise_exception is False.

    Raises:
        GradcheckDisagreement: A gradient of a gradient is not right.

    Example:
        >>> import torch
        >>> from gradagree.torch import gradgradcheck
        >>> gradgradcheck(torch.sin, torch.linspace(-1, 1, 5, requires_grad=True))
        True
    """
    check = FailedCheck.of(
        gradgradcheck, (func, inputs) if grad_outputs is None else (func, inputs, grad_outputs), _options(locals())
    )
    _warn_unused({"eps": eps, "atol": atol, "rtol": rtol, "nondet_tol": nondet_tol, "fast_mode": fast_mode})
    args = _arguments(inputs, "gradgradcheck")
    seeds = _cotangents(func, args, grad_outputs, gen_non_contig_grad_outputs)
    modes = [mode for mode, on in (("reverse", check_rev_over_rev), ("forward", check_fwd_over_rev)) if on]
    if not modes:
        raise ValueError("Expected at least one of check_fwd_over_rev or check_rev_over_rev to be True")
    conditions = [c for c, on in ((_undefined_gradients, check_undefined_grad), (_dtypes, check_grad_dtypes)) if on]
    batched = ["reverse"] if check_batched_grad else []
    return _check(func, args, seeds, modes, batched, conditions, 2, check, raise_exception)


def _check_choice(backward: bool, forward: bool, batched: bool, batched_forward: bool) -> None:
    """Raises ValueError for the combinations that the original refuses."""
    if not (forward or backward):
        raise ValueError("Expected at least one of check_forward_ad or check_backward_ad to be True")
    if batched and not backward:
        raise ValueError("Setting check_batched_grad=True requires check_backward_ad to be True")
    if batched_forward and not forward:
        raise ValueError("Setting check_batched_forward_grad=True requires check_forward_ad to be True")


def _cotangents(func: Callable[..., Any], args: tuple[Any, ...], given: Any, strided: bool) -> list[Any]:
    plain = TorchFunctions()
    seeds = draw_cotangents(plain, plain.outputs(plain.prepare(func, args, {}, None))) if given is None else given
    seeds = [seeds] if isinstance(seeds, torch.Tensor) else list(seeds)
    return [_strided(g) if strided and g is not None else g for g in seeds]


def _check(
    func: Callable[..., Any], args: tuple[Any, ...], seeds: Any, modes: Sequence[str], batched: Sequence[str],
    conditions: Sequence[Callable[[Call], list[str]]], order: int, check: FailedCheck, raise_exception: bool,
) -> bool:  # fmt: skip
    """The check in each mode, then in batches, then the further conditions; each only if all before agree."""
    plain = TorchFunctions()
    call = plain.prepare(func, args, {}, None)
    records = check_call(plain, call, None, args, {}, seeds, modes=modes, order=order)
    for mode in batched:
        if not _failed(records):
            adapter = _Batched() if mode == "reverse" else _BatchedForward()
            records += _named(check_call(adapter, call, None, args, {}, seeds, modes=(mode,)), "batched")
    errors = [] if _failed(records) else [error for condition in conditions for error in condition(call)]
    return _finish(Report(records, name_of(func)), errors, check, raise_exception)


def _arguments(inputs: Any, name: str) -> tuple[Any, ...]:
    args = (inputs,) if isinstance(inputs, torch.Tensor) else tuple(inputs)
    if not any(isinstance(x, torch.Tensor) and x.requires_grad for x in args):
        raise ValueError(
            f"{name} expects at least one input tensor to require gradient, but none has requires_grad=True"
        )
    return args


def _warn_unused(given: dict[str, Any]) -> None:
    """Say once in a process which hand-picked numbers are not used."""
    unused = [name for name, value in given.items() if value != HAND_PICKED[name] and name not in _warned]
    if unused:
        _warned.update(unused)
        names = ", ".join(unused)
        warnings.warn(f"{names}: not used; gradagree computes the tolerance from the dtype", stacklevel=3)


def _strided(g: torch.Tensor) -> torch.Tensor:
    """The same numbers, every second one of a larger tensor."""
    wide = g.new_zeros((*g.shape, 2))
    wide[..., 0] = g
    return wide[..., 0]


def _failed(records: Sequence[GradientRecord]) -> bool:
    return any(record.verdict.fails for record in records)


def _named(records: Sequence[GradientRecord], condition: str) -> list[GradientRecord]:
    return [replace(record, condition=condition) for record in records]


def _undefined_gradients(call: Call) -> list[str]:
    """Undefined gradients of the outputs must give undefined gradients or zeros."""
    arrays = [x.detach().clone().requires_grad_(k in call.wrt) for k, x in enumerate(call.arrays)]
    with seeded(), call.state():
        outputs = [y for y in call.function(arrays) if y.requires_grad]
    undefined = [torch._C._functions.UndefinedGrad()(y) for y in outputs]
    wrt = [arrays[k] for k in call.wrt]
    try:
        found = torch.autograd.grad(undefined, wrt, [torch.zeros_like(y) for y in undefined], allow_unused=True)
    except Exception as error:  # noqa: BLE001 (whatever the user's backward pass raises)
        return [f"the backward pass does not support undefined gradients of its outputs: {error}"]
    wrong = [call.names[k] for k, g in zip(call.wrt, found, strict=True) if g is not None and bool((g != 0).any())]
    return [f"the gradient of {name} is not zero if those of the outputs are undefined" for name in wrong]


def _dtypes(call: Call) -> list[str]:
    plain = TorchFunctions()
    _, found = plain.vjp(call, draw_cotangents(plain, plain.outputs(call)))
    pairs = [(k, g) for k, g in zip(call.wrt, found, strict=True) if g is not None]
    return [
        f"the gradient of {call.names[k]} has dtype {plain.dtype(g)}, the input {plain.dtype(call.arrays[k])}"
        for k, g in pairs if g.dtype != call.arrays[k].dtype
    ]  # fmt: skip


def _options(values: dict[str, Any]) -> dict[str, Any]:
    """The keyword arguments of a call that are used."""
    unused = ("func", "inputs", "grad_outputs", "raise_exception", *HAND_PICKED)
    return {name: value for name, value in values.items() if name not in unused}


def _finish(report: Report, errors: Sequence[str], check: FailedCheck, raise_exception: bool) -> bool:
    if not _failed(report.records) and not errors:
        check_compared(report)
        return True
    if not raise_exception:
        return False
    save_call(report, check)
    if _failed(report.records):
        raise GradcheckDisagreement(report)
    lines = [f"{report.function}: {'; '.join(errors)}", *report.notes]
    raise GradcheckError("\n".join([*lines, f"See it again: {report.replay}"] if report.replay else lines))
