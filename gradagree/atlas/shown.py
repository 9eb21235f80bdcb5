"""An answer that depends on a vector's length, shown by copies of one input: two entries that are not the same."""

from __future__ import annotations

from concurrent.futures import Future
from typing import Any

import numpy as np

from gradagree.atlas.finding import COPIES
from gradagree.atlas.hitting import Hit
from gradagree.runner.protocol import PointwiseRequest

LENGTHS = (COPIES, 1, 7, 4096)
"""Beside the length of the vector in which it was seen."""
MOST = 1 << 20
"""Numbers in the longest of them: of wide rows there are fewer copies."""


def plain(x: Any) -> Any:
    """Numbers as JSON has them."""
    if isinstance(x, np.ndarray):
        return [plain(one) for one in x.tolist()]
    return x if isinstance(x, int) or np.isfinite(x) else str(x)


def place_of(window: str) -> tuple[int, int]:
    """Entry and length, of ``entry 3 of 7``."""
    entry, length = window.removeprefix("entry ").split(" of ")
    return int(entry), int(length)


def lengths_of(hit: Hit) -> list[int]:
    width = hit.subject.points[0].size
    return list(dict.fromkeys([place_of(hit.other)[1], *(n for n in LENGTHS if n * width <= MOST)]))


def in_lengths(hit: Hit) -> PointwiseRequest:
    """The input's copies, in vectors of several lengths."""
    lengths = lengths_of(hit)
    subject = hit.subject.at(np.zeros(max(lengths), dtype=int))
    return subject.request(hit.quantity, hit.mode, tuple((0, n) for n in lengths))


def shape_example(hit: Hit, asked: list[Any]) -> dict[str, Any] | None:
    """The example: two entries of vectors of copies; as it was seen, if nobody was asked; None if all are the same."""
    seen = {
        "dtype": hit.subject.dtype, "mode": hit.mode, "input": plain(np.ravel(hit.subject.points[0])),
        "entry": list(hit.place[1:]), "given": plain(hit.given), "other_given": plain(hit.beside), "window": hit.other,
        "beside": f"entry 0 of {COPIES}", "true": plain(hit.true), "function": str(hit.subject.function),
        "ulps": plain(hit.worst_ulp),
        "target": None if hit.subject.targets is None else plain(np.ravel(hit.subject.targets[0])),
    }  # fmt: skip
    if not asked:
        return seen
    answer = asked[0].result() if isinstance(asked[0], Future) else asked[0]
    if not isinstance(answer, np.ndarray):
        return None
    lengths = lengths_of(hit)
    entry: tuple[Any, ...] = (slice(None), *hit.place[1:])
    values = np.reshape(answer, (sum(lengths), *hit.whole.shape[1:]))[entry]
    places = [f"entry {k} of {n}" for n in lengths for k in range(n)]
    for first in (places.index(hit.other), 0):
        apart = (values != values[first]) & ~(np.isnan(values) & np.isnan(values[first]))
        if apart.any():
            other = int(np.argmax(apart))
            numbers = {"given": plain(float(values[first])), "other_given": plain(float(values[other]))}
            return {**seen, **numbers, "window": places[first], "beside": places[other]}
    return None
