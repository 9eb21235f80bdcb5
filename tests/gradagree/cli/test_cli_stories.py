"""What happens to people who write an activation of their own, right and wrong, from the file to the exit code."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gradagree.cases.graph_case import parse_case
from gradagree.checker.verdict import Record, Verdict
from gradagree.cli.main import code
from gradagree.reference import Activation
from gradagree.runner.results import read_records

needs_torch = pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="PyTorch is not installed")
needs_jax = pytest.mark.skipif(importlib.util.find_spec("jax") is None, reason="JAX is not installed")

HEADER = "from gradagree import Activation\nimport numpy as np\nfrom scipy.special import expit\n"
BENT = f'''{HEADER}
class Bent(Activation):
    """A(p) = tanh p."""

    def value(self, p):
        return np.tanh(p)

    def derivative(self, p):
        return 1 - np.tanh(p) ** 2
'''
TORCH = """
    def torch(self, p, torch):
        return torch.tanh(p)
"""
JAX = """
    def jax(self, p, jax):
        return jax.numpy.tanh(p)
"""
SLIGHTLY_OFF = """
    def torch(self, p, torch):
        class Off(torch.autograd.Function):
            @staticmethod
            def forward(context, p):
                y = torch.tanh(p)
                context.save_for_backward(y)
                return y

            @staticmethod
            def backward(context, delta):
                (y,) = context.saved_tensors
                return delta * (1 - y * y) * FACTOR

        return Off.apply(p)
"""
GATED = f'''{HEADER}
class Gated(Activation):
    """A(p) = p s(p)."""

    def value(self, p):
        return p * expit(p)

    def derivative(self, p):
        s = expit(p)
        return s + p * s * (1 - s)

    def jax(self, p, jax):
        return p * GATE(jax.nn.sigmoid(p))
'''
EXACTLY = (
    "--cases", "6", "--frameworks", "torch", "--modes", "backward", "--dtypes", "float64", "--regimes", "ordinary",
)  # fmt: skip
Run = Callable[..., tuple[int, str, list[Record]]]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs gradagree on a file of one's own: the exit code, standard error, and the records."""
    monkeypatch.setattr(Activation, "catalogue", dict(Activation.catalogue))
    monkeypatch.chdir(tmp_path)

    def command(content: str, *options: str) -> tuple[int, str, list[Record]]:
        Path("mine.py").write_text(content)
        ended = code(["run", "--ext", "mine.py", "--workers", "1", "--shrink", "0", "--out", "results", *options])
        error = capsys.readouterr().err
        assert "Traceback" not in error
        records = list(read_records(Path("results"))) if Path("results").exists() else []
        return ended, error, records

    return command


def assert_refused(result: tuple[int, str, list[Record]], message: str) -> None:
    ended, error, records = result
    assert re.fullmatch(f"gradagree: {message}\n", error), error
    assert (ended, records) == (2, [])


def test_that_a_wrong_derivative_is_an_error_with_a_point_where_it_is_wrong(run: Run) -> None:
    wrong = BENT.replace("np.tanh(p) ** 2", "np.tanh(p)") + TORCH + JAX
    number = r"-?\d+\.\d+(e-\d+)?"
    message = f"at p = {number} it gives {number}, but the derivative of value is {number} .*"
    assert_refused(run(wrong), f"bent: derivative does not match value: {message}")


@needs_torch
def test_that_a_backward_pass_off_by_a_billionth_is_found_in_its_box(run: Run) -> None:
    ended, _, records = run(BENT + SLIGHTLY_OFF.replace("FACTOR", "(1 + 1e-9)"), *EXACTLY)
    assert (ended, len(records)) == (1, 6)
    bent = [record for record in records if "bent" in record.spec]
    assert bent
    for record in bent:
        case = parse_case(record.spec)
        assert (record.verdict, record.function) == (Verdict.DISAGREE, "bent"), record
        assert str(case.function(int(str(record.box)))) == "bent"
        assert str(record.entry).startswith("delta_p[")
    assert {record.verdict for record in records if record not in bent} <= {Verdict.AGREE}


