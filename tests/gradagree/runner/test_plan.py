"""What options come to, which cases see which modes, and how many records that makes."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from gradagree.adapters import Adapter
from gradagree.arithmetic.model import FORMATS
from gradagree.cases.case import Case
from gradagree.cases.graph_text import FAMILIES
from gradagree.cases.random import GROUP_STEP
from gradagree.cases.regimes import REGIMES, STANDARD
from gradagree.errors import UsageError
from gradagree.reference.activations import Elu, Relu
from gradagree.reference.errors import Huber, SumOfSquares
from gradagree.runner.options import PROFILES, Plan

OURS = ("torch", "jax")
COMPILING = {"jax:grad", "jax:jit", "jax:vmap", "jax:forward", "torch:compile"}
BY_NAME = {"jax:vmap", "jax:forward", "torch:compile"}
BARE = [mode for name in OURS for mode in Adapter.catalogue[name].modes]
OFFERED = [f"{name}:{mode}" for name in OURS for mode in Adapter.catalogue[name].modes]


@pytest.fixture(autouse=True, scope="module")
def only_our_frameworks() -> Any:
    """Frameworks that other tests define stay out of the plans."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Adapter, "catalogue", {name: Adapter.catalogue[name] for name in OURS})
        yield


def complaint(**options: Any) -> str:
    with pytest.raises(UsageError) as caught:
        Plan.make(**options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"cases": 0}, "--cases 0: give a whole number from 1 to 1000000000"),
        ({"cases": -3}, "--cases -3: give a whole number from 1 to 1000000000"),
        ({"seed": -1}, "--seed -1: give a whole number of at least 0"),
        ({"profile": "nigthly"}, "--profile: unknown profile 'nigthly'; did you mean 'nightly'?"),
        ({"dtypes": "float31"}, "--dtypes: unknown name 'float31'; did you mean 'float32'?"),
        ({"dtypes": "f32"}, "--dtypes: unknown name 'f32'; "),
        ({"dtypes": ""}, "--dtypes '': give names separated by commas"),
        ({"dtypes": "float64,,float32"}, "--dtypes 'float64,,float32': give names separated by commas"),
        ({"regimes": "gird"}, "--regimes: unknown name 'gird'; did you mean 'grid'?"),
        ({"frameworks": "pytorch"}, "--frameworks: unknown name 'pytorch'; did you mean 'torch'?"),
        ({"frameworks": "all,torch"}, "--frameworks: unknown name 'all'; known: jax, torch"),
        ({"modes": "backwards"}, "--modes: no mode 'backwards' in torch, jax; did you mean 'backward'?"),
        ({"modes": "jax:backward"}, "--modes: no mode 'jax:backward' in torch, jax; did you mean "),
        ({"frameworks": "jax", "modes": "backward"}, "--modes: no mode 'backward' in jax; "),
        (
            {"modes": "nonsense"},
            f"--modes: no mode 'nonsense' in torch, jax; known: {', '.join(sorted({*OFFERED, *BARE}))}",
        ),
        ({"modes": ","}, "--modes ',': give names separated by commas"),
        ({"activations": "tahn"}, "--activations: unknown activation 'tahn'; did you mean 'tanh'?"),
        ({"activations": "elu(alpha=)"}, "--activations: elu: alpha='' is no float"),
        ({"activations": "tanh,"}, "--activations 'tanh,': give names separated by commas"),
        ({"errors": "ssse"}, "--errors: unknown error function 'ssse'; did you mean 'sse'?"),
    ],
)
def test_that_a_bad_option_is_named_with_what_to_give(options: dict[str, Any], expected: str) -> None:
    assert complaint(**options).startswith(expected)


def test_that_every_option_is_read_from_its_list() -> None:
    plan = Plan.make(
        cases=7, seed=3, frameworks="torch", modes="backward", dtypes=" float16, bfloat16 ,float16", regimes="grid",
        activations="relu,elu(alpha=0.5)", errors="sse,huber(delta=2.0)",
    )  # fmt: skip
    assert plan == Plan(
        7, 3, ("float16", "bfloat16"), ("grid",), (Relu(), Elu(alpha=0.5)), (SumOfSquares(), Huber(delta=2.0)),
        {"torch:backward": 1}, architectures=FAMILIES,
    )  # fmt: skip


