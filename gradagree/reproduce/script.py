"""The record of a case as a script that needs only NumPy and the framework, and ends with 1 while the fault exists."""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from gradagree.adapters import example_weight
from gradagree.adapters.loss_operands import loss_parameters
from gradagree.adapters.modes import Mode, ScriptText
from gradagree.adapters.problem import tap_zeros
from gradagree.cases.case import problem_of
from gradagree.checker.verdict import Record, Verdict, plain, split_entry
from gradagree.errors import UsageError
from gradagree.reference.graph import INPUTS, TARGETS, Kind, Node, operand_name, own_parameter
from gradagree.report.text import format_exact, visible
from gradagree.reproduce.literals import array_literal, number_literal
from gradagree.reproduce.source import SourceWriter

FAULTS = {
    Verdict.CRASHED: "raises an error", Verdict.TIMEOUT: "does not end", Verdict.INACCURATE: "loses digits",
    Verdict.VALUE_DIFFERS: "is that of another function", Verdict.NONFINITE: "is not finite",
}  # fmt: skip
SUBPROCESS = """\
if sys.argv[1:] != ["alone"]:  # what follows may end its process, or never end
    try:
        ended = subprocess.run([sys.executable, __file__, "alone"], timeout={limit}).returncode
    except subprocess.TimeoutExpired:
        ended = "no answer within {limit} seconds"
    print("ended with", ended)
    sys.exit(1 if ended else 0)"""
SUBPROCESS_LIMIT = 60
"""Seconds that a script waits for code that may hang, compilers included."""
COMPARISON = """\
right = observed == expected or (np.isnan(observed) and np.isnan(expected))
right = right or (np.isfinite(observed) and abs(observed - expected) <= tolerance)
distance = f"the distance is {abs(observed - expected):.3g}, the tolerance {tolerance:.3g}"
print("expected", repr(expected), "observed", repr(observed))
print("right:" if right else "wrong:", distance)
sys.exit(0 if right else 1)"""
ON_ERROR = """\
except Exception as wrong:
    print("raised", type(wrong).__name__ + ":", wrong)
    sys.exit(1)"""


def headline(record: Record) -> str:
    """``torch 2.13.0+cpu backward: the gradient of hardsigmoid`` and the kind of error."""
    fault = "ends its process" if process_died(record) else FAULTS.get(record.verdict, "is wrong")
    of = f"of {visible(record.function)} " if record.function else ""
    noun = "the value" if split_entry(record.entry)[0] in ("c", "E") else "the gradient"
    return f"{visible(record.framework)} {visible(record.version)} {visible(record.mode)}: {noun} {of}{fault}"


def process_died(record: Record) -> bool:
    return record.verdict is Verdict.CRASHED and not record.reason.startswith(("raised ", "its answer "))


