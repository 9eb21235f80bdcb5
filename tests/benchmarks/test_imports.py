"""Long campaigns are rarely run; that they can be is seen at every change."""

from __future__ import annotations

import importlib
import pkgutil

import pytest

import benchmarks

CORPUS = "benchmarks.functions."
"""Its modules register functions, so that they are imported in another process (`test_correct_functions`)."""
MODULES = [
    found.name for found in pkgutil.walk_packages(benchmarks.__path__, "benchmarks.")
    if not found.name.startswith(CORPUS)
]  # fmt: skip


@pytest.mark.parametrize("name", [name for name in MODULES if not name.endswith("__main__")])
def test_that_each_benchmark_is_written_for_the_package_as_it_is(name: str) -> None:
    assert importlib.import_module(name).__doc__


def test_that_none_is_left_out() -> None:
    assert {"benchmarks.calibration", "benchmarks.cost", "benchmarks.speed.peers"} <= {*MODULES}
