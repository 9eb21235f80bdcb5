"""Does an answer depend on vector length or place."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future
from typing import Any

import numpy as np

from gradagree.adapters import Adapter
from gradagree.adapters.adapter import library_frameworks, pointwise_mode
from gradagree.arithmetic.model import FORMATS
from gradagree.checker.response import Ready
from gradagree.reproduce.finding import COPIES, place_of
from gradagree.runner.protocol import PointwiseRequest
from gradagree.surveys.classify import ErrorCode
from gradagree.surveys.exact import ExactValues
from gradagree.surveys.measurements import Deviation
from gradagree.surveys.plan import SurveyPlan
from gradagree.surveys.points import kinks_of, ulp
from gradagree.surveys.subject import QUANTITIES, Subject

# Whether an answer depends on where in a vector its input stands, and on how long the vector is
# ----------------------------------------------------------------------------------------------


SAMPLE_SIZE = 509
"""A prime number, so that windows begin everywhere."""
STRIDE = 197
"""Prime, so that each window holds inputs of all sizes."""
LENGTHS = range(1, 68)
ORDINARY_SIZES = (2.0**-14, 2.0**9)
MAX_SPECIAL = 40


def sample_points(subject: Subject) -> np.ndarray:
    """Some of the points: those of ordinary size, evenly, and some of the others; mixed."""
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
    """Where vectors' ends are known to be treated otherwise: NaN, 0, the kinks and their neighbours."""
    x = subject.points.reshape(len(subject.points), -1)
    if x.shape[1] > 1:
        return np.flatnonzero(np.isnan(x).any(axis=1))[:1]
    near = np.isnan(x[:, 0]) | (x[:, 0] == 0)
    for kink in kinks_of(subject.function):
        near |= np.abs(x[:, 0] - kink) <= ulp(np.asarray(float(kink)), FORMATS[subject.dtype])
    return np.flatnonzero(near)[:MAX_SPECIAL]


def windows(count: int, turns: int) -> tuple[tuple[int, int], ...]:
    """Every point alone, if asked for several turns, and vectors of each length, so many of each."""
    found = [(k, k + 1) for k in range(count)] if turns > 1 else []
    for n in LENGTHS:
        if n < count:
            found += [
                ((n * 61 + turn * 173) % (count - n), (n * 61 + turn * 173) % (count - n) + n) for turn in range(turns)
            ]
    return tuple(found)


def shape_deviations(
    subject: Subject,
    quantity: str,
    framework: str,
    mode: str,
    values: np.ndarray,
    parts: np.ndarray,
    asked: Any,
    exact: ExactValues,
) -> Iterator[Deviation]:
    """The hit of the simplest point whose answer in some window has other bits than among all; NaN has its own."""
    places = np.concatenate([np.arange(start, stop) for start, stop in asked])
    values = np.reshape(values, exact.high.shape)
    parts = np.reshape(parts, (len(places), *values.shape[1:]))
    apart = (parts != values[places]) & ~(np.isnan(parts) & np.isnan(values[places]))
    inputs = subject.points.reshape(len(subject.points), -1)[places]
    for region, here in (("ordinary", np.isfinite(inputs).all(axis=1)), ("nan", np.isnan(inputs).any(axis=1))):
        where = apart & here.reshape(-1, *[1] * (apart.ndim - 1))
        if where.any():
            yield _shape_deviation(
                subject, quantity, framework, mode, region, where, places, values, parts, asked, exact
            )


