from __future__ import annotations

import itertools
import json
import math
import re
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from gradagree.checker.verdict import Record, Verdict
from gradagree.report.network import (
    MOST,
    MOST_BOXES,
    MOST_UNITS,
    RADIUS,
    choose_units,
    draw_faulty_operation,
    draw_network,
    frames,
    legend,
    operation_labels,
    tables,
)
from gradagree.report.text import brief
from gradagree.report.training_data import Training, read_training

HOSTILE = ("<img src=x onerror=alert(1)>", "\"'><script>alert(1)</script>", 'it\'s "quoted"', "\x1b[31m\n")
SPEC = "10-4-1:id,tanh:sse:n8:f64:grid:s7"
Read = Callable[..., Training]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """Reads what train.json would hold."""

    def read(found: dict[str, Any]) -> Training:
        (tmp_path / "train.json").write_text(json.dumps(found), encoding="utf-8")
        return read_training(tmp_path)

    return read


def drawn(found: Training) -> ElementTree.Element:
    return ElementTree.fromstring(str(draw_network(found)))


def of_class(root: ElementTree.Element, name: str) -> list[ElementTree.Element]:
    return [one for one in root.iter() if one.get("class", "").split(" ")[0] == name]


def title_of(group: ElementTree.Element) -> str:
    return group.findtext("title") or ""


def test_that_each_box_lies_within_the_one_before_it_and_the_error_box_is_the_innermost(read: Read, train: Any) -> None:
    found = drawn(read(train(widths=(3, 5, 2, 4))))
    boxes = [tuple(float(box.get(key, "")) for key in ("x", "y", "width", "height")) for box in of_class(found, "box")]
    assert len(boxes) == 4
    for (x, y, width, height), (x_in, y_in, width_in, height_in) in itertools.pairwise(boxes):
        assert x < x_in < x_in + width_in < x + width
        assert y < y_in < y_in + height_in < y + height
    assert [box.get("class") for box in of_class(found, "box")] == ["box"] * 3 + ["box innermost"]


@pytest.mark.parametrize("seed", range(3))
def test_that_units_show_the_area_of_p_and_the_width_of_delta_with_their_signs(
    read: Read, train: Any, seed: int
) -> None:
    found = train(seed=seed)
    example = found["network"]["example"]
    groups = iter(drawn(read(found)).findall("g"))
    for p, delta in zip(example["inputs"], example["sensitivities"], strict=True):
        theirs = [next(groups) for _ in p]
        discs, rings = ([of_class(group, kind)[0] for group in theirs] for kind in ("disc", "ring"))
        assert ["negative" in disc.get("class", "") for disc in discs] == [x < 0 for x in p]
        assert ["negative" in ring.get("class", "") for ring in rings] == [x < 0 for x in delta]
        areas, widths = [float(disc.get("r", "")) ** 2 for disc in discs], [ring.get("stroke-width") for ring in rings]
        assert max(range(len(p)), key=areas.__getitem__) == max(range(len(p)), key=lambda i: abs(p[i]))
        assert sorted(range(len(p)), key=lambda i: float(widths[i] or "")) == ranked(delta)
        assert all(brief(x) in title_of(group) for x, group in zip(delta, theirs, strict=True))


def ranked(numbers: list[float]) -> list[int]:
    return sorted(range(len(numbers)), key=lambda i: abs(numbers[i]))


def test_that_a_weight_below_zero_is_a_broken_line_and_the_largest_is_the_widest(read: Read, train: Any) -> None:
    found = train()
    weights = [w for box in found["network"]["weights"] for row in box for w in row]
    lines = of_class(drawn(read(found)), "w")
    assert len(lines) == len(weights)
    assert sum("negative" in line.get("class", "") for line in lines) == sum(w < 0 for w in weights)
    first = found["network"]["weights"][0]
    widest = max(lines[: 3 * 2], key=lambda line: float(line.get("stroke-width", "")))
    largest = max((w for row in first for w in row), key=abs)
    assert ("negative" in widest.get("class", "")) == (largest < 0)


