"""Each mode gives the same gradient, within rounding, in the documented shapes; a plain function becomes a `Mode`."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from gradagree import Case
from gradagree.adapters import Adapter, ForJax, ForTorch, Problem, Unsupported, directions, training_steps
from gradagree.adapters.modes import Mode
from gradagree.adapters.problem import MAX_COORDINATES, coordinates, example_weight
from gradagree.arithmetic.model import model
from gradagree.checker.reverse import check, check_update
from gradagree.checker.statistical import compare_statistically
from gradagree.reference import ErrorFunction
from gradagree.reference.errors import SumOfSquares

CASE = "2-3b-2:id,tanh:mse:n3:f64:ordinary:s4"
LARGE = "8-16b-12:id,tanh:sse:n2:f64:ordinary:s4"
BY_HAND = ("backward", "grad", "jit", "vmap")
RATE = 0.1
pytestmark = pytest.mark.filterwarnings("ignore:.torch.jit.script:DeprecationWarning")


class _Coupled(SumOfSquares):
    """Half the square of the sum of all outputs, in which every example's sensitivity depends on the others."""

    def value(self, o: Any, t: Any) -> Any:
        return np.sum(o - t, axis=(-2, -1)) ** 2

    def torch(self, o: Any, t: Any, torch: Any) -> Any:
        return (o - t).sum() ** 2

    def jax(self, o: Any, t: Any, jax: Any) -> Any:
        return (o - t).sum() ** 2


def test_that_the_modes_are_those_of_the_closed_table(adapter: Adapter) -> None:
    table = {
        "torch": {"backward", "grad", "vmap", "forward", "compile"},
        "jax": {"grad", "jit", "vmap", "forward", "packed"},
    }
    assert set(adapter.modes) <= table[adapter.name]
    assert [mode for mode, record in adapter.modes.items() if record.forward] == ["forward"]


def test_that_tapped_modes_pass_the_box_check_with_taps_and_the_probable_check_without(
    adapter: Adapter, problem: Callable[..., Problem]
) -> None:
    case, rules = Case.parse(CASE), model("float64", flushes=adapter.name == "jax")
    for mode in sorted(set(BY_HAND) & set(adapter.modes)):
        tapped, untapped = adapter.answers(problem(CASE), mode)
        found = [
            *check(case, case.arrays(), tapped, rules),
            *compare_statistically(case, case.arrays(), untapped, rules),
        ]
        assert (tapped.tapped, untapped.tapped) == (True, False)
        assert not [one for one in found if one.verdict.fails], mode
        assert len(found) == 9 + 1 + 5  # one of them is the gradient by the targets


def test_that_forward_mode_gives_every_coordinate_of_a_small_network(
    adapter: Adapter, problem: Callable[..., Problem]
) -> None:
    case = Case.parse(CASE)
    tapped, answer = adapter.answers(problem(CASE), "forward")
    assert (answer.tapped, tapped.tapped) == (False, False)
    assert [answer.gradients[name].shape for name in ("w1", "w2")] == [(2, 3), (3, 2)]
    assert (answer.along, answer.tangents) == ((), {})
    arrays = [answer.cotangents["inputs"], *answer.gradients.values()]
    assert tapped.along == tuple(np.concatenate([np.ravel(x) for x in arrays]))
    assert [x.shape for x in tapped.tangents.values()] == [
        (len(tapped.along), *c.shape) for c in [*tapped.values.values()][1:]
    ]
    found = compare_statistically(case, case.arrays(), answer, model("float64"))
    assert max(one.ratio for one in found) <= 1
    assert {one.part for one in found} == {"E", "delta_p", "dw", "db"}


def test_that_forward_mode_gives_slopes_along_directions_of_a_large_network(
    adapter: Adapter, problem: Callable[..., Problem]
) -> None:
    case, given = Case.parse(LARGE), problem(LARGE)
    assert coordinates(given) > MAX_COORDINATES
    answer, _ = adapter.answers(given, "forward")
    assert (answer.cotangents, answer.gradients) == ({}, {})
    assert len(answer.along) == len(directions(given))
    assert [x.shape for x in answer.tangents.values()] == [
        (len(answer.along), *c.shape) for c in [*answer.values.values()][1:]
    ]
    assert not answer.tapped
    (found,) = compare_statistically(case, case.arrays(), answer, model("float64"))
    assert (found.part, found.ratio <= 1, found.entries) == ("E'", True, len(answer.along))


