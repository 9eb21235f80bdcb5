"""`assert_grads`: compare the gradients of any function with those of a plain reference."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

import msgspec
import numpy as np

from gradagree.adapters.function_adapters import adapter_of
from gradagree.adapters.functions import Call, FunctionAdapter, UndefinedDerivative
from gradagree.adapters.program import UnknownOperation
from gradagree.checker.verdict import Verdict
from gradagree.errors import UsageError
from gradagree.functions.agreement import Agreements, agreements, agreements_of
from gradagree.functions.around import check_around
from gradagree.functions.checked_call import (
    CheckedCall,
    Enclosures,
    crashed,
    expectations,
    gradients_of,
    value_records,
)
from gradagree.functions.conditions import PlainCall, Results, Trials, Unchanged, protected, unwritten
from gradagree.functions.derivations import check_written, written_graph
from gradagree.functions.drawing import INEXACT, draw_cotangents
from gradagree.functions.enclosures import LADDER
from gradagree.functions.explain import explain
from gradagree.functions.forward import forward_records
from gradagree.functions.judge import ArrayFinding, judge
from gradagree.functions.ladder import Ladder, measured
from gradagree.functions.message import format_report
from gradagree.functions.parts import Parts
from gradagree.functions.proofs import prove_findings
from gradagree.functions.recent import Recent
from gradagree.functions.records import Disagreement, GradientRecord, Report
from gradagree.functions.references import check_estimators, describe, graph_of, own_graph
from gradagree.functions.saved import FailedCheck, save_call
from gradagree.functions.tangents import gradient_graph
from gradagree.functions.ties import checked_by_sum, has_projected_gradient, is_smooth, sum_over_ties, tied_values
from gradagree.functions.together import try_conditions
from gradagree.functions.usage import (
    check_compared,
    check_cotangents,
    check_finite,
    check_options,
    check_wrt,
    name_of,
    parameter_names,
)
from gradagree.reference.graph import Graph


def assert_grads(
    fn: Callable[..., Any],
    args: Sequence[Any],
    *,
    reference: Any = None,
    kwargs: Mapping[str, Any] | None = None,
    wrt: Any = None,
    cotangents: Any = None,
    modes: Sequence[str] | str = ("reverse",),
    order: int = 1,
    arithmetic: str = "auto",
    layouts: bool = True,
    repeat: int = 2,
    msg: str | None = None,
) -> Report:
    """Check the gradients of a function of PyTorch or JAX. There is no tolerance to choose.

    Args:
        fn: A function or module: a kernel, a custom backward pass, a layer.
        args: Its positional arguments as a tuple or list: arrays of the framework, or dicts, lists and tuples of them,
            and whatever else the function takes.
        reference: A function with the same arguments that computes the same values, in NumPy, torch or JAX; it needs
            no derivative. Also an `Operation`, whose gradient may be computed as in its hand-written vjp too, or a
            `Graph`. By default the forward pass of `fn` itself. A reference of a module takes its parameters as
            keyword arguments, or all in one dict named ``params``.
        kwargs: Keyword arguments.
        wrt: The arrays whose gradients are checked: numbers of arguments, or names such as ``"args[1]['w']"`` and
            ``"weight"``. By default all of floating-point numbers; of torch's arguments, those that require a gradient.
        cotangents: One array for each output, in its shape; None for an output without one. By default random.
        modes: ``"reverse"``, ``"forward"``, or both.
        order: 1, or 2 to check the gradient of the gradient as well.
        arithmetic: ``"wide"`` demands intermediates in the format of the accumulator, ``"stored"`` and ``"auto"``
            admit intermediates in the dtype of the arrays. The records name the finest that explains the result.
        layouts: Also check arrays that are not contiguous, and expanded, zero-dimensional and missing cotangents.
        repeat: Number of calls with the same gradient; from 2 on, others come between and memory is filled with NaN.
        msg: Text to put in front of the message of a failure.

    Returns:
        The report, with a record for each output and each gradient.

    Raises:
        Disagreement: A verdict fails; ``report`` holds the report. The message has the worst entry first: array, index,
            expected, observed, tolerance; then a command that checks the function again (``GRADAGREE_REPLAY_DIR``).
        UsageError: Nothing could be checked; the message says why and what to do.

    Example:
        >>> import numpy as np, torch
        >>> from gradagree import assert_grads
        >>> report = assert_grads(torch.sinh, [torch.linspace(-2, 2, 5)], reference=np.sinh)
        >>> report.verdict.value, [record.label for record in report.records]
        ('agree', ['output', 'gradient of args[0]'])
    """
    options = {name: value for name, value in locals().items() if name not in ("fn", "args", "msg")}
    __tracebackhide__ = True
    report = check_function(fn, args, **options)
    if report.verdict.fails:
        save_call(report, FailedCheck.of(assert_grads, (fn, args), options))
        raise Disagreement(report.records, format_report(report, msg), report)
    check_compared(report)
    return report


def check_function(
    fn: Callable[..., Any], args: Sequence[Any], *, reference: Any = None, kwargs: Mapping[str, Any] | None = None,
    wrt: Any = None, cotangents: Any = None, modes: Sequence[str] | str = ("reverse",), order: int = 1,
    arithmetic: str = "auto", layouts: bool = True, repeat: int = 2, named: bool = False,
) -> Report:  # fmt: skip
    """As `assert_grads`, whatever the verdict; named: wrong gradients need no explanation."""
    chosen = check_options(fn, args, kwargs, modes, order, arithmetic, repeat)
    given = dict(kwargs or {})
    adapter = adapter_of(fn, args, given)
    call = adapter.prepare(fn, args, given, wrt)
    trials = Trials(layouts, repeat, named=named)
    records = check_call(adapter, call, reference, args, given, cotangents, arithmetic, chosen, order, trials)
    names = parameter_names(fn, args)
    about = measured(adapter, call.arrays[call.wrt[0]]) if call.wrt else {}
    return Report(records, name_of(fn), trials.notes, "", trials.conditions, names, about)


def check_call(
    adapter: FunctionAdapter, call: Call, reference: Any, args: Sequence[Any], kwargs: Mapping[str, Any],
    cotangents: Any = None, arithmetic: str = "auto", modes: Sequence[str] = ("reverse",), order: int = 1,
    trials: Trials | None = None,
) -> list[GradientRecord]:  # fmt: skip
    """The records of one call: its values, then its derivatives in each mode; hidden conditions if trials are given.

    With trials, a function with an operation that is not known is judged around it; without, that is a UsageError.
    """
    kept = Unchanged(adapter, dict(zip(call.names, call.arrays, strict=True)))
    try:
        return check_kept(kept, call, reference, args, kwargs, cotangents, arithmetic, modes, order, trials)
    finally:
        kept.restore()


def check_kept(
    kept: Unchanged, call: Call, reference: Any, args: Sequence[Any], kwargs: Mapping[str, Any], cotangents: Any,
    arithmetic: str, modes: Sequence[str], order: int, trials: Trials | None,
) -> list[GradientRecord]:  # fmt: skip
    """As `check_call`, where the arrays of the call are kept."""
    adapter = kept.adapter
    inputs = [adapter.to_numpy(x) for x in call.arrays]
    check_wrt(call, inputs)
    try:
        outputs = adapter.outputs(call)
    except Exception as error:  # whatever the user's function raises
        raise UsageError(f"the function cannot be called with these arguments: {describe(error)}") from error
    check_finite(call, inputs, lambda: [adapter.to_numpy(y) for y in outputs])
    if not any(adapter.dtype(y) in INEXACT for y in outputs):
        raise UsageError("the function returns no floating-point array; there is no gradient to check")
    if modified := kept.modified():
        differentiated = {call.names[k] for k in call.wrt}
        wrong = kept.records("forward pass")
        if wrong := [r for r in wrong if differentiated & {r.name, r.name.removesuffix(".real").removesuffix(".imag")}]:
            return wrong
        if trials is not None:
            trials.notes.append(f"the function writes to {', '.join(modified)}; each call gets the numbers given")
        call = protected(adapter, call, {name: kept.copies[name] for name in modified})
        inputs = [adapter.to_numpy(x) for x in call.arrays]
    seeds = draw_cotangents(adapter, outputs) if cotangents is None else check_cotangents(adapter, cotangents, outputs)
    inputs = Parts([adapter.dtype(x) for x in call.arrays]).split(inputs)
    parts = Parts([adapter.dtype(y) for y in outputs])
    notes = None if trials is None else trials.notes
    try:
        graph = graph_of(adapter, call, reference, inputs, args, kwargs, parts, notes)
    except UnknownOperation as unknown:
        if trials is None or "reverse" not in modes:
            raise
        return check_around(adapter, call, unknown, outputs, seeds, arithmetic, trials)
    own = None if reference is None else functools.cache(lambda: own_graph(adapter, call, inputs, parts, graph))
    written = written_graph(reference, inputs, graph)
    checked = CheckedCall(adapter, call, graph, inputs, outputs, arithmetic, own=own, written=written)
    return check_against(checked, reference is None, seeds, modes, order, trials)


def check_against(
    checked: CheckedCall, itself: bool, seeds: Sequence[Any], modes: Sequence[str], order: int, trials: Trials | None
) -> list[GradientRecord]:
    """The records of a call with its reference; itself: the reference is the function's own forward pass."""
    adapter, call = checked.adapter, checked.call
    if differences := structure_differences(checked):
        return differences
    if (written := checked.written) is not None:
        numbers = checked.numbers(seeds, checked.outputs)
        check_written(written, checked.graph, checked.inputs, numbers, call.names)
    records = derivative_records(checked, seeds, modes, trials)
    if itself and any(record.verdict.fails and record.quantity == "gradient" for record in records):
        constant = constant_gradients(checked, seeds, records)
        check_estimators(adapter.trace(call), adapter.backward_passes(call) if constant else [], constant)
    if order == 2 and not any(record.verdict.fails for record in records):
        records += second_order(checked, seeds, modes)
    return records


