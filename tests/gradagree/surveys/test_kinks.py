"""The table of conventions has a row for every kink, and inadmissible derivatives are findings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gradagree import ErrorFunction
from gradagree.checker.kinks import activation_kinks, loss_kinks
from gradagree.cli import main as cli
from gradagree.reference import Activation
from gradagree.surveys.kinks import DTYPES, Convention, conventions, kink_cases, markdown, write_conventions

LIAR = """
from gradagree import Activation
import numpy as np

class Bent(Activation):
    \"\"\"A(p) = |p|, whose slope at 0 torch is made to take for {slope}.\"\"\"
    kinks = (0.0,)

    def value(self, p):
        return np.abs(p)

    def derivative(self, p):
        return np.sign(p)

    def torch(self, p, torch):
        class Lie(torch.autograd.Function):
            @staticmethod
            def forward(ctx, p):
                ctx.save_for_backward(p)
                return p.abs()

            @staticmethod
            def backward(ctx, delta_a):
                (p,) = ctx.saved_tensors
                return delta_a * torch.where(p == 0, torch.full_like(p, {slope}), p.sign())

        return Lie.apply(p)
"""


def catalogue() -> list[Any]:
    return [kind.catalogue[name]() for kind in (Activation, ErrorFunction) for name in sorted(kind.catalogue)]


@pytest.mark.parametrize("dtype", DTYPES)
def test_that_every_case_has_an_entry_on_its_kink(dtype: str) -> None:
    found = list(kink_cases(catalogue(), dtype))
    for one in found:
        arrays = one.case.arrays()
        p = arrays.inputs @ arrays.weights[0] + arrays.biases[0]
        if isinstance(one.function, Activation):
            assert one.kink in activation_kinks(one.function, p)
        else:
            assert np.all(loss_kinks(one.function, p, arrays.targets)["the kink"][one.on])
        assert np.all(one.expected["left"][one.on] != one.expected["right"][one.on])


def test_that_no_kink_of_an_activation_is_left_out() -> None:
    met_there = [(str(one.function), one.kink) for one in kink_cases(catalogue(), "float64")]
    listed = [(name, f"p = {kink:g}") for name in sorted(Activation.catalogue) for kink in Activation.named(name).kinks]
    assert [pair for pair in met_there if pair[1] != "the kink"] == listed


def rows(names: list[str], **options: Any) -> dict[tuple[str, str, str], Convention]:
    functions = [Activation.named(name) for name in names]
    found = conventions(functions, frameworks="torch", modes="backward", dtypes=("float64",), **options)
    return {(row.function, row.kink, row.mode): row for row in found}


def test_that_torch_returns_the_left_derivative_of_relu_and_the_mean_of_abs() -> None:
    found = rows(["relu", "abs", "leaky_relu"])
    assert found["relu", "p = 0", "backward"].slopes == ["left", "zero"]
    assert found["abs", "p = 0", "backward"].slopes == ["mean", "zero"]
    assert found["leaky_relu", "p = 0", "backward"].word == "left"
    assert found["leaky_relu", "p = 0", "backward"].left == pytest.approx(0.01)
    assert not any(row.finding for row in found.values())


@pytest.mark.parametrize(("slope", "finding"), [("0.5", False), ("1.0", False), ("1.5", True), ("float('nan')", True)])
def test_that_a_derivative_outside_the_one_sided_derivatives_is_a_finding(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], slope: str, finding: bool
) -> None:
    (tmp_path / "bent.py").write_text(LIAR.format(slope=slope), encoding="utf-8")
    out = tmp_path / "out"
    try:
        status = cli.code(
            ["survey", "--kinks", "--modes", "torch:backward", "--ext", str(tmp_path / "bent.py"), "--out", str(out)]
        )
    finally:
        Activation.catalogue.pop("bent", None)
    assert status == int(finding)
    told = [row for row in json.loads((out / "conventions.json").read_text()) if row["function"] == "bent"]
    assert {row["finding"] for row in told} == {finding}
    bold = [line for line in (out / "conventions.md").read_text().splitlines() if "`bent`" in line and "**" in line]
    assert bool(bold) is finding
    assert "bent" in capsys.readouterr().out


def test_that_a_page_names_both_dtypes_where_they_differ(tmp_path: Path) -> None:
    made = [
        Convention(
            framework="torch", version="2", mode="backward", dtype=dtype, function="f", kink="p = 0", slopes=[slope],
            left=0.0, right=1.0, given=0.0,
        )
        for dtype, slope in (("float64", "left"), ("float32", "right"))
    ]  # fmt: skip
    assert "float64: left<br>float32: right" in markdown(made)
    page, data = write_conventions(made, tmp_path / "new")
    assert page.is_file()
    assert len(json.loads(data.read_text())) == 2
