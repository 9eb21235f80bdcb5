"""The table of the frameworks' known faults: each entry covers its proof, and no other fault of the same function."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gradagree.checker.verdict import Record, Verdict
from gradagree.compare.side import read_side
from gradagree.report import summarize
from gradagree.report.findings import UPSTREAM
from gradagree.report.html import page
from gradagree.report.junit import suites
from gradagree.report.markdown import document
from gradagree.report.provenance import merged_meta
from gradagree.runner.known import decode_known, find_known, known_in
from gradagree.runner.known_upstream import UpstreamFault, upstream_faults

ROOT = Path(__file__).parents[3]
SPEC = "1-8-8-3-1-12:id,erf,cos,gelu,hardsigmoid:multiclass_hinge:n32:f64:ordinary:s550603312"
BCE = "10-32-5-64:id,sparse_plus,selu,softmin:bce:n32:f32:grid:s356125571"
TRUE, WRONG = 0.015768686930338543, 0.015768687400282033
OFF: dict[str, Any] = {"known": []}


def record(verdict: Verdict = Verdict.DISAGREE, **changes: Any) -> Record:
    """hardsigmoid's gradient in torch, with 1/6 rounded to float32."""
    numbers = {"expected": TRUE.hex(), "observed": WRONG.hex(), "ratio": 3.0} if verdict.fails else {}
    plain: dict[str, Any] = {
        "case": "1", "spec": SPEC, "sha256": "", "framework": "torch", "version": "2.13.0+cpu", "mode": "backward",
        "dtype": "float64", "verdict": verdict, "function": "hardsigmoid", "box": 5, "entry": "delta_p[2,0]",
    }  # fmt: skip
    return Record(**plain | numbers | changes)


def of_bce(expected: float, observed: float, entry: str = "delta_p[12,34]") -> Record:
    return record(
        spec=BCE, dtype="float32", function="bce", box="error", entry=entry,
        expected=expected.hex(), observed=observed.hex(),
    )  # fmt: skip


def test_that_a_fault_of_the_table_does_not_fail_a_run_and_known_none_disables_it() -> None:
    assert summarize({}, [record()]).exit == 0
    assert summarize(OFF, [record()]).exit == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"observed": (-TRUE).hex()}, {"observed": (TRUE * (1 + 1e-9)).hex()}, {"observed": "nan"},
        {"observed": "0x0p+0"},
        {"verdict": Verdict.NONFINITE}, {"dtype": "float32"}, {"mode": "compile"}, {"framework": "jax"},
        {"version": "2.12.1"}, {"entry": "dw[2,0]"}, {"box": 2, "function": "erf"}, {"box": 2}, {"function": None},
        {"spec": "1-1:hardsigmoid:sse:n1:f64:explicit:@0694eb1963ea", "box": 1}, {"entry": "delta_p[99,0]"},
    ],
    ids=str,
)  # fmt: skip
def test_that_another_fault_of_the_same_function_fails(changes: dict[str, Any]) -> None:
    assert summarize({}, [record(**changes)]).exit == 1


def test_that_an_entry_covers_only_its_input_region() -> None:
    known = of_bce(-102451640475.90268, -488281248.0)
    assert summarize({}, [known]).exit == 0
    assert summarize({}, [of_bce(-102451640475.90268, 488281248.0)]).exit == 1
    assert summarize({}, [of_bce(-1.0, -0.5, "delta_p[0,0]")]).exit == 1
    ordinary = BCE.replace("softmin", "sigmoid").replace("grid", "ordinary")
    assert summarize({}, [record(**_fields(known) | {"spec": ordinary})]).exit == 1


@pytest.mark.parametrize(
    "spec",
    [
        "2-3b:id:multilabel_margin:n2:f64:ordinary:s1",
        "residual-4x4:weight_norm/4,softplus,dense/4,concatenation@0+3,gelu,dense/4:multilabel_margin:n4:f32:grid:s368103910",
    ],
)
def test_that_the_loss_of_padded_targets_in_a_compiled_program_is_known(spec: str) -> None:
    changes: dict[str, Any] = {
        "spec": spec, "function": "multilabel_margin", "box": "error", "entry": "E", "expected": (1.04).hex(),
        "observed": (2.27).hex(), "mode": "compile", "dtype": "float64" if ":f64:" in spec else "float32",
    }  # fmt: skip
    assert summarize({}, [record(Verdict.VALUE_DIFFERS, **changes)]).exit == 0
    assert summarize({}, [record(Verdict.VALUE_DIFFERS, **changes | {"mode": "backward"})]).exit == 1


