"""A function with operations that the reference does not know: what is before, between and after them is judged.

The outputs of an unknown operation, as the framework computed them, are inputs of what is left, and what the operation
passes back to its operands are cotangents of it. The operation itself is not judged.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec
import numpy as np

from gradagree.adapters.functions import Call, FunctionAdapter
from gradagree.adapters.program import Program, Step, UnknownOperation, mark_stored, replace_values, unknown_operation
from gradagree.arithmetic.model import FORMATS
from gradagree.arithmetic.variance import DEVIATIONS
from gradagree.checker.verdict import Verdict
from gradagree.errors import UsageError
from gradagree.functions.checked_call import CheckedCall, Enclosures, crashed, expectations, gradients_of, value_records
from gradagree.functions.conditions import PlainCall, Results, Trials, Unchanged
from gradagree.functions.drawing import INEXACT, SEED
from gradagree.functions.enclosures import Expected
from gradagree.functions.explain import culprit
from gradagree.functions.judge import judge
from gradagree.functions.localize import numbers_in
from gradagree.functions.parts import Parts, of_parts
from gradagree.functions.proofs import prove_findings
from gradagree.functions.records import OPERATION, GradientRecord
from gradagree.functions.references import traced
from gradagree.functions.together import try_conditions
from gradagree.reference.graph import Graph, Value

Margins = tuple[dict[int, Any], dict[int, Any]]
"""Further tolerances of outputs, and of gradients, by the places of their arrays."""
SAMPLES = 6
MEMBER = "getitem"
"""The step that takes one of several results of an operation."""
ONLY_PLAIN = "only first derivatives in reverse mode were checked: an operation is not known"


@dataclass(frozen=True)
class Cut:
    """A program without its unknown operations.

    Args:
        program: The program.
        sources: The values that unknown operations compute, by number, with their names.
        sinks: The values that they take.
    """

    program: Program
    sources: dict[int, str]
    sinks: dict[int, str]

    @classmethod
    def of(cls, program: Program, values: Sequence[Any], adapter: FunctionAdapter) -> Cut:
        """The cut of a traced program with the framework's values."""
        sources, sinks = {}, {}
        for step in program.unknown:
            where = f"{step.name} ({step.place})" if step.place else step.name
            members = members_of(program, step)
            for k, number in enumerate(members):
                name = f"output[{k}]" if len(members) > 1 or number != step.output else "output"
                sources[number] = f"{name} of {where}"
            taken = [k for k in numbers_in((step.operands, step.keywords)) if is_inexact(adapter, values[k])]
            for k, number in enumerate(dict.fromkeys(taken)):
                sinks[number] = f"input[{k}] of {where}" if len(taken) > 1 else f"input of {where}"
        return cls(program, sources, sinks)

    @property
    def is_empty(self) -> bool:
        """True if no other operation is left."""
        known = {step.output for step in self.program.steps if step.function is not None} - {*self.sources, *self.sinks}
        return not known

    def __call__(self, *arrays: Any) -> list[Any]:
        """The outputs and the sinks, for the inputs and the sources."""
        count = len(self.program.inputs)
        values: list[Any] = list(arrays[:count])
        given = dict(zip(self.sources, arrays[count:], strict=True))
        for step in self.program.steps:
            if step.output in given or step.function is None:
                values.append(given.get(step.output))
                continue
            operands, keywords = (replace_values(x, values) for x in (step.operands, step.keywords))
            values.append(step.function(*operands, **keywords))
            mark_stored(values[-1])
        return [replace_values(x, values) for x in (*self.program.outputs, *map(Value, self.sinks))]


def members_of(program: Program, step: Step) -> list[int]:
    """The numbers of the arrays that an operation computes."""
    found = [s.output for s in program.steps if s.name == MEMBER and Value(step.output) in s.operands]
    return found or [step.output]


def is_inexact(adapter: FunctionAdapter, x: Any) -> bool:
    return x is not None and not isinstance(x, tuple | list) and adapter.dtype(x) in INEXACT


