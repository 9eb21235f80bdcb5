"""The published survey is complete: a row for every function, dtype, framework and mode; counts add up."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from gradagree.reference import Activation, ErrorFunction

FOLDER = Path(__file__).parents[3] / "reports" / "survey"
pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason="only the working tree has the reports")


@pytest.fixture(scope="module")
def about() -> dict[str, Any]:
    return json.loads((FOLDER / "survey.json").read_text(encoding="utf-8"))  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def rows() -> list[dict[str, Any]]:
    return [json.loads(line) for line in gzip.decompress((FOLDER / "atlas.jsonl.gz").read_bytes()).splitlines()]


@pytest.fixture(scope="module")
def found() -> list[dict[str, Any]]:
    return json.loads(gzip.decompress((FOLDER / "findings.json.gz").read_bytes()))  # type: ignore[no-any-return]


def missing(rows: list[dict[str, Any]], about: dict[str, Any]) -> list[tuple[str, ...]]:
    """Functions at their defaults that have no row of a dtype, framework, quantity and mode that others have."""
    combinations = {(row["framework"], row["quantity"], row["mode"]) for row in rows}
    present = {(row["function"], row["dtype"], row["framework"], row["quantity"], row["mode"]) for row in rows}
    kinds = {**Activation.catalogue, **ErrorFunction.catalogue}
    return [
        (name, dtype, *one)
        for name in dict.fromkeys(row["function"] for row in rows if row["function"] in kinds)
        for dtype in about["dtypes"] for one in combinations
        if (one[0] != "optax" or hasattr(kinds[name], "optax")) and (name, dtype, *one) not in present
    ]  # fmt: skip


def test_that_every_function_dtype_framework_and_mode_has_its_row(
    rows: list[dict[str, Any]], about: dict[str, Any]
) -> None:
    assert missing(rows, about) == []
    assert missing(rows[1:], about) != []


def test_that_rows_are_unique(rows: list[dict[str, Any]]) -> None:
    names = ("function", "dtype", "framework", "quantity", "mode", "inputs")
    assert max(Counter(tuple(row.get(name, "") for name in names) for row in rows).values()) == 1


def test_that_counts_add_up(rows: list[dict[str, Any]], found: list[dict[str, Any]], about: dict[str, Any]) -> None:
    assert about["rows"] == len(rows) == sum(about["statuses"].values())
    assert about["statuses"] == dict(Counter(row.get("status", "measured") for row in rows))
    assert about["findings"] == dict(Counter(one["severity"] for one in found))
    for row in rows:
        assert sum(row.get("classes", {}).values()) <= row.get("points", 0)
        assert row.get("proved", 0) <= row.get("points", 0)


def test_that_every_finding_has_a_program_that_needs_no_gradagree(found: list[dict[str, Any]]) -> None:
    for one in found:
        compile(one["reproducer"], "program", "exec")
        assert "assert" in one["reproducer"]
        assert "gradagree" not in one["reproducer"]
        assert one["example"]["function"].partition("(")[0] == one["function"]
