"""The training page, train.html, and its summary sentence."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from gradagree.adapters import Adapter
from gradagree.checker.verdict import Record, Verdict, exit_code
from gradagree.files import write_text
from gradagree.report.figures import STYLES, Line, chart, sample
from gradagree.report.html import asset, rendered
from gradagree.report.network import MOST_BOXES, layers, legend, picture, tables
from gradagree.report.provenance import failed_probes, not_installed, runs_of
from gradagree.report.sections import section_of
from gradagree.report.summary import PHRASES, Summary, summarize
from gradagree.report.text import DASH, brief, counted, joined, shown_number
from gradagree.report.training_data import (
    BY_HAND,
    CheckpointOutcomes,
    LossCurve,
    Training,
    columns_of,
    outcomes_along,
    read_training,
    stretches,
    tally,
)
from gradagree.runner.results import read_meta, read_records

EXAMPLES = {"diabetes": "patient", "digits": "digit"}
"""What one example of a data set is called."""
MOST_NAMED = 6
POLLED, FULL = "stochastic", "full"
WAYS = {POLLED: "stochastic, one polled pair a step", FULL: "full batch, all pairs a step"}


def sentence(training: Training, found: Sequence[CheckpointOutcomes]) -> str:
    """The summary: trainers, accuracy of the trained network, and agreement of the checks along the way."""
    return f"{_trained(training)}; {_along(found)}."


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


def _decides(training: Training, curves: Sequence[LossCurve]) -> str:
    """``decides 45 % of 100 held-out patients right``, or the final loss where there is no accuracy."""
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


def _along(found: Sequence[CheckpointOutcomes]) -> str:
    counts = Counter({verdict: n for verdict, n in tally(found).items() if verdict.compared})
    total = counts.total()
    failing = {verdict: counts[verdict] for verdict in Verdict if verdict.fails and counts[verdict]}
    if not total:
        return "no gradient was judged along the way"
    where = f"{'gradient' if total == 1 else 'gradients'} judged along the way"
    others = [f"{shown_number(counts[verdict])} {phrase}" for verdict, phrase in PHRASES.items() if counts[verdict]]
    if failing:
        n = sum(failing.values())
        words = joined([f"{shown_number(count)} {verdict}" for verdict, count in failing.items()])
        rest = f"; of the other {shown_number(total - n)}, {joined(others)}" if others else ""
        verb = "does" if n == 1 else "do"
        return f"{shown_number(n)} of {shown_number(total)} {where} {verb} not agree ({words}){rest}"
    if counts[Verdict.AGREE] == total:
        return f"the {where} agrees" if total == 1 else f"all {shown_number(total)} {where} agree"
    return f"of {shown_number(total)} {where} {joined(others)}"


def last(numbers: Sequence[float]) -> float | None:
    return numbers[-1] if numbers else None


def percent(share: float | None) -> str:
    """``45 %``; a dash for no number."""
    return brief(None) if share is None else f"{brief(100 * share)} %"


def trouble(curve: LossCurve) -> str | None:
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


PAGE = "train.html"
MOST_CURVES, MOST_STRETCHES, MOST_FINDINGS, MOST_ROUNDS = len(STYLES), 200, 50, 12


def write_training(folder: Path) -> Path:
    """The path of train.html, written into a results folder that holds a training.

    Raises UsageError where the folder holds no results or no training, or one of its files cannot be read.
    """
    path = folder / PAGE
    write_text(path, page(read_training(folder), read_meta(folder), list(read_records(folder))))
    return path


def answer(training: Training, records: Sequence[Record]) -> str:
    """The training's summary in one sentence."""
    return sentence(training, outcomes_along(training, records))


def page(training: Training, meta: dict[str, Any], records: Sequence[Record]) -> str:
    """The complete page as text."""
    outcomes, summary = outcomes_along(training, records), summarize(meta, records)
    values = {
        "training": training, "facts": list(facts(training)), "answer": sentence(training, outcomes),
        **_curves(training), **_verdicts(outcomes, summary), **_network(training),
        "probes_failed": failed_probes(meta), "not_installed": not_installed(meta), "runs": runs_of(meta),
    }  # fmt: skip
    return rendered("train.html.j2", values, asset("report.css") + asset("train.css"))


