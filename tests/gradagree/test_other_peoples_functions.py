"""Functions as other people write them: in place, old-style, coupled over the batch, with parameters, in the tail."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from scipy.special import erfc

from gradagree import Activation, Case, ErrorFunction, check, draw
from gradagree.adapters import Answer
from gradagree.api import Disagreement
from gradagree.arithmetic.model import model
from gradagree.checker.allowances import equivalent_activations
from gradagree.checker.dense import DenseCheck
from gradagree.checker.proofs import prove_derivatives
from gradagree.checker.verdict import Record, Verdict
from gradagree.errors import UsageError
from gradagree.reference import Weight, Weights
from gradagree.reference.activations import Elu, Relu, Silu

RIGHT = {Verdict.AGREE, Verdict.CONVENTION, Verdict.UNDECIDED, Verdict.OUT_OF_RANGE, Verdict.INACCURATE}
EAGER = "backward,grad,vmap,forward"


pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:DeprecationWarning")
CONSTANT = math.sqrt(2 / math.pi)


class Double(Activation):
    """A(p) = 2 p, by an old-style function: its forward pass takes the context."""

    def value(self, p: Any) -> Any:
        return 2 * p

    def derivative(self, p: Any) -> Any:
        return 2 * np.ones_like(p)

    def torch(self, p: Any, torch: Any) -> Any:
        class OldStyle(torch.autograd.Function):  # type: ignore[misc]
            @staticmethod
            def forward(ctx: Any, x: Any) -> Any:
                ctx.factor = 2
                return ctx.factor * x

            @staticmethod
            def backward(ctx: Any, g: Any) -> Any:
                return ctx.factor * g

        return OldStyle.apply(p)


class MaskedMse(ErrorFunction):
    """sum t o^2 / max(sum t, 1): a mean over the masked entries of the batch."""

    targets = "bits"

    def value(self, o: Any, t: Any) -> Any:
        return np.sum(t * o**2, axis=(-2, -1)) / np.maximum(np.sum(t, axis=(-2, -1)), 1.0)

    def sensitivity(self, o: Any, t: Any) -> Any:
        return 2 * t * o / np.maximum(np.sum(t, axis=(-2, -1), keepdims=True), 1.0)

    def torch(self, o: Any, t: Any, torch: Any) -> Any:
        return (t * o**2).sum() / t.sum().clamp(min=1)

    def jax(self, o: Any, t: Any, jax: Any) -> Any:
        return (t * o**2).sum() / jax.numpy.maximum(t.sum(), 1)


class StarRelu(Activation):
    """A(p) = s relu(p)^2 + b."""

    s: Weight = Weight(0.8944)
    b: Weight = Weight(-0.4472)

    def value(self, p: Any) -> Any:
        return self.s * np.maximum(p, 0) ** 2 + self.b

    def derivative(self, p: Any) -> Any:
        return 2 * self.s * np.maximum(p, 0)

    def by_s(self, p: Any) -> Any:
        return np.maximum(p, 0) ** 2

    def by_b(self, p: Any) -> Any:
        return np.ones_like(p)

    def torch(self, p: Any, torch: Any) -> Any:
        return self.s * torch.nn.functional.relu(p) ** 2 + self.b


class GeluOfOthers(Activation):
    """p/2 (1 + tanh(C (p + 0.044715 p^3))), whose derivative cancels to 0 in float64 below -6."""

    factor: float = 1.0

    def value(self, p: Any) -> Any:
        return 0.5 * p * (1.0 + np.tanh(math.sqrt(2.0 / math.pi) * (p + 0.044715 * p**3)))

    def derivative(self, p: Any) -> Any:
        u = CONSTANT * (p + 0.044715 * p**3)
        t = np.tanh(u)
        return self.factor * (0.5 * (1 + t) + 0.5 * p * (1 - t**2) * CONSTANT * (1 + 3 * 0.044715 * p**2))


class PairPower(Activation):
    """(|p_1| + |p_2|)^4: one number from two."""

    def width(self, n: int) -> int | None:
        return 1 if n == 2 else None

    def value(self, p: Any) -> Any:
        return np.sum(p**2, axis=-1, keepdims=True) ** 2

    def vjp(self, p: Any, delta_a: Any) -> Any:
        return 4 * np.sum(p**2, axis=-1, keepdims=True) * p * delta_a

    def torch(self, p: Any, torch: Any) -> Any:
        return (p**2).sum(-1, keepdim=True) ** 2


class Scaled(Activation):
    """A_i(p) = g_i p_i, whose width accepts any number of entries."""

    g: Weights = Weights((0.5, -1.5, 2.0))

    def width(self, n: int) -> int | None:
        return n

    def value(self, p: Any) -> Any:
        return self.g * p

    def vjp(self, p: Any, delta_a: Any) -> Any:
        return self.g * delta_a

    def by_g(self, p: Any) -> Any:
        return p


class SmoothElu(Activation):
    """p where p > 0, else exp(p) - 1; the formula has a tie at 0, the function no kink."""

    def value(self, p: Any) -> Any:
        return np.where(p > 0, p, np.expm1(np.minimum(p, 0)))

    def derivative(self, p: Any) -> Any:
        return np.where(p > 0, 1.0, np.exp(np.minimum(p, 0)))

    def torch(self, p: Any, torch: Any) -> Any:
        return torch.where(p > 0, p, torch.expm1(p.clamp(max=0)))


class PlainSoftmax(Activation):
    """exp(p_i) / sum_k exp(p_k), without the maximum that frameworks subtract."""

    def width(self, n: int) -> int | None:
        return n

    def value(self, p: Any) -> Any:
        return np.exp(p) / np.sum(np.exp(p), axis=-1, keepdims=True)

    def vjp(self, p: Any, delta_a: Any) -> Any:
        s = self.value(p)
        return s * (delta_a - np.sum(s * delta_a, axis=-1, keepdims=True))

    def torch(self, p: Any, torch: Any) -> Any:
        return torch.softmax(p, -1)


class Telu(Activation):
    """p tanh(exp(p))."""

    def value(self, p: Any) -> Any:
        return p * np.tanh(np.exp(p))

    def derivative(self, p: Any) -> Any:
        return np.tanh(np.exp(p)) + p * np.exp(p) * (1 - np.tanh(np.exp(p)) ** 2)

    def torch(self, p: Any, torch: Any) -> Any:
        return p * torch.tanh(torch.exp(p))


class ErfcGelu(Activation):
    """p/2 erfc(-p / sqrt 2): the gelu of the catalogue, by a formula that loses no digits in the tail."""

    factor: float = 1.0

    def value(self, p: Any) -> Any:
        return self.factor * 0.5 * p * erfc(-p / np.sqrt(2))

    def derivative(self, p: Any) -> Any:
        return self.factor * (0.5 * erfc(-p / np.sqrt(2)) + p * np.exp(-(p**2) / 2) / np.sqrt(2 * np.pi))

    def torch(self, p: Any, torch: Any) -> Any:
        return torch.nn.functional.gelu(p)


OWN = (
    ErfcGelu,
    Double,
    MaskedMse,
    StarRelu,
    GeluOfOthers,
    PairPower,
    Scaled,
    SmoothElu,
    PlainSoftmax,
    Telu,
)
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


@pytest.mark.parametrize("name", ["relu", "silu", "elu"])
def test_that_functions_that_overwrite_their_input_agree(name: str) -> None:
    torch = pytest.importorskip("torch")
    function = getattr(torch.nn.functional, name)
    reference = {"relu": Relu, "silu": Silu, "elu": Elu}[name]()
    records = check(lambda p: function(p, inplace=True), reference, frameworks="torch", modes=EAGER)
    assert {record.verdict for record in records} <= RIGHT | {Verdict.UNSUPPORTED}
    assert {record.mode for record in records if record.verdict is Verdict.AGREE} >= {"backward", "grad"}


def test_that_a_wrong_function_that_overwrites_its_input_is_the_one_named() -> None:
    torch = pytest.importorskip("torch")

    def wrong(p: Any) -> Any:
        return torch.nn.functional.relu(p, inplace=True) * (1 + 2.0**-10)

    with pytest.raises(Disagreement) as found:
        check(wrong, Relu(), frameworks="torch", modes="backward")
    assert {(record.verdict, record.function) for record in found.value.records if record.verdict.fails} == {
        (Verdict.VALUE_DIFFERS, "relu")
    }


@pytest.mark.parametrize("width", [4, 256, 257])
def test_that_a_function_without_forward_mode_is_unsupported_there_at_every_size(width: int) -> None:
    pytest.importorskip("torch")
    records = check(f"1-{width}:id,double:sse:n2:f64:ordinary:s1", frameworks="torch", modes=EAGER)
    found = {record.mode: record.verdict for record in records}
    assert found == {
        "backward": Verdict.AGREE, "grad": Verdict.AGREE, "vmap": Verdict.UNSUPPORTED, "forward": Verdict.UNSUPPORTED,
    }  # fmt: skip


@pytest.mark.parametrize(("framework", "modes"), [("torch", EAGER), ("jax", "grad,vmap,packed")])
def test_that_a_loss_that_couples_the_batch_has_no_gradients_of_examples(framework: str, modes: str) -> None:
    pytest.importorskip(framework)
    loss = MaskedMse()
    o, t = np.array([[2.0, 2.0], [1.0, 1.0]]), np.array([[1.0, 1.0], [1.0, 0.0]])
    assert float(loss.value(o, t)) == 3  # (4 + 4 + 1) / 3
    records = check("3-2:id:masked_mse:n4:f64:ordinary:s1", frameworks=framework, modes=modes)
    found = {record.mode: record.verdict for record in records}
    assert found.pop("vmap") is Verdict.UNSUPPORTED
    assert set(found.values()) == {Verdict.AGREE}


def test_that_gradients_of_parameters_may_be_stored_for_each_example() -> None:
    pytest.importorskip("torch")
    activation = StarRelu()
    cases = [*draw(12, 3, ("float16", "bfloat16"), [activation], [ErrorFunction.named("sse")], ("ordinary", "grid"))]
    records = [record for case in cases for record in records_of(case, frameworks="torch", modes="vmap")]
    assert {record.verdict for record in records} <= RIGHT
    assert sum(record.verdict is Verdict.AGREE for record in records) > len(records) / 2


def test_that_a_parameter_gradient_that_loses_an_example_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch")

    def lossy(self: Any, p: Any, torch: Any) -> Any:
        scale = self.s * (p[..., :1].detach() > 0) + self.s.detach() * (p[..., :1].detach() <= 0)
        return scale * torch.nn.functional.relu(p) ** 2 + self.b

    monkeypatch.setattr(StarRelu, "torch", lossy)
    found = records_of("3-4-2:id,star_relu:sse:n8:f16:ordinary:s2", frameworks="torch", modes="vmap")
    assert [(record.verdict, record.entry) for record in found] == [(Verdict.DISAGREE, "ds")]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_that_a_sum_may_begin_with_the_bias(dtype: Any) -> None:
    case = Case.parse(f"8-3b:id:sse:n4:{'f32' if dtype is np.float32 else 'f64'}:ordinary:s5")
    arrays = case.arrays()
    a, w, b = arrays.inputs, arrays.by_name["w1"], 64 * arrays.by_name["b1"]
    arrays = type(arrays).of({**arrays.by_name, "b1": b})
    c = np.broadcast_to(b, (4, 3)).astype(dtype)
    for k in range(a.shape[1]):
        c = (c + (a[:, k, None] * w[k]).astype(dtype)).astype(dtype)
    found = value_of(case, arrays, c.astype(np.float64))
    assert found.verdict is Verdict.AGREE
    assert value_of(case, arrays, c * (1 + 16 * np.finfo(dtype).eps)).verdict is Verdict.VALUE_DIFFERS


def value_of(case: Case, arrays: Any, c: np.ndarray) -> Any:
    node = case.nodes(arrays)[0]
    answer = Answer(0.0, {"inputs": arrays.inputs, "c1": c}, {"inputs": arrays.inputs, "c1": c})
    return DenseCheck(node, answer, model(case.dtype)).forward()


def test_that_a_right_derivative_is_proved_where_it_cancels() -> None:
    prove_derivatives(GeluOfOthers())
    with pytest.raises(UsageError, match="derivative does not match value"):
        prove_derivatives(GeluOfOthers(factor=1 + 2.0**-30))


def test_that_functions_of_two_entries_are_drawn_at_their_width() -> None:
    pytest.importorskip("torch")
    prove_derivatives(PairPower())
    cases = list(draw(6, 1, ("float64",), [PairPower()]))
    for case in cases:
        for n, activation in zip(case.widths, case.activations, strict=False):
            assert activation.width(n)
    records = [record for case in cases for record in check(case, frameworks="torch", modes="backward")]
    assert {record.verdict for record in records} <= RIGHT


def test_that_a_parameter_for_each_column_fixes_the_width() -> None:
    with pytest.raises(UsageError, match=r"scaled.*g holds one number for each of 3 entries.*len\(self.g\)"):
        prove_derivatives(Scaled())


def elu_with_wrong_jvp(self: Any, p: Any, torch: Any) -> Any:
    class Wrong(torch.autograd.Function):  # type: ignore[misc]
        generate_vmap_rule = True

        @staticmethod
        def forward(x: Any) -> Any:
            return torch.where(x > 0, x, torch.expm1(x.clamp(max=0)))

        @staticmethod
        def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
            ctx.save_for_backward(*inputs, output)
            ctx.save_for_forward(*inputs)

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            x, _ = ctx.saved_tensors
            return g * torch.where(x > 0, torch.ones_like(x), x.clamp(max=0).exp())

        @staticmethod
        def jvp(ctx: Any, tangent: Any) -> Any:
            (x,) = ctx.saved_tensors
            slope = torch.where(x > 0, torch.ones_like(x), x.clamp(max=0).exp())
            return tangent * torch.where(x == 0, -0.3 * torch.ones_like(x), slope)

    return Wrong.apply(p)


def test_that_a_wrong_tangent_at_a_tie_of_the_formula_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch")
    monkeypatch.setattr(SmoothElu, "torch", elu_with_wrong_jvp)
    case = Case.parse("1-2:id,smooth_elu:sse:n2:f64:grid:s24")
    arrays = case.arrays()
    numbers = {"inputs": np.array([[1.0], [2.0]]), "targets": np.array([[0.5, 0.5], [0.5, 0.5]])}
    case = Case.of(case, type(arrays).of({**numbers, "w1": np.array([[0.0, 1.0]])}))
    found = records_of(case, frameworks="torch", modes="backward,forward")
    verdicts = {record.mode: record.verdict for record in found}
    assert verdicts == {"backward": Verdict.AGREE, "forward": Verdict.DISAGREE}
    (wrong,) = (record for record in found if record.verdict.fails)
    assert (wrong.function, (wrong.entry or "")[:2]) == ("smooth_elu", "c'")
    assert float.fromhex(str(wrong.observed)) == pytest.approx(-0.3 * float.fromhex(str(wrong.expected)))


def test_that_lost_digits_are_no_other_function_if_a_better_formula_is_the_reference() -> None:
    """torch's gelu is 0 at -5.5, where the exact value is -1.04e-7, and keeps a digit at -4.5."""
    pytest.importorskip("torch")
    case = Case.parse("1-1:erfc_gelu:sse:n4:f32:ordinary:s1")
    for lowest, verdict, reason in ((-5.5, Verdict.DISAGREE, "no correct digit"), (-4.5, Verdict.INACCURATE, "times")):
        inputs = np.array([[lowest], [-4.0], [-2.0], [1.0]])
        arrays = type(case.arrays()).of({"inputs": inputs, "targets": np.zeros((4, 1)), "w1": np.ones((1, 1))})
        (record,) = records_of(Case.of(case, arrays), frameworks="torch", modes="backward")
        assert (record.verdict, reason in record.reason) == (verdict, True)
        assert "the value is that of" not in record.reason
    assert equivalent_activations(ErfcGelu()) == (Activation.named("gelu"),)
    assert equivalent_activations(ErfcGelu(factor=1 + 2.0**-50)) == ()
    other = Case.parse("1-1:erfc_gelu(factor=1.0009765625):sse:n4:f32:ordinary:s1")
    (record,) = records_of(Case.of(other, arrays), frameworks="torch", modes="backward")
    assert record.verdict is Verdict.VALUE_DIFFERS


