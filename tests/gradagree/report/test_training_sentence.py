from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gradagree.checker.verdict import Record, Verdict
from gradagree.errors import UsageError
from gradagree.report.training import loss_warning, sentence, write_training
from gradagree.report.training_data import Training, outcomes_along, read_training

Read = Callable[..., Training]


def answer(training: Training, records: list[Record]) -> str:
    return sentence(training, outcomes_along(training, records))


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """Reads what train.json would hold."""

    def read(found: dict[str, Any]) -> Training:
        (tmp_path / "train.json").write_text(json.dumps(found), encoding="utf-8")
        return read_training(tmp_path)

    return read


def test_that_the_sentence_follows_the_file(read: Read, train: Any, make: Any) -> None:
    records = make(cases=7)
    found = train(records)
    for place, curve in enumerate(found["curves"].values()):
        curve["accuracy"][-1] = 0.45 if place < 3 else 0
    assert answer(read(found), records) == (
        "Trained the reference, torch and jax from the same weights on the same sampled examples: the 3-2-4 network "
        f"classifies 45 % of 100 held-out patients correctly; all {len(records)} gradients checked along the way agree."
    )


@pytest.mark.parametrize("verdict", [Verdict.DISAGREE, Verdict.CRASHED, Verdict.UNDECIDED, Verdict.CONVENTION])
def test_that_the_sentence_counts_what_does_not_agree(read: Read, train: Any, make: Any, verdict: Verdict) -> None:
    records = make(cases=30, odd={verdict: 0.2})
    odd = sum(record.verdict is verdict for record in records)
    end = answer(read(train(records)), records).partition("; ")[2]
    if verdict.fails:
        start = f"{odd} of {len(records)} gradients checked along the way do not agree ({odd} {verdict}); "
        assert end == f"{start}of the other {len(records) - odd}, {len(records) - odd} agree."
    else:
        assert re.match(rf"of {len(records)} gradients checked along the way .*\b{odd} ", end)
        assert "all" not in end


def test_that_different_accuracies_are_named(read: Read, train: Any) -> None:
    found = train()
    for name, accuracy in (("reference", 0.5), ("torch", 0.25), ("jax", 0.5)):
        found["curves"][name]["accuracy"][-1] = accuracy
    assert "classifies 50 % (reference and jax) and 25 % (torch) of" in answer(read(found), [])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "is not the results folder of a training run"),
        ("{", "cannot be read"),
        ("[]", "Expected `object`"),
        ('{"curves": null}', r"`\$\.curves`"),
        ('{"checkpoints": [{"step": -1}]}', r"`\$\.checkpoints\[0\]\.step`"),
        ('{"network": {"weights": [[[[]]]]}}', r"`\$\.network\.weights\[0\]\[0\]\[0\]`"),
        ('{"checkpoints": [{"verdicts": {"torch:backward": "fine"}}]}', "Invalid enum value 'fine'"),
    ],
)
def test_that_an_unreadable_file_is_a_usage_error(
    tmp_path: Path, run_folder: Any, text: str | None, message: str
) -> None:
    folder = run_folder(tmp_path, [])
    if text is not None:
        (folder / "train.json").write_text(text, encoding="utf-8")
    with pytest.raises(UsageError, match=message):
        write_training(folder)


def test_that_one_gradient_is_in_the_singular(read: Read, train: Any, make: Any) -> None:
    records = make(cases=1)[:1]
    assert answer(read(train(records)), records).endswith("; the gradient checked along the way agrees.")


def test_that_a_single_training_run_shares_no_weights(read: Read, train: Any) -> None:
    found = train()
    del found["curves"]["torch"], found["curves"]["jax"]
    assert answer(read(found), []).startswith("Trained the reference: the 3-2-4 network classifies")


def test_that_without_accuracies_the_sentence_has_the_loss(read: Read, train: Any) -> None:
    found = train(rounds=4)
    for curve in found["curves"].values():
        curve["error"][-1] = 0.125
        del curve["accuracy"]
    assert "the 3-2-4 network has a loss of 0.125 after 4 rounds;" in answer(read(found), [])


@pytest.mark.parametrize(
    ("dataset", "one"),
    [("diabetes", "held-out patients"), ("digits", "held-out digits"), ("mine", "held-out examples")],
)
def test_that_examples_are_called_by_their_name(read: Read, train: Any, dataset: str, one: str) -> None:
    assert f" of 100 {one} correctly" in answer(read(train() | {"dataset": dataset}), [])
    assert f" of {one} correctly" in answer(read(train() | {"dataset": dataset, "held_out": None}), [])


def test_that_full_batches_sample_no_examples(read: Read, train: Any) -> None:
    assert "from the same weights on the same examples:" in answer(read(train() | {"way": "full"}), [])
    assert "the same sampled examples" in answer(read(train()), [])


def test_that_gradients_that_no_framework_computed_do_not_agree(read: Read, train: Any, make: Any) -> None:
    records = make(cases=2, odd={Verdict.ABSENT: 1})
    assert answer(read(train(records)), records).endswith("no gradient was checked along the way.")


@pytest.mark.parametrize(
    ("odd", "where"),
    [([math.inf, math.nan, math.nan], "from round 7 on"), ([math.nan, 1, 1], "in 1 round, first in 7")],
)
def test_that_a_diverged_training_run_has_a_warning(read: Read, train: Any, odd: list[float], where: str) -> None:
    found = train(rounds=9)
    found["curves"]["jax"]["error"][7:] = odd
    training = read(found)
    lost = "correctly, but the loss of jax is no longer finite;" in answer(training, [])
    assert lost == (not math.isfinite(odd[-1]))
    assert list(map(loss_warning, training.curves)) == [None, None, f"jax: the loss is not finite {where}"]


def test_that_one_of_several_does_not_agree(read: Read, train: Any, make: Any) -> None:
    records = make(cases=1)
    records[0] = msgspec.structs.replace(records[0], verdict=Verdict.NONFINITE)
    end = f"1 of {len(records)} gradients checked along the way does not agree (1 nonfinite); "
    assert end in answer(read(train(records)), records)
