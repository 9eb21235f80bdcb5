"""The page of a training run, train.html, and its summary sentence."""

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
from gradagree.report.findings import grouped
from gradagree.report.html import asset, render
from gradagree.report.network import MOST_BOXES, draw_network, layers, legend, tables
from gradagree.report.provenance import failed_probes, not_installed, runs_of
from gradagree.report.sections import section_of
from gradagree.report.summary import PHRASES, Summary, split_sentence, summarize
from gradagree.report.text import DASH, brief, count_noun, format_count, join_words
from gradagree.report.training_data import (
    REFERENCE,
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
"""The noun for one example of a data set."""
MOST_NAMED = 6
STOCHASTIC, FULL = "stochastic", "full"
WAYS = {STOCHASTIC: "stochastic, one sampled example per step", FULL: "full batch, all examples in each step"}


def sentence(training: Training, found: Sequence[CheckpointOutcomes]) -> str:
    """The summary: trainers, accuracy of the trained network, and agreement of the checks along the way."""
    return f"{_training_clause(training)}; {_checks_clause(found)}."


def _training_clause(training: Training) -> str:
    curves = [curve for curve in training.curves if curve.errors or curve.accuracies]
    if not curves:
        return "Nothing was trained"
    names = ["the reference" if curve.name == REFERENCE else curve.name for curve in curves]
    names[MOST_NAMED:] = [f"{len(names) - MOST_NAMED} more"] * (len(names) > MOST_NAMED)
    examples = "the same sampled examples" if training.way == STOCHASTIC else "the same examples"
    same = f" from the same weights on {examples}" if len(curves) > 1 else ""
    network = f"the {training.network} network" if training.widths else "the network"
    broken = [curve.name for curve in curves if curve.errors and not math.isfinite(curve.errors[-1])]
    diverged = f", but the loss of {join_words(broken[:MOST_NAMED])} is no longer finite" if broken else ""
    return f"Trained {join_words(names)}{same}: {network} {_accuracy_clause(training, curves)}{diverged}"


def _accuracy_clause(training: Training, curves: Sequence[LossCurve]) -> str:
    """``classifies 45 % of 100 held-out patients correctly``, or the final loss if there is no accuracy."""
    right = {curve.name: percent(curve.accuracies[-1]) for curve in curves if curve.accuracies}
    if right:
        one = EXAMPLES.get(training.dataset, "example")
        many = f"held-out {one}s" if training.held_out is None else count_noun(training.held_out, f"held-out {one}")
        return f"classifies {_each(right)} of {many} correctly"
    errors = {curve.name: brief(curve.errors[-1]) for curve in curves}
    return f"has a loss of {_each(errors)} after {count_noun(max(curve.rounds for curve in curves), 'round')}"


def _each(found: dict[str, str]) -> str:
    """One text if all are equal, otherwise each with the names that have it."""
    owners: dict[str, list[str]] = {}
    for name, what in list(found.items())[:MOST_NAMED]:
        owners.setdefault(what, []).append(name)
    if len(owners) == 1:
        return next(iter(owners))
    return join_words([f"{what} ({join_words(names)})" for what, names in owners.items()])


def _checks_clause(found: Sequence[CheckpointOutcomes]) -> str:
    counts = Counter({verdict: n for verdict, n in tally(found).items() if verdict.compared})
    total = counts.total()
    failing = {verdict: counts[verdict] for verdict in Verdict if verdict.fails and counts[verdict]}
    if not total:
        return "no gradient was checked along the way"
    where = f"{'gradient' if total == 1 else 'gradients'} checked along the way"
    others = [f"{format_count(counts[verdict])} {phrase}" for verdict, phrase in PHRASES.items() if counts[verdict]]
    if failing:
        n = sum(failing.values())
        words = join_words([f"{format_count(count)} {verdict}" for verdict, count in failing.items()])
        rest = f"; of the other {format_count(total - n)}, {join_words(others)}" if others else ""
        verb = "does" if n == 1 else "do"
        return f"{format_count(n)} of {format_count(total)} {where} {verb} not agree ({words}){rest}"
    if counts[Verdict.AGREE] == total:
        return f"the {where} agrees" if total == 1 else f"all {format_count(total)} {where} agree"
    return f"of {format_count(total)} {where} {join_words(others)}"


def percent(share: float | None) -> str:
    """``45 %``; a dash for no number."""
    return brief(None) if share is None else f"{brief(100 * share)} %"


def loss_warning(curve: LossCurve) -> str | None:
    """A message on the losses that are not finite, or None."""
    broken = [k for k, error in enumerate(curve.errors) if not math.isfinite(error)]
    if not broken:
        return None
    last_ones = len(broken) == len(curve.errors) - broken[0]
    where = (
        f"from round {broken[0]} on" if last_ones else f"in {count_noun(len(broken), 'round')}, first in {broken[0]}"
    )
    return f"{curve.name}: the loss is not finite {where}"


def facts(training: Training) -> Iterator[tuple[str, str]]:
    """Label and value of each property of the training run."""
    data = [training.dataset] * bool(training.dataset)
    data += [] if training.pairs is None else [count_noun(training.pairs, "training example")]
    data += [] if training.held_out is None else [f"{format_count(training.held_out)} held out"]
    biases = {True: "with biases", False: "no biases", None: ""}[training.biases]
    properties = {
        "data": ", ".join(data),
        "network": ", ".join(filter(None, [training.network, biases])),
        "activations": join_words(training.activations, ", "),
        "loss function": training.error,
        "method": WAYS.get(training.way, training.way),
        "learning rate": training.rate,
        "steps": "" if training.steps is None else format_count(training.steps),
        "checked": "" if training.every is None else f"every {count_noun(training.every, 'step')}",
    }
    yield from ((word, value) for word, value in properties.items() if value)


PAGE = "train.html"
MOST_CURVES, MOST_STRETCHES, MOST_FINDINGS, MOST_ROUNDS = len(STYLES), 200, 50, 12


def write_training(folder: Path) -> Path:
    """Write train.html into the results folder of a training run, and return its path.

    Raises UsageError if the folder holds no results or no training run, or one of its files cannot be read.
    """
    path = folder / PAGE
    write_text(path, page(read_training(folder), read_meta(folder), list(read_records(folder))))
    return path


def page(training: Training, meta: dict[str, Any], records: Sequence[Record]) -> str:
    """The complete page as text."""
    outcomes, summary = outcomes_along(training, records), summarize(meta, records)
    values = {
        "training": training, "facts": list(facts(training)), "headline": split_sentence(sentence(training, outcomes)),
        **_curves(training), **_verdicts(outcomes, summary), **_network(training),
        "probes_failed": failed_probes(meta), "not_installed": not_installed(meta), "runs": runs_of(meta),
    }  # fmt: skip
    return render("train.html.j2", values, asset("report.css") + asset("train.css"))


def _verdicts(found: Sequence[CheckpointOutcomes], summary: Summary) -> dict[str, Any]:
    """The verdicts of all checkpoints: counts, and a row for each stretch of equal verdicts."""
    counts, rows, findings = tally(found), stretches(found), grouped(summary.findings)
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
        "picture": draw_network(training), "legend": legend(), "tables": tables(training),
        "outer": max(len(boxes) - MOST_BOXES, 0), "wide": any(layer.wide for layer in boxes),
    }  # fmt: skip


