"""Losses of classification: binary, multi-class and focal cross-entropies, and sparsemax."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import expit

from gradagree.reference.activations.rows import along, log_sum_exp, softmax
from gradagree.reference.losses.reduction import _EntryByEntry, _ExampleByExample, _Reduced, of_kind, scale_derivative


def one_hot(t: Any, classes: int) -> Any:
    """True at the number of the right class."""
    return t[..., None] == np.arange(classes)


class _Weighted(_Reduced):
    """-sum_c y_c log p_c: y is 1 at the right class, smoothed, weighted; a mean is over the right classes' weights."""

    targets = "classes"
    weight: float | tuple[float, ...] = 1.0
    ignore_index: int = -100

    @property
    def _smoothing(self) -> float:
        return 0.0

    def _weights(self, t: Any, classes: int) -> tuple[Any, Any]:
        """y of every example and class, and the divisor of the sum over examples."""
        right = one_hot(t, classes)
        w = np.broadcast_to(np.asarray(self.weight), (classes,))
        kept = (t != self.ignore_index)[..., None]
        hard = np.where(right & kept, w, 0.0)
        smooth = np.where(kept, w, 0.0) * (self._smoothing / classes)
        return (1 - self._smoothing) * hard + smooth, np.sum(hard, axis=(-2, -1))

    def _y(self, o: Any, t: Any) -> tuple[Any, Any]:
        """y times its weight in E, and the divisor of all sums over examples."""
        y, total_weight = self._weights(t, o.shape[-1])
        if self.reduction == "mean":
            return y, total_weight
        return scale_derivative(y, self.reduction, o.shape[-2:-1]), np.ones(total_weight.shape)

    def _likelihood(self, log_p: Any, t: Any) -> Any:
        """E from the logarithms of probabilities."""
        # E = -sum_c y_c log p_c
        y, divisor = self._y(log_p, t)
        return np.sum(-y * log_p, axis=(-2, -1)) / divisor

    def _framework_weight(self, o: Any, asarray: Any) -> Any:
        return asarray(np.broadcast_to(self.weight, o.shape[-1:]).astype(float), dtype=o.dtype)

    def _jax_sum(self, log_p: Any, t: Any, jax: Any) -> Any:
        """The reduced -sum_c y_c log p_c in jax."""
        jnp, n = jax.numpy, log_p.shape[-1]
        w = self._framework_weight(log_p, jnp.asarray)
        kept = t != self.ignore_index
        hard = jax.nn.one_hot(jnp.where(kept, t, 0), n, dtype=log_p.dtype) * w * kept[:, None]
        y = (1 - self._smoothing) * hard + self._smoothing / n * w * kept[:, None]
        e = -jnp.sum(y * log_p, axis=-1)
        return jnp.sum(e) / jnp.sum(hard) if self.reduction == "mean" else self._reduce(e, jnp.asarray)


class SoftmaxCrossEntropy(_Weighted):
    """E = mean over examples of log(sum_j exp o_j) - o_t, where t is the number of the right class.

    weight is one number, or one for each class: of the right class, by which a mean is taken too. Examples of the class
    ignore_index do not count. With label_smoothing, so much of the right class's 1 goes to all classes in equal parts.
    """

    name = "cross_entropy"
    label_smoothing: float = 0.0

    @property
    def _smoothing(self) -> float:
        return self.label_smoothing

    def value(self, o: Any, t: Any) -> Any:
        z = o - np.max(o, axis=-1, keepdims=True)
        return self._likelihood(z - np.log(along(np.exp(z))), t)

    def sensitivity(self, o: Any, t: Any) -> Any:
        # dE/do_c = softmax_c sum_j y_j - y_c
        y, divisor = self._y(o, t)
        y = of_kind(y, o)
        return (softmax(o) * along(y) - y) / divisor[..., None, None]

    def torch(self, o, t, torch):
        w = self._framework_weight(o, torch.tensor)
        options = {"ignore_index": self.ignore_index, "label_smoothing": self.label_smoothing}
        e = torch.nn.functional.cross_entropy(o, t, w, reduction=self.reduction, **options)
        return self._reduce(e, torch.as_tensor)

    def jax(self, o, t, jax):
        return self._jax_sum(jax.nn.log_softmax(o, axis=-1), t, jax)

    def optax(self, o, t, optax, jax):
        if (self.weight, self.ignore_index, self.label_smoothing) != (1.0, -100, 0.0):
            return None
        e = optax.softmax_cross_entropy_with_integer_labels(o, t)
        return self._reduce(e, jax.numpy.asarray)