def constant_gradients(checked: CheckedCall, seeds: Sequence[Any], records: Sequence[GradientRecord]) -> list[str]:
    """The names of the arrays with a wrong gradient whose derivative of the forward pass is 0 everywhere."""
    graph, names = checked.graph, checked.parts(checked.call.arrays).names(checked.call.names)
    with np.errstate(all="ignore"):
        gradients = graph.vjp(graph.evaluate(checked.inputs), checked.numbers(seeds, checked.outputs))
    zero = {name for name, g in zip(names, gradients, strict=True) if g is None or not np.any(g)}
    return [r.name for r in records if r.verdict is Verdict.DISAGREE and r.quantity == "gradient" and r.name in zero]


def structure_differences(checked: CheckedCall) -> list[GradientRecord]:
    """Records of outputs whose number or shapes differ from those of the reference."""
    for y in checked.graph.outputs:
        if isinstance(y, np.ndarray) and y.dtype.kind == "O":
            raise UsageError(f"the reference returns {y.tolist()!r}, which is no array; return the function's outputs")
    shapes = checked.graph.shapes
    if shapes is None:
        with np.errstate(all="ignore"):
            shapes = [np.shape(y) for y in checked.graph.results(checked.graph.evaluate(checked.inputs))]
    parts = checked.parts(checked.outputs)
    if len(shapes) != len(parts):
        reason = f"the function returns {len(checked.outputs)} arrays, the reference {len(shapes)}"
        return [checked.record(0, "value", {"verdict": Verdict.VALUE_DIFFERS, "reason": reason})]
    found = []
    for part, shape in zip(parts, shapes, strict=True):
        y = checked.outputs[part.place]
        if tuple(y.shape) != shape and part.name != "imag":
            reason = f"has shape {tuple(y.shape)}, the reference {shape}"
            found.append(checked.record(part.place, "value", {"verdict": Verdict.VALUE_DIFFERS, "reason": reason}))
    return found


