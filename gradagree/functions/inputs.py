"""`check` of a function by inputs: in any dtypes, with NumPy's arrays or the framework's own."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from gradagree.adapters.function_adapters import ADAPTERS, adapter_of, named_adapter
from gradagree.adapters.functions import FunctionAdapter
from gradagree.errors import UsageError, nearest
from gradagree.functions.assertions import assert_grads, check_function
from gradagree.functions.checked_call import FLOATING
from gradagree.functions.message import format_report
from gradagree.functions.models import check_model, is_large
from gradagree.functions.records import Disagreement, GradientRecord, Report
from gradagree.functions.saved import FailedCheck, save_call
from gradagree.functions.usage import MODES, check_compared, name_of, nothing_compared

MODULE_OPTIONS = ("wrt", "cotangents", "arithmetic")
"""The options that the check operation by operation has too."""


@dataclass(frozen=True)
class Arguments:
    """Positional and keyword arguments of a function."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any]


def check_by_inputs(
    thing: Callable[..., Any], reference: Any, inputs: Any, frameworks: str | None = None, modes: Any = None,
    dtypes: Sequence[str] | str | None = None, **options: Any,
) -> Report:  # fmt: skip
    """The report of `gradagree.check` with inputs. Raises Disagreement if a verdict fails, and UsageError."""
    __tracebackhide__ = True
    report = report_by_inputs(thing, reference, inputs, frameworks, modes, dtypes, **options)
    if report.verdict.fails:
        raise Disagreement(report.records, format_report(report), report)
    check_compared(report)
    return report


def report_by_inputs(
    thing: Callable[..., Any], reference: Any, inputs: Any, frameworks: str | None = None, modes: Any = None,
    dtypes: Sequence[str] | str | None = None, save: str | Path | None = None, **options: Any,
) -> Report:  # fmt: skip
    """The report of all dtypes, whatever the verdict; save is the folder for a failing call."""
    args, kwargs = arguments_of(inputs)
    adapter = framework_of(thing, args, kwargs, frameworks)
    options["modes"] = MODES if modes == "all" else modes or MODES[:1]
    checked = (adapter, thing, args, kwargs, reference)
    reports = [
        one_dtype(*checked, dtype, options, None if save is None else Path(save)) for dtype in chosen_dtypes(dtypes)
    ]
    notes = list(dict.fromkeys(note for report in reports for note in report.notes))
    replay = next((report.replay for report in reports if report.replay), "")
    conditions = list(dict.fromkeys(one for report in reports for one in report.conditions))
    records = [record for report in reports for record in report.records]
    about = {name: text for report in reports for name, text in report.measured.items()}
    modules = [module for report in reports for module in report.modules]
    return Report(records, name_of(thing), notes, replay, conditions, reports[0].parameters, about, modules)


def one_dtype(
    adapter: FunctionAdapter, thing: Any, args: Any, kwargs: Any, reference: Any, dtype: str | None,
    options: Mapping[str, Any], folder: Path | None,
) -> Report:  # fmt: skip
    """The report in one dtype; None keeps those of the inputs. A failing call is saved in the folder.

    With ``modules``, operation by operation as well; a large model only so.
    """
    options = dict(options)
    modules = options.pop("modules", None)
    if modules is not None and not isinstance(modules, bool):
        raise UsageError(f"modules={modules!r}: give True to check a model operation by operation too, or False")
    with adapter.precise() if dtype == "float64" else nullcontext():
        function = adapter.in_dtype(thing, dtype)
        given, named = adapter.in_dtype((args, kwargs), dtype)
        if options.get("cotangents") is not None:
            options = {**options, "cotangents": adapter.in_dtype(options["cotangents"], dtype)}
        by_operations = None
        large = modules is not False and reference is None and is_large(adapter, function, given, named)
        if modules or large:
            check_module_options(options)
            by_operations = checked_modules(adapter, function, given, named, options, folder)
            if large:
                return by_operations
        try:
            known = by_operations is not None and by_operations.verdict.fails
            report = check_function(function, given, reference=reference, kwargs=named, named=known, **options)
        except UsageError as error:
            if by_operations is None or reference is not None:
                raise
            by_operations.notes.append(f"not checked as a whole: {error}")
            return by_operations
        if by_operations is not None:
            if (reason := nothing_compared(report)) is not None and nothing_compared(by_operations) is None:
                by_operations.notes.append(f"not checked as a whole: {reason}")
                return by_operations
            report.modules = by_operations.modules
            report.records = [*with_faults(report.records, by_operations), *by_operations.failures]
            report.replay = by_operations.replay
        if report.verdict.fails and not report.replay:
            everything = {"reference": reference, "kwargs": named or None, **options}
            save_call(report, FailedCheck.of(assert_grads, (function, given), everything), folder)
        return report


