"""What a comparison looks like: words, Markdown, HTML, and the command."""

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
from gradagree.cli.main import code
from gradagree.compare import Differences, compare_runs
from gradagree.compare.page import document, headline, page, tables

HOSTILE = (
    "<img src=x onerror=alert(1)>",
    "\"'> onload=alert(1) '\"",
    "a|b\\|c`d``e",
    "[x](javascript:alert(1))",
    "\x1b[31m",
)


def hostile_records(verdict: Verdict) -> list[Record]:
    return [
        Record(case=name, spec=f"2-2:{name}:{name}:n1:f64:{name}:s1", sha256="", framework=name, version=name,
               mode=name, dtype=name, verdict=verdict, function=name, entry=name, reason=name, ratio=1.0,
               slopes={name: ["left" if verdict.fails else "right"]})
        for name in HOSTILE
    ]  # fmt: skip


class Tags(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


@pytest.fixture
def every(make: Any, changed: Any, side: Any) -> Differences:
    """A comparison in which every section has rows."""

    def before(record: Record) -> dict[str, Any]:
        return {"verdict": Verdict.DISAGREE} if record.spec.endswith("3") else {"slopes": {"k": ["left"]}}

    def after(record: Record) -> dict[str, Any]:
        if record.spec.endswith("1"):
            return {"verdict": Verdict.DISAGREE}
        if record.spec.endswith("2"):
            return {"verdict": Verdict.UNSUPPORTED}
        return {"ratio": record.ratio * 99, "slopes": {"k": ["right"]}}

    records = make(200)
    return compare_runs(side(changed(records, before)), side(changed(records, after)))


def test_that_every_section_is_shown_in_words_and_pages(every: Differences) -> None:
    assert [table.name for table in tables(every) if not table.rows] == []
    for text in (document(every), page(every)):
        assert all(table.name in text for table in tables(every))
    assert re.search(r"400 records in both: \d+ new causes of disagreement, .* a regression\.$", headline(every))


def test_that_a_page_needs_and_runs_nothing(every: Differences) -> None:
    text = page(every)
    tags = Tags(text).found
    policy = next(a["content"] for _, a in tags if a.get("http-equiv") == "Content-Security-Policy")
    assert "default-src 'none'" in str(policy)
    assert "script-src" not in str(policy)
    assert "script" not in {tag for tag, _ in tags}
    assert not re.search(r"url\(|@import|https?://", text)
    ids = {a["id"] for _, a in tags if "id" in a}
    assert {str(a["href"]).removeprefix("#") for tag, a in tags if tag == "a"} <= ids


def test_that_hostile_names_stay_text(side: Callable[..., Any], every: Differences) -> None:
    before = side(hostile_records(Verdict.AGREE), facts=dict(zip(HOSTILE, HOSTILE, strict=True)))
    found = compare_runs(before, side(hostile_records(Verdict.DISAGREE)))
    assert len(found.new) == len(HOSTILE) == len(found.turns)
    text = page(found)
    assert {tag for tag, _ in Tags(text).found} <= {tag for tag, _ in Tags(page(every)).found}
    assert not [a for _, a in Tags(text).found if any(name.startswith("on") for name in a)]
    markdown = document(found)
    assert "<img" not in markdown
    assert "](javascript" not in re.sub(r"`[^`]*`", "", markdown)
    assert markdown.replace("\n", "").isprintable()
    tame = len(re.findall(r"(?<!\\)\|", next(line for line in document(every).split("\n") if "| verdict" in line)))
    rows = [line for line in markdown.split("\n") if line.startswith(("| **✗", "| ✗"))]
    assert {line.count("|") for line in rows} == {tame}


def write(folder: Path, records: list[Record], **meta: Any) -> Path:
    folder.mkdir()
    (folder / "meta.json").write_text(json.dumps({"schema": 1, **meta}))
    (folder / "results.jsonl").write_bytes(b"".join(msgspec.json.encode(record) + b"\n" for record in records))
    return folder


def test_that_the_gate_closes_for_a_regression_and_opens_for_a_known_one(
    make: Any, changed: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    records = make(40)
    write(Path("a"), records)
    write(Path("b"), changed(records, lambda r: {"verdict": Verdict.DISAGREE} if r.function == "tanh" else {}))
    assert code(["compare", "a", "--extract", "base.jsonl"]) == 0
    assert [code(["compare", one, "b", *gate]) for one in ("a", "base.jsonl") for gate in ((), ("--gate",))] == [
        0,
        1,
    ] * 2
    assert code(["compare", "b", "a", "--gate"]) == 0
    Path("gradagree-known.toml").write_text(
        '[[known]]\nframework = "torch"\nfunction = "tanh"\nclass = "disagree"\nreason = "upstream"\n'
    )
    assert code(["compare", "a", "b", "--gate", "--out", "c"]) == 0
    assert "known: upstream" in Path("c/compare.md").read_text()
    assert "known: upstream" in Path("c/compare.html").read_text()
    assert code(["compare", "a", "b", "--gate", "--known", "none"]) == 1
    assert "Traceback" not in capsys.readouterr().err


def test_that_runs_with_nothing_in_common_end_with_5(
    make: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write(Path("a"), make(2))
    write(Path("b"), [msgspec.structs.replace(record, mode="forward") for record in make(2)])
    assert code(["compare", "a", "b"]) == 5
