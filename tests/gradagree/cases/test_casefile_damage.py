"""A damaged case file is refused in one line, or holds a case whose numbers fit it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from gradagree.cases.case import Arrays, Case
from gradagree.cases.file import read_case, write_case
from gradagree.errors import UsageError

NESTED = st.recursive(st.none() | st.integers() | st.text(), st.lists).map(lambda made: json.dumps(made).encode())


def bits(arrays: Arrays) -> dict[str, tuple[str, tuple[int, ...], bytes]]:
    return {name: (x.dtype.str, x.shape, x.tobytes()) for name, x in arrays.by_name.items()}


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A good case file."""
    path = tmp_path_factory.mktemp("files") / "case.json"
    write_case(Case.parse("3-4b-2:id,tanh:cross_entropy:n5:f32:ordinary:s1"), path)
    return path


def damaged(good: Path, content: bytes) -> Path:
    path = good.with_name("damaged.json")
    path.write_bytes(content)
    return path


def complaint(path: Path) -> str:
    """The one line that refuses a file, or nothing where its case can be written and read once more."""
    try:
        case = read_case(path)
    except UsageError as wrong:
        return str(wrong)
    again = path.with_name("again.json")
    write_case(case, again)
    assert bits(read_case(again).arrays()) == bits(case.arrays())
    assert case.seed == case.arrays().sha256[:12]
    return ""


def test_that_the_undamaged_file_is_not_refused(good: Path) -> None:
    assert complaint(good) == ""


@given(st.integers(0), st.integers(0, 7))
def test_that_a_file_with_a_flipped_bit_is_refused_or_holds_a_case(good: Path, place: int, bit: int) -> None:
    flipped = bytearray(good.read_bytes())
    flipped[place % len(flipped)] ^= 1 << bit
    assert "\n" not in complaint(damaged(good, bytes(flipped)))


@given(st.integers(0))
def test_that_a_truncated_file_is_refused(good: Path, length: int) -> None:
    content = good.read_bytes()
    path = damaged(good, content[: length % (len(content) - 2)])
    assert complaint(path).startswith(f"{path} is no case file: ")


@given(st.binary() | NESTED)
def test_that_a_file_of_anything_else_is_refused(good: Path, content: bytes) -> None:
    path = damaged(good, content)
    assert complaint(path).startswith(f"{path} is no case file: ")
