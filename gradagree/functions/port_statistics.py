"""Running statistics that a port returns beside its output, against those of the module after the call.

PyTorch's momentum m is the share of the batch, new = (1 - m) old + m batch, and the variance of the batch has Bessel's
correction. In flax and equinox the momentum is the share of the old value, new = m old + (1 - m) batch, and the
variance is that of the batch as it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from gradagree.functions.enclosures import Expected

RESOLUTION = 1e-6
"""Up to which a fitted share of the batch is one of the module's numbers."""


def paired(
    names: Sequence[str], arrays: Sequence[Expected], statistics: Sequence[Any]
) -> Iterator[tuple[int, Any | None, str]]:
    """For each array that a port returns, the running statistic that it is, and why it differs.

    Args:
        names: What the port calls the arrays.
        arrays: The arrays with their error bounds.
        statistics: Those of the module, `RunningStatistic`.

    Yields:
        (number of the array, the statistic, or None if no other has its number of entries; the reason, or empty).
    """
    free = list(statistics)
    found: dict[int, tuple[Any, str]] = {}
    for is_exact in (True, False):
        for k, array in enumerate(arrays):
            if k in found:
                continue
            alike = [(one, reason_of(array, one)) for one in free if one.new.size == array.value.size]
            chosen = [both for both in alike if is_near(array, both[0].new)]
            if not is_exact:
                explained = [both for both in alike if both[1]]
                named = [both for both in alike if is_named(names[k], both[0])]
                chosen = [both for both in explained if both in named] or explained or named or alike
            if chosen:
                found[k] = chosen[0]
                free = [one for one in free if one is not chosen[0][0]]
    for k in range(len(arrays)):
        one, reason = found.get(k, (None, ""))
        yield k, one, reason


def is_named(name: str, statistic: Any) -> bool:
    """True if the name of an array says which of both statistics it is."""
    return statistic.kind[:3] in name.lower()


def is_near(array: Expected, value: np.ndarray | None) -> bool:
    """True if an array is this one within its error bounds; the module's errors are like the port's."""
    if value is None or not np.all(np.isfinite(value)):
        return False
    return bool(np.all(np.abs(array.value.ravel() - value.ravel()) <= 2 * array.radius.ravel()))


def reason_of(array: Expected, one: Any) -> str:
    """Why an array is not the running statistic; empty if it is, or if no usual reason gives it."""
    if is_near(array, one.new):
        return ""
    where = f"{one.name} is not updated as by the module: the port has"
    if one.batch is None:
        return ""
    if is_near(array, one.old):
        return f"{where} the value before the call"
    biased = "the variance of the batch without Bessel's correction, n / (n - 1)"
    found = []
    for batch, differs in ((one.batch, ""), (one.biased, biased)):
        share = share_of(array, one.old, batch)
        if share is None or (differs and one.kind == "mean"):
            continue
        rank, text = other_momentum(share, one.momentum)
        clauses = [clause for clause in (text, differs) if clause]
        if clauses:
            found.append((rank, f"{where} {' and '.join(clauses)}"))
    return min(found)[1] if found else ""


def share_of(array: Expected, old: np.ndarray, batch: np.ndarray) -> float | None:
    """The share s for which an array is (1 - s) old + s batch, all entries within their error bounds; None for none."""
    change, seen = (batch - old).ravel(), array.value.ravel() - old.ravel()
    size = float(change @ change)
    if not size > 0:
        return None
    share = float(seen @ change) / size
    return share if is_near(array, old.ravel() + share * change) else None


def other_momentum(share: float, momentum: float) -> tuple[int, str]:
    """(how unusual it is, what a share of the batch says about the port's momentum; empty for the module's)."""
    if abs(share - momentum) <= RESOLUTION:
        return 0, ""
    if abs(share - (1 - momentum)) <= RESOLUTION:
        convention = f"with that convention of momentum, give it {1 - momentum:g}"
        return 1, f"the momentum {momentum:g} as the share of the old value, not of the batch ({convention})"
    if abs(share - 1) <= RESOLUTION:
        return 2, "the statistic of the batch alone"
    return 3, f"the share {share:.6g} of the batch in place of {momentum:g}"
