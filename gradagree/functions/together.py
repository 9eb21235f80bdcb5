"""All conditions of a call: independent ones together in one call, each alone only where something fails."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import numpy as np

from gradagree.checker.verdict import Verdict
from gradagree.functions.conditions import (
    MOST_OUTPUTS,
    Condition,
    PlainCall,
    Results,
    Trials,
    attempt,
    compare_outputs,
    cotangent_layouts,
    differences,
    expanded_inputs,
    failures,
    input_layouts,
    interrupted,
    repetitions,
    results_of,
    single_gradients,
    try_missing_cotangents,
    try_uniform_cotangents,
)
from gradagree.functions.records import GradientRecord

TRANSPOSED = "transposed inputs"
PAIR = "non-contiguous inputs", "transposed cotangent"
"""Layouts that are tried in one call; the same layout of both would hide that one is taken for the other's."""
UNIFORM = ("cotangent of ones", "expanded cotangent", "zero-dimensional cotangent")

Failures = Callable[[], list[GradientRecord]]


def try_conditions(plain: PlainCall, trials: Trials) -> list[GradientRecord]:
    """The records of what fails only under a condition that hides a wrong gradient; repeated calls first."""
    compare_outputs(plain, trials)
    repeated = list(repetitions(plain, trials.repeat)) if trials.repeat > 1 else []
    cotangents = dict(cotangent_layouts(plain)) if trials.layouts else {}
    inputs = dict(input_layouts(plain)) if trials.layouts else {}
    pair = [cotangents.pop(PAIR[1]), inputs.pop(PAIR[0])] if PAIR[0] in inputs and PAIR[1] in cotangents else []
    if not try_again(plain, trials, repeated, [make() for make in cotangents.values()]) or not trials.layouts:
        return trials.records
    try_missing_cotangents(plain, trials)
    if pair:
        try_pair(plain, trials, *(make() for make in pair))
    singles = list(single_gradients(plain))
    if TRANSPOSED in inputs and 0 < len(singles) == len(plain.call.wrt) <= MOST_OUTPUTS:
        try_singles(plain, trials, singles, inputs.pop(TRANSPOSED)())
        singles = []
    for condition in itertools.chain(singles, (make() for make in inputs.values()), expanded_inputs(plain)):
        attempt(plain, condition, trials)
    return trials.records


def try_pair(plain: PlainCall, trials: Trials, cotangent: Condition, layout: Condition) -> None:
    """Try a layout of the cotangents and one of the inputs."""
    both = replace(layout, seeds=cotangent.seeds, name=f"{layout.name}, {cotangent.name}")
    try_together(plain, trials, [cotangent, layout], lambda: failures_under(plain, both))


def try_singles(plain: PlainCall, trials: Trials, singles: Sequence[Condition], layout: Condition) -> None:
    """Try calls with one gradient each, and a layout of the inputs."""
    special = [replace(one, call=layout.call, name=f"{one.name}, {layout.name}") for one in singles]
    try_together(plain, trials, [*singles, layout], lambda: first_failures(plain, special))


def try_again(plain: PlainCall, trials: Trials, repeated: Sequence[Condition], layouts: Sequence[Condition]) -> bool:
    """Try repeated calls and the layouts of cotangents; False if a repeated call fails."""
    if plain.adapter.strided and (repeated or trials.layouts):
        again = CallAgain(plain, repeated, layouts, trials.layouts)
        if again.is_right():
            trials.conditions += again.names()
            for condition in again.undecided():
                attempt(plain, condition, trials)
            return not any(record.verdict.fails for record in trials.records)
        if again.nonfinite and fails_unwritten(plain, trials, repeated):
            return False  # memory that was freed holds NaN from now on
    for condition in repeated:
        attempt(plain, condition, trials)
    if any(record.verdict.fails for record in trials.records):
        return False
    for condition in layouts:
        attempt(plain, condition, trials)
    if trials.layouts:
        try_uniform_cotangents(plain, trials)
    return True


def fails_unwritten(plain: PlainCall, trials: Trials, repeated: Sequence[Condition]) -> bool:
    """True if the call fails with memory filled with NaN alone."""
    count = len(trials.records)
    for condition in repeated:
        if condition.context is not nullcontext:
            attempt(plain, condition, trials)
    return len(trials.records) > count


def try_together(plain: PlainCall, trials: Trials, conditions: Sequence[Condition], together: Failures) -> None:
    """Try conditions in one call; each alone if it fails, so that the failure has the name of one."""
    try:
        wrong = together()
    except Exception:  # noqa: BLE001 (whatever the user's function raises)
        wrong = None
    if wrong == []:
        trials.conditions += [condition.name for condition in conditions]
        return
    count = len(trials.records)
    for condition in conditions:
        attempt(plain, condition, trials)
    if wrong and len(trials.records) == count:  # only together
        trials.records += wrong