class Nll(_Weighted):
    """E = mean over examples of -o_t, of log-probabilities o, where t is the number of the right class.

    weight and ignore_index as in cross_entropy.
    """

    domain = "log_simplex"

    def value(self, o: Any, t: Any) -> Any:
        return self._likelihood(o, t)

    def sensitivity(self, o: Any, t: Any) -> Any:
        y, divisor = self._y(o, t)
        return of_kind(-y, o) / divisor[..., None, None]

    def torch(self, o, t, torch):
        w = self._framework_weight(o, torch.tensor)
        e = torch.nn.functional.nll_loss(o, t, w, reduction=self.reduction, ignore_index=self.ignore_index)
        return self._reduce(e, torch.as_tensor)

    def jax(self, o, t, jax):
        return self._jax_sum(o, t, jax)


class SoftCrossEntropy(_ExampleByExample):
    """E = mean over examples of sum_c t_c (log(sum_j exp o_j) - o_c), of probabilities t.

    weight is one number, or one for each class; label_smoothing as in cross_entropy.
    """

    targets = "simplex"
    weight: float | tuple[float, ...] = 1.0
    label_smoothing: float = 0.0

    def _y(self, t: Any) -> Any:
        smooth = t * (1 - self.label_smoothing) + self.label_smoothing / t.shape[-1] if self.label_smoothing else t
        return np.asarray(self.weight) * smooth

    def _term(self, o: Any, t: Any) -> Any:
        z = o - np.max(o, axis=-1, keepdims=True)
        return np.sum(self._y(t) * (np.log(along(np.exp(z))) - z), axis=-1)

    def _derivative(self, o: Any, t: Any) -> Any:
        y = of_kind(self._y(t), o)
        return softmax(o) * along(y) - y

    def torch(self, o, t, torch):
        w = torch.tensor(np.broadcast_to(self.weight, o.shape[-1:]).astype(float), dtype=o.dtype)
        e = torch.nn.functional.cross_entropy(o, t, w, reduction=self.reduction, label_smoothing=self.label_smoothing)
        return self._reduce(e, torch.as_tensor)

    def jax(self, o, t, jax):
        y = (1 - self.label_smoothing) * t + self.label_smoothing / o.shape[-1]
        w = jax.numpy.asarray(self.weight, o.dtype)
        return self._reduce(-jax.numpy.sum(w * y * jax.nn.log_softmax(o, axis=-1), axis=-1), jax.numpy.asarray)

    def optax(self, o, t, optax, jax):
        if self.weight != 1.0:
            return None
        e = optax.softmax_cross_entropy(o, optax.smooth_labels(t, self.label_smoothing))
        return self._reduce(e, jax.numpy.asarray)


class PolyCrossEntropy(_ExampleByExample):
    """E = mean over examples of sum_c t_c (epsilon (1 - p_c) - log p_c), p = softmax(o) (Leng et al., ICLR 2022)."""

    targets = "simplex"
    epsilon: float = 2.0

    def _term(self, o: Any, t: Any) -> Any:
        return np.sum(t * (log_sum_exp(o) - o + self.epsilon * (1 - softmax(o))), axis=-1)

    def _derivative(self, o: Any, t: Any) -> Any:
        p = softmax(o)
        return p * along(t) - t - self.epsilon * p * (t - along(t * p))

    def torch(self, o, t, torch):
        p, log_p = torch.softmax(o, dim=-1), torch.log_softmax(o, dim=-1)
        return self._reduce((t * (self.epsilon * (1 - p) - log_p)).sum(-1), torch.as_tensor)

    def jax(self, o, t, jax):
        p, log_p = jax.nn.softmax(o, axis=-1), jax.nn.log_softmax(o, axis=-1)
        return self._reduce((t * (self.epsilon * (1 - p) - log_p)).sum(-1), jax.numpy.asarray)

    def optax(self, o, t, optax, jax):
        e = optax.losses.poly_loss_cross_entropy(o, t, epsilon=self.epsilon)
        return self._reduce(e, jax.numpy.asarray)


