"""A text that is no case is refused, in one line that says what to do, and before anything large is made."""

from __future__ import annotations

import dataclasses
import time
from typing import Any

import numpy as np
import pytest
from hypothesis import given, strategies as st

from gradagree.cases import regimes as drawing
from gradagree.cases.case import Case
from gradagree.cases.regimes import Source
from gradagree.cases.text import split_case
from gradagree.errors import UsageError
from gradagree.reference.activations import Identity
from gradagree.reference.errors import SumOfSquares

GOOD = "10-4b-2:id,leaky_relu(negative_slope=0.25):huber(delta=0.5):n8:f32:grid:s93"
ALPHABET = st.sampled_from([*":-,*()=@bsn.0123456789eE+ \n\t٣", "tanh", "n9999999", "e999", "f64", "4b", "nan", "\0"])
ARGUMENT_LIMIT = 1 << 17
"""The longest argument of a command line."""
MANY = 10**8
"""More numbers than any case of a test has."""


def complaint(text: str) -> str:
    with pytest.raises(UsageError) as caught:
        Case.parse(text)
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "'' is no case: write WIDTHS:ACTIVATIONS:ERROR:nEXAMPLES:DTYPE:REGIME:sSEED, for example 10-4-"),
        ("10-4:id:sse:n8:f32:grid", "'10-4:id:sse:n8:f32:grid' is no case: write WIDTHS:"),
        ("10-4:id:sse:n8:f32:grid:s1:s2", "'10-4:id:sse:n8:f32:grid:s1:s2' is no case: write WIDTHS:"),
        ("10:id:sse:n8:f32:grid:s1", "'10' are no widths: write them as 10-4b-6 (b: that box has biases)"),
        ("0-4:id:sse:n8:f32:grid:s1", "'0-4' are no widths: write them as 10-4b-6"),
        ("-4:id:sse:n8:f32:grid:s1", "'-4' are no widths: write them as"),
        ("10-4.5:id:sse:n8:f32:grid:s1", "'10-4.5' are no widths: write them as"),
        ("10b-4:id:sse:n8:f32:grid:s1", "'10b-4' are no widths: write them as"),
        ("10-1000000000:id:sse:n8:f32:grid:s1", "'10-1000000000' are no widths: write them as"),
        ("10-4:tahn:sse:n8:f32:grid:s1", "unknown activation 'tahn'; did you mean 'tanh'?"),
        ("10-4::sse:n8:f32:grid:s1", "'' is no activation: write NAME or NAME(parameter=number)"),
        ("10-4:elu(beta=1):sse:n8:f32:grid:s1", "elu has no parameter 'beta'; it has: alpha"),
        ("10-4:elu(alpha=inf):sse:n8:f32:grid:s1", "elu: alpha=inf is not finite"),
        ("10-4:tanh*0:sse:n8:f32:grid:s1", "'tanh*0': write NAME*COUNT, for example tanh*3"),
        ("10-4:tanh*x:sse:n8:f32:grid:s1", "'tanh*x': write NAME*COUNT, for example tanh*3"),
        ("10-4:id:ssse:n8:f32:grid:s1", "unknown error function 'ssse'; did you mean 'sse'?"),
        ("10-4:id:sse:8:f32:grid:s1", "'8' is no number of examples: write n8"),
        ("10-4:id:sse:n0:f32:grid:s1", "'n0' is no number of examples: write n8"),
        ("10-4:id:sse:n8:f31:grid:s1", "unknown dtype 'f31' in a case; did you mean 'f32'?"),
        ("10-4:id:sse:n8:float32:grid:s1", "unknown dtype 'float32' in a case; "),
        ("10-4:id:sse:n8:f32:gird:s1", "unknown regime 'gird'; did you mean 'grid'?"),
        ("10-4:id:sse:n8:f32:explicit:s1", "unknown regime 'explicit'; "),
        ("10-4:id:sse:n8:f32:grid:93", "'93' is no seed: write s93, or @ and twelve hexadecimal digits"),
        ("10-4:id:sse:n8:f32:grid:s-1", "'s-1' is no seed: write s93, or @"),
        ("10-4:id:sse:n8:f32:explicit:@ABCDEF123456", "'@ABCDEF123456' is no seed: write s93, or @"),
        ("10-4:id*3:sse:n8:f32:grid:s1", "1 weight matrices need 1 activations, or one more for an output"),
        ("10-4-6:id:sse:n8:f32:grid:s1", "2 weight matrices need 2 activations, or one more for an output"),
        ("99999-99999:id:sse:n8:f32:grid:s1", "10,001,399,985 numbers are more than "),
        ("10-4:id:sse:n8:f32:digits:s1", "the data set digits has 64 inputs and 10 decisions; the network's widths "),
    ],
)  # fmt: skip
def test_that_a_text_that_is_no_case_is_refused_with_advice(text: str, says: str) -> None:
    assert complaint(text).startswith(says)
    assert "\n" not in complaint(text)


