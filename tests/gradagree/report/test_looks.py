from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from gradagree.checker.verdict import Record, Verdict
from gradagree.report import summarize
from gradagree.report.html import asset, page

ENOUGH_CONTRAST = 4.5
LIMIT = 3_000_000


def page_of(records: list[Record]) -> str:
    return page(summarize({}, records))


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