class BinaryCrossEntropyOnLogits(_EntryByEntry):
    """E = mean_i w (pos_weight t_i log(1 + exp(-o_i)) + (1 - t_i) log(1 + exp(o_i))), from the logits o.

    weight and pos_weight are one number, or one for each output.
    """

    name = "bce_logits"
    targets = "bits"
    weight: float | tuple[float, ...] = 1.0
    pos_weight: float | tuple[float, ...] = 1.0

    def _term(self, o: Any, t: Any) -> Any:
        yes = np.asarray(self.pos_weight) * t
        return np.asarray(self.weight) * (yes * np.logaddexp(-o, 0) + (1 - t) * np.logaddexp(o, 0))

    def _derivative(self, o: Any, t: Any) -> Any:
        yes = np.asarray(self.pos_weight) * t
        return np.asarray(self.weight) * ((1 - t + yes) * expit(o) - yes)

    def torch(self, o, t, torch):
        w, pos = (torch.as_tensor(x, dtype=o.dtype) for x in (self.weight, self.pos_weight))
        e = torch.nn.functional.binary_cross_entropy_with_logits(o, t, w, reduction=self.reduction, pos_weight=pos)
        return self._reduce(e, torch.as_tensor)

    def jax(self, o, t, jax):
        log_s, (w, pos) = jax.nn.log_sigmoid, (jax.numpy.asarray(x, o.dtype) for x in (self.weight, self.pos_weight))
        return self._reduce(-w * (pos * t * log_s(o) + (1 - t) * log_s(-o)), jax.numpy.asarray)

    def optax(self, o, t, optax, jax):
        if (self.weight, self.pos_weight) != (1, 1):
            return None
        return self._reduce(optax.sigmoid_binary_cross_entropy(o, t), jax.numpy.asarray)


class BinaryCrossEntropy(_EntryByEntry):
    """E = -mean_i w (t_i log o_i + (1 - t_i) log(1 - o_i)), of probabilities o."""

    name = "bce"
    targets = "bits"
    domain = "unit"
    weight: float | tuple[float, ...] = 1.0

    def _term(self, o: Any, t: Any) -> Any:
        return -np.asarray(self.weight) * np.log(np.where(t > 0.5, o, 1 - o))

    def _derivative(self, o: Any, t: Any) -> Any:
        return np.asarray(self.weight) * np.where(t > 0.5, -1 / o, 1 / (1 - o))

    def torch(self, o, t, torch):
        # torch imports its compiler's shapes, and with them sympy, to spread a weight.
        w = None if isinstance(self.weight, float) and self.weight == 1 else torch.as_tensor(self.weight, dtype=o.dtype)
        e = torch.nn.functional.binary_cross_entropy(o, t, w, reduction=self.reduction)
        return self._reduce(e, torch.as_tensor)

    def jax(self, o, t, jax):
        special, w = jax.scipy.special, jax.numpy.asarray(self.weight, o.dtype)
        return self._reduce(-w * (special.xlogy(t, o) + special.xlog1py(1 - t, -o)), jax.numpy.asarray)


class SigmoidFocal(_EntryByEntry):
    """E = mean_i a q_i^gamma log(1 + exp(-z_i)), z_i = (2 t_i - 1) o_i, q_i = s(-z_i) (Lin et al., ICCV 2017).

    a is alpha where t_i is 1 and 1 - alpha where it is 0; with an alpha below 0 it is 1.
    """

    targets = "bits"
    alpha: float = -1.0
    gamma: float = 2.0

    def _weight(self, t: Any) -> Any:
        return np.where(t > 0.5, self.alpha, 1 - self.alpha) if self.alpha >= 0 else 1.0

    def _term(self, o: Any, t: Any) -> Any:
        z = (2 * t - 1) * o
        return self._weight(t) * expit(-z) ** self.gamma * np.logaddexp(-z, 0)

    def _derivative(self, o: Any, t: Any) -> Any:
        sign = 2 * t - 1
        z = sign * o
        q = expit(-z)
        return -sign * self._weight(t) * q**self.gamma * (self.gamma * expit(z) * np.logaddexp(-z, 0) + q)

    def torch(self, o, t, torch):
        z = (2 * t - 1) * o
        e = torch.sigmoid(-z) ** self.gamma * torch.nn.functional.softplus(-z, threshold=64)
        a = self.alpha * t + (1 - self.alpha) * (1 - t) if self.alpha >= 0 else 1.0
        return self._reduce(a * e, torch.as_tensor)

    def jax(self, o, t, jax):
        z = (2 * t - 1) * o
        e = jax.nn.sigmoid(-z) ** self.gamma * jax.nn.softplus(-z)
        a = self.alpha * t + (1 - self.alpha) * (1 - t) if self.alpha >= 0 else 1.0
        return self._reduce(a * e, jax.numpy.asarray)

    def optax(self, o, t, optax, jax):
        alpha = self.alpha if self.alpha >= 0 else None
        e = optax.losses.sigmoid_focal_loss(o, t, alpha=alpha, gamma=self.gamma)
        return self._reduce(e, jax.numpy.asarray)


