"""Conditions that hide a wrong gradient: repeated calls, memory layouts, missing cotangents, modified arrays."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import msgspec
import numpy as np

from gradagree.adapters.functions import Call, FunctionAdapter
from gradagree.arithmetic.model import FORMATS
from gradagree.checker.verdict import ORDER, Verdict, hexadecimal
from gradagree.functions.drawing import INEXACT
from gradagree.functions.parts import name_of, real_arrays, real_dtype
from gradagree.functions.records import GradientRecord
from gradagree.functions.references import describe

MOST_OUTPUTS = 8
"""Of more outputs than this, the first ones go without a cotangent in turn."""

CONTIGUOUS = "the same numbers in contiguous arrays give the right result"
"""The reason of a failure that depends on the memory layout of inputs."""

ALONE = "no derivative"
"""The condition of a call for its values only."""

Results = tuple[Sequence[Any], Sequence[Any]]
"""(values, gradients) of a call; no values if its outputs are others."""
Judge = Callable[[Call, Sequence[Any], Results, Collection[str] | None], list[GradientRecord]]
"""The records of (call, cotangents, results), of the arrays with these labels; of all without labels."""
WITHOUT_SUM = ("complex32",)
"""Dtypes whose numbers no framework adds up."""


@dataclass(frozen=True)
class PlainCall:
    """A call whose values and gradients are right.

    Args:
        adapter: The framework's adapter.
        call: The call.
        seeds: The cotangents of its outputs.
        outputs: Its outputs without a derivative.
        values: Its outputs.
        gradients: Its gradients with respect to call.wrt.
        judge: Compares the results of another call with the reference.
        verdicts: The verdicts on its arrays by their labels.
    """

    adapter: FunctionAdapter
    call: Call
    seeds: Sequence[Any]
    outputs: Sequence[Any]
    values: Sequence[Any]
    gradients: Sequence[Any]
    judge: Judge
    verdicts: Mapping[str, Verdict] = field(default_factory=dict)


@dataclass(frozen=True)
class Condition:
    """A call in which one thing is special.

    Args:
        name: Name in the records.
        call: The call.
        seeds: The cotangents of its outputs.
        reason: Put in front of the reason of a failure.
        usual: (values, gradients) of a call with the same numbers and nothing special; None without one.
        context: Context of the call.
        judged_with: Cotangents of the outputs of the plain call, if the call has other outputs.
        may_refuse: True if the function may raise an error instead.
        repeated: True if the call is the plain one, so that different results are a remark.
        passes: Number of backward passes after the forward pass, of which the last is judged.
        alone: Place in call.wrt of the only array that has a gradient; None if all have one.
    """

    name: str
    call: Call
    seeds: Sequence[Any]
    reason: str = ""
    usual: Results | None = None
    context: Callable[[], AbstractContextManager[Any]] = nullcontext
    judged_with: Sequence[Any] | None = None
    may_refuse: bool = False
    repeated: bool = False
    passes: int = 1
    alone: int | None = None


@dataclass
class Trials:
    """Which conditions to try, and what they show.

    Args:
        layouts: Try memory layouts and missing cotangents.
        repeat: Number of calls in all that must give the same gradient.
        conditions: Names of the conditions that were tried.
        notes: Remarks for the report.
        records: What fails only under a condition, or has a worse verdict than without it.
        named: True if the operation at fault is known already, so that wrong gradients need no explanation.
    """

    layouts: bool = True
    repeat: int = 2
    conditions: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    records: list[GradientRecord] = field(default_factory=list)
    named: bool = False


def compare_outputs(plain: PlainCall, trials: Trials) -> None:
    """The values of the call without a derivative: a function may compute them in another way than for a derivative."""
    if not trials.layouts and trials.repeat < 2:
        return
    condition = Condition(ALONE, plain.call, plain.seeds, "the values with a derivative are others")
    trials.conditions.append(ALONE)
    results = plain.outputs, plain.gradients
    if apart := differences(plain, (plain.values, plain.gradients), results):
        trials.records += failures(plain, condition, results, apart)


def attempt(plain: PlainCall, condition: Condition, trials: Trials) -> Results | None:
    """The results under one condition, judged unless they have the usual bits; None if the function raises an error."""
    trials.conditions.append(condition.name)
    try:
        with condition.context():
            values, gradients = results_of(plain, condition)
    except Exception as error:  # noqa: BLE001 (whatever the user's function raises)
        if condition.may_refuse:
            trials.notes.append(f"{condition.name}: the function raises {describe(error)}")
        else:
            trials.records.append(refused(plain, condition, error))
        return None
    results = (values, gradients) if condition.judged_with is None else ([], gradients)
    apart = {} if condition.usual is None else differences(plain, condition.usual, results)
    if apart or condition.usual is None:
        wrong = failures(plain, condition, results, apart)
        trials.records += wrong
        if condition.repeated and not wrong:
            trials.notes += [
                f"{label}: differs by {size()} between calls, within its tolerance" for label, size in apart.items()
            ]
    return values, gradients


def results_of(plain: PlainCall, condition: Condition) -> Results:
    """(values, gradients) of the call; if only one array has a gradient, the others have that of the plain call."""
    call, k = condition.call, condition.alone
    if k is None:
        values, found = plain.adapter.vjps(call, [condition.seeds] * condition.passes)
        return values, found[-1]
    values, (alone,) = plain.adapter.vjp(replace(call, wrt=[call.wrt[k]]), condition.seeds)
    return values, [alone if j == k else g for j, g in enumerate(plain.gradients)]


def failures(
    plain: PlainCall, condition: Condition, results: Results, apart: Mapping[str, Callable[[], str]]
) -> list[GradientRecord]:
    """The records of what has a worse verdict under a condition than without it.

    Other cotangents may be undecided where those of the plain call are not; that is no fault of the function.
    """
    seeds = condition.seeds if condition.judged_with is None else condition.judged_with
    recorded = [Verdict.INACCURATE, *((Verdict.UNDECIDED, Verdict.OUT_OF_RANGE) if condition.usual is not None else ())]
    labels = None if condition.usual is None else apart.keys()  # what has the usual bits has the usual verdict
    wrong = [r for r in plain.judge(condition.call, seeds, results, labels) if r.verdict.fails or r.verdict in recorded]
    if wrong:
        known = plain.verdicts
        if condition.usual is not None:
            usual = plain.judge(condition.call, seeds, condition.usual, labels)
            known = {record.label: record.verdict for record in usual}
        wrong = [r for r in wrong if is_worse(r.verdict, known.get(r.label, Verdict.AGREE))]
    found = []
    for record in wrong:
        whole = record.label.removesuffix(".real").removesuffix(".imag")
        distance = f"differs by {apart[whole]()} from the plain call" if whole in apart else ""
        reason = "; ".join(part for part in (condition.reason, distance, record.reason) if part)
        found.append(msgspec.structs.replace(record, condition=condition.name, reason=reason))
    return found


def is_worse(verdict: Verdict, other: Verdict) -> bool:
    return ORDER[verdict] < ORDER[other] and not (verdict.fails and other.fails)


def refused(plain: PlainCall, condition: Condition, error: BaseException) -> GradientRecord:
    """The record of a call that raises an error only under a condition."""
    return GradientRecord(
        name="backward pass", quantity="value", framework=plain.adapter.name, verdict=Verdict.CRASHED,
        dtype=plain.adapter.dtype(plain.call.arrays[plain.call.wrt[0]]), condition=condition.name,
        reason=describe(error),
    )  # fmt: skip


def differences(plain: PlainCall, usual: Results, results: Results) -> dict[str, Callable[[], str]]:
    """What gives the largest difference in ulp of each array that has not the usual bits, by its label."""
    adapter, call = plain.adapter, plain.call
    pairs = list(zip(call.results, usual[0], results[0], strict=False))
    names = [f"gradient of {call.names[k]}" for k in call.wrt]
    pairs += zip(names, usual[1], results[1], strict=True)
    found: dict[str, Callable[[], str]] = {}
    for label, a, b in pairs:
        if a is None or b is None:
            if (a is None) != (b is None):
                found[label] = lambda: "a gradient that is undefined"
        elif tuple(a.shape) != tuple(b.shape):
            found[label] = lambda: "its shape"
        elif not adapter.same(a, b):
            found[label] = partial(distance, adapter, a, b)
    return found


def distance(adapter: FunctionAdapter, a: Any, b: Any) -> str:
    """The largest difference of two arrays of the framework."""
    numbers = np.stack(real_arrays(adapter.to_numpy(a))), np.stack(real_arrays(adapter.to_numpy(b)))
    return distance_in_ulp(*numbers, real_dtype(adapter.dtype(a)))


def distance_in_ulp(a: np.ndarray, b: np.ndarray, dtype: str) -> str:
    """The largest difference, in units in the last place of the larger number: ``3 ulp``."""
    if dtype not in FORMATS:
        return f"{np.nanmax(np.abs(a - b)):.1e}" if a.dtype.kind in "fc" else "other numbers"
    kind = FORMATS[dtype]
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        return "NaN or infinity"
    exponent = np.frexp(np.maximum(np.abs(a), np.abs(b)))[1]
    ulp = np.maximum(np.ldexp(1.0, exponent - kind.precision), kind.smallest)  # frexp: 0.5 <= fraction < 1
    return f"{np.max(np.abs(a - b) / ulp):.3g} ulp"


def repetitions(plain: PlainCall, repeat: int) -> Iterator[Condition]:
    """The same call again, with other contents of memory, and with another call before the backward pass."""
    call, seeds, usual = plain.call, plain.seeds, (plain.values, plain.gradients)
    for k in range(2, repeat + 1):
        yield Condition(
            f"call {k}", traced_again(call), seeds, "non-deterministic: the same call", usual, repeated=True
        )
    if plain.adapter.strided:
        reason = "memory is read that nothing was written to"
        context = plain.adapter.uninitialized_as_nan
        yield Condition("uninitialized memory holds NaN", call, seeds, reason, usual, context)
        reason = "the first backward pass overwrites what the second one reads"
        yield Condition("second backward pass", call, seeds, reason, usual, may_refuse=True, passes=2)
    reason = "the backward pass reads what a later call has overwritten"
    name = "another call before the backward pass"
    yield Condition(name, interrupted(plain.adapter, call), seeds, reason, usual, may_refuse=True)


def unwritten(adapter: FunctionAdapter, call: Call, seeds: Sequence[Any], gradients: Sequence[Any]) -> list[str]:
    """The names of the arrays whose gradient holds NaN if uninitialized memory does, and not otherwise."""
    if not adapter.strided:
        return []
    try:
        with adapter.uninitialized_as_nan():
            again = adapter.vjp(call, seeds)[1]
    except Exception:  # noqa: BLE001 (whatever the user's function raises)
        return []
    names = [call.names[k] for k in call.wrt]
    pairs = [
        (name, a, b) for name, a, b in zip(names, gradients, again, strict=True) if a is not None and b is not None
    ]
    empty = {name: np.isnan(adapter.to_numpy(b)) & ~np.isnan(adapter.to_numpy(a)) for name, a, b in pairs}
    return [name for name, entries in empty.items() if np.any(entries)]


def traced_again(call: Call) -> Call:
    """The same call, which no framework takes for one that it has compiled."""
    return replace(call, function=lambda arrays: call.function(arrays))


def interrupted(adapter: FunctionAdapter, call: Call) -> Call:
    """The call, with another one with halved numbers between its forward and its backward pass."""
    others = [x * 0.5 if adapter.dtype(x) in INEXACT else x for x in call.arrays]

    def function(arrays: Sequence[Any]) -> list[Any]:
        outputs = call.function(arrays)
        with suppress(Exception):  # the function may not accept these numbers
            call.function(others)
        return outputs

    return replace(call, function=function)


def cotangent_layouts(plain: PlainCall) -> Iterator[tuple[str, Callable[[], Condition]]]:
    """(name, what makes the condition) for the same cotangents in other memory layouts."""
    reason = "the same cotangent in a contiguous array gives the right gradient"
    usual = plain.values, plain.gradients

    def special(name: str, seeds: Callable[[], list[Any]]) -> Condition:
        return Condition(name, plain.call, seeds(), reason, usual)

    for layout, seeds in in_layouts(plain.adapter, plain.seeds):
        name = f"{layout} cotangent"
        yield name, partial(special, name, seeds)


def in_layouts(adapter: FunctionAdapter, arrays: Sequence[Any]) -> Iterator[tuple[str, Callable[[], list[Any]]]]:
    """(name, what makes the arrays in this layout) for each layout that at least one of them can have."""
    found = [{} if x is None else adapter.layouts(x) for x in arrays]

    def arranged(name: str) -> list[Any]:
        return [one[name]() if name in one else x for one, x in zip(found, arrays, strict=True)]

    for name in dict.fromkeys(name for one in found for name in one):
        yield name, partial(arranged, name)


def try_uniform_cotangents(plain: PlainCall, trials: Trials) -> None:
    """Ones in all entries, as ``sum`` passes them back: contiguous, with stride 0, and from the sum itself."""
    adapter, call, count = plain.adapter, plain.call, len(trials.records)
    expanded = [None if g is None else adapter.expanded_ones(g) for g in plain.seeds]
    ones = [None if g is None else adapter.copy(adapter.array(np.ones(g.shape), g)) for g in expanded]
    usual = attempt(plain, Condition("cotangent of ones", call, ones), trials)
    if usual is None or len(trials.records) > count or all(g is None or not g.shape for g in ones):
        return
    if not adapter.strided:  # an array has one layout, so that the cotangent from a sum is the array of ones
        return
    reason = "the same cotangent in a contiguous array gives the right gradient"
    attempt(plain, Condition("expanded cotangent", call, expanded, reason, usual), trials)
    if len(trials.records) > count:
        return
    if any(g is not None and adapter.dtype(g) in WITHOUT_SUM for g in ones):
        return
    scalars = [None if g is None else adapter.array(np.ones(()), g) for g in ones]
    reason, usual = "the gradient of the sum of the output", ([], usual[1])
    attempt(
        plain, Condition("zero-dimensional cotangent", summed(call), scalars, reason, usual, judged_with=ones), trials
    )


def protected(adapter: FunctionAdapter, call: Call, arrays: Mapping[str, Any]) -> Call:
    """The call with these arrays by name, of which the function gets new copies each time since it writes to them."""
    at = [k for k, name in enumerate(call.names) if name in arrays]

    def function(given: Sequence[Any]) -> list[Any]:
        return call.function([adapter.copy(x) if k in at else x for k, x in enumerate(given)])

    return replace(
        call, function=function, arrays=[arrays.get(*both) for both in zip(call.names, call.arrays, strict=True)]
    )


def summed(call: Call) -> Call:
    """The sums of the outputs."""
    return replace(call, function=lambda arrays: [y.sum() for y in call.function(arrays)])


def try_missing_cotangents(plain: PlainCall, trials: Trials) -> None:
    """One output of several without a cotangent, then with a cotangent of zeros."""
    kept = [k for k, g in enumerate(plain.seeds) if g is not None]
    if len(kept) < 2:
        return
    for k in kept[:MOST_OUTPUTS]:
        name = plain.call.results[k]
        missing = [None if j == k else g for j, g in enumerate(plain.seeds)]
        usual = attempt(plain, Condition(f"no cotangent of {name}", plain.call, missing), trials)
        zeros = list(plain.seeds)
        zeros[k] = plain.adapter.array(np.zeros(zeros[k].shape), zeros[k])
        attempt(plain, Condition(f"cotangent of {name} is zero", plain.call, zeros, "", usual), trials)


def single_gradients(plain: PlainCall) -> Iterator[Condition]:
    """The call where only one of the arrays requires a gradient: a backward pass may leave out what others need."""
    call = plain.call
    if not plain.adapter.strided or len(call.wrt) < 2:  # only frameworks with arrays that require a gradient
        return
    for k in range(min(len(call.wrt), MOST_OUTPUTS)):
        name = call.names[call.wrt[k]]
        reason = "the gradient is right where the other arrays require one too"
        usual = plain.values, plain.gradients
        yield Condition(f"only {name} requires a gradient", call, plain.seeds, reason, usual, may_refuse=True, alone=k)


def input_layouts(plain: PlainCall) -> Iterator[tuple[str, Callable[[], Condition]]]:
    """(name, what makes the condition) for the same inputs in other memory layouts."""
    if plain.call.random:  # random numbers follow the layout in memory, so another layout gives other ones
        return
    usual = plain.values, plain.gradients

    def special(name: str, arrays: Callable[[], list[Any]]) -> Condition:
        call = replace(plain.call, arrays=arrays())
        return Condition(name, call, plain.seeds, CONTIGUOUS, usual, may_refuse=True)

    for layout, arrays in in_layouts(plain.adapter, plain.call.arrays):
        name = f"{layout} inputs"
        yield name, partial(special, name, arrays)


def expanded_inputs(plain: PlainCall) -> Iterator[Condition]:
    """Inputs whose first axis has stride 0."""
    adapter, call, seeds = plain.adapter, plain.call, plain.seeds
    found = [adapter.expanded(x) if k in call.wrt else None for k, x in enumerate(call.arrays)]
    if call.random or all(x is None for x in found):
        return
    arrays = [x if e is None else e for x, e in zip(call.arrays, found, strict=True)]
    contiguous = [x if e is None else adapter.copy(e) for x, e in zip(call.arrays, found, strict=True)]
    try:
        usual = adapter.vjp(replace(call, arrays=contiguous), seeds)
    except Exception:  # noqa: BLE001 (the function may not accept these numbers)
        return
    if any(np.isnan(adapter.to_numpy(y)).any() for y in usual[0]):  # a row that holds NaN, or that gives it
        return
    yield Condition("expanded inputs", replace(call, arrays=arrays), seeds, CONTIGUOUS, usual, may_refuse=True)


class Unchanged:
    """Copies of arrays, to see later whether a function has modified them.

    Args:
        adapter: The framework's adapter.
        arrays: The arrays by name.
    """

    def __init__(self, adapter: FunctionAdapter, arrays: Mapping[str, Any]) -> None:
        self.adapter = adapter
        self.arrays = arrays
        self.copies = {name: adapter.copy(x) for name, x in arrays.items()}

    def modified(self) -> list[str]:
        """The names of the arrays that have changed."""
        return [name for name, x in self.arrays.items() if not self.adapter.same(x, self.copies[name])]

    def restore(self) -> None:
        """Write the numbers of the copies back into the arrays that have changed."""
        for name in self.modified():
            self.adapter.write(self.arrays[name], self.copies[name])

    def records(self, what: str) -> list[GradientRecord]:
        """One record for each array that has changed; what is the forward or backward pass."""
        found = []
        for name in self.modified():
            x = self.arrays[name]
            before, after = self.adapter.to_numpy(self.copies[name]), self.adapter.to_numpy(x)
            at = tuple(int(i) for i in np.argwhere((before != after) & ~(np.isnan(before) & np.isnan(after)))[0])
            part = "imag" if before[at].real == after[at].real else "real"
            found.append(
                GradientRecord(
                    name=name_of(name, part if before.dtype.kind == "c" else ""), quantity="value",
                    framework=self.adapter.name, dtype=self.adapter.dtype(x),
                    shape=tuple(x.shape), verdict=Verdict.DISAGREE, condition=f"after the {what}", entry=at,
                    expected=hexadecimal(float(getattr(before[at], part))),
                    observed=hexadecimal(float(getattr(after[at], part))),
                    reason=f"the {what} modifies {name} in place, and everything else that uses it is then wrong; "
                    "write to a copy",
                )
            )  # fmt: skip
        return found
