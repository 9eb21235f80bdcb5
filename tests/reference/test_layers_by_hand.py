"""The hand-written vjps of layers: each is the derivative of its value, and one that is not is refused."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest

from gradagree import arithmetic  # noqa: F401 (loads the tape)
from gradagree.errors import UsageError
from gradagree.functions.layers import example_arrays, prove_layer
from gradagree.reference import ContractError, Layer, layers  # noqa: F401 (registers the layers)
from gradagree.reference.layers import scans

BUILT_IN = [kind for kind in Layer.catalogue.values() if kind.__module__.startswith("gradagree.")]
VARIANTS = [layer for kind in BUILT_IN for layer in kind().variants()]
FACTOR = 1 + 2**-30


def of_array(found, k, change):
    """The cotangents, that of array k changed."""
    return tuple(change(g) if i == k else g for i, g in enumerate(found))


@pytest.mark.parametrize("layer", VARIANTS, ids=str)
def test_vjp_is_the_derivative_of_value(layer):
    prove_layer(layer, example_arrays(layer, None))


@pytest.mark.parametrize("kind", BUILT_IN, ids=lambda kind: kind.name)
def test_a_wrong_vjp_of_each_array_is_refused(kind, monkeypatch):
    layer = kind()
    arrays = example_arrays(layer, None)
    right = kind.vjp
    for name in layer.with_gradient(arrays):
        k = list(arrays).index(name)
        wrong = lambda self, g, *given, k=k: of_array(right(self, g, *given), k, lambda z: z * FACTOR)  # noqa: E731
        monkeypatch.setattr(kind, "vjp", wrong)
        with pytest.raises(UsageError, match=f"vjp is not the derivative of value: that of {name} at "):
            prove_layer(layer, arrays)


def test_a_vjp_of_the_wrong_shape_or_number_is_refused(monkeypatch):
    layer = Layer.named("dense")
    arrays = example_arrays(layer, None)
    right = type(layer).vjp
    monkeypatch.setattr(
        type(layer), "vjp", lambda self, g, *given: of_array(right(self, g, *given), 1, lambda z: z.T)
    )  # fmt: skip
    with pytest.raises(UsageError, match=r"vjp gives w the shape \(5, 4\); it must be \(4, 5\)"):
        prove_layer(layer, arrays)
    monkeypatch.setattr(type(layer), "vjp", lambda self, g, *given: right(self, g, *given)[:2])
    with pytest.raises(UsageError, match="vjp returns 2 cotangents for 3 arrays; give one for each"):
        prove_layer(layer, arrays)


def test_another_formula_with_another_value_is_refused(monkeypatch):
    layer = Layer.named("layer_norm_affine")
    arrays = example_arrays(layer, None)
    right = type(layer).other_value
    monkeypatch.setattr(type(layer), "other_value", lambda self, *given: right(self, *given) * FACTOR)
    with pytest.raises(UsageError, match="layer_norm_affine: other_value is not equal to value: "):
        prove_layer(layer, arrays)
    monkeypatch.setattr(type(layer), "other_value", lambda self, *given: right(self, *given)[0])
    with pytest.raises(UsageError, match="other_value returns arrays of other shapes than value"):
        prove_layer(layer, arrays)


@pytest.mark.parametrize("length", [1, 2, 5, 8])
def test_recurrence_by_halves_is_the_recurrence(length):
    a, b = np.random.default_rng(length).standard_normal((2, length, 3))
    assert np.allclose(scans.recurrence_by_halves(a, b), scans.recurrence(a, b), rtol=0, atol=1e-14)


def test_settings_parse_and_differ_from_the_defaults():
    assert len(BUILT_IN) > 35
    for kind in BUILT_IN:
        assert len({str(layer) for layer in kind().variants()}) == 1 + len(kind.settings)
        for layer in kind().variants():
            assert str(Layer.named(str(layer))) == str(layer)


def test_value_of_a_convolution_by_its_definition():
    layer = Layer.named("convolution(axes=1,stride=2,padding=1)")
    x, w, b = layer.example(np.random.default_rng(3)).values()
    y = layer.value(x, w, b)
    n, o, i = 1, 4, 2
    expected = b[o]
    for c in range(x.shape[1]):
        for k in range(w.shape[2]):
            place = 2 * i + k - 1
            expected += w[o, c, k] * x[n, c, place] if 0 <= place < x.shape[2] else 0.0
    assert abs(y[n, o, i] - expected) < 1e-13


def test_value_of_ctc_by_all_its_alignments():
    x, labels, steps, counts = Layer.named("ctc").example(np.random.default_rng(5)).values()
    p = np.exp(x) / np.exp(x).sum(-1, keepdims=True)
    expected = []
    for n in range(3):
        paths = itertools.product(range(4), repeat=int(steps[n]))
        wanted = labels[n, : counts[n]].tolist()
        fitting = [q for q in paths if [k for k, _ in itertools.groupby(q) if k] == wanted]
        expected.append(-np.log(sum(np.prod([p[t, n, k] for t, k in enumerate(q)]) for q in fitting)))
    assert np.allclose(Layer.named("ctc").value(x, labels, steps, counts), expected, rtol=1e-13, atol=0)


def test_a_layer_without_vjp_has_the_derivative_of_its_value():
    class _Product(Layer):
        def value(self, x, w):
            return x * w

    x, w, g = np.array([2.0, 3.0]), np.array([5.0, 7.0]), np.array([1.0, 2.0])
    by_x, by_w = _Product().vjp(g, x, w)
    assert by_x.tolist() == [5.0, 14.0]
    assert by_w.tolist() == [2.0, 6.0]
    assert _Product().is_taped
    assert not Layer.named("dense").is_taped


def test_the_contract_of_layers_is_checked():
    with pytest.raises(ContractError, match="has no method 'example'"):
        type("Bare", (Layer,), {"value": lambda self, x: x})
    with pytest.raises(ContractError, match="did you mean 'value'"):
        type("Misspelled", (Layer,), {"valeu": lambda self, x: x})
    assert [field.name for field in dataclasses.fields(Layer.named("dense"))] == ["bias"]
