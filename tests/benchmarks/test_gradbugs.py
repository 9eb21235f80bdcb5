"""The benchmark of real bugs: sources, replicas that are wrong and right, checks that can fail, the published page."""

from __future__ import annotations

import dataclasses
import importlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
ADDRESS = re.compile(r"https://github\.com/[\w.-]+/[\w.-]+/(issues|pull|discussions)/\d+$")
EVERY = 4
"""One of so many bugs is examined here; all of them by the benchmark."""


@pytest.fixture(scope="module")
def modules() -> Iterator[SimpleNamespace]:
    """The benchmark's modules, from the repository's root."""
    for needed in ("torch", "jax"):
        pytest.importorskip(needed)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT))
        names = ("bug", "catalogue", "page", "run", "tools", "variants")
        yield SimpleNamespace(**{name: importlib.import_module(f"benchmarks.gradbugs.{name}") for name in names})


def test_that_each_bug_has_a_public_source_and_says_what_is_wrong(modules: Any) -> None:
    bugs = modules.catalogue.all_bugs()
    assert [bug.name for bug in bugs if not ADDRESS.match(bug.source)] == []
    assert len({bug.name for bug in bugs}) == len(bugs)
    assert {bug.kind for bug in bugs} <= set(modules.bug.KINDS)
    assert all(bug.arguments and bug.title and bug.operation and bug.dtypes for bug in bugs)
    assert {"torch", "jax"} == {bug.framework for bug in bugs}


def test_that_a_source_that_is_no_thread_would_be_seen() -> None:
    assert not ADDRESS.match("https://github.com/pytorch/pytorch")
    assert not ADDRESS.match("https://example.org/pytorch/pytorch/issues/1")


@pytest.mark.parametrize("start", range(EVERY))
def test_that_faulty_functions_are_found_and_repaired_ones_are_not(modules: Any, start: int) -> None:
    dtype = "float32"
    for bug in modules.catalogue.all_bugs()[start :: EVERY * EVERY]:
        if dtype not in bug.dtypes:
            continue
        wrong = modules.tools.by_assert_grads(bug, bug.wrong, bug.arrays(dtype), dtype)
        right = modules.tools.by_assert_grads(bug, bug.right, bug.arrays(dtype), dtype)
        assert wrong.accused, bug.name
        assert wrong.arguments, (bug.name, wrong.message)
        assert not right.accused, (bug.name, right.message)


def simple_bug(modules: Any) -> Any:
    return next(bug for bug in modules.catalogue.all_bugs() if bug.name == "log-softmax: the derivative of softmax")


@pytest.mark.parametrize(
    ("name", "dtype"),
    [
        ("assert_grads", "float32"),
        ("gradcheck", "float64"),
        ("opcheck", "float32"),
        ("twice the error", "float32"),
        ("torch.testing.assert_close", "float32"),
        ("ratio of errors 0.005", "bfloat16"),
    ],
)
def test_that_each_check_of_torch_passes_the_repaired_function_and_finds_a_gross_fault(
    modules: Any, name: str, dtype: str
) -> None:
    bug = simple_bug(modules)
    assert modules.tools.examined(name, bug, bug.right, bug.arrays(dtype), dtype).accused is False
    found = modules.tools.examined(name, bug, bug.wrong, bug.arrays(dtype), dtype)
    assert found.accused is (name != "opcheck")  # it tests the registration, not the numbers


def test_that_a_fault_of_jax_is_found_by_check_grads(modules: Any) -> None:
    bugs = [bug for bug in modules.catalogue.all_bugs() if bug.framework == "jax" and "float32" in bug.dtypes]
    found = [
        modules.tools.examined("check_grads", bug, bug.wrong, bug.arrays("float32"), "float32").accused
        for bug in bugs[:3]
    ]
    assert True in found


def test_that_a_faulty_function_in_place_of_the_repaired_one_would_be_accused(modules: Any) -> None:
    bug = dataclasses.replace(simple_bug(modules), right=simple_bug(modules).wrong)
    row = modules.run.examine(bug, ["assert_grads"])
    assert len(row["accused"]["assert_grads"]) >= len(bug.dtypes)
    assert all(one["found"] and one["argument"] for one in row["found"]["assert_grads"].values())


def test_that_there_are_ten_correct_programs_for_a_bug_in_all_its_dtypes_and_several_layouts(modules: Any) -> None:
    bug = simple_bug(modules)
    found = list(modules.variants.variants(bug))
    assert len({str(variant) for variant in found}) == modules.variants.VARIANTS == 10
    assert {variant.dtype for variant in found} == set(bug.dtypes)
    assert {variant.layout for variant in found} == {"contiguous", "transposed", "strided"}
    assert {variant.form for variant in found} == {"repaired", "plain"}
    numbers = [variant.arrays()[0] for variant in found if variant.layout != "contiguous"]
    assert not any(x.is_contiguous() for x in numbers)


def test_that_a_layout_changes_no_number(modules: Any) -> None:
    x = modules.bug.as_array("torch", np.arange(12.0).reshape(3, 4), "float64")
    for layout in ("contiguous", "transposed", "strided"):
        assert np.array_equal(modules.variants.laid_out(x, layout).numpy(), x.numpy())


def test_that_the_published_page_is_made_of_the_published_result(modules: Any) -> None:
    result = json.loads((ROOT / modules.run.RESULTS).read_text(encoding="utf-8"))
    page = (ROOT / modules.run.PAGE).read_text(encoding="utf-8")
    assert modules.page.page(result) == page
    first, *others = result["bugs"]
    assert modules.page.page({**result, "bugs": [{**first, "found": {}}, *others]}) != page
    assert {bug["name"] for bug in result["bugs"]} == {bug.name for bug in modules.catalogue.all_bugs()}


def test_that_the_published_figures_hold(modules: Any) -> None:
    result = json.loads((ROOT / modules.run.RESULTS).read_text(encoding="utf-8"))
    bugs = result["bugs"]
    assert sum(bool(modules.page.is_found(bug, "assert_grads")) for bug in bugs) >= 0.98 * len(bugs)
    assert [bug["name"] for bug in bugs if bug["accused"]["assert_grads"]] == []
