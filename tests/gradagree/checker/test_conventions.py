"""One admissible derivative at each kink explains all records of a run, or a finding names those that were used."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from gradagree import Case, Record, check
from gradagree.api import Disagreement
from gradagree.cases.case import Arrays
from gradagree.checker.conventions import Conventions
from gradagree.checker.verdict import Verdict
from gradagree.reference.activations import Relu

RELU = "relu: p = 0"


def record(index: int, slopes: dict[str, list[str]], mode: str = "backward") -> Record:
    return Record(
        index=index, case=f"{index:06d}", spec=f"case {index}", sha256="0" * 64, framework="torch", version="2",
        mode=mode, dtype="float32", verdict=Verdict.AGREE, slopes=slopes,
    )  # fmt: skip


def findings(*records: Record) -> list[Record]:
    conventions = Conventions()
    for one in records:
        conventions.see(one)
    return list(conventions.findings())


def test_that_one_slope_over_a_run_is_not_reported() -> None:
    assert findings(record(0, {RELU: ["left", "zero"]}), record(1, {RELU: ["left"]}), record(2, {})) == []


def test_that_two_slopes_of_one_kink_are_reported_with_both_names() -> None:
    (found,) = findings(record(0, {RELU: ["left"]}), record(1, {RELU: ["right"]}), record(2, {RELU: ["left"]}))
    assert (found.verdict, found.spec, found.function) == (Verdict.DISAGREE, f"convention:{RELU}", "relu")
    assert "left in 2 (first case 0)" in found.reason
    assert "right in 1 (first case 1)" in found.reason
    assert found.case == "000001", "the rarer one is shown"


def test_that_sets_without_a_common_slope_are_reported_though_each_pair_has_one() -> None:
    sets = (["left", "mean"], ["mean", "zero"], ["left", "zero"])
    for pair in itertools.combinations(sets, 2):
        assert findings(*(record(i, {RELU: slopes}) for i, slopes in enumerate(pair))) == []
    assert len(findings(*(record(i, {RELU: slopes}) for i, slopes in enumerate(sets)))) == 1


def test_that_modes_and_kinks_each_have_a_convention_of_their_own() -> None:
    left, right = {RELU: ["left"]}, {RELU: ["right"]}
    assert findings(record(0, left, "backward"), record(1, right, "vmap")) == []
    assert findings(record(0, left), record(1, {"hardtanh: p = 1": ["right"]})) == []


def test_that_the_order_of_the_records_makes_no_difference() -> None:
    records = [record(i, {RELU: ["left"] if i % 3 else ["right"]}) for i in range(5)]
    assert len({tuple(findings(*order)[0].reason for _ in "1") for order in itertools.permutations(records)}) == 1


def _fickle(p: Any) -> Any:
    """relu, whose slope at 0 is 1 for one unit and 0 for more."""
    import torch

    class Fickle(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, p: Any) -> Any:
            ctx.save_for_backward(p)
            return torch.relu(p)

        @staticmethod
        def backward(ctx: Any, delta_a: Any) -> Any:
            (p,) = ctx.saved_tensors
            return delta_a * ((p > 0) | ((p == 0) & (p.shape[-1] == 1)))

    return Fickle.apply(p)


def on_the_kink(examples: int) -> Case:
    case = Case.parse(f"1-1-1:id,relu:sse:n{examples}:f64:grid:s1")
    one = np.ones((1, 1))
    return Case.of(case, Arrays((one, one), (None, None), np.zeros((examples, 1)), np.full((examples, 1), 2.0)))


def test_that_a_function_that_changes_its_slope_between_cases_is_found(gradagree_block: Any) -> None:
    slopes = [gradagree_block("torch", "backward", [(0, on_the_kink(n))])[0].slopes for n in (1, 3)]
    assert slopes == [{RELU: ["left", "reference", "zero"]}] * 2
    with pytest.raises(Disagreement, match="no single derivative at the kink explains all records"):
        check(_fickle, Relu(), frameworks="torch", modes="backward", dtypes=("float64",))


def test_that_a_correct_function_keeps_its_slope() -> None:
    records = check(Relu(), frameworks="torch", modes="backward", dtypes=("float64",))
    met = [one.slopes for one in records if one.slopes]
    assert met == [{RELU: ["left", "reference", "zero"]}] * len(met) != []
