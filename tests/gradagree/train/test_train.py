"""Training runs: frameworks beside the reference, checked along the way, and reproducible."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gradagree.checker.response import Response
from gradagree.checker.verdict import Verdict
from gradagree.errors import UsageError
from gradagree.runner.process import FrameworkProcess
from gradagree.runner.replay import find_case
from gradagree.runner.results import read_meta, read_records
from gradagree.train.config import CONFIGS, find_config
from gradagree.train.run import TrainingRun, parse_training_run, run_training

pytest.importorskip("sklearn")


def trained(folder: Path, **options: Any) -> TrainingRun:
    training = parse_training_run(
        **{"dataset": "diabetes", "frameworks": "torch", "rounds": 1, "every": 150, **options}
    )
    run_training(training, folder, "gradagree train", False, lambda record: None)
    return training


@pytest.mark.parametrize("name", CONFIGS)
def test_that_initial_weights_are_small_and_epochs_are_sampled_at_random(name: str) -> None:
    own = find_config(name)
    examples, held_out = own.data()
    assert len(held_out) == own.held_out
    assert all(np.abs(w).max() < 1 for w in own.weights(0).w)
    assert sorted(set(own.sample_epoch(0, 1, len(examples)))) != own.sample_epoch(0, 1, len(examples))
    assert own.sample_epoch(0, 1, len(examples)) != own.sample_epoch(0, 2, len(examples))


def test_that_the_digits_network_decides_nine_of_ten_held_out_digits_right(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    training = trained(tmp_path, dataset="digits", rounds=8, every=10_000)
    assert min(training.curves[name]["accuracy"][-1] for name in ("reference", "torch")) >= 0.9


def test_that_torch_sees_the_same_examples_from_the_same_weights(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    training = trained(tmp_path)
    by_reference, by_torch = (training.curves[name]["error"] for name in ("reference", "torch"))
    assert by_reference[0] == by_torch[0]
    assert len(by_reference) == len(by_torch) == 2
    other = trained(tmp_path / "other", seed=1)
    assert abs(by_reference[1] - by_torch[1]) < abs(by_reference[1] - other.curves["torch"]["error"][1])


def test_that_every_checkpoint_has_a_record_in_every_dtype_that_can_be_seen_again(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    training = trained(tmp_path)
    records = list(read_records(tmp_path))
    assert [steps for steps, _ in training.checkpoints] == [0, 150, 300]
    assert [record.dtype for record in records] == ["float64", "float32"] * 3
    assert {record.verdict for record in records} == {Verdict.AGREE}
    for record in records:
        case = find_case(record.spec, tmp_path)
        assert (case.spec, case.arrays().sha256) == (record.spec, record.sha256)
    saved = json.loads((tmp_path / "train.json").read_text())
    assert [point["spec"] for point in saved["checkpoints"]] == [record.spec for record in records]
    assert [point["verdicts"] for point in saved["checkpoints"]] == [{"torch:backward": "agree"}] * 6
    assert read_meta(tmp_path)["frameworks"]["torch"]["installed"]


class LongSteps(FrameworkProcess):
    """Its steps are a little too long."""

    def compute(self, *args: Any, **options: Any) -> Any:
        for response in super().compute(*args, **options):
            assert isinstance(response, Response)
            updated = {name: x * (1 + 1e-9) for name, x in response.tapped.updated.items()}
            yield response._replace(tapped=replace(response.tapped, updated=updated))


def test_that_a_step_of_another_length_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch")
    monkeypatch.setattr("gradagree.train.run.FrameworkProcess", LongSteps)
    trained(tmp_path, every=10_000)
    found = {record.dtype: (record.verdict, (record.entry or "")[:2]) for record in read_records(tmp_path)}
    assert found["float64"] == (Verdict.DISAGREE, "w[")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dataset": "diabetis"}, "no data set 'diabetis' to train on; did you mean 'diabetes'?"),
        ({"way": "ful"}, "--way: unknown name 'ful'; did you mean 'full'?"),
        ({"rounds": 0}, "--rounds 0: give a whole number of at least 1"),
        ({"every": -1}, "--every -1: give a whole number of at least 1"),
        ({"rate": float("nan")}, "--rate nan: give a number above 0"),
        ({"seconds": 0.0}, "--seconds 0: give a number above 0"),
        ({"low_enough": float("nan")}, "--low-enough nan: give a loss of at least 0"),
        ({"low_enough": -1.0}, "--low-enough -1: give a loss of at least 0"),
        ({"seed": -1}, "--seed -1: give a whole number of at least 0"),
        ({"frameworks": "tensorflow"}, "--frameworks: 'tensorflow' cannot be trained; known: jax, torch"),
    ],
)
def test_that_an_invalid_option_is_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as error:
        parse_training_run(**{"dataset": "diabetes", **options})
    assert str(error.value) == message


def test_that_full_batch_training_checks_all_examples_at_once(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    training = trained(tmp_path, way="full", rounds=2, every=2, rate=2.0**-12)
    assert dataclasses.is_dataclass(training)
    assert {record.spec.split(":")[3] for record in read_records(tmp_path)} == {"n342"}
    assert {record.verdict for record in read_records(tmp_path)} == {Verdict.AGREE}
