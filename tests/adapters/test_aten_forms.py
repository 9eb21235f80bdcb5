"""NumPy forms of ATen operations, decompositions and random numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gradagree.errors import UsageError
from gradagree.functions.assertions import assert_grads, check_function

torch = pytest.importorskip("torch")

from gradagree.adapters.aten import ATEN  # noqa: E402

INDEX = torch.tensor([[0, 1, 1, 3], [3, 3, 0, 0]])
SOURCE = torch.tensor([[2.0, 3.0, 0.5, 1.0], [0.25, 1.5, 4.0, -1.0]])
FORMS = {
    "cat with an empty array": lambda x: torch.cat([torch.zeros(0), x, x * 2], 1),
    "logcumsumexp of large numbers": lambda x: torch.logcumsumexp(x * 30, 0),
    "cumprod": lambda x: torch.cumprod(x, 1),
    "addmm with a row": lambda x: torch.addmm(x[0], x, x.T @ x, beta=0.3, alpha=0.7),
    "cumprod after a zero": lambda x: torch.cumprod(x * torch.tensor([1.0, 0.0, 1.0, 1.0]), 1),
    "cummax": lambda x: torch.cummax(x, 0).values,
    "decomposed": lambda x: torch.renorm(x, 2.0, 0, 1.5),
    "dropout": lambda x: torch.nn.functional.dropout(x, 0.5),
    "index_add": lambda x: x.index_add(0, torch.tensor([1, 1, 0]), torch.ones(3, 4), alpha=2),
    "index_put": lambda x: torch.index_put(x, (torch.tensor([0, 2]),), torch.zeros(4)),
    "empty": lambda x: torch.cat([torch.softmax(x[:0], 0), torch.cumprod(x[:0], 0), x]),
    "gather of a number": lambda x: x.sum().gather(0, torch.tensor(0)),
    "softmax of numbers": lambda x: x * torch.softmax(x[0, 0], 0) + torch.log_softmax(x[0, 1], 0),
    "kthvalue": lambda x: torch.kthvalue(x, 2).values,
    "logcumsumexp": lambda x: torch.logcumsumexp(x, 1),
    "masked_scatter": lambda x: x.masked_scatter(x > 0, x.flip(0)),
    "max": lambda x: torch.max(x, 1).values,
    "median": lambda x: torch.median(x),
    "polygamma": lambda x: torch.polygamma(2, x.abs() + 1),
    "prod": lambda x: torch.prod(x, 1),
    "branches": lambda x: x * 2 if x.sum() > 0 else x * 3,
    "scatter": lambda x: x.scatter(0, torch.tensor([[0, 1, 1, 2]]), SOURCE),
    "scatter_add": lambda x: x.scatter_add(1, INDEX, SOURCE),
    "scatter_reduce amax": lambda x: x.scatter_reduce(1, INDEX, SOURCE, "amax"),
    "scatter_reduce mean": lambda x: x.scatter_reduce(1, INDEX, SOURCE, "mean", include_self=False),
    "scatter_reduce prod": lambda x: x.scatter_reduce(1, INDEX, SOURCE, "prod"),
    "scatter_reduce prod without itself": lambda x: x.scatter_reduce(1, INDEX, SOURCE, "prod", include_self=False),
    "segment mean with an initial value": lambda x: torch.segment_reduce(
        x, "mean", lengths=torch.tensor([2, 1]), initial=2.0
    ),
    "nextafter": lambda x: torch.nextafter(x.sin(), torch.tensor(0.5, dtype=x.dtype)) * x,
    "nextafter of equal numbers": lambda x: x[0] * torch.nextafter(x, x[:1].detach()),
    "lerp": lambda x: torch.lerp(x * 100, x.flip(0), x),
    "lerp to the far end": lambda x: torch.lerp(x * 100, x.flip(0), 7.25),
    "logsumexp of a number": lambda x: torch.logsumexp(x.sum(), (0,), True),
    "max_unpool": lambda x: torch.nn.functional.max_unpool1d(x[None], torch.tensor([[[0, 2, 4, 6]] * 3]), 2),
    "sort": lambda x: torch.sort(x, 1, descending=True).values,
    "std_mean": lambda x: torch.std_mean(x, dim=1),
    "topk": lambda x: torch.topk(x, 2).values,
    "unfold": lambda x: x.unfold(1, 2, 1),
    "writes in place": lambda x: torch.zeros(3, 4).copy_(x).mul_(x),
}


def entries() -> Any:
    return torch.tensor([[0.5, -1.25, 2.0, 2.5], [1.5, 0.75, -0.25, 1.25], [-3.0, -2.0, 0.3, 1.0]])


@pytest.mark.parametrize("name", FORMS)
def test_that_an_operation_agrees_with_its_form(name: str) -> None:
    assert assert_grads(FORMS[name], [entries()]).verdict.value == "agree"


@pytest.mark.parametrize("name", ["cummax", "kthvalue", "max", "median", "sort", "topk", "scatter_reduce amax"])
def test_that_equal_entries_are_no_fault(name: str) -> None:
    equal = torch.tensor([[0.5, 2.0, 2.0, 0.5], [1.5, 0.75, 1.5, 0.75], [0.25, 0.25, 0.25, 0.25]])
    assert not assert_grads(FORMS[name], [equal]).verdict.fails


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("descending", [False, True])
def test_that_many_equal_entries_may_be_in_any_order(descending: bool, dtype: Any) -> None:
    x = (torch.arange(500) % 37 / 8).to(dtype)
    report = check_function(lambda x: torch.sort(x, descending=descending), [x], layouts=False)
    assert not report.verdict.fails
    assert [record.verdict.value for record in report.records[:2]] == ["agree", "agree"]


def test_that_places_are_accepted_where_their_entries_are_right() -> None:
    form, x = ATEN["aten.sort"], np.array([3.0, 1.0, 2.0, 1.0])
    _, places = form(x, dim=0, taken=np.array([3, 1, 2, 0]))
    assert places.tolist() == [3, 1, 2, 0]
    _, places = form(x, dim=0, taken=np.array([3, 1, 0, 2]))
    assert places.tolist() == [3, 1, 2, 0]


def test_that_a_place_that_two_entries_are_written_to_has_one_gradient() -> None:
    """A finding: PyTorch gives each of them the whole cotangent, so that the gradient of an entry is doubled."""
    x = torch.tensor([[[1.0, 4.0, 2.0]]], requires_grad=True)
    unpool = torch.nn.functional.max_unpool1d

    def both(x: Any) -> Any:
        pooled, places = torch.nn.functional.max_pool1d(x, 2, 1, return_indices=True)
        return unpool(pooled, places, 2, 1, output_size=(1, 1, 3))

    assert both(x).tolist() == [[[0.0, 4.0, 0.0]]]  # x_1, whose derivative is 1
    assert torch.autograd.grad(both(x).sum(), x)[0].tolist() == [[[0.0, 2.0, 0.0]]]
    with pytest.raises(AssertionError, match="shares do not add up"):
        assert_grads(lambda x: unpool(x, torch.tensor([[[1, 1, 3]]]), 2), [torch.tensor([[[2.0, 2.0, 5.0]]])])
    assert_grads(lambda x: unpool(x, torch.tensor([[[1, 2, 3]]]), 2), [torch.tensor([[[2.0, 2.0, 5.0]]])])


@pytest.mark.parametrize("name", FORMS)
def test_that_a_wrong_derivative_of_an_operation_is_found(name: str) -> None:
    function = FORMS[name]

    class Wrong(torch.autograd.Function):  # type: ignore[misc]
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            ctx.save_for_backward(x)
            return function(x)

        @staticmethod
        def backward(ctx: Any, *g: Any) -> Any:
            (x,) = ctx.saved_tensors
            with torch.enable_grad():
                x = x.detach().requires_grad_()
                torch.manual_seed(20240607)
                found = function(x)
            return torch.autograd.grad(found, x, g)[0] * 1.001

    with pytest.raises(AssertionError, match="disagree"):
        assert_grads(Wrong.apply, [entries()])


def test_that_an_output_that_overflows_accuses_no_gradient() -> None:
    x = torch.tensor([80.0, 1.0], dtype=torch.float16)
    report = check_function(lambda x: torch.nn.functional.soft_margin_loss(x, torch.full((2,), -1.0).half()), [x])
    assert report.verdict.value == "out-of-range"

    class Infinite(torch.autograd.Function):  # type: ignore[misc]
        @staticmethod
        def forward(_: Any, x: Any) -> Any:
            return x * 2

        @staticmethod
        def backward(_: Any, g: Any) -> Any:
            return g / 0

    with pytest.raises(AssertionError, match="nonfinite"):
        assert_grads(Infinite.apply, [entries()])


def test_that_an_argument_without_derivative_does_not_hide_a_fault() -> None:
    class Wrong(torch.autograd.Function):  # type: ignore[misc]
        @staticmethod
        def forward(_: Any, x: Any, t: Any) -> Any:
            return torch.nn.functional.soft_margin_loss(x, t)

        @staticmethod
        def backward(_: Any, g: Any) -> Any:
            return g * torch.ones(3), None

    with pytest.raises(AssertionError, match=r"Wrong\.backward"):
        assert_grads(Wrong.apply, [torch.tensor([0.5, 2.0, -1.0]), torch.tensor([1.0, -1.0, 1.0])], wrt=[0])


def test_that_a_position_halfway_between_two_entries_may_be_either_within_its_error() -> None:
    x = torch.arange(8.0).reshape(1, 1, 2, 4)
    grid = torch.tensor([[[[0.0, 0.0], [1 / 3, 0.2], [-1 / 3, -0.9]]]])
    report = assert_grads(lambda x, g: torch.nn.functional.grid_sample(x, g, "nearest", align_corners=True), [x, grid])
    assert not report.verdict.fails


def test_that_a_view_of_memory_that_is_not_an_input_is_refused() -> None:
    with pytest.raises(UsageError, match="as_strided"):
        assert_grads(lambda x: torch.as_strided(x, (2, 2), (1, 2)), [entries()[:, 1:3]])


def test_that_a_view_into_the_memory_of_another_array_is_refused() -> None:
    whole = torch.arange(20.0)
    with pytest.raises(UsageError, match="part of another one's memory"):
        assert_grads(lambda x: torch.as_strided(x, (2, 2), (2, 1), 3), [whole[4:12]])
    with pytest.raises(UsageError, match="part of another one's memory"):
        assert_grads(lambda x: torch.as_strided(x, (2, 2), (2, 1), 10), [whole[10:]])
    report = assert_grads(lambda x: torch.as_strided(x, (2, 2), (2, 1)), [whole[4:12]], layouts=False)
    assert report.verdict.value == "agree"
    report = assert_grads(lambda x: torch.as_strided(x, (2, 2), (2, 1), 3), [whole], layouts=False)
    assert report.verdict.value == "agree"


def test_that_an_output_declared_without_derivative_has_none() -> None:
    report = assert_grads(lambda x: torch.native_layer_norm(x, [4], None, None, 0.5), [entries()])
    assert report.verdict.value == "agree"


def test_that_a_result_cut_from_its_argument_is_found() -> None:
    with pytest.raises(UsageError, match=r"no gradient passes from args\[0\] to an output: aten.detach \(.*forms.py:"):
        assert_grads(lambda x: torch.sin(x.detach()), [entries().requires_grad_()])


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16], ids=str)
def test_that_neighbours_are_those_of_the_dtype(dtype: Any) -> None:
    numbers = [0.0, -0.0, 1.0, -1.0, 0.1, 2.0**-14, torch.finfo(dtype).tiny, torch.finfo(dtype).smallest_normal * 1.5]
    x = torch.tensor(numbers, dtype=dtype)
    for y in (torch.full_like(x, 3.0), torch.full_like(x, -3.0), x):
        form = ATEN["aten.nextafter"](x.double().numpy(), y.double().numpy(), str(dtype).removeprefix("torch."))
        assert np.array_equal(form, torch.nextafter(x, y).double().numpy())


def test_that_partial_sums_begin_with_the_initial_value() -> None:
    x = torch.tensor([2.828125, -4.40625], dtype=torch.bfloat16)
    report = assert_grads(lambda x: torch.segment_reduce(x, "sum", lengths=torch.tensor([2]), initial=2.0), [x])
    assert report.verdict.value == "agree"


NAN = torch.tensor([[torch.nan, 2.0], [3.0, torch.nan], [0.5, 1.0]])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize(
    "function",
    [
        torch.nansum,
        lambda x: torch.nanmean(x, 0),
        lambda x: torch.nanmedian(x, 0).values,
        lambda x: torch.nan_to_num(x, 2.0).sin(),
        lambda x: x[~x.isnan()].exp(),
    ],
    ids=["nansum", "nanmean", "nanmedian", "nan_to_num", "indexing"],
)
def test_that_nan_which_a_function_removes_is_admitted(function: Any, dtype: Any) -> None:
    assert assert_grads(function, [NAN.to(dtype)]).verdict.value == "agree"


def test_that_a_wrong_gradient_beside_removed_nan_is_found() -> None:
    class Wrong(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            ctx.save_for_backward(x)
            return x.nansum()

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            return g.expand_as(ctx.saved_tensors[0]).clone()  # also where NaN does not count

    with pytest.raises(AssertionError, match="disagree"):
        assert_grads(Wrong.apply, [NAN])


def test_that_infinity_is_refused_where_the_result_is_finite() -> None:
    with pytest.raises(UsageError, match="holds NaN or infinity"):
        assert_grads(torch.tanh, [torch.tensor([torch.inf, 1.0])])
