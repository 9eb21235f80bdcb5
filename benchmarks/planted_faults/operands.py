"""Faults in derivatives of losses by their targets, and by class weights and other parameters with a gradient."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from benchmarks.planted_faults.losses import HUBER, LOGITS, MSE, POISSON, SSE, count
from benchmarks.planted_faults.planting import Fault, Formula
from benchmarks.planted_faults.rows import exponentials, widen
from gradagree.reference import ErrorFunction, Weight, Weights
from gradagree.reference.errors import SoftCrossEntropy


def soft_value(m: Any, o: Any, t: Any) -> Any:
    z, e = exponentials(m, o)
    return m.cast(m.sum(widen(m, t) * (m.log(m.sum(e, -1)) - z)) / o.shape[-2], m.dtype(o))


def soft_cotangents(m: Any, g: Any, o: Any, t: Any) -> Any:
    (z, e), y = exponentials(m, o), widen(m, t)
    scale = widen(m, g) / o.shape[-2]
    total = m.sum(e, -1)
    slope = e / total * m.sum(y, -1) - y
    return m.cast(scale * slope, m.dtype(o)), m.cast(scale * (m.log(total) - z), m.dtype(o))


SOFT = Formula(SoftCrossEntropy, soft_value, soft_cotangents)


class ClassWeightedSquares(ErrorFunction):
    """E = sum_c w_c (o_c - t_c)^2, a mean over the examples."""

    weight: Weights = Weights((0.5, 1.25, 2.0))

    def value(self, o: Any, t: Any) -> Any:
        return np.sum(self.weight * (o - t) ** 2, axis=(-2, -1)) / o.shape[-2]

    def sensitivity(self, o: Any, t: Any) -> Any:
        return self.weight * (2 * (o - t)) / o.shape[-2]


def squares_value(m: Any, o: Any, t: Any, w: Any) -> Any:
    d = widen(m, o) - widen(m, t)
    return m.cast(m.sum(widen(m, w) * d * d) / o.shape[-2], m.dtype(o))


def squares_cotangents(m: Any, g: Any, o: Any, t: Any, w: Any) -> Any:
    d, scale = widen(m, o) - widen(m, t), widen(m, g) / o.shape[-2]
    do = m.cast(scale * 2 * widen(m, w) * d, m.dtype(o))
    return do, -do, m.cast(scale * m.sum(d * d, -2)[0], m.dtype(o))


SQUARES = Formula(ClassWeightedSquares, squares_value, squares_cotangents)


class ClassWeightedEntropy(ErrorFunction):
    """E = sum over examples of w_t (log(sum_j exp o_j) - o_t), over the sum of the weights w_t of the right classes."""

    targets = "classes"
    weight: Weights = Weights((0.5, 1.25, 2.0))

    def _chosen(self, o: Any, t: Any) -> tuple[Any, Any]:
        """The weights of the right classes, one in each row, and their sum."""
        right = np.asarray(t)[..., None] == np.arange(o.shape[-1])
        chosen = self.weight * np.where(right, 1.0, 0.0)
        return chosen, np.sum(chosen, axis=(-2, -1))

    def value(self, o: Any, t: Any) -> Any:
        chosen, total = self._chosen(o, t)
        z = o - np.max(o, axis=-1, keepdims=True)
        losses = np.log(np.sum(np.exp(z), axis=-1, keepdims=True)) - z
        return np.sum(chosen * losses, axis=(-2, -1)) / total

    def sensitivity(self, o: Any, t: Any) -> Any:
        chosen, total = self._chosen(o, t)
        e = np.exp(o - np.max(o, axis=-1, keepdims=True))
        p = e / np.sum(e, axis=-1, keepdims=True)
        return (p * np.sum(chosen, axis=-1, keepdims=True) - chosen) / total[..., None, None]


def entropy_parts(m: Any, o: Any, t: Any, w: Any) -> tuple[Any, Any, Any, Any]:
    """The right classes, their weights, the losses of all classes and the exponentials over their sum."""
    z, e = exponentials(m, o)
    right, total = m.one_hot(t, z), m.sum(e, -1)
    return right, right * widen(m, w), m.log(total) - z, e / total


def entropy_value(m: Any, o: Any, t: Any, w: Any) -> Any:
    _, chosen, losses, _ = entropy_parts(m, o, t, w)
    return m.cast(m.sum(chosen * losses) / m.sum(chosen), m.dtype(o))


def entropy_cotangents(m: Any, g: Any, o: Any, t: Any, w: Any) -> Any:
    right, chosen, losses, p = entropy_parts(m, o, t, w)
    scale = widen(m, g) / m.sum(chosen)
    others = m.sum(p * (1 - right), -1)
    slope = m.where(right > 0.5, -others, p) * m.sum(chosen, -1)
    mean = m.sum(chosen * losses) / m.sum(chosen)
    dw = scale * m.sum(right * (losses - mean), -2)[0]
    return m.cast(scale * slope, m.dtype(o)), None, m.cast(dw, m.dtype(o))


ENTROPY = Formula(ClassWeightedEntropy, entropy_value, entropy_cotangents)


class ScaledSquares(ErrorFunction):
    """E = scale sum (o - t)^2."""

    scale: Weight = Weight(0.75)

    def value(self, o: Any, t: Any) -> Any:
        return self.scale * np.sum((o - t) ** 2, axis=(-2, -1))

    def sensitivity(self, o: Any, t: Any) -> Any:
        return self.scale * 2 * (o - t)


def scaled_value(m: Any, o: Any, t: Any, s: Any) -> Any:
    d = widen(m, o) - widen(m, t)
    return m.cast(widen(m, m.cast(s, m.dtype(o))) * m.sum(d * d), m.dtype(o))


def scaled_cotangents(m: Any, g: Any, o: Any, t: Any, s: Any) -> Any:
    d, g = widen(m, o) - widen(m, t), widen(m, g)
    do = m.cast(g * 2 * widen(m, m.cast(s, m.dtype(o))) * d, m.dtype(o))
    return do, -do, m.cast(g * m.sum(d * d), m.dtype(o))


SCALED = Formula(ScaledSquares, scaled_value, scaled_cotangents)


def operand_faults() -> list[Fault]:
    """All faults of this file."""
    return [*_targets(), *_parameters()]


def of_operand(right: Formula, place: int, change: Callable[..., Any]) -> Formula:
    """The formula with change(m, g, d, *operands) for the cotangent d of one of its operands."""

    def cotangents(m: Any, g: Any, *operands: Any) -> Any:
        found = list(right.cotangents(m, g, *operands))
        found[place] = change(m, g, found[place], *operands)
        return tuple(found)

    return replace(right, cotangents=cotangents)


def _targets() -> Iterator[Fault]:
    """Wrong derivatives by the targets."""
    changes: dict[str, tuple[Formula, Callable[..., Any]]] = {
        "sse by its targets with the wrong sign": (SSE, lambda m, g, d, o, t: -d),
        "sse by its targets zero": (SSE, lambda m, g, d, o, t: 0 * d),
        "huber by its targets without the clip": (HUBER, lambda m, g, d, o, t: -g * (o - t) / count(o)),
        "huber by its targets zero": (HUBER, lambda m, g, d, o, t: 0 * d),
        "poisson by its targets without the count": (POISSON, lambda m, g, d, o, t: d * count(o)),
        "poisson by its targets with the wrong sign": (POISSON, lambda m, g, d, o, t: -d),
        "mse by its targets without the cotangent": (MSE, lambda m, g, d, o, t: d / g),
        "mse by its targets without the 2": (MSE, lambda m, g, d, o, t: d / 2),
        "mse by the targets of the last output": (
            MSE, lambda m, g, d, o, t: m.where((m.columns(o) == o.shape[-1] - 1) & (o.shape[-1] > 1), 0 * d, d)
        ),
        "mse by the targets of the last example": (
            MSE, lambda m, g, d, o, t: m.where((m.rows(o) == o.shape[-2] - 1) & (o.shape[-2] > 1), -d, d)
        ),
        "mse by its targets in bfloat16": (
            MSE, lambda m, g, d, o, t: d * 1.25 if m.dtype(o) == "bfloat16" else d
        ),
        "logits by their targets with the wrong sign": (LOGITS, lambda m, g, d, o, t: -d),
        "logits by their targets without the count": (LOGITS, lambda m, g, d, o, t: d * count(o)),
        "logits by their targets saturated": (
            LOGITS, lambda m, g, d, o, t: m.where(m.abs(o) > 8, 0 * d, d)
        ),
        "soft targets without the logarithm of the sum": (
            SOFT, lambda m, g, d, o, t: -g * (o - m.largest(o)) / o.shape[-2]
        ),
        "soft targets with the wrong sign": (SOFT, lambda m, g, d, o, t: -d),
    }  # fmt: skip
    for name, (right, change) in changes.items():
        yield Fault("targets", name, right, of_operand(right, 1, change))


def _parameters() -> Iterator[Fault]:
    """Wrong derivatives by class weights, and by a factor of the whole loss."""
    changes: dict[str, tuple[Formula, Callable[..., Any]]] = {
        "class weights with the wrong sign": (SQUARES, lambda m, g, d, o, t, w: -d),
        "class weights zero": (SQUARES, lambda m, g, d, o, t, w: 0 * d),
        "class weights summed over the classes": (SQUARES, lambda m, g, d, o, t, w: d * 0 + m.sum(d)),
        "class weights of the first example": (
            SQUARES, lambda m, g, d, o, t, w: g * (o[0] - t[0]) * (o[0] - t[0]) / o.shape[-2]
        ),
        "class weights without the cotangent": (SQUARES, lambda m, g, d, o, t, w: d / g),
        "class weights without the count": (SQUARES, lambda m, g, d, o, t, w: d * o.shape[-2]),
        "class weights times themselves": (SQUARES, lambda m, g, d, o, t, w: w * d),
        "last class weight": (
            SQUARES, lambda m, g, d, o, t, w: m.where(m.columns(o) == o.shape[-1] - 1, 2 * d, d)
        ),
        "entropy's class weights without the mean's term": (ENTROPY, _without_mean),
        "entropy's class weights over the examples": (
            ENTROPY, lambda m, g, d, o, t, w: d * m.cast(m.sum(entropy_parts(m, o, t, w)[1]), m.dtype(o)) / o.shape[-2]
        ),
        "entropy's class weights reversed": (ENTROPY, lambda m, g, d, o, t, w: m.flip(d, (0,))),
        "entropy's class weights zero": (ENTROPY, lambda m, g, d, o, t, w: 0 * d),
        "scale with the wrong sign": (SCALED, lambda m, g, d, o, t, s: -d),
        "scale of the mean": (SCALED, lambda m, g, d, o, t, s: d / count(o)),
        "scale times itself": (SCALED, lambda m, g, d, o, t, s: d * m.cast(s, m.dtype(o))),
        "scale zero": (SCALED, lambda m, g, d, o, t, s: 0 * d),
    }  # fmt: skip
    for name, (right, change) in changes.items():
        yield Fault("class weights", name, right, of_operand(right, 2, change))


def _without_mean(m: Any, g: Any, d: Any, o: Any, t: Any, w: Any) -> Any:
    """The divisor is taken for a constant."""
    right, chosen, losses, _ = entropy_parts(m, o, t, w)
    return m.cast(widen(m, g) / m.sum(chosen) * m.sum(right * losses, -2)[0], m.dtype(o))
