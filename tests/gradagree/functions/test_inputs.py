"""`check` of any function by inputs, and its report in the terminal, notebooks and on a page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import special

from gradagree import Report, check
from gradagree.api import Disagreement
from gradagree.errors import UsageError

torch = pytest.importorskip("torch")
jax = pytest.importorskip("jax")
X = np.linspace(-1, 1, 6).reshape(2, 3)
DTYPES = ("float64", "float32", "float16", "bfloat16")


class Sigmoid(torch.autograd.Function):  # type: ignore[misc]
    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        y = torch.sigmoid(x)
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        (y,) = ctx.saved_tensors
        return g * y


@pytest.mark.parametrize(
    "inputs", [(X,), {"x": X}, lambda: [X], (torch.tensor(X),)], ids=["args", "kwargs", "made", "own"]
)
def test_that_inputs_are_arguments_in_any_form(inputs: Any) -> None:
    report = check(
        lambda x: torch.sigmoid(x), lambda x: special.expit(x), inputs=inputs, frameworks="torch", dtypes=DTYPES
    )
    assert report.verdict.value == "agree"
    assert {record.dtype for record in report.records} == set(DTYPES)


def test_that_jax_keeps_float64_where_it_is_named() -> None:
    report = check(jax.nn.sigmoid, special.expit, inputs=(X,), frameworks="jax", dtypes="float64,float32", modes="all")
    assert [(record.dtype, record.mode) for record in report.records if record.quantity != "value"] == [
        ("float64", "reverse"), ("float64", "forward"), ("float32", "reverse"), ("float32", "forward"),
    ]  # fmt: skip


def test_that_a_module_is_checked_in_other_dtypes_than_its_own() -> None:
    module = torch.nn.LayerNorm(3)
    report = check(module, inputs=(X,), dtypes="float64,float32")
    assert {record.name for record in report.records} == {"output", "args[0]", "weight", "bias"}
    assert module.weight.dtype == torch.float32


class Frozen(torch.nn.Module):  # type: ignore[misc]
    """A layer whose parameters have right gradients and whose input has none."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = torch.nn.Parameter(torch.ones(3))

    def forward(self, x: Any) -> Any:
        return x.detach() * self.scale


def test_that_the_gradient_by_the_input_of_a_module_is_checked() -> None:
    with pytest.raises(Disagreement) as caught:
        check(Frozen(), lambda x, scale: x * scale, inputs=(X,), dtypes="float32")
    assert [record.label for record in caught.value.report.failures] == ["gradient of args[0]"]


def test_that_a_wrong_backward_pass_fails_in_every_dtype() -> None:
    with pytest.raises(Disagreement, match=r"Sigmoid.apply: gradient of args\[0\]") as caught:
        check(Sigmoid.apply, special.expit, inputs=(X,), frameworks="torch", dtypes=DTYPES)
    assert {record.dtype for record in caught.value.report.failures} == set(DTYPES)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"inputs": X}, "inputs is a ndarray; give a tuple of arguments, a dict of keyword arguments, or a function"),
        ({"inputs": (X,), "frameworks": "tensorflow"}, "frameworks='tensorflow': known: jax, torch"),
        ({"inputs": (X,)}, "name the framework of the function: frameworks= torch or jax"),
        ({"inputs": (X,), "frameworks": "torch", "dtypes": "float8"}, "dtypes='float8': did you mean 'float"),
        ({"inputs": (X,), "frameworks": "torch", "dtypes": ()}, "dtypes is empty; give some of float64"),
        ({"order": 2}, r"check\(\) has no option 'order' without inputs="),
        ({}, "give an activation, error function or case, or any function with inputs="),
    ],
)
def test_that_bad_input_is_one_sentence(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        check(lambda x: x, **options)


@pytest.fixture(scope="module")
def failed() -> Report:
    with pytest.raises(Disagreement) as caught:
        check(Sigmoid.apply, special.expit, inputs=(X,), frameworks="torch", dtypes="float32")
    return caught.value.report


def test_that_the_page_has_the_failures_and_loads_nothing(failed: Report, tmp_path: Path) -> None:
    page = failed.to_html(tmp_path / "page.html").read_text()
    assert "Sigmoid.apply: ✗ disagree" in page
    assert page.index("gradient of args[0]") < page.index("All arrays") < page.rindex("relative tolerance")
    assert "default-src &#39;none&#39;" in page
    assert "http://" not in page
    assert "<script" not in page


def test_that_names_are_escaped(tmp_path: Path) -> None:
    def named(x: Any) -> Any:
        return torch.tanh(x)

    named.__name__ = "<b>&"
    report = check(named, inputs=(torch.tensor(X),))
    for text in (report.to_html(tmp_path / "page.html").read_text(), report._repr_html_()):
        assert "&lt;b&gt;&amp;" in text
        assert "<b>&" not in text


def test_that_a_report_is_the_same_after_json(failed: Report) -> None:
    again = Report.from_json(failed.to_json())
    assert (str(again), again.records) == (str(failed), failed.records)
