"""Derivatives of losses by their targets, numbers or probabilities, and by their weights."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np

from gradagree.adapters.pointwise import is_rows
from gradagree.reference import Activation, ErrorFunction
from gradagree.surveys.rows import row_width
from gradagree.surveys.subject import Subject

VARYING = ("real", "positive")
"""Kinds of targets that vary; of other kinds, the definition mostly says nothing between the labels."""
PROBABILITIES = (
    "bce", "bce_logits", "binary_dice", "dice", "dice_of_probabilities", "kl_div", "multilabel_soft_margin",
    "poly_cross_entropy", "soft_cross_entropy",
)  # fmt: skip
"""Losses of labels whose definitions hold for any probabilities."""
INFINITE_AT_ZERO = ("kl_div",)
"""Losses of probabilities t with a term t log t."""
WEIGHTS = {
    "bce": ("weight",), "bce_logits": ("weight", "pos_weight"), "multilabel_soft_margin": ("weight",),
}  # fmt: skip
"""Weights for each entry, which are operands of a public function.

PyTorch refuses to differentiate by the class weights of ``cross_entropy``, ``nll_loss`` and ``multi_margin_loss``.
"""
WEIGHT_NUMBERS = (1.0, 3.0, 0.1875)
MAX_POINTS, MAX_ROWS = 4096, 256
"""Pairs of an output and a target, or of their rows, evenly from all."""


def has_target_derivative(function: Activation | ErrorFunction) -> bool:
    """Whether the definition of a loss has a derivative by its targets."""
    return isinstance(function, ErrorFunction) and (function.targets in VARYING or function.name in PROBABILITIES)


def subjects_by_target(function: Activation | ErrorFunction, dtype: str, density: int) -> Iterator[Subject]:
    """The loss as a function of its targets; nothing for a function without such a derivative."""
    if not has_target_derivative(function) or (is_rows(function) and not function.width(row_width(function))):
        return
    assert isinstance(function, ErrorFunction)
    subject, rows = Subject.of(function, dtype, density), is_rows(function)
    outputs, targets = subject.points, np.asarray(subject.targets)
    usable = np.isfinite(outputs).all(axis=1) & np.isfinite(targets).all(axis=1)
    if function.targets == "positive" or function.name in INFINITE_AT_ZERO:
        usable &= (targets > 0).all(axis=1)  # at the end of the domain the derivative may be infinite
    inside = np.flatnonzero(usable)
    most = MAX_ROWS if rows else MAX_POINTS
    places = inside[np.unique(np.linspace(0, len(inside) - 1, most).astype(int))]
    js = tuple(range(targets.shape[1])) if rows else None
    if function.targets == "real" and function.domain == "real" and targets.shape == outputs.shape and rows:
        outputs, targets = np.concatenate([outputs, targets]), np.concatenate([targets, outputs])  # of all sizes
        places = np.concatenate([places, places + len(subject.points)])
    made = dataclasses.replace(subject, ks=(0,) if rows else None, js=js, by="target")
    yield dataclasses.replace(made, points=targets[places], targets=outputs[places])


def subjects_by_weight(function: Activation | ErrorFunction, dtype: str, density: int) -> Iterator[Subject]:
    """The loss as a function of each weight of its entries."""
    for name in WEIGHTS.get(function.name, ()):
        subject, rows = Subject.of(function, dtype, density), is_rows(function)
        outputs, labels = subject.points, np.asarray(subject.targets)
        inside = np.flatnonzero(np.isfinite(outputs).all(axis=1))
        places = inside[np.unique(np.linspace(0, len(inside) - 1, MAX_ROWS if rows else MAX_POINTS).astype(int))]
        points = np.resize(WEIGHT_NUMBERS, len(places))[:, None] * np.ones(outputs.shape[1])
        yield dataclasses.replace(
            subject, points=points, targets=outputs[places], labels=labels[places], by=name, ks=(0,) if rows else None
        )
