"""Cache of exact values on disk, in the subfolder ``truth`` of the cache folder (`gradagree.adapters.cache`)."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import inspect
import os
import sys
import tempfile
from pathlib import Path

import flint
import numpy as np

from gradagree.adapters.cache import cache_folder
from gradagree.surveys.exact import FROM_LIMITS, ExactValues, compute_exact_values
from gradagree.surveys.neighbourhood import range_of_limits
from gradagree.surveys.subject import Subject

FOLDER = "truth"
RULES = 3
"""Version of the rules by which exact values are computed. Increase it with every change of a result: entries of other
versions are not used. A test compares results with a fingerprint of this version."""
MAX_UNKNOWN = 400
"""Undefined points for which one-sided limits are evaluated, the simplest first."""


def cached_exact_values(subject: Subject, quantity: str) -> ExactValues:
    """Exact values of one quantity at the subject's points, from the cache on disk if they are there."""
    kept = cache_folder(FOLDER)
    path = None if kept is None else kept / f"{entry_key(subject, quantity)}.npz"
    if path is not None:
        with contextlib.suppress(OSError, ValueError, KeyError, EOFError), np.load(path) as found:
            return ExactValues(*(found[name] for name in ("high", "low", "nearest", "known")))
    exact = fill_from_limits(subject, quantity, compute_exact_values(subject, quantity))
    if path is not None:
        with contextlib.suppress(OSError):
            write_entry(path, exact)
    return exact


def fill_from_limits(subject: Subject, quantity: str, exact: ExactValues) -> ExactValues:
    """The exact values, where unknown, as at a tie, replaced by the smallest one-sided limit (known 3)."""
    finite = np.isfinite(subject.points).reshape(len(subject.points), -1).all(axis=1)
    rows = np.flatnonzero((exact.known == 0).reshape(len(finite), -1).any(axis=1) & finite)
    rows = subject.order[np.isin(subject.order, rows)][:MAX_UNKNOWN]
    if not len(rows):
        return exact
    some = subject.at(rows)
    low = np.broadcast_to(range_of_limits(some, quantity)[0], exact.high[rows].shape)
    open = (exact.known[rows] == 0) & np.isfinite(low)
    high, nearest, known = exact.high.copy(), exact.nearest.copy(), exact.known.copy()
    for part, x in ((high, low), (nearest, low), (known, np.full(low.shape, FROM_LIMITS))):
        part[rows] = np.where(open, x, part[rows])
    return ExactValues(high, exact.low, nearest, known)


def write_entry(path: Path, exact: ExactValues) -> None:
    """Write and rename, so that surveys that run at the same time see complete files only."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".part", delete=False) as file:
        np.savez(file, high=exact.high, low=exact.low, nearest=exact.nearest, known=exact.known)
    os.replace(file.name, path)


def entry_key(subject: Subject, quantity: str) -> str:
    """A hash of the function and its source, the version of the rules, the dtype and every point."""
    rules = f"{RULES} {flint.__version__}"
    text = f"{rules} {subject.function!r} {subject.dtype} {quantity} {subject.ks} {subject.js}"
    text += f" by {subject.by}" if subject.by else ""
    found = hashlib.sha256(text.encode())
    for kind in type(subject.function).__mro__:
        if kind is not object:
            found.update(module_source(kind.__module__).encode())
    for x in (subject.points, *subject.constants):
        found.update(f"{x.shape} {x.dtype}".encode())
        found.update(np.ascontiguousarray(x).tobytes())
    return found.hexdigest()


@functools.cache
def module_source(module: str) -> str:
    """The text of a module; its name where there is no text."""
    try:
        return inspect.getsource(sys.modules[module])
    except (OSError, TypeError, KeyError):
        return module
