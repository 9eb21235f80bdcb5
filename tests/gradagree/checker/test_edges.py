"""Edges of branches: a program may have the number itself in the other branch, whose formula rounds."""

import numpy as np
import pytest

from gradagree.api import check
from gradagree.arithmetic.model import model
from gradagree.arithmetic.rounded import Rounded
from gradagree.checker.allowances import ActivationBounds, ToleranceOptions
from gradagree.reference import Activation

BETA = 1.5


class SmoothRelu(Activation):
    """A(p) = 0 below -beta, (p + beta)^2 / (4 beta) up to beta, p above."""

    def value(self, p):
        return np.where(p >= BETA, p, np.where(p <= -BETA, 0.0, (p + BETA) ** 2 / (4 * BETA)))

    def derivative(self, p):
        return np.where(p >= BETA, 1.0, np.where(p <= -BETA, 0.0, (p + BETA) / (2 * BETA)))

    def torch(self, p, torch):
        return torch.where(p > BETA, p, torch.where(p < -BETA, 0.0, (p + BETA) ** 2 / (4 * BETA)))


class Ramp(Activation):
    """A(p) = min(max(p, -1.5), 1.5)."""

    kinks = (-BETA, BETA)

    def value(self, p):
        return np.where(p >= BETA, BETA, np.where(p <= -BETA, -BETA, p))

    def derivative(self, p):
        return np.where((p >= BETA) | (p <= -BETA), 0.0, 1.0)


class Doubled(Activation):
    """A(p) = (max(p, 0), max(-p, 0)): twice the width."""

    def width(self, n):
        return 2 * n

    def value(self, p):
        return np.concatenate([np.maximum(p, 0), np.maximum(-p, 0)], axis=-1)

    def vjp(self, p, delta_a):
        n = p.shape[-1]
        return np.where(p > 0, delta_a[..., :n], 0.0) - np.where(p < 0, delta_a[..., n:], 0.0)

    def torch(self, p, torch):
        return torch.cat([torch.relu(p), torch.relu(-p)], dim=-1)

    def jax(self, p, jax):
        return jax.nn.relu(jax.numpy.concatenate([p, -p], axis=-1))


OWN = (SmoothRelu, Ramp, Doubled)
for kind in OWN:
    kind.catalogue.pop(kind.name)


@pytest.fixture(autouse=True)
def _in_the_catalogue(monkeypatch):
    for kind in OWN:
        monkeypatch.setitem(kind.catalogue, kind.name, kind)


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("part", ["value", "derivative"])
def test_that_the_other_branch_may_round_at_its_edge(part, dtype):
    p = Rounded.stored(np.array([-BETA, 1.0, BETA, 2 * BETA]), model(dtype))
    found = getattr(ActivationBounds(SmoothRelu(), ToleranceOptions()), part)(p)
    u = p.model.u
    assert 2 * u < found.radius[2] < 32 * u
    assert found.radius[3] == 0


def test_that_a_jump_is_no_rounding():
    p = Rounded.stored(np.array([-BETA, BETA]), model("float32"))
    assert not ActivationBounds(Ramp(), ToleranceOptions()).derivative(p).radius.any()


@pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated")
def test_that_an_edge_is_no_false_alarm():
    records = check(SmoothRelu)
    assert not [record for record in records if record.verdict.fails]


@pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated")
def test_that_rows_of_twice_the_width_are_checked_at_every_size():
    records = check(Doubled)
    assert not [record for record in records if record.verdict.fails]
    assert any("257" in record.spec for record in records)
