from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from gradagree.checker.verdict import Verdict
from gradagree.errors import UsageError
from gradagree.report import summarize, write_reports
from gradagree.report.index import write_index
from gradagree.report.training import write_training

Folder = Callable[..., Path]


def cards(folder: Path) -> list[str]:
    path = write_index(folder)
    assert path == folder / "index.html"
    return re.findall(r'<article class="card">(.*?)</article>', path.read_text(encoding="utf-8"), re.DOTALL)


def words(card: str) -> str:
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", card)).split())


def test_that_a_run_shows_its_answer_counts_and_report(
    tmp_path: Path, run_folder: Folder, make: Any, meta: dict[str, Any]
) -> None:
    records = make(cases=30, odd={Verdict.DISAGREE: 0.1})
    write_reports(run_folder(tmp_path / "first", records))
    (card,) = cards(tmp_path)
    summary = summarize(meta, records)
    assert words(card).startswith("Agreement run first")
    assert summary.sentence in words(card)
    assert [int(n) for n in re.findall(r"<b>(\d+)</b>", card)] == [
        *(summary.counts[verdict] for verdict in (Verdict.AGREE, Verdict.DISAGREE)), len(records)
    ]  # fmt: skip
    assert re.findall(r'href="([^"]*)"', card) == ["./first/report.html"]


def test_that_a_training_shows_its_answer_and_its_page(
    tmp_path: Path, run_folder: Folder, make: Any, train: Any
) -> None:
    records = make(cases=3)
    folder = run_folder(tmp_path / "taught", records)
    (folder / "train.json").write_text(json.dumps(train(records)), encoding="utf-8")
    page = write_training(folder).read_text(encoding="utf-8")
    (card,) = cards(tmp_path)
    answer = words(re.findall(r"<h1>(.*?)</h1>", page, re.DOTALL)[0])
    shown = f"Training on diabetes taught 2026-11-22T08:00:00Z {answer} {len(records)}".lower()
    assert words(card).lower().replace("; ", ". ").startswith(shown)
    assert re.findall(r'href="([^"]*)"', card) == ["./taught/train.html"]


def test_that_every_results_folder_has_one_card_the_latest_first(
    tmp_path: Path, run_folder: Folder, meta: dict[str, Any]
) -> None:
    for name, day in (("b", 3), ("a", 1), ("c", 2)):
        run_folder(tmp_path / name, [], meta | {"started": f"2026-01-0{day}T00:00:00Z"})
    (tmp_path / "no-results").mkdir()
    run_folder(tmp_path / "no-results" / "deeper", [])
    assert [re.findall(r"<code>(.*?)</code>", card)[0] for card in cards(tmp_path)] == ["b", "c", "a"]


def test_that_a_page_that_is_not_there_is_not_linked(tmp_path: Path, run_folder: Folder) -> None:
    run_folder(tmp_path / "new", [])
    (card,) = cards(tmp_path)
    assert "href" not in card
    assert "It has no page yet." in words(card)


@pytest.mark.parametrize("file", ["meta.json", "results.jsonl", "train.json"])
def test_that_one_damaged_folder_is_shown_beside_the_others(
    tmp_path: Path, run_folder: Folder, make: Any, file: str
) -> None:
    run_folder(tmp_path / "good", make(cases=1))
    (run_folder(tmp_path / "bad", []) / file).write_text("{]\n", encoding="utf-8")
    good, bad = cards(tmp_path)
    assert "agree with the reference" in words(good)
    assert f"✗ unreadable {tmp_path / 'bad' / file}" in words(bad)


def test_that_there_must_be_results(tmp_path: Path, run_folder: Folder) -> None:
    with pytest.raises(UsageError, match="holds no results"):
        write_index(tmp_path)
    run_folder(tmp_path / "now", [])
    assert write_index(tmp_path).is_file()
    with pytest.raises(UsageError, match="cannot be read"):
        write_index(tmp_path / "nowhere")


@pytest.mark.parametrize(
    "name", ["javascript:alert(1)", '"><script>alert(1)<', "a b#c?d%20", "{{ 7 * 7 }}", "two\nlines", b"\xff\xfe"]
)
def test_that_a_hostile_folder_name_stays_text_and_its_link_leads_there(
    tmp_path: Path, run_folder: Folder, make: Any, name: str | bytes
) -> None:
    folder = tmp_path / os.fsdecode(name)
    try:
        run_folder(folder, make(cases=1))
    except OSError:
        pytest.skip("the file system takes no such name")
    write_reports(folder)
    (card,) = cards(tmp_path)
    (address,) = re.findall(r'href="([^"]*)"', card)
    assert os.fsencode(tmp_path / unquote(address, errors="surrogateescape")) == os.fsencode(folder / "report.html")
    assert re.fullmatch(r"\./[\w.%~-]+/report\.html", address)
    assert "<script" not in card
    assert "49" not in card


def test_that_no_script_can_run(tmp_path: Path, run_folder: Folder) -> None:
    run_folder(tmp_path / "run", [])
    text = write_index(tmp_path).read_text(encoding="utf-8")
    assert "script" not in re.sub(r"<style>.*?</style>", "", text, flags=re.DOTALL)
    assert "default-src &#39;none&#39;" in text
