"""What may stand behind what: domains, ranges and widths of activations and error functions."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np

from gradagree.reference import Activation, ErrorFunction
from gradagree.reference.samples import allowed_width, inside, some_targets

ROOM = 64
"""Up to this width a box is made wider for something to be seen."""
EXAMPLES = 32
"""A batch that is large enough to see what an error function does with so many outputs."""
SEEN = 2.0**-8
"""The least of a sensitivity of 1 that is to come through."""
LOST = 2.0**-16
"""An error's slope, of all examples together, that is no more than what is left where all cancels."""

INSIDE = {
    "real": ("real", "positive", "unit", "simplex", "log_simplex"),
    "positive": ("positive", "unit", "simplex"),
    "unit": ("unit", "simplex"),
    "simplex": ("simplex",),
    "log_simplex": ("log_simplex",),
}
"""The ranges that lie inside each domain."""

STANDARD = {"positive": "softplus", "unit": "sigmoid", "simplex": "softmax", "log_simplex": "log_softmax"}
"""The activation that leads into a domain where nothing else is asked for."""


def fits(activation: Activation, domain: str) -> bool:
    """Whether what the activation gives lies inside the domain."""
    return activation.range in INSIDE[domain]


def output_activations(error: ErrorFunction, functions: Sequence[Activation]) -> list[Activation]:
    """Those that lead into the error function's domain, of these or, where there are none, the standard one."""
    found = [f for f in functions if fits(f, error.domain) and f.domain == "real" and (f.width(12) or 0) == 12]
    return found or [Activation.named(STANDARD[error.domain])]


def chained(activations: Sequence[Activation]) -> tuple[Activation, ...]:
    """With a standard activation before each one of restricted domain, unless what is before it gives such numbers.

    The inputs themselves are drawn inside the domain where they lead to such an activation.
    """
    chain = list(activations)
    for k in range(len(chain) - 1, 1, -1):
        if not fits(chain[k - 1], chain[k].domain):
            chain[k - 1] = Activation.named(STANDARD[chain[k].domain])
    return tuple(chain)


def keeps_widths(activation: Activation, widths: Sequence[int]) -> bool:
    """Whether it gives as many numbers as it takes."""
    return all(activation.width(n) == n for n in widths)


def pairs(out: Activation, error: ErrorFunction) -> bool:
    """Whether some number of entries makes the output activation give outputs that the error function takes."""
    return any((o := out.width(n)) and _enough(error, o) for n in range(1, 65))


@functools.lru_cache(maxsize=1024)
def telling(activation: Activation, n: int) -> bool:
    """Whether a sensitivity comes through n entries: one number brought to length 1 does not change with its size."""
    p = inside(activation.domain, np.cumsum(np.linspace(0.5, 1, n))[None] - 1)
    delta_a = np.ones((1, activation.width(n) or 0)) * [[1, -0.5, 0.25][k % 3] for k in range(activation.width(n) or 0)]
    with np.errstate(all="ignore"):
        return bool(np.any(np.abs(activation.vjp(p, delta_a)) > SEEN))


@functools.lru_cache(maxsize=4096)
def lively(error: ErrorFunction, examples: int, outputs: int) -> bool:
    """Whether so many examples have an error, and it has a slope: some compare two of one class, or directions."""
    waves = np.cos(np.arange(1.0, 1 + examples * outputs)).reshape(examples, outputs)
    o = inside(error.domain, waves + np.sign(waves) / 4)
    t = some_targets(error, examples, outputs)
    with np.errstate(all="ignore"):
        slope = np.abs(error.sensitivity(o, t)) * o.size
        return bool(np.all(np.isfinite(error.value(o, t))) and np.any(slope > LOST))


def enough_examples(examples: int, outputs: int, error: ErrorFunction, batches: Sequence[int]) -> int:
    """So many examples, or the next larger batch that is lively whatever is drawn; the largest where none is."""
    more = sorted(n for n in {*batches, examples} if n >= examples)
    return next((n for n in more if lively(error, n, outputs)), more[-1])


def _enough(error: ErrorFunction, outputs: int) -> bool:
    classes = error.targets == "classes"
    return outputs >= 1 + classes and error.width(outputs) is not None and lively(error, EXAMPLES, outputs)


def fitting_widths(widths: Sequence[int], activations: Sequence[Activation], error: ErrorFunction) -> tuple[int, ...]:
    """The widths, each raised until the activation behind it, and the error function, take it and something is seen."""
    fitting = list(widths)
    for k, activation in enumerate(activations[: len(widths)]):
        fitting[k] = allowed_width(activation, fitting[k])
        while activation.along_last_axis and fitting[k] < ROOM and not telling(activation, fitting[k]):
            fitting[k] = allowed_width(activation, fitting[k] + 1)
    out = activations[-1] if len(activations) == len(widths) else Activation.named("id")
    for n in (*range(fitting[-1], fitting[-1] + 64), allowed_width(error, 1)):
        if (o := out.width(n)) and _enough(error, o):
            return (*fitting[:-1], n)
    return tuple(fitting)
