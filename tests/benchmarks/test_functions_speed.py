"""The benchmark of the time of `assert_grads`: its contestants run, and the page is made of the result."""

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
    pytest.importorskip("torch")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT))
        names = ("functions_speed", "functions_speed_page")
        yield SimpleNamespace(**{name: importlib.import_module(f"benchmarks.{name}") for name in names})


def test_that_each_contestant_runs_and_is_timed(modules: Any) -> None:
    contests = modules.functions_speed.contestants(modules.functions_speed.SMALL, "float64")
    times = modules.functions_speed.turns(contests, 1)
    assert set(times) == {"own passes", *modules.functions_speed_page.OTHERS}
    assert all(time["median"] > 0 for time in times.values())


def test_that_the_published_page_is_made_of_the_published_result(modules: Any) -> None:
    result = json.loads((ROOT / modules.functions_speed.RESULTS).read_text(encoding="utf-8"))
    page = (ROOT / modules.functions_speed.PAGE).read_text(encoding="utf-8")
    assert modules.functions_speed_page.page(result) == page
    assert modules.functions_speed_page.page({**result, "rows": result["rows"][:-1]}) != page