def _verdicts(found: Sequence[CheckpointOutcomes], summary: Summary) -> dict[str, Any]:
    """The verdicts of all checkpoints: counts, and a row for each stretch of equal ones."""
    counts, rows, findings = tally(found), stretches(found), list(summary.findings)
    by_verdict = {verdict: counts[verdict] for verdict in Verdict if counts[verdict]}
    return {
        "counts": by_verdict, "total": counts.total(), "columns": columns_of(found),
        "stretches": rows[:MOST_STRETCHES], "stretches_unshown": len(rows[MOST_STRETCHES:]),
        "findings": [section_of(finding, summary) for finding in findings[:MOST_FINDINGS]],
        "findings_unshown": len(findings[MOST_FINDINGS:]), "exit_code": exit_code(by_verdict, summary.strict),
    }  # fmt: skip


def _network(training: Training) -> dict[str, Any]:
    boxes = layers(training)
    return {
        "picture": picture(training), "legend": legend(), "tables": tables(training),
        "outer": max(len(boxes) - MOST_BOXES, 0), "wide": any(layer.wide for layer in boxes),
    }  # fmt: skip


def _curves(training: Training) -> dict[str, Any]:
    """The figures of the curves, and the same in numbers."""
    curves = [curve for curve in training.curves if curve.errors or curve.accuracies]
    styles = _styles(curves[:MOST_CURVES])
    drawn = [(curve, styles[curve.name]) for curve in curves[:MOST_CURVES]]
    rounds = sorted({one.round for one in training.checkpoints if one.round is not None})
    errors = [Line(curve.label, style, curve.errors) for curve, style in drawn if curve.errors]
    accuracies = [
        Line(curve.label, style, tuple(100 * x for x in curve.accuracies)) for curve, style in drawn if curve.accuracies
    ]
    figures: dict[str, Markup] = {}
    if errors:
        figures["error"] = chart("Error over all pairs, by round", errors, rounds)
    if accuracies:
        figures["accuracy"] = chart("Right decisions on held-out examples, by round", accuracies, percent=True)
    return {
        "figures": figures, "samples": [(sample(style), curve.label) for curve, style in drawn],
        "undrawn": [curve.label for curve in curves[MOST_CURVES:]], "judged_rounds": rounds,
        "troubles": list(filter(None, map(trouble, curves))), "ends": list(map(_end, training.curves)),
        "labels": [curve.label for curve, _ in drawn], "rounds": list(_rounds([curve for curve, _ in drawn])),
    }  # fmt: skip


def _styles(curves: Sequence[LossCurve]) -> dict[str, str]:
    """Everyone's style: the same on every page for those who are known, for the others what these leave."""
    places = {BY_HAND: 0} | {name: kind.position for name, kind in Adapter.catalogue.items()}
    drawn = [curve.name for curve in curves if places.get(curve.name, len(STYLES)) < len(STYLES)]
    known = {name: STYLES[places[name]] for name in drawn}
    free = [style for style in reversed(STYLES) if style not in known.values()]
    return known | dict(zip((curve.name for curve in curves if curve.name not in known), free, strict=False))


def _end(curve: LossCurve) -> tuple[str, str, str, str, str]:
    """Who, how many rounds, the last error and accuracy, and why the training ended."""
    trained = bool(curve.errors or curve.accuracies)
    rounds = shown_number(curve.rounds) if trained else DASH
    error = DASH if not curve.errors else f"{curve.errors[-1]:.9g}"
    return curve.label, rounds, error, percent(last(curve.accuracies)), curve.stopped or "not told"


def _rounds(curves: Sequence[LossCurve]) -> list[tuple[str, list[str]]]:
    """A dozen rounds with everyone's error and accuracy."""
    most = max((curve.rounds for curve in curves), default=0)
    chosen = sorted({round(most * k / (MOST_ROUNDS - 1)) for k in range(MOST_ROUNDS)}) if curves else []
    rows = []
    for k in chosen:
        cells = []
        for curve in curves:
            cells.append(f"{curve.errors[k]:.6g}" if k < len(curve.errors) else DASH)
            cells.append(percent(curve.accuracies[k]) if k < len(curve.accuracies) else DASH)
        rows.append((shown_number(k), cells))
    return rows