def test_that_without_options_the_profile_for_ci_is_planned() -> None:
    plan = Plan.make()
    assert (plan.cases, plan.seed, plan.dtypes, plan.regimes) == (200, 0, ("float64", "float32"), STANDARD)
    assert plan == Plan.make(profile="ci")
    assert plan.modes == {name: GROUP_STEP if name in COMPILING else 1 for name in OFFERED if name not in BY_NAME}
    assert plan.activations is plan.errors is None


@pytest.mark.parametrize("profile", PROFILES)
def test_that_an_option_goes_before_the_profile(profile: str) -> None:
    assert Plan.make(profile=profile).cases == PROFILES[profile].cases
    plan = Plan.make(profile=profile, cases=3, modes="jax:jit")
    assert (plan.cases, plan.modes) == (3, {"jax:jit": 1})


def test_that_all_stands_for_all() -> None:
    plan = Plan.make(frameworks="all", modes="all", dtypes="all", activations="all", errors="all")
    assert (
        plan.modes
        == {name: GROUP_STEP if name in COMPILING else 1 for name in OFFERED}
        == Plan.make(profile="nightly").modes
    )
    assert plan.dtypes == tuple(FORMATS)
    assert plan.activations is plan.errors is None
    assert set(Plan.make(regimes="all").regimes) == {*REGIMES, "diabetes", "digits"}


@pytest.mark.parametrize("mode", OFFERED)
def test_that_a_mode_that_is_named_sees_every_case(mode: str) -> None:
    framework, _, name = mode.partition(":")
    for named in (mode, name):
        plan = Plan.make(cases=9, frameworks=framework, modes=named, architectures="dense")
        assert plan.modes == {mode: 1}
        assert plan.counts() == {mode: 9 * 2}


def planned_modes(plan: Plan) -> list[tuple[Case, str]]:
    """Every case x framework:mode of a plan."""
    return [
        (case, f"{framework}:{mode}")
        for index, case in plan.draw_cases()
        for framework in plan.frameworks
        for mode in plan.modes_of(framework, index)
    ]


@settings(deadline=None)
@given(
    st.integers(1, 40), st.lists(st.sampled_from(sorted(FORMATS)), min_size=1, unique=True),
    st.lists(st.sampled_from(sorted(REGIMES)), min_size=1, unique=True),
    st.dictionaries(st.sampled_from(OFFERED), st.sampled_from([1, GROUP_STEP]), min_size=1),
)  # fmt: skip
def test_that_counts_are_those_of_the_cases_that_run(
    cases: int, dtypes: list[str], regimes: list[str], modes: dict[str, int]
) -> None:
    plan = Plan(cases=cases, dtypes=tuple(dtypes), regimes=tuple(regimes), modes=modes)
    found = Counter(mode for _, mode in planned_modes(plan))
    assert plan.counts() == {mode: found[mode] for mode in modes}
    for mode, share in modes.items():
        assert cases * len(dtypes) <= found[mode] * share


@settings(deadline=None)
@given(st.integers(1, 60), st.sampled_from([1, GROUP_STEP]))
def test_that_a_mode_with_a_share_sees_every_dtype_and_each_regime_in_its_turn(cases: int, share: int) -> None:
    plan = Plan(cases=cases, modes={"jax:grad": share})
    seen = [case for case, _ in planned_modes(plan)]
    assert {case.dtype for case in seen} == set(plan.dtypes)
    turns = Counter(case.regime for case in seen if case.dtype == plan.dtypes[0])
    assert max(turns.values()) - min(turns[regime] for regime in plan.regimes) <= 2


@pytest.mark.parametrize("profile", PROFILES)
def test_that_exact_jax_sees_at_least_a_tenth_of_the_architectures(profile: str) -> None:
    plan = Plan.make(profile=profile)
    assert plan.counts()["jax:grad"] >= plan.cases * len(plan.dtypes) / 10


def test_that_given_cases_run_in_every_mode() -> None:
    cases = [Case.parse(f"2-3:id:sse:n1:f64:grid:s{seed}") for seed in range(5)]
    plan = Plan.of(cases, "jax")
    modes = [f"jax:{mode}" for mode in Adapter.catalogue["jax"].modes]
    assert plan.counts() == dict.fromkeys(modes, 5)
    assert planned_modes(plan) == [(case, mode) for case in cases for mode in modes]
    assert Plan.of(cases, modes="torch:backward").modes == {"torch:backward": 1}


def test_that_the_same_plan_draws_the_same_cases_again() -> None:
    plan = Plan.make(cases=5, seed=4)
    assert [case.spec for _, case in plan.draw_cases()] == [case.spec for _, case in plan.draw_cases()]
    assert [index for index, _ in plan.draw_cases()] == list(range(10))
