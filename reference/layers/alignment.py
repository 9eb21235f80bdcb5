"""Connectionist temporal classification: a sum over all alignments of a sequence of labels with a longer one."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

from gradagree.reference.layer import Layer

BLANK = 0


def with_blanks(labels: Sequence[int]) -> list[int]:
    """The labels with a blank before, between and after them: the states of an alignment."""
    return [BLANK, *(k for label in labels for k in (int(label), BLANK))]


def steps_to(states: Sequence[int], s: int) -> list[int]:
    """The states that may come before state s: itself, the one before, and that before a blank that may be left out."""
    skips = s >= 2 and states[s] not in (BLANK, states[s - 2])
    return [s, *([s - 1] if s else []), *([s - 2] if skips else [])]


def log_sum(terms: Sequence[Any]) -> Any:
    """log(sum of exp(terms)), or None where there are none."""
    return functools.reduce(np.logaddexp, terms) if terms else None


def forward_sums(log_p: Any, states: Sequence[int]) -> list[list[Any]]:
    """alpha[t][s]: the logarithm of the probability of all beginnings that are in state s at time t; None for none."""
    alpha: list[list[Any]] = [[log_p[0, k] if s < 2 else None for s, k in enumerate(states)]]
    for t in range(1, np.shape(log_p)[0]):
        before = alpha[-1]
        sums = [log_sum([before[r] for r in steps_to(states, s) if before[r] is not None]) for s in range(len(states))]
        alpha.append([None if z is None else z + log_p[t, k] for z, k in zip(sums, states, strict=True)])
    return alpha


def backward_sums(log_p: Any, states: Sequence[int]) -> list[list[Any]]:
    """beta[t][s]: the same for all endings after time t, from state s."""
    length, n = np.shape(log_p)[0], len(states)
    beta: list[list[Any]] = [[0.0 if s >= n - 2 else None for s in range(n)]]
    for t in range(length - 1, 0, -1):
        after = [None if z is None else z + log_p[t, k] for z, k in zip(beta[0], states, strict=True)]
        onward = [[r for r in range(s, min(s + 3, n)) if s in steps_to(states, r)] for s in range(n)]
        beta.insert(0, [log_sum([after[r] for r in places if after[r] is not None]) for places in onward])
    return beta


class ConnectionistTemporalClassification(Layer):
    """-log of the probability of labels under softmax(x), summed over their alignments with the steps of x.

    Arrays: x (steps, examples, classes), class 0 is the blank; labels (examples, labels), integers from 1; the numbers
    of steps and of labels of each example. The value has one entry for each example.

    Graves, Fernandez, Gomez, Schmidhuber (2006), "Connectionist temporal classification", equations 5 to 16: the
    derivative by x[t, k] is softmax(x[t])[k] less the probability that an alignment has label k at step t.
    """

    name = "ctc"

    def value(self, x: Any, labels: Any, steps: Any, counts: Any) -> Any:
        log_p = x - np.logaddexp.reduce(x, axis=-1, keepdims=True)
        found = []
        for n, (length, count) in enumerate(zip(steps, counts, strict=True)):
            alpha = forward_sums(log_p[:length, n], with_blanks(labels[n, :count]))
            found.append(-log_sum([z for z in alpha[-1][-2:] if z is not None]))
        return np.stack(found)

    def vjp(self, g: Any, x: Any, labels: Any, steps: Any, counts: Any) -> tuple[Any, ...]:
        log_p = x - np.logaddexp.reduce(x, axis=-1, keepdims=True)
        classes = np.arange(np.shape(x)[-1])
        found = []
        for n, (length, count) in enumerate(zip(steps, counts, strict=True)):
            states, own = with_blanks(labels[n, :count]), log_p[:length, n]
            alpha, beta = forward_sums(own, states), backward_sums(own, states)
            total = log_sum([z for z in alpha[-1][-2:] if z is not None])
            rows = []
            for t in range(np.shape(x)[0]):
                row: Any = np.exp(log_p[t, n]) if t < length else 0.0 * log_p[t, n]
                for s, k in enumerate(states) if t < length else ():
                    if alpha[t][s] is not None and beta[t][s] is not None:
                        row = row - np.where(classes == k, np.exp(alpha[t][s] + beta[t][s] - total), 0.0)
                rows.append(g[n] * row)
            found.append(np.stack(rows))
        return np.stack(found, axis=1), None, None, None

    def example(self, rng: np.random.Generator) -> dict[str, np.ndarray]:
        return {
            "x": rng.standard_normal((4, 3, 4)),
            "labels": np.array([[1, 2], [3, 3], [2, 1]]),
            "steps": np.array([4, 4, 3]),
            "counts": np.array([2, 2, 1]),
        }

    def torch(self, x, labels, steps, counts, *, torch):
        log_p = torch.log_softmax(x, -1)
        return torch.nn.functional.ctc_loss(log_p, labels, steps, counts, blank=BLANK, reduction="none")

    def jax(self, x, labels, steps, counts, *, jax):
        numpy = jax.numpy
        low = float(numpy.finfo(x.dtype).min) / 4  # the logarithm of the probability of a state that is not reached
        log_p = jax.nn.log_softmax(x, -1)
        n, most = labels.shape
        states = numpy.full((n, 2 * most + 1), BLANK).at[:, 1::2].set(labels)
        place = numpy.arange(2 * most + 1)
        skips = (states != BLANK) & (states != numpy.roll(states, 2, 1)) & (place >= 2)

        def shifted(alpha, by):
            return numpy.where(place >= by, numpy.roll(alpha, by, 1), low)

        alpha = numpy.where(place < 2, numpy.take_along_axis(log_p[0], states, 1), low)
        for t in range(1, x.shape[0]):
            beside = numpy.logaddexp(alpha, shifted(alpha, 1))
            sums = numpy.where(skips, numpy.logaddexp(beside, shifted(alpha, 2)), beside)
            new = sums + numpy.take_along_axis(log_p[t], states, 1)
            alpha = numpy.where((t < steps)[:, None], new, alpha)
        ends = numpy.stack([2 * counts - 1, 2 * counts], 1)
        return -jax.nn.logsumexp(numpy.take_along_axis(alpha, ends, 1), axis=1)
