"""The error functions of yes and no, entry by entry: targets are bits 0 and 1, or signs -1 and 1."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import expit

from gradagree.reference.reductions import _EntryByEntry


class BinaryCrossEntropyOnLogits(_EntryByEntry):
    """E = mean_i w (pos_weight t_i log(1 + exp(-o_i)) + (1 - t_i) log(1 + exp(o_i))), from the logits o.

    weight and pos_weight are one number, or one for each output.
    """

    name = "bce_logits"
    targets = "bits"
    weight: float | tuple[float, ...] = 1.0
    pos_weight: float | tuple[float, ...] = 1.0

    def _entry(self, o: Any, t: Any) -> Any:
        yes = np.asarray(self.pos_weight) * t
        return np.asarray(self.weight) * (yes * np.logaddexp(-o, 0) + (1 - t) * np.logaddexp(o, 0))

    def _slope(self, o: Any, t: Any) -> Any:
        yes = np.asarray(self.pos_weight) * t
        return np.asarray(self.weight) * ((1 - t + yes) * expit(o) - yes)

    def torch(self, o, t, torch):
        w, pos = (torch.as_tensor(x, dtype=o.dtype) for x in (self.weight, self.pos_weight))
        e = torch.nn.functional.binary_cross_entropy_with_logits(o, t, w, reduction=self.reduction, pos_weight=pos)
        return self._gathered(e, torch.as_tensor)

    def jax(self, o, t, jax):
        log_s, (w, pos) = jax.nn.log_sigmoid, (jax.numpy.asarray(x, o.dtype) for x in (self.weight, self.pos_weight))
        return self._gathered(-w * (pos * t * log_s(o) + (1 - t) * log_s(-o)), jax.numpy.asarray)

    def optax(self, o, t, optax, jax):
        if (self.weight, self.pos_weight) != (1, 1):
            return None
        return self._gathered(optax.sigmoid_binary_cross_entropy(o, t), jax.numpy.asarray)


class BinaryCrossEntropy(_EntryByEntry):
    """E = -mean_i w (t_i log o_i + (1 - t_i) log(1 - o_i)), of probabilities o."""

    name = "bce"
    targets = "bits"
    domain = "unit"
    weight: float | tuple[float, ...] = 1.0

    def _entry(self, o: Any, t: Any) -> Any:
        return -np.asarray(self.weight) * np.log(np.where(t > 0.5, o, 1 - o))

    def _slope(self, o: Any, t: Any) -> Any:
        return np.asarray(self.weight) * np.where(t > 0.5, -1 / o, 1 / (1 - o))

    def torch(self, o, t, torch):
        # torch imports its compiler's shapes, and with them sympy, to spread a weight.
        w = None if self.weight == 1 else torch.as_tensor(self.weight, dtype=o.dtype)
        e = torch.nn.functional.binary_cross_entropy(o, t, w, reduction=self.reduction)
        return self._gathered(e, torch.as_tensor)

    def jax(self, o, t, jax):
        special, w = jax.scipy.special, jax.numpy.asarray(self.weight, o.dtype)
        return self._gathered(-w * (special.xlogy(t, o) + special.xlog1py(1 - t, -o)), jax.numpy.asarray)


class SigmoidFocal(_EntryByEntry):
    """E = mean_i a q_i^gamma log(1 + exp(-z_i)), z_i = (2 t_i - 1) o_i, q_i = s(-z_i) (Lin et al., ICCV 2017).

    a is alpha where t_i is 1 and 1 - alpha where it is 0; with an alpha below 0 it is 1.
    """

    targets = "bits"
    alpha: float = -1.0
    gamma: float = 2.0

    def _weight(self, t: Any) -> Any:
        return np.where(t > 0.5, self.alpha, 1 - self.alpha) if self.alpha >= 0 else 1.0

    def _entry(self, o: Any, t: Any) -> Any:
        z = (2 * t - 1) * o
        return self._weight(t) * expit(-z) ** self.gamma * np.logaddexp(-z, 0)

    def _slope(self, o: Any, t: Any) -> Any:
        sign = 2 * t - 1
        z = sign * o
        q = expit(-z)
        return -sign * self._weight(t) * q**self.gamma * (self.gamma * expit(z) * np.logaddexp(-z, 0) + q)

    def torch(self, o, t, torch):
        z = (2 * t - 1) * o
        e = torch.sigmoid(-z) ** self.gamma * torch.nn.functional.softplus(-z, threshold=64)
        a = self.alpha * t + (1 - self.alpha) * (1 - t) if self.alpha >= 0 else 1.0
        return self._gathered(a * e, torch.as_tensor)

    def jax(self, o, t, jax):
        z = (2 * t - 1) * o
        e = jax.nn.sigmoid(-z) ** self.gamma * jax.nn.softplus(-z)
        a = self.alpha * t + (1 - self.alpha) * (1 - t) if self.alpha >= 0 else 1.0
        return self._gathered(a * e, jax.numpy.asarray)

    def optax(self, o, t, optax, jax):
        alpha = self.alpha if self.alpha >= 0 else None
        e = optax.losses.sigmoid_focal_loss(o, t, alpha=alpha, gamma=self.gamma)
        return self._gathered(e, jax.numpy.asarray)


class BinarySparsemax(_EntryByEntry):
    """E = mean_i h((1 - 2 t_i) o_i), h(z) = 0 where z <= -1, (z + 1)^2 / 4 within, z where z >= 1."""

    targets = "bits"

    def _entry(self, o: Any, t: Any) -> Any:
        z = (1 - 2 * t) * o
        return np.where(z <= -1, 0.0, np.where(z >= 1, z, (z + 1) ** 2 / 4))

    def _slope(self, o: Any, t: Any) -> Any:
        sign = 1 - 2 * t
        return sign * np.minimum(np.maximum((sign * o + 1) / 2, 0), 1)

    def torch(self, o, t, torch):
        z = (1 - 2 * t) * o
        e = torch.where(z <= -1, 0.0, torch.where(z >= 1, z, (z.clamp(-1, 1) + 1) ** 2 / 4))
        return self._gathered(e, torch.as_tensor)

    def jax(self, o, t, jax):
        return self._gathered(jax.nn.sparse_plus((1 - 2 * t) * o), jax.numpy.asarray)

    def optax(self, o, t, optax, jax):
        return self._gathered(optax.losses.sparsemax_loss(o, t.astype(bool)), jax.numpy.asarray)
