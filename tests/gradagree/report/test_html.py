from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from typing import Any

import pytest

from gradagree.checker.verdict import ORDER, Record, Verdict
from gradagree.report import summarize
from gradagree.report.findings import grouped
from gradagree.report.html import asset, page
from gradagree.report.text import format_count, format_exact, replay, visible


class Page(HTMLParser):
    """Tags with their attributes, and the text inside each."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[str, str]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.texts.append((self.tags[-1][0] if self.tags else "", data))

    @property
    def words(self) -> str:
        return " ".join(" ".join(text for _, text in self.texts).split())


def page_of(records: list[Record], meta: dict[str, Any] | None = None) -> str:
    return page(summarize(meta or {}, records))


def payload_of(text: str) -> dict[str, Any]:
    return json.loads(re.findall(r'<script type="application/json" id="records">(.*?)</script>', text, re.DOTALL)[0])


def test_that_the_policy_allows_this_style_and_this_script_and_nothing_else(every_verdict: list[Record]) -> None:
    text = page_of(every_verdict)
    policy = next(a["content"] for tag, a in Page(text).tags if a.get("http-equiv") == "Content-Security-Policy")
    hashes = {}
    for kind, found in (("style", r"<style>(.*?)</style>"), ("script", r"<script>(.*?)</script>")):
        (inside,) = re.findall(found, text, re.DOTALL)
        hashes[kind] = f"'sha256-{base64.b64encode(hashlib.sha256(inside.encode()).digest()).decode()}'"
    rules = dict(rule.strip().split(" ", 1) for rule in (policy or "").split(";"))
    nothing = {"default-src": "'none'", "base-uri": "'none'", "form-action": "'none'"}
    assert rules == nothing | {"style-src": hashes["style"], "script-src": hashes["script"]}


def test_that_the_page_names_no_address_outside_and_no_inline_style(
    every_verdict: list[Record], meta: dict[str, Any]
) -> None:
    text = page_of(every_verdict, meta)
    for _, attributes in Page(text).tags:
        assert not attributes.keys() & {"src", "srcset", "style", "data", "action", "poster"}
        assert (attributes.get("href") or "#").startswith("#")
        assert not [name for name in attributes if name.startswith("on")]
    assert not re.search(r"url\(|@import|https?://", text)


def test_that_every_link_within_the_page_leads_somewhere(every_verdict: list[Record]) -> None:
    tags = Page(page_of(every_verdict)).tags
    ids = [attributes["id"] for _, attributes in tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert {a["href"] for tag, a in tags if tag == "a"} <= {f"#{name}" for name in ids}
    assert {a["aria-labelledby"] for _, a in tags if "aria-labelledby" in a} <= set(ids)


def test_that_the_counters_are_those_of_the_records_and_add_up(every_verdict: list[Record]) -> None:
    text = page_of(every_verdict)
    items = re.findall(r'<li class="(\w+)"><b>([\d,]+)</b> <span>(?:<span[^>]*>.</span> )?([\w-]+)</span></li>', text)
    shown = {word: int(number.replace(",", "")) for _, number, word in items}
    total = shown.pop("records")
    assert total == sum(shown.values()) == len(every_verdict)
    assert shown == {str(verdict): n for verdict, n in summarize({}, every_verdict).counts.items()}


def test_that_every_verdict_is_explained(every_verdict: list[Record]) -> None:
    words = Page(page_of(every_verdict)).words
    assert all(verdict.meaning in words for verdict in Verdict)


def test_that_each_cell_of_the_matrix_bears_mark_word_and_number(every_verdict: list[Record]) -> None:
    summary = summarize({}, every_verdict)
    table = re.findall(r'<table class="matrix">(.*?)</table>', page(summary), re.DOTALL)[0]
    cells = [" ".join(re.sub(r"<[^>]+>", "", cell).split()) for cell in re.findall(r"<td>(.*?)</td>", table, re.DOTALL)]
    expected = [
        f"{cell.verdict} {cell.share}"
        for rows in summary.matrix.cells.values()
        for row in rows.values()
        for cell in row.values()
    ]
    shown = [cell.partition(" ")[2] for cell in cells if cell and cell != "not run"]
    assert sorted(shown) == sorted(expected)


def test_that_findings_show_numbers_place_reason_and_command(every_verdict: list[Record]) -> None:
    summary = summarize({}, every_verdict)
    articles = re.findall(r'<article class="finding">(.*?)</article>', page(summary), re.DOTALL)
    groups = grouped(summary.findings)
    assert len(articles) == len(groups)
    for article, group in zip(articles, groups, strict=True):
        words, example = "".join(text for _, text in Page(article).texts), group.example.example
        assert replay(example) in words
        assert visible(example.reason or example.verdict.meaning) in words
        if example.expected is not None:
            assert format_exact(example.expected, example.dtype) in words
            assert format_exact(example.observed, example.dtype) in words
            assert f"operation {example.box} ({example.function}), entry {example.entry}" in words


def test_that_findings_beyond_those_shown_are_counted(
    make: Callable[..., list[Record]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gradagree.report.html.MOST_FINDINGS", 2)
    summary = summarize({}, make(cases=40, odd={Verdict.DISAGREE: 0.5}))
    text = page(summary)
    hidden = grouped(summary.findings)[2:]
    assert text.count('<article class="finding">') == 2
    told = f"{len(hidden)} further causes with {sum(finding.count for finding in hidden)} records are not shown here"
    assert told in Page(text).words


def test_that_the_table_holds_every_record(every_verdict: list[Record]) -> None:
    payload = payload_of(page_of(every_verdict))
    texts, verdicts = payload["texts"], [word for word, _, _ in payload["verdicts"]]
    rows = [
        (verdicts[r[0]], texts[r[1]], texts[r[2]], texts[r[9]].replace("\t", texts[r[10]])) for r in payload["rows"]
    ]
    worst_first = sorted(every_verdict, key=lambda r: ORDER[r.verdict])
    assert rows == [(str(r.verdict), r.framework, r.mode, r.spec) for r in worst_first]


def test_that_too_many_records_leave_the_table_out_and_say_so(
    make: Callable[..., list[Record]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gradagree.report.rows.MOST", 59)
    records = make(cases=10)
    assert len(records) == 60
    text = page_of(records)
    assert 'id="records"' not in text
    assert "60 records are more than" in Page(text).words
    assert 'id="records"' in page_of(records[:59])


def test_that_hostile_names_stay_text(hostile: list[Record], hostile_meta: dict[str, Any], make: Any) -> None:
    text = page_of(hostile, hostile_meta)
    tame, wild = Page(page_of(make(odd={Verdict.DISAGREE: 0.5, Verdict.CONVENTION: 0.2}))), Page(text)
    assert {tag for tag, _ in wild.tags} - {tag for tag, _ in tame.tags} <= {"ul", "li", "table", "caption", "mark"}
    assert [tag for tag, _ in wild.tags].count("script") == 2
    assert not [a for _, a in wild.tags if any(name.startswith("on") for name in a)]
    words = "\n".join(text for _, text in wild.texts)
    assert all(visible(r.reason) in words for r in hostile if r.verdict is Verdict.CRASHED)
    assert text.replace("\n", "").replace("\t", "").isprintable()


def test_that_probes_versions_command_and_platform_are_shown(
    make: Callable[..., list[Record]], meta: dict[str, Any]
) -> None:
    words = Page(page_of(make(cases=2), meta)).words
    told = [
        meta["command"],
        meta["started"],
        *meta["platform"].values(),
        "2.13.0+cpu, cpu",
        "not installed: pip install mx",
    ]
    assert [text for text in told if text not in words] == []


def test_that_a_failed_probe_stands_beside_the_answer(make: Callable[..., list[Record]], meta: dict[str, Any]) -> None:
    good = Page(page_of(make(cases=2), meta)).words
    meta["frameworks"]["jax"]["probes"]["float32"] |= {"fast_math": True, "exact": False}
    bad = Page(page_of(make(cases=2), meta)).words
    assert "probe failed jax, float32: sums are reordered" in bad
    assert "probe failed" not in good


@pytest.mark.parametrize("meta", [{}, {"schema": 1}, {"frameworks": {"torch": {"installed": True}}, "seconds": 1}])
def test_that_no_records_are_a_page_of_nothing(meta: dict[str, Any]) -> None:
    words = Page(page_of([], meta)).words
    assert "Nothing was compared: there are no records." in words
    assert "0 records" in words


def test_that_missing_records_are_listed(make: Callable[..., list[Record]]) -> None:
    words = Page(page_of(make(cases=2), {"plan": {"jax:jit": 1004}})).words
    assert f"not recorded jax jit planned, but the run has no record of it {format_count(1000)}" in words


def test_that_records_without_sharpness_make_a_page() -> None:
    plain = {"case": "1", "spec": "2-1:id:sse:n1:f64:grid:s1", "sha256": "", "framework": "f", "version": "1"}
    record = Record(**plain, mode="m", dtype="float64", verdict=Verdict.AGREE, ratio=0.5)
    text = page_of([record])
    assert "Largest error / tolerance" in text
    assert "Relative tolerance" not in text


ENOUGH_CONTRAST = 4.5
LIMIT = 3_000_000


def test_that_figures_say_in_words_what_they_show(make: Callable[..., list[Record]]) -> None:
    labels = re.findall(r'<svg viewBox="[^"]*" role="img" aria-label="([^"]*)">', page_of(make(cases=30)))
    assert len(labels) == 3
    assert all("float32" in label and "float64" in label for label in labels)


def test_that_a_record_past_the_tolerance_stands_out_in_the_figure(make: Callable[..., list[Record]]) -> None:
    assert 'class="beyond"' in page_of(make(cases=9, odd={Verdict.DISAGREE: 0.2}))
    assert 'class="beyond"' not in page_of([r for r in make(cases=9) if r.ratio is not None and float(r.ratio) < 1])


def test_that_twenty_thousand_records_keep_the_page_small(make: Callable[..., list[Record]]) -> None:
    records = make(cases=10_000, columns=[("torch", "2.13.0", "backward")], odd={Verdict.DISAGREE: 0.02})
    text = page_of(records)
    assert len(records) == 20_000
    assert 'id="records"' in text
    assert len(text.encode()) < LIMIT


def luminance(colour: str) -> float:
    channels = [int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return sum(weight * c for weight, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(one: str, other: str) -> float:
    """WCAG 2.2's contrast of two colours, 1 to 21."""
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("scheme", [0, 1, 2], ids=["light", "dark", "print"])
@pytest.mark.parametrize("ink", ["ink", "soft", "accent"])
def test_that_text_stands_out_from_its_ground(scheme: int, ink: str) -> None:
    palettes = [
        dict(re.findall(r"--(\w+): (#\w+)", line)) for line in page_of([]).split("\n") if re.search(r"--paper: #", line)
    ]
    colours = {name: c if len(c) == 7 else "#" + "".join(2 * x for x in c[1:]) for name, c in palettes[scheme].items()}
    assert len(palettes) == 3
    assert all(contrast(colours[ink], colours[ground]) >= ENOUGH_CONTRAST for ground in ("paper", "raised"))


@pytest.mark.parametrize("scheme", [0, 1, 2], ids=["light", "dark", "print"])
def test_that_sensitivities_stand_out_from_their_ground(scheme: int) -> None:
    style = asset("report.css") + asset("train.css")
    inks, papers, boxes = (re.findall(rf"--{name}: (#\w+)", style) for name in ("second", "paper", "raised"))
    assert len(inks) == len(papers) == len(boxes) == 3
    grounds = [ground if len(ground) == 7 else "#ffffff" for ground in (papers[scheme], boxes[scheme])]
    assert all(contrast(inks[scheme], ground) >= ENOUGH_CONTRAST for ground in grounds)


def test_that_the_contrast_of_like_greys_is_too_small() -> None:
    assert contrast("#888888", "#ffffff") < ENOUGH_CONTRAST < contrast("#000000", "#ffffff")