def failures_under(plain: PlainCall, condition: Condition) -> list[GradientRecord]:
    """The records of what fails under a condition with the numbers of the plain call."""
    results = results_of(plain, condition)
    apart = differences(plain, (plain.values, plain.gradients), results)
    return failures(plain, condition, results, apart) if apart else []


def first_failures(plain: PlainCall, conditions: Sequence[Condition]) -> list[GradientRecord]:
    """What fails under the first condition under which something does."""
    found = (failures_under(plain, condition) for condition in conditions)
    return next((wrong for wrong in found if wrong), [])


class CallAgain:
    """One call with memory filled with NaN, and another call in between, followed by several backward passes.

    Each backward pass has a cotangent in another layout; the last ones have ones in all entries, once with stride 0,
    and once from the sums of the outputs.

    Args:
        plain: The call without anything special.
        repeated: What the call stands for, besides layouts; empty for a call without NaN and without another call.
        layouts: Layouts of the cotangents.
        uniform: True for the cotangents of ones as well.
    """

    def __init__(
        self, plain: PlainCall, repeated: Sequence[Condition], layouts: Sequence[Condition], uniform: bool
    ) -> None:
        self.plain, self.repeated, self.layouts = plain, repeated, layouts
        self.usual: Results = plain.values, plain.gradients
        adapter, given = plain.adapter, plain.seeds
        ones = [None if g is None else adapter.expanded_ones(g) for g in given] if uniform else []
        self.ones = ones
        self.scalars = [None if g is None else adapter.array(np.ones(()), g) for g in ones]
        if all(g is None or not g.shape for g in ones):
            self.scalars = []
        self.same = [c.seeds for c in layouts] or [given]
        if len(self.same) < 2 and not ones:
            self.same.append(given)
        self.differs = self.nonfinite = False

    def names(self) -> list[str]:
        """The names of the conditions that the call stands for."""
        uniform = UNIFORM if self.scalars else UNIFORM[:1] if self.ones else ()
        left = [condition.name for condition in self.undecided()]
        return [*(c.name for c in (*self.repeated, *self.layouts) if c.name not in left), *uniform]

    def undecided(self) -> list[Condition]:
        """Calls that are still to be made: a third one, and a second one if other layouts give other bits."""
        again = [condition for condition in self.repeated if condition.repeated]
        return again if self.differs else again[1:]

    def is_right(self) -> bool:
        """True if nothing fails."""
        try:
            values, found = self.results()
        except Exception:  # noqa: BLE001 (whatever the user's function raises)
            return False
        count = len(self.same)
        if any(self.fails(seeds, (values, g)) for seeds, g in zip(self.same, found[:count], strict=True)):
            return False
        if not self.ones:
            return True
        plain, (by_ones, *by_scalar) = self.plain, found[count:]
        known = Condition(UNIFORM[1], plain.call, self.ones)
        if failures(plain, known, (plain.values, by_ones), {}):
            return False
        usual: Results = [], by_ones
        if not by_scalar or not (apart := differences(plain, usual, ([], by_scalar[0]))):
            return True
        special = Condition(UNIFORM[2], plain.call, self.scalars, "", usual, judged_with=self.ones)
        return not failures(plain, special, ([], by_scalar[0]), apart)

    def results(self) -> tuple[Sequence[Any], list[list[Any]]]:
        """(outputs, the gradients of each backward pass)."""
        adapter, call = self.plain.adapter, self.plain.call
        if self.repeated:
            call = interrupted(adapter, call)
        count, sums = len(self.plain.values), [k for k, g in enumerate(self.scalars) if g is not None]

        def function(arrays: Sequence[Any]) -> list[Any]:
            outputs = call.function(arrays)
            return [*outputs, *(outputs[k].sum() for k in sums)]

        with adapter.uninitialized_as_nan() if self.repeated else nullcontext():
            values, found = adapter.vjps(replace(call, function=function), list(self.passes(count, sums)))
        return values[:count], found

    def passes(self, count: int, sums: Sequence[int]) -> Iterator[list[Any]]:
        """The cotangents of each backward pass: those of the outputs, then those of the sums."""
        for seeds in (*self.same, *([self.ones] if self.ones else [])):
            yield [*seeds, *(None for _ in sums)]
        if sums:
            yield [*(None for _ in range(count)), *(self.scalars[k] for k in sums)]

    def fails(self, seeds: Sequence[Any], results: Results) -> bool:
        """True if results with the numbers of the plain call are wrong."""
        if not (apart := differences(self.plain, self.usual, results)):
            return False
        self.differs = True
        wrong = failures(self.plain, Condition("", self.plain.call, seeds, "", self.usual), results, apart)
        self.nonfinite = self.nonfinite or any(record.verdict is Verdict.NONFINITE for record in wrong)
        return bool(wrong)
