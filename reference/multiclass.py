"""The error functions of several classes: targets are class numbers, or probabilities."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradagree.reference.reductions import _ExampleByExample, _Reduced, counted, of_kind
from gradagree.reference.vectors import along, log_sum_exp, softmax


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
        """y of every example and class, and what the sum over examples is divided by."""
        right = one_hot(t, classes)
        w = np.broadcast_to(np.asarray(self.weight), (classes,))
        kept = (t != self.ignore_index)[..., None]
        hard = np.where(right & kept, w, 0.0)
        smooth = np.where(kept, w, 0.0) * (self._smoothing / classes)
        return (1 - self._smoothing) * hard + smooth, np.sum(hard, axis=(-2, -1))

    def _y(self, o: Any, t: Any) -> tuple[Any, Any]:
        """y, with what it counts for in E, and what all sums over examples are divided by."""
        y, total_weight = self._weights(t, o.shape[-1])
        if self.reduction == "mean":
            return y, total_weight
        return counted(y, self.reduction, o.shape[-2:-1]), np.ones(total_weight.shape)

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
        return jnp.sum(e) / jnp.sum(hard) if self.reduction == "mean" else self._gathered(e, jnp.asarray)


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
        return self._gathered(e, torch.as_tensor)

    def jax(self, o, t, jax):
        return self._jax_sum(jax.nn.log_softmax(o, axis=-1), t, jax)

    def optax(self, o, t, optax, jax):
        if (self.weight, self.ignore_index, self.label_smoothing) != (1.0, -100, 0.0):
            return None
        e = optax.softmax_cross_entropy_with_integer_labels(o, t)
        return self._gathered(e, jax.numpy.asarray)


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
        return self._gathered(e, torch.as_tensor)

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

    def _example(self, o: Any, t: Any) -> Any:
        z = o - np.max(o, axis=-1, keepdims=True)
        return np.sum(self._y(t) * (np.log(along(np.exp(z))) - z), axis=-1)

    def _slope(self, o: Any, t: Any) -> Any:
        y = of_kind(self._y(t), o)
        return softmax(o) * along(y) - y

    def torch(self, o, t, torch):
        w = torch.tensor(np.broadcast_to(self.weight, o.shape[-1:]).astype(float), dtype=o.dtype)
        e = torch.nn.functional.cross_entropy(o, t, w, reduction=self.reduction, label_smoothing=self.label_smoothing)
        return self._gathered(e, torch.as_tensor)

    def jax(self, o, t, jax):
        y = (1 - self.label_smoothing) * t + self.label_smoothing / o.shape[-1]
        w = jax.numpy.asarray(self.weight, o.dtype)
        return self._gathered(-jax.numpy.sum(w * y * jax.nn.log_softmax(o, axis=-1), axis=-1), jax.numpy.asarray)

    def optax(self, o, t, optax, jax):
        if self.weight != 1.0:
            return None
        e = optax.softmax_cross_entropy(o, optax.smooth_labels(t, self.label_smoothing))
        return self._gathered(e, jax.numpy.asarray)


class PolyCrossEntropy(_ExampleByExample):
    """E = mean over examples of sum_c t_c (epsilon (1 - p_c) - log p_c), p = softmax(o) (Leng et al., ICLR 2022)."""

    targets = "simplex"
    epsilon: float = 2.0

    def _example(self, o: Any, t: Any) -> Any:
        return np.sum(t * (log_sum_exp(o) - o + self.epsilon * (1 - softmax(o))), axis=-1)

    def _slope(self, o: Any, t: Any) -> Any:
        p = softmax(o)
        return p * along(t) - t - self.epsilon * p * (t - along(t * p))

    def torch(self, o, t, torch):
        p, log_p = torch.softmax(o, dim=-1), torch.log_softmax(o, dim=-1)
        return self._gathered((t * (self.epsilon * (1 - p) - log_p)).sum(-1), torch.as_tensor)

    def jax(self, o, t, jax):
        p, log_p = jax.nn.softmax(o, axis=-1), jax.nn.log_softmax(o, axis=-1)
        return self._gathered((t * (self.epsilon * (1 - p) - log_p)).sum(-1), jax.numpy.asarray)

    def optax(self, o, t, optax, jax):
        e = optax.losses.poly_loss_cross_entropy(o, t, epsilon=self.epsilon)
        return self._gathered(e, jax.numpy.asarray)
