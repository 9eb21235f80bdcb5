"""Losses."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import special

from gradagree.adapters.aten.table import ATEN, aten
from gradagree.reference.operations import composites

MEAN, SUM = 1, 2


def reduce(x: Any, reduction: int) -> Any:
    """All terms, their mean or their sum."""
    return np.mean(x) if reduction == MEAN else np.sum(x) if reduction == SUM else x


@aten("nll_loss_forward")
def nll_loss(x: Any, target: Any, weight: Any, reduction: int, ignore_index: int) -> Any:
    """(the loss, the total weight); classes are the last axis of x."""
    target = np.asarray(target)
    kept = target != ignore_index
    chosen = np.where(kept, target, 0)
    if np.ndim(x) > 1:
        picked = -x[(*np.indices(target.shape), chosen)]
    else:
        picked, kept, chosen = -x[chosen.reshape(())], kept.reshape(()), chosen.reshape(())
    each = np.where(kept, 1.0, 0.0) if weight is None else np.where(kept, weight[chosen], 0.0)
    loss, total = picked * each, np.sum(each)
    if reduction == MEAN:
        return np.sum(loss) / total, total
    return (np.sum(loss) if reduction == SUM else loss), total


@aten("nll_loss2d_forward")
def nll_loss_2d(x: Any, target: Any, weight: Any, reduction: int, ignore_index: int) -> Any:
    """As `nll_loss`, with classes as axis 1."""
    return nll_loss(np.moveaxis(x, 1, -1), target, weight, reduction, ignore_index)


def linear_cross_entropy(
    x: Any, w: Any, target: Any, b: Any, weight: Any, reduction: str, ignore_index: int, *_: Any
) -> Any:
    """(the cross-entropy of x w^T + b, and the gradients that a backward pass uses)."""
    logits = x @ np.swapaxes(w, 0, 1)
    logits = logits if b is None else logits + b
    kind = {"mean": MEAN, "sum": SUM, "none": 0}[reduction]
    loss, _ = nll_loss(composites.log_softmax(logits, axis=-1), target, weight, kind, ignore_index)
    return loss, np.zeros(0), np.zeros(0), np.zeros(0)


def linear_cross_entropies(x: Any, w: Any, target: Any, b: Any, weight: Any, ignore_index: int, *_: Any) -> Any:
    return linear_cross_entropy(x, w, target, b, weight, "none", ignore_index)[0]


ATEN["torch_nn._linear_cross_entropy_batch_chunked"] = linear_cross_entropy
ATEN["torch_nn._linear_cross_entropy_batch_chunked_no_reduction"] = linear_cross_entropies


@aten("mse_loss")
def mse_loss(x: Any, y: Any, reduction: int = MEAN) -> Any:
    return reduce(np.square(x - y), reduction)


@aten("l1_loss")
def l1_loss(x: Any, y: Any, reduction: int = MEAN) -> Any:
    return reduce(np.abs(x - y), reduction)


@aten("smooth_l1_loss")
def smooth_l1_loss(x: Any, y: Any, reduction: int = MEAN, beta: float = 1.0) -> Any:
    size = np.abs(x - y)
    if beta == 0:
        return reduce(size, reduction)
    return reduce(np.where(size < beta, 0.5 * np.square(size) / beta, size - 0.5 * beta), reduction)


@aten("huber_loss")
def huber_loss(x: Any, y: Any, reduction: int = MEAN, delta: float = 1.0) -> Any:
    size = np.abs(x - y)
    return reduce(np.where(size <= delta, 0.5 * np.square(size), delta * (size - 0.5 * delta)), reduction)


@aten("binary_cross_entropy")
def binary_cross_entropy(x: Any, target: Any, weight: Any = None, reduction: int = MEAN) -> Any:
    """-t max(log x, -100) - (1 - t) max(log(1 - x), -100)."""
    found = (target - 1) * np.maximum(np.log1p(-x), -100.0) - target * np.maximum(np.log(x), -100.0)
    return reduce(found if weight is None else found * weight, reduction)


@aten("binary_cross_entropy_with_logits")
def binary_cross_entropy_with_logits(
    x: Any, target: Any, weight: Any = None, pos_weight: Any = None, reduction: int = MEAN
) -> Any:
    """(1 - t) x - (1 + (p - 1) t) log sigmoid(x).

    The first term is written such that the terms of its derivative are at least as large as those that PyTorch adds,
    (1 + (p - 1) t) sigmoid(x) - p t.
    """
    positive = target if pos_weight is None else pos_weight * target
    share: Any = 1.0 if pos_weight is None else (pos_weight - 1) * target + 1
    found = share * x - positive * x - share * special.log_expit(x)
    return reduce(found if weight is None else found * weight, reduction)


@aten("soft_margin_loss")
def soft_margin_loss(x: Any, target: Any, reduction: int = MEAN) -> Any:
    return reduce(np.log1p(np.exp(-target * x)), reduction)


@aten("multi_margin_loss")
def multi_margin_loss(
    x: Any, target: Any, p: int = 1, margin: float = 1, weight: Any = None, reduction: int = MEAN
) -> Any:
    """The mean over the classes j other than t of w_t max(0, margin - x_t + x_j)^p."""
    single = np.ndim(x) < 2
    x = np.reshape(x, (1, -1)) if single else x
    target = np.asarray(target).reshape(-1)
    rows = np.arange(len(target))
    gap = np.maximum(margin - np.expand_dims(x[rows, target], -1) + x, 0.0)
    gap = gap if p == 1 else gap * gap
    gap = gap if weight is None else gap * np.expand_dims(weight[target], -1)
    others = np.arange(np.shape(x)[-1]) != target[:, None]
    found = np.sum(np.where(others, gap, 0.0), axis=-1) / float(np.shape(x)[-1])
    return reduce(found[0] if single and reduction == 0 else found, reduction)


@aten("multilabel_margin_loss_forward")
def multilabel_margin_loss(x: Any, target: Any, reduction: int = MEAN) -> Any:
    """(the loss, which classes are targets): the sum of max(0, 1 - x_t + x_j) over targets t and other classes j."""
    single, shape = np.ndim(x) < 2, np.shape(x)
    x, target = (np.reshape(z, (1, -1)) if single else z for z in (x, np.asarray(target)))
    given = np.cumprod(target >= 0, axis=-1) > 0
    rows = np.arange(target.shape[0])[:, None]
    chosen = np.where(given, target, 0)
    is_target = np.zeros(target.shape)
    for row, classes, known in zip(is_target, chosen, given, strict=True):
        row[classes[known]] = 1
    gap = np.maximum(1 - np.expand_dims(x[rows, chosen], -1) + np.expand_dims(x, 1), 0.0)
    counted = given[:, :, None] & (is_target == 0)[:, None, :]
    found = np.sum(np.where(counted, gap, 0.0), axis=(1, 2)) / float(np.shape(x)[-1])
    return reduce(found[0] if single and reduction == 0 else found, reduction), is_target.reshape(shape)


IMPOSSIBLE = -1e30
"""Logarithm of the probability of a state that cannot be reached, in the sums of the CTC loss."""


@aten("_ctc_loss")
def ctc_loss(
    log_probs: Any, targets: Any, input_lengths: Any, target_lengths: Any, blank: int = 0, zero_infinity: bool = False
) -> Any:
    """(the loss of each sequence, its forward variables, which nothing depends on)."""
    lengths, sizes = np.asarray(input_lengths).reshape(-1), np.asarray(target_lengths).reshape(-1)
    targets = np.asarray(targets)
    starts = np.concatenate([[0], np.cumsum(sizes)])
    found = []
    for k, (length, size) in enumerate(zip(lengths, sizes, strict=True)):
        own = targets[k, :size] if targets.ndim == 2 else targets[starts[k] : starts[k] + size]
        found.append(ctc_sequence(log_probs[:, k], own.astype(int), int(length), blank))
    return np.stack(found), np.zeros(0)


def ctc_sequence(log_probs: Any, target: np.ndarray, length: int, blank: int) -> Any:
    """-log of the sum over all alignments of a target with blanks, by the forward recursion."""
    states = np.full(2 * len(target) + 1, blank)
    states[1::2] = target
    jumps = np.zeros(states.shape, dtype=bool)
    jumps[2:] = (states[2:] != blank) & (states[2:] != states[:-2])
    seen = log_probs[:, states]
    alpha = np.where(np.arange(len(states)) < 2, seen[0], IMPOSSIBLE)
    for t in range(1, length):
        before = np.concatenate([np.full(1, IMPOSSIBLE), alpha[:-1]], axis=0)
        found = np.logaddexp(alpha, before)
        if len(states) > 2:
            two = np.concatenate([np.full(2, IMPOSSIBLE), alpha[:-2]], axis=0)
            found = np.logaddexp(found, np.where(jumps, two, IMPOSSIBLE))
        alpha = found + seen[t]
    return -np.logaddexp(alpha[-1], alpha[-2]) if len(states) > 1 else -alpha[-1]