def _shape_deviation(
    subject: Subject, quantity: str, framework: str, mode: str, region: str, apart: np.ndarray, places: np.ndarray,
    values: np.ndarray, parts: np.ndarray, asked: Any, exact: ExactValues,
) -> Deviation:  # fmt: skip
    lengths = np.concatenate([np.full(stop - start, stop - start) for start, stop in asked])
    offsets = np.concatenate([np.arange(stop - start) for start, stop in asked])
    with np.errstate(all="ignore"):
        larger = np.fmax(np.abs(parts), np.abs(values[places]))
        gap = np.abs(parts - values[places]) / ulp(larger, FORMATS[subject.dtype])
    gap = np.where(apart, np.where(np.isfinite(gap), gap, np.inf), 0.0)
    most = gap.reshape(len(gap), -1).max(axis=1)
    rank = np.empty(len(subject.points), dtype=int)
    rank[subject.order] = np.arange(len(rank))
    worst = np.flatnonzero(most >= most.max() / 4)
    best = worst[np.argmin(rank[places[worst]])]
    entry = tuple(map(int, np.argwhere(apart[best])[0])) if apart.ndim > 1 else ()
    first = int(places[best])
    exact_there = float(exact.high[(first, *entry)]) if exact.known[(first, *entry)] else float("nan")
    x = subject.points[np.unique(places[apart.reshape(len(apart), -1).any(axis=1)])]
    x = x[~np.isnan(x)] if not np.isnan(x).all() else np.zeros(1)
    return Deviation(
        subject.at(slice(first, first + 1)), quantity, framework, mode, ErrorCode.SHAPE, region, int(apart.sum()),
        float(x.min()), float(x.max()), (0, *entry), float(parts[(best, *entry)]), exact_there,
        float(most.max()), f"entry {int(offsets[best])} of {int(lengths[best])}", float(values[(first, *entry)]),
        values=values[first : first + 1].copy(),
    )  # fmt: skip


# The same inputs among all and in vectors of other lengths: what is asked of whom, and what comes of it
# ------------------------------------------------------------------------------------------------------


PendingResults = dict[tuple[str, str, str], "Future[Any] | None"]
"""By library, quantity and mode; None is not asked."""
PendingWindows = dict[tuple[str, str, str], tuple[Any, "Future[Any]"]]
"""By library, quantity and mode: the windows, and the answers in them."""


def supports(library: str, subject: Subject, mode: str = "") -> bool:
    """A library that is no framework is asked about what it spells; of wide rows there is no whole Jacobian."""
    if subject.is_wide and mode == "forward":
        return False
    return library in Adapter.catalogue or hasattr(subject.function, library)


ROW_WINDOWS = (*((k, k + 1) for k in range(3, 480, 40)), (7, 9), (11, 18), (20, 53))
"""Rows, whose lengths are those of the functions themselves."""
FEW_WINDOWS = ((5, 6), (11, 18), (100, 137))
"""For a framework that compiles for each length; one with whole vectors and a rest is enough if no row is summed."""


def submit_windows(subject: Subject, plan: SurveyPlan, processes: Any, here: dict[str, Ready]) -> PendingWindows:
    """Some of the points asked in windows."""
    found: PendingWindows = {}
    if subject.unsupported_reason or subject.is_wide:
        return found
    some = subject.at(sample_points(subject))
    for name, handshake in here.items():
        if not supports(name, subject):
            continue
        few = Adapter.catalogue[library_frameworks().get(name, name)].compiles_lengths
        if few and (not plan.profile.thorough or str(subject.function) != subject.function.name):
            continue
        asked = windows(len(some.points), plan.profile.turns) if not few and subject.ks is None else ROW_WINDOWS
        asked = FEW_WINDOWS[-1 if subject.ks is None else 0 :] if few else asked
        asked = tuple((a, b) for a, b in asked if b <= len(some.points))
        for quantity in QUANTITIES[: 3 if not few and subject.ks is None else 2]:
            for mode in handshake.pointwise[quantity]:
                if pointwise_mode(name, mode).lengths and plan.includes(name, mode, subject.function):
                    parts = processes[name].submit(some.request(quantity, mode, asked))
                    found[name, quantity, mode] = (asked, parts)
    return found


