"""The published test vectors: these texts make these very numbers, on every platform and in every version."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gradagree.arithmetic.model import FORMATS
from gradagree.cases.case import Case
from gradagree.cases.regimes import REGIMES

VECTORS = json.loads((Path(__file__).parents[3] / "docs" / "case-vectors.json").read_text(encoding="utf-8"))["vectors"]


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["case"])
def test_that_a_text_makes_its_published_numbers(vector: dict[str, Any]) -> None:
    case = Case.parse(vector["case"])
    arrays = case.arrays()
    made = {
        "case": case.spec,
        "alias": case.alias,
        "sha256": arrays.sha256,
        "w1": [x.hex() for x in arrays.weights[0].ravel()[: len(vector["w1"])].tolist()],
    }
    assert made == vector


def test_that_the_vectors_cover_every_regime_dtype_and_kind_of_targets() -> None:
    cases = [Case.parse(vector["case"]) for vector in VECTORS]
    assert {case.regime for case in cases} == set(REGIMES)
    assert {case.dtype for case in cases} == set(FORMATS)
    assert {case.error.targets for case in cases} == {"real", "bits", "classes"}
    assert {any(case.biases) for case in cases} == {True, False}
    assert {case.depth - len(case.widths) for case in cases} == {-1, 0}
