"""Losses of segmentation: 1 minus how far the outputs overlap the targets (Dice and its variants).

An example is a pixel. The overlap of probabilities p and targets t is Tversky's quotient
(I + smooth) / (I + alpha (P - I) + beta (T - I) + smooth) of the sums I of p t, P of p, T of t; with alpha = beta = 1/2
it is that of Dice (Milletari et al., 3DV 2016).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import expit

from gradagree.reference.activations.rows import along, softmax, softmax_vjp
from gradagree.reference.contract import ErrorFunction
from gradagree.reference.losses.classification import one_hot
from gradagree.reference.losses.reduction import _ExampleByExample, _Reduced, of_kind, reduce_losses, scale_derivative


def overlap(both: Any, P: Any, T: Any, smooth: float, alpha: float = 0.5, beta: float = 0.5) -> tuple[Any, Any]:
    """The quotient, and its denominator."""
    below = both + alpha * (P - both) + beta * (T - both) + smooth
    return (both + smooth) / below, below


def tversky(right: Any, too_much: Any, too_little: Any, smooth: float) -> Any:
    """The quotient in a framework, of true positives, and weighted false positives and false negatives."""
    return (right + smooth) / (right + too_much + too_little + smooth)


def foreground(x: Any, ignore_background: bool) -> Any:
    """The classes that count."""
    return x[..., 1:] if ignore_background else x


def with_background(x: Any, ignore_background: bool) -> Any:
    """The derivative, with 0 for the background if it is excluded."""
    return np.concatenate([0 * x[..., :1], x], axis=-1) if ignore_background else x


class _Overlap(_Reduced):
    """E over examples and classes of w_c (1 - overlap), from probabilities p."""

    targets = "simplex"
    weight: float | tuple[float, ...] = 1.0
    smooth: float = 1.0
    alpha: float = 0.5
    beta: float = 0.5
    together: bool = False
    ignore_background: bool = False

    def width(self, n: int) -> int | None:
        return super().width(n) if n > 1 else None

    def _overlap(self, p: Any, t: Any) -> tuple[Any, Any]:
        both, P, T = (np.sum(x, axis=-2, keepdims=True) if self.together else x for x in (p * t, p, t))
        return overlap(both, P, T, self.smooth, self.alpha, self.beta)

    def _of_probabilities(self, p: Any, t: Any) -> Any:
        # E = mean_c w_c (1 - q_c)
        q, _ = self._overlap(p, t)
        return reduce_losses(foreground(np.asarray(self.weight) * (1 - q), self.ignore_background), self.reduction, 2)

    def _by_probabilities(self, p: Any, t: Any) -> Any:
        # dE/dp_c = w_c (q_c (alpha + (1 - alpha - beta) t_c) - t_c) / D_c, where D_c is the denominator of q_c
        q, below = self._overlap(p, t)
        derivative = np.asarray(self.weight) * (q * (self.alpha + (1 - self.alpha - self.beta) * t) - t) / below
        derivative = foreground(derivative, self.ignore_background)
        rows = 1 if self.together else derivative.shape[-2]
        return with_background(
            scale_derivative(derivative, self.reduction, (rows, derivative.shape[-1])), self.ignore_background
        )

    def _implementation(self, p: Any, t: Any, asarray: Any) -> Any:
        parts = p * t, self.alpha * p * (1 - t), self.beta * (1 - p) * t
        right, too_much, too_little = (x.sum(0)[None] if self.together else x for x in parts)
        q = tversky(right, too_much, too_little, self.smooth)
        e = asarray(self.weight, dtype=p.dtype) * (1 - q)
        return self._reduce(foreground(e, self.ignore_background), asarray)

    def _by_optax(self, o: Any, t: Any, apply_softmax: bool, optax: Any, jax: Any) -> Any:
        jnp = jax.numpy
        e = optax.losses.dice_loss(
            o, t, class_weights=jnp.broadcast_to(jnp.asarray(self.weight, o.dtype), o.shape[-1:]),
            smooth=self.smooth, alpha=self.alpha, beta=self.beta, apply_softmax=apply_softmax,
            reduction=self.reduction, ignore_background=self.ignore_background, axis=0 if self.together else None,
        )  # fmt: skip
        return self._reduce(jnp.atleast_2d(e) if self.reduction == "none" else e, jnp.asarray)


class Dice(_Overlap):
    """E = mean over examples and classes of w_c (1 - overlap of p_c and t_c), p = softmax(o), of probabilities t.

    The overlap is that of each p_c alone or, together, that of its sum over all examples (optax's axis=0). weight is
    one number, or one for each class; ignore_background leaves out class 0. The reductions are over the classes, too.
    """

    def value(self, o: Any, t: Any) -> Any:
        return self._of_probabilities(softmax(o), t)

    def sensitivity(self, o: Any, t: Any) -> Any:
        # dE/do_c = p_c (dE/dp_c - sum_k p_k dE/dp_k)
        p = softmax(o)
        return softmax_vjp(p, self._by_probabilities(p, t))

    def torch(self, o, t, torch):
        return self._implementation(torch.softmax(o, dim=-1), t, torch.as_tensor)

    def jax(self, o, t, jax):
        return self._implementation(jax.nn.softmax(o, axis=-1), t, jax.numpy.asarray)

    def optax(self, o, t, optax, jax):
        return self._by_optax(o, t, True, optax, jax)


class DiceOfProbabilities(_Overlap):
    """E = mean over examples and classes of w_c (1 - overlap of o_c and t_c), of probabilities o and t; as dice."""

    domain = "simplex"

    def value(self, o: Any, t: Any) -> Any:
        return self._of_probabilities(o, t)

    def sensitivity(self, o: Any, t: Any) -> Any:
        return of_kind(self._by_probabilities(o, t), o)

    def torch(self, o, t, torch):
        return self._implementation(o, t, torch.as_tensor)

    def jax(self, o, t, jax):
        return self._implementation(o, t, jax.numpy.asarray)

    def optax(self, o, t, optax, jax):
        return self._by_optax(o, t, False, optax, jax)


class GeneralizedDice(ErrorFunction):
    """E = mean over examples and classes of w_c (1 - overlap of p_c and [c is t]), p = softmax(o).

    w_c is 1 / (n_c^2 + eps), n_c the examples of class c, over the mean of these (Sudre et al., DLMIA 2017);
    ignore_background leaves out class 0, but for that mean.
    """

    targets = "classes"
    smooth: float = 1.0
    eps: float = 1e-7
    ignore_background: bool = False

    def width(self, n: int) -> int | None:
        return n if n > 1 else None

    def _parts(self, o: Any, t: Any) -> tuple[Any, Any, Any, Any]:
        """p, 1 at the right class, and the w_c."""
        p, hot = softmax(o), of_kind(np.where(one_hot(t, o.shape[-1]), 1.0, 0.0), o)
        w = 1 / (np.sum(hot, axis=-2, keepdims=True) ** 2 + self.eps)
        return p, hot, w / np.mean(w, axis=-1, keepdims=True), overlap(p * hot, p, hot, self.smooth)

    def value(self, o: Any, t: Any) -> Any:
        _, _, w, (q, _) = self._parts(o, t)
        return np.mean(foreground(w * (1 - q), self.ignore_background), axis=(-2, -1))

    def sensitivity(self, o: Any, t: Any) -> Any:
        # dE/dp_c = w_c (q_c / 2 - [c is t]) / D_c over their number, where D_c is the denominator of q_c
        p, hot, w, (q, below) = self._parts(o, t)
        derivative = foreground(w * (0.5 * q - hot) / below, self.ignore_background)
        derivative = scale_derivative(derivative, "mean", derivative.shape[-2:])
        return softmax_vjp(p, with_background(derivative, self.ignore_background))

    def _implementation(self, p: Any, hot: Any) -> Any:
        w = 1 / (hot.sum(0) ** 2 + self.eps)
        q = tversky(p * hot, 0.5 * p * (1 - hot), 0.5 * (1 - p) * hot, self.smooth)
        return foreground(w / w.mean() * (1 - q), self.ignore_background).mean()

    def torch(self, o, t, torch):
        hot = torch.nn.functional.one_hot(t, o.shape[-1]).to(o.dtype)
        return self._implementation(torch.softmax(o, dim=-1), hot)

    def jax(self, o, t, jax):
        return self._implementation(jax.nn.softmax(o, axis=-1), jax.nn.one_hot(t, o.shape[-1], dtype=o.dtype))

    def optax(self, o, t, optax, jax):
        hot = jax.nn.one_hot(t, o.shape[-1], dtype=o.dtype)
        options = {"smooth": self.smooth, "ignore_background": self.ignore_background}
        return optax.losses.multiclass_generalized_dice_loss(o, hot, **options) if self.eps == 1e-7 else None


class BinaryDice(_ExampleByExample):
    """E = mean over examples of 1 - (sum_i p_i t_i + smooth) / (sum_i (p_i + t_i) / 2 + smooth), p_i = s(o_i).

    The outputs of an example are its pixels.
    """

    targets = "bits"
    smooth: float = 1.0

    def _overlap(self, p: Any, t: Any) -> tuple[Any, Any]:
        both, P, T = (along(x) for x in (p * t, p, t))
        return overlap(both, P, T, self.smooth)

    def _term(self, o: Any, t: Any) -> Any:
        return (1 - self._overlap(expit(o), t)[0])[..., 0]

    def _derivative(self, o: Any, t: Any) -> Any:
        # dE/do_i = (q / 2 - t_i) / D p_i (1 - p_i), where D is the denominator of q
        p = expit(o)
        q, below = self._overlap(p, t)
        return (0.5 * q - t) / below * (p * (1 - p))

    def torch(self, o, t, torch):
        p = torch.sigmoid(o)
        q = tversky((p * t).sum(-1), 0.5 * (p * (1 - t)).sum(-1), 0.5 * ((1 - p) * t).sum(-1), self.smooth)
        return self._reduce(1 - q, torch.as_tensor)

    def jax(self, o, t, jax):
        p = jax.nn.sigmoid(o)
        q = tversky((p * t).sum(-1), 0.5 * (p * (1 - t)).sum(-1), 0.5 * ((1 - p) * t).sum(-1), self.smooth)
        return self._reduce(1 - q, jax.numpy.asarray)

    def optax(self, o, t, optax, jax):
        return self._reduce(optax.losses.binary_dice_loss(o, t, smooth=self.smooth), jax.numpy.asarray)
