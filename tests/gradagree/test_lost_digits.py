"""Derivatives by targets and parameters that lose digits: inaccurate as cotangents are, and wrong ones are still found.

Also the tolerance of entries beside one without a number: never below that of the model alone.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.special import expit

from gradagree import Activation, ErrorFunction, check
from gradagree.api import Disagreement
from gradagree.arithmetic.model import Model, model
from gradagree.arithmetic.rounded import Rounded
from gradagree.checker.allowances import ToleranceOptions
from gradagree.checker.loss_operands import OperandGradient
from gradagree.checker.verdict import Record, Verdict
from gradagree.reference import Weights


class TutorialEntropy(ErrorFunction):
    """mean of -t log(s + eps) - (1 - t) log(1 - s + eps); wrong is a factor of the derivative by t.

    A compiler adds the constants first, and so loses the digits of 1 - s + eps where s is near 1.
    """

    targets = "bits"
    eps: float = 1e-3
    wrong: float = 1.0

    def value(self, o: Any, t: Any) -> Any:
        s = expit(o)
        return np.mean(-t * np.log(s + self.eps) - (1 - t) * np.log(1 - s + self.eps), axis=(-2, -1))

    def sensitivity(self, o: Any, t: Any) -> Any:
        s = expit(o)
        d = (1 - t) / (1 - s + self.eps) - t / (s + self.eps)
        return d * s * (1 - s) / (o.shape[-1] * o.shape[-2])

    def jax(self, o: Any, t: Any, jax: Any) -> Any:
        s, log = jax.nn.sigmoid(o), jax.numpy.log
        t = t + (self.wrong - 1) * (t - jax.lax.stop_gradient(t))
        return -jax.numpy.mean(t * log(s + self.eps) + (1 - t) * log((1 + self.eps) - s))


class ShiftedRows(Activation):
    """A(p) = p + b, whose gradient by b is added up in p's own format; wrong is a factor of it."""

    b: Weights = Weights((0.25, -0.5, 0.5))
    wrong: float = 1.0

    def width(self, n: int) -> int | None:
        return n if n == 3 else None

    def value(self, p: Any) -> Any:
        return p + (np.asarray(self.b) if isinstance(self.b, tuple) else self.b)

    def vjp(self, p: Any, delta_a: Any) -> Any:
        return delta_a

    def by_b(self, p: Any) -> Any:
        return np.ones_like(p)

    def torch(self, p: Any, torch: Any) -> Any:
        wrong = self.wrong

        class Function(torch.autograd.Function):  # type: ignore[misc]
            @staticmethod
            def forward(_: Any, p: Any, b: Any) -> Any:
                return p + b

            @staticmethod
            def backward(_: Any, g: Any) -> Any:
                total = torch.zeros_like(g[0])
                for row in g:
                    total = total + row
                return g, wrong * total

        return Function.apply(p, self.b)


class ScaledLaplace(ErrorFunction):
    """mean of log(2 b) + |m - t| / b, with the halves m and b of o: without a number where b is 0."""

    domain = "positive"

    def width(self, n: int) -> int | None:
        return n // 2 if n % 2 == 0 else None

    def value(self, o: Any, t: Any) -> Any:
        m, b = np.split(o, 2, axis=-1) if isinstance(o, np.ndarray) else (o[..., :2], o[..., 2:])
        return np.mean(np.log(2 * b) + np.abs(m - t) / b, axis=(-2, -1))

    def sensitivity(self, o: Any, t: Any) -> Any:
        m, b = o[..., :2], o[..., 2:]
        parts = [np.sign(m - t) / b, 1 / b - np.abs(m - t) / b**2]
        return np.concatenate(parts, axis=-1) / t.size


KINDS = (TutorialEntropy, ShiftedRows, ScaledLaplace)
for kind in KINDS:
    kind.catalogue.pop(kind.name)


@pytest.fixture(autouse=True)
def own_functions(monkeypatch: pytest.MonkeyPatch) -> None:
    """These classes are in the catalogue during a test only."""
    for kind in KINDS:
        monkeypatch.setitem(kind.catalogue, kind.name, kind)


def checked(spec: str, framework: str, mode: str) -> Record:
    try:
        (record,) = check(spec, frameworks=framework, modes=mode)
    except Disagreement as found:
        (record,) = found.records
    return record


def entropy(dtype: str, regime: str = "ordinary", values: str = "") -> Record:
    return checked(f"5-2:id:tutorial_entropy{values}:n16:{dtype}:{regime}:s1", "jax", "packed")


@pytest.mark.parametrize(("dtype", "eps"), [("f64", "(eps=0.0001)"), ("f32", "")])
def test_that_a_derivative_by_targets_that_loses_digits_is_inaccurate(
    dtype: str, eps: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("jax")
    found = entropy(dtype, "extreme", eps)
    assert (found.verdict, str(found.entry)[:2]) == (Verdict.INACCURATE, "dt")
    monkeypatch.setattr(OperandGradient, "_on_the_way", 0.0)
    assert entropy(dtype, "extreme", eps).verdict is Verdict.DISAGREE


@pytest.mark.parametrize("dtype", ["f64", "f32", "f16"])
def test_that_a_wrong_derivative_by_targets_is_found_where_it_loses_digits(dtype: str) -> None:
    pytest.importorskip("jax")
    for found in (entropy(dtype, values="(wrong=1.01)"), entropy(dtype, "extreme", "(wrong=-1.0)")):
        assert (found.verdict, str(found.entry)[:2]) == (Verdict.DISAGREE, "dt")


def shift(dtype: str, wrong: str = "") -> Record:
    return checked(f"3-3:id,shifted_rows{wrong}:sse:n24:{dtype}:ordinary:s4", "torch", "backward")


def test_that_a_gradient_added_up_in_16_bits_is_inaccurate(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch")
    found = shift("bf16")
    assert (found.verdict, str(found.entry)[:4]) == (Verdict.INACCURATE, "dA.b")
    monkeypatch.setattr(Model, "narrow_sums", property(lambda rules: rules.broadcast_sums))
    assert shift("bf16").verdict is Verdict.DISAGREE


@pytest.mark.parametrize(("dtype", "wrong"), [("bf16", -1.0), ("bf16", 2.0), ("f16", 1.1), ("f32", 1.001)])
def test_that_a_wrong_gradient_of_such_a_sum_is_found(dtype: str, wrong: float) -> None:
    pytest.importorskip("torch")
    found = shift(dtype, f"(wrong={wrong})")
    assert (found.verdict, str(found.entry)[:4]) == (Verdict.DISAGREE, "dA.b")


def test_that_an_entry_without_a_number_takes_no_tolerance_from_the_others() -> None:
    o = np.array([[0.0, 0.5, 1.0, 0.0], [0.25, 0.75, 1.5, 2.0]])
    t, rules = np.array([[1.0625, 0.125], [0.5, 0.75]]), model("float16")
    for part in ("value", "sensitivity"):
        narrow, wide = (
            getattr(how.bounds(ScaledLaplace()), part)(Rounded.stored(o, rules), Rounded.stored(t, rules)).radius
            for how in (ToleranceOptions(), ToleranceOptions.widest())
        )
        assert np.all(~(wide < narrow)), part
    assert wide[0, 2] > narrow[0, 2] > 0