def test_that_of_a_wide_box_the_most_sensitive_units_are_drawn_and_the_others_counted(read: Read, train: Any) -> None:
    found = train(widths=(64, 3, 4))
    delta = found["network"]["example"]["sensitivities"][0]
    most = sorted(sorted(range(64), key=lambda i: -abs(delta[i]))[:MOST_UNITS])
    root = drawn(read(found))
    titles = [title_of(group) for group in root.findall("g")]
    assert [int(number) for number in re.findall(r"operation 1: id, unit (\d+):", "".join(titles))] == most
    assert f"op 1: id, {MOST_UNITS} of 64 units" in "".join(root.itertext())
    assert "of 3 units" not in "".join(root.itertext())


def test_that_the_predicted_and_the_correct_class_are_marked(read: Read, train: Any) -> None:
    found = train()
    assert [word for word in words_of(read(found)) if "correct" in word or "wrong" in word] == [
        "correct class", "✗ predicted, wrong",
    ]  # fmt: skip
    found["network"]["example"]["right"] = 3
    assert [word for word in words_of(read(found)) if "correct" in word] == ["✓ predicted, correct"]


def words_of(found: Training) -> list[str]:
    return [text.text or "" for text in drawn(found).iter("text")]


def test_that_a_decision_is_drawn_even_where_the_error_is_not_sensitive_to_it(read: Read, train: Any) -> None:
    found = train(widths=(2, 40))
    found["network"]["example"]["sensitivities"][1] = [float(i) for i in range(40)]
    outputs = [int(word.partition(":")[0]) for word in words_of(read(found)) if ": o " in word]
    assert outputs == [1, 3, *range(40 - MOST_UNITS + 2, 40)]


@pytest.mark.parametrize("odd", ["nan", "inf", None, 1e308, -1e308, 5e-324, 0])
def test_that_no_number_breaks_the_picture(read: Read, train: Any, odd: Any) -> None:
    found = train()
    example = found["network"]["example"]
    example["inputs"][1][0] = example["sensitivities"][2][1] = found["network"]["weights"][0][1][0] = odd
    root = drawn(read(found))
    numbers = [x for one in root.iter() for key, x in one.items() if key in ("x", "y", "r", "cx", "cy", "x1", "y2")]
    assert all(math.isfinite(float(x)) for x in numbers)
    assert len(of_class(root, "broken")) == (0 if isinstance(odd, float | int) else 2)


@pytest.mark.parametrize("lost", ["weights", "sensitivities", "target", "decision", "right"])
def test_that_missing_data_are_not_drawn(read: Read, train: Any, lost: str) -> None:
    found = train()
    found["network"].pop(lost, None)
    found["network"]["example"].pop(lost, None)
    assert len(of_class(drawn(read(found)), "unit")) == 3 + 2 + 4


@pytest.mark.parametrize("network", [{}, {"example": {}}, {"example": {"inputs": []}}, {"example": None}, None])
def test_that_without_an_example_there_is_no_picture(read: Read, train: Any, network: Any) -> None:
    assert draw_network(read(train() | {"network": network})) == ""


def test_that_a_box_without_weights_hands_on_what_it_activates(read: Read, train: Any) -> None:
    found = train(widths=(3, 4, 4))
    found["network"]["weights"].pop()
    lines = of_class(drawn(read(found)), "w")
    assert [line.get("class") for line in lines].count("w through") == 4


def test_that_of_a_deep_network_the_inner_boxes_are_drawn(read: Read, train: Any) -> None:
    assert len(of_class(drawn(read(train(widths=[2] * 40))), "box")) == MOST_BOXES


def test_that_the_tables_hold_every_number_of_the_picture(read: Read, train: Any) -> None:
    found = train()
    example, made = found["network"]["example"], tables(read(found))
    for table, p, delta in zip(made, example["inputs"], example["sensitivities"], strict=True):
        assert [row[1:3] for row in table.rows] == [(brief(x), brief(y)) for x, y in zip(p, delta, strict=True)]
    assert [row[3:] for row in made[0].rows] == [tuple(map(brief, row)) for row in found["network"]["weights"][0]]
    assert [row[3] for row in made[-1].rows] == [brief(x) for x in example["target"]]


def test_that_a_table_says_what_it_leaves_out(read: Read, train: Any) -> None:
    assert (
        tables(read(train(widths=(200, 50, 4))))[0].left_out == "72 further units and the weights to 34 further units"
    )
    assert tables(read(train()))[0].left_out == ""


def test_that_the_legend_tells_every_kind_of_mark(read: Read, train: Any) -> None:
    samples = "".join(str(sample) for sample, _ in legend())
    kinds = {one.get("class", "") for one in drawn(read(train())).iter() if one.tag.endswith(("circle", "line"))}
    assert kinds <= set(re.findall(r'class="([^"]*)"', samples))