def test_that_arrays_which_only_a_file_holds_are_required() -> None:
    case = Case.parse("3-2:id:sse:n5:f64:explicit:@0123456789ab")
    with pytest.raises(
        UsageError, match=f"^{case.spec}: its arrays are not at hand; name the case file that holds them$"
    ):
        case.arrays()


@pytest.mark.parametrize(
    "changes",
    [
        {"widths": (3,), "activations": ()}, {"widths": (0, 3)}, {"widths": (2, -3)}, {"batch": 0}, {"seed": -1},
        {"seed": 10**18}, {"seed": "zz"}, {"dtype": "f64"}, {"regime": "gird"}, {"biases": (True, True)},
        {"activations": ()},
    ],
    ids=str,
)  # fmt: skip
def test_that_a_case_whose_text_could_not_be_read_back_is_refused(changes: dict[str, Any]) -> None:
    good = Case((2, 3), (Identity(),), SumOfSquares(), 1, "float64")
    with pytest.raises(UsageError):
        dataclasses.replace(good, **changes)


def case_or_complaint(text: str) -> None:
    """A case that its own text makes again, or a message of one short line."""
    said = ""
    try:
        case = Case.parse(text)
    except UsageError as wrong:
        said = str(wrong)
    else:
        assert Case.parse(case.spec) == case
    assert said.isprintable()
    assert len(said) < 2 * len(text) + 300


@given(st.text())
def test_that_any_text_is_a_case_or_a_usage_error(text: str) -> None:
    case_or_complaint(text)


@given(st.data())
def test_that_any_text_near_to_a_case_is_a_case_or_a_usage_error(data: st.DataObject) -> None:
    text = GOOD
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(text)))
        end = data.draw(st.integers(start, min(len(text), start + 3)))
        text = text[:start] + "".join(data.draw(st.lists(ALPHABET, max_size=2))) + text[end:]
    case_or_complaint(text)


@given(st.lists(ALPHABET | st.characters(), min_size=7, max_size=7))
def test_that_any_seven_parts_are_a_case_or_a_usage_error(parts: list[str]) -> None:
    case_or_complaint(":".join(parts))


def with_long(part: str, place: int) -> str:
    """A case with one part repeated as often as a command line holds."""
    parts = GOOD.split(":")
    parts[place] = part * (ARGUMENT_LIMIT // len(part))
    return ":".join(parts)


@pytest.mark.parametrize("place", range(7))
def test_that_a_very_long_part_is_refused_in_a_short_line(place: int) -> None:
    assert len(complaint(with_long("a", place))) < len(GOOD) + 300


@pytest.mark.parametrize("part", [":", ",", "-", "*", "(", "(:", "tanh*9999,", "\n"])
def test_that_a_very_long_text_is_refused_at_once(part: str) -> None:
    begun = time.process_time()
    complaint(with_long(part, 1))
    assert time.process_time() - begun < 2


@pytest.mark.parametrize(
    "text",
    [
        "9-9:id:sse:n999999999:f64:grid:s1",
        "999999999-1:id:sse:n8:f32:ordinary:s1",
        "1-999999999:id:sse:n999999999:f32:zeros:s1",
        "2-9:id:cross_entropy:n999999999:f64:grid:s1",
        "64-10:id:sse:n999999999:f64:digits:s1",
    ],
)
def test_that_numbers_that_would_fill_the_memory_are_refused_before_they_are_drawn(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def integers(self: Source, bound: int, shape: tuple[int, ...] = ()) -> np.ndarray:
        wanted = int(np.prod([int(n) for n in shape], dtype=object))
        assert wanted < MANY, f"{wanted:,} numbers at once"
        return np.zeros(shape, dtype=np.int64)

    monkeypatch.setattr(drawing.Source, "integers", integers)
    with pytest.raises(UsageError):
        Case.parse(text).arrays()


def test_that_a_case_text_is_split_without_knowing_its_functions() -> None:
    text = "2-3b:id,odd(a=1,b=2)*2,<b>*x:my_error(c=3):n1:f64:grid:s0"
    found = split_case(text)
    assert found.runs == (("id", 1), ("odd(a=1,b=2)", 2), ("<b>*x", 1))
    assert found.activations == ["id", "odd(a=1,b=2)", "<b>*x"]
    assert (found.widths, found.error, found.dtype, found.regime, found.depth) == (
        ["2", "3b"], "my_error(c=3)", "f64", "grid", 4
    )  # fmt: skip
    assert found.with_dtype("f64") == text
    assert found.with_dtype("bf16") == text.replace("f64", "bf16")


def test_that_what_is_no_case_text_has_no_parts() -> None:
    found = split_case("no case")
    assert (found.widths, found.activations, found.error, found.dtype, found.regime, found.depth) == (
        [], [], "", "", "", 0
    )  # fmt: skip
