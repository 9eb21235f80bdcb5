"""Which operation of a user's program is wrong: each is judged alone, on the framework's own numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gradagree.adapters.functions import Call, FunctionAdapter
from gradagree.adapters.program import Program, Step, replace_values, unknown_operation
from gradagree.arithmetic.duck import NoRule
from gradagree.arithmetic.tape import trace
from gradagree.errors import UsageError
from gradagree.functions.enclosures import LADDER, SUMS, Expected, enclose, interior, is_floating, narrowest
from gradagree.functions.judge import ArrayFinding, judge
from gradagree.functions.parts import is_complex, real_dtype
from gradagree.reference.graph import Value
from gradagree.reference.operations.complex_numbers import join_parts, stacked

FLOATING = ("float64", "float32", "float16", "bfloat16")


@dataclass(frozen=True)
class Fault:
    """An operation of the framework whose value, or whose contribution to a gradient, is wrong.

    names: The operations that it may be; several where a value has several consumers.
    places: Their files and lines in the user's program.
    quantity: ``"value"`` or ``"gradient"``.
    finding: How its array compares.
    blocked: True if no gradient passes.
    """

    names: tuple[str, ...]
    places: tuple[str, ...]
    quantity: str
    finding: ArrayFinding
    blocked: bool = False

    def __str__(self) -> str:
        where = [f"{name} ({place})" if place else name for name, place in zip(self.names, self.places, strict=True)]
        operations = " or ".join(dict.fromkeys(where))
        if self.blocked:
            return f"no gradient passes through {operations}"
        return f"the {self.quantity} of {operations} is wrong"


@dataclass(frozen=True)
class BoxCheck:
    """The result of judging every operation of a program alone.

    fault: The first wrong operation, or None.
    unchecked: Names of operations that could not be judged.
    """

    fault: Fault | None
    unchecked: tuple[str, ...] = ()


class TappedProgram:
    """The values and cotangents of a program, as the framework computed them.

    A complex array is a real one whose first axis holds its parts. A value of a step with several outputs is known by
    the step that takes it out of the tuple.

    Args:
        adapter: The framework's adapter.
        program: The traced program.
        values: The framework's values by their numbers.
        cotangents: Their cotangents.
    """

    def __init__(self, adapter: FunctionAdapter, program: Program, values: Any, cotangents: Any) -> None:
        self.program = program
        several = {k for k, x in enumerate(values) if isinstance(x, tuple | list)}
        self.members: dict[int, dict[int, int]] = {}
        self.alias: dict[int, int] = {}
        for step in program.steps:
            for whole in numbers_in(step.operands) if step.name == "getitem" or several else ():
                if whole in several:
                    index = next((x for x in step.operands if isinstance(x, int) and not isinstance(x, Value)), None)
                    index = member_index(values[whole], values[step.output]) if index is None else index
                    members = self.members.setdefault(whole, {})
                    self.alias[step.output] = members.setdefault(index, step.output)
        known = [None if k in several or x is None else adapter.to_numpy(x) for k, x in enumerate(values)]
        self.complex = {k for k, x in enumerate(known) if x is not None and is_complex(x)}
        self.values = [None if x is None else stacked_parts(x) for x in known]
        self.dtypes = ["" if k in several or x is None else real_dtype(adapter.dtype(x)) for k, x in enumerate(values)]
        self.cotangents = [None if g is None else stacked_parts(adapter.to_numpy(g)) for g in cotangents]

    def name(self, number: int) -> int:
        """The number by which an array is known."""
        return self.alias.get(number, number)

    def outputs(self, step: Step) -> dict[int, int]:
        """The arrays that a step computes: the place in its tuple, and the number."""
        return self.members.get(step.output, {0: step.output})

    def operands(self, step: Step) -> list[int]:
        """The floating-point arrays that a step uses, each once."""
        used = dict.fromkeys(self.name(k) for k in numbers_in((step.operands, step.keywords)))
        return [k for k in used if self.values[k] is not None and is_floating(self.values[k])]

    def function(self, step: Step, operands: Sequence[int]) -> Callable[..., list[Any]]:
        """The step as a NumPy function of its floating-point operands, with the framework's other numbers."""
        values = [self.joined(self.name(k), self.values[self.name(k)]) for k in range(len(self.values))]
        members = sorted(self.outputs(step))

        def function(*arrays: Any) -> list[Any]:
            given = list(values)
            for k, x in zip(operands, arrays, strict=True):
                for alias in range(len(given)):
                    if self.name(alias) == k:
                        given[alias] = self.joined(k, x)
            if step.function is None:
                raise UsageError(unknown_operation(step))
            found = step.function(*replace_values(step.operands, given), **replace_values(step.keywords, given))
            found = [found[k] for k in members] if isinstance(found, tuple | list) else [found]
            return [
                stacked_parts(y) if self.outputs(step)[k] in self.complex else y
                for k, y in zip(members, found, strict=True)
            ]

        return function

    def joined(self, number: int, x: Any) -> Any:
        """An array of real numbers as the complex one that it stands for."""
        return join_parts(x[0], x[1]) if number in self.complex else x


