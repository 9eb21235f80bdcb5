"""Activations with branches and kinks, as model libraries write them: clamps, masks, where, and in-place operations."""

import jax
import jax.numpy as jnp
import numpy as np
import torch
import torch.nn.functional as F
from scipy.special import erf, expit

from gradagree import Activation

ROOT_2, ROOT_2_PI = float(np.sqrt(2.0)), float(np.sqrt(2.0 * np.pi))


class SquaredRelu(Activation):
    """A(p) = max(p, 0)^2, as in Primer."""

    def value(self, p):
        return np.maximum(p, 0) ** 2

    def derivative(self, p):
        return 2 * np.maximum(p, 0)

    def torch(self, p, torch):
        return torch.square(F.relu(p))

    def jax(self, p, jax):
        return jnp.square(jax.nn.relu(p))


class HardMish(Activation):
    """A(p) = p/2 min(2, max(0, p + 2))."""

    kinks = (-2.0,)

    def value(self, p):
        return 0.5 * p * np.clip(p + 2, 0, 2)

    def derivative(self, p):
        return np.where(p > 0, 1.0, np.where(p > -2, p + 1, 0.0))

    def torch(self, p, torch):
        return 0.5 * p * (p + 2).clamp(min=0, max=2)

    def jax(self, p, jax):
        return 0.5 * p * jnp.clip(p + 2, 0, 2)


class HardSwishOfRelu6(Activation):
    """A(p) = p min(max(p + 3, 0), 6) / 6."""

    kinks = (-3.0, 3.0)

    def value(self, p):
        return p * np.minimum(np.maximum(p + 3, 0), 6) / 6

    def derivative(self, p):
        return np.where(p <= -3, 0.0, np.where(p >= 3, 1.0, (2 * p + 3) / 6))

    def torch(self, p, torch):
        return p * F.relu6(p + 3.0) / 6.0

    def jax(self, p, jax):
        return p * (jax.nn.relu6(p + 3.0) / 6.0)


class HardSigmoidOfKeras(Activation):
    """A(p) = max(0, min(1, 0.2 p + 0.5))."""

    kinks = (-2.5, 2.5)

    def value(self, p):
        return np.maximum(0, np.minimum(1, 0.2 * p + 0.5))

    def derivative(self, p):
        return np.where(np.abs(p) < 2.5, 0.2, 0.0)

    def torch(self, p, torch):
        return torch.clamp(0.2 * p + 0.5, 0.0, 1.0)

    def jax(self, p, jax):
        return jnp.clip(0.2 * p + 0.5, 0.0, 1.0)


class Elish(Activation):
    """A(p) = p s(p) for p >= 0, else (exp(p) - 1) s(p)."""

    def value(self, p):
        return np.where(p >= 0, p, np.expm1(np.minimum(p, 0))) * expit(p)

    def derivative(self, p):
        s, e = expit(p), np.exp(np.minimum(p, 0))
        return np.where(p >= 0, s + p * s * (1 - s), e * s + (e - 1) * s * (1 - s))

    def torch(self, p, torch):
        return torch.where(p >= 0, p, torch.expm1(p.clamp(max=0))) * torch.sigmoid(p)

    def jax(self, p, jax):
        return jnp.where(p >= 0, p, jnp.exp(jnp.minimum(p, 0)) - 1) * jax.nn.sigmoid(p)


class PenalizedTanh(Activation):
    """A(p) = tanh p for p > 0, else tanh(p) / 4."""

    kinks = (0.0,)

    def value(self, p):
        return np.where(p > 0, np.tanh(p), 0.25 * np.tanh(p))

    def derivative(self, p):
        return np.where(p > 0, 1.0, 0.25) * (1 - np.tanh(p) ** 2)

    def torch(self, p, torch):
        t = torch.tanh(p)
        return torch.where(p > 0, t, 0.25 * t)

    def jax(self, p, jax):
        return jnp.where(p > 0, jnp.tanh(p), 0.25 * jnp.tanh(p))


