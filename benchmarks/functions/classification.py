"""Losses of classification: binary, multi-class, focal, smoothed, robust and ordinal cross-entropies, and margins."""

import jax
import jax.numpy as jnp
import numpy as np
import torch
import torch.nn.functional as F
from scipy.special import expit, log_expit

from gradagree import ErrorFunction

BOTH = (-2, -1)


def count(o):
    return o.shape[-1] * o.shape[-2]


def log_softmax(o):
    return o - np.logaddexp.reduce(o, axis=-1, keepdims=True)


def softmax(o):
    return np.exp(log_softmax(o))


def one_hot(t, n):
    return np.where(t[..., None] == np.arange(n), 1.0, 0.0)


class BceOfLogSigmoid(ErrorFunction):
    """mean of -t log s(o) - (1 - t) log s(-o), as optax has it."""

    targets = "bits"

    def value(self, o, t):
        return np.mean(-t * log_expit(o) - (1 - t) * log_expit(-o), axis=BOTH)

    def sensitivity(self, o, t):
        return (expit(o) - t) / count(o)

    def torch(self, o, t, torch):
        return -(t * F.logsigmoid(o) + (1 - t) * F.logsigmoid(-o)).mean()

    def jax(self, o, t, jax):
        return jnp.mean(-t * jax.nn.log_sigmoid(o) - (1 - t) * jax.nn.log_sigmoid(-o))


class BceOfSoftplus(ErrorFunction):
    """sum of softplus(o) - t o."""

    targets = "bits"

    def value(self, o, t):
        return np.sum(np.logaddexp(o, 0) - t * o, axis=BOTH)

    def sensitivity(self, o, t):
        return expit(o) - t

    def torch(self, o, t, torch):
        return F.binary_cross_entropy_with_logits(o, t, reduction="sum")

    def jax(self, o, t, jax):
        return jnp.sum(jax.nn.softplus(o) - t * o)


class BceOfSigmoid(ErrorFunction):
    """mean of -t log(s + eps) - (1 - t) log(1 - s + eps), s = s(o), as tutorials write it."""

    targets = "bits"
    eps: float = 1e-3

    def value(self, o, t):
        s = expit(o)
        return np.mean(-t * np.log(s + self.eps) - (1 - t) * np.log(1 - s + self.eps), axis=BOTH)

    def sensitivity(self, o, t):
        s = expit(o)
        return ((1 - t) / (1 - s + self.eps) - t / (s + self.eps)) * s * (1 - s) / count(o)

    def torch(self, o, t, torch):
        s = torch.sigmoid(o)
        return -(t * torch.log(s + self.eps) + (1 - t) * torch.log(1 - s + self.eps)).mean()

    def jax(self, o, t, jax):
        s = jax.nn.sigmoid(o)
        return -jnp.mean(t * jnp.log(s + self.eps) + (1 - t) * jnp.log(1 - s + self.eps))


class FocalOfTorchvision(ErrorFunction):
    """mean of alpha_t (1 - p_t)^gamma BCE(o, t), as in torchvision.ops."""

    targets = "bits"
    alpha: float = 0.25
    gamma: float = 2.0

    def value(self, o, t):
        z = np.where(t > 0.5, o, -o)
        weight = np.where(t > 0.5, self.alpha, 1 - self.alpha)
        return np.mean(-weight * expit(-z) ** self.gamma * log_expit(z), axis=BOTH)

    def sensitivity(self, o, t):
        side = np.where(t > 0.5, 1.0, -1.0)
        z = side * o
        q = expit(-z)
        weight = np.where(t > 0.5, self.alpha, 1 - self.alpha)
        slope = self.gamma * q**self.gamma * expit(z) * log_expit(z) - q ** (self.gamma + 1)
        return weight * side * slope / count(o)

    def torch(self, o, t, torch):
        p = torch.sigmoid(o)
        ce = F.binary_cross_entropy_with_logits(o, t, reduction="none")
        p_t = p * t + (1 - p) * (1 - t)
        alpha_t = self.alpha * t + (1 - self.alpha) * (1 - t)
        return (alpha_t * ce * (1 - p_t) ** self.gamma).mean()

    def jax(self, o, t, jax):
        p = jax.nn.sigmoid(o)
        ce = jnp.maximum(o, 0) - o * t + jnp.log1p(jnp.exp(-jnp.abs(o)))
        p_t = p * t + (1 - p) * (1 - t)
        alpha_t = self.alpha * t + (1 - self.alpha) * (1 - t)
        return jnp.mean(alpha_t * ce * (1 - p_t) ** self.gamma)