def checked_modules(
    adapter: FunctionAdapter, function: Any, args: Any, kwargs: Any, options: Mapping[str, Any], folder: Path | None
) -> Report:  # fmt: skip
    """The report of a model operation by operation. A failing call is saved in the folder."""
    chosen: dict[str, Any] = {name: options[name] for name in MODULE_OPTIONS if name in options}
    report = check_model(adapter, function, args, kwargs, **chosen)
    if report.verdict.fails:
        inputs = args if not kwargs else kwargs if not args else Arguments(tuple(args), dict(kwargs))
        if chosen.get("arithmetic") == "auto":
            chosen.pop("arithmetic")
        others = {name: value for name, value in chosen.items() if value is not None}
        keywords = {"inputs": inputs, "modules": True, **others}
        save_call(report, FailedCheck("gradagree.check", (function,), keywords), folder)
    return report


def with_faults(records: Sequence[GradientRecord], by_operations: Report) -> list[GradientRecord]:
    """The records; those of wrong gradients without a reason say which operation is wrong."""
    fault = next((record.reason for record in by_operations.records if record.verdict.fails), "")
    wrong = [r.verdict.fails and r.quantity == "gradient" and not r.reason for r in records]
    return [
        msgspec.structs.replace(r, reason=fault) if is_wrong else r for r, is_wrong in zip(records, wrong, strict=True)
    ]


def check_module_options(options: Mapping[str, Any]) -> None:
    """Raises UsageError for options that the check operation by operation does not have."""
    if options.get("order", 1) != 1 or "reverse" not in options["modes"]:
        raise UsageError("modules=True checks first derivatives in reverse mode; leave out order and modes")


def arguments_of(inputs: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """(args, kwargs): of a tuple or list, of a dict of keyword arguments, or of what a function returns."""
    if callable(inputs):
        inputs = inputs()
    if isinstance(inputs, Arguments):
        return inputs.args, inputs.kwargs
    if isinstance(inputs, Mapping):
        return (), dict(inputs)
    if isinstance(inputs, tuple | list):
        return tuple(inputs), {}
    raise UsageError(
        f"inputs is a {type(inputs).__name__}; give a tuple of arguments, a dict of keyword arguments, or a function "
        "that returns one"
    )


def framework_of(thing: Any, args: Any, kwargs: Any, name: str | None) -> FunctionAdapter:
    """The framework of a function: as named, or that of its arrays or parameters, or the only one that is imported."""
    if name is not None:
        return named_adapter(name)
    try:
        return adapter_of(thing, args, kwargs)
    except UsageError:
        root = (getattr(thing, "__module__", None) or type(thing).__module__).partition(".")[0]
        imported = [root] if root in ADAPTERS else [one for one in ADAPTERS if one in sys.modules]
        if len(imported) != 1:
            raise UsageError(f"name the framework of the function: frameworks= {' or '.join(ADAPTERS)}") from None
        return named_adapter(imported[0])


def chosen_dtypes(dtypes: Sequence[str] | str | None) -> list[str | None]:
    """The dtypes to check in; None for those of the inputs."""
    if dtypes is None:
        return [None]
    named = dtypes.split(",") if isinstance(dtypes, str) else list(dtypes)
    for dtype in named:
        if dtype not in FLOATING:
            raise UsageError(f"dtypes={dtype!r}: {nearest(str(dtype), FLOATING)}")
    if not named:
        raise UsageError(f"dtypes is empty; give some of {', '.join(FLOATING)}")
    return [*named]