class Isrlu(Activation):
    """A(p) = p for p >= 0, else p / sqrt(1 + alpha p^2)."""

    alpha: float = 1.0

    def value(self, p):
        return np.where(p >= 0, p, p / np.sqrt(1 + self.alpha * p**2))

    def derivative(self, p):
        return np.where(p >= 0, 1.0, (1 / np.sqrt(1 + self.alpha * p**2)) ** 3)

    def torch(self, p, torch):
        return torch.where(p >= 0, p, p / torch.sqrt(1 + self.alpha * p**2))

    def jax(self, p, jax):
        return jnp.where(p >= 0, p, p / jnp.sqrt(1 + self.alpha * p**2))


class FlattenTSwish(Activation):
    """A(p) = p s(p) + t for p >= 0, else t."""

    t: float = -0.2
    kinks = (0.0,)

    def value(self, p):
        return np.where(p >= 0, p * expit(p), 0.0) + self.t

    def derivative(self, p):
        s = expit(p)
        return np.where(p >= 0, s + p * s * (1 - s), 0.0)

    def torch(self, p, torch):
        return F.relu(p) * torch.sigmoid(p) + self.t

    def jax(self, p, jax):
        return jax.nn.relu(p) * jax.nn.sigmoid(p) + self.t


class Smelu(Activation):
    """A(p) = 0 below -beta, (p + beta)^2 / (4 beta) up to beta, p above."""

    beta: float = 1.5

    def value(self, p):
        b = self.beta
        return np.where(p >= b, p, np.where(p <= -b, 0.0, (p + b) ** 2 / (4 * b)))

    def derivative(self, p):
        b = self.beta
        return np.where(p >= b, 1.0, np.where(p <= -b, 0.0, (p + b) / (2 * b)))

    def torch(self, p, torch):
        middle = torch.where(torch.abs(p) <= self.beta, (p + self.beta) ** 2 / (4 * self.beta), torch.zeros_like(p))
        return torch.where(p > self.beta, p, middle)

    def jax(self, p, jax):
        return jnp.where(
            p >= self.beta, p, jnp.where(p <= -self.beta, 0.0, jnp.square(p + self.beta) / (4.0 * self.beta))
        )


class SeluByHand(Activation):
    """A(p) = scale (max(0, p) + min(0, alpha (exp(p) - 1)))."""

    alpha: float = 1.6732632423543772
    scale: float = 1.0507009873554805
    kinks = (0.0,)

    def value(self, p):
        return self.scale * np.where(p > 0, p, self.alpha * np.expm1(np.minimum(p, 0)))

    def derivative(self, p):
        return self.scale * np.where(p > 0, 1.0, self.alpha * np.exp(np.minimum(p, 0)))

    def torch(self, p, torch):
        return self.scale * torch.where(p > 0, p, self.alpha * (torch.exp(p.clamp(max=0)) - 1))

    def jax(self, p, jax):
        safe = jnp.where(p > 0, 0.0, p)
        return self.scale * jnp.where(p > 0, p, self.alpha * jnp.expm1(safe))


class EluOfMasks(Activation):
    """A(p) = p for p > 0, else alpha (exp(p) - 1), by products with masks."""

    alpha: float = 1.0

    def value(self, p):
        return np.where(p > 0, p, self.alpha * (np.exp(np.minimum(p, 0)) - 1))

    def derivative(self, p):
        return np.where(p > 0, 1.0, self.alpha * np.exp(np.minimum(p, 0)))

    def torch(self, p, torch):
        above = (p > 0).to(p.dtype)
        return above * p + (1 - above) * self.alpha * (torch.exp(torch.minimum(p, torch.zeros_like(p))) - 1)

    def jax(self, p, jax):
        above = (p > 0).astype(p.dtype)
        return above * p + (1 - above) * self.alpha * (jnp.exp(jnp.minimum(p, 0)) - 1)


class InPlaceRelu(Activation):
    """A(p) = max(p, 0), in the array of p."""

    kinks = (0.0,)

    def value(self, p):
        return np.maximum(p, 0)

    def derivative(self, p):
        return np.where(p > 0, 1.0, 0.0)

    def torch(self, p, torch):
        return p.relu_()

    def jax(self, p, jax):
        return p.at[p < 0].set(0) if p.ndim == 0 else jnp.where(p > 0, p, 0)


