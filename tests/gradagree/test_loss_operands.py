"""The derivatives of losses with respect to targets and to their own parameters, such as a weight for each class."""

from __future__ import annotations

import functools
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gradagree import Case, ErrorFunction, check
from gradagree.adapters import Adapter
from gradagree.api import Disagreement
from gradagree.arithmetic.model import model
from gradagree.arithmetic.rounded import Rounded
from gradagree.cases.case import problem_of
from gradagree.checker.judge import Framework, judge
from gradagree.checker.loss_operands import OperandGradient
from gradagree.checker.proofs import sample_batch
from gradagree.checker.response import handshake, respond
from gradagree.checker.verdict import Record, Verdict
from gradagree.reference import Weight, Weights
from gradagree.reproduce.record_script import format_script

RIGHT = {Verdict.AGREE, Verdict.CONVENTION, Verdict.UNDECIDED, Verdict.OUT_OF_RANGE, Verdict.INACCURATE}
MODES = {"torch": "backward,grad", "jax": "grad,packed"}
each_framework = pytest.mark.parametrize("framework", MODES)


class FourthPowers(ErrorFunction):
    """mean (o - t)^4; wrong is a factor of the derivative with respect to t, from column `first` on."""

    wrong: float = 1.0
    first: int = 0

    def value(self, o: Any, t: Any) -> Any:
        return np.mean((o - t) ** 4, axis=(-2, -1))

    def sensitivity(self, o: Any, t: Any) -> Any:
        return 4 * (o - t) ** 3 / (o.shape[-2] * o.shape[-1])

    def torch(self, o: Any, t: Any, torch: Any) -> Any:
        factors = torch.where(torch.arange(o.shape[-1]) >= self.first, self.wrong, 1.0).to(o.dtype)

        class Function(torch.autograd.Function):  # type: ignore[misc]
            @staticmethod
            def forward(ctx: Any, o: Any, t: Any) -> Any:
                ctx.save_for_backward(o, t)
                return ((o - t) ** 4).mean()

            @staticmethod
            def backward(ctx: Any, g: Any) -> Any:
                o, t = ctx.saved_tensors
                d = g * 4 * (o - t) ** 3 / o.numel()
                return d, -d * factors

        return Function.apply(o, t)

    def jax(self, o: Any, t: Any, jax: Any) -> Any:
        @jax.custom_vjp
        def function(o: Any, t: Any) -> Any:
            return ((o - t) ** 4).mean()

        def backward(kept: Any, g: Any) -> Any:
            o, t = kept
            d = g * 4 * (o - t) ** 3 / o.size
            factors = jax.numpy.where(jax.numpy.arange(o.shape[-1]) >= self.first, self.wrong, 1.0).astype(o.dtype)
            return d, -d * factors

        function.defvjp(lambda o, t: (function(o, t), (o, t)), backward)
        return function(o, t)


class ClassWeighted(ErrorFunction):
    """sum_c w_c (o_c - t_c)^2, a mean over examples; wrong is a factor of the derivative with respect to w."""

    weight: Weights = Weights((0.5, 1.25, 2.0))
    wrong: float = 1.0

    def value(self, o: Any, t: Any) -> Any:
        return np.sum(self.weight * (o - t) ** 2, axis=(-2, -1)) / o.shape[-2]

    def sensitivity(self, o: Any, t: Any) -> Any:
        return self.weight * (2 * (o - t)) / o.shape[-2]

    def torch(self, o: Any, t: Any, torch: Any) -> Any:
        class Function(torch.autograd.Function):  # type: ignore[misc]
            @staticmethod
            def forward(ctx: Any, o: Any, t: Any, w: Any) -> Any:
                ctx.save_for_backward(o, t, w)
                return (w * (o - t) ** 2).sum() / len(o)

            @staticmethod
            def backward(ctx: Any, g: Any) -> Any:
                o, t, w = ctx.saved_tensors
                d = g * 2 * w * (o - t) / len(o)
                return d, -d, self.wrong * g * ((o - t) ** 2).sum(0) / len(o)

        return Function.apply(o, t, self.weight)

    def jax(self, o: Any, t: Any, jax: Any) -> Any:
        @jax.custom_vjp
        def function(o: Any, t: Any, w: Any) -> Any:
            return (w * (o - t) ** 2).sum() / len(o)

        def backward(kept: Any, g: Any) -> Any:
            o, t, w = kept
            d = g * 2 * w * (o - t) / len(o)
            return d, -d, self.wrong * g * ((o - t) ** 2).sum(0) / len(o)

        function.defvjp(lambda o, t, w: (function(o, t, w), (o, t, w)), backward)
        return function(o, t, self.weight)


