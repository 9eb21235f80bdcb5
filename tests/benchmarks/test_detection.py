"""The benchmark of planted faults: every framework tells the same lie, and what is counted is what was found."""

from __future__ import annotations

import importlib
import itertools
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from gradagree.cases.case import Case, problem_of

ROOT = Path(__file__).parents[2]
MODULES = ("faults", "measure", "networks", "page", "peers", "planting", "tolerances")
SEEDS = 1000
ON_GRID = "4-4b-4b:id,relu:sse:n4:{dtype}:grid:s{seed}"


@pytest.fixture(scope="module")
def detection() -> Iterator[SimpleNamespace]:
    """The benchmark's modules, from the repository's root."""
    for needed in ("torch", "jax", "autograd"):
        pytest.importorskip(needed)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT))
        modules = {name: importlib.import_module(f"benchmarks.detection.{name}") for name in MODULES}
        yield SimpleNamespace(**modules)


def on_grid(detection: Any, fault: Any, kinked: bool) -> Any:
    """A network without rounding, with or without a number on relu's kink, that the fault changes."""
    for seed in range(SEEDS):
        case = Case.parse(ON_GRID.format(dtype="f64", seed=seed))
        site = detection.faults.Site("error" if fault.error_box else 2, (1, 2))
        network = detection.networks.Network(case, site)
        torch = detection.networks.in_torch()
        if not fault.linear:
            network = replace(network, site=replace(site, before=network.before))
        p = detection.networks.answer(torch, network, None).values["c1"]
        if bool(np.any(p == 0)) is kinked and detection.networks.change(network, fault)[0] > 0:
            return network
    raise ValueError(f"no network for {fault.name}")


def faults(detection: Any) -> list[Any]:
    kinds = [kind(0.5) for kind in detection.faults.KINDS.values()]
    return [*kinds, *detection.faults.STRUCTURAL]


def gradient(framework: Any, network: Any, fault: Any) -> list[np.ndarray]:
    """The gradient of E with respect to every leaf, by the framework's own reverse mode."""
    error = detection_error(framework, network, fault)
    leaves, targets = framework.numbers(problem_of(network.case, network.arrays))
    if framework.name == "torch":
        error(leaves, targets).backward()
        return [np.asarray(leaf.grad) for leaf in leaves]
    if framework.name == "jax":
        with framework.adapter.settings():
            leaves, targets = framework.numbers(problem_of(network.case, network.arrays))
            return [np.asarray(x) for x in framework.framework.grad(error)(leaves, targets)]
    return [np.asarray(x) for x in framework.framework.grad(error)(leaves, targets)]


def detection_error(framework: Any, network: Any, fault: Any) -> Any:
    error = importlib.import_module("benchmarks.detection.networks").error_of(framework, network, fault)
    return lambda leaves, targets: error(leaves, targets, lambda c: c)


def test_that_every_framework_is_made_to_tell_the_same_lie(detection: Any) -> None:
    planting = detection.planting
    for fault in faults(detection):
        kinked = fault.regime == "grid"
        network = on_grid(detection, fault, kinked)
        told = [gradient(make(), network, fault) for make in (planting.InTorch, planting.InJax, planting.InAutograd)]
        for other in told[1 : 2 if kinked else 3]:
            assert all(np.array_equal(x, y) for x, y in zip(told[0], other, strict=True)), fault.name


def test_that_the_push_of_a_fault_is_the_transpose_of_its_pull(detection: Any) -> None:
    forward = detection.planting.InJaxForward()
    jax = forward.framework
    for fault in (fault for fault in faults(detection) if fault.linear):
        network = on_grid(detection, fault, kinked=fault.regime == "grid")
        pulled = gradient(detection.planting.InJax(), network, fault)
        error = detection_error(forward, network, fault)
        with forward.adapter.settings():
            leaves, targets = forward.numbers(problem_of(network.case, network.arrays))
            along = [jax.numpy.arange(x.size, dtype=x.dtype).reshape(x.shape) for x in leaves]
            _, slope = jax.jvp(lambda leaves, targets=targets, error=error: error(leaves, targets), (leaves,), (along,))
        expected = sum(np.sum(x * np.asarray(way)) for x, way in zip(pulled, along, strict=True))
        assert float(slope) == expected, fault.name