@pytest.mark.parametrize("dtype", ["f32", "f16", "bf16"])
@pytest.mark.parametrize("seed", range(4))
def test_that_tangents_of_a_saturated_softmax_are_not_accused(dtype: str, seed: int) -> None:
    pytest.importorskip("torch")
    spec = f"4-6-3:id,plain_softmax:sse:n4:{dtype}:saturated:s{seed}"
    assert {record.verdict for record in records_of(spec, frameworks="torch", modes="backward,forward")} <= RIGHT


def test_that_a_wrong_tangent_of_such_a_softmax_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch")
    monkeypatch.setattr(PlainSoftmax, "torch", lambda self, p, torch: torch.softmax(p * (1 + 2.0**-12), -1))
    records = records_of("4-6-3:id,plain_softmax:sse:n4:f32:ordinary:s1", frameworks="torch", modes="forward")
    assert all(record.verdict.fails for record in records)


def test_that_an_overflow_of_a_tangent_on_the_way_is_out_of_range() -> None:
    pytest.importorskip("torch")
    case = Case.parse("1-1:id,telu:sse:n1:f16:ordinary:s1")
    # exp(8.484) = 4840, and the tangent of p = 16 w by w is 16: their product is beyond 65504
    numbers = {"inputs": np.array([[16.0]]), "targets": np.array([[8.0]]), "w1": np.array([[0.5302734375]])}
    case = Case.of(case, type(case.arrays()).of(numbers))
    records = records_of(case, frameworks="torch", modes="backward,forward")
    found = {record.mode: record.verdict for record in records}
    assert found == {"backward": Verdict.AGREE, "forward": Verdict.OUT_OF_RANGE}
