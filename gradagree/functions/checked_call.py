"""A call with its reference: the numbers of both, what a correct program computes, and records of its arrays."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from gradagree.adapters.functions import Call, FunctionAdapter
from gradagree.checker.verdict import Verdict
from gradagree.functions.derivations import expect_both
from gradagree.functions.enclosures import LADDER, SUMS, Expected, expect, narrowest
from gradagree.functions.judge import ArrayFinding, judge
from gradagree.functions.ladder import Ladder, arithmetics
from gradagree.functions.opmath import OPMATH
from gradagree.functions.own_operations import OWN_OPERATIONS, expect_own
from gradagree.functions.parts import Parts, name_of as part_name, real_dtype
from gradagree.functions.records import GradientRecord
from gradagree.functions.references import describe
from gradagree.functions.terms import largest_term
from gradagree.reference.graph import Graph

T = TypeVar("T")
FLOATING = ("float64", "float32", "float16", "bfloat16")


@dataclass(frozen=True)
class CheckedCall:
    """A call, its reference, and the numbers of both.

    Args:
        adapter: The framework's adapter.
        call: The call.
        graph: The reference, a function of real arrays.
        inputs: The arrays of the call on the host, a complex one as its parts.
        outputs: The outputs of the call, the framework's own arrays.
        arithmetic: What the user admits.
        order: 1, or 2 where the outputs are gradients.
        own: Gives the function's own operations as a graph; None where they are the reference, or cannot be traced.
        written: The reference with its hand-written vjp, if it has one.
    """

    adapter: FunctionAdapter
    call: Call
    graph: Graph
    inputs: Sequence[np.ndarray]
    outputs: Sequence[Any]
    arithmetic: str = "auto"
    order: int = 1
    own: Callable[[], Graph | None] | None = None
    written: Graph | None = None

    @property
    def dtype(self) -> str:
        """The narrowest dtype among the arrays to differentiate, or among the parts of complex ones."""
        return narrowest([self.part_dtype(self.call.arrays[k]) for k in self.call.wrt])

    def part_dtype(self, x: Any) -> str:
        return real_dtype(self.adapter.dtype(x))

    def parts(self, arrays: Sequence[Any]) -> Parts:
        """The real arrays that the framework's arrays consist of."""
        return Parts([self.adapter.dtype(x) for x in arrays])

    def numbers(self, arrays: Sequence[Any], like: Sequence[Any]) -> list[Any]:
        """Arrays on the host, as real ones like those of others; None for those that are None."""
        return self.parts(like).split([None if x is None else self.adapter.to_numpy(x) for x in arrays])

    def gradients(self, found: Sequence[Any]) -> list[tuple[int, Any]]:
        """(number among the real arrays, its gradient on the host) for the gradients with respect to call.wrt."""
        known = dict(zip(self.call.wrt, found, strict=True))
        arrays = self.numbers([known.get(k) for k in range(len(self.call.arrays))], self.call.arrays)
        parts = self.parts(self.call.arrays)
        return [(k, x) for k, (part, x) in enumerate(zip(parts, arrays, strict=True)) if part.place in known]

    def numbers_of(
        self, results: tuple[Sequence[Any], Sequence[Any]], labels: Collection[str] | None
    ) -> tuple[dict[int, Any], dict[int, Any]]:
        """(values, gradients) on the host by the numbers of the real arrays, of those that have one of these labels."""
        call, (values, gradients) = self.call, results
        names = [f"gradient of {name}" for name in call.names]
        outputs = {
            k: part.of(self.adapter.to_numpy(values[part.place]))
            for k, part in enumerate(self.parts(values))
            if labels is None or call.results[part.place] in labels
        }
        known = dict(zip(call.wrt, gradients, strict=True))
        chosen = [k for k in call.wrt if labels is None or names[k] in labels]
        return outputs, {
            k: part.of(None if known[part.place] is None else self.adapter.to_numpy(known[part.place]))
            for k, part in enumerate(self.parts(call.arrays))
            if part.place in chosen
        }

    def ladder(
        self, compute: Callable[[str], T], by_own: Callable[[Graph, str], T], opmath: Sequence[str] = OPMATH
    ) -> Ladder[T]:
        """What a correct program computes in each admissible arithmetic.

        Args:
            compute: Gives it by the name of the arithmetic.
            by_own: Gives it for the function's own operations, in the coarsest accurate arithmetic.
            opmath: The arithmetics with one rounding for each operation of the framework.
        """
        opmath = opmath if self.graph.stored else ()
        like = next(self.call.arrays[k] for k in self.call.wrt if self.part_dtype(self.call.arrays[k]) == self.dtype)

        def names() -> Iterator[str]:
            yield from arithmetics(self.adapter, like, self.dtype, self.arithmetic, opmath)
            if self.own is not None:
                yield OWN_OPERATIONS

        def found(name: str) -> T:
            if name != OWN_OPERATIONS:
                return compute(name)
            coarsest = [one for one in names() if one.startswith(LADDER)][-1]
            own = None if self.own is None else self.own()
            return ladder[coarsest] if own is None else by_own(own, coarsest)

        ladder = Ladder(names, found)
        return ladder

    def stores(self, arrays: Sequence[Any]) -> list[str]:
        """The dtypes in which results like these arrays are stored."""
        names = [self.part_dtype(arrays[part.place]) for part in self.parts(arrays)]
        return [name if name in FLOATING else self.dtype for name in names]

    def record(
        self, k: int, quantity: str, finding: Mapping[str, Any], mode: str = "reverse", part: str = ""
    ) -> GradientRecord:
        """The record of output k, or of the gradient of array k, or of one part of it."""
        is_gradient = quantity == "gradient"
        array = self.call.arrays[k] if is_gradient else self.outputs[k]
        name = part_name(self.call.names[k] if is_gradient else self.call.results[k], part)
        return GradientRecord(
            name=name, quantity=quantity, mode=mode, order=self.order, framework=self.adapter.name,
            dtype=self.adapter.dtype(array), shape=tuple(array.shape),
            derivative="written" if is_gradient and self.written is not None else "taped", **finding,
        )  # fmt: skip