class WeightedClasses(ErrorFunction):
    """-sum of scale o at the right class, with class numbers: only the parameter has a derivative."""

    targets = "classes"
    scale: Weight = Weight(0.75)

    def value(self, o: Any, t: Any) -> Any:
        right = np.asarray(t)[..., None] == np.arange(o.shape[-1])
        return -np.sum(np.where(right, self.scale * o, 0.0), axis=(-2, -1))

    def sensitivity(self, o: Any, t: Any) -> Any:
        right = np.asarray(t)[..., None] == np.arange(o.shape[-1])
        return -np.where(right, self.scale * np.ones_like(o), 0.0)

    def torch(self, o: Any, t: Any, torch: Any) -> Any:
        return -(self.scale * torch.gather(o, 1, t[:, None])).sum()

    def jax(self, o: Any, t: Any, jax: Any) -> Any:
        return -(self.scale * jax.numpy.take_along_axis(o, t[:, None], axis=1)).sum()


class Masked(ErrorFunction):
    """sum of o^2 where t is 1, of bits t: beside 0 and 1 the formula and the implementations are other functions."""

    targets = "bits"

    def value(self, o: Any, t: Any) -> Any:
        return np.sum(np.where(t > 0.5, o**2, 0.0), axis=(-2, -1))

    def sensitivity(self, o: Any, t: Any) -> Any:
        return np.where(t > 0.5, 2 * o, 0.0)

    def torch(self, o: Any, t: Any, torch: Any) -> Any:
        return (t * o**2).sum()

    def jax(self, o: Any, t: Any, jax: Any) -> Any:
        return (t * o**2).sum()


class SignFlipped(ErrorFunction):
    """sum (o - t)^2, whose derivative with respect to t has the wrong sign in torch."""

    def value(self, o: Any, t: Any) -> Any:
        return np.sum((o - t) ** 2, axis=(-2, -1))

    def sensitivity(self, o: Any, t: Any) -> Any:
        return 2 * (o - t)

    def torch(self, o: Any, t: Any, torch: Any) -> Any:
        return ((o - 2 * t.detach() + t) ** 2).sum()


class Scaled(ErrorFunction):
    """scale sum (o - t)^2, whose derivative with respect to scale is twice as large in torch."""

    scale: Weight = Weight(0.75)

    def value(self, o: Any, t: Any) -> Any:
        return self.scale * np.sum((o - t) ** 2, axis=(-2, -1))

    def sensitivity(self, o: Any, t: Any) -> Any:
        return self.scale * 2 * (o - t)

    def torch(self, o: Any, t: Any, torch: Any) -> Any:
        return (2 * self.scale - self.scale.detach()) * ((o - t) ** 2).sum()


def none_in_torch(torch: Any) -> Any:
    """sum (o - t)^2, whose backward pass returns None for t."""

    class Function(torch.autograd.Function):  # type: ignore[misc]
        @staticmethod
        def forward(ctx: Any, o: Any, t: Any) -> Any:
            ctx.save_for_backward(o, t)
            return ((o - t) ** 2).sum()

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            o, t = ctx.saved_tensors
            return 2 * g * (o - t), None

    return Function.apply


def none_in_jax(jax: Any) -> Any:
    """The same in jax."""
    function = jax.custom_vjp(lambda o, t: ((o - t) ** 2).sum())
    function.defvjp(lambda o, t: (function(o, t), (o, t)), lambda kept, g: (2 * g * (kept[0] - kept[1]), None))
    return function


class NoTargetGradient(ErrorFunction):
    """sum (o - t)^2, whose implementation returns no derivative with respect to t, or refuses to."""

    refuses: bool = False
    none: bool = False

    def value(self, o: Any, t: Any) -> Any:
        return np.sum((o - t) ** 2, axis=(-2, -1))

    def sensitivity(self, o: Any, t: Any) -> Any:
        return 2 * (o - t)

    def torch(self, o: Any, t: Any, torch: Any) -> Any:
        if self.refuses and t.requires_grad:
            raise RuntimeError("the derivative for 'target' is not implemented")
        if self.none:
            return none_in_torch(torch)(o, t)
        return ((o - t.detach()) ** 2).sum()

    def jax(self, o: Any, t: Any, jax: Any) -> Any:
        if self.refuses:
            t = jax.numpy.asarray(np.asarray(t))
        if self.none:
            return none_in_jax(jax)(o, t)
        return ((o - jax.lax.stop_gradient(t)) ** 2).sum()


