"""The benchmark of faults in functions: checks that find gross faults, correct programs, and the published page."""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def modules() -> Iterator[SimpleNamespace]:
    """The benchmark's modules, from the repository's root."""
    for needed in ("torch", "jax"):
        pytest.importorskip(needed)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT))
        names = ("dropins", "dropins_page", "layers")
        yield SimpleNamespace(**{name: importlib.import_module(f"benchmarks.{name}") for name in names})


def tool_named(modules: Any, name: str) -> Any:
    return next(tool for tool in modules.dropins.TOOLS if tool.name == name)


@pytest.mark.parametrize("kind", ["factor", "entry"])
def test_that_assert_grads_finds_faults_that_the_other_rules_miss(modules: Any, kind: str) -> None:
    layer = next(one for one in modules.layers.FUNCTIONS if one.name == "RMS norm")
    fault = modules.dropins.Fault(layer.faulty, kind, 2.0**-30)
    assert tool_named(modules, "assert_grads, torch").accuses(layer, "float64", fault)
    assert not tool_named(modules, "gradcheck").accuses(layer, "float64", fault)
    assert not tool_named(modules, "gradcheck, fast").accuses(layer, "float64", fault)


@pytest.mark.parametrize("name", ["assert_grads, torch", "gradcheck", "gradcheck, fast", "twice the error"])
def test_that_each_check_of_torch_passes_a_correct_kernel_and_finds_a_gross_fault(modules: Any, name: str) -> None:
    tool, fault = tool_named(modules, name), modules.dropins.Fault(0, "factor", 4.0)
    layer = next(one for one in modules.layers.FUNCTIONS if one.name == "SwiGLU")
    assert not tool.accuses(layer, tool.dtypes[0], modules.dropins.NO_FAULT)
    assert tool.accuses(layer, tool.dtypes[0], fault)


def test_that_the_published_page_is_made_of_the_published_result(modules: Any) -> None:
    result = json.loads((ROOT / modules.dropins.RESULTS).read_text(encoding="utf-8"))
    page = (ROOT / modules.dropins.PAGE).read_text(encoding="utf-8")
    assert modules.dropins_page.page(result) == page
    first, *others = result["rows"]
    assert modules.dropins_page.page({**result, "rows": [{**first, "factor": 1.0}, *others]}) != page
    ours = [row for row in result["rows"] if row["tool"].startswith("assert_grads")]
    assert [row for row in ours if row["accused"]] == []
    assert [row for row in ours if row["factor"] is None or row["entry"] is None] == []
