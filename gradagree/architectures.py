"""Random architectures: case number i of a seed is the same whatever else is drawn."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from gradagree.cases import Case
from gradagree.datasets import DATASETS
from gradagree.drawing import STANDARD, Source
from gradagree.pairing import chained, enough_examples, fitting_widths, keeps_widths, output_activations, pairs
from gradagree.reference import Activation, ErrorFunction
from gradagree.returning import group, returning, returns

WIDTHS = (1, 2, 3, 4, 5, 6, 8, 8, 10, 12, 16, 16, 24, 32, 48, 64)
BATCHES = (1, 2, 3, 4, 8, 8, 16, 32)
MOST_BOXES = 6
ROOM_FOR_SEEDS = 10**9


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
    functions = _whole(Activation.catalogue) if activations is None else list(activations)
    judges = _whole(ErrorFunction.catalogue) if errors is None else list(errors)
    for i in range(start, start + cases):
        own, source, turn = _sources(seed, i)
        regime = regimes[turn % len(regimes)]
        error, batch, number = source.choice(judges), source.choice(BATCHES), int(own.integers(ROOM_FOR_SEEDS))
        widths, biases = _shape(source, regime, first=i < len(regimes))
        if regime in DATASETS:
            kept = [f for f in functions if keeps_widths(f, widths)] or [Activation.named("id")]
            error = error if error.width(widths[-1]) == widths[-1] else ErrorFunction.named("sse")
            chosen = _activations(source, kept, len(widths) - 1, error, least=1 if activations is None else 2)
        else:
            chosen = _activations(source, functions, len(widths) - 1, error, least=1 if activations is None else 2)
            widths = fitting_widths(widths, chosen, error)
        outputs = (chosen[-1].width(widths[-1]) or 0) if len(chosen) == len(widths) else widths[-1]
        batch = enough_examples(batch, outputs, error, BATCHES)
        for dtype in dtypes:
            yield Case(widths, chosen, error, batch, dtype, regime, number, biases)


def _sources(seed: int, i: int) -> tuple[Source, Source, int]:
    """What the numbers of case i are drawn from, what its architecture is drawn from, and its turn among regimes."""
    own = Source(f"architecture {seed} {i}")
    if not returns(i):
        return own, own, i
    return own, Source(f"architecture {seed} of group {group(i)[0]}"), returning(i)


def _whole(catalogue: Any) -> list[Any]:
    """Every function with its defaults, by name."""
    return [catalogue[name]() for name in sorted(catalogue)]


def _shape(source: Source, regime: str, first: bool) -> tuple[tuple[int, ...], tuple[bool, ...]]:
    """Widths, and which boxes have biases."""
    depth = 1 + int(source.integers(MOST_BOXES))
    widths = tuple(source.choice(WIDTHS) for _ in range(depth + 1))
    biased = bool(source.integers(2))
    if regime in DATASETS:
        data = DATASETS[regime]
        widths = data.classic if first else (data.inputs, *widths[1:-1], data.decisions)
    return widths, (biased,) * (len(widths) - 1)


def _activations(
    source: Source, functions: Sequence[Activation], weights: int, error: ErrorFunction, least: int
) -> tuple[Activation, ...]:
    """Identity on the inputs, then one for each box; in one network of four an output activation too.

    least 2 sees to it that every network has one of the functions. Where the error function or an activation is for
    some numbers only, what is before it gives such numbers.
    """
    boxes = max(least, weights + (int(source.integers(4)) == 0))
    chosen = [source.choice(functions) for _ in range(boxes - 1)]
    if error.domain != "real":
        chosen = [*chosen[: weights - 1], source.choice(output_activations(error, functions))]
    elif len(chosen) == weights and not pairs(chosen[-1], error):
        chosen[-1] = Activation.named("id")
    return chained((Activation.named("id"), *chosen))
