"""Overlap losses of segmentation, over the batch or over each example."""

import jax
import jax.numpy as jnp
import numpy as np
import torch
from scipy.special import expit

from gradagree import ErrorFunction

BOTH = (-2, -1)


def total(x):
    return np.sum(x, axis=BOTH, keepdims=True)


class _OfSigmoid(ErrorFunction):
    """A loss of sums over the batch of s = s(o) and bits t."""

    targets = "bits"

    def _loss(self, s, t):
        """The loss from s, of shape (..., 1, 1), and its derivative by s."""
        raise NotImplementedError

    def value(self, o, t):
        return np.squeeze(self._loss(expit(o), t)[0], axis=BOTH)

    def sensitivity(self, o, t):
        s = expit(o)
        return self._loss(s, t)[1] * s * (1 - s)


class DiceOfBatch(_OfSigmoid):
    """1 - (2 sum s t + e) / (sum s + sum t + e), s = s(o)."""

    smooth: float = 1.0

    def _loss(self, s, t):
        top, bottom = 2 * total(s * t) + self.smooth, total(s) + total(t) + self.smooth
        return 1 - top / bottom, top / bottom**2 - 2 * t / bottom

    def torch(self, o, t, torch):
        s = torch.sigmoid(o).reshape(-1)
        t = t.reshape(-1)
        return 1 - (2.0 * (s * t).sum() + self.smooth) / (s.sum() + t.sum() + self.smooth)

    def jax(self, o, t, jax):
        s = jax.nn.sigmoid(o)
        return 1 - (2 * jnp.sum(s * t) + self.smooth) / (jnp.sum(s) + jnp.sum(t) + self.smooth)


class SquaredDice(_OfSigmoid):
    """1 - 2 sum s t / (sum s^2 + sum t^2 + e), s = s(o), as in V-Net."""

    smooth: float = 1e-2

    def _loss(self, s, t):
        top, bottom = 2 * total(s * t), total(s**2) + total(t**2) + self.smooth
        return 1 - top / bottom, 2 * s * top / bottom**2 - 2 * t / bottom

    def torch(self, o, t, torch):
        s = torch.sigmoid(o)
        return 1 - 2 * (s * t).sum() / ((s * s).sum() + (t * t).sum() + self.smooth)

    def jax(self, o, t, jax):
        s = jax.nn.sigmoid(o)
        return 1 - 2 * jnp.vdot(s, t) / (jnp.vdot(s, s) + jnp.vdot(t, t) + self.smooth)


class Tversky(_OfSigmoid):
    """1 - (tp + e) / (tp + alpha fp + beta fn + e), s = s(o)."""

    alpha: float = 0.3
    beta: float = 0.7
    smooth: float = 1.0

    def _ratio(self, s, t):
        tp, fp, fn = total(s * t), total(s * (1 - t)), total((1 - s) * t)
        top, bottom = tp + self.smooth, tp + self.alpha * fp + self.beta * fn + self.smooth
        by_bottom = t + self.alpha * (1 - t) - self.beta * t
        return top / bottom, t / bottom - top / bottom**2 * by_bottom

    def _loss(self, s, t):
        ratio, slope = self._ratio(s, t)
        return 1 - ratio, -slope

    def _index(self, s, t):
        tp, fp, fn = (s * t).sum(), (s * (1 - t)).sum(), ((1 - s) * t).sum()
        return (tp + self.smooth) / (tp + self.alpha * fp + self.beta * fn + self.smooth)

    def torch(self, o, t, torch):
        return 1 - self._index(torch.sigmoid(o).view(-1), t.view(-1))

    def jax(self, o, t, jax):
        return 1 - self._index(jax.nn.sigmoid(o), t)


class FocalTversky(Tversky):
    """(1 - tversky)^gamma."""

    gamma: float = 1.5

    def _loss(self, s, t):
        ratio, slope = self._ratio(s, t)
        return (1 - ratio) ** self.gamma, -self.gamma * (1 - ratio) ** (self.gamma - 1) * slope

    def torch(self, o, t, torch):
        return (1 - self._index(torch.sigmoid(o), t)) ** self.gamma

    def jax(self, o, t, jax):
        return (1 - self._index(jax.nn.sigmoid(o), t)) ** self.gamma


class Jaccard(_OfSigmoid):
    """1 - (sum s t + e) / (sum s + sum t - sum s t + e), s = s(o)."""

    smooth: float = 1.0

    def _loss(self, s, t):
        top, bottom = total(s * t) + self.smooth, total(s) + total(t) - total(s * t) + self.smooth
        return 1 - top / bottom, top / bottom**2 * (1 - t) - t / bottom

    def torch(self, o, t, torch):
        s = o.sigmoid()
        both = (s * t).sum()
        return 1 - (both + self.smooth) / ((s + t).sum() - both + self.smooth)

    def jax(self, o, t, jax):
        s = jax.nn.sigmoid(o)
        both = jnp.sum(s * t)
        return 1 - (both + self.smooth) / (jnp.sum(s + t) - both + self.smooth)


class LogCoshDice(DiceOfBatch):
    """log cosh of the dice loss."""

    def _loss(self, s, t):
        dice, slope = super()._loss(s, t)
        return np.log(np.cosh(dice)), np.tanh(dice) * slope

    def torch(self, o, t, torch):
        return torch.log(torch.cosh(super().torch(o, t, torch)))

    def jax(self, o, t, jax):
        return jnp.log(jnp.cosh(super().jax(o, t, jax)))


class DiceOfExamples(ErrorFunction):
    """mean over examples of 1 - (2 sum s t + e) / (sum s + sum t + e), s = s(o)."""

    targets = "bits"
    smooth: float = 1.0

    def value(self, o, t):
        s = expit(o)
        top = 2 * np.sum(s * t, axis=-1) + self.smooth
        return np.mean(1 - top / (np.sum(s, axis=-1) + np.sum(t, axis=-1) + self.smooth), axis=-1)

    def sensitivity(self, o, t):
        s = expit(o)
        top = 2 * np.sum(s * t, axis=-1, keepdims=True) + self.smooth
        bottom = np.sum(s, axis=-1, keepdims=True) + np.sum(t, axis=-1, keepdims=True) + self.smooth
        return (top / bottom**2 - 2 * t / bottom) * s * (1 - s) / o.shape[-2]

    def torch(self, o, t, torch):
        s = torch.sigmoid(o)
        return (1 - (2 * (s * t).sum(1) + self.smooth) / (s.sum(1) + t.sum(1) + self.smooth)).mean()

    def jax(self, o, t, jax):
        s = jax.nn.sigmoid(o)
        return jnp.mean(1 - (2 * (s * t).sum(1) + self.smooth) / (s.sum(1) + t.sum(1) + self.smooth))
