"""What the contract of activations and error functions accepts, refuses, and expected."""

from __future__ import annotations

import re
import warnings
from typing import Any

import numpy as np
import pytest

from gradagree.reference import Activation, ContractError, ErrorFunction, Operation, contract as contract_module
from gradagree.reference.activations import Elu, Gelu, LeakyRelu, Relu, Softmax, Softplus, Tanh
from gradagree.reference.errors import Absolute, Huber


def method(*args: Any) -> Any:
    """Stands for any method."""
    return args[1]


ACTIVATION = {"value": method, "derivative": method}
ERROR = {"value": method, "sensitivity": method}


@pytest.fixture(autouse=True)
def catalogues_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """A class made inside a test registers itself; it leaves with the test."""
    for base in (Activation, ErrorFunction):
        monkeypatch.setattr(base, "catalogue", dict(base.catalogue))


def make(class_name: str, members: dict[str, Any], bases: Any = (Activation,), **parameters: type) -> Any:
    """class class_name(bases): members, with annotations for its parameters."""
    return type(class_name, bases, {**members, "__annotations__": parameters, "__module__": __name__})


def refusal(*args: Any, **kwargs: Any) -> str:
    """What the contract expected to a class that it refuses."""
    with pytest.raises(ContractError) as caught:
        make(*args, **kwargs)
    return str(caught.value)


def test_that_a_subclass_registers_itself_under_its_name_in_snake_case() -> None:
    made = make("MyGelu2X", ACTIVATION)
    assert Activation.catalogue["my_gelu2_x"] is made
    assert Activation.named("my_gelu2_x") == made()


def test_that_a_class_that_starts_with_an_underscore_is_not_registered() -> None:
    before = dict(Activation.catalogue)
    make("_Half", {})
    assert Activation.catalogue == before


def test_that_a_subclass_of_a_registered_class_inherits_formulas_and_parameters() -> None:
    made = make("Leakier", {"jax": method}, (LeakyRelu,))
    assert str(made(negative_slope=0.5)) == "leakier(negative_slope=0.5)"
    assert made().kinks == (0.0,)


@pytest.mark.parametrize(
    ("member", "expected"),
    [
        ("derivate", "Odd.derivate is no part of an activation; did you mean 'derivative'?"),
        ("tourch", "Odd.tourch is no part of an activation; did you mean 'torch'?"),
        ("kink", "Odd.kink is no part of an activation; did you mean 'kinks'?"),
        ("zzz", "Odd.zzz is no part of an activation; known: derivative, "),
    ],
)
def test_that_an_unknown_method_is_refused_with_the_nearest_name(member: str, expected: str) -> None:
    message = refusal("Odd", {**ACTIVATION, member: method})
    assert message.startswith(expected)
    assert message.endswith("(helpers start with an underscore)")
    assert "odd" not in Activation.catalogue


@pytest.mark.parametrize("wrap", [staticmethod, classmethod, property], ids=lambda wrap: wrap.__name__)
def test_that_a_wrapped_unknown_method_is_refused(wrap: Any) -> None:
    assert "did you mean 'derivative'?" in refusal("Odd", {**ACTIVATION, "derivativ": wrap(method)})


def test_that_an_unknown_method_of_an_error_function_is_refused() -> None:
    message = refusal("Odd", {**ERROR, "sensitivty": method}, (ErrorFunction,))
    assert message.startswith("Odd.sensitivty is no part of an error function; did you mean 'sensitivity'?")


def test_that_helpers_and_every_known_method_are_accepted() -> None:
    extra = dict.fromkeys(("vjp", "second", "torch", "jax", "_helper"), method)
    assert make("Fine", {**ACTIVATION, **extra, "kinks": (0.0, 1.0)})().kinks == (0.0, 1.0)


def test_that_a_new_framework_makes_its_implementation_a_known_method(monkeypatch: pytest.MonkeyPatch) -> None:
    members = {**ACTIVATION, "warp": method}
    assert "Odd.warp is no part" in refusal("Odd", members)
    monkeypatch.setattr(contract_module, "implementation_names", {*contract_module.implementation_names, "warp"})
    assert make("Fine", members)


@pytest.mark.parametrize(("base", "derivative"), [(Activation, "derivative"), (ErrorFunction, "sensitivity")])
def test_that_a_class_without_a_value_is_refused(base: Any, derivative: str) -> None:
    assert refusal("Half", {derivative: method}, (base,)) == "Half has no method 'value': add `def value(self, ...)`"


@pytest.mark.parametrize("base", [Activation, ErrorFunction])
def test_that_a_class_may_leave_its_derivative_out(base: Any) -> None:
    assert make("Taped", {"value": method}, (base,))().is_taped
    assert not make("Written", ACTIVATION if base is Activation else ERROR, (base,))().is_taped


