"""train.html: how a training went by hand and in the frameworks, and the verdicts along the way."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from gradagree.files import write_text
from gradagree.journal import read_meta, read_records
from gradagree.reporting import texts
from gradagree.reporting.along import Cell, Judged, Place, judge_along, places, stretches, tally
from gradagree.reporting.curves import STYLES, Line, chart, sample
from gradagree.reporting.network_numbers import tables
from gradagree.reporting.network_picture import MOST_BOXES, layers, legend, picture
from gradagree.reporting.pages import asset, rendered
from gradagree.reporting.provenance import failed_probes, not_installed, runs_of
from gradagree.reporting.summary import Summary, summarize
from gradagree.reporting.telling import facts, last, percent, told, trouble
from gradagree.reporting.trained import BY_HAND, Curve, Training, read_training
from gradagree.verdict import Record, Verdict, exit_code

__all__ = ["answer", "page", "write_training"]

PAGE = "train.html"
MOST_CURVES, MOST_STRETCHES, MOST_FINDINGS, MOST_ROUNDS = len(STYLES), 200, 50, 12
KNOWN_STYLES = {BY_HAND: STYLES[0], "torch": STYLES[1], "jax": STYLES[2]}


def write_training(folder: Path) -> Path:
    """The path of train.html, written into a results folder that holds a training.

    Raises UsageError where the folder holds no results or no training, or one of its files cannot be read.
    """
    path = folder / PAGE
    write_text(path, page(read_training(folder), read_meta(folder), list(read_records(folder))))
    return path


def answer(training: Training, records: Sequence[Record]) -> str:
    """The training's answer in one sentence."""
    return told(training, judge_along(training, records))


def page(training: Training, meta: dict[str, Any], records: Sequence[Record]) -> str:
    """The whole page as text."""
    judged, summary = judge_along(training, records), summarize(meta, records)
    values = {
        "training": training, "facts": list(facts(training)), "answer": told(training, judged),
        **_curves(training), **_verdicts(judged, summary), **_network(training),
        "probes_failed": failed_probes(meta), "not_installed": not_installed(meta), "runs": runs_of(meta),
    }  # fmt: skip
    return rendered("train.html.j2", values, asset("report.css") + asset("train.css"))


def _verdicts(judged: Sequence[Judged], summary: Summary) -> dict[str, Any]:
    """What was judged along the way, as a sum of counts and by stretches of checkpoints."""
    counts, found, findings = tally(judged), stretches(judged), list(summary.findings)
    by_verdict = {verdict: counts[verdict] for verdict in Verdict if counts[verdict]}

    def cells(stretch: Any) -> list[Cell | None]:
        return [stretch.cell(Place(column, what)) for column, theirs in header.items() for what in theirs]

    header = places(judged)
    return {
        "counts": by_verdict, "total": counts.total(), "header": header, "cells": cells,
        "stretches": found[:MOST_STRETCHES], "stretches_unshown": len(found[MOST_STRETCHES:]),
        "findings": findings[:MOST_FINDINGS], "findings_unshown": len(findings[MOST_FINDINGS:]),
        "replay": texts.replay, "exit_code": exit_code(by_verdict, summary.strict),
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


def _styles(curves: Sequence[Curve]) -> dict[str, str]:
    """Everyone's style: the same on every page for those who are known, for the others what these leave."""
    known = {curve.name: KNOWN_STYLES[curve.name] for curve in curves if curve.name in KNOWN_STYLES}
    free = [style for style in reversed(STYLES) if style not in known.values()]
    return known | dict(zip((curve.name for curve in curves if curve.name not in known), free, strict=False))


def _end(curve: Curve) -> tuple[str, str, str, str, str]:
    """Who, how many rounds, the last error and accuracy, and why the training ended."""
    trained = bool(curve.errors or curve.accuracies)
    rounds = texts.shown_number(curve.rounds) if trained else texts.DASH
    error = texts.DASH if not curve.errors else f"{curve.errors[-1]:.9g}"
    return curve.label, rounds, error, percent(last(curve.accuracies)), curve.stopped or "not told"


def _rounds(curves: Sequence[Curve]) -> list[tuple[str, list[str]]]:
    """A dozen rounds with everyone's error and accuracy."""
    most = max((curve.rounds for curve in curves), default=0)
    chosen = sorted({round(most * k / (MOST_ROUNDS - 1)) for k in range(MOST_ROUNDS)}) if curves else []
    rows = []
    for k in chosen:
        cells = []
        for curve in curves:
            cells.append(f"{curve.errors[k]:.6g}" if k < len(curve.errors) else texts.DASH)
            cells.append(percent(curve.accuracies[k]) if k < len(curve.accuracies) else texts.DASH)
        rows.append((texts.shown_number(k), cells))
    return rows