def derivative_records(
    checked: CheckedCall, seeds: Sequence[Any], modes: Sequence[str], trials: Trials | None = None
) -> list[GradientRecord]:
    """Values and derivatives; only the values if they differ."""
    records = []
    if "reverse" in modes:
        records = reverse_records(checked, seeds, trials)
    if "forward" in modes and not any(r.verdict is Verdict.VALUE_DIFFERS for r in records):
        records += forward_records(checked, with_values=not records)
    return records


def reverse_records(checked: CheckedCall, seeds: Sequence[Any], trials: Trials | None = None) -> list[GradientRecord]:
    """The records of values and gradients in reverse mode."""
    adapter, call = checked.adapter, checked.call
    named = {call.names[k]: call.arrays[k] for k in call.wrt}
    given = {f"cotangent of {name}": g for name, g in zip(call.results, seeds, strict=True) if g is not None}
    kept = Unchanged(adapter, named | given)
    try:
        found, gradients = adapter.vjp(call, seeds)
    except UndefinedDerivative:
        raise
    except Exception as error:  # noqa: BLE001 (whatever the user's backward pass raises)
        return crashed(checked, "backward pass", "reverse", error)
    seeds = [None if k in call.constant else g for k, g in enumerate(seeds)]
    if modified := kept.records("backward pass"):
        return modified
    expected = expectations(checked, seeds)
    known = agreements(
        checked, expected, seeds, found, gradients, keep=trials is not None and (trials.layouts or trials.repeat > 1)
    )
    records = judged(checked, expected, found, gradients, known=known)
    if any(record.verdict.fails and record.quantity == "value" for record in records):
        return proved(checked, seeds, [record for record in records if record.quantity == "value"])
    records = with_ties(checked, expected, seeds, gradients, proved(checked, seeds, records), known)
    if not any(record.verdict.fails for record in records):
        if trials is None or not (trials.layouts or trials.repeat > 1):
            return records
        return [*records, *hidden(checked, seeds, found, gradients, trials, records, expected, known)]
    if checked.order > 1 or (trials is not None and trials.named):
        return records
    parts = checked.parts(call.arrays)
    names = parts.names(call.names)
    observed = {names[k]: x for k, x in checked.gradients(gradients)}
    wrt = {k: names[k] for k, _ in checked.gradients(gradients)}
    right = {name: list(gradients_of(expected, k, checked.inputs[k]).accurate_first()) for k, name in wrt.items()}
    numbers, both = checked.numbers(seeds, checked.outputs), (parts, checked.parts(checked.outputs))
    if trials is not None:
        records = with_unwritten(records, unwritten(adapter, call, seeds, gradients))
    return explain(
        adapter, call, checked.graph, checked.inputs, seeds, observed, right, records, parts=both, numbers=numbers
    )


