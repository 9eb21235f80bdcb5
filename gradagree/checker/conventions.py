"""Conventions: whether one admissible derivative at each kink explains all records of a run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from gradagree.checker.verdict import CONVENTION, Record, Verdict

KinkId = tuple[str, str, str]
"""Framework, mode, and a kink of a function by name."""


@dataclass
class Occurrence:
    """The number of records with one set of admissible derivatives, and the first of them."""

    count: int
    first: Record


@dataclass
class Conventions:
    """The derivatives at kinks in the records so far.

    For each kink, framework and mode, one derivative must explain all records of a run. A record lists the admissible
    derivatives that explain its gradient at each kink (`Record.slopes`). Each of them is correct, but the left one in
    one record and the right one in another is not. The table grows with the number of functions, not of records.
    """

    seen: dict[KinkId, dict[tuple[str, ...], Occurrence]] = field(default_factory=dict)

    def see(self, record: Record) -> None:
        for kink, names in record.slopes.items():
            sets = self.seen.setdefault((record.framework, record.mode, kink), {})
            found = sets.setdefault(tuple(names), Occurrence(0, record))
            found.count += 1
            found.first = min(found.first, record, key=lambda r: (r.index, r.spec))

    def findings(self) -> Iterator[Record]:
        """A record for each kink at which no single derivative explains all records."""
        for (framework, mode, kink), sets in sorted(self.seen.items()):
            if set.intersection(*map(set, sets)):
                continue
            parts = [
                f"{' or '.join(names) or 'none'} in {found.count} (first {found.first.spec})"
                for names, found in sorted(sets.items())
            ]
            rare = min(sets.values(), key=lambda found: (found.count, found.first.index)).first
            yield Record(
                case=rare.case, spec=f"{CONVENTION}{kink}", sha256="", framework=framework, version=rare.version,
                mode=mode, device=rare.device, dtype=rare.dtype, verdict=Verdict.DISAGREE,
                function=kink.partition(":")[0],
                reason=f"no single derivative at the kink explains all records: {'; '.join(parts)}",
            )  # fmt: skip
