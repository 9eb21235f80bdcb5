"""The command writes its files, finds planted faults, and reports wrong options in one line at once."""

from __future__ import annotations

import html
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from gradagree.cli import main as cli
from gradagree.reference import Activation, ErrorFunction
from gradagree.surveys import survey as survey_module

pytestmark = pytest.mark.skipif(
    not __import__("importlib.util").util.find_spec("torch"), reason="torch is not installed"
)

CROOKED = '''
from gradagree import Activation
import numpy as np

class Crooked(Activation):
    """A(p) = tanh p, whose derivative in torch has four planted faults."""

    def value(self, p):
        return np.tanh(p)

    def derivative(self, p):
        return 1 - np.tanh(p) ** 2

    def torch(self, p, torch):
        class Planted(torch.autograd.Function):
            @staticmethod
            def forward(ctx, p):
                ctx.save_for_backward(p)
                return p.tanh()

            @staticmethod
            def backward(ctx, delta_a):
                (p,) = ctx.saved_tensors
                slope = 1 - p.tanh() ** 2
                slope = torch.where(p == 2, slope * 1.001, slope)
                slope = torch.where(p == 0.5, -slope, slope)
                slope = torch.where(p == 1, torch.full_like(p, float("nan")), slope)
                if len(p) == 7:
                    slope = slope * 1.25
                return delta_a * slope

        return Planted.apply(p)
'''
OPTIONS = ["survey", "--frameworks", "torch", "--modes", "backward,eager", "--dtypes", "float32"]


@pytest.fixture(autouse=True)
def _no_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRADAGREE_CACHE", "off")


