"""The picture of a graph of layers: nodes, connections, and the faulty node."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree as ET

import pytest

from gradagree.cases.text import split_case
from gradagree.checker.verdict import Record, Verdict
from gradagree.report.graph_picture import MOST_NODES, draw_graph, graph_nodes, lanes_of, shown_numbers
from gradagree.report.network import draw_faulty_operation

SPEC = "residual-2x6:dense/6,tanh,addition@0+2,dense/3:mse:n2:f32:ordinary:s1"


def record(spec: str, box: Any, verdict: Verdict = Verdict.DISAGREE) -> Record:
    return Record(
        case="1", spec=spec, sha256="", framework="f", version="1", mode="m", dtype="float32", verdict=verdict,
        function="tanh", entry="dw[0,0]", box=box, ratio=2.0,
    )  # fmt: skip


def parsed(spec: str, box: Any) -> ET.Element:
    return ET.fromstring(str(draw_faulty_operation(record(spec, box))))


@pytest.mark.parametrize("box", [1, 2, 3, 4, "error"])
def test_that_every_node_is_drawn_and_the_faulty_one_alone_stands_out(box: Any) -> None:
    drawn = parsed(SPEC, box)
    kinds = [rect.get("class") for rect in drawn.iter("rect")]
    assert kinds == ["frame", *("faulty" if place == box else "frame" for place in (1, 2, 3, 4, "error"))]
    names = [str(text.text) for text in drawn.iter("text") if text.get("class") != "small"]
    assert [name.removeprefix("✗ ") for name in names] == ["input", "1 dense", "2 tanh", "3 addition", "4 dense", "mse"]
    assert sum(name.startswith("✗") for name in names) == 1


@pytest.mark.parametrize("box", [1, 2])
def test_that_a_name_leaves_room_for_the_sizes_beside_it(box: int) -> None:
    layer = "convolution(axes=1,padding=1,padding_mode=circular,bias=False)"
    drawn = parsed(f"convolutional-2x4x8:{layer}/6x3,{layer}/128x3,flatten:sse:n2:f16:ordinary:s1", box)
    texts = [str(text.text) for text in drawn.iter("text")]
    for k, detail in ((1, "6x3"), (2, "128x3")):
        name = texts[texts.index(detail) - 1]
        assert len(name) <= (20 if k == box else 22)
        assert name.endswith(("…", "..."))


def test_that_a_connection_past_other_nodes_is_drawn_and_described() -> None:
    drawn = parsed(SPEC, 3)
    paths = [(path.get("class"), str(path.get("d"))) for path in drawn.iter("path")]
    assert len(paths) == 6
    assert sum("H" in d for _, d in paths) == 1
    assert [kind for kind, _ in paths].count("edge faulty-edge") == 2
    assert "3 addition of 0 and 2 (faulty)" in str(drawn.get("aria-label"))


def test_that_connections_side_by_side_have_lanes_of_their_own() -> None:
    assert lanes_of([(0, 1), (0, 3), (1, 4), (3, 6)], 1) == [0, 1, 2, 1]


@pytest.mark.parametrize("faulty", [1, 20, 41])
def test_that_of_a_large_graph_the_neighbours_are_drawn_and_the_others_counted(faulty: int) -> None:
    nodes = ",".join(["dense/6", *["tanh"] * 39, "addition@1+40"])
    spec = f"residual-2x6:{nodes}:mse:n2:f32:ordinary:s1"
    shown = shown_numbers(graph_nodes(split_case(spec)), faulty)
    assert {0, faulty, 42} <= set(shown)
    assert len(shown) <= MOST_NODES
    drawn = parsed(spec, faulty)
    hidden = [str(t.text) for t in drawn.iter("text") if str(t.text).startswith("⋯")]
    assert sum(int(text.split()[1]) for text in hidden) + len(shown) == 43


@pytest.mark.parametrize(
    "spec", [SPEC.replace("@0+2", "@0+9"), SPEC.replace("dense/6", "<img src=x>"), SPEC.replace("tanh", "")]
)
def test_that_a_text_that_cannot_be_read_has_no_picture(spec: str) -> None:
    assert draw_graph(split_case(spec), 1) is None


def test_that_a_record_without_a_faulty_node_has_no_picture() -> None:
    for box in (None, 0, 6):
        assert draw_faulty_operation(record(SPEC, box)) is None
    assert draw_faulty_operation(record(SPEC, 1, Verdict.SUSPECT)) is None
