"""What may stand behind what: domains, ranges and widths of activations and error functions."""

from __future__ import annotations

from collections.abc import Sequence

from gradagree.reference import Activation, ErrorFunction
from gradagree.reference.samples import allowed_width

__all__ = ["chained", "fits", "fitting_widths", "keeps_widths", "output_activations", "pairs"]

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


def _enough(error: ErrorFunction, outputs: int) -> bool:
    return outputs >= (2 if error.targets == "classes" else 1) and error.width(outputs) is not None


def fitting_widths(widths: Sequence[int], activations: Sequence[Activation], error: ErrorFunction) -> tuple[int, ...]:
    """The widths, each raised until the activation behind it, and the error function, take it.

    Along the last axis of one entry there is little to see, so there are at least two.
    """
    fitting = list(widths)
    for k, activation in enumerate(activations[: len(widths)]):
        fitting[k] = allowed_width(activation, max(fitting[k], 1 + activation.along_last_axis))
    out = activations[-1] if len(activations) == len(widths) else Activation.named("id")
    for n in (*range(fitting[-1], fitting[-1] + 64), allowed_width(error, 1)):
        if (o := out.width(n)) and _enough(error, o):
            return (*fitting[:-1], n)
    return tuple(fitting)
