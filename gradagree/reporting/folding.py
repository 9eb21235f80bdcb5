"""Counting by names that others chose: so many different ones are kept apart, the rest is counted together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

__all__ = ["OTHERS", "Groups", "Names"]

OTHERS = "(others)"
Key = TypeVar("Key", bound=Hashable)


@dataclass
class Names:
    """Hands a name back while there is room for new ones, else ``(others)``."""

    room: int
    known: dict[str, None] = field(default_factory=dict)

    def fold(self, name: str) -> str:
        if name not in self.known:
            if len(self.known) >= self.room:
                return OTHERS
            self.known[name] = None
        return name


@dataclass
class Groups(Generic[Key]):
    """Counts by key; past the room for keys, what is new is only counted, in ``further``."""

    room: int
    counts: Counter[Key] = field(default_factory=Counter)
    further: int = 0

    def add(self, key: Key) -> None:
        if key in self.counts or len(self.counts) < self.room:
            self.counts[key] += 1
        else:
            self.further += 1

    @property
    def total(self) -> int:
        return sum(self.counts.values()) + self.further

    def most_first(self) -> list[tuple[Key, int]]:
        return sorted(self.counts.items(), key=lambda item: -item[1])
