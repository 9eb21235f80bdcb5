"""Random cases: case number i of a seed is the same, however many are drawn.

One case in ten shares its architecture with others, so that a program compiled for one serves several.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

from gradagree.cases.case import Case
from gradagree.cases.compatibility import (
    adjust_widths,
    insert_domain_activations,
    keeps_widths,
    output_activations,
    some_width_fits,
    sufficient_batch,
)
from gradagree.cases.datasets import DATASETS
from gradagree.cases.regimes import STANDARD, Source
from gradagree.reference import Activation, ErrorFunction

GROUP_STEP = 10
"""One case in this number shares the architecture of its group."""


def group(i: int) -> tuple[int, int]:
    """The group of case i, from 1 on, and the case's place in it, from 0 on."""
    k = (GROUP_STEP + math.isqrt(GROUP_STEP**2 + 8 * GROUP_STEP * i)) // (2 * GROUP_STEP)
    return k, i - _start(k)


def shares_architecture(i: int) -> bool:
    """True if case i has the architecture of its group."""
    k, place = group(i)
    return place < k


def count_shared(cases: int) -> int:
    """The number of the first `cases` cases that share an architecture: at least a tenth."""
    k, place = group(cases)
    return k * (k - 1) // 2 + min(place, k)


def _start(k: int) -> int:
    return GROUP_STEP * k * (k - 1) // 2


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
    losses = _with_defaults(ErrorFunction.catalogue) if errors is None else list(errors)
    for i in range(start, start + cases):
        own, source, turn = _sources(seed, i)
        regime = regimes[turn % len(regimes)]
        error, batch, number = source.choice(losses), source.choice(BATCHES), int(own.integers(SEEDS))
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
    """The sources of the seed and of the architecture of case i, and its turn among the input distributions."""
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
