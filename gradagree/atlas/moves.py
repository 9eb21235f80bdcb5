"""The same inputs among all and in vectors of other lengths: what is asked of whom, and what comes of it."""

from __future__ import annotations

from concurrent.futures import Future
from typing import Any

import numpy as np

from gradagree.adapters import Adapter
from gradagree.adapters.pointwise import library_frameworks, pointwise_mode
from gradagree.atlas.formulas import QUANTITIES
from gradagree.atlas.hitting import Hit
from gradagree.atlas.places import chosen, moved, windows
from gradagree.atlas.profiles import Survey
from gradagree.atlas.proved import ExactValues
from gradagree.atlas.subject import Subject
from gradagree.responses import Ready

Asked = dict[tuple[str, str, str], "Future[Any] | None"]
"""By library, quantity and mode; None is not asked."""
Moves = dict[tuple[str, str, str], tuple[Any, "Future[Any]"]]
"""By library, quantity and mode: the windows, and the answers in them."""


def speaks(library: str, subject: Subject, mode: str = "") -> bool:
    """A library that is no framework is asked about what it spells; of wide rows there is no whole Jacobian."""
    if subject.is_wide and mode == "forward":
        return False
    return library in Adapter.catalogue or hasattr(subject.function, library)


ALONE = (*((k, k + 1) for k in range(3, 480, 40)), (7, 9), (11, 18), (20, 53))
"""Rows, whose lengths are those of the functions themselves."""
FEW_WINDOWS = ((5, 6), (11, 18), (100, 137))
"""For a framework that compiles for each length; one with whole vectors and a rest is enough if no row is summed."""


def moves_of(subject: Subject, plan: Survey, processes: Any, here: dict[str, Ready]) -> Moves:
    """Some of the points asked in windows."""
    found: Moves = {}
    if subject.unfit or subject.is_wide:
        return found
    some = subject.at(chosen(subject))
    for name, handshake in here.items():
        if not speaks(name, subject):
            continue
        few = Adapter.catalogue[library_frameworks().get(name, name)].compiles_lengths
        if few and (not plan.profile.thorough or str(subject.function) != subject.function.name):
            continue
        asked = windows(len(some.points), plan.profile.turns) if not few and subject.ks is None else ALONE
        asked = FEW_WINDOWS[-1 if subject.ks is None else 0 :] if few else asked
        asked = tuple((a, b) for a, b in asked if b <= len(some.points))
        for quantity in QUANTITIES[: 3 if not few and subject.ks is None else 2]:
            for mode in handshake.pointwise[quantity]:
                if pointwise_mode(name, mode).lengths and plan.asks(name, mode, subject.function):
                    parts = processes[name].submit(some.request(quantity, mode, asked))
                    found[name, quantity, mode] = (asked, parts)
    return found


def moves_judged(subject: Subject, quantity: str, truth: ExactValues, asked: Asked, moves: Moves) -> list[Hit]:
    """Where an answer in a window is another one than among all points."""
    theirs = {key: move for key, move in moves.items() if key[1] == quantity and asked.get(key) is not None}
    if not theirs:
        return []
    seen: list[Hit] = []
    places = chosen(subject)
    some, true = subject.at(places), at(truth, places)
    for (library, _, mode), (asked_for, parts) in theirs.items():
        whole, other = asked[library, quantity, mode].result(), parts.result()  # type: ignore[union-attr]
        if isinstance(whole, np.ndarray) and isinstance(other, np.ndarray) and whole.size == truth.high.size:
            whole = np.reshape(whole, truth.high.shape)[places]
            seen += moved(some, quantity, library, mode, whole, other, asked_for, true)
    return seen


def at(truth: ExactValues, places: np.ndarray) -> ExactValues:
    return ExactValues(*(getattr(truth, name)[places] for name in ("high", "low", "nearest", "known")))
