"""Mistakes in the arguments of `check`: one clear sentence that says what to do."""

from __future__ import annotations

from typing import Any

import pytest

from gradagree import check
from gradagree.errors import UsageError
from gradagree.reference.activations import Gelu, Tanh

torch = pytest.importorskip("torch")
GRAMMAR = "write WIDTHS:ACTIVATIONS:ERROR:nEXAMPLES:DTYPE:REGIME:sSEED"


@pytest.mark.parametrize("text", ["nonsense", "", "gelu", "1-1:gelu:sse", "1-1:gelu:sse:n1:f64:ordinary", 3])
def test_that_what_is_no_case_is_refused_with_the_grammar(text: Any) -> None:
    with pytest.raises(UsageError, match=f"is no case: {GRAMMAR}.*, with gelu in it$"):
        check(torch.nn.functional.gelu, Gelu(), frameworks="torch", case=text)


def test_that_a_case_without_the_function_is_refused_with_the_name_to_write() -> None:
    with pytest.raises(UsageError, match="does not have gelu: write gelu where it is to be checked"):
        check(torch.nn.functional.gelu, Gelu(), frameworks="torch", case="1-1:tanh:sse:n1:f64:ordinary:s1")


def test_that_a_reference_that_is_no_function_is_refused() -> None:
    with pytest.raises(UsageError, match="the reference 'gelu' is no activation or error function; give an object"):
        check(torch.nn.functional.gelu, "gelu", frameworks="torch")  # type: ignore[arg-type]


def test_that_a_class_as_reference_and_dtypes_in_one_text_are_understood() -> None:
    records = check(torch.tanh, Tanh, frameworks="torch", modes="backward", dtypes="float64,float32")  # type: ignore[arg-type]
    assert {record.dtype for record in records} == {"float64", "float32"}
