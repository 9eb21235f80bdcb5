"""Cases that never end, made small: how long to wait for an answer that does not come.

A limit of minutes would leave no time for a second try. So a plain case is asked first, of one box and one number: what
takes ten times as long as that, and a second at least, is taken for one that hangs, and the smallest that is found is
given five times as long once more.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

from gradagree.cases import Case
from gradagree.responses import Response
from gradagree.runner.process import FrameworkProcess
from gradagree.shrinking.whole import Asked

LEAST, FACTOR = 1.0, 10.0
"""Seconds at the least, and how many times as long as a plain case."""
CONFIRMED = 5.0
"""How much longer the smallest case is waited for."""
TURNS = 10
"""So many of these limits must fit into the time that there is."""
PLAIN = "1-1:id:sse:n1:f64:grid:s1"


@contextlib.contextmanager
def waiting(process: FrameworkProcess, limit: float) -> Iterator[None]:
    """Wait no longer than that for an answer."""
    usual, process.limit = process.limit, min(process.limit, limit)
    try:
        yield
    finally:
        process.limit = usual


def hurried(asked: Asked, seconds: float) -> float | None:
    """The limit to shrink with, in seconds; None where there is no time for it."""
    plain, most = Case.parse(PLAIN), seconds / TURNS
    if most < LEAST:
        return None
    begun = time.monotonic()
    with waiting(asked.process, most):
        answer = asked.answer(plain, plain.arrays())
    if not isinstance(answer, Response):
        return most
    limit = max(LEAST, FACTOR * (time.monotonic() - begun))
    return limit if limit <= most else None
