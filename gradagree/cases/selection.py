"""Which cases of a run are graphs of layers: a share of them beside chains, or all of them.

Case number i is the same, however many cases are drawn.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from gradagree.cases.architectures import draw_graph
from gradagree.cases.datasets import DATASETS
from gradagree.cases.graph_case import AnyCase, GraphCase
from gradagree.cases.graph_text import DENSE, FAMILIES
from gradagree.cases.random import GROUP_STEP, draw as draw_chains, group, has_other_dtypes, shares_architecture
from gradagree.cases.regimes import STANDARD, Source
from gradagree.errors import UsageError, nearest
from gradagree.reference import Activation, ErrorFunction
from gradagree.reference.layer import Layer

PERIOD = 16
PLACES = (3, 8, 13)
"""The cases of these places among `PERIOD` are graphs, where chains and graphs are drawn."""
GROUPS = 4
"""One group in this number, in which cases share their architecture, has a graph."""
REUSE = 4
"""Number of graphs of a family in sequence with the same architecture, so that compiled programs serve several."""
DEPTHS = (1, 1, 2, 3, 6, 12)
"""Numbers of blocks of graphs of one's own layers."""
SEEDS = 10**9


def is_shared_graph(k: int) -> bool:
    """True if the cases of group k that share an architecture are graphs, where chains are drawn too."""
    return k % GROUPS == GROUPS - 1


def graphs_among(count: int) -> int:
    """The number of graphs among the first `count` cases of a group that share no architecture."""
    whole, rest = divmod(count, PERIOD)
    return whole * len(PLACES) + sum(place < rest for place in PLACES)


class GraphTurn(NamedTuple):
    """What a graph is drawn from: its family, the text that decides its architecture, and numbers in sequence."""

    family: str
    architecture: str
    regime: int
    own: int


@dataclass(frozen=True)
class Selection:
    """What the cases of a run are drawn from.

    Args:
        seed: Seed of the architectures and their numbers.
        dtypes: Each architecture is drawn once for each of these.
        architectures: Families to draw from.
        activations: Activations to draw from; None for the catalogue, or in graphs for those of networks in use.
        errors: Losses to draw from; None for the catalogue.
        regimes: Input distributions, which take turns.
        other_dtypes: Dtypes that replace `dtypes` in a share of the cases; as many, or none.
        layers: One's own layers, of which all graphs are built.
    """

    seed: int
    dtypes: Sequence[str]
    architectures: Sequence[str]
    activations: Sequence[Activation] | None = None
    errors: Sequence[ErrorFunction] | None = None
    regimes: Sequence[str] = ()
    other_dtypes: Sequence[str] = ()
    layers: Sequence[Layer] = ()

    @property
    def families(self) -> list[str]:
        """The families of graphs."""
        return [name for name in self.architectures if name != DENSE]

    def is_graph(self, i: int) -> bool:
        """True if case i is a graph."""
        if not self.families or DENSE not in self.architectures:
            return bool(self.families)
        k, place = group(i)
        if shares_architecture(i):
            return is_shared_graph(k)
        return (place - k) % PERIOD in PLACES

    def draw(self, numbers: range) -> Iterator[AnyCase]:
        """The cases with these numbers, in every dtype."""
        for i in numbers:
            if self.is_graph(i):
                yield from self._graphs(i)
            else:
                yield from draw_chains(
                    1, self.seed, self.dtypes, self.activations, self.errors, self.regimes, i, self.other_dtypes
                )

    def _graphs(self, i: int) -> Iterator[GraphCase]:
        """Case i, a graph, in every dtype."""
        turn = self._turn(i)
        regimes = [name for name in self.regimes if name not in DATASETS] or ["ordinary"]
        number = int(Source(f"graph {self.seed} {i}").integers(SEEDS))
        errors = self.errors or [ErrorFunction.catalogue[name]() for name in sorted(ErrorFunction.catalogue)]
        own = self.layers[turn.own % len(self.layers)] if self.layers else None
        for dtype in self.other_dtypes if self.other_dtypes and has_other_dtypes(i) else self.dtypes:
            source = Source(f"graph {self.seed} {turn.architecture}")
            blocks = int(source.choice(DEPTHS)) if own is not None else None
            regime = regimes[turn.regime % len(regimes)]
            yield draw_graph(source, turn.family, self.activations, errors, regime, dtype, number, blocks, own)

    def _turn(self, i: int) -> GraphTurn:
        """Families take turns, then input distributions; `REUSE` graphs of a family have one architecture."""
        families, (k, place) = self.families, group(i)
        if shares_architecture(i):
            return GraphTurn(families[k // GROUPS % len(families)], f"of group {k}", place, k)
        turn = i
        if DENSE in self.architectures:
            turn = sum(graphs_among((GROUP_STEP - 1) * j) for j in range(1, k)) + graphs_among(place - k)
        round_, which = divmod(turn, len(families))
        return GraphTurn(families[which], f"{families[which]} {round_ // REUSE}", round_, turn)


def draw(
    cases: int,
    seed: int = 0,
    dtypes: Sequence[str] = ("float64", "float32"),
    activations: Sequence[Activation] | None = None,
    errors: Sequence[ErrorFunction] | None = None,
    regimes: Sequence[str] = STANDARD,
    start: int = 0,
    other_dtypes: Sequence[str] = (),
    architectures: Sequence[str] = (DENSE,),
) -> Iterator[AnyCase]:
    """Draw random architectures. The same seed draws the same ones.

    Chains of dense layers have 1 to 6 layers of width up to 64 and up to 32 examples. One architecture in eight has a
    width, and another one a batch size, next to or at a power of two up to 256. The first activation is the identity,
    so that the first layer takes the inputs as they are; half of the architectures with extreme inputs, and some
    others, begin with another activation. The first case of a data set is its classic network. One architecture in
    ten is drawn again later, with other numbers. With further families, three cases in sixteen are graphs of layers.

    Args:
        cases: Number of architectures.
        seed: Seed of the architectures and their numbers.
        dtypes: Each architecture is drawn once for each of these.
        activations: Activations to draw from; by default the whole catalogue.
        errors: Error functions to draw from; by default the whole catalogue.
        regimes: Input distributions, which take turns.
        start: Number of the first architecture; those before it are left out.
        other_dtypes: Dtypes that replace `dtypes` in two of seven architectures; as many as `dtypes`, or none.
        architectures: Families: ``dense`` (chains), ``convolutional``, ``residual``, ``transformer``, ``recurrent``,
            ``mixer``.

    Returns:
        An iterator over ``cases`` times the number of dtypes cases.

    Raises:
        UsageError: A family is unknown.

    Example:
        >>> from gradagree import draw
        >>> [case.dtype for case in draw(2, seed=7)]
        ['float64', 'float32', 'float64', 'float32']
        >>> next(draw(1, architectures=["mixer"])).family
        'mixer'
    """
    for name in architectures:
        if name not in FAMILIES:
            raise UsageError(f"architectures: unknown name {name!r}; {nearest(name, FAMILIES)}")
    chosen = Selection(seed, dtypes, architectures, activations, errors, regimes, other_dtypes)
    return chosen.draw(range(start, start + cases))
