from __future__ import annotations

import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gradagree.checker.verdict import Record, Verdict
from gradagree.report.html import policy
from gradagree.report.text import visible
from gradagree.report.training import write_training

Write = Callable[..., str]


@pytest.fixture
def written(tmp_path: Path, run_folder: Callable[..., Path], meta: dict[str, Any]) -> Write:
    """The page of a training, made of what its three files hold."""

    def write(found: Any, records: list[Record] | None = None, meta: dict[str, Any] = meta) -> str:
        folder = run_folder(tmp_path / "run", records or [], meta)
        (folder / "train.json").write_text(json.dumps(found), encoding="utf-8")
        path = write_training(folder)
        assert path == folder / "train.html"
        return path.read_text(encoding="utf-8")

    return write


class Text(HTMLParser):
    """The words of a page and its tags."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.data: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.data.append(data)


def words(page: str) -> str:
    return " ".join(" ".join(Text(page).data).split())


def answer(page: str) -> str:
    return words(re.findall(r"<h1>(.*?)</h1>", page, re.DOTALL)[0])


def rows(page: str, heading: str) -> list[list[str]]:
    """The cells of the first table of a section."""
    section = page[page.index(f'id="{heading}"') :]
    body = re.findall(r"<tbody>(.*?)</tbody>", section, re.DOTALL)[0]
    return [[words(cell) for cell in re.findall(r"<t[hd].*?</t[hd]>", row, re.DOTALL)] for row in body.split("</tr>")]


def test_that_each_training_run_has_its_stop_reason(written: Write, train: Any) -> None:
    found = train(rounds=7)
    found["stopped"]["jax"] = "the error no longer falls: not for 10 rounds"
    table = rows(written(found), "ends")
    assert table[2][1] == "7"
    assert table[2][2] == f"{found['curves']['jax']['error'][-1]:.9g}"
    assert [row[-1] for row in table[:3]] == ["out of rounds", "out of rounds", found["stopped"]["jax"]]


def test_that_checkpoints_with_the_same_verdicts_share_a_row_with_the_largest_ratio(
    written: Write, train: Any, make: Any
) -> None:
    records = make(cases=10, columns=[("torch", "2", "backward")])
    page = written(train(records), records)
    largest = max(float(record.ratio) for record in records)
    assert rows(page, "verdicts")[0] == ["steps 0 to 9,500 20 checkpoints", f"✓ agree {largest:.3g}"]


def test_that_a_checkpoint_that_disagrees_has_a_row_and_a_command_of_its_own(
    written: Write, train: Any, make: Any
) -> None:
    records = make(cases=3, columns=[("torch", "2", "backward")])
    found = train(records)
    records[2] = msgspec.structs.replace(records[2], verdict=Verdict.DISAGREE)
    page = written(found, records)
    assert [row[0] for row in rows(page, "verdicts") if row] == [
        "steps 0 to 500 2 checkpoints", "step 1,000 1 checkpoint", "steps 1,500 to 2,500 3 checkpoints"
    ]  # fmt: skip
    assert rows(page, "verdicts")[1][1].startswith("✗ disagree")
    assert f"gradagree replay '{found['checkpoints'][2]['spec']}'" in words(page)


def test_that_a_record_at_no_checkpoint_is_not_lost(written: Write, train: Any, make: Any) -> None:
    records = make(cases=1)
    page = written(train(), records)
    assert f"all {len(records)} gradients" in answer(page).lower()
    assert rows(page, "verdicts")[0][0].startswith("unknown step")


def test_that_a_page_without_checkpoints_says_so(written: Write, train: Any) -> None:
    page = written(train())
    assert "No gradient was checked along the way." in answer(page)
    assert "No gradient was checked." in words(page)


@pytest.mark.parametrize("found", [{}, {"curves": {}, "checkpoints": [], "network": {}, "widths": [], "stopped": {}}])
def test_that_an_empty_file_gives_an_empty_page(written: Write, found: dict[str, Any]) -> None:
    page = written(found, meta={})
    assert answer(page) == "Nothing was trained. No gradient was checked along the way."
    assert "No example was recorded." in words(page)


def test_that_the_policy_allows_this_style_and_no_script(written: Write, train: Any, make: Any) -> None:
    page = written(train(make()), make())
    (style,) = re.findall(r"<style>(.*?)</style>", page, re.DOTALL)
    tags = Text(page).tags
    assert policy(style) in [attributes.get("content") for _, attributes in tags]
    assert "script-src" not in policy(style)
    assert "script" not in [tag for tag, _ in tags]
    for _, attributes in tags:
        assert not attributes.keys() & {"src", "style", "action"}
        assert not [name for name in attributes if name.startswith("on")]
    assert not re.search(r"url\(|@import|https?://", page)
    ids = {attributes["id"] for _, attributes in tags if "id" in attributes}
    assert {(attributes["href"] or "")[1:] for tag, attributes in tags if tag == "a"} <= ids


@pytest.mark.parametrize("gone", [["torch"], ["jax"], ["torch", "jax"], ["reference"]])
def test_that_a_missing_framework_is_neither_named_nor_drawn(written: Write, train: Any, gone: list[str]) -> None:
    found = train()
    for name in gone:
        del found["curves"][name], found["stopped"][name]
    page = written(found, meta={})
    known = {"reference": ("reference", "band"), "torch": ("torch", "solid"), "jax": ("jax", "dashed")}
    left = [known[name] for name in found["curves"]]
    assert [row[0] for row in rows(page, "ends") if row] == [label for label, _ in left]
    assert set(re.findall(r'<path class="curve (\w+)"', page)) == {style for _, style in left}
    assert not [known[name][0] for name in gone if known[name][0] in answer(page)]


def test_that_an_unknown_framework_is_drawn_in_a_style_of_its_own(written: Write, train: Any) -> None:
    found = train()
    found["curves"] |= dict.fromkeys(("mx", "tinygrad", "more"), found["curves"]["torch"])
    page = written(found)
    figure = re.findall(r"<figure>(.*?)</figure>", page, re.DOTALL)[0]
    drawn = re.findall(r'<path class="curve (\w+)"', figure)
    assert len(drawn) == len(set(drawn)) == 5
    assert "Not drawn, to keep the figure readable: more." in words(page)


def test_that_hostile_names_stay_text(
    written: Write, train: Any, make: Any, hostile: list[Record], hostile_meta: dict[str, Any]
) -> None:
    records = make(cases=4, odd={Verdict.DISAGREE: 0.5})
    tame, found = Text(written(train(records), records)), train(hostile)
    names = list(hostile_meta["platform"])
    found |= {"dataset": names[0], "widths": names, "activations": names[1:3], "error": names[3], "way": names[4]}
    found["curves"] = dict.fromkeys(names, found["curves"]["jax"])
    found["stopped"] = {name: name for name in names}
    found["checkpoints"][0]["verdicts"] = dict.fromkeys(names, "agree")
    page = written(found, hostile, hostile_meta)
    wild = Text(page)
    assert {tag for tag, _ in wild.tags} - {tag for tag, _ in tame.tags} <= {"ul", "li"}
    assert not [a for _, a in wild.tags if any(name.startswith("on") for name in a)]
    assert all(visible(name) in "\n".join(wild.data) for name in names)
    assert page.replace("\n", "").replace("\u00a0", "").isprintable()


def test_that_the_configuration_is_shown(written: Write, train: Any, meta: dict[str, Any]) -> None:
    shown = words(written(train()))
    assert "data diabetes, 342 training examples, 100 held out network 3-2-4, no biases activations id, tanh" in shown
    assert "learning rate 0.01 steps 20,520 checked every 500 steps" in shown
    assert meta["command"] in shown


def test_that_curves_in_numbers_are_those_of_the_file(written: Write, train: Any) -> None:
    found = train(rounds=40)
    page, accuracy = written(found), found["curves"]["jax"]["accuracy"][0]
    assert f"jax: {100 * accuracy:.3g} % at round 0" in page
    for row in rows(page, "curves"):
        numbers = found["curves"]["torch"]["error"], found["curves"]["torch"]["accuracy"]
        assert not row or row[3:5] == [f"{numbers[0][int(row[0])]:.6g}", f"{100 * numbers[1][int(row[0])]:.3g} %"]
