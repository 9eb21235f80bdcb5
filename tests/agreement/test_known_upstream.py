"""Faults of the table, in the installed frameworks: every finding of these cases is known, and nothing else is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gradagree import Case, check
from gradagree.api import Disagreement
from gradagree.arithmetic.model import FORMATS
from gradagree.arithmetic.rounding import round_to_format
from gradagree.cases.case import Arrays
from gradagree.cases.file import case_path, write_case
from gradagree.cli.main import code
from gradagree.reference import Activation
from gradagree.reference.activations import Hardsigmoid
from gradagree.report import summarize, write_reports
from gradagree.runner import known_upstream
from gradagree.runner.results import Journal

KERNEL = (
    "convolutional-2x4x8:convolution(axes=1,padding=1,groups=2)/4x3,hardswish,average_pool(axes=1),average_pool(axes=1),"
    "flatten,dense/4:sse:n2:f16:saturated:s589"
)
TINY_TARGETS = (
    "32-10b-12b-8b-4b-255b:id,gumbel_softmax,logmeanexp,tanh,log_sigmoid:generalized_kl:n32:f32:tiny:s807643203"
)
SCORES = (
    "transformer-2x4x4:layer_norm_affine,multi_head_attention,addition@0+2,rms_norm_scaled,dense/8,gelu,dense/4,"
    "addition@3+7,layer_norm_affine,flatten(rows=True),dense/4:poisson_nll:n8:f64:saturated:s200063"
)
SEEN = [
    ("6-4b-5:id,hardsigmoid:sse:n4:f64:ordinary:s1", "torch:backward"),
    ("6-4b-5:id,hardsigmoid:sse:n4:f64:ordinary:s1", "torch:forward"),
    ("10-32-5-64:id,sparse_plus,selu,softmin:bce:n32:f32:grid:s356125571", "torch:backward"),
    ("1-6-12-16-64-2:id,standardize,log_softmax,mish*2,softmax:bce:n4:f16:grid:s34874130", "torch:vmap"),
    ("1-6-12-16-64-2:id,standardize,log_softmax,mish*2,softmax:bce:n4:f64:grid:s34874130", "jax:packed"),
    ("8-5b-8b-8b-16b-24b:id,relu6,dropout,softplus,sqrt:soft_margin:n1:f16:grid:s374271266", "torch:backward"),
    ("32-16b:id:soft_margin:n8:f32:saturated:s105383508", "torch:forward"),
    ("10-64b:id,softplus_threshold:gaussian_nll:n16:f64:saturated:s334152530", "torch:forward"),
    ("64-5-12:id,softshrink,standardize:generalized_kl:n16:f16:zeros:s273182797", "jax:grad"),
    (TINY_TARGETS, "torch:backward"),
    ("5-32-12-12-48:id,maximum_zero,dropout,abs,gumbel_softmax:generalized_kl:n8:f16:tiny:s83773768", "torch:backward"),
    (KERNEL, "torch:grad"),
    (SCORES, "jax:packed"),
]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("spec", "column"), SEEN, ids=[f"{column}-{spec}" for spec, column in SEEN])
def test_that_a_fault_of_the_framework_is_known(spec: str, column: str) -> None:
    framework, mode = column.split(":")
    with pytest.raises(Disagreement) as caught:
        check(spec, frameworks=framework, modes=mode, known="none")
    summary = summarize({}, caught.value.records)
    assert (summary.exit, summary.failing, summary.accepted.failing_upstream) == (0, 0, 1)
    assert summarize({"known": []}, caught.value.records).exit == 1


SIXTH, COLUMN = SEEN[0]


def test_that_check_accepts_a_known_fault_and_its_record_says_so() -> None:
    (record,) = check(SIXTH, frameworks="torch", modes="backward")
    assert record.verdict.fails
    assert record.known == "known upstream: its derivative is 1/6 rounded to float32, in float64 too"


def test_that_the_same_fault_in_a_function_of_the_user_fails() -> None:
    import torch

    def mine(p: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.hardsigmoid(p)

    with pytest.raises(Disagreement, match="hardsigmoid"):
        check(mine, Hardsigmoid(), frameworks="torch", modes="backward", case=SIXTH)
    (record,) = check(torch.nn.functional.hardsigmoid, Hardsigmoid(), frameworks="torch", modes="backward", case=SIXTH)
    assert record.known


def test_that_replay_shows_a_known_fault_as_such_and_known_none_disables_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert code(["replay", SIXTH, "--modes", COLUMN]) == 0
    assert "disagree in operation 2 (hardsigmoid) (known upstream: its derivative" in " ".join(
        capsys.readouterr().out.split()
    )
    assert code(["replay", SIXTH, "--modes", COLUMN, "--known", "none"]) == 1


@pytest.fixture
def explicit() -> Case:
    """The loss bce at one output that is certain and right; its arrays are not in its text."""
    arrays = Arrays((np.zeros((1, 1)),), (np.zeros(1),), np.zeros((1, 1)), np.zeros((1, 1)))
    return Case.of(Case.parse("1-1b:id:bce:n1:f64:grid:s1"), arrays)


def test_that_a_fault_in_an_explicit_case_is_known(explicit: Case, tmp_path: Path) -> None:
    (record,) = check(explicit, frameworks="torch", modes="backward")
    assert record.known.startswith("known upstream: the gradient of binary_cross_entropy clamps")
    write_case(explicit, tmp_path / "case.json")
    assert code(["replay", str(tmp_path / "case.json"), "--modes", "torch:backward"]) == 0
    assert code(["replay", str(tmp_path / "case.json"), "--modes", "torch:backward", "--known", "none"]) == 1


def test_that_a_report_finds_an_explicit_case_in_its_folder(
    explicit: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (record,) = check(explicit, frameworks="torch", modes="backward")
    monkeypatch.setattr(known_upstream, "_FOUND", {})
    journal = Journal(tmp_path)
    journal.append(record)
    journal.write_meta({})
    journal.close()
    assert write_reports(tmp_path).exit == 1
    case_path(tmp_path, explicit).parent.mkdir()
    write_case(explicit, case_path(tmp_path, explicit))
    assert write_reports(tmp_path).exit == 0


RMS, CUBED, SMOOTHED = "rms_norm(eps=0.0)", "layer_norm(eps=0.0)", "cross_entropy(label_smoothing=0.125)"
EXPLICIT: list[tuple[str, str, list[float], Any, str]] = [
    (RMS, "f32", [-(2.0**-44), 0, 0], None, "torch:backward"),
    (RMS, "bf16", [-(2.0**-44), 0, 0], None, "torch:forward"),
    (RMS, "f64", [-(2.0**-345), 0, 0], None, "torch:grad"),
    (CUBED, "f32", [-(2.0**-44), 0, 0], None, "torch:forward"),
    (CUBED, "f64", [-(2.0**-345), 0, 0], None, "torch:forward"),
    (SMOOTHED, "f32", [0, 0, 2.0**127], 2, "torch:backward"),
    (SMOOTHED, "f64", [0, 0, 2.0**1023], 2, "torch:forward"),
    (SMOOTHED, "f16", [0, 0, 2.0**15], 2, "torch:grad"),
    ("sparse_plus", "f64", [-(2.0**1023)], None, "jax:grad"),
    ("binary_sparsemax", "f32", [-(2.0**127)], 0, "jax:packed"),
    ("binary_sparsemax", "f64", [-(2.0**1023)], 0, "jax:grad"),
    ("softplus", "f32", [16], -1e34, "torch:backward"),
    ("softplus", "f64", [16], -(2.0**1010), "torch:backward"),
    ("softplus_threshold", "bf16", [16], -(2.0**113), "torch:backward"),
]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("function", "dtype", "row", "target", "column"), EXPLICIT)
def test_that_a_fault_at_given_numbers_is_known(
    function: str, dtype: str, row: list[float], target: Any, column: str
) -> None:
    """Of an activation, with a target 1/2 below the value unless it is given; of a loss, with this target."""
    framework, mode = column.split(":")
    x, n = np.array([row], dtype=np.float64), len(row)
    if function.partition("(")[0] in Activation.catalogue:
        base = Case.parse(f"{n}-{n}:{function}:sse:n1:{dtype}:grid:s1")
        with np.errstate(all="ignore"):
            value = np.nan_to_num(Activation.named(function).value(x), posinf=0.0, neginf=0.0)
        below = value - 0.5 * (np.arange(n) == 0) if target is None else np.full((1, n), target)
        t = round_to_format(below, FORMATS[base.dtype])
    else:
        base = Case.parse(f"{n}-{n}:id:{function}:n1:{dtype}:grid:s1")
        given = base.arrays().targets
        t = np.full(given.shape, target, dtype=given.dtype)
    case = Case.of(base, Arrays((np.eye(n),), (None,), x, t))
    (record,) = check(case, frameworks=framework, modes=mode)
    assert record.verdict.fails
    assert record.known.startswith("known upstream")
    with pytest.raises(Disagreement):
        check(case, frameworks=framework, modes=mode, known="none")
