"""The quick tests of many boxes together: what passes them needs no rounded arithmetic."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from gradagree.comparison import Comparison, Part
from gradagree.errorcheck import ErrorCheck
from gradagree.quick import claims
from gradagree.tiles import Claim, settled

if TYPE_CHECKING:
    from gradagree.boxcheck import BoxCheck

__all__ = ["clear"]

PORTION = 1 << 15
"""Entries of weights and inputs that are looked at together."""


def clear(boxes: Sequence[BoxCheck], errors: Sequence[ErrorCheck] = ()) -> None:
    """Look at all boxes and error boxes; each keeps what passes."""
    with np.errstate(all="ignore"):
        for some in portions(boxes):
            cleared = {one.given: one.cleared for one in some}
            settle((cleared[one], claim) for one, claim in claims(list(cleared)))
        settle((error.cleared, claim) for error in errors for claim in error.claims() if claim is not None)


def portions(boxes: Sequence[BoxCheck]) -> Iterator[list[BoxCheck]]:
    """Boxes of so many weights together as a processor keeps at hand."""
    some: list[BoxCheck] = []
    for one in boxes:
        some.append(one)
        if sum(box.entries for box in some) > PORTION:
            yield some
            some = []
    if some:
        yield some


def settle(found: Iterable[tuple[dict[Part, Comparison], Claim | Comparison]]) -> None:
    """Keep what passes."""
    found = list(found)
    passed = iter(settled([claim for _, claim in found if isinstance(claim, Claim)]))
    for cleared, claim in found:
        comparison = next(passed) if isinstance(claim, Claim) else claim
        if comparison is not None:
            cleared[comparison.part] = comparison
