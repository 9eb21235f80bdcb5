"""Options of runs, surveys, training and pytest: parsing of lists, profiles, and the plan of a run."""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec

from gradagree.adapters import Adapter
from gradagree.arithmetic.model import FORMATS
from gradagree.cases.datasets import regimes as known_regimes
from gradagree.cases.graph_case import AnyCase
from gradagree.cases.graph_text import DENSE, FAMILIES
from gradagree.cases.random import GROUP_STEP, shares_architecture
from gradagree.cases.regimes import REGIMES, STANDARD
from gradagree.cases.selection import Selection
from gradagree.cases.text import split_outside_parentheses
from gradagree.errors import UsageError, nearest
from gradagree.reference import Activation, ContractError, ErrorFunction, Layer
from gradagree.runner.shards import (
    UNIT_SIZE,
    UNSHARDED,
    Shard,
    count_architectures,
    count_shared_and_other_graphs,
    count_units,
    unit_ranges,
)

DTYPES = ("float64", "float32")
OTHER_DTYPES = ("float16", "bfloat16")
"""The dtypes of a share of the cases, unless options name dtypes; see `gradagree.cases.random.has_other_dtypes`."""
MAX_CASES = 10**9


@dataclass(frozen=True)
class SurveyProfile:
    """Extent of a survey. density and narrow: points per binade for wide dtypes and for 16-bit dtypes; 0 means all.

    quick: fast modes only. thorough: recompute each example, run its script, and vary the array length for frameworks
    that compile for each length. slow: include modes that compile for seconds, and rows that need gigabytes.
    """

    dtypes: tuple[str, ...]
    density: int
    narrow: int
    parameters: bool
    turns: int
    quick: bool = False
    thorough: bool = True
    slow: bool = False


@dataclass(frozen=True)
class Profile:
    """Defaults of options.

    For pytest: blocks per function, framework and mode; block_cases architectures in each block.
    """

    cases: int
    blocks: int
    block_cases: int
    survey: SurveyProfile
    modes: str | None = None
    regimes: tuple[str, ...] = STANDARD


PROFILES = {
    "quick": Profile(40, 1, 4, SurveyProfile(("float32", "float16"), 8, 16, False, 2, quick=True, thorough=False)),
    "ci": Profile(200, 2, 12, SurveyProfile(tuple(FORMATS), 32, 0, True, 2)),
    "nightly": Profile(2000, 8, 25, SurveyProfile(tuple(FORMATS), 128, 0, True, 6, slow=True), "all", tuple(REGIMES)),
}
"""Profiles of runs, surveys and pytest."""


class PlanOptions(msgspec.Struct, forbid_unknown_fields=True):
    """The options of a plan as text and numbers, as ``meta.json`` stores them; None means the catalogue."""

    cases: int
    seed: int
    dtypes: list[str]
    regimes: list[str]
    activations: list[str] | None
    errors: list[str] | None
    modes: list[tuple[str, int]]
    shard: str
    other_dtypes: list[str] = []
    architectures: list[str] = msgspec.field(default_factory=lambda: [DENSE])
    layers: list[str] = []

    def plan(self) -> Plan:
        """The plan. Raises UsageError or ContractError for an invalid value."""
        offered = {f"{name}:{mode}" for name, kind in Adapter.catalogue.items() for mode in kind.modes}
        modes = [name for name, _ in self.modes]
        names = (
            ([*self.dtypes, *self.other_dtypes], FORMATS), (self.regimes, known_regimes()), (modes, offered),
            (self.architectures, FAMILIES),
        )  # fmt: skip
        invalid = [name for chosen, known in names for name in chosen if name not in known]
        in_range = 0 < self.cases <= MAX_CASES and self.seed >= 0 and self.dtypes and self.regimes
        in_range = in_range and self.architectures
        if invalid or not in_range or len(self.other_dtypes) not in (0, len(self.dtypes)):
            raise UsageError(f"invalid value {(invalid or ['number out of range'])[0][:80]!r}")
        return Plan(
            self.cases, self.seed, tuple(self.dtypes), tuple(self.regimes),
            None if self.activations is None else tuple(map(Activation.named, self.activations)),
            None if self.errors is None else tuple(map(ErrorFunction.named, self.errors)),
            dict(self.modes), shard=Shard.parse(self.shard), other_dtypes=tuple(self.other_dtypes),
            architectures=tuple(self.architectures), layers=tuple(map(Layer.named, self.layers)),
        )  # fmt: skip


