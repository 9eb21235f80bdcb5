"""One slope for each kink of a function, in each framework and mode, over a whole run.

A record says which legitimate slopes explain what a framework gave at the kinks that it met (`Record.slopes`). Any of
them is right alone; left in one record and right in another is not, whatever the order of the records.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from gradagree.verdict import Record, Verdict

CONVENTION = "convention:"
"""How the text begins that stands in place of a case's where a record tells of all of them."""

Kink = tuple[str, str, str]
"""Framework, mode, and which kink of which function."""


@dataclass
class Told:
    """How many records one set of slopes explains, and the first of them."""

    count: int
    first: Record


@dataclass
class Conventions:
    """What the records so far say; it grows with the number of functions, not of records."""

    seen: dict[Kink, dict[tuple[str, ...], Told]] = field(default_factory=dict)

    def see(self, record: Record) -> None:
        for place, slopes in record.slopes.items():
            sets = self.seen.setdefault((record.framework, record.mode, place), {})
            told = sets.setdefault(tuple(slopes), Told(0, record))
            told.count += 1
            told.first = min(told.first, record, key=lambda r: (r.index, r.spec))

    def findings(self) -> Iterator[Record]:
        """A record for each kink that no one slope explains everywhere."""
        for (framework, mode, place), sets in sorted(self.seen.items()):
            if set.intersection(*map(set, sets)):
                continue
            parts = [
                f"{' or '.join(slopes) or 'no slope'} in {told.count} (first {told.first.spec})"
                for slopes, told in sorted(sets.items())
            ]
            rare = min(sets.values(), key=lambda told: (told.count, told.first.index)).first
            yield Record(
                case=rare.case, spec=f"{CONVENTION}{place}", sha256="", framework=framework, version=rare.version,
                mode=mode, device=rare.device, dtype=rare.dtype, verdict=Verdict.DISAGREE,
                function=place.partition(":")[0],
                reason=f"no one slope at the kink explains all records: {'; '.join(parts)}",
            )  # fmt: skip
