from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gradagree.checker.verdict import Verdict
from gradagree.errors import UsageError
from gradagree.report.training import answer, trouble, write_training
from gradagree.report.training_data import Training, read_training

Read = Callable[..., Training]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """Reads what train.json would hold."""

    def read(found: dict[str, Any]) -> Training:
        (tmp_path / "train.json").write_text(json.dumps(found), encoding="utf-8")
        return read_training(tmp_path)

    return read


def test_that_the_sentence_is_the_files(read: Read, train: Any, make: Any) -> None:
    records = make(cases=7)
    found = train(records)
    for place, curve in enumerate(found["curves"].values()):
        curve["accuracy"][-1] = 0.45 if place < 3 else 0
    assert answer(read(found), records) == (
        "Trained by hand, by torch and by jax from the same weights and the same polled pairs, the 3-2-4 network "
        f"decides 45 % of 100 held-out patients right; all {len(records)} gradients judged along the way agree."
    )


@pytest.mark.parametrize("verdict", [Verdict.DISAGREE, Verdict.CRASHED, Verdict.UNDECIDED, Verdict.CONVENTION])
def test_that_the_sentence_counts_what_does_not_agree(read: Read, train: Any, make: Any, verdict: Verdict) -> None:
    records = make(cases=30, odd={verdict: 0.2})
    odd = sum(record.verdict is verdict for record in records)
    end = answer(read(train(records)), records).partition("; ")[2]
    if verdict.fails:
        start = f"{odd} of {len(records)} gradients judged along the way do not agree ({odd} {verdict}); "
        assert end == f"{start}of the other {len(records) - odd}, {len(records) - odd} agree."
    else:
        assert re.match(rf"of {len(records)} gradients judged along the way .*\b{odd} ", end)
        assert "all" not in end


def test_that_different_accuracies_are_told_apart(read: Read, train: Any) -> None:
    found = train()
    for name, accuracy in (("reference", 0.5), ("torch", 0.25), ("jax", 0.5)):
        found["curves"][name]["accuracy"][-1] = accuracy
    assert "decides 50 % (by hand and jax) and 25 % (torch) of" in answer(read(found), [])


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (None, "holds no training"),
        ("{", "cannot be read"),
        ("[]", "Expected `object`"),
        ('{"curves": null}', r"`\$\.curves`"),
        ('{"checkpoints": [{"step": -1}]}', r"`\$\.checkpoints\[0\]\.step`"),
        ('{"network": {"weights": [[[[]]]]}}', r"`\$\.network\.weights\[0\]\[0\]\[0\]`"),
        ('{"checkpoints": [{"verdicts": {"torch:backward": "fine"}}]}', "Invalid enum value 'fine'"),
    ],
)
def test_that_what_cannot_be_read_is_the_users_error(
    tmp_path: Path, run_folder: Any, text: str | None, told: str
) -> None:
    folder = run_folder(tmp_path, [])
    if text is not None:
        (folder / "train.json").write_text(text, encoding="utf-8")
    with pytest.raises(UsageError, match=told):
        write_training(folder)


def test_that_one_gradient_is_spoken_of_as_one(read: Read, train: Any, make: Any) -> None:
    records = make(cases=1)[:1]
    assert answer(read(train(records)), records).endswith("; the gradient judged along the way agrees.")


def test_that_one_who_trained_alone_shares_no_weights(read: Read, train: Any) -> None:
    found = train()
    del found["curves"]["torch"], found["curves"]["jax"]
    assert answer(read(found), []).startswith("Trained by hand, the 3-2-4 network decides")


def test_that_without_accuracies_the_error_is_told(read: Read, train: Any) -> None:
    found = train(rounds=4)
    for curve in found["curves"].values():
        curve["error"][-1] = 0.125
        del curve["accuracy"]
    assert "the 3-2-4 network comes to an error of 0.125 after 4 rounds;" in answer(read(found), [])


@pytest.mark.parametrize(
    ("dataset", "one"),
    [("diabetes", "held-out patients"), ("digits", "held-out digits"), ("mine", "held-out examples")],
)
def test_that_examples_are_called_by_their_name(read: Read, train: Any, dataset: str, one: str) -> None:
    assert f" of 100 {one} right" in answer(read(train() | {"dataset": dataset}), [])
    assert f" of {one} right" in answer(read(train() | {"dataset": dataset, "held_out": None}), [])


def test_that_full_batches_poll_no_pairs(read: Read, train: Any) -> None:
    assert "from the same weights and the same pairs," in answer(read(train() | {"way": "full"}), [])
    assert "the same polled pairs" in answer(read(train()), [])


def test_that_gradients_that_nobody_could_form_are_not_said_to_agree(read: Read, train: Any, make: Any) -> None:
    records = make(cases=2, odd={Verdict.ABSENT: 1})
    assert answer(read(train(records)), records).endswith("no gradient was judged along the way.")


@pytest.mark.parametrize(
    ("odd", "where"),
    [([math.inf, math.nan, math.nan], "from round 7 on"), ([math.nan, 1, 1], "in 1 round, first in 7")],
)
def test_that_a_training_that_left_the_numbers_says_so(read: Read, train: Any, odd: list[float], where: str) -> None:
    found = train(rounds=9)
    found["curves"]["jax"]["error"][7:] = odd
    training = read(found)
    lost = "right, but the error of jax is no number any more;" in answer(training, [])
    assert lost == (not math.isfinite(odd[-1]))
    assert list(map(trouble, training.curves)) == [None, None, f"jax: the error is no finite number {where}"]


def test_that_one_of_several_does_not_agree(read: Read, train: Any, make: Any) -> None:
    records = make(cases=1)
    records[0] = msgspec.structs.replace(records[0], verdict=Verdict.NONFINITE)
    end = f"1 of {len(records)} gradients judged along the way does not agree (1 nonfinite); "
    assert end in answer(read(train(records)), records)
