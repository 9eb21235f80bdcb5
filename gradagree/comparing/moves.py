"""Accuracy and sharpness that moved: ratios and tolerances of the same cases in two runs."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

from gradagree.comparing.noise import NOTHING, Interval, surrounding
from gradagree.comparing.side import Judged, Key
from gradagree.reporting.matrix import Column, parts_of

__all__ = ["ACCURACY", "SHARPNESS", "Move", "moves"]

ACCURACY, SHARPNESS = "distance over tolerance", "tolerance over largest entry"
Pair = tuple[Key, Judged, Judged]


class Move(NamedTuple):
    """What moved, for which cases, and by which factor (above 1: worse); noise is the factor that other cases show."""

    what: str
    column: Column
    dtype: str
    function: str
    cases: int
    factor: float
    between: Interval
    noise: Interval

    @property
    def worse(self) -> bool:
        return self.factor > 1


def moves(pairs: Iterable[Pair]) -> Iterator[Move]:
    """All moves beyond their noise, the largest first.

    Each framework, mode and dtype is held against no move at all, and each function in it against the cases without it.
    """
    pairs = [pair for pair in pairs if pair[1].verdict.compared and pair[2].verdict.compared]
    groups = _groups(pairs)
    level = 1 / max(1, len(pairs) * 2 * sum(1 + len(functions) for functions in groups.values()))
    found = [
        move
        for what in (ACCURACY, SHARPNESS)
        for (column, dtype), functions in groups.items()
        for move in _in_group(what, column, dtype, functions, level)
    ]
    yield from sorted(found, key=lambda move: -abs(math.log2(move.factor)) if move.factor else -math.inf)


Group = dict[str, list[Pair]]


def _groups(pairs: Iterable[Pair]) -> dict[tuple[Column, str], Group]:
    """By column and dtype: all pairs under the empty name, and those of each function."""
    groups: dict[tuple[Column, str], Group] = defaultdict(lambda: defaultdict(list))
    for pair in pairs:
        key, _, judged = pair
        group = groups[key.column, judged.dtype]
        group[""].append(pair)
        parts = parts_of(key.spec)
        for function in dict.fromkeys([*parts.activations, *filter(None, [parts.error])]):
            group[function].append(pair)
    return groups


def _in_group(what: str, column: Column, dtype: str, functions: Group, level: float) -> Iterator[Move]:
    grown = {pair[0]: move for pair in functions[""] if (move := _move(what, pair)) is not None}
    for function, pairs in functions.items():
        own = [grown[pair[0]] for pair in pairs if pair[0] in grown]
        between, noise = surrounding(own, level), NOTHING
        if between.apart(NOTHING) and function:
            inside = {pair[0] for pair in pairs}
            noise = surrounding([move for key, move in grown.items() if key not in inside], level)
        if between.apart(NOTHING) and between.apart(noise):
            yield Move(what, column, dtype, function, len(own), _factor(float(np.median(own))), between, noise)


def _factor(move: float) -> float:
    return math.inf if move > 1000 else 2.0**move


def _move(what: str, pair: Pair) -> float | None:
    """By how many factors of two it grew; None where one of the two runs has no number."""
    _, before, after = pair
    if what == ACCURACY:
        a, b = before.ratio, after.ratio
        small = abs(b - a) <= max(before.step, after.step)
    else:
        a, b, small = before.sharpness, after.sharpness, False
    if math.isnan(a) or math.isnan(b):
        return None
    if a == b or small:
        return 0.0
    if a == 0 or b == math.inf:
        return math.inf
    return -math.inf if b == 0 or a == math.inf else math.log2(b / a)