def window_deviations(
    subject: Subject, quantity: str, exact: ExactValues, asked: PendingResults, moves: PendingWindows
) -> list[Deviation]:
    """Where an answer in a window is another one than among all points."""
    theirs = {key: move for key, move in moves.items() if key[1] == quantity and asked.get(key) is not None}
    if not theirs:
        return []
    seen: list[Deviation] = []
    places = sample_points(subject)
    some, exact_there = subject.at(places), exact_values_at(exact, places)
    for (library, _, mode), (asked_for, parts) in theirs.items():
        values, other = asked[library, quantity, mode].result(), parts.result()  # type: ignore[union-attr]
        if isinstance(values, np.ndarray) and isinstance(other, np.ndarray) and values.size == exact.high.size:
            values = np.reshape(values, exact.high.shape)[places]
            seen += shape_deviations(some, quantity, library, mode, values, other, asked_for, exact_there)
    return seen


def exact_values_at(exact: ExactValues, places: np.ndarray) -> ExactValues:
    return ExactValues(*(getattr(exact, name)[places] for name in ("high", "low", "nearest", "known")))


# An answer that depends on a vector's length, shown by copies of one input: two entries that are not the same
# ------------------------------------------------------------------------------------------------------------


EXAMPLE_LENGTHS = (COPIES, 1, 7, 4096)
"""Beside the length of the vector in which it was seen."""
MAX_NUMBERS = 1 << 20
"""Numbers in the longest of them: of wide rows there are fewer copies."""


def json_value(x: Any) -> Any:
    """Numbers as JSON has them."""
    if isinstance(x, np.ndarray):
        return [json_value(one) for one in x.tolist()]
    return x if isinstance(x, int) or np.isfinite(x) else str(x)


def example_lengths(deviation: Deviation) -> list[int]:
    width = deviation.subject.points[0].size
    return list(
        dict.fromkeys([place_of(deviation.other)[1], *(n for n in EXAMPLE_LENGTHS if n * width <= MAX_NUMBERS)])
    )


def request_in_lengths(deviation: Deviation) -> PointwiseRequest:
    """The input's copies, in vectors of several lengths."""
    lengths = example_lengths(deviation)
    subject = deviation.subject.at(np.zeros(max(lengths), dtype=int))
    return subject.request(deviation.quantity, deviation.mode, tuple((0, n) for n in lengths))


def shape_example(deviation: Deviation, asked: list[Any]) -> dict[str, Any] | None:
    """The example: two entries of vectors of copies; as it was seen, if nobody was asked; None if all are the same."""
    seen = {
        "dtype": deviation.subject.dtype, "mode": deviation.mode,
        "input": json_value(np.ravel(deviation.subject.points[0])),
        "entry": list(deviation.index[1:]), "given": json_value(deviation.observed),
        "other_given": json_value(deviation.other_observed), "window": deviation.other,
        "beside": f"entry 0 of {COPIES}", "true": json_value(deviation.exact),
        "function": str(deviation.subject.function),
        "ulps": json_value(deviation.worst_ulp),
        "target": None if deviation.subject.targets is None else json_value(np.ravel(deviation.subject.targets[0])),
    }  # fmt: skip
    if not asked:
        return seen
    answer = asked[0].result() if isinstance(asked[0], Future) else asked[0]
    if not isinstance(answer, np.ndarray):
        return None
    lengths = example_lengths(deviation)
    entry: tuple[Any, ...] = (slice(None), *deviation.index[1:])
    values = np.reshape(answer, (sum(lengths), *deviation.values.shape[1:]))[entry]
    places = [f"entry {k} of {n}" for n in lengths for k in range(n)]
    for first in (places.index(deviation.other), 0):
        apart = (values != values[first]) & ~(np.isnan(values) & np.isnan(values[first]))
        if apart.any():
            other = int(np.argmax(apart))
            numbers = {"given": json_value(float(values[first])), "other_given": json_value(float(values[other]))}
            return {**seen, **numbers, "window": places[first], "beside": places[other]}
    return None
