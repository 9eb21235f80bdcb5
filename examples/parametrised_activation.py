"""Activations with parameters: constants in the text of a case, and a trainable weight with its own gradient.

    gradagree run --ext examples/parametrised_activation.py --cases 20
    gradagree run --ext examples/parametrised_activation.py --cases 20 --activations 'bent_line(low=0.5,knee=1.0)'

The first command checks both functions with their defaults, the second one function with the given parameters.
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
    """A(p) = p + a sin p, where a is trainable: its gradient is checked, too."""

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