@pytest.mark.parametrize("units", [[1], [1, 1], [12, 1, 12], [4, 6, 8, 4]])
def test_that_units_lie_apart_from_each_other_and_within_their_box(units: list[int]) -> None:
    for frame in frames([tuple(range(n)) for n in units]):
        places = [frame.place(k) for k in range(len(frame.units))]
        assert all(later - earlier > 2 * RADIUS for earlier, later in itertools.pairwise(places))
        assert frame.y + RADIUS < places[0]
        assert places[-1] < frame.y + frame.height - RADIUS


def test_that_what_is_no_number_counts_as_the_largest() -> None:
    assert choose_units([1.0, math.nan, -3.0, 2.0], 2) == (1, 2)
    assert choose_units([1.0, 5.0, -3.0, 2.0], 2, always=[0]) == (0, 1)


def test_that_the_innermost_frame_has_room_for_its_outcomes() -> None:
    (inner,) = frames([(0, 1)])
    assert (inner.x, inner.width) == (34, 170)
    outer, inner = frames([(0,), (0, 1)])
    assert (inner.x - outer.x, outer.x + outer.width - inner.x - inner.width) == (124, 12)


def record(spec: str, box: Any, **changes: Any) -> Record:
    plain: dict[str, Any] = {"case": "1", "spec": spec, "sha256": "", "framework": "f", "version": "1", "mode": "m"}
    found = {"verdict": Verdict.DISAGREE, "function": "tanh", "entry": "dw[0,0]", "box": box, "ratio": 2.0}
    return Record(**(plain | {"dtype": "float64"} | found | changes))


@pytest.mark.parametrize("box", [1, 2, 3, "error"])
def test_that_every_operation_is_drawn_and_the_faulty_one_alone_stands_out(box: Any) -> None:
    drawn = ET.fromstring(str(draw_faulty_operation(record("10-4b-1:id,tanh,relu:sse:n8:f64:grid:s7", box))))
    kinds = [rect.get("class") for rect in drawn.iter("rect")]
    assert kinds == ["faulty" if place == box else "frame" for place in (1, 2, 3, "error")]
    texts = [text.text for text in drawn.iter("text")]
    assert [t for t in texts if t and t.startswith(("op ", "loss"))] == [
        "op 1 · 10 units", "op 2 · 4 units", "op 3 · 1 unit", "loss",
    ]  # fmt: skip
    assert sum(str(text).startswith("✗") for text in texts) == 1


@pytest.mark.parametrize("faulty", [1, 2, 15, 29, 30])
def test_that_of_a_deep_network_the_neighbours_are_drawn_and_the_others_counted(faulty: int) -> None:
    found = operation_labels(record(f"{'-'.join(['2'] * 31)}:id,tanh*29:sse:n8:f64:grid:s7", faulty))
    hidden = sum(int(second.split()[0]) for first, second, _ in found if first == "⋯")
    boxes = [first for first, _, _ in found if first.startswith("op ")]
    assert hidden + len(boxes) == 30
    assert len(boxes) < MOST
    assert [first.split(" ·")[0] for first, _, loud in found if loud] == [f"op {faulty}"]


@pytest.mark.parametrize("spec", ["convention:relu: p = 0", "", "no case", "1-1:id:sse"])
def test_that_what_is_no_case_has_no_picture(spec: str) -> None:
    assert draw_faulty_operation(record(spec, 1)) is None
    assert draw_faulty_operation(record("2-2:id:sse:n1:f64:grid:s1", None)) is None


def test_that_what_was_judged_end_to_end_accuses_no_box() -> None:
    assert draw_faulty_operation(record("2-2:id:sse:n1:f64:grid:s1", 1, verdict=Verdict.SUSPECT)) is None
    assert draw_faulty_operation(record("2-2:id:sse:n1:f64:grid:s1", 1)) is not None


@pytest.mark.parametrize("name", HOSTILE)
def test_that_hostile_names_stay_text_in_the_picture(name: str) -> None:
    drawn = draw_faulty_operation(record(f"2-2:{name}:sse:n1:f64:grid:s1", 1))
    assert drawn is None or {e.tag for e in ET.fromstring(str(drawn)).iter()} == {"svg", "rect", "text"}