def test_that_a_slope_along_a_direction_is_the_sum_over_the_gradient(
    adapter: Adapter, problem: Callable[..., Problem]
) -> None:
    case, given = Case.parse(LARGE), problem(LARGE)
    answer = adapter.answers(given, "forward")[0]
    gradient = adapter.answers(given, next(iter(adapter.modes)))[1]
    parts = [*gradient.gradients.values()]
    slopes = [float(sum(np.sum(d * g) for d, g in zip(way, parts, strict=True))) for way in directions(given)]
    for along, fails in ((slopes, False), (slopes[::-1], True), ([-slope for slope in slopes], True)):
        (found,) = compare_statistically(case, case.arrays(), replace(answer, along=tuple(along)), model("float64"))
        assert found.verdict.fails == fails


def test_that_directions_are_always_the_same_and_not_all_alike(problem: Callable[..., Problem]) -> None:
    one, other = ([np.concatenate([x.ravel() for x in way]) for way in directions(problem(LARGE))] for _ in range(2))
    assert np.array_equal(one, other)
    assert set(np.abs(np.ravel(one))) == {1.0}
    assert np.linalg.matrix_rank(one) == len(one)


def test_that_a_direction_of_an_activations_own_weight_is_an_array_as_well(problem: Callable[..., Problem]) -> None:
    for direction in directions(problem("3-4b-2:id,prelu*2:sse:n5:f64:ordinary:s1")):
        assert direction[-1].shape == ()
        assert all(isinstance(x, np.ndarray) for x in direction)


COUPLED = ("generalized_dice", "ntxent")
"""They compare the examples of a batch, or count their classes."""


@pytest.mark.parametrize("name", [name for name in ErrorFunction.catalogue if name not in COUPLED])
def test_that_the_share_of_an_example_is_one_for_sums_and_its_part_for_means(
    problem: Callable[..., Problem], name: str
) -> None:
    given = problem(CASE, error=ErrorFunction.named(name))
    assert example_weight(given.error, given.inputs.shape[0]) == (1.0 if name in ("sse", "absolute") else 1 / 3)


@pytest.mark.parametrize("name", [*COUPLED, "dice(together=True)"])
def test_that_an_error_function_of_the_catalogue_that_couples_examples_gives_them_no_share(name: str) -> None:
    with pytest.raises(Unsupported, match="couples the examples of a batch"):
        example_weight(ErrorFunction.named(name), 3)


class _Masked(ErrorFunction):
    """The mean of (o - t)^2 over the entries with t > 0: the examples have different numbers of them."""

    name = "_masked"

    def value(self, o: Any, t: Any) -> Any:
        kept = np.where(t > 0, 1.0, 0.0)
        return np.sum(kept * (o - t) ** 2, axis=(-2, -1)) / np.maximum(np.sum(kept, axis=(-2, -1)), 1.0)

    def sensitivity(self, o: Any, t: Any) -> Any:
        kept = np.where(t > 0, 1.0, 0.0)
        return 2 * kept * (o - t) / np.maximum(np.sum(kept, axis=(-2, -1), keepdims=True), 1.0)


def test_that_a_mean_over_chosen_entries_couples_the_examples() -> None:
    with pytest.raises(Unsupported, match="couples the examples of a batch"):
        example_weight(_Masked(), 3)


def test_that_an_example_that_an_error_function_ignores_is_asked_for_its_share_without_a_warning() -> None:
    ignoring = ErrorFunction.named("cross_entropy(ignore_index=0)")
    with warnings.catch_warnings(action="error"), pytest.raises(Unsupported):
        example_weight(ignoring, 3)


def test_that_examples_that_are_coupled_have_no_gradients_of_their_own(
    adapter: Adapter, problem: Callable[..., Problem]
) -> None:
    with pytest.raises(Unsupported, match="sse couples the examples of a batch"):
        adapter.answers(problem(CASE, error=_Coupled()), "vmap")


def test_that_a_step_of_steepest_descent_is_right_and_one_of_another_rate_is_found(
    adapter: Adapter, problem: Callable[..., Problem]
) -> None:
    case, rules, mode = Case.parse(CASE), model("float64"), next(iter(adapter.modes))
    assert adapter.answers(problem(CASE), mode)[0].updated == {}
    answer = adapter.answers(problem(CASE, rate=RATE), mode)[0]
    found = list(check_update(case, case.arrays(), answer, RATE, rules))
    assert [one.entry.split("[")[0] for one in found] == ["w", "w", "b"]
    assert [one.box for one in found] == [1, 2, 1]
    assert not [one for one in found if one.verdict.fails]
    wrong = list(check_update(case, case.arrays(), answer, np.nextafter(RATE, 1) * (1 + 2.0**-40), rules))
    assert all(one.verdict.fails for one in wrong)


