"""Dependence of a value on the length of its vector, and on its place there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from typing import Any

import numpy as np

from gradagree.adapters import Adapter
from gradagree.adapters.adapter import library_frameworks, pointwise_mode
from gradagree.arithmetic.model import FORMATS
from gradagree.arithmetic.rounding import ulp
from gradagree.checker.response import Ready
from gradagree.reproduce.finding import COPIES, parse_position
from gradagree.runner.process import RequestQueue
from gradagree.runner.protocol import PointwiseRequest
from gradagree.surveys.classify import ErrorCode, per_point
from gradagree.surveys.exact import ExactValues
from gradagree.surveys.formulas import QUANTITIES
from gradagree.surveys.measurements import Deviation, json_value
from gradagree.surveys.plan import SurveyPlan
from gradagree.surveys.points import kinks_of
from gradagree.surveys.subject import Subject

Window = tuple[int, int]
"""Start and stop of a window of points that is evaluated as a vector of its own."""


SAMPLE_SIZE = 509
"""Prime, so that windows begin everywhere."""
STRIDE = 197
"""Prime, so that each window holds inputs of all sizes."""
LENGTHS = range(1, 68)
ORDINARY_SIZES = (2.0**-14, 2.0**9)
MAX_SPECIAL = 40


def sample_points(subject: Subject) -> np.ndarray:
    """Indices of a sample of the points, in mixed order: evenly from those of ordinary size, and some of the others."""
    size = np.abs(subject.points).reshape(len(subject.points), -1).max(axis=1)
    ordinary = (size >= ORDINARY_SIZES[0]) & (size <= ORDINARY_SIZES[1])
    parts = [np.flatnonzero(ordinary), np.flatnonzero(~ordinary)]
    counts = (SAMPLE_SIZE - 80, 80)
    found = np.unique(np.concatenate(
        [part[np.unique(np.linspace(0, len(part) - 1, count).astype(int))] if len(part) else part
         for part, count in zip(parts, counts, strict=True)] + [special_points(subject)]
    ))  # fmt: skip
    return found[np.arange(len(found)) * STRIDE % len(found)] if len(found) % STRIDE else found


def special_points(subject: Subject) -> np.ndarray:
    """Indices of NaN, 0, kinks and their neighbours, which the last entries of a vector often treat differently."""
    x = subject.points.reshape(len(subject.points), -1)
    if x.shape[1] > 1:
        return np.flatnonzero(np.isnan(x).any(axis=1))[:1]
    near = np.isnan(x[:, 0]) | (x[:, 0] == 0)
    for kink in kinks_of(subject.function):
        near |= np.abs(x[:, 0] - kink) <= ulp(np.asarray(float(kink)), FORMATS[subject.dtype])
    return np.flatnonzero(near)[:MAX_SPECIAL]


def windows(count: int, turns: int) -> tuple[Window, ...]:
    """`turns` windows of each length, and for several turns every point alone."""
    found = [(k, k + 1) for k in range(count)] if turns > 1 else []
    for n in LENGTHS:
        if n < count:
            found += [
                ((n * 61 + turn * 173) % (count - n), (n * 61 + turn * 173) % (count - n) + n) for turn in range(turns)
            ]
    return tuple(found)


def shape_deviations(
    subject: Subject, quantity: str, framework: str, mode: str, values: np.ndarray, parts: np.ndarray,
    parts_of: Sequence[Window], exact: ExactValues,
) -> Iterator[Deviation]:  # fmt: skip
    """Deviations between the values of all points in one vector and those of windows of it.

    Args:
        subject: the function at its points.
        quantity: value, slope or second.
        framework: name of the framework.
        mode: name of the mode.
        values: values of all points in one vector.
        parts: values of the windows, one after the other.
        parts_of: the windows, each (start, stop).
        exact: exact values at the points.

    Returns:
        The simplest point of the largest differences, for inputs that are numbers and for those that are NaN.
    """
    places = np.concatenate([np.arange(start, stop) for start, stop in parts_of])
    labels = [f"entry {k} of {stop - start}" for start, stop in parts_of for k in range(stop - start)]
    values = np.reshape(values, exact.high.shape)
    parts = np.reshape(parts, (len(places), *values.shape[1:]))
    others = values[places]
    differ = (parts != others) & ~(np.isnan(parts) & np.isnan(others))
    with np.errstate(all="ignore"):
        gap = np.abs(parts - others) / ulp(np.fmax(np.abs(parts), np.abs(others)), FORMATS[subject.dtype])
    rank = np.empty(len(subject.points), dtype=int)
    rank[subject.order] = np.arange(len(rank))
    inputs = subject.points.reshape(len(subject.points), -1)[places]
    for region, here in (("ordinary", np.isfinite(inputs).all(axis=1)), ("nan", np.isnan(inputs).any(axis=1))):
        where = differ & per_point(here, differ)
        if not where.any():
            continue
        ulps = np.where(where, np.where(np.isfinite(gap), gap, np.inf), 0.0).reshape(len(gap), -1).max(axis=1)
        worst = np.flatnonzero(ulps >= ulps.max() / 4)
        best = worst[np.argmin(rank[places[worst]])]
        entry = tuple(map(int, np.argwhere(where[best])[0])) if where.ndim > 1 else ()
        first = int(places[best])
        index = (first, *entry)
        x = subject.points[np.unique(places[where.reshape(len(where), -1).any(axis=1)])]
        x = x[~np.isnan(x)] if not np.isnan(x).all() else np.zeros(1)
        yield Deviation(
            subject=subject.at(slice(first, first + 1)), quantity=quantity, framework=framework, mode=mode,
            code=ErrorCode.SHAPE, region=region, count=int(where.sum()), low=float(x.min()), high=float(x.max()),
            index=(0, *entry), observed=float(parts[(best, *entry)]),
            exact=float(exact.high[index]) if exact.known[index] else float("nan"), worst_ulp=float(ulps.max()),
            other=labels[best], other_observed=float(values[index]), values=values[first : first + 1].copy(),
        )  # fmt: skip


PendingResults = dict[tuple[str, str, str], "Future[Any] | None"]
"""By library, quantity and mode; None where the plan leaves the mode out."""
PendingWindows = dict[tuple[str, str, str], tuple[Sequence[Window], "Future[Any]"]]
"""By library, quantity and mode: the windows and their values."""


def supports(library: str, subject: Subject, quantity: str = "", mode: str = "") -> bool:
    """Whether a library implements the function, and the subject has the quantity and the mode.

    Wide rows have no forward mode, which would need the full Jacobian. With cotangents there is only the vjp, and by
    targets and weights there are only first derivatives.
    """
    if subject.by and quantity not in ("", "slope"):
        return False
    if mode in ("forward", "forward-forward") and (subject.is_wide or subject.cotangents is not None):
        return False
    if subject.cotangents is not None and quantity not in ("", "slope"):
        return False
    if subject.label and quantity == "second":
        return False
    return library in Adapter.catalogue or hasattr(subject.function, library)


ROW_WINDOWS = (*((k, k + 1) for k in range(3, 480, 40)), (7, 9), (11, 18), (20, 53))
"""Windows of functions of rows; they are counted in rows."""
FEW_WINDOWS = ((5, 6), (11, 18), (100, 137))
"""Windows for a framework that compiles for each length; elementwise functions need the last one only."""


def submit_windows(
    subject: Subject, plan: SurveyPlan, queue: Mapping[str, RequestQueue], ready: Mapping[str, Ready]
) -> PendingWindows:
    """Request windows of a sample of the points from every library whose modes may depend on length."""
    found: PendingWindows = {}
    plain = subject.cotangents is None and not subject.label and not subject.by
    if subject.unsupported_reason or subject.is_wide or not plain:
        return found
    sample, elementwise = subject.at(sample_points(subject)), subject.ks is None
    for name, handshake in ready.items():
        if not supports(name, subject):
            continue
        few = Adapter.catalogue[library_frameworks().get(name, name)].compiles_lengths
        if few and (not plan.profile.thorough or str(subject.function) != subject.function.name):
            continue
        if few:
            chosen = FEW_WINDOWS[-1 if elementwise else 0 :]
        else:
            chosen = windows(len(sample.points), plan.profile.turns) if elementwise else ROW_WINDOWS
        chosen = tuple((start, stop) for start, stop in chosen if stop <= len(sample.points))
        for quantity in QUANTITIES[: 3 if elementwise and not few else 2]:
            for mode in handshake.pointwise[quantity]:
                if pointwise_mode(name, mode).lengths and plan.includes(name, mode, subject.function):
                    parts = queue[name].submit(sample.request(quantity, mode, chosen))
                    found[name, quantity, mode] = (chosen, parts)
    return found


def window_deviations(
    subject: Subject, quantity: str, exact: ExactValues, pending: PendingResults, pending_windows: PendingWindows
) -> list[Deviation]:
    """Where the value in a window differs from the value among all points."""
    found: list[Deviation] = []
    places = sample_points(subject) if pending_windows else np.zeros(0, dtype=int)
    sample = subject.at(places)
    for (library, its, mode), (chosen, parts) in pending_windows.items():
        future = pending.get((library, its, mode))
        if its != quantity or future is None:
            continue
        values, other = future.result(), parts.result()
        if isinstance(values, np.ndarray) and isinstance(other, np.ndarray) and values.size == exact.high.size:
            values = np.reshape(values, exact.high.shape)[places]
            found += shape_deviations(sample, quantity, library, mode, values, other, chosen, exact.at(places))
    return found


EXAMPLE_LENGTHS = (COPIES, 1, 7, 4096)
"""Lengths of the example's vectors, in addition to the length with which it was found."""
MAX_NUMBERS = 1 << 20
"""Numbers in the longest vector; wide rows have fewer copies."""


