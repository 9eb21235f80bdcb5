"""jax's packed mode: padded operations give the numbers of the operations; sums over entries are recognized."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gradagree import Case
from gradagree.adapters import ForJax, Problem, Unsupported
from gradagree.adapters.jax_packed import MAX_EXAMPLES, MAX_WIDTH, pad_with_edges, pad_with_zeros
from gradagree.adapters.loss_reduction import LossReduction, is_separable, loss_reduction
from gradagree.adapters.programs import near_mapping_limit
from gradagree.arithmetic.model import model
from gradagree.checker.reverse import check
from gradagree.reference import Activation, ErrorFunction
from gradagree.reference.activations import Tanh
from gradagree.reference.samples import allowed_width, to_domain

CASES = [
    "2-3b-2:id,tanh:mse:n3:f64:ordinary:s4",
    "5-4-6b-3:id,relu,log:sse:n7:f32:grid:s1",
    "3-8-2:id,reciprocal,sigmoid:bce:n4:f64:ordinary:s2",
    "4-6b-5:id,softmax:cross_entropy:n6:f64:ordinary:s3",
    "4-6-6:id,glu,layer_norm:huber:n5:f32:zeros:s3",
    f"{MAX_WIDTH}-{MAX_WIDTH}b-1:id,gelu:mse:n{MAX_EXAMPLES}:f64:ordinary:s5",
    "4-3-2b:id,prelu_by_column,prelu:absolute:n5:f32:mixed:s6",
    "4-6:id,sigmoid:generalized_dice:n4:f64:ordinary:s7",
    "6-5b-6:id,log_softmax:nll:n9:f32:saturated:s8",
]


WHOLE_ROWS = (
    "binary_dice", "cosine_distance", "cosine_embedding", "cross_entropy", "dice", "dice_of_probabilities",
    "gaussian_nll", "generalized_dice", "kl_div", "kl_div_of_logs", "margin_ranking", "multi_margin",
    "multiclass_hinge", "multiclass_perceptron", "multiclass_sparsemax", "multilabel_margin", "nll", "ntxent",
    "pairwise_distance", "poly_cross_entropy", "soft_cross_entropy", "triplet_margin", "triplet_margin_of_squares",
)  # fmt: skip


@pytest.fixture(scope="module")
def jax() -> Iterator[ForJax]:
    pytest.importorskip("jax")
    adapter = ForJax()
    with adapter.settings():
        yield adapter


@pytest.mark.parametrize("spec", CASES)
def test_that_packed_boxes_pass_the_box_check(jax: ForJax, problem: Callable[..., Problem], spec: str) -> None:
    case = Case.parse(spec)
    answer, again = jax.answers(problem(spec), "packed")
    assert answer is again
    found = list(check(case, case.arrays(), answer, model(case.dtype, flushes=True)))
    assert not [one for one in found if one.verdict.fails]
    assert {one.part for one in found} >= {"c", "E", "delta_p", "dw"}


def test_that_one_program_serves_every_shape(jax: ForJax, problem: Callable[..., Problem]) -> None:
    jax.answers(problem("2-3b-2:id,tanh:mse:n3:f64:ordinary:s4"), "packed")
    known = len(jax.packed._programs)
    for spec in ("9-4-2:id,tanh:mse:n5:f64:ordinary:s4", "30-4b-7-2:id,tanh*2:mse:n1:f64:grid:s6"):
        jax.answers(problem(spec), "packed")
    assert len(jax.packed._programs) == known


def test_that_a_wrong_derivative_is_found(jax: ForJax, problem: Callable[..., Problem]) -> None:
    class _Slanted(Tanh):
        def jax(self, p: Any, jax: Any) -> Any:
            return jax.numpy.tanh(p) + 1e-12 * jax.lax.stop_gradient(p) - 1e-12 * p

    case = Case.parse("2-3b-2:id,tanh:mse:n3:f64:ordinary:s4")
    answer, _ = jax.answers(problem(str(case), activations=(case.activations[0], _Slanted())), "packed")
    found = [one for one in check(case, case.arrays(), answer, model("float64", flushes=True)) if one.verdict.fails]
    assert [(one.box, one.part) for one in found] == [(2, "delta_p")]


@pytest.mark.parametrize(
    ("spec", "why"),
    [
        (f"2-{MAX_WIDTH + 1}-2:id,tanh:mse:n3:f64:ordinary:s4", f"up to {MAX_WIDTH + 1} wide"),
        (f"2-3-2:id,tanh:mse:n{MAX_EXAMPLES + 1}:f64:ordinary:s4", f"{MAX_EXAMPLES + 1} examples"),
    ],
)
def test_that_what_does_not_fit_is_not_packed(
    jax: ForJax, problem: Callable[..., Problem], spec: str, why: str
) -> None:
    with pytest.raises(Unsupported, match=why):
        jax.answers(problem(spec), "packed")


def test_that_a_function_of_short_rows_is_not_packed(jax: ForJax, problem: Callable[..., Problem]) -> None:
    class _Doubled(Activation):
        """An elementwise function of rows of at most four entries."""

        name = "doubled"

        def width(self, n: int) -> int | None:
            return n if n <= 4 else None

        def value(self, p: Any) -> Any:
            return 2.0 * p

        def derivative(self, p: Any) -> Any:
            return 0.0 * p + 2.0

        def jax(self, p: Any, jax: Any) -> Any:
            return jax.numpy.where(p.shape[-1] <= 4, 2.0, 3.0) * p

    case = Case.parse("2-3b-2:id,tanh:mse:n4:f64:ordinary:s4")
    with pytest.raises(Unsupported, match=rf"packed pads rows to {MAX_WIDTH} entries, which .* does not accept"):
        jax.answers(problem(str(case), activations=(case.activations[0], _Doubled())), "packed")


class _LastColumn(type(Activation.named("tanh"))):  # type: ignore[misc]
    """tanh, whose derivative has another sign in the last of several columns."""

    def jax(self, p: Any, jax: Any) -> Any:
        a = jax.numpy.tanh(p)
        last = jax.numpy.arange(p.shape[-1]) == max(p.shape[-1] - 1, 1)
        return jax.numpy.where(last, 2 * jax.lax.stop_gradient(a) - a, a)


@pytest.mark.parametrize(("batch", "widths", "seen"), [(3, "2-3b-4", True), (4, "2-3b-4", False), (4, "2-3b-90", True)])
def test_that_a_function_of_a_user_is_compiled_for_odd_batches_and_large_networks(
    jax: ForJax, problem: Callable[..., Problem], batch: int, widths: str, seen: bool
) -> None:
    case = Case.parse(f"{widths}:id,tanh:mse:n{batch}:f64:ordinary:s4")
    found = _failures(jax, case, problem(str(case), activations=(case.activations[0], _LastColumn())))
    assert {(one.box, one.part) for one in found} == ({(2, "delta_p")} if seen else set())


def test_that_the_shape_of_a_result_is_found_without_compiling(jax: ForJax) -> None:
    traced = []

    def function(x: Any) -> Any:
        traced.append(x)
        return x * jax.framework.nn.sigmoid(x)

    assert jax.result_shape(function, jax.array(np.ones((2, 5)), "float64")).shape == (2, 5)
    assert [isinstance(x, jax.framework.core.Tracer) for x in traced] == [True]


def test_that_padding_is_zero() -> None:
    padded = pad_with_zeros(np.ones((2, 3)), (4, 5))
    assert padded.sum() == 6
    assert padded[:2, :3].all()
    assert pad_with_edges(np.array([[1.0, 2.0]]), (2, 3)).tolist() == [[1, 2, 2], [1, 2, 2]]
    assert pad_with_edges(np.array(3.0), ()).tolist() == 3


@pytest.mark.parametrize("wrong", ["sum", "examples", "entries"])
@pytest.mark.parametrize("name", ["mse", "kl_div_of_logs"])
def test_that_an_error_function_that_adds_up_wrongly_is_found(
    jax: ForJax, problem: Callable[..., Problem], name: str, wrong: str
) -> None:
    kind = type(ErrorFunction.named(name))
    right = kind.jax

    class _AddedUpWrongly(kind):  # type: ignore[misc, valid-type]
        def jax(self, o: Any, t: Any, jax: Any) -> Any:
            times = {"sum": o.shape[0] * o.shape[1], "examples": o.shape[0], "entries": o.shape[1]}[wrong]
            return right(self, o, t, jax) * times

    case = Case.parse(f"2-3b-4:id,tanh,log_softmax:{name}:n3:f64:ordinary:s4")
    assert not _failures(jax, case, problem(str(case)))
    found = _failures(jax, case, problem(str(case), error=_AddedUpWrongly()))
    assert {(one.box, one.part) for one in found} >= {("error", "E")}


def _failures(jax: ForJax, case: Case, problem: Problem) -> list[Any]:
    answer, _ = jax.answers(problem, "packed")
    return [one for one in check(case, case.arrays(), answer, model("float64", flushes=True)) if one.verdict.fails]


def test_that_programs_are_dropped_before_a_process_has_too_many_parts_of_memory(
    jax: ForJax, problem: Callable[..., Problem], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not near_mapping_limit()
    answered, other = (problem(f"2-3b-2:id,{name}:mse:n3:f64:ordinary:s4") for name in ("tanh", "celu(alpha=3.25)"))
    before, _ = jax.answers(answered, "packed")
    known = len(jax.packed._programs)
    assert known > 1
    monkeypatch.setattr("gradagree.adapters.programs.MAX_MAPPINGS", 1)
    assert near_mapping_limit() == Path("/proc/self/maps").exists()
    jax.answers(other, "packed")
    assert (len(jax.packed._programs) < known) == near_mapping_limit()
    after, _ = jax.answers(answered, "packed")
    assert np.array_equal(before.gradients["w1"], after.gradients["w1"])


def test_that_sums_and_means_are_distinguished() -> None:
    parts = np.arange(6.0).reshape(2, 3) + 1
    assert loss_reduction(parts.sum(), parts.sum(axis=1), parts) == ("sum", "sum")
    assert loss_reduction(parts.mean(), parts.mean(axis=1), parts) == ("mean", "mean")
    assert loss_reduction(parts.sum() + 1e-9, parts.sum(axis=1)) == (None, None)
    assert LossReduction("mean", "sum").weight(4, 5) == 1 / 4
    assert LossReduction("sum", "mean").weight(4, 5) == 1 / 5


@pytest.mark.parametrize("name", list(ErrorFunction.catalogue))
def test_that_entries_make_up_every_error_but_those_of_whole_rows(name: str) -> None:
    error = ErrorFunction.named(name)
    width = allowed_width(error, 5)
    draws = np.random.default_rng(1)
    o = to_domain(error.domain, draws.normal(size=(1, width)))
    t = {"bits": draws.integers(0, 2, (1, width)), "signs": 1 - 2 * draws.integers(0, 2, (1, width))}.get(
        error.targets, draws.uniform(0.5, 1.5, (1, width))
    )
    assert is_separable(error, width) is (name not in WHOLE_ROWS)
    if name in WHOLE_ROWS:
        return
    alone: Any = [float(error.value(o[:, k : k + 1], t[:, k : k + 1])) for k in range(width)]
    ways = [pytest.approx(total, rel=width * np.finfo(float).eps) for total in (sum(alone), sum(alone) / width)]
    assert float(error.value(o, t)) in ways


def test_that_a_pair_in_a_thousand_that_hangs_together_is_seen() -> None:
    class _Neighbours(type(ErrorFunction.named("sse"))):  # type: ignore[misc]
        name = "neighbours"

        def value(self, o: Any, t: Any) -> Any:
            return super().value(o, t) + 1e-9 * np.sum(o[..., :-1] * o[..., 1:], axis=(-1, -2))

    try:
        assert not is_separable(_Neighbours(), 5)
    finally:
        ErrorFunction.catalogue.pop("neighbours", None)