def stacked_parts(x: Any) -> Any:
    """Real and imaginary part along a new first axis; a real array as it is."""
    return stacked((np.real(x), np.imag(x))) if is_complex(x) else x


def member_index(whole: Sequence[Any], one: Any) -> int:
    return next((k for k, x in enumerate(whole) if x is one), 0)


def numbers_in(x: Any) -> list[int]:
    """The numbers of all values in nested arguments."""
    if isinstance(x, Value):
        return [x.number]
    if isinstance(x, dict):
        return numbers_in(list(x.values()))
    return [k for y in x for k in numbers_in(y)] if isinstance(x, list | tuple) else []


@dataclass(frozen=True)
class Contribution:
    """What one step adds to the cotangent of one of its operands, for each admissible arithmetic."""

    step: Step
    expected: dict[str, Expected | None]


def check_steps(adapter: FunctionAdapter, call: Call, program: Program, seeds: Sequence[Any]) -> BoxCheck:
    """Judge each operation of a traced program on the framework's own numbers.

    Values are judged in the order of the program, then the cotangents in reverse order, so that the first fault is
    the one that the others follow from.
    """
    values, cotangents = adapter.replay(program, call, seeds)
    tapped = TappedProgram(adapter, program, values, cotangents)
    parts: dict[int, list[Contribution]] = {}
    unchecked: list[str] = []
    unknown: set[int] = set()
    for step in program.steps:
        if step.output in tapped.alias:
            continue
        operands = tapped.operands(step)
        if not operands:
            continue
        try:
            values_of, contributions = enclose_step(tapped, step, operands)
        except (NoRule, UsageError, TypeError, ValueError, AttributeError):
            unchecked.append(step.name)
            unknown.update(operands)
            continue
        for place, rungs in enumerate(values_of):
            number = tapped.outputs(step)[sorted(tapped.outputs(step))[place]]
            finding = judge(tapped.values[number], rungs, is_value=True)
            if finding.verdict.fails:
                return BoxCheck(Fault((step.name,), (step.place,), "value", finding), tuple(unchecked))
        for k, expected in zip(operands, contributions, strict=True):
            parts.setdefault(k, []).append(Contribution(step, expected))
    return BoxCheck(first_wrong_cotangent(tapped, parts, seeds_of(adapter, tapped, seeds), unknown), tuple(unchecked))


def enclose_step(
    tapped: TappedProgram, step: Step, operands: Sequence[int]
) -> tuple[list[dict[str, Expected]], list[dict[str, Expected | None]]]:
    """The outputs of one step and its contributions to the cotangents of its operands, for each arithmetic."""
    numbers = [tapped.values[k] for k in operands]
    outputs = [tapped.outputs(step)[k] for k in sorted(tapped.outputs(step))]
    with np.errstate(all="ignore"):
        graph = trace(tapped.function(step, operands), *numbers)
    seeds = [tapped.cotangents[k] if is_floating(tapped.values[k]) else None for k in outputs]
    stores = [tapped.dtypes[k] for k in (*outputs, *operands)]
    dtype = narrowest([name for name in stores if name in FLOATING])
    stores = [name if name in FLOATING else dtype for name in stores]
    with np.errstate(all="ignore"):
        found = {rung: enclose(graph, numbers, seeds, rung, dtype, stores) for rung in rungs_of(dtype)}
    values = [{rung: both[0][k] for rung, both in found.items()} for k in range(len(outputs))]
    contributions = [{rung: both[1][k] for rung, both in found.items()} for k in range(len(operands))]
    return values, contributions


