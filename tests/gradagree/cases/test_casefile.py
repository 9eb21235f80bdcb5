"""A case file holds every bit of a case; anything else is refused in one line."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from gradagree.arithmetic.model import FORMATS
from gradagree.cases.case import Arrays, Case
from gradagree.cases.file import read_case, write_case
from gradagree.cases.regimes import REGIMES
from gradagree.errors import UsageError

SHAPE = "3-4b-2:id,tanh"
NARROW: dict[str, Any] = {"float32": np.float32, "float16": np.float16, "bfloat16": ml_dtypes.bfloat16}
Edit = Callable[[dict[str, Any]], Any]


def a_case(error: str = "sse", short: str = "f32", regime: str = "ordinary") -> Case:
    return Case.parse(f"{SHAPE}:{error}:n5:{short}:{regime}:s1")


def there_and_back(case: Case, folder: Path) -> Case:
    write_case(case, folder / "case.json")
    return read_case(folder / "case.json")


def bits(arrays: Arrays) -> dict[str, tuple[str, tuple[int, ...], bytes]]:
    return {name: (x.dtype.str, x.shape, x.tobytes()) for name, x in arrays.by_name.items()}


@pytest.mark.parametrize("regime", REGIMES)
@pytest.mark.parametrize("error", ["sse", "bce_logits", "cross_entropy"])
@pytest.mark.parametrize("form", FORMATS.values(), ids=lambda form: form.name)
def test_that_a_case_comes_back_with_every_bit(form: Any, error: str, regime: str, tmp_path: Path) -> None:
    case = a_case(error, form.short, regime)
    read = there_and_back(case, tmp_path)
    assert bits(read.arrays()) == bits(case.arrays())
    assert read == replace(case, regime="explicit", seed=case.arrays().sha256[:12])
    assert there_and_back(read, tmp_path) == read


@pytest.mark.parametrize("form", FORMATS.values(), ids=lambda form: form.name)
def test_that_the_largest_and_smallest_numbers_of_a_dtype_come_back(form: Any, tmp_path: Path) -> None:
    case, arrays = a_case(short=form.short), a_case(short=form.short).arrays()
    edges = [
        0.0,
        -0.0,
        form.smallest,
        -form.smallest,
        form.smallest_normal,
        form.largest,
        -form.largest,
        1 + 2 * form.u,
    ]
    arrays.inputs.flat[: len(edges)] = edges
    read = there_and_back(Case.of(case, arrays), tmp_path)
    assert bits(read.arrays()) == bits(arrays)


@pytest.mark.parametrize("dtype", NARROW)
def test_that_a_number_between_two_of_the_dtype_is_refused(dtype: str, tmp_path: Path) -> None:
    form, narrow = FORMATS[dtype], NARROW[dtype]
    between = [1 + form.u, form.smallest / 2, 1.5 * form.smallest, form.largest * (1 + form.u)]
    with np.errstate(over="ignore"):
        assert not any(float(np.asarray(x).astype(narrow)) == x for x in between)
    for number in between:
        arrays = a_case(short=form.short).arrays()
        arrays.weights[1][2, 1] = number
        write_case(Case.of(a_case(short=form.short), arrays), tmp_path / "case.json")
        assert f"w2 holds numbers that {dtype} does not have" in complaint(tmp_path / "case.json")


def complaint(path: Path) -> str:
    with pytest.raises(UsageError) as caught:
        read_case(path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def rewritten(path: Path, edit: Edit, error: str = "sse") -> None:
    """A good case file at path, after an edit of what it tells."""
    write_case(a_case(error), path)
    data = json.loads(path.read_text())
    edit(data)
    path.write_text(json.dumps(data))


def values(name: str, made: list[Any]) -> Edit:
    return lambda data: data["arrays"][name].update(values=made)


def shape(name: str, made: Any) -> Edit:
    return lambda data: data["arrays"][name].update(shape=made)


def other(before: str, after: str) -> str:
    return a_case().spec.replace(before, after)


EDITS: dict[str, tuple[Edit, str]] = {
    "transposed": (shape("w1", [4, 3]), "w1 has shape (4, 3); the case has (3, 4)"),
    "flat": (shape("inputs", [15]), "inputs has shape (15,); the case has (5, 3)"),
    "too few values": (values("w1", ["0x1p0"]), "(3,4)"),
    "impossible shape": (shape("b1", [10**30]), ""),
    "shape is a number": (shape("b1", 4), ""),
    "one array missing": (lambda data: data["arrays"].pop("w2"), "w2"),
    "no biases": (lambda data: data["arrays"].pop("b1"), "b1"),
    "no arrays": (lambda data: data.pop("arrays"), "arrays"),
    "no text": (lambda data: data.pop("spec"), "spec"),
    "arrays in a list": (lambda data: data.update(arrays=[1]), ""),
    "an array too many": (lambda data: data["arrays"].update(w9=data["arrays"]["w1"]), "arrays that no box has: w9"),
    "biases too many": (lambda data: data["arrays"].update(b2=data["arrays"]["b1"]), "arrays that no box has: b2"),
    "decimal floats": (values("b1", [0.5, 0.5, 0.5, 0.25]), ""),
    "decimal text": (values("b1", ["0.5"] * 4), "b1"),
    "too small": (values("b1", ["0x1p-5000"] * 4), "b1"),
    "too large": (values("b1", ["0x1p5000"] * 4), ""),
    "words": (values("b1", ["one", "two", "three", "four"]), ""),
    "large whole numbers": (values("b1", [10**30] * 4), ""),
    "no case": (lambda data: data.update(spec="3-4b-2"), "'3-4b-2' is no case"),
    "another case": (lambda data: data.update(spec=other("3-4b", "3-5b")), "w1 has shape (3, 4); the case has (3, 5)"),
    "another dtype": (lambda data: data.update(spec=other("f32", "bf16")), "holds numbers that bfloat16 does not have"),
}  # fmt: skip


@pytest.mark.parametrize("edit", EDITS)
def test_that_an_edit_that_does_not_fit_is_refused_and_named(edit: str, tmp_path: Path) -> None:
    change, says = EDITS[edit]
    rewritten(tmp_path / "case.json", change)
    assert says in complaint(tmp_path / "case.json")


@pytest.mark.parametrize("made", [[0, 1, 2, 3, 0], [0, 1, -1, 0, 0], ["0x1p0"] * 5])
def test_that_classes_which_the_network_does_not_decide_between_are_refused(made: list[Any], tmp_path: Path) -> None:
    rewritten(tmp_path / "case.json", values("targets", made), "cross_entropy")
    assert "targets must be class numbers from 0 to 1" in complaint(tmp_path / "case.json")


@pytest.mark.parametrize("made", [[0, 1, -1, 2], [True, False, True, False]])
def test_that_whole_numbers_are_refused_or_become_float64_like_all_others(made: list[Any], tmp_path: Path) -> None:
    rewritten(tmp_path / "case.json", values("b1", made))
    try:
        read = read_case(tmp_path / "case.json")
    except UsageError:
        return
    assert {name: x.dtype for name, x in read.arrays().by_name.items()} == dict.fromkeys(
        bits(read.arrays()), np.dtype(float)
    )


@pytest.mark.parametrize(
    "data",
    [b"", b"\xff\xfe", b"null", b"3", b'"text"', b"[" * 10**6, b'{"a":' * 10**6, b"{" * 10, bytes(range(256)) * 9],
)
def test_that_a_file_that_is_no_case_file_is_refused(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "case.json"
    path.write_bytes(data)
    assert complaint(path).startswith(f"{path} is no case file: ")


def test_that_a_path_without_a_file_is_refused(tmp_path: Path) -> None:
    assert complaint(tmp_path) == f"{tmp_path} cannot be read: Is a directory"
    assert complaint(tmp_path / "none") == f"{tmp_path / 'none'} cannot be read: No such file or directory"
    with pytest.raises(UsageError, match=r"^cannot write "):
        write_case(a_case(), tmp_path / "none" / "case.json")