class InPlaceSwish(Activation):
    """A(p) = p s(p), in the array of p."""

    def value(self, p):
        return p * expit(p)

    def derivative(self, p):
        s = expit(p)
        return s * (1 + p * (1 - s))

    def torch(self, p, torch):
        return p.mul_(p.sigmoid())


class InPlaceHardSwish(Activation):
    """A(p) = p relu6(p + 3) / 6, in the array of p, as timm writes it."""

    kinks = (-3.0, 3.0)

    def value(self, p):
        return p * np.clip(p + 3, 0, 6) / 6

    def derivative(self, p):
        return np.where(p <= -3, 0.0, np.where(p >= 3, 1.0, (2 * p + 3) / 6))

    def torch(self, p, torch):
        inner = F.relu6(p + 3.0).div_(6.0)
        return p.mul_(inner)


class InPlaceMaskedFill(Activation):
    """A(p) = p for p > 0, else slope p, by an assignment to a copy's masked entries."""

    slope: float = 0.125
    kinks = (0.0,)

    def value(self, p):
        return np.where(p > 0, p, self.slope * p)

    def derivative(self, p):
        return np.where(p > 0, 1.0, self.slope)

    def torch(self, p, torch):
        out = p.clone()
        below = p <= 0
        out[below] *= self.slope
        return out

    def jax(self, p, jax):
        return jax.lax.select(p > 0, p, self.slope * p)


class ClippedGelu(Activation):
    """A(p) = min(max(gelu(p), low), high), as transformers clip for quantization."""

    low: float = -10.0
    high: float = 10.0
    kinks = (10.0,)

    def _gelu(self, p):
        return 0.5 * p * (1 + erf(p / ROOT_2))

    def value(self, p):
        return np.clip(self._gelu(p), self.low, self.high)

    def derivative(self, p):
        slope = 0.5 * (1 + erf(p / ROOT_2)) + p * np.exp(-0.5 * p**2) / ROOT_2_PI
        return np.where(p < 10, slope, 0.0)

    def torch(self, p, torch):
        return torch.clip(F.gelu(p), self.low, self.high)

    def jax(self, p, jax):
        return jnp.clip(jax.nn.gelu(p, approximate=False), self.low, self.high)


class Lisht(Activation):
    """A(p) = p tanh p."""

    def value(self, p):
        return p * np.tanh(p)

    def derivative(self, p):
        t = np.tanh(p)
        return t + p * (1 - t**2)

    def torch(self, p, torch):
        return p.mul(p.tanh())

    def jax(self, p, jax):
        return p * jnp.tanh(p)


class ThresholdedRelu(Activation):
    """A(p) = max(p - theta, 0) + theta s(p)."""

    theta: float = 0.75
    kinks = (0.75,)

    def value(self, p):
        return np.maximum(p - self.theta, 0) + self.theta * expit(p)

    def derivative(self, p):
        s = expit(p)
        return np.where(p > self.theta, 1.0, 0.0) + self.theta * s * (1 - s)

    def torch(self, p, torch):
        return F.threshold(p, self.theta, self.theta) - self.theta + self.theta * torch.sigmoid(p)

    def jax(self, p, jax):
        return jax.nn.relu(p - self.theta) + self.theta * jax.nn.sigmoid(p)


class ReluOfAbs(Activation):
    """A(p) = (p + |p|) / 2."""

    kinks = (0.0,)

    def value(self, p):
        return 0.5 * (p + np.abs(p))

    def derivative(self, p):
        return 0.5 * (1 + np.sign(p))

    def torch(self, p, torch):
        return 0.5 * (p + p.abs())

    def jax(self, p, jax):
        return 0.5 * (p + jnp.abs(p))


class SoftShrinkByHand(Activation):
    """A(p) = sign(p) max(|p| - lam, 0)."""

    lam: float = 0.5
    kinks = (-0.5, 0.5)

    def value(self, p):
        return np.sign(p) * np.maximum(np.abs(p) - self.lam, 0)

    def derivative(self, p):
        return np.where(np.abs(p) > self.lam, 1.0, 0.0)

    def torch(self, p, torch):
        return torch.sign(p) * F.relu(torch.abs(p) - self.lam)

    def jax(self, p, jax):
        return jnp.sign(p) * jnp.maximum(jnp.abs(p) - self.lam, 0.0)
