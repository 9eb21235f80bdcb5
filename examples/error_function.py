"""A user's loss function: an output that is too large costs more than one that is too small.

    gradagree run --ext examples/error_function.py --cases 20

value sums over the last two axes (examples, outputs); sensitivity has the shape of o.
"""

import numpy as np

from gradagree import ErrorFunction


class Lopsided(ErrorFunction):
    """E = sum_i d_i^2 (above if d_i > 0 else 1), where d = o - t."""

    above: float = 4.0

    def value(self, o, t):
        d = o - t
        return np.sum(np.where(d > 0, self.above * d**2, d**2), axis=(-2, -1))

    def sensitivity(self, o, t):
        d = o - t
        return np.where(d > 0, 2 * self.above * d, 2 * d)

    def torch(self, o, t, torch):
        d = o - t
        return torch.where(d > 0, self.above * d**2, d**2).sum()

    def jax(self, o, t, jax):
        d = o - t
        return jax.numpy.sum(jax.numpy.where(d > 0, self.above * d**2, d**2))
