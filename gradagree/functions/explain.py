"""Why a gradient is wrong: the operation or the backward pass at fault, and the common mistake that it looks like."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from gradagree.adapters.functions import Call, FunctionAdapter
from gradagree.adapters.program import ROUNDING, STOPS
from gradagree.errors import UsageError
from gradagree.functions.cotangents import another_cotangent, wrong_share
from gradagree.functions.enclosures import Expected
from gradagree.functions.localize import BoxCheck, check_steps
from gradagree.functions.mistakes import Mistake, of_a_change, of_factors, recognise, without_conjugate
from gradagree.functions.parts import Parts
from gradagree.functions.probes import Probes, called_again, probed
from gradagree.functions.records import GradientRecord
from gradagree.functions.wrong_entries import wrong_where
from gradagree.reference.graph import Graph

OWN = str(Path(__file__).resolve().parents[2])


def explain(
    adapter: FunctionAdapter, call: Call, graph: Graph, inputs: Sequence[np.ndarray], seeds: Sequence[Any],
    observed: Mapping[str, np.ndarray | None], expected: Mapping[str, Sequence[Expected]],
    records: Sequence[GradientRecord], *, parts: tuple[Parts, Parts], numbers: Sequence[Any],
) -> list[GradientRecord]:  # fmt: skip
    """The records, with reason and place in those of wrong gradients.

    Args:
        adapter: The framework's adapter.
        call: The call that was checked.
        graph: The reference.
        inputs: The call's arrays, as float64.
        seeds: The framework's cotangents of the outputs.
        observed: The framework's gradients by the names of the arguments.
        expected: The expected ones, with the tolerance of an accurate program, then with wider ones.
        records: The records of the call.
        parts: The real arrays that the graph's inputs and outputs are.
        numbers: The cotangents of the graph's outputs, ordinary arrays.
    """
    wrong = [r for r in records if r.verdict.fails and r.quantity == "gradient"]
    if not wrong:
        return list(records)
    names = parts[0].names(call.names)
    sentence, place = culprit(adapter, call, seeds)
    found = []
    for record in records:
        if record not in wrong:
            found.append(record)
            continue
        name, argument = record.name, names.index(record.name)
        sharp = [sharper(one) for one in expected[name]]
        probes = probes_of(adapter, call, graph, inputs, seeds, observed[name], sharp[0], argument, parts)
        sentences = [called_again(probes)] if probes is not None else [""]
        if not sentences[0]:
            mistake = without_conjugate(observed[name], expected[name], graph, inputs, numbers, argument, parts)
            for level, one in enumerate(sharp):
                others = {other: sharper(levels[level]) for other, levels in expected.items() if other != name}
                mistake = mistake or recognise(observed[name], one, others, inputs)
            reference = graph, inputs, numbers, argument
            if not record.reason:  # no tie, and nothing that is missing
                mistake = mistake or another_cotangent(observed[name], sharp[0], *reference)
                mistake = mistake or of_a_change(observed[name], sharp, *reference)
                mistake = mistake or wrong_share(observed[name], sharp[0], *reference)
                mistake = mistake or of_factors(observed[name], sharp, *reference)
            sentences = [describe(mistake)]
            if probes is not None and (mistake is None or mistake.is_vague):
                sentences.append(probed(probes))
            if not record.reason:
                with np.errstate(all="ignore"):
                    sentences.append(wrong_where(observed[name], sharp[0], inputs, names, argument))
        clauses = [record.reason, *sentences, sentence]
        reason = "; ".join(clause for clause in clauses if clause)
        found.append(msgspec.structs.replace(record, reason=reason, place=place))
    return found


def probes_of(
    adapter: FunctionAdapter, call: Call, graph: Graph, inputs: Sequence[np.ndarray], seeds: Sequence[Any],
    observed: np.ndarray | None, expected: Expected, argument: int, parts: tuple[Parts, Parts],
) -> Probes | None:  # fmt: skip
    """Further calls for one gradient; None without one, and for complex arrays."""
    if observed is None or observed.shape != expected.value.shape or argument not in call.wrt:
        return None
    if any(part.name for both in parts for part in both):
        return None
    place = list(call.wrt).index(argument)
    return Probes(adapter, call, graph, inputs, seeds, place, argument, observed, expected)


def sharper(expected: Expected) -> Expected:
    """The expected array with the smaller of its two tolerances."""
    if expected.probable is None:
        return expected
    return Expected(expected.value, np.fmin(expected.radius, expected.probable))


def at(name: str, place: str) -> str:
    return f"{name} ({place})" if place else name


def describe(mistake: Mistake | None) -> str:
    """The sentence of a mistake, with the place in the reference unless that is in this package."""
    if mistake is None:
        return ""
    known = mistake.place and not mistake.place.startswith(OWN)
    return f"{mistake.reason} ({mistake.place})" if known else mistake.reason


def culprit(adapter: FunctionAdapter, call: Call, seeds: Sequence[Any]) -> tuple[str, str]:
    """(sentence, file and line) of what is at fault, by the check of every operation of the program alone."""
    written = adapter.backward_passes(call)
    stops: list[str] = []
    unjudged: tuple[str, ...] = ("the program, which cannot be traced",)
    try:
        program = adapter.trace(call)
        unjudged = tuple(step.name for step in program.steps if step.function is None) or ("its operations",)
        stops = [at(step.name, step.place) for step in program.steps if step.name in STOPS]
        steps = [at(step.name, step.place) for step in program.steps if step.name in ROUNDING]
        checked = check_steps(adapter, call, program, seeds)
    except UsageError:
        checked = BoxCheck(None, unjudged)
    if checked.fault is not None:
        return str(checked.fault), checked.fault.places[0]
    if not written:
        if checked.unchecked:
            return "", ""
        if stops:
            return f"every operation is right alone, and {' and '.join(dict.fromkeys(stops))} stops the gradient", ""
        return "every operation of the program is right alone, so the reference is another function here", ""
    names = " or ".join(at(name, place) for name, place in written)
    place = written[0][1] if len(written) == 1 else ""
    if checked.unchecked:
        return f"{names} may be wrong; not judged: {', '.join(dict.fromkeys(checked.unchecked))}", place
    wrong = f"every operation of the forward pass is right, so {names} is wrong"
    if steps:
        wrong += f", unless it replaces the derivative 0 of {steps[0]} on purpose: then give a reference that has yours"
    return wrong, place
