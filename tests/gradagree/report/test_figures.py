from __future__ import annotations

import math
import random
import re
from xml.etree import ElementTree

import pytest

from gradagree.report.figures import STYLES, ZERO, Line, chart, nice_step, sample, scale_for


def drawn(*lines: Line, **how: bool) -> ElementTree.Element:
    return ElementTree.fromstring(str(chart("Error", lines, **how)))


def paths(root: ElementTree.Element) -> list[tuple[str, str]]:
    return [(path.get("class", "").removeprefix("curve "), path.get("d", "")) for path in root.iter("path")]


def heights(d: str) -> list[float]:
    return [float(y) for y in re.findall(r"[\d.]+ ([\d.]+)", d)]


def falling(seed: int, rounds: int = 20) -> tuple[float, ...]:
    source = random.Random(seed)
    return tuple(sorted((source.lognormvariate(0, 2) for _ in range(rounds + 1)), reverse=True))


@pytest.mark.parametrize("seed", range(3))
def test_that_a_smaller_number_lies_lower(seed: int) -> None:
    ((_, d),) = paths(drawn(Line("torch", "solid", falling(seed))))
    assert heights(d) == sorted(heights(d))
    assert len(set(heights(d))) > 10


def test_that_equal_curves_lie_on_each_other_the_narrowest_on_top() -> None:
    numbers = falling(1)
    found = paths(drawn(*(Line(style, style, numbers) for style in reversed(STYLES))))
    assert [style for style, _ in found] == list(STYLES)
    assert len({d for _, d in found}) == 1


@pytest.mark.parametrize("rounds", [0, 1])
def test_that_one_round_is_drawn(rounds: int) -> None:
    root = drawn(*(Line(style, style, (0.5,) * (rounds + 1)) for style in STYLES))
    radii = [float(point.get("r", "")) for point in root.iter("circle")]
    assert len(paths(root)) == (len(STYLES) if rounds else 0)
    assert len(radii) == len(set(radii)) == (0 if rounds else len(STYLES))
    assert radii == sorted(radii, reverse=True)


@pytest.mark.parametrize("odd", [math.nan, math.inf, -math.inf])
def test_that_a_number_that_is_none_interrupts_its_curve_alone(odd: float) -> None:
    numbers = falling(2, rounds=9)
    broken = (*numbers[:4], odd, *numbers[5:])
    root = drawn(Line("by hand", "band", numbers), Line("torch", "solid", broken))
    assert [style for style, _ in paths(root)] == ["band", "solid", "solid"]
    assert not [x for one in root.iter() if one.tag != "svg" for x in one.attrib.values() if re.search("nan|inf", x)]
    assert [text.text for text in root.iter("text") if text.get("class") == "broken"] == ["✗"]
    assert "no finite number in 1 of them" in root.get("aria-label", "")


def test_that_nothing_but_what_is_no_number_is_an_empty_figure() -> None:
    root = drawn(Line("torch", "solid", (math.nan, math.inf)), Line("jax", "dashed", ()))
    assert paths(root) == []


def test_that_a_long_curve_keeps_its_peaks_and_few_points() -> None:
    numbers = [1.0] * 100_000
    numbers[54_321] = 9.0
    ((_, d),) = paths(drawn(Line("torch", "solid", tuple(numbers))))
    assert len(heights(d)) < 1000
    assert min(heights(d)) < max(heights(d))


def test_that_the_figure_says_in_words_where_each_curve_begins_and_ends() -> None:
    label = drawn(Line("torch", "solid", (8.0, 4.0, 0.25))).get("aria-label")
    assert label == "Error. torch: 8 at round 0, 0.25 at round 2"


@pytest.mark.parametrize(("numbers", "logarithmic"), [((385, 210), False), ((385, 3), True), ((-1, 100), False)])
def test_that_a_logarithm_is_taken_where_it_helps_and_said(numbers: tuple[float, ...], logarithmic: bool) -> None:
    root = drawn(Line("torch", "solid", numbers))
    assert ("logarithmic scale" in list(root.itertext())) == logarithmic
    assert "logarithmic scale" not in list(drawn(Line("torch", "solid", numbers), percent=True).itertext())


@pytest.mark.parametrize("from_zero", [False, True])
@pytest.mark.parametrize(
    "numbers",
    [[1, 1], [0, 0], [0, 5], [5e-324, 1], [1e308, -1e308], [1e308, 1.7e308], [1e-300, 1e300], [], [math.nan],
     [-1.7e308], [0, 1e-9, 1], [3, 3 + 1e-15], [1e-320, 2e-320]],
)  # fmt: skip
def test_that_any_numbers_find_their_place_in_their_order(numbers: list[float], from_zero: bool) -> None:
    scale = scale_for(numbers, from_zero)
    places = [scale.at(x) for x in sorted(filter(math.isfinite, numbers))]
    ticks = [scale.at(x) for x, _ in scale.ticks()]
    assert places == sorted(places)
    assert ticks == sorted(ticks)
    assert all(0 <= place <= 1 for place in places + ticks)
    assert 2 <= len(ticks) <= 10


def test_that_zero_lies_below_all_that_a_logarithm_places() -> None:
    scale = scale_for([0.0, 1e-6, 1.0])
    assert scale.logarithmic
    assert scale.at(0.0) + ZERO < scale.at(1e-6) < scale.at(1.0)
    assert scale.ticks()[0] == (0.0, "0")


@pytest.mark.parametrize(
    ("least", "step"), [(1, 1), (1.1, 2), (2.1, 5), (51, 100), (0.03, 0.05), (0, 0), (math.inf, 0)]
)
def test_that_steps_are_one_two_or_five(least: float, step: float) -> None:
    assert nice_step(least) == step


def test_that_every_style_has_a_sample() -> None:
    assert len({str(sample(style)) for style in STYLES}) == len(STYLES)