def example_lengths(deviation: Deviation) -> list[int]:
    width = deviation.subject.points[0].size
    return list(
        dict.fromkeys([parse_position(deviation.other)[1], *(n for n in EXAMPLE_LENGTHS if n * width <= MAX_NUMBERS)])
    )


def request_in_lengths(deviation: Deviation) -> PointwiseRequest:
    """The request for copies of the input in vectors of several lengths."""
    lengths = example_lengths(deviation)
    subject = deviation.subject.at(np.zeros(max(lengths), dtype=int))
    return subject.request(deviation.quantity, deviation.mode, tuple((0, n) for n in lengths))


def operands_of(subject: Subject) -> dict[str, Any]:
    """The target and, if there is one, the cotangent of the first point, for an example.

    If it is differentiated by the target or a weight, that is the input, and "target" is the output.
    """
    found = {"target": None if subject.targets is None else json_value(np.ravel(subject.targets[0]))}
    if subject.by:
        found["by"] = subject.by
    if subject.labels is not None:
        found["labels"] = json_value(np.ravel(subject.labels[0]))
    return found if subject.cotangents is None else {**found, "cotangent": json_value(np.ravel(subject.cotangents[0]))}


def shape_example(deviation: Deviation, results: list[Any]) -> dict[str, Any] | None:
    """The example of a finding.

    Args:
        deviation: the deviation.
        results: the result of `request_in_lengths` or a future of it; [] to describe the deviation as it was found.

    Returns:
        Two entries of vectors of copies that differ, or None if all are equal.
    """
    subject = deviation.subject
    example = {
        "dtype": subject.dtype, "mode": deviation.mode, "input": json_value(np.ravel(subject.points[0])),
        "entry": list(deviation.index[1:]), "given": json_value(deviation.observed),
        "other_given": json_value(deviation.other_observed), "window": deviation.other,
        "beside": f"entry 0 of {COPIES}", "true": json_value(deviation.exact),
        "function": str(subject.function), "ulps": json_value(deviation.worst_ulp),
        **operands_of(subject),
    }  # fmt: skip
    if not results:
        return example
    result = results[0].result() if isinstance(results[0], Future) else results[0]
    if not isinstance(result, np.ndarray):
        return None
    lengths = example_lengths(deviation)
    entry: tuple[Any, ...] = (slice(None), *deviation.index[1:])
    values = np.reshape(result, (sum(lengths), *deviation.values.shape[1:]))[entry]
    places = [f"entry {k} of {n}" for n in lengths for k in range(n)]
    for first in (places.index(deviation.other), 0):
        differ = (values != values[first]) & ~(np.isnan(values) & np.isnan(values[first]))
        if differ.any():
            other = int(np.argmax(differ))
            numbers = {"given": json_value(float(values[first])), "other_given": json_value(float(values[other]))}
            return {**example, **numbers, "window": places[first], "beside": places[other]}
    return None