def zero(x: np.ndarray) -> Expected:
    """The gradient of an input that no output depends on."""
    return Expected(np.zeros(x.shape), np.zeros(x.shape))


Enclosures = tuple[list[Expected], list[Expected | None]]
"""The outputs and the gradients of a graph."""


def values_of(expected: Ladder[Enclosures], k: int) -> Ladder[Expected]:
    return expected.map(lambda both: both[0][k])


def gradients_of(expected: Ladder[Enclosures], k: int, x: np.ndarray) -> Ladder[Expected]:
    return expected.map(lambda both: both[1][k] or zero(x))


def tangents_of(expected: Ladder[list[Expected]], k: int) -> Ladder[Expected]:
    return expected.map(lambda tangents: tangents[k])


def expectations(checked: CheckedCall, seeds: Sequence[Any]) -> Ladder[Enclosures]:
    """Outputs and gradients for each admissible arithmetic; the probabilistic tolerance where the other is blunt."""
    graph, inputs, dtype = checked.graph, checked.inputs, checked.dtype
    stores = checked.stores([*checked.outputs, *checked.call.arrays])
    numbers = checked.numbers(seeds, checked.outputs)

    def usual(rung: str) -> Enclosures:
        if checked.written is not None:
            return expect_both(checked.written, graph, inputs, numbers, rung, dtype, stores)
        return expect(graph, inputs, numbers, rung, dtype, stores, checked.order)

    return checked.ladder(
        usual,
        lambda own, rung: expect_own(own, graph, inputs, numbers, rung, dtype, stores, checked.order),
    )


def value_records(
    checked: CheckedCall, values: Sequence[Any], expected: Ladder[Enclosures], mode: str = "reverse",
    labels: Collection[str] | None = None, known: Mapping[int, ArrayFinding] | None = None,
) -> list[GradientRecord]:  # fmt: skip
    """The records of the outputs, those of a complex one for each part; with labels, of those that have one."""
    records = []
    for k, (part, y) in enumerate(zip(checked.parts(values), checked.numbers(values, values), strict=True)):
        if labels is not None and checked.call.results[part.place] not in labels:
            continue
        finding = (known or {}).get(k) or judge(y, values_of(expected, k), is_value=True)
        if finding.verdict is Verdict.VALUE_DIFFERS and any(name.startswith(SUMS) for name in expected):
            scale = largest_term(checked.graph, checked.inputs, checked.graph.outputs[k])
            finding = judge(y, values_of(expected, k), is_value=True, scale=scale)
        records.append(checked.record(part.place, "value", finding.fields(), mode, part.name))
    return records


def crashed(checked: CheckedCall, what: str, mode: str, error: BaseException) -> list[GradientRecord]:
    """The record of a derivative that raises an error; unsupported where a function has no forward mode."""
    lacks = mode == "forward" and checked.adapter.has_no_forward_mode(error)
    verdict = Verdict.UNSUPPORTED if lacks else Verdict.CRASHED
    return [
        GradientRecord(
            name=what, quantity="value", mode=mode, order=checked.order, framework=checked.adapter.name,
            dtype=checked.dtype, verdict=verdict, reason=describe(error),
        )
    ]  # fmt: skip