class PolyBce(ErrorFunction):
    """mean of BCE(o, t) + eps (1 - p_t)."""

    targets = "bits"
    eps: float = 1.5

    def value(self, o, t):
        z = np.where(t > 0.5, o, -o)
        return np.mean(np.logaddexp(-z, 0) + self.eps * expit(-z), axis=BOTH)

    def sensitivity(self, o, t):
        side = np.where(t > 0.5, 1.0, -1.0)
        q = expit(-side * o)
        return -side * (q + self.eps * q * (1 - q)) / count(o)

    def torch(self, o, t, torch):
        p = torch.sigmoid(o)
        p_t = t * p + (1 - t) * (1 - p)
        return (F.binary_cross_entropy_with_logits(o, t, reduction="none") + self.eps * (1 - p_t)).mean()

    def jax(self, o, t, jax):
        z = jnp.where(t > 0.5, o, -o)
        return jnp.mean(jax.nn.softplus(-z) + self.eps * jax.nn.sigmoid(-z))


class LabelSmoothing(ErrorFunction):
    """mean of (1 - e) nll + e mean_c(-log p_c), as in timm."""

    targets = "classes"
    smoothing: float = 0.1

    def value(self, o, t):
        logs = log_softmax(o)
        nll = -np.sum(one_hot(t, o.shape[-1]) * logs, axis=-1)
        smooth = -np.mean(logs, axis=-1)
        return np.mean((1 - self.smoothing) * nll + self.smoothing * smooth, axis=-1)

    def sensitivity(self, o, t):
        n = o.shape[-1]
        y = (1 - self.smoothing) * one_hot(t, n) + self.smoothing / n
        return (softmax(o) - y) / o.shape[-2]

    def torch(self, o, t, torch):
        logprobs = F.log_softmax(o, dim=-1)
        nll = -logprobs.gather(dim=-1, index=t.unsqueeze(1)).squeeze(1)
        smooth = -logprobs.mean(dim=-1)
        return ((1.0 - self.smoothing) * nll + self.smoothing * smooth).mean()

    def jax(self, o, t, jax):
        n = o.shape[-1]
        y = (1 - self.smoothing) * jax.nn.one_hot(t, n, dtype=o.dtype) + self.smoothing / n
        return -jnp.mean(jnp.sum(y * jax.nn.log_softmax(o), axis=-1))


class SoftTargets(ErrorFunction):
    """mean over examples of -sum_c t_c log softmax_c(o)."""

    targets = "simplex"

    def value(self, o, t):
        return np.mean(-np.sum(t * log_softmax(o), axis=-1), axis=-1)

    def sensitivity(self, o, t):
        return (softmax(o) * np.sum(t, axis=-1, keepdims=True) - t) / o.shape[-2]

    def torch(self, o, t, torch):
        return torch.sum(-t * F.log_softmax(o, dim=-1), dim=-1).mean()

    def jax(self, o, t, jax):
        return jnp.mean(-jnp.sum(t * jax.nn.log_softmax(o, axis=-1), axis=-1))


class FocalOfClasses(ErrorFunction):
    """mean of (1 - p_t)^gamma (-log p_t), p = softmax(o)."""

    targets = "classes"
    gamma: float = 2.0

    def _log(self, o, t):
        return np.sum(one_hot(t, o.shape[-1]) * log_softmax(o), axis=-1, keepdims=True)

    def value(self, o, t):
        log = self._log(o, t)
        return np.mean(np.squeeze(-((1 - np.exp(log)) ** self.gamma) * log, axis=-1), axis=-1)

    def sensitivity(self, o, t):
        log = self._log(o, t)
        p = np.exp(log)
        slope = self.gamma * (1 - p) ** (self.gamma - 1) * p * log - (1 - p) ** self.gamma
        return slope * (one_hot(t, o.shape[-1]) - softmax(o)) / o.shape[-2]

    def torch(self, o, t, torch):
        ce = F.cross_entropy(o, t, reduction="none")
        return ((1 - torch.exp(-ce)) ** self.gamma * ce).mean()

    def jax(self, o, t, jax):
        log = jnp.take_along_axis(jax.nn.log_softmax(o, axis=-1), t[:, None], axis=-1)[:, 0]
        return -jnp.mean((1 - jnp.exp(log)) ** self.gamma * log)


class NllOfLogsumexp(ErrorFunction):
    """sum of logsumexp(o) - o_t, and a z-loss: z logsumexp(o)^2."""

    targets = "classes"
    z: float = 0.125

    def value(self, o, t):
        log = np.logaddexp.reduce(o, axis=-1)
        return np.sum(log - np.sum(one_hot(t, o.shape[-1]) * o, axis=-1) + self.z * log**2, axis=-1)

    def sensitivity(self, o, t):
        log = np.logaddexp.reduce(o, axis=-1, keepdims=True)
        return np.exp(o - log) * (1 + 2 * self.z * log) - one_hot(t, o.shape[-1])

    def torch(self, o, t, torch):
        log = torch.logsumexp(o, dim=-1)
        return (log - o.gather(-1, t[:, None]).squeeze(-1) + self.z * log**2).sum()

    def jax(self, o, t, jax):
        log = jax.nn.logsumexp(o, axis=-1)
        return jnp.sum(log - jnp.take_along_axis(o, t[:, None], -1)[:, 0] + self.z * jnp.square(log))