class BinarySparsemax(_EntryByEntry):
    """E = mean_i h((1 - 2 t_i) o_i), h(z) = 0 where z <= -1, (z + 1)^2 / 4 within, z where z >= 1."""

    targets = "bits"

    def _term(self, o: Any, t: Any) -> Any:
        z = (1 - 2 * t) * o
        return np.where(z <= -1, 0.0, np.where(z >= 1, z, (z + 1) ** 2 / 4))

    def _derivative(self, o: Any, t: Any) -> Any:
        sign = 1 - 2 * t
        return sign * np.minimum(np.maximum((sign * o + 1) / 2, 0), 1)

    def torch(self, o, t, torch):
        z = (1 - 2 * t) * o
        e = torch.where(z <= -1, 0.0, torch.where(z >= 1, z, (z.clamp(-1, 1) + 1) ** 2 / 4))
        return self._reduce(e, torch.as_tensor)

    def jax(self, o, t, jax):
        return self._reduce(jax.nn.sparse_plus((1 - 2 * t) * o), jax.numpy.asarray)

    def optax(self, o, t, optax, jax):
        return self._reduce(optax.losses.sparsemax_loss(o, t.astype(bool)), jax.numpy.asarray)


class MulticlassSparsemax(_ExampleByExample):
    """E = mean over examples of sum_c q_c (o_c - o_t) + (1 - sum_c q_c^2)/2, where q = sparsemax(o).

    q_c = max(o_c - tau, 0), with the tau for which they add up to 1.
    """

    targets = "classes"

    def _sparsemax(self, o: Any) -> Any:
        # c is one of the k classes with a share if sum_j max(o_j - o_c, 0) < 1, and k tau = sum of their o_j - 1
        above = np.sum(np.maximum(o[..., None, :] - o[..., :, None], 0), axis=-1)
        in_support = np.where(above < 1, 1.0, 0.0)
        tau = (along(in_support * o) - 1) / along(in_support)
        return np.maximum(o - tau, 0)

    def _term(self, o: Any, t: Any) -> Any:
        q = self._sparsemax(o)
        z = o - along(np.where(one_hot(t, o.shape[-1]), o, 0.0))
        return np.sum(q * z, axis=-1) + 0.5 * (1 - np.sum(q**2, axis=-1))

    def _derivative(self, o: Any, t: Any) -> Any:
        # dE/do_c = q_c - [c is t]
        return self._sparsemax(o) - np.where(one_hot(t, o.shape[-1]), 1.0, 0.0)

    # Frameworks: as the q_c add up to 1, E is c + sum_c q_c (o_c - o_t - c) + (1 - sum_c q_c^2)/2 for any constant c.
    # With c = tau - o_t the cotangent of q_c is 0; with c = 0 it is tau - o_t, which 16 bits cannot represent well.
    def torch(self, o, t, torch):
        above = torch.relu(o[..., None, :] - o[..., :, None]).sum(-1)
        in_support = (above < 1).to(o.dtype)
        tau = ((in_support * o).sum(-1, keepdim=True) - 1) / in_support.sum(-1, keepdim=True)
        q, z = torch.relu(o - tau), o - torch.gather(o, -1, t[..., None])
        c = (tau - torch.gather(o, -1, t[..., None])).detach()
        return self._reduce(c[..., 0] + (q * (z - c)).sum(-1) + 0.5 * (1 - (q**2).sum(-1)), torch.as_tensor)

    def jax(self, o, t, jax):
        jnp = jax.numpy
        above = jnp.sum(jnp.maximum(o[..., None, :] - o[..., :, None], 0), axis=-1)
        in_support = (above < 1).astype(o.dtype)
        tau = (jnp.sum(in_support * o, -1, keepdims=True) - 1) / jnp.sum(in_support, -1, keepdims=True)
        q, z = jnp.maximum(o - tau, 0), o - jnp.take_along_axis(o, t[..., None], axis=-1)
        c = jax.lax.stop_gradient(tau - jnp.take_along_axis(o, t[..., None], axis=-1))
        return self._reduce(c[..., 0] + jnp.sum(q * (z - c), -1) + 0.5 * (1 - jnp.sum(q**2, -1)), jnp.asarray)

    def optax(self, o, t, optax, jax):
        return self._reduce(optax.losses.multiclass_sparsemax_loss(o, t), jax.numpy.asarray)