def check_around(
    adapter: FunctionAdapter, call: Call, unknown: UnknownOperation, outputs: Sequence[Any], seeds: Sequence[Any],
    arithmetic: str, trials: Trials,
) -> list[GradientRecord]:  # fmt: skip
    """The records of what is around the unknown operations, also under hidden conditions, and one for each of them.

    Args:
        adapter: The framework's adapter.
        call: The call.
        unknown: The error of its program.
        outputs: The outputs of the call.
        seeds: Their cotangents.
        arithmetic: What the user admits.
        trials: The conditions to try, and remarks on the whole check.

    Raises:
        UnknownOperation: Nothing is left to judge.
        UsageError: The framework cannot run the operations one by one.
    """
    program = unknown.program
    given = {call.names[k]: call.arrays[k] for k in call.wrt}
    given |= {f"cotangent of {name}": g for name, g in zip(call.results, seeds, strict=True) if g is not None}
    kept = Unchanged(adapter, given)
    try:
        found, gradients = adapter.vjp(call, seeds)
    except Exception as error:  # noqa: BLE001 (whatever the backward pass raises)
        return crashed(CheckedCall(adapter, call, Graph([]), [], outputs), "backward pass", "reverse", error)
    if modified := kept.records("backward pass"):
        return modified
    seeds = [None if k in call.constant else g for k, g in enumerate(seeds)]
    around = Around(adapter, program, arithmetic)
    records = around.judge(call, seeds, (found, gradients), None)
    trials.notes.append(ONLY_PLAIN)
    operations = [unjudged(adapter, call, step) for step in program.unknown]
    if any(record.verdict.fails for record in records):
        return [*with_reasons(records, adapter, call, seeds), *operations]
    verdicts = {record.label: record.verdict for record in records}
    plain = PlainCall(adapter, call, seeds, outputs, found, gradients, around.judge_if_possible, verdicts)
    return [*records, *try_conditions(plain, trials), *operations]


@dataclass(frozen=True)
class Around:
    """What is around the unknown operations of a program.

    Args:
        adapter: The framework's adapter.
        program: The program.
        arithmetic: What the user admits.
    """

    adapter: FunctionAdapter
    program: Program
    arithmetic: str

    def judge(
        self, call: Call, seeds: Sequence[Any], results: Results, labels: Collection[str] | None
    ) -> list[GradientRecord]:
        """The records of a call with these results, of the arrays with these labels; of all without labels."""
        adapter, program = self.adapter, self.program
        values, cotangents = adapter.replay(program, call, seeds)
        cut = Cut.of(program, values, adapter)
        if cut.is_empty or not cut.sources:
            raise UnknownOperation(program)
        own = [replace_values(x, values) for x in program.outputs]
        found, gradients = results[0] or own, results[1]
        arrays = [*call.arrays, *(values[k] for k in cut.sources)]
        more = [k for k in range(len(call.arrays), len(arrays)) if is_inexact(adapter, arrays[k])]
        names, outputs = [*call.names, *cut.sources.values()], [*call.results, *cut.sinks.values()]
        around = Call(call.function, names, arrays, [*call.wrt, *more], outputs)
        known = [*own, *(values[k] for k in cut.sinks)]
        parts, by_results = (Parts([adapter.dtype(x) for x in xs]) for xs in (arrays, known))
        numbers = parts.split([adapter.to_numpy(x) for x in arrays])
        graph = traced(of_parts(cut, parts, by_results, outputs), numbers, parts.names(names), "the function")
        checked = CheckedCall(adapter, around, graph, numbers, known, self.arithmetic)
        observed = Observation(adapter, call, program, seeds)
        margins = observed.margins((found, gradients), (own, [cotangents[k] for k in call.wrt]))
        records = judged_around(
            checked, [*seeds, *(cotangents[k] for k in cut.sinks)], [*found, *(values[k] for k in cut.sinks)],
            [*gradients, *(cotangents[list(cut.sources)[k - len(call.arrays)]] for k in more)], margins,
        )  # fmt: skip
        return [r for r in records if labels is None or without_part(r.label) in labels]

    def judge_if_possible(
        self, call: Call, seeds: Sequence[Any], results: Results, labels: Collection[str] | None
    ) -> list[GradientRecord]:
        """As `judge`; nothing where the operations cannot be run one by one in this way."""
        try:
            return self.judge(call, seeds, results, labels)
        except UsageError:
            return []


def without_part(label: str) -> str:
    """The label of the array that a real or imaginary part belongs to."""
    return label.removesuffix(".real").removesuffix(".imag")