def with_unwritten(records: Sequence[GradientRecord], names: Sequence[str]) -> list[GradientRecord]:
    """The records of wrong gradients, with that reason where the array holds memory that nothing was written to."""
    found = []
    for record in records:
        whole = record.name.removesuffix(".real").removesuffix(".imag")
        if record.verdict.fails and record.quantity == "gradient" and whole in names:
            record = msgspec.structs.replace(record, reason="memory is read that nothing was written to")
        found.append(record)
    return found


def judged(
    checked: CheckedCall, expected: Ladder[Enclosures], values: Sequence[Any], gradients: Sequence[Any],
    labels: Collection[str] | None = None, known: Agreements | None = None,
) -> list[GradientRecord]:  # fmt: skip
    """The records of values, then of gradients; with labels, of the arrays that have one of them."""
    known = known or Agreements()
    records = value_records(checked, values, expected, labels=labels, known=known.outputs)
    parts = checked.parts(checked.call.arrays)
    for k, g in checked.gradients(gradients):
        if labels is not None and f"gradient of {checked.call.names[parts[k].place]}" not in labels:
            continue
        finding = known.gradients.get(k) or judge(g, gradients_of(expected, k, checked.inputs[k]))
        if finding.verdict is Verdict.NONFINITE and overflow(checked, values, expected):
            finding = finding._replace(verdict=Verdict.OUT_OF_RANGE, reason="an output overflows: use smaller inputs")
        if has_no_number(finding) and is_undefined(checked, values):
            finding = finding._replace(verdict=Verdict.UNDECIDED, reason="an output is NaN and has no derivative there")
        records.append(checked.record(parts[k].place, "gradient", finding.fields(), part=parts[k].name))
    return records


