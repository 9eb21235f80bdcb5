"""A failing graph of layers shrinks to the layer at fault, alone."""

from __future__ import annotations

import pytest

import gradagree.functions.graph_check  # noqa: F401 (judges graphs)
from gradagree.adapters import Adapter
from gradagree.cases.file import read_case, write_case
from gradagree.cases.graph_case import GraphCase
from gradagree.checker.judge import Framework, judge
from gradagree.checker.response import handshake, respond
from gradagree.checker.verdict import Verdict
from gradagree.shrink.cut import numbers_in
from gradagree.shrink.search import shrink

torch = pytest.importorskip("torch")
SECONDS = 8.0
WHOLE = (
    "transformer-2x4x6:layer_norm_affine,multi_head_attention,addition@0+2,dense/6,dense/6@3,gating@4+5,"
    "masked_dropout,flatten(rows=True),dense/3:mse:n8:f32:ordinary:s7"
)


class Inside:
    """One mode of torch in this process, with a change of its answers; as `ModeProcess`."""

    mode = "backward"

    def __init__(self, change):
        self.adapter, self.change = Adapter.catalogue["torch"](), change
        self.framework = Framework.of("torch", handshake(self.adapter))

    def answer(self, case, arrays):
        found = respond(self.adapter, case.problem(arrays), self.mode)
        self.change(case, found.tapped)
        return found

    def record(self, case, arrays):
        return self.compare(case, arrays, self.answer(case, arrays))

    def compare(self, case, arrays, answer):
        return judge(case, arrays, self.framework, answer)


def number_of(case, name):
    return next((k for k, node in enumerate(case.nodes, 1) if node.operation.name == name), None)


def wrong_gradient(name, array):
    """The gradient of one array of a layer, too large."""

    def change(case, answer):
        if (k := number_of(case, name)) is not None:
            answer.gradients[f"{k}.{array}"] = answer.gradients[f"{k}.{array}"] * (1 + 2.0**-10)

    return change


@pytest.mark.parametrize(
    ("name", "array", "nodes"),
    [
        ("layer_norm_affine", "w", ["layer_norm_affine", "flatten"]),
        ("multi_head_attention", "u", ["multi_head_attention", "flatten"]),
    ],
)
def test_the_layer_at_fault_is_left_alone(name, array, nodes, tmp_path):
    case, process = GraphCase.parse(WHOLE), Inside(wrong_gradient(name, array))
    record = process.record(case, case.arrays())
    assert (record.verdict, record.function) == (Verdict.DISAGREE, name)
    small = shrink(case, record, process, SECONDS)
    assert small is not None
    assert [node.operation.name for node in small.case.nodes] == nodes
    assert (small.record.function, small.record.entry[:3]) == (name, record.entry[:3])
    assert numbers_in(small.case) < numbers_in(case)
    write_case(small.case, tmp_path / "small.json")
    again = read_case(tmp_path / "small.json")
    assert again == small.case
    assert process.record(again, again.arrays()).verdict is Verdict.DISAGREE


def test_other_inputs_come_from_tables():
    def change(case, answer):
        if (k := number_of(case, "gating")) is not None:
            answer.values[f"c{k}"] = answer.values[f"c{k}"] * (1 + 2.0**-10)

    case, process = GraphCase.parse(WHOLE), Inside(change)
    small = shrink(case, process.record(case, case.arrays()), process, SECONDS)
    assert [node.operation.name for node in small.case.nodes] == ["embedding", "gating", "flatten"]
    assert small.record.verdict is Verdict.VALUE_DIFFERS


def test_a_wrong_loss_is_left_alone():
    def change(case, answer):
        answer.values.update({})
        object.__setattr__(answer, "E", answer.E * (1 + 2.0**-10))

    case, process = GraphCase.parse(WHOLE), Inside(change)
    record = process.record(case, case.arrays())
    assert record.box == "error"
    small = shrink(case, record, process, SECONDS)
    assert [node.operation.name for node in small.case.nodes] == ["flatten"]
    assert small.case.error == case.error