@needs_torch
def test_that_the_same_backward_pass_is_right_without_the_billionth(run: Run) -> None:
    ended, _, records = run(BENT + SLIGHTLY_OFF.replace("FACTOR", "1"), *EXACTLY)
    assert (ended, {record.verdict for record in records}) == (0, {Verdict.AGREE})


@needs_jax
@pytest.mark.parametrize(("gate", "expected"), [("jax.lax.stop_gradient", 1), ("", 0)], ids=["detached", "attached"])
def test_that_a_gate_that_is_detached_is_found(gate: str, expected: int, run: Run) -> None:
    ended, _, records = run(GATED.replace("GATE", gate), "--frameworks", "jax", "--modes", "grad", "--cases", "2")
    assert ended == expected
    assert len(records) == 4
    gated = [record for record in records if record.verdict.fails]
    assert {record.function for record in gated} == ({"gated"} if expected else set())
    assert {record.verdict for record in gated} == ({Verdict.DISAGREE} if expected else set())


@needs_torch
@needs_jax
def test_that_a_framework_without_an_implementation_is_a_row_with_the_line_to_add(run: Run) -> None:
    ended, _, records = run(BENT + TORCH, "--cases", "1", "--modes", "backward,grad")
    assert ended == 0
    verdicts = {record.framework: record.verdict for record in records}
    assert verdicts == {"torch": Verdict.AGREE, "jax": Verdict.UNSUPPORTED}
    reasons = {record.reason for record in records if record.framework == "jax"}
    assert reasons == {"Bent has no method 'jax': add `def jax(self, p, jax)` to it"}


@needs_jax
def test_that_where_no_framework_has_an_implementation_nothing_was_compared(run: Run) -> None:
    ended, _, records = run(BENT + TORCH, "--cases", "1", "--frameworks", "jax", "--modes", "grad")
    assert (ended, {record.verdict for record in records}) == (5, {Verdict.UNSUPPORTED})


def test_that_a_misspelled_method_is_an_error_with_the_nearest_name(run: Run) -> None:
    message = r"--ext mine.py, line 5: ContractError: Bent.trch is no part of an activation; did you mean 'torch'\? .*"
    assert_refused(run(BENT + TORCH.replace("def torch", "def trch")), message)


def test_that_a_file_that_raises_is_an_error_with_its_line(run: Run) -> None:
    result = run(f"{BENT}\n\ntable = {{}}\ntable['slope']\n")
    lines = len(f"{BENT}\n\ntable = {{}}\ntable['slope']".splitlines())
    assert_refused(result, f"--ext mine.py, line {lines}: KeyError: 'slope'")


@needs_torch
@pytest.mark.parametrize("error", ["RuntimeError('torch is broken')", "SystemExit(3)"])
def test_that_an_implementation_that_raises_is_a_crash_of_its_own_cases(error: str, run: Run) -> None:
    implementation = f"\n    def torch(self, p, torch):\n        raise {error}\n"
    options: Any = ("--cases", "2", "--frameworks", "torch", "--modes", "backward", "--dtypes", "float32")
    ended, _, records = run(BENT + implementation, *options)
    assert (ended, len(records)) == (1, 2)
    for record in records:
        assert record.verdict == (Verdict.CRASHED if "bent" in record.spec else Verdict.AGREE)


@needs_torch
@pytest.mark.parametrize(
    ("implementation", "message"),
    [
        ("return torch.tanh(p).sum()", r"Bent.torch returns shape \(\) for p of shape \(\d+(, \d+)+\); it must be \("),
        (
            "return torch.tanh(p)[:, :1]",
            r"Bent.torch returns shape \(\d+, 1(, \d+)*\) for p of shape \(\d+(, \d+)+\); it must be \(",
        ),
        ("torch.tanh(p)", r"Bent.torch returns nothing: end it with `return` and the formula"),
    ],
)
def test_that_an_implementation_of_another_shape_is_named(implementation: str, message: str, run: Run) -> None:
    ended, _, records = run(BENT + TORCH.replace("return torch.tanh(p)", implementation), *EXACTLY)
    assert ended == 1
    reasons = {str(record.reason) for record in records if record.verdict is Verdict.CRASHED}
    named = {reason for reason in reasons if re.match(message, reason)}
    assert named
    assert {reason.partition(":")[0] for reason in reasons - named} <= {"its answer is malformed"}