@dataclass(frozen=True)
class Plan:
    """Cases and modes of a run. modes maps "framework:mode" to n: the mode computes every n-th case (1 or `ONE_IN`).

    own are the names of the only functions whose faults fail the run; without names, all are. other_dtypes replace
    dtypes in a share of the cases; there are as many of them, or none. architectures are families of networks; layers
    are one's own, of which graphs are then built.
    """

    cases: int = 200
    seed: int = 0
    dtypes: tuple[str, ...] = DTYPES
    regimes: tuple[str, ...] = STANDARD
    activations: tuple[Activation, ...] | None = None
    errors: tuple[ErrorFunction, ...] | None = None
    modes: dict[str, int] = field(default_factory=dict)
    explicit: tuple[AnyCase, ...] | None = None
    shard: Shard = UNSHARDED
    own: tuple[str, ...] = ()
    other_dtypes: tuple[str, ...] = ()
    architectures: tuple[str, ...] = (DENSE,)
    layers: tuple[Layer, ...] = ()

    @classmethod
    def make(
        cls,
        *,
        cases: int | None = None,
        seed: int = 0,
        frameworks: str | None = None,
        modes: str | None = None,
        dtypes: str | None = None,
        activations: str | None = None,
        errors: str | None = None,
        regimes: str | None = None,
        profile: str = "ci",
        shard: str | None = None,
        architectures: str | None = None,
    ) -> Plan:
        """The plan for options as on the command line, lists separated by commas. Raises UsageError."""
        standard = find_profile(profile)
        cases = standard.cases if cases is None else cases
        if not 1 <= cases <= MAX_CASES:
            raise UsageError(f"--cases {cases}: give a whole number from 1 to {MAX_CASES}")
        check_seed(seed)
        drawn_modes = _modes(frameworks, modes or standard.modes)
        return cls(
            cases=cases,
            seed=seed,
            dtypes=parse_names("--dtypes", dtypes, FORMATS, DTYPES),
            regimes=parse_names("--regimes", regimes, known_regimes(), standard.regimes),
            activations=_parse_optional_functions("--activations", activations, Activation),
            errors=_parse_optional_functions("--errors", errors, ErrorFunction),
            modes=drawn_modes,
            shard=_shard(shard, cases),
            other_dtypes=OTHER_DTYPES if dtypes is None else (),
            architectures=parse_names("--architectures", architectures, FAMILIES, _families(drawn_modes)),
        )

    @classmethod
    def of(cls, cases: Sequence[AnyCase], frameworks: str | None = None, modes: str | None = "all") -> Plan:
        """A plan of explicit cases."""
        return replace(cls(cases=len(cases), modes=_modes(frameworks, modes)), explicit=tuple(cases))

    def options(self) -> PlanOptions:
        """The options that make this plan, without its explicit cases."""
        activations, errors = (
            None if chosen is None else [str(f) for f in chosen] for chosen in (self.activations, self.errors)
        )
        return PlanOptions(
            self.cases, self.seed, list(self.dtypes), list(self.regimes), activations, errors,
            list(self.modes.items()), str(self.shard), list(self.other_dtypes), list(self.architectures),
            [str(layer) for layer in self.layers],
        )  # fmt: skip

    def draw_cases(self) -> Iterator[tuple[int, AnyCase]]:
        """Every case of the shard, with its number in the complete plan."""
        return itertools.chain.from_iterable(self._units())

    def _units(self) -> Iterator[list[tuple[int, AnyCase]]]:
        """The cases of each work unit, with their numbers."""
        if self.explicit is not None:
            numbered = list(enumerate(self.explicit))
            yield from (numbered[k : k + UNIT_SIZE] for k in range(0, len(numbered), UNIT_SIZE))
            return
        for numbers in unit_ranges(self.cases, self.shard):
            yield self.draw_range(numbers, self.activations, self.errors)

    def draw_range(
        self, numbers: range, activations: Sequence[Activation] | None, errors: Sequence[ErrorFunction] | None
    ) -> list[tuple[int, AnyCase]]:
        """The cases of these architectures among the functions, with their numbers."""
        chosen = Selection(
            self.seed, self.dtypes, self.architectures, activations, errors, self.regimes, self.other_dtypes,
            self.layers,
        )  # fmt: skip
        return list(enumerate(chosen.draw(numbers), numbers.start * len(self.dtypes)))

    @property
    def all_dtypes(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys([*self.dtypes, *self.other_dtypes]))

    def modes_of(self, framework: str, index: int) -> list[str]:
        """The framework's modes that compute case number index."""
        exact = self.explicit is not None or shares_architecture(index // len(self.dtypes))
        pairs = ((name.partition(":"), share) for name, share in self.modes.items())
        graph = self.is_graph(index)
        return [
            mode for (owner, _, mode), share in pairs
            if owner == framework and (exact or share == 1) and (not graph or computes_graphs(f"{owner}:{mode}"))
        ]  # fmt: skip

    def is_graph(self, index: int) -> bool:
        """True if drawn case number index is a graph of layers."""
        chosen = Selection(self.seed, self.dtypes, self.architectures)
        return self.explicit is None and chosen.is_graph(index // len(self.dtypes))

    def units(self, framework: str) -> Iterator[list[tuple[int, AnyCase, list[str]]]]:
        """The work units of a framework, (index, case, modes) each; cases of one architecture are adjacent."""
        for cases in self._units():
            requests = ((index, case, self.modes_of(framework, index)) for index, case in cases)
            if unit := sorted((one for one in requests if one[2]), key=lambda one: one[1].dtype):
                yield unit

    @property
    def frameworks(self) -> list[str]:
        return list(dict.fromkeys(name.partition(":")[0] for name in self.modes))

    def counts(self) -> dict[str, int]:
        """Planned number of records of each framework:mode."""
        if self.explicit is not None:
            return dict.fromkeys(self.modes, self.cases)
        every, some = count_architectures(self.cases, self.shard)
        shared, others = 0, 0
        if DENSE not in self.architectures:
            shared, others = some, every - some
        elif len(self.architectures) > 1:
            shared, others = count_shared_and_other_graphs(self.cases, self.shard)
        found = {}
        for name, share in self.modes.items():
            left_out = 0 if computes_graphs(name) else shared + others * (share == 1)
            found[name] = ((every if share == 1 else some) - left_out) * len(self.dtypes)
        return found


def computes_graphs(mode: str) -> bool:
    """True for the modes "framework:mode" that compute graphs of layers: reverse mode on whole batches."""
    record = Adapter.mode(mode)
    return not record.forward and not record.per_example


def _families(modes: Iterable[str]) -> tuple[str, ...]:
    """All families, or only chains where no layer has an implementation in a framework of the modes."""
    frameworks = {mode.partition(":")[0] for mode in modes}
    return (
        FAMILIES if any(hasattr(kind, name) for kind in Layer.catalogue.values() for name in frameworks) else (DENSE,)
    )


def _shard(text: str | None, cases: int) -> Shard:
    shard = UNSHARDED if text is None else Shard.parse(text)
    if shard.of > count_units(cases):
        raise UsageError(
            f"--shard {shard}: {cases} cases make {count_units(cases)} work units; use at most as many shards"
        )
    return shard


def find_profile(name: str) -> Profile:
    """The profile of that name. Raises UsageError."""
    if name not in PROFILES:
        raise UsageError(f"--profile: unknown profile {name!r}; {nearest(name, PROFILES)}")
    return PROFILES[name]


def check_seed(seed: int) -> None:
    """Raises UsageError for a negative seed."""
    if seed < 0:
        raise UsageError(f"--seed {seed}: give a whole number of at least 0")


def check_limits(*, workers: int | None = None, budget: float | None = None, shrink: float = 0.0) -> None:
    """Raises UsageError for a limit of a run that is out of range."""
    if workers is not None and workers < 1:
        raise UsageError(f"--workers {workers}: give a whole number of at least 1")
    if budget is not None and not 0 < budget < math.inf:
        raise UsageError(f"--budget {budget:g}: give a number of seconds above 0")
    if not 0 <= shrink < math.inf:
        raise UsageError(f"--shrink {shrink:g}: give a number of seconds, or 0 to shrink nothing")


def parse_names(
    option: str, text: str | None, known: Collection[str], default: Collection[str] | None = None
) -> tuple[str, ...]:
    """The names in a comma-separated list, each once; "all" means all, None the default, or all without a default."""
    if text is None:
        return tuple(dict.fromkeys(known if default is None else default))
    wanted = list(known) if text == "all" else parse_list(option, text)
    for name in wanted:
        if name not in known:
            raise UsageError(f"{option}: unknown name {name!r}; {nearest(name, known)}")
    return tuple(dict.fromkeys(wanted))


def parse_list(option: str, text: str) -> list[str]:
    """The parts of a list that is separated by commas outside parentheses. Raises UsageError for an empty part."""
    parts = [part.strip() for part in split_outside_parentheses(text, ",")]
    if not all(parts):
        raise UsageError(f"{option} {text!r}: give names separated by commas")
    return parts


def _parse_optional_functions(option: str, text: str | None, kind: Any) -> Any:
    return None if text is None or text == "all" else parse_functions(option, text, kind)


def parse_functions(option: str, text: str, kind: Any) -> tuple[Any, ...]:
    """The activations or error functions that a comma-separated list names. Raises UsageError."""
    try:
        return tuple(kind.named(part) for part in parse_list(option, text))
    except ContractError as wrong:
        raise UsageError(f"{option}: {wrong}") from None


def _modes(frameworks: str | None, modes: str | None) -> dict[str, int]:
    """{framework:mode: n} as in `Plan.modes`; a mode that is named computes every case."""
    names = parse_names("--frameworks", frameworks, Adapter.catalogue)
    offered = [f"{name}:{mode}" for name in names for mode in Adapter.catalogue[name].modes]
    if modes is None or modes == "all":
        wanted = [name for name in offered if modes == "all" or Adapter.mode(name).by_default]
        return {name: GROUP_STEP if Adapter.mode(name).compiles else 1 for name in wanted}
    chosen: dict[str, int] = {}
    for part in parse_list("--modes", modes):
        found = [name for name in offered if part in (name, name.partition(":")[2])]
        if not found:
            known = {*offered, *(name.partition(":")[2] for name in offered)}
            raise UsageError(f"--modes: no mode {part!r} in {', '.join(names)}; {nearest(part, known)}")
        chosen |= dict.fromkeys(found, 1)
    return chosen