class AbsoluteAndFourth(ErrorFunction):
    """sum |o - t| + (o - t)^4, whose jumps are small beside the gradient of a far target."""

    def value(self, o: Any, t: Any) -> Any:
        return np.sum(np.abs(o - t) + (o - t) ** 4, axis=(-2, -1))

    def sensitivity(self, o: Any, t: Any) -> Any:
        return np.sign(o - t) + 4 * (o - t) ** 3


OWN = (
    AbsoluteAndFourth,
    FourthPowers,
    ClassWeighted,
    WeightedClasses,
    Masked,
    SignFlipped,
    Scaled,
    NoTargetGradient,
)
for kind in OWN:
    kind.catalogue.pop(kind.name)


@pytest.fixture(autouse=True)
def own_losses(monkeypatch: pytest.MonkeyPatch) -> None:
    """These classes are in the catalogue during a test only."""
    for kind in OWN:
        monkeypatch.setitem(kind.catalogue, kind.name, kind)


@functools.cache
def process_of(framework: str) -> tuple[Adapter, Framework]:
    """The adapter of a framework, in this process, and its measurements."""
    adapter = Adapter.catalogue[framework]()
    with adapter.settings():
        return adapter, Framework.of(framework, handshake(adapter))


def records_of(framework: str, spec: str, modes: str | None = None) -> list[Record]:
    pytest.importorskip(framework)
    adapter, measured = process_of(framework)
    case = Case.parse(spec)
    problem = problem_of(case, case.arrays())
    with adapter.settings():
        replies = [respond(adapter, problem, mode) for mode in (modes or MODES[framework]).split(",")]
    return [judge(case, case.arrays(), measured, reply) for reply in replies]


def gradients_of(framework: str, spec: str, mode: str) -> Any:
    """The names of the gradients that a framework returns for a case."""
    (adapter, _), case = process_of(framework), Case.parse(spec)
    with adapter.settings():
        return set(adapter.answers(problem_of(case, case.arrays()), mode)[0].gradients) - {"w1"}


@pytest.mark.parametrize("loss", sorted(
    name for name, kind in ErrorFunction.catalogue.items()
    if kind.targets != "classes" and kind.__module__.startswith("gradagree.reference")
))  # fmt: skip
def test_that_the_gradient_by_targets_is_that_of_differences(loss: str) -> None:
    error, step = ErrorFunction.named(loss), 2.0**-20
    o, t = sample_batch(error, 5, 6)
    gradient = OperandGradient.of(error, "t", o, t)
    found = gradient.plain[0][gradient.checked]
    expected = []
    for place in gradient.places:
        unit = np.zeros(t.shape)
        unit.flat[place] = step
        with np.errstate(all="ignore"):
            expected.append(float(error.value(o, t + unit) - error.value(o, t - unit)) / (2 * step))
    largest = max(map(abs, expected), default=0.0)
    assert np.all(np.abs(found - expected) <= step * max(1.0, largest))


def test_that_gradients_by_targets_are_those_of_their_formulas() -> None:
    o, t = np.array([[0.25, -1.5, 3.0]]), np.array([[1.0, -2.25, 0.5]])
    formulas = {
        "mse": (t, -2 * (o - t) / 3), "sse": (t, -2 * (o - t)), "absolute": (t, -np.sign(o - t)),
        "huber(delta=1.0)": (t, -np.clip(o - t, -1, 1) / 3),
        "bce_logits": (np.array([[1.0, 0.0, 1.0]]), -o / 3),
    }  # fmt: skip
    for text, (targets, expected) in formulas.items():
        found = OperandGradient.of(ErrorFunction.named(text), "t", o, targets).plain[0].reshape(o.shape)
        np.testing.assert_allclose(found, expected, rtol=2.0**-45)


def test_that_an_entry_without_a_derivative_is_not_checked() -> None:
    o, t = np.array([[1.0, 2.0, 0.0]]), np.array([[1.0, 1.0, 0.0]])
    assert OperandGradient.of(ErrorFunction.named("absolute"), "t", o, t).places.tolist() == [1]
    far = np.array([[1.0, 1e10, 0.5]])
    assert OperandGradient.of(AbsoluteAndFourth(), "t", o, far).places.tolist() == [1, 2]
    logs, shares = np.log(np.full((2, 2), 0.5)), np.array([[0.0, 1.0], [0.25, 0.75]])
    assert OperandGradient.of(ErrorFunction.named("kl_div"), "t", logs, shares).places.tolist() == [2, 3]