def findings(folder: Path) -> list[dict[str, Any]]:
    return json.loads((folder / "findings.json").read_text(encoding="utf-8"))  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def crooked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results folder of a survey of a function with planted faults in torch."""
    folder = tmp_path_factory.mktemp("crooked")
    (folder / "crooked.py").write_text(CROOKED, encoding="utf-8")
    status = cli.code([*OPTIONS, "--ext", str(folder / "crooked.py"), "--out", str(folder / "out")])
    Activation.catalogue.pop("crooked", None)
    assert status == 0
    return folder / "out"


@pytest.mark.parametrize(
    ("kind", "point"),
    [("not finite", 1.0), ("wrong sign", 0.5), ("half the digits", 2.0), ("depends on shape", None)],
)
def test_that_each_planted_fault_is_found_with_an_input_that_reproduces_it(
    crooked: Path, kind: str, point: float | None
) -> None:
    derivatives = [one for one in findings(crooked) if one["quantity"] == "slope"]
    named = [
        one for one in derivatives if one["kind"] == kind or (kind == "half the digits" and one["region"] == "ordinary")
    ]
    assert named
    if kind in ("not finite", "wrong sign"):
        assert [one["example"]["input"] for one in named if one["kind"] == kind] == [[point]]
    if point is None:
        assert "of 7" in named[0]["example"]["window"]


def test_that_pages_and_rows_are_written(crooked: Path) -> None:
    rows = [json.loads(line) for line in (crooked / "atlas.jsonl").read_text().splitlines()]
    measured = [row for row in rows if row.get("status", "measured") == "measured"]
    assert {(row["quantity"], row["mode"]) for row in measured} == {("value", "eager"), ("slope", "backward")}
    assert len(rows) == len({(row["mode"], row["quantity"], row.get("inputs")) for row in rows})
    page = html.unescape((crooked / "functions" / "crooked.html").read_text(encoding="utf-8"))
    index = (crooked / "index.html").read_text(encoding="utf-8")
    assert "<svg" in page
    assert "default-src 'none'" in page
    assert 'href="functions/crooked.html"' in index
    assert "http" not in index.replace("http-equiv", "")


def test_that_the_known_fault_of_soft_margin_in_torch_is_found_and_reproduced(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    options = "--frameworks torch --errors soft_margin --activations prelu,gelu --dtypes float32 --out"
    assert cli.code(["survey", *options.split(), str(out)]) == 0
    found = findings(out)
    kinds = {(one["function"], one["quantity"], one["kind"]) for one in found}
    assert ("soft_margin", "slope", "not finite") in kinds
    assert ("prelu", "slope", "modes differ") in kinds
    assert ("gelu", "value", "early zero") in kinds or ("gelu", "value", "no correct digit") in kinds
    programs = [one["reproducer"] for one in found if one["severity"] in ("high", "medium")]
    assert len(programs) > 3
    script = tmp_path / "all.py"
    script.write_text("\n".join(f"exec({program!r}, {{}})" for program in programs), encoding="utf-8")
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=300, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "import gradagree" not in "".join(programs)
    assert "findings" in capsys.readouterr().out


def test_that_a_program_fails_if_the_framework_is_correct(crooked: Path) -> None:
    (one, *_) = (one for one in findings(crooked) if one["kind"] == "wrong sign")
    program = one["reproducer"].replace("torch.where(p == 0.5, -slope, slope)", "slope")
    assert "class Planted" in program
    with pytest.raises(AssertionError):
        exec(program, {})


MISTAKES = [
    (["--activations", "tanhh"], "did you mean 'tanh'"), (["--errors", "mze"], "mse"),
    (["--frameworks", "torhc"], "did you mean 'torch'"), (["--modes", "backwards"], "did you mean"),
    (["--dtypes", "float8"], "unknown name 'float8'"), (["--profile", "slow"], "unknown profile"),
    (["--activations", "elu(alpha=x)"], "alpha"), (["--ext", "missing.py"], "missing.py"),
]  # fmt: skip


@pytest.mark.parametrize("kinks", [[], ["--kinks"]], ids=["survey", "kinks"])
@pytest.mark.parametrize(("options", "message"), MISTAKES, ids=[" ".join(options) for options, _ in MISTAKES])
def test_that_a_wrong_option_is_reported_in_one_line_before_the_survey_starts(
    options: list[str],
    message: str,
    kinks: list[str],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(survey_module, "run_survey", lambda *_: pytest.fail("the survey started"))
    assert cli.code(["survey", *kinks, *options]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert len(error.splitlines()) == 1


@pytest.mark.parametrize("kinks", [[], ["--kinks"]], ids=["survey", "kinks"])
@pytest.mark.parametrize("place", ["file", "file/inside", "sealed/inside"])
def test_that_a_read_only_folder_is_reported_in_one_line_before_the_survey_starts(
    place: str, kinks: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    if place.startswith("sealed") and os.geteuid() == 0:
        pytest.skip("root may write to every folder")
    (tmp_path / "file").write_text("mine", encoding="utf-8")
    (tmp_path / "sealed").mkdir(mode=0o500)
    monkeypatch.setattr(survey_module, "run_survey", lambda *_: pytest.fail("the survey started"))
    assert cli.code(["survey", *kinks, "--out", str(tmp_path / place)]) == 2
    error = capsys.readouterr().err
    assert "cannot write" in error
    assert len(error.splitlines()) == 1
    assert (tmp_path / "file").read_text() == "mine"


def test_that_a_missing_framework_is_reported(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gradagree.checker.response import Absent

    monkeypatch.setattr(survey_module.RequestQueue, "handshake", Absent("not installed (No module)"))
    assert cli.code(["survey", "--frameworks", "torch", "--activations", "relu", "--out", str(tmp_path / "o")]) == 5
    assert "not installed" in capsys.readouterr().err


MEAN = '''
from gradagree import ErrorFunction
import numpy as np

class PlainMean(ErrorFunction):
    """E = mean_i (o_i - t_i)^2."""

    def value(self, o, t):
        return np.mean((o - t) ** 2, axis=(-2, -1))

    def sensitivity(self, o, t):
        return 2 * (o - t) / (o.shape[-1] * o.shape[-2])

    def torch(self, o, t, torch):
        return torch.nn.functional.mse_loss(o, t) FAULT

    def jax(self, o, t, jax):
        return jax.numpy.mean((o - t) ** 2) FAULT
'''


@pytest.mark.parametrize(("fault", "count"), [("", 0), ("* 2", 1)], ids=["correct", "twice"])
@pytest.mark.parametrize("framework", ["torch", "jax"])
def test_that_a_mean_over_the_batch_is_compared_with_the_mean_of_its_own_batch(
    framework: str, fault: str, count: int, tmp_path: Path
) -> None:
    pytest.importorskip(framework)
    (tmp_path / "mean.py").write_text(MEAN.replace("FAULT", fault), encoding="utf-8")
    options = ["survey", "--frameworks", framework, "--dtypes", "float32", "--ext", str(tmp_path / "mean.py")]
    assert cli.code([*options, "--out", str(tmp_path / "out")]) == 0
    ErrorFunction.catalogue.pop("plain_mean", None)
    rows = [json.loads(line) for line in (tmp_path / "out" / "atlas.jsonl").read_text().splitlines()]
    measured = [(row["quantity"], row.get("inputs", "")) for row in rows if row.get("points")]
    assert measured == [("slope", ""), ("second", ""), ("slope", "cotangents"), ("slope", "targets")]
    found = [one for one in findings(tmp_path / "out") if one["quantity"] == "slope" and one["region"] == "ordinary"]
    found = [one for one in found if one["kind"] != "lost at subnormal input"]
    assert [one["kind"] for one in found] == ["no correct digit"] * (2 * count)
    assert sum(one["example"].get("by") == "target" for one in found) == count
    for one in found:
        assert one["example"]["given"] == pytest.approx(2 * one["example"]["true"])
        exec(one["reproducer"], {})
        with pytest.raises(AssertionError):
            exec(one["reproducer"].replace("* 2\n", "\n"), {})
