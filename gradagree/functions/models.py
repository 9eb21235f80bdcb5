"""The check of a whole model, operation by operation, while it runs."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from gradagree.adapters.functions import Call, FunctionAdapter
from gradagree.checker.verdict import Verdict
from gradagree.errors import UsageError
from gradagree.functions.drawing import draw_cotangents
from gradagree.functions.ladder import arithmetics, measured
from gradagree.functions.localize import rungs_of
from gradagree.functions.module_records import ModuleRecord
from gradagree.functions.modules import ModuleObserver, OperationFinding
from gradagree.functions.records import GradientRecord, Report
from gradagree.functions.references import describe
from gradagree.functions.usage import check_cotangents, check_finite, check_wrt, name_of, parameter_names

LARGE = 10_000_000
"""Number of entries of the parameters from which on a model is judged by its operations alone."""


def is_large(adapter: FunctionAdapter, function: Any, args: Any, kwargs: Any) -> bool:
    """True for a module with so many parameters that it is judged by its operations alone."""
    if not adapter.is_module(function):
        return False
    arrays = adapter.prepare(function, args, dict(kwargs), None).arrays
    return sum(int(np.prod(x.shape, dtype=np.int64)) for x in arrays) > LARGE


def check_model(
    adapter: FunctionAdapter, function: Any, args: Sequence[Any], kwargs: Mapping[str, Any], wrt: Any = None,
    cotangents: Any = None, arithmetic: str = "auto",
) -> Report:  # fmt: skip
    """The report of a model, whose operations are judged one by one on the framework's own numbers.

    Raises:
        UsageError: The model cannot be run with these arguments, or nothing can be differentiated.
    """
    call = adapter.prepare(function, args, dict(kwargs), wrt)
    inputs = [adapter.on_host(x) for x in call.arrays]
    check_wrt(call, inputs)
    check_finite(call, inputs)
    observer = ModuleObserver(functools.cache(lambda dtype: rungs_for(adapter, call, dtype, arithmetic)))

    def seeds(outputs: list[Any]) -> Sequence[Any]:
        if not outputs:
            raise UsageError("the model returns no array; there is no gradient to check")
        return (
            draw_cotangents(adapter, outputs) if cotangents is None else check_cotangents(adapter, cotangents, outputs)
        )

    try:
        count = adapter.watch(function, call, seeds, observer)
    except UsageError:
        raise
    except Exception as error:
        raise UsageError(f"the model cannot be run with these arguments: {describe(error)}") from error
    if not count:
        raise UsageError("no output of the model depends on an array with a gradient; there is no gradient to check")
    return report_of(adapter, call, observer, name_of(function), parameter_names(function, args))


def rungs_for(adapter: FunctionAdapter, call: Call, dtype: str, arithmetic: str) -> tuple[str, ...]:
    """The admissible arithmetics of an operation in a dtype."""
    like = next((x for x in call.arrays if adapter.dtype(x) == dtype), None)
    return rungs_of(dtype) if like is None else tuple(arithmetics(adapter, like, dtype, arithmetic))


def report_of(
    adapter: FunctionAdapter, call: Call, observer: ModuleObserver, name: str, parameters: Mapping[str, str]
) -> Report:
    """The report: a record for each gradient that has a name and for each failing operation, and the table."""
    records = []
    for k in call.wrt:
        label = call.names[k]
        one = observer.findings.get(("gradient", label))
        if one is None:
            reason = "undefined, which stands for zero" if label in observer.order else "not checked"
            verdict = Verdict.AGREE if label in observer.order else Verdict.UNDECIDED
            records.append(
                GradientRecord(
                    name=label, quantity="gradient", verdict=verdict, framework=adapter.name, reason=reason,
                    dtype=adapter.dtype(call.arrays[k]), shape=tuple(call.arrays[k].shape), sharpness=0.0, share=0.0,
                )
            )  # fmt: skip
        else:
            records.append(record_of(adapter, one, label))
    named = {id(one) for one in observer.findings.values()}
    records += [record_of(adapter, one, "") for one in observer.failing if id(one) not in named]
    about = measured(adapter, call.arrays[call.wrt[0]]) if call.wrt else {}
    modules = [
        ModuleRecord(
            name=module, verdict=found.verdict if found.compared or found.faults else Verdict.UNDECIDED,
            sharpness=found.sharpness, operations=found.operations, entries=found.entries,
            seconds=round(found.seconds, 4), unchecked=tuple(found.unchecked), faults=tuple(map(str, found.faults)),
        )
        for module, found in observer.modules.items() if found.operations or found.faults or found.unchecked
    ]  # fmt: skip
    return Report(records, name, [], "", [], parameters, about, modules)


def record_of(adapter: FunctionAdapter, one: OperationFinding, label: str) -> GradientRecord:
    """The record of the gradient with a name, or of an array inside the model."""
    inside = f"{one.module or one.operation} ({one.operation}{', ' if one.argument else ''}{one.argument})"
    fields = one.finding.fields()
    if one.finding.verdict.fails:
        fields["reason"] = "; ".join(filter(None, (str(one), one.finding.reason)))
    return GradientRecord(
        name=label or inside, quantity="value" if one.quantity == "value" else "gradient", framework=adapter.name,
        dtype=one.dtype, shape=one.shape, place=one.place, **fields,
    )  # fmt: skip
