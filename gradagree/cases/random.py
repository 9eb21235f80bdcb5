"""Random cases: case number i of a seed is the same, however many are drawn.

One case in ten shares its architecture with others, so that a program compiled for one serves several. Some cases have
a width or batch size at which kernels change their algorithm, and some are drawn in other dtypes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

from gradagree.cases.case import Case
from gradagree.cases.compatibility import (
    adjust_widths,
    fits,
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
KERNEL_WIDTHS = (257, 33, 129, 17, 255, 65, 128, 31, 256, 63, 127, 15)
KERNEL_BATCHES = (33, 129, 17, 65, 257, 31, 128, 63, 256, 127, 64, 255, 15)
"""Sizes next to and at powers of two, at which kernels change their algorithm; cases take them in turn."""
KERNEL_STEP = 8
"""One case in this number has one of `KERNEL_WIDTHS`, and another one of `KERNEL_BATCHES`."""
OTHER_STEP, OTHER_PLACES = 7, (2, 5)
"""The cases of these numbers modulo `OTHER_STEP` are drawn in the other dtypes."""
GROUP_TURNS = 3
"""Groups of shared architectures take turns: kernel batches, other dtypes (from the second turn on), kernel widths."""
MAX_LAYERS = 6
EXTREME_LAYERS = 2
"""Most layers of a network with extreme inputs, of which deeper layers would keep little; also in some groups."""
SEEDS = 10**9


def has_other_dtypes(i: int) -> bool:
    """True if case i is drawn in the other dtypes."""
    if shares_architecture(i):
        return group(i)[0] % GROUP_TURNS == 1 and i > 0
    return i % OTHER_STEP in OTHER_PLACES


def kernel_width(i: int) -> tuple[int, bool] | None:
    """The width of `KERNEL_WIDTHS` that case i has, and whether it is that of the last layer; None for most cases."""
    if shares_architecture(i):
        turn, place = divmod(group(i)[0], GROUP_TURNS)
        return (KERNEL_WIDTHS[turn % len(KERNEL_WIDTHS)], turn % 2 == 1) if place == 2 else None
    turn, place = divmod(i, KERNEL_STEP)
    return (KERNEL_WIDTHS[turn // 2 % len(KERNEL_WIDTHS)], turn % 2 == 1) if place == 3 else None


def kernel_batch(i: int) -> int | None:
    """The batch size of `KERNEL_BATCHES` that case i has; None for most cases."""
    if shares_architecture(i):
        turn, place = divmod(group(i)[0], GROUP_TURNS)
        return KERNEL_BATCHES[(turn - 1) % len(KERNEL_BATCHES)] if place == 0 else None
    turn, place = divmod(i, KERNEL_STEP)
    return KERNEL_BATCHES[turn % len(KERNEL_BATCHES)] if place == KERNEL_STEP - 1 else None


def draw(
    cases: int,
    seed: int = 0,
    dtypes: Sequence[str] = ("float64", "float32"),
    activations: Sequence[Activation] | None = None,
    errors: Sequence[ErrorFunction] | None = None,
    regimes: Sequence[str] = STANDARD,
    start: int = 0,
    other_dtypes: Sequence[str] = (),
) -> Iterator[Case]:
    """Draw random architectures: 1 to 6 layers of width up to 64, up to 32 examples. The same seed draws the same ones.

    One architecture in eight has a width, and another one a batch size, next to or at a power of two up to 256. The
    first activation is the identity, so that the first layer takes the inputs as they are; half of the architectures
    with extreme inputs, and some others, begin with another activation. The first case of a data set is its classic
    network. One architecture in ten is drawn again later, with other numbers.

    Args:
        cases: Number of architectures.
        seed: Seed of the architectures and their numbers.
        dtypes: Each architecture is drawn once for each of these.
        activations: Activations to draw from; by default the whole catalogue.
        errors: Error functions to draw from; by default the whole catalogue.
        regimes: Input distributions, which take turns.
        start: Number of the first architecture; those before it are left out.
        other_dtypes: Dtypes that replace `dtypes` in two of seven architectures; as many as `dtypes`, or none.

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
        batch = kernel_batch(i) or batch
        short = group(i)[0] % 2 == 0 if shares_architecture(i) else regime == "extreme"
        most = EXTREME_LAYERS if short else MAX_LAYERS
        widths, biases = _shape(source, regime, i < len(regimes), kernel_width(i), most)
        if regime in DATASETS:
            kept = [f for f in functions if keeps_widths(f, widths)] or [Activation.named("id")]
            error = error if error.width(widths[-1]) == widths[-1] else ErrorFunction.named("sse")
            chosen = _activations(source, kept, len(widths) - 1, error, least=1 if activations is None else 2)
        else:
            chosen = _activations(source, functions, len(widths) - 1, error, least=1 if activations is None else 2)
            if short and (shares_architecture(i) or source.integers(2)):
                chosen = (_first_activation(source, functions, chosen), *chosen[1:])
            widths = adjust_widths(widths, chosen, error)
        outputs = (chosen[-1].width(widths[-1]) or 0) if len(chosen) == len(widths) else widths[-1]
        batch = sufficient_batch(batch, outputs, error, BATCHES)
        for dtype in other_dtypes if other_dtypes and has_other_dtypes(i) else dtypes:
            yield Case(widths, chosen, error, batch, dtype, regime, number, biases)


def _sources(seed: int, i: int) -> tuple[Source, Source, int]:
    """The sources of the seed and of the architecture of case i, and its turn among the input distributions."""
    own = Source(f"architecture {seed} {i}")
    if not shares_architecture(i):
        return own, own, 1 + i - count_shared(i)
    return own, Source(f"architecture {seed} of group {group(i)[0]}"), count_shared(i)


def _with_defaults(catalogue: Any) -> list[Any]:
    """Every function with its defaults, by name."""
    return [catalogue[name]() for name in sorted(catalogue)]


def _shape(
    source: Source, regime: str, first: bool, kernel: tuple[int, bool] | None, most: int
) -> tuple[tuple[int, ...], tuple[bool, ...]]:
    """Widths of up to `most` layers, and which boxes have biases."""
    depth = 1 + int(source.integers(most))
    widths = tuple(source.choice(WIDTHS) for _ in range(depth + 1))
    biased = bool(source.integers(2))
    if kernel is not None:
        width, last = kernel
        place = depth if last or depth == 1 else 1 + int(source.integers(depth - 1))
        widths = (*widths[:place], width, *widths[place + 1 :])
    if regime in DATASETS:
        data = DATASETS[regime]
        widths = data.classic if first else (data.inputs, *widths[1:-1], data.decisions)
    return widths, (biased,) * (len(widths) - 1)


def _first_activation(source: Source, functions: Sequence[Activation], chosen: Sequence[Activation]) -> Activation:
    """An activation that takes the inputs themselves; the identity if none fits before the second activation."""
    domain = chosen[1].domain if len(chosen) > 1 else "real"
    found = [f for f in functions if f.domain in ("real", "positive") and fits(f, domain)]
    return source.choice(found) if found else Activation.named("id")


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