class GeneralizedCrossEntropy(ErrorFunction):
    """mean of (1 - p_t^q) / q, p = softmax(o)."""

    targets = "classes"
    q: float = 0.7

    def value(self, o, t):
        p = np.sum(one_hot(t, o.shape[-1]) * softmax(o), axis=-1)
        return np.mean((1 - p**self.q) / self.q, axis=-1)

    def sensitivity(self, o, t):
        y = one_hot(t, o.shape[-1])
        p = np.sum(y * softmax(o), axis=-1, keepdims=True)
        return -(p**self.q) * (y - softmax(o)) / o.shape[-2]

    def torch(self, o, t, torch):
        p = F.softmax(o, dim=1).gather(1, t[:, None]).squeeze(1)
        return ((1 - p**self.q) / self.q).mean()

    def jax(self, o, t, jax):
        log = jnp.take_along_axis(jax.nn.log_softmax(o), t[:, None], axis=1)[:, 0]
        return jnp.mean((1 - jnp.exp(self.q * log)) / self.q)


class Distillation(ErrorFunction):
    """T^2 mean over examples of KL(softmax(t/T), softmax(o/T))."""

    temperature: float = 2.0

    def value(self, o, t):
        a, b = log_softmax(o / self.temperature), log_softmax(t / self.temperature)
        return self.temperature**2 * np.mean(np.sum(np.exp(b) * (b - a), axis=-1), axis=-1)

    def sensitivity(self, o, t):
        return self.temperature * (softmax(o / self.temperature) - softmax(t / self.temperature)) / o.shape[-2]

    def torch(self, o, t, torch):
        a = F.log_softmax(o / self.temperature, dim=-1)
        b = F.softmax(t / self.temperature, dim=-1)
        return F.kl_div(a, b, reduction="batchmean") * self.temperature**2

    def jax(self, o, t, jax):
        a, b = jax.nn.log_softmax(o / self.temperature), jax.nn.log_softmax(t / self.temperature)
        return self.temperature**2 * jnp.mean(jnp.sum(jnp.exp(b) * (b - a), axis=-1))


class JensenShannon(ErrorFunction):
    """mean over examples of (KL(p, m) + KL(t, m)) / 2, p = softmax(o), m = (p + t) / 2."""

    targets = "simplex"

    def value(self, o, t):
        p, log_p = softmax(o), log_softmax(o)
        log_m = np.log(0.5 * (p + t))
        terms = p * (log_p - log_m) + t * (np.log(t) - log_m)
        return 0.5 * np.mean(np.sum(terms, axis=-1), axis=-1)

    def sensitivity(self, o, t):
        p = softmax(o)
        ratio = 0.5 * (log_softmax(o) - np.log(0.5 * (p + t)))
        return p * (ratio - np.sum(p * ratio, axis=-1, keepdims=True)) / o.shape[-2]

    def torch(self, o, t, torch):
        p = F.softmax(o, dim=-1)
        log_m = torch.log(0.5 * (p + t))
        return 0.5 * (p * (F.log_softmax(o, dim=-1) - log_m) + t * (torch.log(t) - log_m)).sum(-1).mean()

    def jax(self, o, t, jax):
        p = jax.nn.softmax(o)
        log_m = jnp.log(0.5 * (p + t))
        return 0.5 * jnp.mean(jnp.sum(p * (jax.nn.log_softmax(o) - log_m) + t * (jnp.log(t) - log_m), axis=-1))


class Brier(ErrorFunction):
    """mean over examples of sum_c (softmax_c(o) - y_c)^2."""

    targets = "classes"

    def value(self, o, t):
        return np.mean(np.sum((softmax(o) - one_hot(t, o.shape[-1])) ** 2, axis=-1), axis=-1)

    def sensitivity(self, o, t):
        p = softmax(o)
        d = 2 * (p - one_hot(t, o.shape[-1]))
        return p * (d - np.sum(p * d, axis=-1, keepdims=True)) / o.shape[-2]

    def torch(self, o, t, torch):
        y = F.one_hot(t, o.shape[-1]).to(o.dtype)
        return ((F.softmax(o, dim=-1) - y) ** 2).sum(-1).mean()

    def jax(self, o, t, jax):
        return jnp.mean(jnp.sum((jax.nn.softmax(o) - jax.nn.one_hot(t, o.shape[-1], dtype=o.dtype)) ** 2, axis=-1))