def _fields(one: Record) -> dict[str, Any]:
    names = ("dtype", "function", "box", "entry", "expected", "observed")
    return {name: getattr(one, name) for name in names}


def test_that_every_report_shows_it_as_known_upstream(capsys: pytest.CaptureFixture[str]) -> None:
    summary = summarize({}, [record(), record(Verdict.AGREE, function=None, box=None, entry=None, mode="grad")])
    for written in (page(summary), document(summary), suites(summary), summary.sentence):
        assert UPSTREAM in written
    assert 'failures="0"' in suites(summary)
    assert UPSTREAM not in document(summarize(OFF, [record()]))


def test_that_a_version_without_the_fault_is_reported_and_does_not_fail() -> None:
    agrees = record(Verdict.AGREE, version="2.14.0", function=None, box=None, entry=None)
    summary = summarize({}, [record(), agrees])
    states = [one.state for one in summary.accepted.standings()]
    assert states == [UPSTREAM, "no longer seen: 1 compared with torch 2.14.0, none differs"]
    assert summary.exit == 0
    assert "no longer seen" in document(summary)


def test_that_what_did_not_reach_the_region_is_not_reported() -> None:
    saturated = "1-1:hardsigmoid:sse:n1:f64:explicit:@0694eb1963ea"
    others = [record(Verdict.AGREE, spec=saturated), record(Verdict.UNDECIDED), record(Verdict.AGREE, dtype="float32")]
    assert list(summarize({}, others).accepted.standings()) == []


def test_that_a_projects_file_adds_to_the_table(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(
        '[[known]]\nframework = "jax"\nfunction = "gelu"\nclass = "disagree"\nreason = "r"\n'
    )
    mine = find_known(str(tmp_path / "mine.toml"))
    assert mine is not None
    meta = {"known": [entry.to_json() for entry in mine]}
    assert known_in(meta) == [*mine, *upstream_faults()]
    (tmp_path / "empty.toml").write_text("")
    assert find_known(str(tmp_path / "empty.toml")) == known_in({}) == upstream_faults()
    assert known_in(OFF) == []


def test_that_joined_runs_keep_the_table_unless_all_disabled_it() -> None:
    assert known_in(merged_meta([{}, {"strict": True}])) == upstream_faults()
    assert known_in(merged_meta([OFF, dict(OFF)])) == []
    assert known_in(merged_meta([OFF, {}])) == upstream_faults()


def test_that_entries_survive_storing() -> None:
    assert decode_known([entry.to_json() for entry in upstream_faults()]) == upstream_faults()


def test_that_every_entry_has_a_version_a_proof_and_a_command() -> None:
    for entry in upstream_faults():
        assert isinstance(entry, UpstreamFault)
        assert all((entry.version, entry.proof, entry.shown, entry.reason, entry.region, entry.bounds))
        assert all(low <= high for low, high in (*entry.bounds, *entry.surely))


def test_that_a_comparison_knows_them(tmp_path: Path) -> None:
    (tmp_path / "results.jsonl").write_bytes(msgspec.json.encode(record()) + b"\n")
    for meta, fails in ((b"{}", False), (b'{"known": []}', True)):
        (tmp_path / "meta.json").write_bytes(meta)
        (outcome,) = read_side(tmp_path).outcomes.values()
        assert outcome.fails == fails


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
@pytest.mark.parametrize("code", [0, 1, 3])
def test_that_make_run_fails_if_a_command_does(tmp_path: Path, code: int) -> None:
    """With a stand-in for gradagree whose run ends with this code."""
    shutil.copy(ROOT / "Makefile", tmp_path)
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    for name in ("pyproject.toml", "constraints.txt", ".venv/ready"):
        (tmp_path / name).touch()
    stand_in = tmp_path / ".venv" / "bin" / "gradagree"
    stand_in.write_text(f'#!/bin/sh\n[ "$1" != run ] || exit {code}\n')
    stand_in.chmod(0o755)
    assert bool(subprocess.run(["make", "run"], cwd=tmp_path, capture_output=True).returncode) == bool(code)