@dataclass(frozen=True)
class Script:
    """Formats the script of a case.

    In it, ``error(*leaves, t)`` returns E and the value of each node. Its leaves are the inputs p1, the parameters, and
    zeros tap1, tap2, ... that are added to the values p2, p3, ... of the nodes.
    """

    case: Any
    record: Record
    mode: Mode
    shared: ScriptText

    def format(self) -> str:
        source = SourceWriter(self.record.framework)
        network = "\n".join(self.network(source))
        alone = process_died(self.record) or self.record.verdict is Verdict.TIMEOUT
        modules = ["import sys", "import numpy as np", f"import {self.record.framework}", *source.imports]
        imports = dict.fromkeys(["import subprocess"] * alone + modules)
        blocks = [
            self.docstring(), "\n".join(imports), *[SUBPROCESS.format(limit=SUBPROCESS_LIMIT)] * alone,
            self.shared.settings, *(f"{name} = {value}" for name, value in source.constants.items()),
            *(f"\n{function}\n" for function in reversed(source.functions.values())), f"\n{network}\n",
            "\n".join(self.numbers()), *self.ending(),
        ]  # fmt: skip
        return re.sub(r"\n{4,}", "\n\n\n", "\n\n".join(blocks)) + "\n"

    def docstring(self) -> str:
        record, lines = self.record, [f"{headline(self.record)}.", ""]
        if record.expected is not None:
            radius = plain(record.expected_radius)
            proved = "" if math.isnan(radius) else f" (proved within {radius:.1e})"
            lines.append(f"{visible(record.entry)}: expected {format_exact(record.expected, record.dtype)}{proved},")
            lines.append(f"observed {format_exact(record.observed, record.dtype)}.")
        lines += [visible(record.reason)] * bool(record.reason)
        lines.append(f"Needs numpy and {record.framework}. Ends with 1 while the fault exists, with 0 when it is gone.")
        text = "\n".join(lines).replace("\\", "\\\\").replace('"', "'")
        return f'"""{text}\n"""'

    @functools.cached_property
    def nodes(self) -> list[Node]:
        """The nodes without the loss."""
        return self.case.nodes(self.case.arrays())[:-1]

    @functools.cached_property
    def variables(self) -> dict[str, str]:
        """The variable of each named array that is a leaf; that of a node's value is its tap."""
        by_node = {
            array: f"{name.replace('.', '_')}{node.name}"
            for node in self.nodes
            for name, array in node.parameters.items()
        }
        own = {name: by_node[name] for name in self.case.parameter_names}
        taps = {node.output: f"tap{node.name}" for node in self.nodes}
        of_loss = {operand_name(name): f"loss_{name}" for name in self.case.error.parameter_names}
        targets = {TARGETS: "tap_t"} if split_entry(self.record.entry)[0] == "dt" else {}
        return {INPUTS: "p1", **own, **taps, **of_loss, **targets}

    def network(self, source: SourceWriter) -> Iterator[str]:
        """The forward pass, node by node."""
        yield f"def error({', '.join(self.variables.values())}, t):"
        yield '    """E, and the value of each node."""'
        leaf = self.variables
        for k, (node, activation) in enumerate(zip(self.nodes, self.case.activations, strict=True), 1):
            own = "".join(f", {leaf[node.parameters[own_parameter(name)]]}" for name in activation.parameter_names)
            a = f"p{k}" if str(activation) == "id" else f"{source.name_for(activation)}(p{k}{own})"
            w = f" @ {leaf[node.parameters['w']]}" if "w" in node.parameters else ""
            b = f" + {leaf[node.parameters['b']]}" if "b" in node.parameters else ""
            yield f"    p{k + 1} = {a}{w}{b} + {leaf[node.output]}"
        values = ", ".join(f"p{k + 1}" for k in range(1, self.case.depth + 1))
        weight = "" if self.case.loss_weight == 1 else f"{self.case.loss_weight} * "
        t = "t + tap_t" if TARGETS in leaf else "t"
        own = "".join(f", {name}={leaf[operand_name(name)]}" for name in self.case.error.parameter_names)
        yield f"    return {weight}{source.name_for(self.case.error)}(p{self.case.depth + 1}, {t}{own}), [{values}]"

    def numbers(self) -> Iterator[str]:
        """The arrays of the leaves and the targets."""
        arrays = self.case.arrays()
        problem = problem_of(self.case, arrays)
        yield f"p1 = {array_literal(arrays.inputs)}"
        for name, array in problem.parameters.items():
            yield f"{self.variables[name]} = {array_literal(array)}"
        for node, zeros in zip(self.nodes, tap_zeros(problem), strict=True):
            yield f"{self.variables[node.output]} = np.zeros({zeros.shape})"
        for name, array in loss_parameters(self.case.error).items():
            yield f"{self.variables[operand_name(name)]} = {array_literal(array)}"
        if TARGETS in self.variables:
            yield f"{self.variables[TARGETS]} = np.zeros({arrays.targets.shape})"
        yield f"target = {array_literal(arrays.targets)}"
        yield f"arrays = [{', '.join(self.variables.values())}]"

    def ending(self) -> Iterator[str]:
        """The call of the mode, and the comparison of the entry; without an expected number, whether it raises."""
        call = self.call()
        if self.record.expected is None or self.record.entry is None:
            yield "try:\n" + "\n".join(f"    {line}" if line else "" for line in call.split("\n"))
            yield ON_ERROR
            yield 'print("no error")'
            return
        yield call
        yield "\n".join([
            f"expected = {number_literal(self.record.expected)}  # {self.record.expected}",
            f"tolerance = {self.tolerance()}",
            f"observed = float({self.observed()})", COMPARISON,
        ])  # fmt: skip

    def call(self) -> str:
        """The gradient in the framework's mode."""
        case, shared = self.case, self.shared
        scale = example_weight(case.error, case.batch) if self.mode.per_example else 1.0
        per_example = [name in (*case.value_names, TARGETS) for name in self.variables]
        lines = self.mode.source.replace("{scale}", "" if scale == 1 else f" * {scale!r}")
        dtype = "" if case.error.targets == "classes" else shared.target_dtype
        return "\n".join([
            shared.leaves.replace("{dtype}", case.dtype),
            shared.target.replace("{to}", dtype.replace("{dtype}", case.dtype)),
            lines.replace("{each}", repr(per_example)),
        ])  # fmt: skip

    def tolerance(self) -> str:
        """The error bound of a correct program; for lost digits, half of the observed error."""
        if self.record.verdict is Verdict.INACCURATE:
            return repr(abs(plain(self.record.observed) - plain(self.record.expected)) / 2)
        return number_literal(self.record.tolerance)

    def observed(self) -> str:
        """The entry of the record, in the results of the mode."""
        part, position = split_entry(self.record.entry)
        if part == "E'":
            raise UsageError("this case has so many weights that only directions were compared; choose a smaller one")
        if part == "E":
            return f"E{self.shared.detached}"
        index = str(list(position)) if position else ""
        assert self.record.box is not None
        quantity = self.case.quantity(self.record.box, part)
        if quantity.kind is Kind.VALUE:
            return f"values[{int(quantity.node) - 1}]{self.shared.detached}{index}"
        leaf = list(self.variables).index(quantity.array)
        return f"gradients[{leaf}]{index}"
