"""A training in words: its answer in one sentence, and what was trained."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence

from gradagree.reporting.along import GRADIENT, UPDATE, Judged, tally
from gradagree.reporting.answer import PHRASES
from gradagree.reporting.texts import brief, counted, joined, shown_number
from gradagree.reporting.trained import BY_HAND, Curve, Training
from gradagree.verdict import Verdict

__all__ = ["facts", "last", "percent", "told", "trouble"]

EXAMPLES = {"diabetes": "patient", "digits": "digit"}
"""What one example of a data set is called."""
MOST_NAMED = 6
POLLED, FULL = "stochastic", "full"
WAYS = {POLLED: "stochastic, one polled pair a step", FULL: "full batch, all pairs a step"}


def told(training: Training, judged: Sequence[Judged]) -> str:
    """Who trained, what the network decides now, and whether what was judged along the way agrees."""
    return f"{_trained(training)}; {_along(judged)}."


def _trained(training: Training) -> str:
    curves = [curve for curve in training.curves if curve.errors or curve.accuracies]
    if not curves:
        return "Nothing was trained"
    names = [curve.label if curve.name == BY_HAND else f"by {curve.label}" for curve in curves]
    names[MOST_NAMED:] = [f"by {len(names) - MOST_NAMED} more"] * (len(names) > MOST_NAMED)
    pairs = "the same polled pairs" if training.way == POLLED else "the same pairs"
    same = f" from the same weights and {pairs}" if len(curves) > 1 else ""
    network = f"the {training.network} network" if training.widths else "the network"
    broken = [curve.label for curve in curves if curve.errors and not math.isfinite(curve.errors[-1])]
    lost = f", but the error of {joined(broken[:MOST_NAMED])} is no number any more" if broken else ""
    return f"Trained {joined(names)}{same}, {network} {_decides(training, curves)}{lost}"


def _decides(training: Training, curves: Sequence[Curve]) -> str:
    """``decides 45 % of 100 held-out patients right``, or the error it comes to where no accuracy is told."""
    right = {curve.label: percent(last(curve.accuracies)) for curve in curves if curve.accuracies}
    if right:
        one = EXAMPLES.get(training.dataset, "example")
        many = f"held-out {one}s" if training.held_out is None else counted(training.held_out, f"held-out {one}")
        return f"decides {_each(right)} of {many} right"
    errors = {curve.label: brief(last(curve.errors)) for curve in curves}
    return f"comes to an error of {_each(errors)} after {counted(max(curve.rounds for curve in curves), 'round')}"


def _each(found: dict[str, str]) -> str:
    """One text where all have the same, else each with its owners' names."""
    owners: dict[str, list[str]] = {}
    for name, what in list(found.items())[:MOST_NAMED]:
        owners.setdefault(what, []).append(name)
    if len(owners) == 1:
        return next(iter(owners))
    return joined([f"{what} ({joined(names)})" for what, names in owners.items()])


def _along(judged: Sequence[Judged]) -> str:
    counts = {what: tally(judged, what) for what in (GRADIENT, UPDATE)}
    things = [what for what, found in counts.items() if any(verdict.compared for verdict in found)]
    both = Counter({verdict: n for verdict, n in tally(judged).items() if verdict.compared})
    total, failing = both.total(), {verdict: both[verdict] for verdict in Verdict if verdict.fails and both[verdict]}
    if not total:
        return "no gradient was judged along the way"
    where = f"{joined([what if total == 1 else what + 's' for what in things])} judged along the way"
    others = [f"{shown_number(both[verdict])} {phrase}" for verdict, phrase in PHRASES.items() if both[verdict]]
    if failing:
        n = sum(failing.values())
        words = joined([f"{shown_number(count)} {verdict}" for verdict, count in failing.items()])
        rest = f"; of the other {shown_number(total - n)}, {joined(others)}" if others else ""
        verb = "does" if n == 1 else "do"
        return f"{shown_number(n)} of {shown_number(total)} {where} {verb} not agree ({words}){rest}"
    if both[Verdict.AGREE] == total:
        return f"the {where} agrees" if total == 1 else f"all {shown_number(total)} {where} agree"
    return f"of {shown_number(total)} {where} {joined(others)}"


def last(numbers: Sequence[float]) -> float | None:
    return numbers[-1] if numbers else None


def percent(share: float | None) -> str:
    """``45 %``; a dash for no number."""
    return brief(None) if share is None else f"{brief(100 * share)} %"


def trouble(curve: Curve) -> str | None:
    """Which errors are no number, or None where all are."""
    broken = [k for k, error in enumerate(curve.errors) if not math.isfinite(error)]
    if not broken:
        return None
    last_ones = len(broken) == len(curve.errors) - broken[0]
    where = f"from round {broken[0]} on" if last_ones else f"in {counted(len(broken), 'round')}, first in {broken[0]}"
    return f"{curve.label}: the error is no finite number {where}"


def facts(training: Training) -> Iterator[tuple[str, str]]:
    """What was trained and how, as pairs of a word and what it was."""
    data = [training.dataset] * bool(training.dataset)
    data += [] if training.pairs is None else [f"{counted(training.pairs, 'pair')} to train on"]
    data += [] if training.held_out is None else [f"{shown_number(training.held_out)} held out"]
    biases = {True: "with biases", False: "no biases", None: ""}[training.biases]
    told = {
        "data": ", ".join(data),
        "network": ", ".join(filter(None, [training.network, biases])),
        "activations": joined(training.activations, ", "),
        "error function": training.error,
        "way": WAYS.get(training.way, training.way),
        "rate": training.rate,
        "steps": "" if training.steps is None else shown_number(training.steps),
        "judged": "" if training.every is None else f"every {counted(training.every, 'step')}",
    }
    yield from ((word, what) for word, what in told.items() if what)
