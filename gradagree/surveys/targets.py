"""Derivatives of losses by their targets."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np

from gradagree.adapters.pointwise import is_rows
from gradagree.reference import Activation, ErrorFunction
from gradagree.reference.losses.reduction import _EntryByEntry
from gradagree.surveys.subject import Subject

DIFFERENTIABLE = ("real", "positive")
"""Kinds of targets that vary; other kinds are labels, and the definition says nothing between them."""
MAX_POINTS = 4096
"""Pairs of an output and a target, evenly from all."""


def subjects_by_target(function: Activation | ErrorFunction, dtype: str, density: int) -> Iterator[Subject]:
    """The loss of single entries as a function of its target; nothing for a function without such a derivative."""
    if not isinstance(function, _EntryByEntry) or is_rows(function) or function.targets not in DIFFERENTIABLE:
        return
    subject = Subject.of(function, dtype, density)
    outputs, targets = subject.points, np.asarray(subject.targets)
    # At the end of the domain, as of t log t at 0, the derivative may be infinite.
    usable = np.isfinite(outputs) & np.isfinite(targets) & ((targets > 0) | (function.targets == "real"))
    inside = np.flatnonzero(usable[:, 0])
    places = inside[np.unique(np.linspace(0, len(inside) - 1, MAX_POINTS).astype(int))]
    yield dataclasses.replace(subject, points=targets[places], targets=outputs[places], by_target=True)