@dataclass(frozen=True)
class Observation:
    """A call as the framework ran it, beside its operations one by one.

    A compiled program, or a backward pass of the user's own, gives the operation other roundings, which it may enlarge.
    """

    adapter: FunctionAdapter
    call: Call
    program: Program
    seeds: Sequence[Any]

    def margins(self, first: Results, again: Results) -> Margins:
        """How far rounding may carry outputs, and gradients by arrays, from those of the operations one by one.

        Nothing if they are the same.
        """
        if all(self.same(x, y) for pair in zip(first, again, strict=True) for x, y in zip(*pair, strict=True)):
            return {}, {}
        totals: Margins = {}, {}
        rng = np.random.default_rng(SEED)
        for _ in range(SAMPLES):
            arrays = [self.disturbed(x, rng) for x in self.call.arrays]
            seeds = [None if g is None else self.disturbed(g, rng) for g in self.seeds]
            values, cotangents = self.adapter.replay(self.program, replace(self.call, arrays=arrays), seeds)
            found = [replace_values(x, values) for x in self.program.outputs], [cotangents[k] for k in self.call.wrt]
            for total, places, xs, ys in zip(totals, (range(len(found[0])), self.call.wrt), found, again, strict=True):
                for k, x, y in zip(places, xs, ys, strict=True):
                    if x is not None and y is not None:
                        total[k] = total.get(k, 0.0) + np.square(self.apart(x, y))
        first_, second = ({k: DEVIATIONS * np.sqrt(x / SAMPLES) for k, x in total.items()} for total in totals)
        return first_, second

    def same(self, x: Any, y: Any) -> bool:
        return (x is None) == (y is None) and (x is None or not np.any(self.apart(x, y)))

    def apart(self, x: Any, y: Any) -> np.ndarray:
        pair = (z if isinstance(z, np.ndarray) else self.adapter.to_numpy(z) for z in (x, y))
        return np.asarray(np.abs(np.subtract(*pair, dtype=complex)))

    def disturbed(self, x: Any, rng: np.random.Generator) -> Any:
        """An array with relative changes of about one rounding."""
        name = self.adapter.dtype(x)
        if name not in FORMATS:
            return x
        numbers = self.adapter.to_numpy(x)
        return self.adapter.array(numbers * (1 + 2 * FORMATS[name].u * rng.uniform(-1, 1, numbers.shape)), x)


def judged_around(
    checked: CheckedCall, seeds: Sequence[Any], values: Sequence[Any], gradients: Sequence[Any], margins: Margins
) -> list[GradientRecord]:
    """The records of values and gradients; margins are further tolerances."""
    parts = checked.parts(checked.call.arrays)

    def wider(one: Expected, margin: Any) -> Expected:
        if margin is None:
            return one
        small = None if one.probable is None else one.probable + margin
        return Expected(one.value, one.radius + margin, small)

    def widened(both: Enclosures) -> Enclosures:
        values = [wider(y, margins[0].get(part.place)) for y, part in zip(both[0], checked.parts(values_), strict=True)]
        gradients = [g and wider(g, margins[1].get(part.place)) for g, part in zip(both[1], parts, strict=True)]
        return values, gradients

    values_ = checked.outputs
    expected = expectations(checked, seeds).map(widened)
    records = value_records(checked, values, expected)
    for k, g in checked.gradients(gradients):
        finding = judge(g, gradients_of(expected, k, checked.inputs[k]))
        records.append(checked.record(parts[k].place, "gradient", finding.fields(), part=parts[k].name))
    names = checked.parts(values_).names(checked.call.results), parts.names(checked.call.names)
    return prove_findings(checked.graph, checked.inputs, checked.numbers(seeds, checked.outputs), records, *names)


def with_reasons(
    records: Sequence[GradientRecord], adapter: FunctionAdapter, call: Call, seeds: Sequence[Any]
) -> list[GradientRecord]:
    """The records, with the operation or the backward pass that is at fault in those of wrong gradients."""
    sentence, place = culprit(adapter, call, seeds)
    return [
        msgspec.structs.replace(r, reason="; ".join(filter(None, (r.reason, sentence))), place=place)
        if r.verdict.fails and r.quantity == "gradient" else r
        for r in records
    ]  # fmt: skip


def unjudged(adapter: FunctionAdapter, call: Call, step: Step) -> GradientRecord:
    """The record of an operation that is not known."""
    reason = f"{unknown_operation(step)} to check it too; what is around it was checked"
    dtype = CheckedCall(adapter, call, Graph([]), [], []).dtype
    return GradientRecord(
        name=step.name, quantity=OPERATION, framework=adapter.name, dtype=dtype,
        verdict=Verdict.UNSUPPORTED, reason=reason, place=step.place,
    )  # fmt: skip
