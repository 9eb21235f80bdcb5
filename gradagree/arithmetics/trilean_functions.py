"""The rules of comparisons along axes: how many hold, whether any or all do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from gradagree.arithmetics.trilean import Trilean


def counted(f: Callable[..., Any]) -> Callable[..., Any]:
    """The function of numbers that are 1 where the comparison holds, else 0."""
    return lambda x, axis=None, keepdims=False: f(+x, axis=axis, keepdims=keepdims)


def some(x: Trilean, axis: Any = None, keepdims: bool = False) -> Trilean:
    """Decided by one that certainly holds, or where none is open."""
    true, certain, open = (np.any(part, axis=axis, keepdims=keepdims) for part in (x.true, x.true & ~x.open, x.open))
    return Trilean(true, open & ~certain, x.lift)


def every(x: Trilean, axis: Any = None, keepdims: bool = False) -> Trilean:
    return ~some(~x, axis, keepdims)


Trilean.rules.update({f: counted(f) for f in (np.sum, np.mean, np.max, np.min)})
Trilean.rules.update({np.any: some, np.all: every, np.count_nonzero: Trilean.rules[np.sum]})
