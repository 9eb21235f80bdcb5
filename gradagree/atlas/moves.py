"""The same inputs asked together and in vectors of other lengths: what is asked of whom, and what comes of it."""

from __future__ import annotations

from concurrent.futures import Future
from typing import Any

import numpy as np

from gradagree.atlas.formulas import QUANTITIES
from gradagree.atlas.hitting import Hit
from gradagree.atlas.messages import Hello
from gradagree.atlas.places import chosen, moved, windows
from gradagree.atlas.profiles import Survey
from gradagree.atlas.store import truth_of
from gradagree.atlas.subject import Subject

__all__ = ["Moves", "moves_judged", "moves_of", "speaks"]

Moves = dict[tuple[str, str, str], tuple[Any, "Future[Any]", "Future[Any]"]]
"""By library, quantity and mode: the windows, the answer among all, and the answers in the windows."""


def speaks(library: str, subject: Subject, mode: str = "") -> bool:
    """A library that is no framework is asked about what it spells; of wide rows there is no whole Jacobian."""
    if subject.is_wide and mode == "forward":
        return False
    return library != "optax" or hasattr(subject.function, "optax")


ALONE = (*((k, k + 1) for k in range(3, 480, 40)), (7, 9), (11, 18), (20, 53))
"""Rows, whose lengths are those of the functions themselves."""
JAX_WINDOWS = ((5, 6), (11, 14), (40, 47), (100, 133))
"""jax compiles anew for each length."""


def moves_of(subject: Subject, plan: Survey, processes: Any, here: dict[str, Hello]) -> Moves:
    """Some of the points asked together, and in windows."""
    found: Moves = {}
    if subject.unfit or subject.is_wide:
        return found
    some = subject.at(chosen(subject))
    for name, hello in here.items():
        if not speaks(name, subject):
            continue
        in_torch = name == "torch"
        if not in_torch and (not plan.profile.thorough or str(subject.function) != subject.function.name):
            continue
        asked = windows(len(some.points), plan.profile.turns) if in_torch and subject.ks is None else ALONE
        asked = asked if in_torch else JAX_WINDOWS
        asked = tuple((a, b) for a, b in asked if b <= len(some.points))
        wanted = ("eager", "backward", "forward", "reverse-reverse", "compile") if in_torch else ("jit",)
        for quantity in QUANTITIES[: 3 if in_torch and subject.ks is None else 2]:
            for mode in hello.modes[quantity]:
                if mode in wanted and plan.asks(name, mode, subject.function):
                    whole = processes[name].ask(some.question(quantity, mode))
                    parts = processes[name].ask(some.question(quantity, mode, asked))
                    found[name, quantity, mode] = (asked, whole, parts)
    return found


def moves_judged(subject: Subject, quantity: str, moves: Moves) -> list[Hit]:
    seen: list[Hit] = []
    places = chosen(subject)
    for (library, its, mode), (asked, whole, parts) in moves.items():
        if its == quantity:
            one, other = whole.result(), parts.result()
            truth = truth_at(subject, quantity, places)
            if isinstance(one, np.ndarray) and isinstance(other, np.ndarray) and one.size == truth.high.size:
                seen += moved(subject.at(places), quantity, library, mode, one, other, asked, truth)
    return seen


def truth_at(subject: Subject, quantity: str, places: np.ndarray) -> Any:
    whole = truth_of(subject, quantity)
    return type(whole)(*(getattr(whole, name)[places] for name in ("high", "low", "nearest", "known")))
