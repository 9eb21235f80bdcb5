"""What one tool finds in one row of the tables: the smallest faults, the structural ones, and correct networks."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

from benchmarks.detection.faults import KINDS, STRUCTURAL, Fault, control
from benchmarks.detection.networks import Network, Place, change, drawn
from benchmarks.detection.peers import Finding, Gradagree, Tool, tool
from benchmarks.detection.tolerances import times_tolerance

LEVELS = [10 ** (1 - k / 20) for k in range(321)]
"""Sizes eps of a fault, from 10 down to 1e-15, twenty in a decade."""
MOST_PASSES = 2_500
"""A tool that computes E more often than this for one verdict is not asked."""
VERDICTS = {
    "size": len(KINDS) * (2 + math.ceil(math.log2(len(LEVELS)))),
    "depth": len(KINDS) * (2 + math.ceil(math.log2(len(LEVELS)))) + 2 * len(STRUCTURAL),
}
"""How many verdicts a tool is asked for at one place, with one network for each fault."""


@dataclass
class Row:
    """One tool at one dtype and place. Lists have one entry for each network; None where nothing was found."""

    tool: str
    settings: str
    dtype: str
    family: str
    value: int
    note: str = ""
    weights: int = 0
    seconds: float | None = None
    controls: int = 0
    alarms: int = 0
    kink_controls: int = 0
    kink_alarms: int = 0
    undecided: int = 0
    smallest: dict[str, list[float | None]] = field(default_factory=dict)
    share: dict[str, list[float | None]] = field(default_factory=dict)
    structural: dict[str, dict[str, int]] = field(default_factory=dict)
    named: list[int] = field(default_factory=lambda: [0, 0])
    missed: list[dict[str, Any]] = field(default_factory=list)
    misnamed: list[dict[str, Any]] = field(default_factory=list)
    accused: list[dict[str, Any]] = field(default_factory=list)


def row(name: str, how: str, dtype: str, place: Place, networks: int) -> dict[str, Any]:
    """Everything that a tool is asked at one place."""
    made = Row(name, how, dtype, place.family, place.value)
    asked = tool(name, how, dtype)
    if asked is None:
        made.note = "not run: no tolerance up to 10 passes the correct networks"
        return asdict(made)
    first = drawn(place, dtype, KINDS["one weight"](1.0), "0")
    made.weights = first.case.size
    if (asked.passes(first) or 0) > MOST_PASSES:
        made.note = f"not run: {extrapolated(asked, dtype, place):,.0f} s a network"
        return asdict(made)
    Asking(asked, made, networks).everything(place, dtype)
    return asdict(made)


def extrapolated(asked: Tool, dtype: str, place: Place) -> float:
    """The seconds for one network of each fault, from one verdict on a small network and the passes of both."""
    small = drawn(Place("size", 1_000), dtype, KINDS["one weight"](1.0), "0")
    large = drawn(place, dtype, KINDS["one weight"](1.0), "0")
    taken, _ = timed(lambda: asked.judge(small, control(KINDS["one weight"](1.0))))
    return VERDICTS[place.family] * taken * (asked.passes(large) or 0) / (asked.passes(small) or 1)


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    begun = time.perf_counter()
    answer = work()
    return time.perf_counter() - begun, answer


@dataclass
class Asking:
    """One tool, the row that its answers are written to, and how many networks it is asked about each fault."""

    tool: Tool
    row: Row
    networks: int
    taken: list[float] = field(default_factory=list)

    def everything(self, place: Place, dtype: str) -> None:
        for kind in KINDS:
            self.row.smallest[kind], self.row.share[kind] = [], []
            for n in range(self.networks):
                self.small(kind, drawn(place, dtype, KINDS[kind](1.0), str(n)))
        for fault in STRUCTURAL if place.family == "depth" else ():
            if self.tool.can_express(fault):
                for n in range(self.networks):
                    self.structural(fault, drawn(place, dtype, fault, str(n)))
        self.row.seconds = float(f"{statistics.median(self.taken):.2g}")

    def judged(self, network: Network, fault: Fault) -> Finding:
        taken, finding = timed(lambda: self.tool.judge(network, fault))
        self.taken.append(taken)
        return finding

    def cleared(self, network: Network, fault: Fault) -> bool:
        """Whether the network without the fault is not accused; a tool that accuses it finds nothing there."""
        finding, kink = self.judged(network, control(fault)), fault.regime == "grid"
        self.row.controls += not kink
        self.row.kink_controls += kink
        self.row.undecided += finding.said in ("undecided", "out-of-range")
        if finding.accused:
            self.row.alarms += not kink
            self.row.kink_alarms += kink
            if finding.record is not None:
                self.row.accused.append(self.told(network, control(fault), finding))
        return not finding.accused

    def small(self, kind: str, network: Network) -> None:
        """The smallest eps that is found, and what it changes as a share of the largest entry."""
        found = None
        if self.cleared(network, KINDS[kind](1.0)):
            found = smallest(lambda eps: self.judged(network, KINDS[kind](eps)).accused)
        self.row.smallest[kind].append(found)
        self.row.share[kind].append(None if found is None else change(network, KINDS[kind](found))[0])
        if found is not None:
            self.names(network, KINDS[kind](found), self.judged(network, KINDS[kind](found)))

    def structural(self, fault: Fault, network: Network) -> None:
        counts = self.row.structural.setdefault(
            fault.name, {"planted": 0, "found": 0, "above": 0, "above_found": 0, "cleared": 0}
        )
        counts["planted"] += 1
        if not self.cleared(network, fault):
            return
        finding = self.judged(network, fault)
        found = finding.accused
        counts["cleared"] += 1
        counts["found"] += found
        if found:
            self.names(network, fault, finding)
        if isinstance(self.tool, Gradagree):
            above = times_tolerance(self.tool, network, fault)
            counts["above"] += above > 1
            counts["above_found"] += above > 1 and found
            if above > 1 and not found:
                self.row.missed.append({**self.told(network, fault, finding), "times_tolerance": above})

    def names(self, network: Network, fault: Fault, finding: Finding) -> None:
        """Counts whether the guilty box is the one that is named, where a tool names one at all."""
        if finding.record is None:
            return
        self.row.named[1] += 1
        if finding.record.box == network.site.box:
            self.row.named[0] += 1
        else:
            self.row.misnamed.append(self.told(network, fault, finding))

    def told(self, network: Network, fault: Fault, finding: Finding) -> dict[str, Any]:
        """What is needed to look at one verdict again."""
        record, site = finding.record, network.site
        assert record is not None
        return {
            "spec": network.case.spec, "fault": fault.name, "box": site.box, "entry": list(site.entry),
            "share": change(network, fault)[0], "verdict": finding.said, "named": record.box,
            "at": record.entry, "ratio": record.ratio, "sharpness": record.sharpness,
        }  # fmt: skip


def smallest(found: Callable[[float], bool]) -> float | None:
    """The least level that is found, by bisection: what is found is taken to be found at every larger level too."""
    if not found(LEVELS[0]):
        return None
    least, most = 0, len(LEVELS)
    while most - least > 1:
        middle = (least + most) // 2
        least, most = (middle, most) if found(LEVELS[middle]) else (least, middle)
    return LEVELS[least]


def jobs(tools: Any, dtypes: Any, places: Any) -> Iterator[tuple[str, str, str, Place]]:
    for name, how in tools:
        for dtype in dtypes:
            for place in places:
                yield name, how, dtype, place
