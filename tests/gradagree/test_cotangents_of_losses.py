"""The cotangent that reaches a loss is used: losses that ignore it are found, correct ones agree with any."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pytest

from gradagree import Case, ErrorFunction, api, check
from gradagree.api import Disagreement
from gradagree.checker.verdict import Record, Verdict

pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:DeprecationWarning")

RIGHT = {Verdict.AGREE, Verdict.CONVENTION, Verdict.UNDECIDED, Verdict.OUT_OF_RANGE, Verdict.INACCURATE}
EAGER = "backward,grad,vmap,forward"


class OwnSquares(ErrorFunction):
    """sum (o - t)^2."""

    def value(self, o: Any, t: Any) -> Any:
        return np.sum((o - t) ** 2, axis=(-2, -1))

    def sensitivity(self, o: Any, t: Any) -> Any:
        return 2 * (o - t)

    def torch(self, o: Any, t: Any, torch: Any) -> Any:
        return ((o - t) ** 2).sum()

    def jax(self, o: Any, t: Any, jax: Any) -> Any:
        return ((o - t) ** 2).sum()


class OwnHinge(ErrorFunction):
    """mean max(0, |o - t| - 1/2), with kinks."""

    def value(self, o: Any, t: Any) -> Any:
        return np.mean(np.maximum(0, np.abs(o - t) - 0.5), axis=(-2, -1))

    def sensitivity(self, o: Any, t: Any) -> Any:
        return np.where(np.abs(o - t) > 0.5, np.sign(o - t), 0.0) / (o.shape[-1] * o.shape[-2])

    def kink(self, o: Any, t: Any) -> Any:
        return np.abs(o - t) == 0.5

    def torch(self, o: Any, t: Any, torch: Any) -> Any:
        return torch.clamp(torch.abs(o - t) - 0.5, min=0).mean()

    def jax(self, o: Any, t: Any, jax: Any) -> Any:
        return jax.numpy.maximum(0, jax.numpy.abs(o - t) - 0.5).mean()


OWN = (OwnSquares, OwnHinge)
for kind in OWN:
    kind.catalogue.pop(kind.name)


@pytest.fixture(autouse=True)
def own_functions(monkeypatch: pytest.MonkeyPatch) -> None:
    """These classes are in the catalogues during a test only."""
    for kind in OWN:
        monkeypatch.setitem(kind.catalogue, kind.name, kind)


def records_of(*given: Any, **options: Any) -> list[Record]:
    """The records of a check, whether it fails or not."""
    try:
        return check(*given, **options)
    except Disagreement as found:
        return list(found.records)


def squares_that_ignore_the_cotangent(self: Any, o: Any, t: Any, torch: Any) -> Any:
    class Squares(torch.autograd.Function):  # type: ignore[misc]
        generate_vmap_rule = True

        @staticmethod
        def forward(o: Any, t: Any) -> Any:
            return ((o - t) ** 2).sum()

        @staticmethod
        def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
            ctx.save_for_backward(*inputs, output)

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            o, t, _ = ctx.saved_tensors
            return 2 * (o - t) + 0 * g, None

    return Squares.apply(o, t)


def test_that_a_loss_that_ignores_its_cotangent_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch")
    monkeypatch.setattr(OwnSquares, "torch", squares_that_ignore_the_cotangent)
    spec = "3-4b-2:id,tanh:own_squares:n4:f64:ordinary:s1"
    assert Case.parse(spec).loss_weight not in (0.25, 0.5, 1.0, 2.0)
    found = records_of(spec, frameworks="torch", modes="backward,grad,vmap")
    assert {(record.verdict, record.box) for record in found} == {(Verdict.DISAGREE, "error")}
    assert {str(record.entry).partition("[")[0] for record in found} <= {"delta_p", "dt"}


def jax_squares_that_ignore_the_cotangent(self: Any, o: Any, t: Any, jax: Any) -> Any:
    @jax.custom_vjp
    def squares(o: Any, t: Any) -> Any:
        return ((o - t) ** 2).sum()

    def backward(kept: Any, g: Any) -> Any:
        by_o = 2 * (kept[0] - kept[1]) + 0 * g
        return by_o, -by_o

    squares.defvjp(lambda o, t: (squares(o, t), (o, t)), backward)
    return squares(o, t)


@pytest.mark.parametrize(
    ("framework", "modes", "squares"),
    [
        ("torch", "backward,grad,vmap", squares_that_ignore_the_cotangent),
        ("jax", "grad,jit,vmap,packed", jax_squares_that_ignore_the_cotangent),
    ],
)
def test_that_a_loss_of_the_catalogue_that_ignores_its_cotangent_is_found(
    framework: str, modes: str, squares: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip(framework)
    monkeypatch.setattr(ErrorFunction.catalogue["sse"], framework, squares)
    fresh = functools.cache(api._probe.__wrapped__)  # without programs that other tests compiled with the right loss
    monkeypatch.setattr(api, "_probe", fresh)
    found = records_of("2-5b-3:id,tanh:sse:n6:f64:ordinary:s1", frameworks=framework, modes=modes)
    assert len(found) == len(modes.split(","))
    assert {(record.verdict, record.box) for record in found} == {(Verdict.DISAGREE, "error")}
    assert {str(record.entry).partition("[")[0] for record in found} <= {"delta_p", "dt"}


@pytest.mark.parametrize("loss", ["own_squares", "own_hinge"])
@pytest.mark.parametrize("framework", ["torch", "jax"])
def test_that_correct_losses_agree_with_any_cotangent(framework: str, loss: str) -> None:
    pytest.importorskip(framework)
    modes, dtypes = (EAGER, ("f64", "f32", "f16", "bf16")) if framework == "torch" else ("jit,packed", ("f64", "f16"))
    for seed, dtype in enumerate(dtypes):
        spec = f"3-4b-3:id,tanh:{loss}:n4:{dtype}:grid:s{seed}"
        records = records_of(spec, frameworks=framework, modes=modes)
        assert {record.verdict for record in records} <= RIGHT, records
        assert any(record.verdict in (Verdict.AGREE, Verdict.CONVENTION) for record in records)
