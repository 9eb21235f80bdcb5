"""Bad input to a check of a function: one sentence each, that says what to do."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from gradagree.adapters.functions import Call, FunctionAdapter
from gradagree.checker.verdict import Verdict
from gradagree.errors import UsageError, nearest
from gradagree.functions.records import GradientRecord, Report

MODES = ("reverse", "forward")
FLOATING = ("float", "bfloat", "complex")
COMPARED = (Verdict.AGREE, Verdict.INACCURATE, Verdict.CONVENTION)
"""The verdicts that say something about a derivative, among those that pass."""
ARITHMETICS = ("auto", "wide", "stored")


def check_options(
    fn: Any, args: Any, kwargs: Any, modes: Sequence[str] | str, order: int, arithmetic: str, repeat: int
) -> tuple[str, ...]:
    """The modes. Raises UsageError for an argument that no check can be made with."""
    if not callable(fn):
        raise UsageError(f"{fn!r} cannot be called; give a function or a module")
    if not isinstance(args, tuple | list):
        raise UsageError(f"args is a {type(args).__name__}; give the arguments in a tuple or list, such as args=(x,)")
    if kwargs is not None and not isinstance(kwargs, Mapping):
        raise UsageError(f"kwargs is a {type(kwargs).__name__}; give a dict of keyword arguments")
    chosen = tuple(modes.split(",")) if isinstance(modes, str) else tuple(modes)
    for mode in chosen:
        if mode not in MODES:
            raise UsageError(f"modes={mode!r}: {nearest(str(mode), MODES)}")
    if not chosen:
        raise UsageError("modes is empty; give 'reverse', 'forward' or both")
    if order not in (1, 2):
        raise UsageError(f"order={order!r}: give 1 for gradients, or 2 for the gradients of gradients as well")
    if arithmetic not in ARITHMETICS:
        raise UsageError(f"arithmetic={arithmetic!r}: {nearest(str(arithmetic), ARITHMETICS)}")
    if not isinstance(repeat, int) or repeat < 1:
        raise UsageError(f"repeat={repeat!r}: give the number of calls, 1 or more")
    return chosen


def check_wrt(call: Call, inputs: Iterable[np.ndarray]) -> None:
    """Raises UsageError if there is nothing to differentiate."""
    if not call.wrt:
        given = ", ".join(f"{name} ({x.dtype})" for name, x in zip(call.names, inputs, strict=True))
        raise UsageError(f"no input is floating-point: {given or 'no array is given'}; give one to differentiate")


def check_finite(
    call: Call, inputs: Iterable[np.ndarray], outputs: Callable[[], Sequence[np.ndarray]] | None = None
) -> None:
    """Raises UsageError if an input holds NaN or infinity.

    -inf is admitted: a mask holds it, or masked scores. So is NaN that the function removes: given its outputs, these
    are finite.
    """
    for name, x in zip(call.names, inputs, strict=True):
        if x.dtype.kind not in "fc":
            continue
        with np.errstate(all="ignore"):
            is_finite = bool(np.isfinite(np.sum(x)))  # takes a fraction of the time
        if is_finite or (np.isfinite(x) | (x == -np.inf)).all():
            continue
        removed = outputs is not None and all(np.isfinite(y).all() for y in outputs() if y.dtype.kind in "fc")
        if not removed or np.isinf(x).any():
            raise UsageError(f"{name} holds NaN or infinity; give finite numbers, or -inf for masked entries")


def check_cotangents(adapter: FunctionAdapter, cotangents: Any, outputs: Sequence[Any]) -> list[Any]:
    """The cotangents as arrays of the framework. Raises UsageError if they do not fit the outputs."""
    given = list(cotangents) if isinstance(cotangents, tuple | list) else [cotangents]
    if len(given) != len(outputs):
        raise UsageError(f"{len(given)} cotangents are given for {len(outputs)} outputs; give one for each, or None")
    found = []
    for k, (g, y) in enumerate(zip(given, outputs, strict=True)):
        if g is not None and np.shape(g) != tuple(y.shape):
            raise UsageError(
                f"cotangents[{k}] has shape {tuple(np.shape(g))}, the output {tuple(y.shape)}; give that shape"
            )
        g = adapter.array(np.asarray(g), y) if isinstance(g, np.ndarray | np.generic | float | int | complex) else g
        found.append(None if g is None else adapter.conjugated(g))
    if all(g is None for g in found):
        raise UsageError("all cotangents are None; give one to at least one output")
    return found


def name_of(fn: Any) -> str:
    """What messages call a function: ``SwiGLU.apply``, ``Linear``, ``gelu``."""
    if isinstance(fn, functools.partial):
        return name_of(fn.func)
    owner = getattr(fn, "__self__", None)
    if isinstance(owner, type):
        return f"{owner.__name__}.{fn.__name__}"
    return getattr(fn, "__name__", type(fn).__name__)


def check_compared(report: Report) -> None:
    """Raises UsageError if no derivative was compared, although none is wrong."""
    if (sentence := nothing_compared(report)) is not None:
        raise UsageError(f"{report.function}: {sentence}")


def nothing_compared(report: Report) -> str | None:
    """Why a report without failures says nothing about any derivative; None if it does."""
    if report.verdict.fails:
        return None
    derivatives = [r for r in report.records if r.quantity != "value"]
    outputs = [r for r in report.records if r.quantity == "value" and r.dtype.startswith(FLOATING)]
    has_entries = not outputs or any(0 not in r.shape for r in outputs)
    if has_entries and any(map(is_compared, derivatives)):
        return None
    reasons = dict.fromkeys(map(reason_of, [r for r in outputs if 0 in r.shape] or derivatives or report.records))
    return f"nothing was compared: {'; '.join(reasons)}"


def is_compared(record: GradientRecord) -> bool:
    """Whether some entries of a derivative were compared."""
    partly = record.verdict is Verdict.UNDECIDED and bool(record.share)
    return 0 not in record.shape and (record.verdict in COMPARED or partly)


def reason_of(record: GradientRecord) -> str:
    """Why a record says nothing about a derivative, and what to do."""
    if 0 in record.shape:
        return f"the {record.label} has no entries; give arrays with entries"
    if record.verdict is Verdict.UNDECIDED:
        return f"the tolerance of the {record.label} is as large as its entries; give other inputs or a wider dtype"
    if record.verdict is Verdict.OUT_OF_RANGE:
        return f"the {record.label} may overflow on the way; give smaller inputs or a wider dtype"
    return f"{record.label}: {record.reason}" if record.reason else record.label


def parameter_names(fn: Any, args: Sequence[Any]) -> dict[str, str]:
    """What a function calls its positional arguments, by their names in records: ``{"args[0]": "x"}``.

    Those of a custom ``autograd.Function`` are the names in its forward pass.
    """
    owner = getattr(fn, "__self__", None)
    forward = getattr(owner, "forward", None) if isinstance(owner, type) else getattr(fn, "forward", None)
    try:
        known = list(inspect.signature(fn if forward is None else forward).parameters.values())
    except (TypeError, ValueError):  # of a function that is not written in Python
        return {}
    named = [one.name for one in known if one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD)]
    named = named[1:] if isinstance(owner, type) and forward is not None and named[:1] == ["ctx"] else named
    return {f"args[{k}]": name for k, (name, _) in enumerate(zip(named, args, strict=False))}