def has_no_number(finding: ArrayFinding) -> bool:
    """True if an entry may be wrong that is not a finite number on either side."""
    numbers = (finding.expected, finding.observed)
    return finding.verdict is Verdict.SUSPECT and all(x is not None and not math.isfinite(x) for x in numbers)


def is_undefined(checked: CheckedCall, values: Sequence[Any]) -> bool:
    """True if the function is NaN somewhere."""
    return any(np.isnan(checked.adapter.to_numpy(y)).any() for y in values)


def overflow(checked: CheckedCall, values: Sequence[Any], expected: Ladder[Enclosures]) -> bool:
    """True if an output is infinite where it may be."""
    if all(np.isfinite(checked.adapter.to_numpy(y)).all() for y in values):
        return False
    return any(r.verdict is Verdict.OUT_OF_RANGE for r in value_records(checked, values, expected))


def with_ties(
    checked: CheckedCall, expected: Ladder[Enclosures], seeds: Sequence[Any], gradients: Sequence[Any],
    records: Sequence[GradientRecord], known: Agreements,
) -> list[GradientRecord]:  # fmt: skip
    """The records; those of arrays with ties fail where the gradients of equal entries do not add up.

    Where they do, the entries are checked by their sum.
    """
    kinds = checked.gradients(gradients)
    if checked.order > 1 or any(g is None for g in gradients) or any(record.verdict.fails for record in records):
        return list(records)
    if is_smooth(checked.graph) or has_projected_gradient(checked.graph):
        return list(records)
    rung = [name for name in expected if name in LADDER][-1]
    arrays, unchecked = [checked.inputs[k] for k, _ in kinds], list[np.ndarray]()
    for k, _ in kinds:
        if k in known.gradients:
            unchecked.append(known.unchecked.get(k, np.zeros(checked.inputs[k].shape, dtype=np.bool_)))
            continue
        one = gradients_of(expected, k, checked.inputs[k])[rung]
        unchecked.append((one.radius > 0) & (np.abs(one.value) <= one.radius))
    if not (tied := tied_values(arrays, unchecked)).size:
        return list(records)
    numbers = checked.numbers(seeds, checked.outputs)
    stores = checked.stores([*checked.outputs, *checked.call.arrays])
    found = sum_over_ties(
        checked.graph, checked.inputs, [k for k, _ in kinds], numbers, [g for _, g in kinds], tied, rung, checked.dtype,
        stores,
    )  # fmt: skip
    if found is None:
        return list(records)
    names = checked.parts(checked.call.arrays).names(checked.call.names)
    changed: dict[str, dict[str, Any]] = {}
    inaccurate = [record.name for record in records if record.verdict is Verdict.INACCURATE]
    for (k, g), where in zip(kinds, unchecked, strict=True):
        if found.ratio > 1 and where.any():
            changed[names[k]] = {"verdict": Verdict.DISAGREE, "arithmetic": "", "entry": None, **found.fields()}
        elif found.ratio <= 1 and names[k] not in inaccurate:
            one = gradients_of(expected, k, checked.inputs[k])[rung]
            changed[names[k]] = checked_by_sum(found, one, g, where & np.isin(checked.inputs[k], tied))
    return [
        msgspec.structs.replace(record, **changed[record.name])
        if record.quantity == "gradient" and record.name in changed else record
        for record in records
    ]  # fmt: skip


