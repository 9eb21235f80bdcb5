"""Activations with parameters: constants that a case names, and a weight that is learned, with a gradient of its own.

    gradagree run --ext examples/parametrised_activation.py --cases 20
    gradagree run --ext examples/parametrised_activation.py --cases 20 --activations 'bent_line(low=0.5,knee=1.0)'

The first judges both with their defaults, the second the one that is named, with these numbers.
"""

import numpy as np

from gradagree import Activation
from gradagree.reference import Weight


class BentLine(Activation):
    """A(p) = p above the knee, knee + low (p - knee) below: a line with a bend."""

    low: float = 0.25
    knee: float = -0.5

    @property
    def kinks(self):
        return (self.knee,)

    def value(self, p):
        return np.where(p > self.knee, p, self.knee + self.low * (p - self.knee))

    def derivative(self, p):
        return np.where(p > self.knee, 1.0, self.low)

    def torch(self, p, torch):
        return torch.where(p > self.knee, p, self.knee + self.low * (p - self.knee))

    def jax(self, p, jax):
        return jax.numpy.where(p > self.knee, p, self.knee + self.low * (p - self.knee))


class LearnedSine(Activation):
    """A(p) = p + a sin p, where a is a weight: each framework's derivative by a is judged too."""

    a: Weight = Weight(0.5)

    def value(self, p):
        return p + self.a * np.sin(p)

    def derivative(self, p):
        return 1 + self.a * np.cos(p)

    def by_a(self, p):
        return np.sin(p)

    def torch(self, p, torch):
        return p + self.a * torch.sin(p)

    def jax(self, p, jax):
        return p + self.a * jax.numpy.sin(p)
