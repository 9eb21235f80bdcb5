"""What a comparison finds, and what it leaves alone."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import msgspec
import pytest

from gradagree.checker.verdict import Record, Verdict
from gradagree.compare import Differences, Side, compare_runs
from gradagree.compare.differences import NOTHING, MedianInterval, median_interval, more_lost_than_gained, places
from gradagree.runner.known_entry import Entry

FAILS: dict[str, Any] = {"verdict": Verdict.DISAGREE, "function": "tanh", "box": 2, "entry": "dw[0,0]", "ratio": 7.0}
Change = Callable[[Record], dict[str, Any]]
Compared = Callable[..., Differences]


@pytest.fixture
def compared(make: Any, changed: Any, side: Callable[..., Side]) -> Compared:
    """A run against the same run with a change."""

    def run(change: Change, cases: int = 200, before: Change = lambda record: {}) -> Differences:
        records = make(cases)
        return compare_runs(side(changed(records, before)), side(changed(records, change)))

    return run


def fails_in(function: str, **more: Any) -> Change:
    return lambda record: FAILS | {"function": function} | more if record.function == function else {}


def empty(found: Differences) -> bool:
    return not (found.new or found.resolved or found.turns or found.moves or found.losses or found.gained)


def test_that_a_run_differs_in_nothing_from_itself(compared: Compared) -> None:
    found = compared(lambda record: {})
    assert empty(found)
    assert (found.matched, found.exit) == (400, 0)


def test_that_new_disagreements_are_gathered_by_cause_and_gone_ones_are_no_regression(compared: Compared) -> None:
    found = compared(fails_in("tanh"))
    assert [(c.mode, c.cause.function, c.was) for c in found.new] == [
        ("backward", "tanh", "agree"), ("vmap", "tanh", "agree"),
    ]  # fmt: skip
    assert (found.exit, found.resolved) == (1, [])
    back = compared(lambda record: {}, before=fails_in("tanh"))
    assert [change.count for change in back.resolved] == [change.count for change in found.new]
    assert (back.exit, back.new) == (0, [])


def test_that_what_failed_before_is_no_news_and_a_worse_verdict_is(compared: Compared) -> None:
    assert empty(compared(fails_in("tanh"), before=fails_in("tanh")))
    worse = compared(fails_in("tanh", verdict=Verdict.CRASHED, ratio=None), before=fails_in("tanh"))
    assert {change.was for change in worse.new} == {"disagree"}
    assert worse.exit == 1


def test_that_a_known_difference_is_new_but_no_regression(make: Any, changed: Any, side: Any) -> None:
    records, after = make(50), Side("after")
    entry = Entry(framework="torch", function="tanh", verdict=Verdict.DISAGREE, reason="r")
    for record in changed(records, fails_in("tanh")):
        after.add(record, entry if record.verdict.fails else None)
    found = compare_runs(side(records), after)
    assert (len(found.new), found.exit) == (2, 0)


def test_that_of_other_cases_only_other_causes_are_new(make: Any, changed: Any, side: Any) -> None:
    before = side(changed(make(30), fails_in("tanh")))
    other = [msgspec.structs.replace(record, spec=record.spec + "7") for record in make(30)]
    same = [*make(30), *changed(other, fails_in("tanh"))]
    assert compare_runs(before, side(changed(same, lambda record: {}))).new == []
    found = compare_runs(before, side([*make(30), *changed(other, fails_in("gelu"))]))
    assert {change.cause.function for change in found.new} == {"gelu"}
    assert found.exit == 1


def test_that_a_mode_that_the_first_run_did_not_run_is_shown_and_does_not_fail_the_gate(
    make: Any, changed: Any, side: Any
) -> None:
    records = make(30)
    backward = [record for record in records if record.mode == "backward"]
    failing = changed(records, lambda record: FAILS if record.mode == "vmap" else {})
    found = compare_runs(side(backward), side(failing))
    assert [change.was for change in found.new] == ["not run"]
    assert found.exit == 0


def test_that_nothing_in_common_ends_with_5(make: Any, side: Any) -> None:
    other = [msgspec.structs.replace(record, framework="jax") for record in make(5)]
    assert compare_runs(side(make(5)), side(other)).exit == 5


def test_that_a_function_that_became_less_accurate_is_named_alone(compared: Compared) -> None:
    def worse(record: Record) -> dict[str, Any]:
        return {"ratio": record.ratio * 16} if "gelu" in record.spec and record.mode == "vmap" else {}

    (move,) = compared(worse).moves
    assert (move.column.mode, move.function, move.worse, move.factor) == ("vmap", "gelu", True, 16)
    assert compared(worse).exit == 1
    (better,) = compared(lambda record: {}, before=worse).moves
    assert (better.worse, better.factor) == (False, 1 / 16)
    assert compared(lambda record: {}, before=worse).exit == 0


def test_that_where_all_functions_moved_the_whole_mode_did(compared: Compared) -> None:
    found = compared(lambda record: {"sharpness": record.sharpness * 4})
    assert [(move.function, move.column.mode) for move in found.moves] == [("", "backward"), ("", "vmap")]


@pytest.mark.parametrize("seed", range(5))
def test_that_noise_of_either_sign_is_no_move(seed: int, compared: Compared) -> None:
    source = random.Random(seed)
    found = compared(lambda record: {
        "ratio": record.ratio * source.lognormvariate(0, 1), "sharpness": record.sharpness * source.uniform(0.5, 1.5),
    })  # fmt: skip
    assert found.moves == []


def test_that_less_than_the_last_place_is_no_move_and_more_is(compared: Compared) -> None:
    # Observed numbers are 1 in float32: their last place is 2^-23, over a tolerance of 2^-19 a ratio of 2^-4.
    assert compared(lambda record: {"ratio": record.ratio + 2.0**-5}).moves == []
    assert len(compared(lambda record: {"ratio": record.ratio + 2.0**-3}).moves) == 2


def test_that_a_few_cases_are_not_enough_to_tell(compared: Compared) -> None:
    assert compared(lambda record: {"ratio": record.ratio * 16}, cases=3).moves == []


def test_that_another_slope_is_reported_and_an_undetermined_one_is_not(compared: Compared) -> None:
    def takes(*slopes: str) -> Change:
        return lambda record: {"slopes": {"relu: p = 0": list(slopes)}} if "relu" in record.spec else {}

    found = compared(takes("right"), before=takes("left", "zero"))
    assert [(turn.place, turn.before, turn.after) for turn in found.turns] == [
        ("relu: p = 0", "left or zero", "right"), ("relu: p = 0", "left or zero", "right"),
    ]  # fmt: skip
    assert found.exit == 0
    assert compared(takes("left"), before=takes("left", "zero")).turns == []


@pytest.mark.parametrize("verdict", [Verdict.UNSUPPORTED, Verdict.ABSENT])
def test_that_what_cannot_be_run_any_more_is_coverage_lost(verdict: Verdict, compared: Compared) -> None:
    found = compared(lambda record: {"verdict": verdict} if "gelu" in record.spec else {})
    assert {loss.what for loss in found.losses} == {str(verdict)}
    assert all("gelu" in loss.functions for loss in found.losses)
    assert found.exit == 1


def test_that_records_that_are_missing_are_coverage_lost(make: Any, side: Any) -> None:
    records = make(30)
    found = compare_runs(side(records), side(records[:-2]))
    assert [(loss.what, loss.count) for loss in found.losses] == [("not run", 1), ("not run", 1)]
    assert found.exit == 1
    back = compare_runs(side(records[:-2]), side(records))
    assert (back.losses, back.gained, back.exit) == ([], 2, 0)


def test_that_verdicts_that_open_and_close_by_chance_are_no_regression(compared: Compared) -> None:
    def open_in(*last: str) -> Change:
        return lambda record: {"verdict": Verdict.UNDECIDED} if record.spec.endswith(last) else {}

    by_chance = compared(open_in("s7", "s8"), before=open_in("s3", "s4"))
    assert all(loss.by_chance for loss in by_chance.losses)
    assert (bool(by_chance.losses), by_chance.exit) == (True, 0)
    lost = compared(open_in("1", "2", "3", "4", "5"))
    assert not any(loss.by_chance for loss in lost.losses)
    assert lost.exit == 1


def test_that_lost_digits_are_new_in_strict_runs_alone(make: Any, changed: Any, side: Any) -> None:
    records = make(30)
    after = changed(records, fails_in("tanh", verdict=Verdict.INACCURATE, ratio=None))
    assert compare_runs(side(records), side(after)).new == []
    assert len(compare_runs(side(records), side(after, strict=True)).new) == 2


def fewer_than(k: int, n: int) -> Fraction:
    """P(Bin(n, 1/2) < k), exactly."""
    return Fraction(sum(math.comb(n, j) for j in range(k)), 2**n)


@pytest.mark.parametrize("n", [1, 2, 7, 20, 101])
@pytest.mark.parametrize("level", [2.0**-4, 2.0**-10, 2.0**-20])
def test_that_the_place_is_the_largest_that_keeps_the_level(n: int, level: float) -> None:
    k = places(n, level)
    assert k == 0 or 2 * fewer_than(k, n) <= Fraction(level)
    assert k == n // 2 or 2 * fewer_than(k + 1, n) > Fraction(level)


def test_that_too_few_cases_say_nothing() -> None:
    assert median_interval([5.0] * 3, 2.0**-10) == MedianInterval(-math.inf, math.inf)
    assert not median_interval([5.0] * 3, 2.0**-10).apart(NOTHING)
    assert median_interval([5.0] * 30, 2.0**-10) == MedianInterval(5, 5)


def test_that_infinite_moves_have_their_place() -> None:
    assert median_interval([-math.inf] * 2 + [0.0] * 40 + [math.inf] * 2, 2.0**-10) == NOTHING


@pytest.mark.parametrize("seed", range(3))
def test_that_the_true_median_is_hardly_ever_outside(seed: int) -> None:
    source, level, trials = random.Random(seed), 2.0**-4, 512
    outside = sum(median_interval([source.gauss(0, 1) for _ in range(25)], level).apart(NOTHING) for _ in range(trials))
    # At most the level of all trials, and eight standard deviations of their number.
    assert outside <= trials * level + 8 * math.sqrt(trials * level)


@pytest.mark.parametrize("lost", range(12))
@pytest.mark.parametrize("gained", [0, 1, 5])
def test_that_losses_beyond_chance_are_those_of_a_fair_coin(lost: int, gained: int) -> None:
    chance = 1 - fewer_than(lost, lost + gained)
    assert more_lost_than_gained(lost, gained, 2.0**-6) == (lost > 0 and chance <= Fraction(1, 64))
