"""Work units and shards of a plan, computed from the number of architectures alone: no case is drawn."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple, Self

from gradagree.cases.random import GROUP_STEP
from gradagree.cases.selection import PLACES, graphs_among, is_shared_graph
from gradagree.errors import UsageError

UNIT_SIZE = 16
"""Maximum number of architectures in a work unit."""
MAX_SHARDS = 10**6


class Shard(NamedTuple):
    """Every N-th work unit of a plan, starting with the I-th."""

    number: int = 1
    of: int = 1

    @classmethod
    def parse(cls, text: str) -> Self:
        """The shard that ``I/N`` stands for. Raises UsageError."""
        match = re.fullmatch(r"([0-9]{1,9})/([0-9]{1,9})", text)
        number, of = map(int, match.groups()) if match else (0, 0)
        if not 1 <= number <= of <= MAX_SHARDS:
            raise UsageError(f"--shard {text[:40]!r}: write I/N with 1 <= I <= N <= {MAX_SHARDS}, for example 2/8")
        return cls(number, of)

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"

    def first(self, turn: int) -> int:
        """Offset from unit number `turn` to the shard's next unit."""
        return (self.number - 1 - turn) % self.of


UNSHARDED = Shard()


def case_groups(cases: int) -> Iterator[tuple[range, bool]]:
    """For each group, the numbers that share one architecture (True), and the others; see `gradagree.cases.random`."""
    start, k = 0, 1
    while start < cases:
        yield range(start, min(start + k, cases)), True
        if start + k < cases:
            yield range(start + k, min(start + GROUP_STEP * k, cases)), False
        start, k = start + GROUP_STEP * k, k + 1


def unit_ranges(cases: int, shard: Shard) -> Iterator[range]:
    """The numbers of a shard's architectures, by work unit; no unit mixes returning architectures with others."""
    turn = 0
    for part, _ in case_groups(cases):
        count = _count(part)
        for unit in range(shard.first(turn), count, shard.of):
            yield part[unit * UNIT_SIZE : (unit + 1) * UNIT_SIZE]
        turn += count


def count_architectures(cases: int, shard: Shard) -> tuple[int, int]:
    """Number of architectures in a shard, and how many of them return."""
    turn, total, returning = 0, 0, 0
    for part, returns in case_groups(cases):
        count = _count(part)
        own = range(shard.first(turn), count, shard.of)
        architectures = len(own) * UNIT_SIZE - (count * UNIT_SIZE - len(part)) * (count - 1 in own)
        total, returning, turn = total + architectures, returning + architectures * returns, turn + count
    return total, returning


def count_shared_and_other_graphs(cases: int, shard: Shard) -> tuple[int, int]:
    """Number of graphs in a shard of a plan of chains and graphs: with a shared architecture, and others."""
    turn, shared, others = 0, 0, 0
    for k, (part, returns) in enumerate(case_groups(cases)):
        count = _count(part)
        own = range(shard.first(turn), count, shard.of)
        last = len(part) - (count - 1) * UNIT_SIZE
        if returns and is_shared_graph(k // 2 + 1):
            shared += len(own) * UNIT_SIZE - (UNIT_SIZE - last) * (count - 1 in own)
        if not returns:
            others += len(own) * len(PLACES) - (len(PLACES) - graphs_among(last)) * (count - 1 in own)
        turn += count
    return shared, others


def count_units(cases: int) -> int:
    """Number of work units, which is also the maximum number of shards."""
    return sum(_count(part) for part, _ in case_groups(cases))


def _count(part: range) -> int:
    return -(-len(part) // UNIT_SIZE)
