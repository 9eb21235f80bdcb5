"""Answers that were given once are judged alike by every version of NumPy, SciPy and Arb: same numbers, same verdicts.

python tests/gradagree/test_verdict_vectors.py > tests/gradagree/verdict-vectors.json
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from gradagree.adapters import Answer
from gradagree.arithmetic.model import FORMATS, model
from gradagree.cases.case import Case, problem_of
from gradagree.cases.random import draw
from gradagree.checker.judge import Framework, judge
from gradagree.checker.response import Response
from gradagree.checker.verdict import Verdict
from gradagree.runner import protocol

KEPT = Path(__file__).with_name("verdict-vectors.json")
FRAMEWORK = Framework("torch", "2.13.0+cpu", "cpu", {name: model(name) for name in FORMATS})
REGIMES = ("ordinary", "grid", "saturated", "tiny", "zeros", "mixed")
MOST_WEIGHTS, MOST_EXAMPLES, MOST_OF_A_KIND = 24, 3, 1


def vectors() -> list[dict[str, Any]]:
    return json.loads(KEPT.read_text(encoding="utf-8"))["vectors"] if KEPT.exists() else []


class Kept(msgspec.Struct, array_like=True):
    """An answer as the file has it: what belongs to one box after the other, and None where a box has no such array."""

    E: float
    inputs: list[protocol.Array]
    sensitivities: list[protocol.Array]
    weights: list[protocol.Array | None]
    biases: list[protocol.Array | None]
    seconds: float
    along: list[float]
    updated: list[protocol.Array] = []
    activations: list[list[protocol.Array]] = []
    tangents: list[protocol.Array] = []

    @classmethod
    def of(cls, case: Case, answer: Answer) -> Kept:
        boxes = range(1, case.depth + 1)
        given = {name: protocol.pack(x) for name, x in answer.gradients.items()}
        weights, biases = ([given.get(f"{letter}{k}") for k in boxes] for letter in "wb")
        own = [[given[f"box {k} {name}"] for name in a.parameter_names] for k, a in enumerate(case.activations, 1)]
        values, cotangents = ([protocol.pack(x) for x in xs.values()] for xs in (answer.values, answer.cotangents))
        return cls(answer.E, values, cotangents, weights, biases, 0.0, [], [], own, [])

    def answer(self, case: Case) -> Answer:
        values, cotangents = (
            {name: protocol.unpack(x) for name, x in zip(case.value_names, xs, strict=False)}
            for xs in (self.inputs, self.sensitivities)
        )
        gradients = {f"w{k}": w for k, w in enumerate(self.weights, 1)}
        gradients |= {f"b{k}": b for k, b in enumerate(self.biases, 1)}
        for k, (activation, own) in enumerate(zip(case.activations, self.activations, strict=False), 1):
            gradients |= {f"box {k} {name}": x for name, x in zip(activation.parameter_names, own, strict=True)}
        given = {name: protocol.unpack(x) for name, x in gradients.items() if x is not None}
        return Answer(self.E, values, cotangents, given)


class Answered(msgspec.Struct, tag=True):
    mode: str
    tapped: Kept
    untapped: Kept


def verdict_of(case: Case, told: Any) -> Verdict:
    answered = msgspec.convert(told, Answered)
    response = Response(answered.mode, answered.tapped.answer(case), answered.untapped.answer(case))
    return judge(case, case.arrays(), FRAMEWORK, response).verdict


@pytest.mark.parametrize("vector", vectors(), ids=lambda vector: vector["case"])
def test_that_an_answer_gets_its_verdict_whatever_judges(vector: dict[str, Any]) -> None:
    case = Case.parse(vector["case"])
    assert case.arrays().sha256 == vector["sha256"]
    assert verdict_of(case, vector["answered"]) == vector["verdict"]


def test_that_the_answers_are_of_many_kinds() -> None:
    kept = vectors()
    assert {vector["case"].split(":")[4] for vector in kept} == {form.short for form in FORMATS.values()}
    assert {vector["case"].split(":")[5] for vector in kept} == set(REGIMES)
    wanted = {"agree", "disagree", "suspect", "value-differs", "nonfinite", "undecided"}
    assert {vector["verdict"] for vector in kept} >= wanted, Counter(vector["verdict"] for vector in kept)


def test_that_another_answer_would_get_another_verdict() -> None:
    vector = next(vector for vector in vectors() if vector["verdict"] == "agree")
    answered = json.loads(json.dumps(vector["answered"]))
    answered["untapped"][0] = answered["tapped"][0] = 1e9
    assert verdict_of(Case.parse(vector["case"]), answered) is not Verdict.AGREE


def larger(answer: Answer) -> Answer:
    """The outermost weights' gradient, off by a thousandth."""
    return replace(answer, gradients={**answer.gradients, "w1": answer.gradients["w1"] * 1.001})


def shifted(answer: Answer) -> Answer:
    """What the innermost box hands inwards, off by one."""
    if not answer.tapped:
        return answer
    *_, (name, o) = answer.values.items()
    return replace(answer, values={**answer.values, name: o + 1})


def lost(answer: Answer) -> Answer:
    """NaN in the outermost weights' gradient."""
    return replace(answer, gradients={**answer.gradients, "w1": answer.gradients["w1"] * np.nan})


FAULTS: tuple[Callable[[Answer], Answer], ...] = (lambda answer: answer, lambda answer: answer, larger, shifted, lost)


def made() -> Iterator[dict[str, Any]]:
    """Small cases in every regime and dtype, answered by torch, with a fault in three of five; and end to end."""
    from gradagree.adapters.for_torch import ForTorch

    adapter, kinds = ForTorch(), Counter[tuple[str, str, str]]()
    for number, case in enumerate(draw(2400, 5, tuple(FORMATS), None, None, REGIMES)):
        if case.size > MOST_WEIGHTS or case.batch > MOST_EXAMPLES:
            continue
        arrays, fault = case.arrays(), FAULTS[number % len(FAULTS)]
        try:
            with adapter.settings():
                tapped, untapped = adapter.answers(problem_of(case, arrays), "backward")
        except (RuntimeError, TypeError, ValueError):
            continue
        given = fault(tapped) if number % 3 else fault(untapped), fault(untapped)
        told = Answered("backward", *(Kept.of(case, one) for one in given))
        answered = msgspec.to_builtins(told)
        verdict = verdict_of(case, answered)
        kind = str(verdict), case.dtype, case.regime
        kinds[kind] += 1
        if kinds[kind] > MOST_OF_A_KIND:
            continue
        yield {"case": case.spec, "sha256": arrays.sha256, "verdict": str(verdict), "answered": answered}


if __name__ == "__main__":
    about = "Answers of torch 2.13.0, some with a planted fault, and the verdicts that they get."
    lines = ",\n".join(json.dumps(vector, separators=(",", ":")) for vector in made())
    sys.stdout.write(f'{{"about": {json.dumps(about)}, "vectors": [\n{lines}\n]}}\n')