@pytest.mark.parametrize("mixed", ["before", "after"])
def test_that_required_methods_are_checked_beside_a_mixin(mixed: str) -> None:
    mixin = type("Mixin", (), {})
    bases = (mixin, Activation) if mixed == "before" else (Activation, mixin)
    assert make("Whole", ACTIVATION, bases)
    assert "Half has no method" in refusal("Half", {}, bases)


def test_that_a_taken_name_is_refused_and_named() -> None:
    expected = (
        "Tanh: the name 'tanh' is taken by gradagree.reference.activations.smooth.Tanh; set another with name = \"...\""
    )
    assert refusal("Tanh", ACTIVATION) == expected
    assert Activation.catalogue["tanh"] is Tanh


def test_that_a_name_may_be_taken_once_in_each_catalogue() -> None:
    assert make("Tanh", ERROR, (ErrorFunction,)) is ErrorFunction.catalogue["tanh"]


def test_that_a_class_of_a_notebook_may_be_made_again() -> None:
    for _ in range(2):
        made = type("Redone", (Activation,), {**ACTIVATION, "__module__": "__main__"})
    assert Activation.catalogue["redone"] is made


@pytest.mark.parametrize("name", ["a b", "1st", "", "tanh(2)", "a-b"])
def test_that_a_name_that_could_not_be_read_back_is_refused(name: str) -> None:
    expected = f"Named: the name {name!r} must be letters, digits and underscores"
    assert refusal("Named", {**ACTIVATION, "name": name}) == expected


def test_that_a_parameter_without_a_default_is_refused() -> None:
    expected = "Bare.beta needs a default value: `beta: float = 1.0`"
    assert refusal("Bare", ACTIVATION, beta=float) == expected
    assert refusal("Bare", {**ACTIVATION, "alpha": 1.0}, alpha=float, beta=float) == expected


@pytest.mark.parametrize("targets", ["reals", "", None])
def test_that_unknown_targets_are_refused(targets: Any) -> None:
    expected = f"Aimless.targets is {targets!r}; it must be one of {', '.join(contract_module.TARGETS)}"
    assert refusal("Aimless", {**ERROR, "targets": targets}, (ErrorFunction,)) == expected


@pytest.mark.parametrize("targets", contract_module.TARGETS)
def test_that_known_targets_are_accepted(targets: str) -> None:
    assert make("Aimed", {**ERROR, "targets": targets}, (ErrorFunction,)).targets == targets


def test_that_a_function_is_frozen() -> None:
    with pytest.raises(AttributeError):
        Elu().alpha = 2.0  # type: ignore[misc]


def test_that_the_summary_is_the_first_line_of_the_docstring() -> None:
    assert Relu.summary() == "A(p) = max(p, 0)."
    assert all(re.match(r"[AE](\(p\))? = ", made.summary()) for made in (Gelu, Softplus, Absolute, Huber))


@pytest.mark.parametrize("base", [Activation, ErrorFunction])
def test_that_the_base_class_computes_nothing(base: Any) -> None:
    bare = type("_Bare", (base,), {})()
    for method in sorted(base.required):
        with pytest.raises(NotImplementedError):
            getattr(bare, method)(*[0.0] * (1 if base is Activation else 2))


def test_that_a_class_with_pull_works_as_one_with_vjp_and_warns() -> None:
    with pytest.warns(DeprecationWarning, match="Doubled.pull is now called vjp"):

        class Doubled(Softmax):
            def pull(self, p: Any, delta_a: Any) -> Any:
                return 2 * super().pull(p, delta_a)

    p, delta = np.array([[0.5, -1.0, 2.0]]), np.array([[1.0, 0.0, -0.5]])
    made = Doubled()
    assert made.along_last_axis
    assert np.array_equal(made.vjp(p, delta), 2 * Softmax().vjp(p, delta))
    assert np.array_equal(made.pull(p, delta), made.vjp(p, delta))


def test_that_a_class_with_vjp_does_not_warn_and_also_accepts_pull() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")

        class Tripled(Activation):
            def value(self, p: Any) -> Any:
                return 3 * p

            def vjp(self, p: Any, delta_a: Any) -> Any:
                return 3 * delta_a

    assert Tripled().along_last_axis
    assert Tripled().pull(0.0, 2.0) == Tripled().vjp(0.0, 2.0) == 6.0


def test_that_an_error_function_has_no_pull_of_its_own() -> None:
    with pytest.raises(ContractError, match=r"Odd\.pull is no part of an error function"):
        type("Odd", (ErrorFunction,), {**ERROR, "pull": method})


@pytest.mark.parametrize("kind", [Activation, ErrorFunction])
def test_that_activations_and_losses_are_operations(kind: Any) -> None:
    assert issubclass(kind, Operation)


def test_that_the_vjp_of_a_loss_is_its_sensitivity() -> None:
    o, t = np.array([[1.0, -2.0]]), np.array([[0.5, 0.5]])
    assert np.array_equal(Huber().vjp(o, t), Huber().sensitivity(o, t))
