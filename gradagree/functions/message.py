"""The message of a failure: the worst entry first, then the table, then how to see it again."""

from __future__ import annotations

import math
from collections.abc import Mapping

from gradagree.checker.verdict import plain
from gradagree.functions.enclosures import SUMS
from gradagree.functions.records import GradientRecord, Report
from gradagree.report.text import format_exact


def format_report(report: Report, msg: str | None = None) -> str:
    """The message of a failed check of a function."""
    lines = [msg] if msg else []
    failures = report.failures
    if failures:
        lines += [f"{report.function}: {describe_failure(failures[0], report.parameters)}", ""]
    lines.append(str(report))
    if report.replay:
        lines += ["", f"See it again: {report.replay}"]
    return "\n".join(lines)


def describe_failure(record: GradientRecord, parameters: Mapping[str, str] | None = None) -> str:
    """A few lines on one failing record: array, verdict, entry, expected, observed, tolerance, place."""
    mode = "" if record.mode == "reverse" else f", {record.mode} mode"
    lines = [f"{record.label} ({record.framework} {record.dtype}{mode}): {record.verdict.value}"]
    if record.entry is not None:
        lines.append(f"  worst entry: {entry_name(record, parameters or {})}")
    if record.expected is not None:
        lines += [
            f"  expected     {expected_number(record)}",
            f"  observed     {format_exact(record.observed, record.dtype)}",
        ]
        lines.append(f"  tolerance    {plain(record.tolerance):.3g}{times(record)}")
    sharpness = plain(record.sharpness)
    if math.isfinite(sharpness) and record.expected is not None:
        lines.append(f"  relative tolerance of the array {sharpness:.1e}")
    if record.reason:
        lines.append(f"  {record.reason}")
    if record.arithmetic.startswith(SUMS):
        dtype = record.arithmetic.removeprefix(SUMS)
        lines.append(
            f"  perhaps partial sums are kept in {dtype}: they stop growing where a term is below half a digit"
        )
    if record.place and record.place not in record.reason:
        lines.append(f"  at {record.place}")
    return "\n".join(lines)


def entry_name(record: GradientRecord, parameters: Mapping[str, str]) -> str:
    """``gradient of args[0] (x) at [2, 3]``; without an index for a scalar."""
    what = record.name if record.quantity == "value" else f"{record.quantity} of {record.name}"
    argument = record.name.partition("]")[0] + "]"
    what += f" ({parameters[argument]}{record.name.removeprefix(argument)})" if argument in parameters else ""
    return f"{what} at [{', '.join(map(str, record.entry))}]" if record.entry else what


def expected_number(record: GradientRecord) -> str:
    """The expected value; with its radius if that is proved."""
    if record.expected_radius is None:
        return format_exact(record.expected, record.dtype)
    return f"{format_exact(record.expected, record.dtype)} ± {plain(record.expected_radius):.1e} (proved)"


def times(record: GradientRecord) -> str:
    """How many times the tolerance the error is."""
    ratio = plain(record.ratio)
    return f", error {ratio:.3g} times as large" if math.isfinite(ratio) else ""
