"""The table of conventions has a row for every kink, and inadmissible derivatives are findings."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Self

import msgspec
import numpy as np
import pytest

from gradagree import ErrorFunction
from gradagree.cases.case import Arrays, Case
from gradagree.checker.kinks import activation_kinks, loss_kinks
from gradagree.checker.response import Absent, Failure, Ready
from gradagree.cli import main as cli
from gradagree.reference import Activation
from gradagree.surveys.convention_table import markdown, write_conventions
from gradagree.surveys.conventions import DTYPES, Convention, conventions, kink_cases

BENT = """
from gradagree import Activation
import msgspec
import numpy as np

class Bent{number}(Activation):
    \"\"\"A(p) = |p|, whose derivative at 0 is {slope} in torch.\"\"\"
    kinks = (0.0,)

    def value(self, p):
        return np.abs(p)

    def derivative(self, p):
        return np.sign(p)

    def torch(self, p, torch):
        class Planted(torch.autograd.Function):
            @staticmethod
            def forward(ctx, p):
                ctx.save_for_backward(p)
                return p.abs()

            @staticmethod
            def backward(ctx, delta_a):
                (p,) = ctx.saved_tensors
                return delta_a * torch.where(p == 0, torch.full_like(p, {slope}), p.sign())

        return Planted.apply(p)
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
    activations = [one for one in catalogue() if isinstance(one, Activation)]
    found = [(one.function, one.kink) for one in kink_cases(activations, "float64")]
    assert found == [(activation, f"p = {kink:g}") for activation in activations for kink in activation.kinks]


class Listing(NamedTuple):
    """The result of ``gradagree survey --kinks`` for some functions, in torch's backward mode."""

    status: int
    rows: list[Convention]
    page: str
    printed: str


def list_kinks(folder: Path, names: Sequence[str], slopes: Sequence[str]) -> Listing:
    """The listing of the named functions, and of bent0, bent1 and so on with these derivatives at their kink."""
    sources = [BENT.format(number=number, slope=slope) for number, slope in enumerate(slopes)]
    (folder / "bent.py").write_text("".join(sources), encoding="utf-8")
    bent = [f"bent{number}" for number in range(len(slopes))]
    options = f"--kinks --activations {','.join([*names, *bent])} --modes torch:backward --ext {folder / 'bent.py'}"
    try:
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            status = cli.code(["survey", *options.split(), "--out", str(folder / "out")])
    finally:
        for name in bent:
            Activation.catalogue.pop(name, None)
    found = msgspec.json.decode((folder / "out" / "conventions.json").read_bytes(), type=list[Convention])
    return Listing(status, found, (folder / "out" / "conventions.md").read_text(encoding="utf-8"), printed.getvalue())


@pytest.fixture(scope="module")
def admissible(tmp_path_factory: pytest.TempPathFactory) -> Listing:
    return list_kinks(tmp_path_factory.mktemp("admissible"), ["relu", "abs", "leaky_relu"], ["0.5", "1.0"])


@pytest.fixture(scope="module")
def inadmissible(tmp_path_factory: pytest.TempPathFactory) -> Listing:
    return list_kinks(tmp_path_factory.mktemp("inadmissible"), [], ["1.5", "float('nan')"])


def test_that_torch_returns_the_left_derivative_of_relu_and_the_mean_of_abs(admissible: Listing) -> None:
    found = {(row.function, row.kink): row for row in admissible.rows if row.dtype == "float64"}
    assert found["relu", "p = 0"].slopes == ["left", "zero"]
    assert found["abs", "p = 0"].slopes == ["mean", "zero"]
    assert found["leaky_relu", "p = 0"].label == "left"
    assert found["leaky_relu", "p = 0"].left == pytest.approx(0.01)
    assert {row.mode for row in admissible.rows} == {"backward"}


@pytest.mark.parametrize("finding", [False, True])
def test_that_a_derivative_outside_the_one_sided_derivatives_is_a_finding(
    finding: bool, request: pytest.FixtureRequest
) -> None:
    found: Listing = request.getfixturevalue("inadmissible" if finding else "admissible")
    assert found.status == int(finding)
    assert {row.function for row in found.rows} >= {"bent0", "bent1"}
    assert {row.finding for row in found.rows} == {finding}
    lines = [line for line in found.page.splitlines() if "`bent" in line]
    assert [("**" in line) for line in lines] == [finding] * 2
    assert "bent0" in found.printed


class OneAbsent:
    """Stands for `FrameworkProcess`: jax is absent, and every mode of torch fails."""

    def __init__(self, framework: str, extensions: Sequence[str]) -> None:
        self.handshake = Absent("no module") if framework == "jax" else Ready("2", "cpu", [], {})

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None: ...

    def compute(self, case: Case, arrays: Arrays, modes: Sequence[str]) -> Iterator[Failure]:
        assert isinstance(self.handshake, Ready)
        return (Failure(mode, "crashed", "no reason") for mode in modes)


@pytest.mark.parametrize("frameworks", ["jax,torch", "torch,jax"])
def test_that_an_absent_framework_does_not_hide_the_others(frameworks: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gradagree.surveys.conventions.FrameworkProcess", OneAbsent)
    found = list(conventions([Activation.named("relu")], frameworks, dtypes=("float64",)))
    assert {row.framework for row in found} == {"torch"}
    assert {row.label for row in found} == {"crashed"}


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


def test_that_the_published_page_is_that_of_the_published_data() -> None:
    docs = Path(__file__).parents[3] / "docs"
    found = msgspec.json.decode((docs / "conventions.json").read_bytes(), type=list[Convention])
    assert (docs / "conventions.md").read_text(encoding="utf-8") == markdown(found)
