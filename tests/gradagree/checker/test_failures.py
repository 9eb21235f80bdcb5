"""Failures as text: one paragraph for each cause, with the input at fault, and a way to see it again."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from gradagree import Activation, Case, check
from gradagree.api import Disagreement
from gradagree.checker.failures import describe_input, format_failures
from gradagree.checker.verdict import Record, Verdict
from gradagree.reference.activations import Gelu, Silu

torch = pytest.importorskip("torch")


class _Third(Activation):
    name = "third"

    def value(self, p: Any) -> Any:
        return p / 3.0

    def derivative(self, p: Any) -> Any:
        return np.zeros_like(p) + 1 / 3.0

    def torch(self, p: Any, torch: Any) -> Any:
        return p / 3.0 + 0.25 * (p - p.detach())


def record(verdict: str, **fields: Any) -> Record:
    given = {"case": "1", "spec": "2-1:id:sse:n1:f64:grid:s1", "sha256": "", "framework": "torch", "version": "2"}
    return Record(**{**given, "mode": "backward", "dtype": "float64", "verdict": Verdict(verdict), **fields})


def test_that_each_cause_is_shown_once_and_the_worst_first() -> None:
    found = [
        record("disagree", function="silu", box=2, entry="delta_p[0,0]", ratio=3.0),
        record("disagree", function="silu", box=2, entry="delta_p[1,0]", ratio=9.0, mode="vmap"),
        record("agree", function="tanh"),
        record("crashed", reason="raised ValueError: row 3"),
        record("crashed", reason="raised ValueError: row 4"),
    ]
    first, second = (part.splitlines() for part in format_failures(found).split("\ntorch"))
    assert first[0] == "torch 2 backward: crashed: raised ValueError: row 3"
    assert first[1] == "  2 failures have this cause, in backward and float64"
    assert second[0] == " 2 vmap: disagree in operation 2 (silu), delta_p[1,0]"
    assert second[1] == "  2 failures have this cause, in vmap, backward and float64"
    assert second[2].startswith("  gradagree replay 2-1:id")


def test_that_a_failure_of_a_given_function_is_repeated_with_that_function() -> None:
    """A replay on the command line would run torch's own gelu, which is right."""
    function = torch.nn.GELU(approximate="tanh")
    with pytest.raises(Disagreement) as caught:
        check(function, Gelu(), frameworks="torch", modes="backward", dtypes=["float64"])
    text = str(caught.value)
    assert "gradagree replay" not in text
    assert text.count("value-differs") == 1
    again = text.rpartition("in Python: ")[2]
    assert "check(torch.nn.modules.activation.GELU(approximate='tanh'), Gelu(), frameworks='torch'" in again
    with pytest.raises(Disagreement) as repeated:
        eval(again, {"check": check, "torch": torch, "Gelu": Gelu})
    assert len(repeated.value.records) == 1
    assert str(repeated.value).splitlines()[:2] == text.splitlines()[:2]


def test_that_the_input_at_fault_is_shown() -> None:
    class Late(torch.autograd.Function):
        """silu with the derivative 3 beyond p = 2."""

        @staticmethod
        def forward(ctx: Any, p: Any) -> Any:
            ctx.save_for_backward(p)
            return p * torch.sigmoid(p)

        @staticmethod
        def backward(ctx: Any, delta: Any) -> Any:
            (p,) = ctx.saved_tensors
            s = torch.sigmoid(p)
            return torch.where(p > 2, 3.0 + 0 * p, s * (1 + p * (1 - s))) * delta

    with pytest.raises(Disagreement) as caught:
        check(Late.apply, Silu(), frameworks="torch", modes="backward", dtypes=["float64"])
    (line,) = (line for line in str(caught.value).splitlines() if line.startswith("  at p["))
    assert float(line.partition("= ")[2]) > 2
    assert "check(Late.apply, Silu(), frameworks='torch'" in str(caught.value)


def test_that_an_activation_of_this_process_is_repeated_in_python() -> None:
    with pytest.raises(Disagreement, match=r"in Python: check\(_Third, frameworks='torch', modes='backward', case="):
        check(_Third, modes="torch:backward", frameworks="torch")


@pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")
def test_that_check_compiles_nothing_unless_it_is_named() -> None:
    assert {one.mode for one in check(Silu, frameworks="torch", dtypes=["float64"])} == {
        "backward",
        "grad",
        "vmap",
        "forward",
    }


def test_that_jax_is_checked_without_its_modes_that_compile_each_network() -> None:
    pytest.importorskip("jax")
    assert {one.mode for one in check(Silu, frameworks="jax", dtypes=["float64"])} == {"packed"}


@pytest.mark.parametrize(
    ("spec", "box", "entry", "shown"),
    [
        ("3-4-2:id,hardsigmoid:sse:n2:f64:ordinary:s7", 2, "delta_p[1,1]", r"p\[1,1\] = -?\d"),
        ("3-4-2:id,hardsigmoid:sse:n2:f64:ordinary:s7", 2, "c'[7,1,1]", r"p\[1\] = \[-?\d.*, .*, .*, .*\]"),
        ("3-12-2:id,softmax:sse:n2:f64:ordinary:s7", 2, "delta_p[1,1]", r"p\[1,1\] = -?\d"),
        ("3-12-2:id,softmax:sse:n2:f64:ordinary:s7", 2, "c[1,1]", r"$"),
        ("3-4-12:id*2:mse:n2:f64:ordinary:s7", "error", "delta_p[1,3]", r"o\[1,3\] = .*, t\[1,3\] = "),
        ("64-10:id:soft_margin:n1:f32:extreme:s394893549", "error", "E", r"o\[0,2\] = 49408\.\d+, t\[0,2\] = -1\.0"),
    ],
)  # fmt: skip
def test_that_the_input_at_fault_is_shown_for_every_kind_of_entry(
    spec: str, box: int | str, entry: str, shown: str
) -> None:
    case = Case.parse(spec)
    fields = {"case": "1", "spec": spec, "sha256": "", "framework": "torch", "version": "2", "mode": "forward"}
    record = Record(
        **fields, dtype=case.dtype, verdict=Verdict.NONFINITE, box=box, function="f", entry=entry,
        expected="0x1p+0", observed="inf",
    )  # fmt: skip
    assert re.match(shown, describe_input(case, record))