@each_framework
@pytest.mark.parametrize("dtype", ["f64", "f32"])
@pytest.mark.parametrize("fault", ["wrong=-1.0", "wrong=1.001", "wrong=0.5,first=2"])
def test_that_a_wrong_derivative_with_respect_to_targets_is_found(framework: str, dtype: str, fault: str) -> None:
    modes = None if "first" not in fault else "grad"  # packed computes each entry alone, and sees no last column
    records = records_of(framework, f"3-3:id:fourth_powers({fault}):n5:{dtype}:ordinary:s1", modes)
    assert {record.verdict for record in records} == {Verdict.DISAGREE}
    assert {(record.box, (record.entry or "")[:3]) for record in records} == {("error", "dt[")}


@each_framework
@pytest.mark.parametrize("loss", ["fourth_powers", "class_weighted"])
def test_that_a_derivative_of_zeros_is_found(framework: str, loss: str) -> None:
    records = records_of(framework, f"4-3:id:{loss}(wrong=0.0):n5:f32:ordinary:s1")
    assert {(record.verdict, record.box) for record in records} == {(Verdict.DISAGREE, "error")}


def test_that_derivatives_flow_through_programs_but_not_through_stops() -> None:
    jax = pytest.importorskip("jax")
    from gradagree.adapters.jax_flow import derivatives_flow

    stop, square = jax.lax.stop_gradient, jax.jit(lambda x: x * x)
    functions = {
        lambda o, t: (o - t).sum(): True, lambda o, t: (o - stop(t)).sum(): False, lambda o, t: square(o) + 1: False,
        lambda o, t: square(o) - square(t): True, lambda o, t: square(o - stop(square(t))): False,
        lambda o, t: jax.numpy.where(t > 0, o, -o): False, lambda o, t: jax.jit(lambda x, y: (x, y))(o, t)[0]: False,
    }  # fmt: skip
    one = jax.numpy.ones(3)
    for function, flows in functions.items():
        assert derivatives_flow(jax.make_jaxpr(function)(one, one), 1) == flows


@each_framework
@pytest.mark.parametrize("wrong", [-1.0, 1.001])
def test_that_a_wrong_derivative_with_respect_to_a_class_weight_is_found(framework: str, wrong: float) -> None:
    records = records_of(framework, f"4-3:id:class_weighted(wrong={wrong}):n5:f32:ordinary:s1")
    assert {(r.verdict, r.box, (r.entry or "")[:8]) for r in records} == {(Verdict.DISAGREE, "error", "dweight[")}


@each_framework
@pytest.mark.parametrize("dtype", ["f64", "f32", "f16", "bf16"])
@pytest.mark.parametrize("loss", ["fourth_powers", "class_weighted", "weighted_classes", "masked"])
def test_that_right_derivatives_agree(framework: str, dtype: str, loss: str) -> None:
    for regime in ("ordinary", "grid", "extreme"):
        records = records_of(framework, f"4-3:id:{loss}:n5:{dtype}:{regime}:s2")
        assert {record.verdict for record in records} <= RIGHT


@each_framework
def test_that_the_derivative_of_a_parameter_is_proved_at_its_exact_value(framework: str) -> None:
    (record, *_) = records_of(framework, "4-3:id:class_weighted(wrong=3.0):n2:f64:grid:s1")
    case = Case.parse(record.spec)
    arrays = case.arrays()
    o, column = arrays.inputs @ arrays.weights[0], int((record.entry or "")[8])
    expected = case.loss_weight * float(np.sum((o - arrays.targets)[:, column] ** 2)) / 2
    assert float.fromhex(str(record.expected)) == expected


@each_framework
def test_that_operands_without_a_derivative_are_left_out_and_the_rest_is_judged(framework: str) -> None:
    pytest.importorskip(framework)
    for loss in ("no_target_gradient", "no_target_gradient(refuses=True)", "masked", "cross_entropy"):
        spec = f"4-3:id:{loss}:n5:f32:ordinary:s1"
        modes = "grad" if "refuses" in loss and framework == "jax" else MODES[framework]
        for mode in modes.split(","):
            assert gradients_of(framework, spec, mode) == set()
        assert {record.verdict for record in records_of(framework, spec, modes)} <= RIGHT
    assert gradients_of(framework, "4-3:id:no_target_gradient(none=True):n5:f32:ordinary:s1", "grad") == (
        set() if framework == "torch" else {"targets"}  # in jax, None is a derivative of zeros
    )
    assert gradients_of(framework, "4-3:id:weighted_classes:n5:f32:ordinary:s1", "grad") == {"error scale"}
    assert gradients_of(framework, "4-3:id:bce_logits:n5:f32:ordinary:s1", "grad") == {"targets"}


