"""Verdicts in their order, what each does to the exit code, and how numbers travel in a record."""

from __future__ import annotations

import itertools
import math
import random
from typing import Any

import msgspec
import pytest
from hypothesis import given, strategies as st

from gradagree.checker.verdict import (
    MEANINGS,
    ORDER,
    Record,
    Verdict,
    exit_code,
    hexadecimal,
    number,
    plain,
    split_entry,
    worst,
)

FAILING = {"crashed", "timeout", "value-differs", "nonfinite", "disagree", "suspect"}
NOT_COMPARED = {"unsupported", "absent"}
WORST_FIRST = [
    "crashed", "timeout", "value-differs", "nonfinite", "disagree", "suspect", "inaccurate", "undecided",
    "out-of-range", "convention", "agree", "unsupported", "absent",
]  # fmt: skip
COMMON: dict[str, Any] = {
    "case": "000001", "spec": "1-1:id:sse:n1:f32:grid:s0", "sha256": "0" * 64, "framework": "torch", "version": "2",
    "mode": "backward", "dtype": "float32", "verdict": Verdict.AGREE,
}  # fmt: skip
FLOATS = st.floats(allow_nan=True, allow_infinity=True, allow_subnormal=True)


def same(x: Any, y: Any) -> bool:
    return bool(x == y and math.copysign(1, x) == math.copysign(1, y)) or (math.isnan(x) and math.isnan(y))


def test_that_the_verdicts_stand_in_order_the_worst_first() -> None:
    assert [str(verdict) for verdict in Verdict] == WORST_FIRST
    assert sorted(Verdict, key=ORDER.__getitem__) == list(Verdict)


def test_that_failures_share_a_symbol_which_no_other_verdict_has() -> None:
    assert {verdict.symbol for verdict in Verdict if verdict.fails} == {"✗"}
    others = {str(verdict): verdict.symbol for verdict in Verdict if not verdict.fails}
    assert others == {
        "inaccurate": "!", "undecided": "?", "out-of-range": "?", "convention": "~", "agree": "✓", "unsupported": "–",
        "absent": "–",
    }  # fmt: skip


@pytest.mark.parametrize("verdict", Verdict)
def test_that_each_verdict_has_a_meaning_of_its_own(verdict: Verdict) -> None:
    assert verdict.meaning == MEANINGS[verdict]
    assert sum(verdict.meaning == other.meaning for other in Verdict) == 1


@pytest.mark.parametrize("verdict", Verdict)
@pytest.mark.parametrize("strict", [False, True])
def test_that_one_record_ends_a_run_with_the_exit_code_of_its_verdict(verdict: Verdict, strict: bool) -> None:
    fails = verdict in FAILING or (strict and verdict == "inaccurate")
    assert verdict.fails == (verdict in FAILING)
    assert verdict.compared == (verdict not in NOT_COMPARED)
    assert exit_code({verdict: 1}, strict) == (1 if fails else 5 if verdict in NOT_COMPARED else 0)
    assert exit_code({verdict: 3, Verdict.AGREE: 100}, strict) == (1 if fails else 0)
    assert exit_code({verdict: 0, Verdict.AGREE: 100}, strict) == 0


def test_that_nothing_at_all_is_nothing_compared() -> None:
    assert exit_code({}) == 5
    assert exit_code(dict.fromkeys(Verdict, 0)) == 5


@pytest.mark.parametrize("seed", range(8))
def test_that_the_worst_of_several_is_the_first_in_order(seed: int) -> None:
    drawn = random.Random(seed).choices(list(Verdict), k=4)
    assert worst(drawn) is min(drawn, key=list(Verdict).index)
    assert worst(reversed(drawn)) is worst(drawn)


@given(FLOATS)
def test_that_a_hexadecimal_number_comes_back_with_every_bit(x: float) -> None:
    text = hexadecimal(x)
    assert isinstance(text, str)
    assert same(plain(text), x)
    assert (text in ("nan", "inf", "-inf")) == (not math.isfinite(x))


@given(FLOATS)
def test_that_a_number_survives_json(x: float) -> None:
    record = Record(**COMMON, ratio=number(x), expected=hexadecimal(x))
    back = msgspec.json.decode(msgspec.json.encode(record), type=Record)
    assert back == record
    assert same(plain(back.ratio), x)
    assert same(plain(back.expected), x)
    assert isinstance(back.ratio, float) == math.isfinite(x)


def test_that_what_is_not_there_stays_so() -> None:
    assert (number(None), hexadecimal(None)) == (None, None)
    assert math.isnan(plain(None))


def test_that_a_records_key_tells_case_framework_and_mode_apart() -> None:
    changes = ({"spec": "2-1:id:sse:n1:f32:grid:s0"}, {"framework": "jax"}, {"mode": "jit"}, {})
    keys = [Record(**{**COMMON, **change}).key for change in changes]
    assert all(one != other for one, other in itertools.combinations(keys, 2))
    assert Record(**{**COMMON, "index": 5, "verdict": Verdict.DISAGREE}).key == keys[-1]


def test_that_a_record_of_a_later_schema_is_still_read() -> None:
    text = msgspec.json.encode({**msgspec.to_builtins(Record(**COMMON)), "schema": 2, "hitherto_unknown": [1]})
    assert msgspec.json.decode(text, type=Record) == Record(**COMMON, schema=2)


@pytest.mark.parametrize(
    ("entry", "name", "index"),
    [("dw[2,0]", "dw", (2, 0)), ("E", "E", ()), (None, "", ()), ("dA.b", "dA.b", ()), ("dw[x]", "dw[x]", ())],
)
def test_that_entries_are_split_into_name_and_index(entry: str | None, name: str, index: tuple[int, ...]) -> None:
    assert split_entry(entry) == (name, index)
