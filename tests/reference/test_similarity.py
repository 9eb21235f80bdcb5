"""The contrasts of pairs, by hand: who is in a pair, and what is left where nobody is."""

from __future__ import annotations

import flint
import numpy as np
import pytest

from gradagree.arithmetic import Ball
from gradagree.checker.kink_search import unlisted_loss_kinks
from gradagree.reference import ErrorFunction
from gradagree.reference.errors import Ntxent

pytestmark = pytest.mark.usefixtures("working_precision")
BITS = 256
AXES = np.array([[1.0, 0.0], [0.0, 2.0], [0.5, 0.0], [-3.0, 0.0]])
"""Cosines 0 with the second, 1 between first and third, and -1 of these with the last."""
ALONE = np.arange(4)


class _Forgotten(Ntxent):
    kink = ErrorFunction.kink


def term(own: int, *others: int) -> flint.arb:
    """log(exp s + sum_k exp s_k) - s of these cosines over the temperature 1/2."""
    return sum((flint.arb(2 * s).exp() for s in (own, *others)), flint.arb(0)).log() - 2 * own


@pytest.mark.parametrize(
    ("labels", "pairs"),
    [
        ((7, 1, 7, 2), [(1, 0, -1)] * 2),
        ((7, 1, 7, 7), [(1, 0)] * 2 + [(-1, 0)] * 4),
        ((1, 1, 2, 2), [(0, 1, -1), (0, 0, 0), (-1, 1, 0), (-1, -1, 0)]),
        ((1, 1, 1, 1), [(0,)]),
    ],
    ids=str,
)
def test_that_the_value_is_the_mean_over_pairs(labels: tuple[int, ...], pairs: list[tuple[int, ...]]) -> None:
    value = Ntxent(temperature=0.5).value(Ball.exact(AXES), np.array(labels)).balls.item()
    mean = sum((term(*cosines) for cosines in pairs), flint.arb(0)) / len(pairs)
    assert value.overlaps(mean)
    assert not (value + flint.arb(2) ** -60).overlaps(mean)


def test_that_an_example_alone_in_its_class_is_a_contrast_to_others_only() -> None:
    o, t = np.array([[1.0, 0.0], [1.0, 1.0], [1.0, 0.5]]), np.array([7, 1, 7])
    assert Ntxent().value(o, t) > Ntxent().value(o[[0, 2]], t[[0, 2]])
    assert Ntxent().sensitivity(o, t)[1].all()


@pytest.mark.parametrize("n", [1, 4])
def test_that_no_pair_at_all_is_no_number_and_has_no_derivative(n: int) -> None:
    torch = pytest.importorskip("torch")
    o, t = AXES[:n], ALONE[:n]
    assert np.isnan(Ntxent().value(o, t))
    assert not Ntxent().sensitivity(o, t).any()
    leaf = torch.tensor(o, requires_grad=True)
    E = Ntxent().torch(leaf, torch.tensor(t), torch)
    E.backward()
    assert torch.isnan(E)
    assert not leaf.grad.any()


def test_that_no_pair_is_the_same_to_jax_and_to_optax() -> None:
    jax, optax = pytest.importorskip("jax"), pytest.importorskip("optax")
    o, t = jax.numpy.asarray(AXES), jax.numpy.asarray(ALONE)
    for implementation in (lambda o: Ntxent().jax(o, t, jax), lambda o: Ntxent().optax(o, t, optax, jax)):
        E, slope = jax.value_and_grad(implementation)(o)
        assert np.isnan(E)
        assert not np.asarray(slope).any()


def test_that_outputs_as_short_as_the_least_length_are_kinks_and_all_there_are() -> None:
    o, t = np.array([[1.0, 0.5], [-0.5, 1.0], [1.0, 1.0]]), np.array([0, 1, 0])
    assert list(unlisted_loss_kinks(Ntxent(temperature=1.0, eps=4.0), o.shape, t)) == []
    assert next(unlisted_loss_kinks(_Forgotten(temperature=1.0, eps=4.0), o.shape, t), None) is not None
