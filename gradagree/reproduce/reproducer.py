"""A survey's finding as a stand-alone program, which needs the framework and ends with an assertion."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from gradagree.adapters import Adapter
from gradagree.adapters.adapter import framework_of
from gradagree.adapters.modes import ScriptText
from gradagree.adapters.pointwise import divides_by_batch, is_rows, without_reduction
from gradagree.reference import Activation, ErrorFunction
from gradagree.reproduce.finding import SurveyFinding, copies, parse_position
from gradagree.reproduce.literals import list_literal, number_literal
from gradagree.reproduce.source import SourceWriter, script_text


def format_reproducer(finding: SurveyFinding, function: Activation | ErrorFunction) -> str:
    """The program. Raises UsageError if there is no source for it."""
    example, text = finding.example, script_text(finding.framework)
    if "call" in example:
        return format_definition(finding)
    source = SourceWriter(finding.framework, text.parameter)
    weighted, by = "cotangent" in example, example.get("by", "")
    source.arguments = (by,) if "labels" in example else ()
    source.write(without_reduction(function), "unweighted" if weighted else "loss" if by else "f")
    modules = dict.fromkeys([framework_of(finding.framework), finding.framework])
    lines = [
        *(f"import {name}" for name in modules),
        *filter(None, [text.setup]),
        *source.lines(),
        *(WEIGHTED if weighted else []),
        *([f"def f(x, *t): return loss({'*t' if 'labels' in example else 't[0]'}, x)"] if by else []),
    ]
    if "window" in example:
        for name, position in (("other", example["beside"]), ("given", example["window"])):
            entry, length = parse_position(position)
            lines += [*operands(finding, function, length), *evaluate(finding, function, example["mode"], name)]
            lines[-1] = lines[-1].replace("found[0]", f"found[{entry}]", 1)
    else:
        lines += operands(finding, function, 1 if divides_by_batch(function) else copies(example["input"]))
        lines += evaluate(finding, function, example["mode"], "given")
        if "other_mode" in example:
            lines += evaluate(finding, function, example["other_mode"], "other")
    return "\n".join([*lines, *assertion(example, finding.kind)]) + "\n"


def format_definition(finding: SurveyFinding) -> str:
    """The program of a finding about a public function at its own defaults."""
    example, text = finding.example, script_text(finding.framework)
    modules = dict.fromkeys([framework_of(finding.framework), finding.calls.split(", ")[0].rpartition(".")[0]])
    lines = [*(f"import {name}" for name in modules), *filter(None, [text.setup])]
    x = np.reshape([float(one) for one in example["input"]], example["shape"] or [1])
    lines.append(f"x = {text.tensor.format(x.tolist(), 'float64')}")
    if example["target"] is not None:
        t = np.reshape(example["target"], example["target_shape"])
        classes = getattr(ErrorFunction.catalogue.get(finding.function), "targets", "") == "classes"
        values, dtype = (t.astype(int), "int64") if classes else (t, "float64")
        lines.append(f"t = {text.tensor.format(values.tolist(), dtype)}")
    place = "".join(f"[{k}]" for k in (example["entry"] if example["shape"] else [0]))
    lines += [f"found = {example['call']}", f"given = {text.scalar.format(f'found{place}')}"]
    return "\n".join([*lines, *assertion(example, finding.kind)]) + "\n"


CLASS_OF_SIGNS = "lost at subnormal input"
WEIGHTED = [
    "", "", "def f(x, *t):", '    """The function times the cotangent."""',
    "    y, c = unweighted(x, *t[:-1]), t[-1]",
    "    return y * c.reshape((*c.shape, *[1] * (y.ndim - c.ndim)) if y.ndim else ())", "", "",
]  # fmt: skip


def operands(finding: SurveyFinding, function: Any, times: int) -> list[str]:
    """The input x and the targets t, repeated `times` times."""
    example, text = finding.example, script_text(finding.framework)
    row = list_literal(example["input"])
    flat = isinstance(function, Activation) and not is_rows(function)
    values = f"{row} * {times}" if flat else f"[{row}] * {times}"
    lines = [f"x = {text.tensor.format(values, example['dtype'])}{text.requires_gradient}"]
    constants = []
    if example["target"] is not None and getattr(function, "targets", "") == "classes":
        constants.append(text.tensor.format(f"[{int(example['target'][0])}] * {times}", "int64"))
    elif example["target"] is not None:
        constants.append(text.tensor.format(f"[{list_literal(example['target'])}] * {times}", example["dtype"]))
    if "labels" in example:
        constants.append(text.tensor.format(f"[{list_literal(example['labels'])}] * {times}", example["dtype"]))
    if "cotangent" in example:
        by_row = isinstance(function, Activation) and is_rows(function)
        numbers = list_literal(example["cotangent"])
        values = f"[{numbers}] * {times}" if by_row else f"{numbers} * {times}"
        constants.append(text.tensor.format(values, example["dtype"]))
    return [*lines, f"t = ({', '.join(constants)}{',' if constants else ''})"]


def index(finding: SurveyFinding, function: Any) -> tuple[str, str, int | None, str]:
    """Source of the output k and the input j, the input that the tangent is along, and the index of the result."""
    entry = finding.example["entry"]
    if not is_rows(function):
        return "", "", None, "".join(f"[{k}]" for k in [0, *entry])
    k, j = (0, entry[0]) if finding.quantity == "second" else (entry[0] if entry else 0, None)
    has_outputs = isinstance(function, Activation) and "cotangent" not in finding.example
    output = f"[..., {k}]" if has_outputs and finding.quantity != "value" else ""
    along = entry[-1] if finding.quantity == "slope" else j
    place = [0, *entry] if finding.quantity == "value" else [0, entry[-1]]
    return output, f"[..., {j}]" if j is not None else "", along, "".join(f"[{i}]" for i in place)


def evaluate(finding: SurveyFinding, function: Any, mode: str, name: str) -> list[str]:
    """The result in one mode, bound to a name."""
    text = script_text(finding.framework)
    k, j, along, place = index(finding, function)
    source = Adapter.catalogue[framework_of(finding.framework)].survey_modes()[finding.quantity][mode].source
    if "out" not in source and "{k}" not in source and finding.quantity != "value" and is_rows(function):
        first = 0 if finding.quantity == "second" else finding.example["entry"][0]
        place = f"[0][{first}]" if isinstance(function, Activation) else "[0].sum()"
    lines = directions(source, along, finding.example["entry"], k, text)
    lines += source.replace("{k}", k).replace("{j}", j).split("\n")
    return [*lines, f"{name} = {text.scalar.format(f'found{place}')}"]


def directions(source: str, along: int | None, entry: Sequence[int], k: str, text: ScriptText) -> list[str]:
    """The directions that a source uses; ``across`` is the second one of forward over forward mode."""
    lines: list[str] = []
    if "along" in source:
        lines.append(text.ones if along is None else text.unit.format(along))
    if "across" in source:
        second = text.ones if along is None else text.unit.format(entry[-1])
        lines.append(second.replace("along", "across"))
    if "out" in source and text.output_ones:
        lines.append(text.output_unit.format(k) if k else text.output_ones)
    return lines


def assertion(example: dict[str, Any], kind: str) -> list[str]:
    """Print the numbers, and assert what holds while the fault exists."""
    given, true = example["given"], example["true"]
    if "window" in example:
        return [f"print({example['window']!r}, given, {example['beside']!r}, other)",
                "assert given != other and (given == given or other == other)"]  # fmt: skip
    if "other_mode" in example:
        numbers = [x for x in (given, example["other_given"]) if not isinstance(x, str)]
        gap = repr(abs(numbers[0] - numbers[1]) / 2) if len(numbers) == 2 else "1e308"
        return [f"print({example['mode']!r}, given, {example['other_mode']!r}, other, 'true', {number_literal(true)})",
                f"assert not abs(given - other) <= {gap}"]  # fmt: skip
    shown = f"print('given', given, 'true', {number_literal(true)})"
    if isinstance(true, str):
        return [shown, "assert given == given" if true == "nan" else "assert given != given"]
    if kind == CLASS_OF_SIGNS and given == 0:
        return [shown, f"assert str(given)[0] {'!=' if true < 0 else '=='} '-'"]
    if isinstance(given, str):
        return [shown, f"assert not abs(given - {number_literal(true)}) < float('inf')"]
    return [shown, f"assert abs(given - {number_literal(true)}) > {abs(given - true) / 2!r}"]