def test_that_a_course_of_training_takes_the_steps_that_backpropagation_takes(
    adapter: Adapter, problem: Callable[..., Problem]
) -> None:
    given, mode = problem(CASE), next(iter(adapter.modes))
    rounds = [(0, 2), ()]
    found = list(training_steps(adapter, given, mode, RATE, rounds))
    weights, biases = list(given.weights), list(given.biases)
    for sampled, after in zip(rounds, found, strict=True):
        for pair in [slice(k, k + 1) for k in sampled] or [slice(None)]:
            arrays = {"inputs": given.inputs[pair], "targets": given.targets[pair]}
            one = problem(CASE, weights=weights, biases=biases, **arrays, rate=RATE, loss_weight=1.0)
            updated = adapter.answers(one, mode)[1].updated
            weights, biases = [updated["w1"], updated["w2"]], [updated["b1"], None]
        assert all(np.array_equal(x, y) for x, y in zip(after.values(), [*weights, biases[0]], strict=True))


def test_that_the_compiled_mode_passes_the_box_check_where_there_is_a_compiler(problem: Callable[..., Problem]) -> None:
    pytest.importorskip("torch")
    spec = "2-2:id:sse:n2:f64:ordinary:s4"
    case, adapter = Case.parse(spec), ForTorch()
    with adapter.settings():
        try:
            tapped, _ = adapter.answers(problem(spec), "compile")
        except Unsupported as missing:
            pytest.skip(str(missing))
    found = list(check(case, case.arrays(), tapped, model("float64")))
    assert not [one for one in found if one.verdict.fails]
    assert len(found) == 5


@pytest.fixture
def catalogue(monkeypatch: pytest.MonkeyPatch) -> None:
    """Unregister the adapters of a test afterwards."""
    monkeypatch.setattr(Adapter, "catalogue", dict(Adapter.catalogue))


def gradient(error: Any, per_example: Any) -> Any:
    """Reverse mode."""
    return error, per_example


def define_adapter(base: type[Adapter] = Adapter, **attributes: Any) -> type[Adapter]:
    return type("ForMine", (base,), {"name": "mine_of_the_test", "install": "", **attributes})


@pytest.mark.usefixtures("catalogue")
def test_that_a_plain_function_becomes_a_record_with_the_traits_that_its_adapter_names() -> None:
    names = dict.fromkeys(("plain", "ahead", "fused", "alone", "vmap"), gradient)
    sets = {"untapped": frozenset({"ahead"}), "compiled": frozenset({"fused"}), "each_alone": frozenset({"alone"})}
    assert define_adapter(modes=names, **sets).modes == {
        "plain": Mode(gradient), "ahead": Mode(gradient, forward=True), "fused": Mode(gradient, fused=True),
        "alone": Mode(gradient, per_example=True), "vmap": Mode(gradient),
    }  # fmt: skip
    assert define_adapter(modes=names).modes["vmap"] == Mode(gradient, per_example=True)


@pytest.mark.usefixtures("catalogue")
def test_that_a_replaced_function_keeps_the_traits_of_its_mode_but_not_its_source() -> None:
    made = define_adapter(ForTorch, modes={"compile": gradient, "grad": gradient})
    assert made.modes["compile"] == Mode(gradient, fused=True, compiles=True, by_default=False, slow=True)
    assert made.modes["grad"] == Mode(gradient)


@pytest.mark.usefixtures("catalogue")
def test_that_a_record_is_called_like_its_function_and_found_by_its_full_name() -> None:
    record = Mode(gradient, fused=True)
    made = define_adapter(modes={"jit": record})
    assert made.modes["jit"](1, 2) == (1, 2)
    assert Adapter.mode("mine_of_the_test:jit") is record
    assert Adapter.mode("jax:packed") is ForJax.modes["packed"]
    assert not Adapter.mode("nobody:jit").fused


@pytest.mark.usefixtures("catalogue")
def test_that_a_framework_trains_in_its_own_mode_or_else_in_its_first_and_only_where_it_is_named() -> None:
    assert (ForTorch.training_mode(), ForJax.training_mode()) == ("backward", "jit")
    assert ForTorch.trains()
    made = define_adapter(ForTorch, modes={"first": gradient, "second": gradient})
    assert made.training_mode() == "first"
    assert not made.trains()
