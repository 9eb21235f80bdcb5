"""The stand-alone script of a graph of layers."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from gradagree.adapters.graph_problem import use_name
from gradagree.adapters.graph_programs import taps_of
from gradagree.checker.verdict import split_entry
from gradagree.errors import UsageError
from gradagree.reference.architecture import BOOLEANS, INTEGERS, input_names
from gradagree.reference.graph import INPUTS, LOSS_NODE, TARGETS, value_name
from gradagree.reproduce.literals import array_literal
from gradagree.reproduce.script import Script
from gradagree.reproduce.source import SourceWriter


@dataclass(frozen=True)
class GraphScript(Script):
    """Formats the script of a graph.

    In it, ``error(*leaves, t)`` returns E and the value of each tap. Its leaves are the input v0, the parameters, and
    zeros tap1, tap2, ... that are added to the values v1, v2, ... of the nodes, and to every use of one used twice.
    """

    @functools.cached_property
    def taps(self) -> dict[str, str]:
        """The variable of each tap, by the name of the array."""
        short = {
            name: name.replace(INPUTS, "c0").replace(">", "_").replace(".", "_") for name in taps_of(self.graph.nodes)
        }
        return {name: f"tap{one.removeprefix('c')}" for name, one in short.items()}

    @property
    def graph(self) -> Any:
        return self.case

    @functools.cached_property
    def variables(self) -> dict[str, str]:
        return {INPUTS: "v0", **{name: variable(name) for name in self.graph.parameter_names}, **self.taps}

    def network(self, source: SourceWriter) -> Iterator[str]:
        """The forward pass, node by node."""
        yield f"def error({', '.join(self.variables.values())}, t):"
        yield '    """E, and the value of each node and of each use of one used twice."""'
        shown = []
        for k, node in enumerate(self.graph.nodes, 1):
            operands = []
            for place, i in enumerate(node.inputs):
                name = use_name(i, k, place)
                if name in self.taps:
                    used = f"u{self.taps[name].removeprefix('tap')}"
                    yield f"    {used} = v{i} + {self.taps[name]}"
                    shown.append(used)
                operands.append(used if name in self.taps else f"v{i}")
            own = [variable(name) for name in self.graph.array_shapes if name.startswith(f"{k}.")]
            call = f"{source.name_for(node.operation)}({', '.join([*operands, *own])})"
            yield f"    v{k} = {call} + {self.taps[value_name(k)]}"
            shown.append(f"v{k}")
        weight = "" if self.graph.loss_weight == 1 else f"{self.graph.loss_weight} * "
        loss = f"{source.name_for(self.graph.error)}(v{self.graph.depth}, t)"
        yield f"    return {weight}{loss}, [{', '.join(shown)}]"

    def numbers(self) -> Iterator[str]:
        """The arrays of the leaves, the constants and the targets."""
        held, graph = self.graph.arrays().by_name, self.graph
        yield f"v0 = {array_literal(held[INPUTS])}"
        for name in graph.parameter_names:
            yield f"{variable(name)} = {array_literal(held[name])}"
        for name, kind in graph.array_kinds.items():
            if name not in graph.parameter_names:
                dtype = {INTEGERS: "int64", BOOLEANS: "bool"}.get(kind, graph.dtype)
                yield f"{variable(name)} = {self.shared.tensor.format(held[name].tolist(), dtype)}"
        for name, tap in self.taps.items():
            yield f"{tap} = np.zeros({graph.value_shapes[name.partition('>')[0]]})"
        yield f"target = {array_literal(np.asarray(held[TARGETS]))}"
        yield f"arrays = [{', '.join(self.variables.values())}]"

    def observed(self) -> str:
        """The entry of the record, in the results of the mode."""
        label, position = split_entry(self.record.entry)
        if label == "E":
            return f"E{self.shared.detached}"
        index = str(list(position)) if position else ""
        box = self.record.box
        if label == "c":
            return f"values[{list(self.taps).index(value_name(int(str(box))))}]{self.shared.detached}{index}"
        return f"gradients[{list(self.variables).index(self.array_of(label))}]{index}"

    def array_of(self, label: str) -> str:
        """The name of the array whose derivative a label names. Raises UsageError for the sum of several."""
        box = self.record.box
        if label.startswith("delta_"):
            node = None if box == LOSS_NODE else self.graph.nodes[int(str(box)) - 1]
            place = 0 if node is None else input_names(node).index(label.removeprefix("delta_"))
            value = self.graph.depth if node is None else node.inputs[place]
            name = use_name(value, 0 if node is None else int(str(box)), place)
            return name if name in self.taps else value_name(value)
        if label.startswith("d"):
            return f"{box}.{label.removeprefix('d')}"
        raise UsageError("the cotangents of several nodes were added wrongly; there is no script of that")


def variable(name: str) -> str:
    """``w3`` for the array ``3.w``."""
    number, _, own = name.partition(".")
    return f"{own}_{number}"