def test_that_a_fault_changes_one_part_of_one_box(detection: Any) -> None:
    networks, torch = detection.networks, detection.networks.in_torch()
    for fault in faults(detection):
        network = on_grid(detection, fault, kinked=fault.regime == "grid")
        right, plain, wrong = (
            networks.answer(torch, network, f) for f in (detection.faults.control(fault), None, fault)
        )
        places = [("delta_p", "error"), *itertools.product(("delta_p", "dw", "db"), (1, 2))]
        sites = {(part, k): replace(network.site, box=k) for part, k in places}
        changed = {
            at for at, site in sites.items()
            if not np.array_equal(networks.part(right, site, at[0]), networks.part(wrong, site, at[0]))
        }  # fmt: skip
        assert (fault.part, network.site.box) in changed
        assert fault.error_box or {at for at in changed if at[1] != 1} == {(fault.part, 2)}
        for (part, _), site in sites.items():
            assert np.array_equal(networks.part(right, site, part), networks.part(plain, site, part))
        assert right.values.keys() == wrong.values.keys()
        assert all(np.array_equal(x, wrong.values[name]) for name, x in right.values.items())


def test_that_the_smallest_level_that_is_found_is_reported(detection: Any) -> None:
    levels, smallest = detection.measure.LEVELS, detection.measure.smallest
    assert levels == sorted(levels, reverse=True)
    for least in levels:
        assert smallest(lambda eps, least=least: eps >= least) == least
    assert smallest(lambda eps: False) is None


class Always:
    """A tool that says the same of everything."""

    def __init__(self, finding: Any) -> None:
        self.finding = finding

    def judge(self, network: Any, fault: Any) -> Any:
        return self.finding

    def can_express(self, fault: Any) -> bool:
        return fault.linear


@pytest.mark.parametrize("accused", [True, False])
def test_that_a_tool_that_says_the_same_of_everything_finds_nothing(detection: Any, accused: bool) -> None:
    measure, place = detection.measure, detection.networks.Place("depth", 1)
    row = measure.Row("always", "", "float64", "depth", 1)
    measure.Asking(Always(detection.peers.Finding(accused, "")), row, 1).everything(place, "float64")
    told = len(detection.faults.KINDS) + sum(fault.linear for fault in detection.faults.STRUCTURAL)
    assert (row.controls + row.kink_controls, row.alarms + row.kink_alarms) == (told, told * accused)
    assert all(found == [None] for found in row.smallest.values())
    assert {counts["found"] for counts in row.structural.values()} == {0}


def test_that_each_peer_passes_what_is_right_and_accuses_what_is_grossly_wrong(detection: Any) -> None:
    peers, fault = detection.peers, detection.faults.KINDS["one activation"](1.0)
    network = on_grid(detection, fault, kinked=False)
    for name, how in peers.TOOLS:
        tool = peers.tool(name, how, "float64")
        assert not tool.judge(network, detection.faults.control(fault)).accused, name
        assert tool.judge(network, fault).accused, name


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_that_gradagree_names_the_box_of_every_fault_above_its_tolerance(detection: Any, dtype: str) -> None:
    place = detection.networks.Place("depth", 3)
    row = detection.measure.row("gradagree, torch", "computed", dtype, place, 1)
    assert row["missed"] == row["misnamed"] == row["accused"] == []
    assert row["named"][0] == row["named"][1] >= len(detection.faults.STRUCTURAL)
    assert all(counts["above"] == counts["above_found"] for counts in row["structural"].values())


def test_that_a_tool_that_would_take_too_long_is_not_run(detection: Any) -> None:
    place = detection.networks.Place("size", 10_000)
    row = detection.measure.row("gradcheck, slow", "default", "float64", place, 1)
    assert row["note"].startswith("not run: ")
    assert row["note"].endswith(" s a network")
    assert row["seconds"] is None


def test_that_the_published_page_is_made_of_the_published_result(detection: Any) -> None:
    result = json.loads((ROOT / "reports" / "detection.json").read_text(encoding="utf-8"))
    page = (ROOT / "docs" / "detection.md").read_text(encoding="utf-8")
    assert detection.page.page(result) == page
    for name, how in detection.peers.TOOLS:
        assert f"| {name}, {how} |" in page
    first, *others = result["rows"]
    assert detection.page.page({**result, "rows": [{**first, "alarms": first["alarms"] + 1}, *others]}) != page
