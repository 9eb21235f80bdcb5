"""The arithmetic that explains a result: the finest is named, and partial sums in a narrow dtype are inaccurate."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import special

from gradagree.arithmetic.rounding import round_to_format
from gradagree.checker.verdict import Verdict, plain as plain_number
from gradagree.functions import ladder
from gradagree.functions.assertions import assert_grads, check_function
from gradagree.functions.enclosures import REDUCED
from gradagree.functions.records import Report

torch = pytest.importorskip("torch")
from gradagree.adapters.torch_functions import TorchFunctions  # noqa: E402


def drawn(*shape: int, dtype: str = "bfloat16", seed: int = 1) -> Any:
    return torch.as_tensor(np.random.default_rng(seed).standard_normal(shape)).to(getattr(torch, dtype))


class Bias(torch.autograd.Function):  # type: ignore[misc]
    """x + b, whose gradient of b is summed row by row in the dtype."""

    factor = 1.0

    @staticmethod
    def forward(_: Any, x: Any, b: Any) -> Any:
        return x + b

    @classmethod
    def backward(cls, _: Any, g: Any) -> Any:
        total = torch.zeros_like(g[0])
        for row in g:
            total = total + row
        return g, cls.factor * total


class DoubledBias(Bias):
    factor = 2.0


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_that_partial_sums_in_the_dtype_are_inaccurate(dtype: str) -> None:
    report = check_function(Bias.apply, [drawn(64, 8, dtype=dtype), drawn(8, dtype=dtype)], reference=np.add)
    found = {r.name: r for r in report.records if r.quantity == "gradient"}
    assert found["args[0]"].verdict is Verdict.AGREE
    assert found["args[1]"].verdict is Verdict.INACCURATE
    assert found["args[1]"].reason == f"partial sums kept in {dtype}"


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_that_a_wrong_factor_is_not_taken_for_partial_sums(dtype: str) -> None:
    report = check_function(DoubledBias.apply, [drawn(64, 8, dtype=dtype), drawn(8, dtype=dtype)], reference=np.add)
    assert [r.verdict for r in report.records if r.verdict.fails] == [Verdict.DISAGREE]
    assert "a factor 1/2 is missing" in next(r.reason for r in report.records if r.name == "args[1]")


def test_that_the_finest_arithmetic_is_named() -> None:
    def wide(x: Any) -> Any:
        y = x.float()
        return (torch.exp(y) - y).to(x.dtype)

    def stored(x: Any) -> Any:
        return torch.exp(x) - x

    def reference(x: Any) -> Any:
        return np.exp(x) - x

    names = [
        next(r.arithmetic for r in check_function(f, [drawn(50)], reference=reference).records) for f in (wide, stored)
    ]
    assert names == ["wide", "stored"]
    assert assert_grads(wide, [drawn(50)], reference=reference, arithmetic="wide").verdict is Verdict.AGREE
    with pytest.raises(AssertionError, match="value-differs"):
        assert_grads(stored, [drawn(50)], reference=reference, arithmetic="wide")


def test_that_flushed_subnormals_agree_where_the_framework_flushes_them() -> None:
    jax = pytest.importorskip("jax")
    x = jax.numpy.asarray([1e-38, 3e-39 * 4, 2.0], "float32")
    report = check_function(lambda x: x * 0.25, [x], reference=lambda x: x * 0.25)
    assert not report.verdict.fails
    flushing = lambda x: torch.where(x.abs() < 1e-37, 0 * x, x) * 0.25  # noqa: E731
    report = check_function(flushing, [torch.tensor([1.3e-38, 2.0])], reference=lambda x: x * 0.25)
    assert report.verdict is Verdict.VALUE_DIFFERS


def test_that_layer_norm_of_torch_is_inaccurate_and_not_wrong() -> None:
    def layer_norm(x: Any, w: Any, b: Any) -> Any:
        centred = x - np.mean(x, axis=-1, keepdims=True)
        return centred / np.sqrt(np.mean(centred**2, axis=-1, keepdims=True) + 1e-5) * w + b

    args = [drawn(16, 256), drawn(256, seed=2), drawn(256, seed=3)]
    report = check_function(lambda x, w, b: torch.nn.functional.layer_norm(x, (256,), w, b), args, reference=layer_norm)
    assert report.verdict is Verdict.INACCURATE
    assert {r.reason for r in report.records if r.verdict is Verdict.INACCURATE} == {"partial sums kept in bfloat16"}


def test_that_a_sigmoid_without_its_derivative_is_wrong_in_every_arithmetic() -> None:
    class Wrong(torch.autograd.Function):  # type: ignore[misc]
        @staticmethod
        def forward(_: Any, x: Any) -> Any:
            return torch.sigmoid(x)

        @staticmethod
        def backward(_: Any, g: Any) -> Any:
            return 0.3 * g

    for dtype in ("float64", "float32", "float16", "bfloat16"):
        with pytest.raises(AssertionError, match="disagree"):
            assert_grads(Wrong.apply, [drawn(40, dtype=dtype)], reference=special.expit)


def as_tf32(x: Any) -> Any:
    """float32 numbers rounded to 11 significant bits, as the tensor cores of a GPU do with factors of products."""
    return torch.as_tensor(np.float32(round_to_format(x.double().numpy(), REDUCED["tf32"])))


class Tf32Product(torch.autograd.Function):  # type: ignore[misc]
    """A product of matrices on a device that uses TF32."""

    factor = 1.0

    @staticmethod
    def forward(ctx: Any, x: Any, w: Any) -> Any:
        ctx.save_for_backward(x, w)
        return as_tf32(x) @ as_tf32(w)

    @classmethod
    def backward(cls, ctx: Any, g: Any) -> Any:
        x, w = ctx.saved_tensors
        return as_tf32(g) @ as_tf32(w.T), cls.factor * (as_tf32(x.T) @ as_tf32(g))


class WrongTf32Product(Tf32Product):
    factor = 1.01


def on_tensor_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    adapter = TorchFunctions()
    key = "torch", "float32", "cpu", adapter.precision()
    monkeypatch.setitem(ladder.FACTORS, key, "tf32")


def test_that_products_in_tf32_are_admissible_where_the_device_uses_it(monkeypatch: pytest.MonkeyPatch) -> None:
    args = [drawn(32, 64, dtype="float32"), drawn(64, 16, dtype="float32", seed=2)]
    plain = check_function(Tf32Product.apply, args, reference=np.matmul)
    assert plain.verdict is Verdict.VALUE_DIFFERS
    assert plain.measured["factors of products"] == "kept"
    on_tensor_cores(monkeypatch)
    report = check_function(Tf32Product.apply, args, reference=np.matmul)
    assert report.verdict is Verdict.AGREE
    assert {r.arithmetic for r in report.records} == {"stored, products in tf32"}
    assert report.measured["factors of products"] == "tf32"
    assert all(plain_number(r.sharpness) < 1e-2 for r in report.records)


def test_that_a_wrong_factor_is_found_among_products_in_tf32(monkeypatch: pytest.MonkeyPatch) -> None:
    on_tensor_cores(monkeypatch)
    args = [drawn(32, 64, dtype="float32"), drawn(64, 16, dtype="float32", seed=2)]
    report = check_function(WrongTf32Product.apply, args, reference=np.matmul)
    assert [r.name for r in report.records if r.verdict.fails] == ["args[1]"]


class Rounding(TorchFunctions):
    """A framework whose products round their factors to a format."""

    form = REDUCED["tf32"]

    def precision(self) -> str:
        return self.form.name

    def array(self, x: Any, like: Any) -> Any:
        form = self.form

        class Factor(np.ndarray):
            def __matmul__(self, other: Any) -> Any:
                both = (round_to_format(np.asarray(z), form) for z in (self, other))
                return np.matmul(*both)

        return np.asarray(x).view(Factor)

    def to_numpy(self, x: Any) -> Any:
        return np.asarray(x)


@pytest.mark.parametrize("name", ["tf32", "bfloat16"])
def test_that_the_format_of_the_factors_is_measured(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Rounding, "form", REDUCED[name])
    monkeypatch.setattr(ladder, "FACTORS", {})
    assert ladder.reduced_products(Rounding(), drawn(1, dtype="float32")) == name
    assert ladder.reduced_products(TorchFunctions(), drawn(1, dtype="float32")) == ""
    assert ladder.reduced_products(Rounding(), drawn(1, dtype="bfloat16")) == ""


def test_that_a_report_keeps_what_was_measured() -> None:
    report = check_function(torch.sin, [drawn(3, dtype="float32")])
    assert report.measured["framework"] == f"torch {torch.__version__}"
    assert report.measured["device"] == "cpu"
    assert Report.from_json(report.to_json()).measured == report.measured