def _curves(training: Training) -> dict[str, Any]:
    """The figures of the curves, and tables of their numbers."""
    curves = [curve for curve in training.curves if curve.errors or curve.accuracies]
    styles = _styles(curves[:MOST_CURVES])
    drawn = [(curve, styles[curve.name]) for curve in curves[:MOST_CURVES]]
    rounds = sorted({one.round for one in training.checkpoints if one.round is not None})
    errors = [Line(curve.name, style, curve.errors) for curve, style in drawn if curve.errors]
    accuracies = [
        Line(curve.name, style, tuple(100 * x for x in curve.accuracies)) for curve, style in drawn if curve.accuracies
    ]
    figures: dict[str, Markup] = {}
    if errors:
        figures["error"] = chart("Loss over all training examples, by round", errors, rounds)
    if accuracies:
        figures["accuracy"] = chart("Accuracy on held-out examples, by round", accuracies, percent=True)
    return {
        "figures": figures, "samples": [(sample(style), curve.name) for curve, style in drawn],
        "undrawn": [curve.name for curve in curves[MOST_CURVES:]], "checked_rounds": rounds,
        "warnings": list(filter(None, map(loss_warning, curves))), "ends": list(map(_end, training.curves)),
        "names": [curve.name for curve, _ in drawn], "rounds": list(_rounds([curve for curve, _ in drawn])),
    }  # fmt: skip


def _styles(curves: Sequence[LossCurve]) -> dict[str, str]:
    """Line style by name: fixed for the reference and known frameworks, a free one for the others."""
    places = {REFERENCE: 0} | {name: kind.position for name, kind in Adapter.catalogue.items()}
    drawn = [curve.name for curve in curves if places.get(curve.name, len(STYLES)) < len(STYLES)]
    known = {name: STYLES[places[name]] for name in drawn}
    free = [style for style in reversed(STYLES) if style not in known.values()]
    return known | dict(zip((curve.name for curve in curves if curve.name not in known), free, strict=False))


def _end(curve: LossCurve) -> tuple[str, str, str, str, str]:
    """Name, number of rounds, last loss and accuracy, and the stop reason."""
    trained = bool(curve.errors or curve.accuracies)
    rounds = format_count(curve.rounds) if trained else DASH
    error = DASH if not curve.errors else f"{curve.errors[-1]:.9g}"
    return (
        curve.name,
        rounds,
        error,
        percent(curve.accuracies[-1] if curve.accuracies else None),
        curve.stopped or "unknown",
    )


def _rounds(curves: Sequence[LossCurve]) -> list[tuple[str, list[str]]]:
    """About a dozen rounds with the loss and accuracy of each curve."""
    most = max((curve.rounds for curve in curves), default=0)
    chosen = sorted({round(most * k / (MOST_ROUNDS - 1)) for k in range(MOST_ROUNDS)}) if curves else []
    rows = []
    for k in chosen:
        cells = []
        for curve in curves:
            cells.append(f"{curve.errors[k]:.6g}" if k < len(curve.errors) else DASH)
            cells.append(percent(curve.accuracies[k]) if k < len(curve.accuracies) else DASH)
        rows.append((format_count(k), cells))
    return rows
