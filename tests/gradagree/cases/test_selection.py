"""Which cases of a run are graphs: a fixed share beside chains, which stay as they were, or all of them."""

from __future__ import annotations

import collections

import pytest

from gradagree import draw
from gradagree.cases.case import Case
from gradagree.cases.graph_case import GraphCase
from gradagree.cases.graph_text import FAMILIES, GRAPH_FAMILIES
from gradagree.cases.random import draw as draw_chains
from gradagree.cases.selection import Selection
from gradagree.errors import UsageError
from gradagree.runner.options import Plan

DTYPES = ("float64", "float32")


def test_chains_stay_the_same_beside_graphs():
    chains, mixed = list(draw_chains(80, 3, DTYPES)), list(draw(80, 3, DTYPES, architectures=FAMILIES))
    kept = [a == b for a, b in zip(chains, mixed, strict=True) if isinstance(b, Case)]
    assert all(kept)
    assert 0.6 < len(kept) / len(chains) < 0.9


def test_a_case_does_not_depend_on_how_many_are_drawn():
    every = list(draw(120, 5, DTYPES, architectures=FAMILIES))
    assert list(draw(17, 5, DTYPES, start=90, architectures=FAMILIES)) == every[180:214]


def test_every_family_and_distribution_occurs_and_architectures_return():
    cases = [case for case in draw(400, 1, ("float32",), architectures=FAMILIES) if isinstance(case, GraphCase)]
    assert {case.family for case in cases} == set(GRAPH_FAMILIES)
    assert {case.regime for case in cases} == {"ordinary", "grid", "zeros", "saturated", "extreme"}
    counts = collections.Counter(case.architecture for case in cases)
    assert len(cases) / len(counts) > 2


def test_one_family_alone_is_all_that_is_drawn():
    cases = list(draw(8, architectures=["recurrent"]))
    assert {case.family for case in cases} == {"recurrent"}
    assert len({case.spec for case in cases}) == 16


def test_real_data_are_for_chains_only():
    cases = list(draw(40, regimes=["diabetes"], architectures=FAMILIES))
    assert {case.regime for case in cases if isinstance(case, Case)} == {"diabetes"}
    assert {case.regime for case in cases if isinstance(case, GraphCase)} == {"ordinary"}


def test_an_unknown_family_is_refused():
    with pytest.raises(UsageError, match="architectures: unknown name 'transformers'; did you mean"):
        draw(1, architectures=["transformers"])


@pytest.mark.parametrize(
    ("cases", "shard"),
    [*((n, "1/1") for n in (1, 9, 10, 33, 77, 200, 501)), *((n, "2/3") for n in (77, 200, 501))],
)
@pytest.mark.parametrize("architectures", ["all", "dense", "mixer,residual"])
def test_planned_counts_are_those_of_the_units(cases, shard, architectures):
    plan = Plan.make(cases=cases, shard=shard, architectures=architectures)
    found = collections.Counter()
    for framework in plan.frameworks:
        for unit in plan.units(framework):
            found.update(f"{framework}:{mode}" for _, _, modes in unit for mode in modes)
    assert {name: n for name, n in plan.counts().items() if n} == dict(found)


def test_the_share_of_graphs_is_known_without_drawing():
    chosen = Selection(0, DTYPES, FAMILIES, regimes=("ordinary",))
    drawn = [isinstance(case, GraphCase) for case in chosen.draw(range(150))][::2]
    assert drawn == [chosen.is_graph(i) for i in range(150)]
