"""Rows of a graph that are evaluated some at a time have the values and bounds of the whole."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from gradagree.arithmetic.tape import trace
from gradagree.functions import batches, enclosures
from gradagree.functions.agreement import Rung
from gradagree.functions.enclosures import Expected, enclose

Function = Callable[..., Any]
ROWS = 40


def layer_norm(x: Any, weight: Any, bias: Any) -> Any:
    centred = x - np.mean(x, axis=-1, keepdims=True)
    return centred / np.sqrt(np.mean(centred**2, axis=-1, keepdims=True) + 1e-5) * np.exp(weight) + bias


def attention(q: Any, k: Any, v: Any) -> Any:
    scores = q @ np.swapaxes(k, -1, -2)
    weights = np.exp(scores - np.max(scores, axis=-1, keepdims=True))
    return weights / np.sum(weights, axis=-1, keepdims=True) @ v


def scaled(x: Any, scale: Any) -> Any:
    return np.tanh(x * np.linspace(-1, 1, ROWS)[:, None]) * scale - x, np.exp(x) - scale


DIVIDED: dict[str, tuple[Function, tuple[tuple[int, ...], ...]]] = {
    "layer norm": (layer_norm, ((ROWS, 5), (5,), (5,))),
    "attention": (attention, ((ROWS, 3, 2),) * 3),
    "several outputs": (scaled, ((ROWS, 4), (1, 4))),
    "sum along rows": (lambda x: np.sum(np.sin(x), axis=1), ((ROWS, 7),)),
}
WHOLE: dict[str, tuple[Function, tuple[tuple[int, ...], ...]]] = {
    "sum of rows": (lambda x: np.exp(x) - np.sum(x, axis=0), ((ROWS, 3),)),
    "product of rows": (lambda x: np.cumsum(np.exp(x), axis=0), ((ROWS, 3),)),
    "square matrices": (lambda x, w: np.tanh(x @ w), ((ROWS, ROWS), (ROWS, ROWS))),
    "transposed": (lambda x: np.exp(x) + np.swapaxes(x, 0, 1), ((ROWS, ROWS),)),
    "other rows": (lambda x: np.exp(x) * x[::-1], ((ROWS, 3),)),
    "one value in both roles": (lambda x: np.exp(x) + np.reshape(x, (ROWS,)), ((ROWS, 1),)),
    "reshaped": (lambda x: np.exp(np.reshape(x, (ROWS, 3))), ((3, ROWS),)),
}


def drawn(shapes: tuple[tuple[int, ...], ...]) -> list[np.ndarray]:
    rng = np.random.default_rng(7)
    return [rng.standard_normal(shape).astype(np.float32).astype(np.float64) for shape in shapes]


def both(monkeypatch: pytest.MonkeyPatch, function: Function, arrays: list[np.ndarray], dtype: str) -> list[Any]:
    """The enclosures of the whole, then those of rows."""
    graph, found = trace(function, *arrays), []
    cotangents = [np.cos(np.arange(np.prod(shape))).reshape(shape) for shape in graph.shapes or []]
    stores = [dtype] * (len(cotangents) + len(arrays))
    for least in (10**9, 1):
        monkeypatch.setattr(batches, "LEAST", least)
        monkeypatch.setattr(batches, "TILE", 60)
        values, gradients = enclose(graph, arrays, cotangents, "stored", dtype, stores)
        found.append([*values, *gradients])
    return found


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16"])
@pytest.mark.parametrize("name", DIVIDED)
def test_that_rows_have_the_bounds_of_the_whole(monkeypatch: pytest.MonkeyPatch, name: str, dtype: str) -> None:
    function, shapes = DIVIDED[name]
    arrays = drawn(shapes)
    monkeypatch.setattr(batches, "LEAST", 1)
    monkeypatch.setattr(batches, "TILE", 60)
    batch = enclosures.batch_of(trace(function, *arrays), arrays)
    assert batch is not None
    assert len(list(batch.slices())) > 1
    for whole, rows in zip(*both(monkeypatch, function, arrays, dtype), strict=True):
        assert isinstance(whole, Expected)
        assert isinstance(rows, Expected)
        assert np.all(np.abs(whole.value - rows.value) <= 2.0**-48 * np.abs(whole.value) + 2.0**-48)
        assert np.all(rows.radius <= whole.radius * (1 + 2.0**-5))  # other bounds on slopes
        assert np.mean(rows.radius) > 0.9 * np.mean(whole.radius)


@pytest.mark.parametrize("name", WHOLE)
def test_that_a_graph_whose_rows_depend_on_others_is_not_divided(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    function, shapes = WHOLE[name]
    monkeypatch.setattr(batches, "LEAST", 1)
    arrays = drawn(shapes)
    assert enclosures.batch_of(trace(function, *arrays), arrays) is None


@pytest.mark.parametrize("dtype", ["float64", "bfloat16"])
def test_that_rows_have_the_probabilistic_tolerances_of_the_whole(monkeypatch: pytest.MonkeyPatch, dtype: str) -> None:
    arrays, found = drawn(((ROWS, 4), (ROWS, 4))), []
    graph = trace(lambda x, y: (np.tanh(x) * y, np.exp(x)), *arrays)
    monkeypatch.setattr(batches, "TILE", 60)
    for least in (10**9, 1):
        monkeypatch.setattr(batches, "LEAST", least)
        values, gradients = enclosures.probable(graph, arrays, [np.cos(arrays[0]), None], "stored", dtype)
        found.append([*values, *gradients])
    assert all(whole is not None for whole in found[0])
    for whole, rows in zip(*found, strict=True):
        np.testing.assert_array_equal(whole, rows)


def test_that_integers_are_summed_without_a_rounding_error(monkeypatch: pytest.MonkeyPatch) -> None:
    arrays = [np.rint(4 * x) for x in drawn(((ROWS, 5), (5,)))]
    graph = trace(lambda x, w: x * w + w, *arrays)
    monkeypatch.setattr(batches, "LEAST", 1)
    monkeypatch.setattr(batches, "TILE", 60)
    _, gradients = enclose(graph, arrays, [np.ones((ROWS, 5))], "stored", "float32", ["float32"] * 3)
    assert all(g is not None and not g.radius.any() for g in gradients)


def test_that_a_fault_in_the_last_rows_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")
    from gradagree.functions.assertions import check_function

    class Wrong(torch.autograd.Function):  # type: ignore[misc]
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            ctx.save_for_backward(x)
            return torch.tanh(x) * x

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            (x,) = ctx.saved_tensors
            found = g * (torch.tanh(x) + x * (1 - torch.tanh(x) ** 2))
            found[-1, -1] *= 1.001
            return found

    monkeypatch.setattr(batches, "LEAST", 1)
    monkeypatch.setattr(batches, "TILE", 60)
    x = torch.tensor(drawn(((ROWS, 5),))[0], dtype=torch.float32)
    (record,) = check_function(Wrong.apply, [x], reference=lambda x: np.tanh(x) * x).failures
    assert record.entry == (ROWS - 1, 4)


def arithmetic_of(
    monkeypatch: pytest.MonkeyPatch, function: Function, reference: Function
) -> tuple[list[Any], list[bool]]:
    """The records of a function in bfloat16, and whether the finer arithmetic was given up."""
    torch = pytest.importorskip("torch")
    from gradagree.functions.assertions import check_function

    found, findings = [], Rung.findings

    def noted(rung: Rung) -> Any:
        try:
            return findings(rung)
        finally:
            if rung.name == "wide":
                found.append(bool(rung.outside))

    monkeypatch.setattr(batches, "LEAST", 1)
    monkeypatch.setattr(batches, "TILE", 1000)
    monkeypatch.setattr(Rung, "findings", noted)
    x = torch.tensor(drawn(((ROWS, 100),))[0]).bfloat16()
    return check_function(function, [x], reference=reference, layouts=False, repeat=1).records, found


def chain(xp: Any, x: Any) -> Any:
    return xp.tanh(x) * xp.exp(-x) + x


def test_that_a_finer_arithmetic_is_given_up_after_rows_that_it_does_not_explain(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    torch = pytest.importorskip("torch")
    records, given_up = arithmetic_of(monkeypatch, lambda x: chain(torch, x), lambda x: chain(np, x))
    assert [(r.verdict.value, r.arithmetic) for r in records] == [("agree", "stored")] * 2
    assert given_up == [True]


def test_that_a_finer_arithmetic_that_explains_the_result_is_evaluated_to_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    torch = pytest.importorskip("torch")
    function = lambda x: chain(torch, x.float()).bfloat16()  # noqa: E731
    records, given_up = arithmetic_of(monkeypatch, function, lambda x: chain(np, x))
    assert [(r.verdict.value, r.arithmetic) for r in records] == [("agree", "wide")] * 2
    assert given_up == [False]


def test_that_a_result_that_no_arithmetic_explains_has_the_worst_entry_of_all_rows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    torch = pytest.importorskip("torch")

    def wrong(x: Any) -> Any:
        found = chain(torch, x)
        return torch.cat([found[:-1], found[-1:] * 3])

    records, _ = arithmetic_of(monkeypatch, wrong, lambda x: chain(np, x))
    assert [(r.verdict.value, r.entry[0]) for r in records if r.entry] == [("value-differs", ROWS - 1)]
