"""Rules of three-valued logic along axes: counts, any, all."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from gradagree.arithmetics.trilean import Trilean


def of_numbers(f: Callable[..., Any]) -> Callable[..., Any]:
    """A reduction of the numbers 1 (true) and 0 (false)."""
    return lambda x, axis=None, keepdims=False: f(+x, axis=axis, keepdims=keepdims)


def any_true(x: Trilean, axis: Any = None, keepdims: bool = False) -> Trilean:
    """Decided by one certain True, or where no entry is open."""
    true, certain, open = (np.any(part, axis=axis, keepdims=keepdims) for part in (x.true, x.true & ~x.open, x.open))
    return Trilean(true, open & ~certain, x.lift)


def all_true(x: Trilean, axis: Any = None, keepdims: bool = False) -> Trilean:
    return ~any_true(~x, axis, keepdims)


Trilean.rules.update({f: of_numbers(f) for f in (np.sum, np.mean, np.max, np.min)})
Trilean.rules.update({np.any: any_true, np.all: all_true, np.count_nonzero: Trilean.rules[np.sum]})
