"""Random architectures that fit together."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from gradagree.cases.case import Case
from gradagree.cases.datasets import DATASETS
from gradagree.cases.regimes import STANDARD, Source
from gradagree.reference import Activation, ErrorFunction
from gradagree.reference.samples import allowed_width, some_targets, to_domain

# What may stand behind what: domains, ranges and widths of activations and error functions
# -----------------------------------------------------------------------------------------


MAX_RAISED_WIDTH = 64
"""Up to this width a box is made wider for something to be seen."""
TEST_BATCH = 32
"""A batch that is large enough to see what an error function does with so many outputs."""
MIN_VJP = 2.0**-8
"""The least of a sensitivity of 1 that is to come through."""
MIN_DERIVATIVE = 2.0**-16
"""An error's slope, of all examples together, that is no more than what is left where all cancels."""

INSIDE = {
    "real": ("real", "positive", "unit", "simplex", "log_simplex"),
    "positive": ("positive", "unit", "simplex"),
    "unit": ("unit", "simplex"),
    "simplex": ("simplex",),
    "log_simplex": ("log_simplex",),
}
"""The ranges that lie inside each domain."""

DOMAIN_ACTIVATIONS = {"positive": "softplus", "unit": "sigmoid", "simplex": "softmax", "log_simplex": "log_softmax"}
"""The activation that leads into a domain where nothing else is asked for."""


def fits(activation: Activation, domain: str) -> bool:
    """True if the values of the activation lie inside the domain."""
    return activation.range in INSIDE[domain]


def output_activations(error: ErrorFunction, functions: Sequence[Activation]) -> list[Activation]:
    """Those that lead into the error function's domain, of these or, where there are none, the standard one."""
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
        slope = np.abs(error.sensitivity(o, t)) * o.size
        return bool(np.all(np.isfinite(error.value(o, t))) and np.any(slope > MIN_DERIVATIVE))


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
        n = allowed_width(activation, n + 1)
    return n


def adjust_widths(widths: Sequence[int], activations: Sequence[Activation], error: ErrorFunction) -> tuple[int, ...]:
    """The widths, each raised until the activation behind it, and the error function, take it and something is seen."""
    fitting = list(widths)
    for k, activation in enumerate(activations[: len(widths)]):
        fitting[k] = _adjust_width(activation, fitting[k])
    out = activations[-1] if len(activations) == len(widths) else Activation.named("id")
    for n in (*range(fitting[-1], fitting[-1] + 64), allowed_width(error, 1)):
        if (o := out.width(n)) and _outputs_fit(error, o):
            return (*fitting[:-1], n)
    return tuple(fitting)


# Which cases share an architecture, so that what is compiled for one serves several
# ----------------------------------------------------------------------------------


GROUP_STEP = 10
"""One case in so many has an architecture that comes back."""


def group(i: int) -> tuple[int, int]:
    """The group of case i, from 1 on, and the case's place in it, from 0 on."""
    k = (GROUP_STEP + math.isqrt(GROUP_STEP**2 + 8 * GROUP_STEP * i)) // (2 * GROUP_STEP)
    return k, i - _start(k)


def shares_architecture(i: int) -> bool:
    """True if case i has the architecture of its group."""
    k, place = group(i)
    return place < k


def count_shared(cases: int) -> int:
    """The number of cases with a recurring architecture: at least a tenth."""
    k, place = group(cases)
    return k * (k - 1) // 2 + min(place, k)


def _start(k: int) -> int:
    return GROUP_STEP * k * (k - 1) // 2


# Random architectures: case number i of a seed is the same whatever else is drawn
# --------------------------------------------------------------------------------


WIDTHS = (1, 2, 3, 4, 5, 6, 8, 8, 10, 12, 16, 16, 24, 32, 48, 64)
BATCHES = (1, 2, 3, 4, 8, 8, 16, 32)
MAX_LAYERS = 6
SEEDS = 10**9