class SquaredHinge(ErrorFunction):
    """mean of max(0, 1 - t o)^2."""

    targets = "signs"

    def value(self, o, t):
        return np.mean(np.maximum(1 - t * o, 0) ** 2, axis=BOTH)

    def sensitivity(self, o, t):
        return -2 * t * np.maximum(1 - t * o, 0) / count(o)

    def torch(self, o, t, torch):
        return torch.clamp(1 - t * o, min=0).pow(2).mean()

    def jax(self, o, t, jax):
        return jnp.mean(jnp.square(jnp.maximum(1 - t * o, 0)))


class ModifiedHuber(ErrorFunction):
    """mean of max(0, 1 - t o)^2 for t o >= -1, else -4 t o."""

    targets = "signs"

    def value(self, o, t):
        z = t * o
        return np.mean(np.where(z >= -1, np.maximum(1 - z, 0) ** 2, -4 * z), axis=BOTH)

    def sensitivity(self, o, t):
        z = t * o
        return t * np.where(z >= -1, -2 * np.maximum(1 - z, 0), -4.0) / count(o)

    def torch(self, o, t, torch):
        z = t * o
        return torch.where(z >= -1, F.relu(1 - z) ** 2, -4 * z).mean()

    def jax(self, o, t, jax):
        z = t * o
        return jnp.mean(jnp.where(z >= -1, jax.nn.relu(1 - z) ** 2, -4 * z))


class Exponential(ErrorFunction):
    """mean of exp(-t o), AdaBoost's."""

    targets = "signs"

    def value(self, o, t):
        return np.mean(np.exp(-t * o), axis=BOTH)

    def sensitivity(self, o, t):
        return -t * np.exp(-t * o) / count(o)

    def torch(self, o, t, torch):
        return torch.exp(-t * o).mean()

    def jax(self, o, t, jax):
        return jnp.mean(jnp.exp(-t * o))


class Ordinal(ErrorFunction):
    """sum over thresholds of BCE(o_k, [k < t]) averaged over examples, as in CORAL."""

    targets = "classes"

    def _levels(self, o, t):
        return np.where(np.arange(o.shape[-1]) < t[..., None], 1.0, 0.0)

    def value(self, o, t):
        levels = self._levels(o, t)
        return np.mean(np.sum(np.logaddexp(o, 0) - levels * o, axis=-1), axis=-1)

    def sensitivity(self, o, t):
        return (expit(o) - self._levels(o, t)) / o.shape[-2]

    def torch(self, o, t, torch):
        levels = (torch.arange(o.shape[-1]) < t[:, None]).to(o.dtype)
        return -torch.sum(F.logsigmoid(o) * levels + (F.logsigmoid(o) - o) * (1 - levels), dim=1).mean()

    def jax(self, o, t, jax):
        levels = (jnp.arange(o.shape[-1]) < t[:, None]).astype(o.dtype)
        return -jnp.mean(jnp.sum(jax.nn.log_sigmoid(o) * levels + (jax.nn.log_sigmoid(o) - o) * (1 - levels), axis=1))


class CrossEntropyFunction(torch.autograd.Function):
    @staticmethod
    def forward(ctx, o, t):
        p = torch.softmax(o, dim=-1)
        ctx.save_for_backward(p, t)
        return (torch.logsumexp(o, dim=-1) - o.gather(1, t[:, None]).squeeze(1)).mean()

    @staticmethod
    def backward(ctx, g):
        p, t = ctx.saved_tensors
        d = p.clone()
        d[torch.arange(len(t)), t] -= 1
        return g * d / len(t), None


class OldStyleCrossEntropy(ErrorFunction):
    """mean of -log softmax_t(o): an old-style function, and a custom_jvp."""

    targets = "classes"

    def value(self, o, t):
        return np.mean(-np.sum(one_hot(t, o.shape[-1]) * log_softmax(o), axis=-1), axis=-1)

    def sensitivity(self, o, t):
        return (softmax(o) - one_hot(t, o.shape[-1])) / o.shape[-2]

    def torch(self, o, t, torch):
        return CrossEntropyFunction.apply(o, t)

    def jax(self, o, t, jax):
        y = jax.nn.one_hot(t, o.shape[-1], dtype=o.dtype)
        return jnp.mean(cross_entropy_of_jvp(o, y))


@jax.custom_jvp
def cross_entropy_of_jvp(o, y):
    return jax.nn.logsumexp(o, axis=-1) - jnp.sum(y * o, axis=-1)


cross_entropy_of_jvp.defjvps(
    lambda d, out, o, y: jnp.sum((jax.nn.softmax(o, axis=-1) - y) * d, axis=-1),
    lambda d, out, o, y: -jnp.sum(d * o, axis=-1),
)