@pytest.mark.parametrize("loss", ["sign_flipped", "scaled"])
def test_that_a_script_shows_a_wrong_derivative(loss: str, tmp_path: Path) -> None:
    (record,) = records_of("torch", f"4-3:id:{loss}:n2:f64:grid:s1", "backward")
    path = tmp_path / "script.py"
    path.write_text(format_script(Case.parse(record.spec), record))
    done = subprocess.run([sys.executable, "-I", str(path)], capture_output=True, text=True)
    assert done.returncode == 1, done.stderr
    assert f"observed {float.fromhex(str(record.observed))!r}" in done.stdout


@each_framework
def test_that_check_finds_wrong_derivatives_of_operands(framework: str) -> None:
    pytest.importorskip(framework)
    for loss in (FourthPowers(wrong=1.001), ClassWeighted(wrong=1.001)):
        with pytest.raises(Disagreement) as found:
            check(loss, frameworks=framework, modes="grad" if framework == "torch" else "packed")
        assert "disagree in loss" in str(found.value)


EXTENSION = """
import torch
import jax
import numpy as np
from gradagree import ErrorFunction
from gradagree.reference import Weights


class {name}(ErrorFunction):
    weight: Weights = Weights((0.5, 1.25, 2.0))

    def value(self, o, t):
        return np.sum(self.weight * (o - t) ** 2, axis=(-2, -1))

    def sensitivity(self, o, t):
        return 2 * self.weight * (o - t)

    def torch(self, o, t, torch):
        return InTorch.apply(o, t, self.weight)

    def jax(self, o, t, jax):
        return in_jax(o, t, self.weight)


def cotangents(g, o, t, w):
    d = 2 * g * w * (o - t)
    return d, {by_t} * -d, {by_w} * g * ((o - t) ** 2).sum(0)


class InTorch(torch.autograd.Function):
    @staticmethod
    def forward(ctx, o, t, w):
        ctx.save_for_backward(o, t, w)
        return (w * (o - t) ** 2).sum()

    @staticmethod
    def backward(ctx, g):
        return cotangents(g, *ctx.saved_tensors)


@jax.custom_vjp
def in_jax(o, t, w):
    return (w * (o - t) ** 2).sum()


in_jax.defvjp(lambda o, t, w: (in_jax(o, t, w), (o, t, w)), lambda kept, g: cotangents(g, *kept))
"""


@each_framework
@pytest.mark.parametrize(("by_t", "by_w", "entry"), [(-1, 1, "dt["), (1, 0.5, "dweight[")])
def test_that_a_run_finds_wrong_derivatives_of_operands_in_a_file(
    framework: str, by_t: float, by_w: float, entry: str, tmp_path: Path
) -> None:
    pytest.importorskip("torch")
    pytest.importorskip("jax")
    file, name = tmp_path / "losses.py", f"OfFile{'t' * (by_t != 1)}{'w' * (by_w != 1)}"
    file.write_text(EXTENSION.format(name=name, by_t=by_t, by_w=by_w))
    program = (
        "import sys, json, gradagree; "
        "found = gradagree.run(ext=[sys.argv[1]], frameworks=sys.argv[2], modes=sys.argv[3], cases=2, workers=1); "
        "print(json.dumps([r.entry for r in found if r.verdict.fails and r.box == 'error']))"
    )
    mode = "backward" if framework == "torch" else "packed"
    given = [sys.executable, "-c", program, str(file), framework, mode]
    done = subprocess.run(given, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    entries = {found.split("[")[0] + "[" for found in json.loads(done.stdout.splitlines()[-1])}
    assert entries == {entry}


def test_that_a_gradient_past_the_range_is_bounded_without_warnings() -> None:
    rules, zeros = model("float32"), np.zeros((1, 2))
    gradient = OperandGradient.of(ErrorFunction.named("sse"), "t", zeros, zeros)
    bound = Rounded(np.array([np.inf, 1.0]), np.array([np.inf, 0.5]), rules)
    with np.errstate(all="raise"):
        stored = gradient.stored_examples(bound, rules)
        summed = gradient.stored_examples(bound, replace(rules, per_example=True))
    assert stored.radius.tolist() == [np.inf, 0.5]
    assert summed.radius[0] == np.inf
    assert 0.5 + rules.u <= summed.radius[1] < 0.5 + 1.01 * rules.u


def test_that_weights_are_multiplied_entry_by_entry() -> None:
    weights = Weights((0.5, 1.25))
    assert (2 * weights).tolist() == (weights * 2).tolist() == [1.0, 2.5]
    assert (weights * np.ones((3, 2))).shape == (np.ones((3, 2)) * weights).shape == (3, 2)
