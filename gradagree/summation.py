"""How a framework adds up the gradients of single examples, where it is not in one dot product or plain sum."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from gradagree.reference.boxes import Gradient


def added_up(gradient: Gradient, a: Any, delta_c: Any) -> Gradient:
    """The gradient of A(p) = a and delta_c, rounded or variance arrays, with what the mode's way of adding costs.

    Where each example's own gradient is stored, each term of dE/dw is rounded; a bias's gradient is summed in its own
    format (`Model.biases`).
    """
    model, (w, b) = delta_c.model, gradient
    if w is not None and model.each_alone:
        w = w.widened(w.of_terms(np.abs(getattr(a, "value", a)), np.abs(delta_c.value)))
    if b is not None and model.biases != model.accumulator:
        b = np.sum(delta_c.modelled(replace(model, accumulator=model.biases)), axis=-2)
    return Gradient(w, b)