def hidden(
    checked: CheckedCall, seeds: Sequence[Any], values: Sequence[Any], gradients: Sequence[Any], trials: Trials,
    records: Sequence[GradientRecord], expected: Ladder[Enclosures], known: Agreements,
) -> list[GradientRecord]:  # fmt: skip
    """The records of what fails only under a condition that the plain call does not have."""
    given, same = [*checked.call.arrays, *seeds], checked.adapter.same
    recent, agreed = Recent(given, expected, same), Recent(given, known, same)
    usual = coarsest(expected, records)
    limits = known if known.gradients else agreements_of(checked, expected, records)
    expected.forget()

    def judge_call(
        call: Call, seeds: Sequence[Any], results: Results, labels: Collection[str] | None
    ) -> list[GradientRecord]:
        plain = all(x is y for x, y in zip(call.arrays, checked.call.arrays, strict=True))
        inputs = checked.inputs if plain else checked.numbers(call.arrays, call.arrays)
        special = replace(checked, call=call, inputs=inputs)
        numbers = [*call.arrays, *seeds]
        if (found := agreed.find(numbers)) is None:
            names = expected if usual is None else [usual]
            found = agreed.keep(numbers, agreements(special, names, seeds, *results))
        elif found is known and limits.admit(*special.numbers_of(results, labels)):
            return []
        else:
            found = Agreements()
        ladder = recent.of(numbers, lambda: expectations(special, seeds))
        if usual is not None and agree(judged(special, ladder.only(usual), *results, labels, found)):
            ladder.forget()
            return []
        return proved(special, seeds, judged(special, ladder, *results, labels, found))

    verdicts = {record.label: record.verdict for record in records}
    plain = PlainCall(checked.adapter, checked.call, seeds, checked.outputs, values, gradients, judge_call, verdicts)
    return try_conditions(plain, trials)


def agree(records: Sequence[GradientRecord]) -> bool:
    return all(record.verdict is Verdict.AGREE for record in records)


def coarsest(expected: Ladder[Enclosures], records: Sequence[GradientRecord]) -> str | None:
    """The arithmetic that explains all arrays, the first to try for other numbers; None if there is none."""
    names = list(expected)
    if not agree(records) or not all(record.arithmetic in names for record in records):
        return None
    return max((record.arithmetic for record in records), key=names.index, default=None)


def proved(checked: CheckedCall, seeds: Sequence[Any], records: Sequence[GradientRecord]) -> list[GradientRecord]:
    """The records, with proved values in those that fail."""
    call, outputs = checked.call, checked.outputs
    names = checked.parts(outputs).names(call.results), checked.parts(call.arrays).names(call.names)
    return prove_findings(checked.graph, checked.inputs, checked.numbers(seeds, outputs), records, *names)


def second_order(checked: CheckedCall, seeds: Sequence[Any], modes: Sequence[str]) -> list[GradientRecord]:
    """The records of the derivatives of the gradients, with respect to the arrays and the cotangents."""
    adapter, call = checked.adapter, checked.adapter.gradient(checked.call, seeds)
    inputs = checked.numbers(call.arrays, call.arrays)
    numbers = checked.numbers(seeds, checked.outputs)
    wrt = [k for k, part in enumerate(checked.parts(checked.call.arrays)) if part.place in checked.call.wrt]
    names = checked.parts(call.arrays).names(call.names)
    graph = gradient_graph(checked.graph, checked.inputs, numbers, names, wrt)
    try:
        outputs = adapter.outputs(call)
    except Exception as error:  # noqa: BLE001 (whatever the user's backward pass raises)
        return crashed(replace(checked, order=2), "second derivative", "reverse", error)

    def own() -> Graph | None:
        first = None if checked.own is None else checked.own()
        return None if first is None else gradient_graph(first, checked.inputs, numbers, names, wrt)

    second = replace(checked, call=call, graph=graph, inputs=inputs, outputs=outputs, order=2, own=own, written=None)
    return [r for r in derivative_records(second, draw_cotangents(adapter, outputs), modes) if r.quantity != "value"]
