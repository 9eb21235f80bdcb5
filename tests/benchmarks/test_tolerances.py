"""The distribution of relative tolerances: its numbers, and the page that is made of them."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from benchmarks import tolerances, tolerances_page

ROOT = Path(__file__).parents[2]


def record(sharpness: Any, verdict: str = "agree", dtype: str = "bfloat16", **fields: Any) -> dict[str, Any]:
    return {"sharpness": sharpness, "verdict": verdict, "dtype": dtype, "share": 1.0, "blunt": "silu: dw", **fields}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    given = [
        record(0.001), record(0.05, share=0.5), record(0.2), record(0.7, blunt="tanh: db"), record(0.3),
        record("inf", "undecided", reason="silu: less than half of dw is checked"), record("nan", "out-of-range"),
        record(1e-15, dtype="float64"), record(None),
    ]  # fmt: skip
    (tmp_path / "results.jsonl").write_text("\n".join(map(json.dumps, given)))
    return tmp_path


def test_the_distribution_counts_the_records_that_agree(folder: Path) -> None:
    found = tolerances.distributions([folder])
    narrow = found["bfloat16"]
    assert (narrow["records"], narrow["agree"], narrow["undecided"], narrow["out-of-range"]) == (7, 5, 1, 1)
    assert narrow["above"] == {"0.5": 1, "0.1": 3, "0.01": 4, "0.001": 4}
    assert narrow["reasons"] == {"less than half of an array is checked": 1}
    assert narrow["quantiles"][1] == 0.2
    assert math.isclose(narrow["checked"], 0.9)
    assert found["float64"]["above"]["0.1"] == found["float16"]["agree"] == 0


def test_the_bluntest_arrays_are_those_of_most_records(folder: Path) -> None:
    assert tolerances.worst_arrays([folder]) == [
        {"dtype": "bfloat16", "array": "silu: dw", "records": 2, "largest": 0.3},
        {"dtype": "bfloat16", "array": "tanh: db", "records": 1, "largest": 0.7},
    ]


def test_records_of_a_version_without_shares_have_none(folder: Path) -> None:
    old = [{"sharpness": 0.2, "verdict": "agree", "dtype": "float16"}]
    (folder / "results.jsonl").write_text("\n".join(map(json.dumps, old)))
    found = tolerances.distributions([folder])["float16"]
    assert found["checked"] is None
    assert found["above"]["0.1"] == 1


def test_the_published_page_is_made_of_the_published_result() -> None:
    result = json.loads((ROOT / tolerances.RESULTS).read_text(encoding="utf-8"))
    page = (ROOT / tolerances.PAGE).read_text(encoding="utf-8")
    assert tolerances_page.page(result) == page
    assert tolerances_page.page({**result, "arrays": []}) != page
