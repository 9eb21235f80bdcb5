"""A finding as a program that stands alone: it needs the framework, and NumPy at most, and ends with an assertion."""

from __future__ import annotations

from typing import Any

from gradagree.adapters import Adapter
from gradagree.adapters.adapter import library_frameworks
from gradagree.adapters.modes import ScriptText
from gradagree.adapters.pointwise import is_rows
from gradagree.reference import Activation, ContractError, ErrorFunction
from gradagree.reproduce.finding import SurveyFinding, copies, parse_position
from gradagree.reproduce.source import inline, run_lengths

SHORT = 12


def reproducer(finding: SurveyFinding, function: Activation | ErrorFunction) -> str:
    """The program."""
    example = finding.example
    names = dict.fromkeys([framework_of(finding.framework), finding.framework])
    lines = [*(f"import {name}" for name in names), *filter(None, [script_text(finding.framework).setup])]
    lines.append(inline(function, finding.framework, script_text(finding.framework).parameter))
    if "window" in example:
        lines += evaluate_both_positions(finding, function)
    else:
        lines += operands(finding, function, copies(example["input"]))
        lines += evaluate(finding, function, example["mode"], "given")
        if "other_mode" in example:
            lines += evaluate(finding, function, example["other_mode"], "other")
    return "\n".join([*lines, *assertion(finding)]) + "\n"


def number_literal(x: Any) -> str:
    return f"float('{x}')" if isinstance(x, str) else repr(x)


def list_literal(numbers: Any) -> str:
    """A list of numbers as Python has it; long ones by how often each number follows upon itself."""
    if len(numbers) <= SHORT:
        return f"[{', '.join(number_literal(x) for x in numbers)}]"
    return "(" + " + ".join(f"[{number_literal(x)}] * {count}" for x, count in run_lengths(numbers)) + ")"


def operands(finding: SurveyFinding, function: Any, times: int) -> list[str]:
    """x, t and the direction, repeated `times` times."""
    example, text = finding.example, script_text(finding.framework)
    row = list_literal(example["input"])
    flat = isinstance(function, Activation) and not is_rows(function)
    values = f"{row} * {times}" if flat else f"[{row}] * {times}"
    make = text.tensor
    lines = [f"x = {make.format(values, example['dtype'])}{text.requires_gradient}"]
    if example["target"] is None:
        lines.append("t = ()")
    elif getattr(function, "targets", "") == "classes":
        right = int(example["target"][0])
        lines.append(f"t = ({make.format(f'[{right}] * {times}', 'int64')},)")
    else:
        rows = make.format(f"[{list_literal(example['target'])}] * {times}", example["dtype"])
        lines.append(f"t = ({rows},)")
    return lines


def index(finding: SurveyFinding, function: Any) -> tuple[str, str, int | None, str]:
    """Source of the output k and the input j, the input that the tangent is along, and the index of the result."""
    entry = finding.example["entry"]
    if not is_rows(function):
        return "", "", None, "".join(f"[{k}]" for k in [0, *entry])
    k, j = (0, entry[0]) if finding.quantity == "second" else (entry[0] if entry else 0, None)
    vector = isinstance(function, Activation)
    picked = f"[..., {k}]" if vector and finding.quantity != "value" else ""
    along = entry[-1] if finding.quantity == "slope" else j
    place = [0, *entry] if finding.quantity == "value" else [0, entry[-1]]
    return picked, f"[..., {j}]" if j is not None else "", along, "".join(f"[{one}]" for one in place)


def evaluate(finding: SurveyFinding, function: Any, mode: str, name: str) -> list[str]:
    """The result in one mode, bound to a name."""
    text = script_text(finding.framework)
    k, j, along, place = index(finding, function)
    ways = Adapter.catalogue[framework_of(finding.framework)].survey_modes()
    source = ways[finding.quantity][mode].source
    lines = directions(source, along, k, text)
    if mode == "forward" and is_rows(function) and isinstance(function, Activation):
        place = f"[0][{finding.example['entry'][0]}]"
    elif mode == "forward" and is_rows(function):
        place = "[0].sum()"
    lines += source.replace("{k}", k).replace("{j}", j).split("\n")
    return [*lines, f"{name} = {text.scalar.format(f'found{place}')}"]


def directions(source: str, along: int | None, k: str, text: ScriptText) -> list[str]:
    """The directions that a source uses."""
    lines: list[str] = []
    if "along" in source:
        lines.append(text.ones if along is None else text.unit.format(along))
    if "out" in source and text.output_ones:
        lines.append(text.output_unit.format(k) if k else text.output_ones)
    return lines


def framework_of(library: str) -> str:
    return library_frameworks().get(library, library)


def script_text(library: str) -> ScriptText:
    """What reproducers of a framework share. Raises ContractError for an adapter without source text."""
    text = Adapter.catalogue[framework_of(library)].script
    if text is None:
        raise ContractError(f"{library}: its adapter gives no source text for programs")
    return text


def evaluate_both_positions(finding: SurveyFinding, function: Any) -> list[str]:
    """The results at both positions."""
    lines: list[str] = []
    for name, at in (("other", "beside"), ("given", "window")):
        entry, length = parse_position(finding.example[at])
        lines += [*operands(finding, function, length), *evaluate(finding, function, finding.example["mode"], name)]
        lines[-1] = lines[-1].replace("found[0]", f"found[{entry}]", 1)
    return lines


def assertion(finding: SurveyFinding) -> list[str]:
    """What is printed, and what must hold."""
    example = finding.example
    given, true = example["given"], example["true"]
    if "window" in example:
        return [f"print({example['window']!r}, given, {example['beside']!r}, other)",
                "assert given != other and (given == given or other == other)"]  # fmt: skip
    if "other_mode" in example:
        told = f"print({example['mode']!r}, given, {example['other_mode']!r}, other, 'true', {number_literal(true)})"
        numbers = [x for x in (given, example["other_given"]) if not isinstance(x, str)]
        gap = repr(abs(numbers[0] - numbers[1]) / 2) if len(numbers) == 2 else "1e308"
        return [told, f"assert not abs(given - other) <= {gap}"]
    told = f"print('given', given, 'true', {number_literal(true)})"
    if isinstance(true, str):
        return [told, "assert given == given" if true == "nan" else "assert given != given"]
    if isinstance(given, str):
        return [told, f"assert not abs(given - {number_literal(true)}) < float('inf')"]
    return [told, f"assert abs(given - {number_literal(true)}) > {abs(given - true) / 2!r}"]