def rungs_of(dtype: str) -> tuple[str, ...]:
    """The arithmetics of a step; one for an accurate program where the dtype is its own accumulator."""
    if interior("wide", dtype) == interior("stored", dtype):
        return LADDER[-1:]
    return (*LADDER, SUMS + dtype)


def seeds_of(adapter: FunctionAdapter, tapped: TappedProgram, seeds: Sequence[Any]) -> dict[int, np.ndarray]:
    """The cotangents that outputs of the program have from outside."""
    found: dict[int, np.ndarray] = {}
    for output, seed in zip(tapped.program.outputs, seeds, strict=True):
        if isinstance(output, Value) and seed is not None:
            k = tapped.name(output.number)
            found[k] = found.get(k, 0.0) + stacked_parts(adapter.to_numpy(seed))
    return found


def first_wrong_cotangent(
    tapped: TappedProgram, parts: dict[int, list[Contribution]], seeds: dict[int, np.ndarray], unknown: set[int]
) -> Fault | None:
    """The operations that pass a wrong cotangent to one of their operands, the last of the program first."""
    for k in sorted(parts, reverse=True):
        if k in unknown or tapped.dtypes[k] not in FLOATING:
            continue
        own = seeds.get(k)
        rungs = {rung: add_contributions(parts[k], own, rung, tapped, k) for rung in rungs_of(tapped.dtypes[k])}
        finding = judge(tapped.cotangents[k], rungs)
        if not finding.verdict.fails:
            continue
        steps, blocked = blamed(tapped.cotangents[k], parts[k], rungs)
        return Fault(tuple(s.name for s in steps), tuple(s.place for s in steps), "gradient", finding, blocked)
    return None


def blamed(
    observed: np.ndarray | None, parts: Sequence[Contribution], rungs: dict[str, Expected]
) -> tuple[list[Step], bool]:
    """The steps that a wrong cotangent may come from, and True if they pass no gradient.

    One step alone, if the cotangent is right without its contribution.
    """
    coarsest = LADDER[-1]
    own = [part.expected.get(coarsest) for part in parts]
    if observed is None:
        return [p.step for p, e in zip(parts, own, strict=True) if e is not None and e.value.any()], True
    for part, share in zip(parts, own, strict=True):
        if share is not None and np.all(
            np.abs(observed - rungs[coarsest].value + share.value) <= rungs[coarsest].radius
        ):
            return [part.step], True
    return [part.step for part in parts], False


def add_contributions(
    parts: Sequence[Contribution], seed: np.ndarray | None, rung: str, tapped: TappedProgram, number: int
) -> Expected:
    """The sum over all consumers of a value, in any order and in the dtype of the value.

    Each consumer may keep its own intermediates as this arithmetic or, if its dtype knows only one, as that.
    """
    shape = np.shape(tapped.values[number])  # type: ignore[arg-type]
    known = [part.expected.get(rung, part.expected.get(LADDER[-1])) for part in parts]
    given = [one for one in known if one is not None]
    if seed is not None:
        given.append(Expected(seed, np.zeros(shape)))
    value, radius, size = np.zeros(shape), np.zeros(shape), np.zeros(shape)
    for one in given:
        value, radius = value + one.value, radius + one.radius
        size = size + np.abs(one.value) + one.radius
    if len(given) > 1:
        last = interior(LADDER[-1], tapped.dtypes[number])
        radius = radius + len(given) * (last.u * size + last.quantum)
    return Expected(value, radius)
