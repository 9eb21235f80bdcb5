"""Known differences among records: which records they cover, and which entries have nothing to cover any more."""

from __future__ import annotations

import datetime
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from gradagree.known import ANY, Entry, matches
from gradagree.reporting.matrix import Column, parts_of
from gradagree.verdict import Record, Verdict

__all__ = ["Accepted", "Standing"]

Kind = tuple[str, str, str, str]
MOST_KINDS = 1000


class Standing(NamedTuple):
    """One entry, how many records it covers, and how many it could have covered."""

    entry: Entry
    covered: int
    met: int
    expired: bool

    @property
    def stale(self) -> bool:
        """Its framework, mode and function were compared, and nothing differs."""
        return self.met > 0 and not self.covered

    @property
    def state(self) -> str:
        if self.expired:
            return f"expired on {self.entry.expiry}"
        if self.stale:
            return f"stale: {self.met:,} compared, none of them differs so"
        return "known" if self.covered else "not met: nothing of its kind was compared"


@dataclass
class Accepted:
    """Takes records one by one, and tells which of them are known."""

    entries: Sequence[Entry] = ()
    today: datetime.date = field(default_factory=datetime.date.today)
    covered: Counter[int] = field(default_factory=Counter)
    met: Counter[int] = field(default_factory=Counter)
    verdicts: Counter[Verdict] = field(default_factory=Counter)
    columns: dict[Column, Counter[Verdict]] = field(default_factory=dict)
    _kinds: dict[Kind, list[int]] = field(default_factory=dict)

    def see(self, record: Record, column: Column) -> Entry | None:
        """The first entry that covers the record; None for a record that is not known."""
        if not self.entries or not record.verdict.compared:
            return None
        functions, found = _functions(record), None
        for place in self._of_kind(record):
            entry = self.entries[place]
            if entry.function == ANY or any(map(entry.names, functions)):
                self.met[place] += 1
                if matches(entry, record, functions):
                    self.covered[place] += 1
                    found = found or entry
        if found is not None:
            self.verdicts[record.verdict] += 1
            self.columns.setdefault(column, Counter())[record.verdict] += 1
        return found

    def _of_kind(self, record: Record) -> list[int]:
        """Places of the entries that are about records of this framework, mode, dtype and version."""
        kind = (record.framework, record.mode, record.dtype, record.version)
        if kind not in self._kinds:
            found = [place for place, entry in enumerate(self.entries) if entry.concerns(*kind)]
            if len(self._kinds) >= MOST_KINDS:
                return found
            self._kinds[kind] = found
        return self._kinds[kind]

    def standings(self) -> Iterator[Standing]:
        """Every entry, in the file's order."""
        for place, entry in enumerate(self.entries):
            yield Standing(entry, self.covered[place], self.met[place], entry.expired(self.today))

    @property
    def spent(self) -> list[Standing]:
        """Those that are stale or expired: a run with one of them fails."""
        return [one for one in self.standings() if one.expired or one.stale]

    @property
    def total(self) -> int:
        return self.verdicts.total()

    @property
    def failing(self) -> int:
        return sum(n for verdict, n in self.verdicts.items() if verdict.fails)


def _functions(record: Record) -> list[str]:
    parts = parts_of(record.spec)
    return list(dict.fromkeys(filter(None, (*parts.activations, parts.error, record.function))))
