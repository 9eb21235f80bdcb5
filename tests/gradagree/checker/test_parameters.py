"""Weights that activations have of their own, one for all entries or one for each column, in every arithmetic."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest

from gradagree import Activation, Case, check
from gradagree.adapters.problem import parameters_by_node
from gradagree.api import Disagreement
from gradagree.checker.proofs import prove_derivatives
from gradagree.checker.verdict import Verdict
from gradagree.errors import UsageError
from gradagree.reference import ContractError, backpropagate
from gradagree.reference.activations import Prelu, PreluByColumn
from gradagree.reference.parameters import Weight, Weights

SLOPES = (0.5, -1.25, 3.0, 0.0)
MODES = {"torch": "backward,grad,vmap,forward", "jax": "grad,jit,vmap,forward"}


def gradient(activation: Any, p: np.ndarray) -> Any:
    """dE/da for one box of weights 1, 2, ... and the sum of squares."""
    case = Case.parse("4-2:id:sse:n3:f64:ordinary:s1")
    x = case.arrays()
    box = Case.parse("4-2:id:sse:n3:f64:ordinary:s1").network(x)
    box = type(box)(activation, x.weights[0], None, box.inside)
    return backpropagate(box, p).activations[0]["a"]


def test_that_the_gradients_of_equal_slopes_add_up_to_that_of_a_shared_one() -> None:
    p = np.arange(-6.0, 6.0).reshape(3, 4) / 4
    each, shared = gradient(PreluByColumn(a=(0.25,) * 4), p), gradient(Prelu(a=0.25), p)
    assert each.shape == (4,)
    assert np.count_nonzero(each) == 4
    assert abs(each.sum() - shared) <= 4 * np.spacing(np.abs(each).sum())


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:DeprecationWarning")
@pytest.mark.parametrize("framework", MODES)
def test_that_slopes_of_columns_agree_in_every_mode(framework: str) -> None:
    pytest.importorskip(framework)
    records = check(PreluByColumn(a=SLOPES), frameworks=framework, modes=MODES[framework])
    assert {record.mode for record in records} == set(MODES[framework].split(","))
    assert {record.verdict for record in records} <= {Verdict.AGREE, Verdict.UNDECIDED, Verdict.OUT_OF_RANGE}


class _Lost(PreluByColumn):
    """The slopes' gradient stops at the second column."""

    def torch(self, p: Any, torch: Any) -> Any:
        a = torch.cat([self.a[:1], self.a[1:2].detach(), self.a[2:]])
        return torch.nn.functional.prelu(p, a)


def test_that_a_slope_without_its_gradient_is_found_and_named() -> None:
    pytest.importorskip("torch")
    with pytest.raises(Disagreement) as caught:
        check(_Lost(a=SLOPES), frameworks="torch", modes="backward", dtypes=["float64"])
    failing = [record for record in caught.value.records if record.verdict.fails]
    assert {record.entry for record in failing} == {"da[1]"}


class _Wrong(PreluByColumn):
    def by_a(self, p: Any) -> Any:
        return np.where(p > 0, 0.0, -p)


def test_that_a_wrong_derivative_by_the_slopes_is_found_before_any_framework_runs() -> None:
    with pytest.raises(UsageError, match=r"by_a does not match value: at p = "):
        prove_derivatives(_Wrong())


def test_that_the_slopes_make_a_text_that_is_read_back() -> None:
    made = PreluByColumn(a=SLOPES)
    assert str(made) == "prelu_by_column(a=(0.5,-1.25,3.0,0.0))"
    assert Activation.named(str(made)) == made == pickle.loads(pickle.dumps(made))
    assert isinstance(made.a, Weights)
    assert (made.width(4), made.width(3)) == (4, None)
    with pytest.raises(ContractError, match="a is one number for each entry"):
        PreluByColumn(a=0.5)  # type: ignore[arg-type]


def test_that_leaves_are_distinguished_without_their_numbers() -> None:
    """A compiler traces this, and cannot make NumPy's arrays of what an activation holds."""

    class Unseen:
        parameter_names = ("a", "b")

        def __getattr__(self, name: str) -> None:
            raise AssertionError(name)

    given: Any = [Unseen(), Unseen()]
    assert parameters_by_node(given, [0, 1, 2, 3, 4, 5]) == ((2, 3), (4, 5))


@pytest.fixture
def scale_and_shift(monkeypatch: pytest.MonkeyPatch) -> type[Activation]:
    """An activation whose parameters have the names of a layer's own."""
    monkeypatch.setattr(Activation, "catalogue", dict(Activation.catalogue))

    class ScaleAndShift(Activation):
        """A(p) = w p + b."""

        w: Weight = Weight(0.75)
        b: Weight = Weight(-0.5)

        def value(self, p: Any) -> Any:
            return self.w * p + self.b

        def derivative(self, p: Any) -> Any:
            return self.w * np.ones_like(p)

        def by_w(self, p: Any) -> Any:
            return 1.0 * p

        def by_b(self, p: Any) -> Any:
            return np.ones_like(p)

        def torch(self, p: Any, torch: Any) -> Any:
            return self.w * p + self.b

        def jax(self, p: Any, jax: Any) -> Any:
            return self.w * p + self.b

    return ScaleAndShift


def detached_shift(self: Any, p: Any, torch: Any) -> Any:
    return self.w * p + self.b.detach()


@pytest.mark.parametrize("framework", MODES)
def test_that_parameters_with_the_names_of_weights_and_biases_are_not_confused(
    framework: str, scale_and_shift: type[Activation]
) -> None:
    pytest.importorskip(framework)
    assert Activation.named("scale_and_shift") == scale_and_shift()
    modes = MODES[framework] + ",packed" * (framework == "jax")
    records = check("3-4b-2b:id,scale_and_shift*2:sse:n4:f64:ordinary:s1", frameworks=framework, modes=modes)
    assert {record.verdict for record in records} == {Verdict.AGREE}


def test_that_a_wrong_gradient_of_such_a_parameter_is_found_and_named(
    scale_and_shift: type[Activation], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("torch")
    monkeypatch.setattr(scale_and_shift, "torch", detached_shift)
    with pytest.raises(Disagreement) as found:
        check("3-4b-2b:id,scale_and_shift*2:sse:n4:f64:ordinary:s1", frameworks="torch", modes="backward")
    (record,) = found.value.records
    assert (record.verdict, record.function, record.entry) == (Verdict.DISAGREE, str(scale_and_shift()), "dA.b")
    assert float.fromhex(str(record.observed)) == 0
