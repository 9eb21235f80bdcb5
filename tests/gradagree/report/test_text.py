from __future__ import annotations

import math
import random
import shlex

import pytest

from gradagree.checker.verdict import Record, Verdict
from gradagree.report.text import brief, count_noun, format_exact, join_words, quote, replay, visible

MADE = {"case": "012345", "sha256": "", "framework": "torch", "version": "", "mode": "backward", "dtype": "float64"}


@pytest.mark.parametrize(
    "text", ["", "plain", "it's", "$(rm -rf /)", "`x`", '"', "'\"'", "a b*c", "\\", "!h", "leaky(a=1)"]
)
def test_that_a_shell_reads_back_what_was_quoted(text: str) -> None:
    assert shlex.split(quote(text)) == [text]
    assert quote(text).startswith("'")


@pytest.mark.parametrize("spec", ["2-3:id:sse:n1:f64:grid:s5", "2-3:o'hara*3:sse:n1:f64:grid:s5"])
def test_that_the_replay_command_names_the_whole_case(spec: str) -> None:
    assert shlex.split(replay(Record(spec=spec, verdict=Verdict.DISAGREE, **MADE))) == ["gradagree", "replay", spec]


@pytest.mark.parametrize("spec", ["2-3:a\nb:sse:n1:f64:grid:s5", "2-" * 3000])
def test_that_a_case_no_line_can_hold_is_replayed_by_its_alias(spec: str) -> None:
    assert replay(Record(spec=spec, verdict=Verdict.DISAGREE, **MADE)) == "gradagree replay '012345'"


@pytest.mark.parametrize("text", ["\x1b[31m", "a\x00b", "\u202ex", "\ud800", "\ufffe", "a\nb\tc", "\x85"])
def test_that_every_character_of_a_visible_text_can_be_printed_and_written(text: str) -> None:
    assert visible(text).isprintable()
    assert visible(text).encode()


def test_that_a_control_character_shows_as_its_escape() -> None:
    assert visible("a\x1b[31m\u202eb") == "a\\x1b[31m\\u202eb"


@pytest.mark.parametrize("most", [5, 80, 600])
@pytest.mark.parametrize("sign", ["x", "\x00"])
def test_that_a_visible_text_keeps_to_its_length(most: int, sign: str) -> None:
    assert len(visible(sign * 5000, most)) == most


@pytest.mark.parametrize("seed", range(3))
def test_that_float64_digits_give_the_number_back(seed: int) -> None:
    source = random.Random(seed)
    x = source.gauss(0, 1) * 2.0 ** source.randint(-900, 900)
    assert float(format_exact(x.hex(), "float64")) == x


def test_that_float32_shows_nine_digits() -> None:
    assert format_exact((1 / 3).hex(), "float32") == "0.333333333"


@pytest.mark.parametrize(
    ("stored", "shown"), [(None, "–"), ("nan", "nan"), ("inf", "inf"), ("what?", "nan"), (0.01234, "0.0123")]
)
def test_that_whatever_a_record_holds_is_shown(stored: float | str | None, shown: str) -> None:
    assert brief(stored) == shown


def test_that_a_number_too_large_to_read_is_no_error() -> None:
    assert math.isnan(float(format_exact("0x1p99999", "float64")))


def test_that_counts_and_lists_read_as_english() -> None:
    assert [count_noun(n, "record") for n in (0, 1, 1234)] == ["0 records", "1 record", "1,234 records"]
    assert [join_words(words) for words in ([], ["a"], ["a", "b"], ["a", "b", "c"])] == [
        "",
        "a",
        "a and b",
        "a, b and c",
    ]
