"""A framework written out in NumPy, step by step, so that each step of each box can be made to lie."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from gradagree import Case, draw
from gradagree.adapters import Answer
from gradagree.arithmetic.model import FORMATS, model
from gradagree.arithmetic.rounded import Rounded
from gradagree.cases.case import Arrays
from gradagree.checker.allowances import ToleranceOptions
from gradagree.checker.comparison import Comparison
from gradagree.checker.judge import Framework, judge
from gradagree.checker.response import Response
from gradagree.checker.reverse import check, node_check
from gradagree.checker.verdict import Record
from gradagree.reference import Activation, ErrorBox, ErrorFunction
from gradagree.reference.graph import value_name
from gradagree.runner import protocol

CLASSIC = [
    Activation.named(name)
    for name in (
        "elu", "gelu", "gelu_tanh", "hardtanh", "id", "leaky_relu", "relu", "sigmoid", "silu", "softplus", "softsign",
        "tanh",
    )
]  # fmt: skip
CLASSIC_ERRORS = [
    ErrorFunction.named(name) for name in ("absolute", "bce_logits", "cross_entropy", "huber", "mse", "sse")
]
"""Functions that are right entry by entry, so that each step can be told apart."""

TYPES = {"float64": np.float64, "float32": np.float32, "float16": np.float16}
Lie = Callable[[np.ndarray, SimpleNamespace], np.ndarray]
Lies = Mapping[tuple[int | str, str], Lie]


@dataclass
class ByHand:
    """Every step rounded to the dtype, sums from the last term to the first; a lie replaces one step of one box.

    A lie is told (what is right, the numbers of the box so far) and answers with what the step is to give. The steps of
    box k are value, c, slope, delta_a, delta_p, dw and db; those of "error" are E and delta_p.
    """

    case: Case
    arrays: Arrays
    lies: Lies = field(default_factory=dict)

    def step(self, box: int | str, name: str, right: Any, at: SimpleNamespace) -> np.ndarray:
        told = self.lies.get((box, name), lambda right, at: right)(np.asarray(right, dtype=np.float64), at)
        setattr(at, name, np.asarray(told).astype(TYPES[self.case.dtype]).astype(np.float64))
        return getattr(at, name)  # type: ignore[no-any-return]

    def weigh(self, at: SimpleNamespace, name: str) -> None:
        """The factor of the loss, after the lie of that step."""
        setattr(at, name, (self.case.loss_weight * getattr(at, name)).astype(TYPES[self.case.dtype]).astype(np.float64))

    def product(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        x, y = (z.astype(TYPES[self.case.dtype]) for z in (x[..., ::-1], y[::-1]))
        return x @ y

    def answer(self) -> Answer:
        with np.errstate(all="ignore"):
            return self._answer()

    def _answer(self) -> Answer:
        case, arrays = self.case, self.arrays
        at = [SimpleNamespace(p=arrays.inputs)]
        pad = [None] * (case.depth - len(arrays.weights))
        for k, w in enumerate([*arrays.weights, *pad], 1):
            box = at[-1]
            box.activation, box.w, box.b = case.activations[k - 1], w, [*arrays.biases, *pad][k - 1]
            at.append(SimpleNamespace(p=self._forward(k, box)))
        error = at[-1]
        error.t = arrays.targets
        self.step("error", "E", case.error.value(error.p, error.t), error)
        self.step("error", "delta_p", case.error.sensitivity(error.p, error.t), error)
        for name in ("E", "delta_p"):
            self.weigh(error, name)
        for k in range(case.depth, 0, -1):
            self._pull(k, at[k - 1], at[k].delta_p)
        gradients = {f"w{k}": box.dw for k, box in enumerate(at[:-1], 1)}
        gradients |= {f"b{k}": box.db for k, box in enumerate(at[:-1], 1)}
        values, cotangents = (
            {value_name(k): getattr(box, part) for k, box in enumerate(at)} for part in ("p", "delta_p")
        )
        return Answer(float(error.E), values, cotangents, {name: x for name, x in gradients.items() if x is not None})

    def _forward(self, k: int, at: SimpleNamespace) -> np.ndarray:
        a = self.step(k, "value", at.activation.value(at.p), at)
        c = a if at.w is None else self.product(a, at.w)
        return self.step(k, "c", c if at.b is None else c + at.b.astype(c.dtype), at)

    def _pull(self, k: int, at: SimpleNamespace, delta_c: np.ndarray) -> None:
        at.delta_c, at.dw, at.db = delta_c, None, None
        slope = self.step(k, "slope", at.activation.derivative(at.p), at)
        delta_a = self.step(k, "delta_a", delta_c if at.w is None else self.product(delta_c, at.w.T), at)
        self.step(k, "delta_p", slope * delta_a, at)
        if at.w is not None:
            self.step(k, "dw", self.product(at.value.T, delta_c), at)
        if at.b is not None:
            self.step(k, "db", np.sum(delta_c[::-1].astype(TYPES[self.case.dtype]), axis=0), at)


class Bench:
    """Where answers are put to the test; a framework here measures as IEEE 754 says."""

    framework = Framework("numpy", np.__version__, "cpu", {name: model(name) for name in FORMATS})

    classic, classic_errors = CLASSIC, CLASSIC_ERRORS

    def classic_cases(
        self, dtype: str, seed: int, most: int = 1000, regime: str = "ordinary", functions: Any = CLASSIC
    ) -> Iterator[Case]:
        """Random architectures without end, of so many weights at the most."""
        cases = draw(10**6, seed, (dtype,), functions, CLASSIC_ERRORS, (regime,))
        return (case for case in cases if case.size <= most)

    def answer(self, case: Case, lies: Lies | None = None) -> Answer:
        """What the framework in NumPy gives."""
        return ByHand(case, case.arrays(), lies or {}).answer()

    def compared(self, case: Case, answer: Answer) -> list[Comparison]:
        return list(check(case, case.arrays(), self.received(answer), model(case.dtype)))

    def received(self, answer: Answer) -> Answer:
        """The answer after the journey between two processes: float64 arrays."""
        return protocol.unpack_answer(protocol.pack_answer(answer))

    def failing(self, case: Case, answer: Answer) -> list[tuple[int | str, str]]:
        """(box, part) of every comparison that fails."""
        return [(found.box, found.part) for found in self.compared(case, answer) if found.verdict.fails]

    def untapped(self, answer: Answer) -> Answer:
        """What is left of an answer without taps."""
        return replace(
            answer, **{field: {"inputs": getattr(answer, field)["inputs"]} for field in ("values", "cotangents")}
        )

    def judged(self, case: Case, tapped: Answer, untapped: Answer | None = None) -> Record:
        """The record, after the journey between two processes."""
        told = [self.received(answer) for answer in (tapped, untapped or self.untapped(tapped))]
        return judge(case, case.arrays(), self.framework, Response("backward", *told))

    def part(self, answer: Answer, box: int | str, part: str) -> np.ndarray:
        """One array of an answer."""
        if box == "error":
            return np.asarray(answer.E) if part == "E" else [*answer.cotangents.values()][-1]
        field, name = self.place(box, part)
        return np.asarray(getattr(answer, field)[name])

    def with_part(self, answer: Answer, box: int, part: str, array: Any) -> Answer:
        """The same answer with another array in one place."""
        field, name = self.place(box, part)
        return replace(answer, **{field: getattr(answer, field) | {name: array}})

    def place(self, box: int | str, part: str) -> tuple[str, str]:
        """The field of an answer that holds a part of a box, and its name there."""
        places = {"c": ("values", value_name(int(box))), "delta_p": ("cotangents", value_name(int(box) - 1))}
        return places.get(part, ("gradients", f"{part[1:]}{box}"))

    def tolerance(self, case: Case, answer: Answer, box: int | str, part: str) -> np.ndarray:
        """What the box check allows to each entry, natural scale included; infinity where the entry is open."""
        how, rules, arrays = ToleranceOptions(conditioning=True, ad_forms=True), model(case.dtype), case.arrays()
        p = Rounded.stored([*answer.values.values()][-1 if box == "error" else int(box) - 1], rules)
        if box == "error":
            targets = arrays.targets if case.error.targets == "classes" else Rounded.stored(arrays.targets, rules)
            error = ErrorBox(how.bounds(case.error), targets, case.loss_weight)
            expected = error(p) if part == "E" else error.pull(p)
        else:
            judged = node_check(case.nodes(arrays)[int(box) - 1], answer, rules).within(how)
            if part == "c":
                expected = judged.weigh(p)
            else:
                delta_p, gradient = judged.pull(p, Rounded.stored(answer.cotangents[f"c{box}"], rules))
                expected = {"delta_p": delta_p, "dw": gradient.w, "db": gradient.b}[part]
        return np.where(np.isnan(expected.radius), np.inf, expected.radius)

    def on_kinks(self, case: Case, answer: Answer, box: int | str, part: str) -> np.ndarray:
        """Which entries lie on a kink, where several slopes are legitimate."""
        on = np.zeros(self.part(answer, box, part).shape, dtype=bool)
        if part == "delta_p" and box == "error":
            return on | case.error.kink([*answer.values.values()][-1], case.arrays().targets)
        if part == "delta_p":
            on |= np.isin(answer.values[value_name(int(box) - 1)], case.activations[int(box) - 1].kinks)
        return on


@pytest.fixture(scope="session")
def bench() -> Bench:
    return Bench()
