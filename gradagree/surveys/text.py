"""Numbers and inputs as text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gradagree.reproduce.finding import SurveyFinding
from gradagree.reproduce.literals import run_lengths

MAX_NUMBERS = 12
"""Longer lists are abbreviated to counts of equal numbers."""


def format_value(x: Any, digits: int = 6) -> str:
    """A number or a list of numbers as text; "" for None."""
    if x is None:
        return ""
    if isinstance(x, list | tuple):
        if len(x) > MAX_NUMBERS:
            return " and ".join(f"{count} times {format_value(one, digits)}" for one, count in run_lengths(x))
        return (
            format_value(x[0], digits) if len(x) == 1 else "(" + ", ".join(format_value(one, digits) for one in x) + ")"
        )
    if isinstance(x, str):
        return {"inf": "∞", "-inf": "−∞", "nan": "NaN"}.get(x, x)
    if x == float("inf"):
        return "∞"
    return f"{x:.{digits}g}".replace("-", "−") if isinstance(x, float) else str(x)


def format_exact(example: Mapping[str, Any], digits: int = 6) -> str:
    """The exact value of a finding's example, or the interval between the one-sided limits."""
    if example.get("undefined"):
        return "undefined"
    text = " to ".join(format_value(x, digits) for x in example.get("between", [example["true"]]))
    return text + (", to rounding" if example.get("to_rounding") else "")


def describe_example(example: Mapping[str, Any], digits: int = 6) -> str:
    """The function, the input and target, the dtype and the mode of a finding's example."""
    target = f", target {format_value(example['target'], digits)}" if example["target"] else ""
    if example.get("by") == "target":
        target = f", output {format_value(example['target'], digits)}, by the target"
    if "cotangent" in example:
        target += f", cotangent {format_value(example['cotangent'], digits)}"
    shape = " in the shape " + " × ".join(map(str, example["shape"])) if example.get("shape") else ""
    where = f"{example['function']} at {format_value(example['input'], digits)}{shape}{target}"
    return f"{where}, {example['dtype']} {example['mode']}"


def remarks(finding: SurveyFinding) -> list[str]:
    """That a finding depends on the processor, and its note."""
    return ["depends on the processor"] * finding.depends_on_processor + [finding.note] * bool(finding.note)
