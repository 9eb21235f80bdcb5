"""Which activations, losses and widths fit together: domains, ranges, and derivatives that are not always zero."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np

from gradagree.reference import Activation, ErrorFunction
from gradagree.reference.samples import allowed_width, some_targets, to_domain

MAX_RAISED_WIDTH = 64
"""The largest width to which a layer is widened for a nonzero vjp."""
TEST_BATCH = 32
"""A batch that is large enough for a loss that compares examples."""
MIN_VJP = 2.0**-8
"""A vjp of a cotangent of magnitude 1 with no entry above this counts as zero."""
MIN_DERIVATIVE = 2.0**-16
"""A gradient of the loss, summed over all entries, with no entry above this counts as zero: all terms cancel."""

INSIDE = {
    "real": ("real", "positive", "unit", "simplex", "log_simplex"),
    "positive": ("positive", "unit", "simplex"),
    "unit": ("unit", "simplex"),
    "simplex": ("simplex",),
    "log_simplex": ("log_simplex",),
}
"""The ranges that lie inside each domain."""

DOMAIN_ACTIVATIONS = {"positive": "softplus", "unit": "sigmoid", "simplex": "softmax", "log_simplex": "log_softmax"}
"""The standard activation with values in each domain."""


def fits(activation: Activation, domain: str) -> bool:
    """True if the values of the activation lie inside the domain."""
    return activation.range in INSIDE[domain]


def output_activations(error: ErrorFunction, functions: Sequence[Activation]) -> list[Activation]:
    """The given activations with values in the domain of the loss; the standard one if there are none."""
    found = [f for f in functions if fits(f, error.domain) and f.domain == "real" and (f.width(12) or 0) == 12]
    return found or [Activation.named(DOMAIN_ACTIVATIONS[error.domain])]


def insert_domain_activations(activations: Sequence[Activation]) -> tuple[Activation, ...]:
    """Insert a standard activation before each one with a restricted domain whose input may lie outside it.

    The inputs themselves are drawn inside the domain where they lead to such an activation.
    """
    chain = list(activations)
    for k in range(len(chain) - 1, 1, -1):
        if not fits(chain[k - 1], chain[k].domain):
            chain[k - 1] = Activation.named(DOMAIN_ACTIVATIONS[chain[k].domain])
    return tuple(chain)


def keeps_widths(activation: Activation, widths: Sequence[int]) -> bool:
    """True if the activation has as many outputs as inputs."""
    return all(activation.width(n) == n for n in widths)


def some_width_fits(out: Activation, error: ErrorFunction) -> bool:
    """True if for some width the outputs of the output activation fit the loss."""
    return any((o := out.width(n)) and _outputs_fit(error, o) for n in range(1, 65))


@functools.lru_cache(maxsize=1024)
def has_nonzero_vjp(activation: Activation, n: int) -> bool:
    """True if the vjp for n entries is not always zero: normalising a 1-vector, for example, has derivative zero."""
    p = to_domain(activation.domain, np.cumsum(np.linspace(0.5, 1, n))[None] - 1)
    delta_a = np.ones((1, activation.width(n) or 0)) * [[1, -0.5, 0.25][k % 3] for k in range(activation.width(n) or 0)]
    with np.errstate(all="ignore"):
        return bool(np.any(np.abs(activation.vjp(p, delta_a)) > MIN_VJP))


@functools.lru_cache(maxsize=4096)
def has_nonzero_gradient(error: ErrorFunction, examples: int, outputs: int) -> bool:
    """True if the loss of `examples` examples can have a nonzero gradient: some losses compare two of one class."""
    waves = np.cos(np.arange(1.0, 1 + examples * outputs)).reshape(examples, outputs)
    o = to_domain(error.domain, waves + np.sign(waves) / 4)
    t = some_targets(error, examples, outputs)
    with np.errstate(all="ignore"):
        gradient = np.abs(error.sensitivity(o, t)) * o.size
        return bool(np.all(np.isfinite(error.value(o, t))) and np.any(gradient > MIN_DERIVATIVE))


def sufficient_batch(examples: int, outputs: int, error: ErrorFunction, batches: Sequence[int]) -> int:
    """The batch size, or the next larger one for which every draw has a nonzero gradient (else the largest)."""
    more = sorted(n for n in {*batches, examples} if n >= examples)
    return next((n for n in more if has_nonzero_gradient(error, n, outputs)), more[-1])


def _outputs_fit(error: ErrorFunction, outputs: int) -> bool:
    classes = error.targets == "classes"
    return (
        outputs >= 1 + classes and error.width(outputs) is not None and has_nonzero_gradient(error, TEST_BATCH, outputs)
    )


def _adjust_width(activation: Activation, n: int) -> int:
    """The width, or the next one that the activation accepts and for which its vjp is not always zero."""
    n = allowed_width(activation, n)
    while activation.along_last_axis and n < MAX_RAISED_WIDTH and not has_nonzero_vjp(activation, n):
        wider = allowed_width(activation, n + 1)
        if wider <= n:
            break
        n = wider
    return n


def adjust_widths(widths: Sequence[int], activations: Sequence[Activation], error: ErrorFunction) -> tuple[int, ...]:
    """The widths, each raised until its activation and the loss accept it and their derivatives are not always zero."""
    adjusted = list(widths)
    for k, activation in enumerate(activations[: len(widths)]):
        adjusted[k] = _adjust_width(activation, adjusted[k])
    out = activations[-1] if len(activations) == len(widths) else Activation.named("id")
    for n in (*range(adjusted[-1], adjusted[-1] + 64), allowed_width(error, 1)):
        if (o := out.width(n)) and _outputs_fit(error, o):
            return (*adjusted[:-1], n)
    return tuple(adjusted)
