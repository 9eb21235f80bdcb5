"""Proved truths, kept on disk: in ``$XDG_CACHE_HOME/gradagree/truth``, or nowhere if ``GRADAGREE_CACHE`` is ``off``."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import inspect
import os
import sys
import tempfile
from pathlib import Path

import numpy as np

from gradagree.arithmetics.model import FORMATS
from gradagree.atlas import ends, formulas, numbers, proved, sides
from gradagree.atlas.proved import Truth, prove
from gradagree.atlas.sides import limits
from gradagree.atlas.subject import Subject

__all__ = ["folder", "truth_of"]

OFF = ("off", "0", "no")
MOST_OPEN = 400
"""Points that are looked at from all sides."""


def folder() -> Path | None:
    """Where truths are kept: ``GRADAGREE_CACHE`` names another folder; None if it is switched off."""
    named = os.environ.get("GRADAGREE_CACHE", "")
    if named.lower() in OFF:
        return None
    if named:
        return Path(named)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "gradagree" / "truth"


def truth_of(subject: Subject, quantity: str) -> Truth:
    """The truth of one quantity at the subject's points, from the disk if it was proved before."""
    kept = folder()
    path = None if kept is None else kept / f"{key(subject, quantity)}.npz"
    if path is not None:
        with contextlib.suppress(OSError, ValueError, KeyError, EOFError), np.load(path) as found:
            return Truth(*(found[name] for name in ("high", "low", "nearest", "known")))
    truth = prove(subject.formula(quantity), subject.points, subject.targets, subject.dtype, subject.classes)
    bridge(subject, quantity, truth)
    if path is not None:
        with contextlib.suppress(OSError):
            written(path, truth)
    return truth


def bridge(subject: Subject, quantity: str, truth: Truth) -> None:
    """Where the formula itself has no answer, as at a tie: what is true on all its sides (known 3)."""
    finite = np.isfinite(subject.points).reshape(len(subject.points), -1).all(axis=1)
    rows = np.flatnonzero((truth.known == 0).reshape(len(finite), -1).any(axis=1) & finite)
    rows = subject.order[np.isin(subject.order, rows)][:MOST_OPEN]
    if not len(rows):
        return
    some, form = subject.at(rows), FORMATS[subject.dtype]
    low, high = limits(some.formula(quantity), some.points, some.ball_targets(), form)
    low, high = (np.broadcast_to(x, truth.high[rows].shape) for x in (low, high))
    open = (truth.known[rows] == 0) & np.isfinite(low)
    for part, x in ((truth.high, low), (truth.nearest, low), (truth.known, np.full(low.shape, 3))):
        part[rows] = np.where(open, x, part[rows])


def written(path: Path, truth: Truth) -> None:
    """All at once, so that two surveys may run beside each other."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".part", delete=False) as file:
        np.savez(file, high=truth.high, low=truth.low, nearest=truth.nearest, known=truth.known)
    os.replace(file.name, path)


def key(subject: Subject, quantity: str) -> str:
    """A hash of the function, the sources that its truth comes from, the dtype and every point."""
    found = hashlib.sha256(f"{subject.function!r} {subject.dtype} {quantity} {subject.ks} {subject.js}".encode())
    for kind in type(subject.function).__mro__:
        if kind is not object:
            found.update(source(kind.__module__).encode())
    found.update(ours().encode())
    for x in (subject.points, *subject.constants):
        found.update(f"{x.shape} {x.dtype}".encode())
        found.update(np.ascontiguousarray(x).tobytes())
    return found.hexdigest()


@functools.cache
def source(module: str) -> str:
    """The text of a module; its name where there is no text."""
    try:
        return inspect.getsource(sys.modules[module])
    except (OSError, TypeError, KeyError):
        return module


@functools.cache
def ours() -> str:
    """The texts that say how truths are proved: these modules and all arithmetics."""
    import flint

    here = Path(proved.__file__).parents[1] / "arithmetics"
    texts = [path.read_text(encoding="utf-8") for path in sorted(here.glob("*.py"))]
    return "".join(
        [flint.__version__, *texts, *(inspect.getsource(module) for module in (proved, ends, formulas, numbers, sides))]
    )