def draw(
    cases: int,
    seed: int = 0,
    dtypes: Sequence[str] = ("float64", "float32"),
    activations: Sequence[Activation] | None = None,
    errors: Sequence[ErrorFunction] | None = None,
    regimes: Sequence[str] = STANDARD,
    start: int = 0,
) -> Iterator[Case]:
    """Draw random architectures: 1 to 6 layers of width up to 64, up to 32 examples. The same seed draws the same ones.

    The first activation is the identity, so that the first layer takes the inputs as they are. The first case of a data
    set is its classic network. One architecture in ten is drawn again later, with other numbers.

    Args:
        cases: Number of architectures.
        seed: Seed of the architectures and their numbers.
        dtypes: Each architecture is drawn once for each of these.
        activations: Activations to draw from; by default the whole catalogue.
        errors: Error functions to draw from; by default the whole catalogue.
        regimes: Input distributions, which take turns.
        start: Number of the first architecture; those before it are left out.

    Returns:
        An iterator over ``cases`` times the number of dtypes cases.

    Example:
        >>> from gradagree import draw
        >>> [case.dtype for case in draw(2, seed=7)]
        ['float64', 'float32', 'float64', 'float32']
    """
    functions = _with_defaults(Activation.catalogue) if activations is None else list(activations)
    judges = _with_defaults(ErrorFunction.catalogue) if errors is None else list(errors)
    for i in range(start, start + cases):
        own, source, turn = _sources(seed, i)
        regime = regimes[turn % len(regimes)]
        error, batch, number = source.choice(judges), source.choice(BATCHES), int(own.integers(SEEDS))
        widths, biases = _shape(source, regime, first=i < len(regimes))
        if regime in DATASETS:
            kept = [f for f in functions if keeps_widths(f, widths)] or [Activation.named("id")]
            error = error if error.width(widths[-1]) == widths[-1] else ErrorFunction.named("sse")
            chosen = _activations(source, kept, len(widths) - 1, error, least=1 if activations is None else 2)
        else:
            chosen = _activations(source, functions, len(widths) - 1, error, least=1 if activations is None else 2)
            widths = adjust_widths(widths, chosen, error)
        outputs = (chosen[-1].width(widths[-1]) or 0) if len(chosen) == len(widths) else widths[-1]
        batch = sufficient_batch(batch, outputs, error, BATCHES)
        for dtype in dtypes:
            yield Case(widths, chosen, error, batch, dtype, regime, number, biases)


def _sources(seed: int, i: int) -> tuple[Source, Source, int]:
    """What the numbers of case i are drawn from, what its architecture is drawn from, and its turn among regimes."""
    own = Source(f"architecture {seed} {i}")
    if not shares_architecture(i):
        return own, own, i
    return own, Source(f"architecture {seed} of group {group(i)[0]}"), count_shared(i)


def _with_defaults(catalogue: Any) -> list[Any]:
    """Every function with its defaults, by name."""
    return [catalogue[name]() for name in sorted(catalogue)]


def _shape(source: Source, regime: str, first: bool) -> tuple[tuple[int, ...], tuple[bool, ...]]:
    """Widths, and which boxes have biases."""
    depth = 1 + int(source.integers(MAX_LAYERS))
    widths = tuple(source.choice(WIDTHS) for _ in range(depth + 1))
    biased = bool(source.integers(2))
    if regime in DATASETS:
        data = DATASETS[regime]
        widths = data.classic if first else (data.inputs, *widths[1:-1], data.decisions)
    return widths, (biased,) * (len(widths) - 1)


def _activations(
    source: Source, functions: Sequence[Activation], weights: int, error: ErrorFunction, least: int
) -> tuple[Activation, ...]:
    """Identity on the inputs, then one activation for each layer; in one network of four also an output activation.

    With `least` 2, every network has one of the functions. Before a loss or an activation with a restricted domain
    stands an activation whose values lie inside it.
    """
    boxes = max(least, weights + (int(source.integers(4)) == 0))
    chosen = [source.choice(functions) for _ in range(boxes - 1)]
    if error.domain != "real":
        chosen = [*chosen[: weights - 1], source.choice(output_activations(error, functions))]
    elif len(chosen) == weights and not some_width_fits(chosen[-1], error):
        chosen[-1] = Activation.named("id")
    return insert_domain_activations((Activation.named("id"), *chosen))
