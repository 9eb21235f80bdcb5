"""The box check: each box on the framework's own input and incoming sensitivity.

It is the derivation's own induction. The forward pass comes first: each box's c must be what the box makes of the
framework's own p. Then the error box's sensitivity must be right; and each box outwards must make the right delta_p, dw
and db of the framework's own p and delta_c. So rounding does not compound, and the guilty box is known at once.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from gradagree.adapters import Answer
from gradagree.arithmetics.model import Model
from gradagree.arithmetics.rounded import Rounded
from gradagree.cases import Arrays, Case
from gradagree.judged import SLOPES, JudgedActivation, JudgedError, at_kinks, error_kinks
from gradagree.reference import Box, ErrorBox
from gradagree.verdict import Verdict

__all__ = ["Comparison", "check", "check_update"]

Part = Literal["c", "E", "delta_p", "dw", "db", "E'", "w", "b"]
ERROR_BOX = "error"


@dataclass(frozen=True)
class Comparison:
    """One array of one box: how it compares, its worst entry, and how sharp the tolerance was."""

    box: int | str
    part: Part
    verdict: Verdict
    ratio: float = 0.0
    index: tuple[int, ...] = ()
    expected: float = math.nan
    observed: float = math.nan
    tolerance: float = math.nan
    sharpness: float = 0.0
    sharp: int = 0
    entries: int = 0
    reason: str = ""

    @property
    def entry(self) -> str:
        """For example ``dw[2,0]``."""
        return self.part + (f"[{','.join(map(str, self.index))}]" if self.index else "")

    @property
    def is_gradient(self) -> bool:
        return self.part in ("delta_p", "dw", "db", "E'")


@dataclass(frozen=True)
class Tolerant:
    """How to judge a box: with the natural scale or not, and with which slope at kinks."""

    natural: bool = False
    slope: str | None = None

    def activation(self, activation: Any) -> Any:
        return JudgedActivation(activation, self.natural, self.slope)

    def error(self, error: Any) -> Any:
        return JudgedError(error, self.natural, self.slope)


Expect = Callable[[Tolerant], Rounded]
Kinks = dict[str, np.ndarray]


def check(case: Case, arrays: Arrays, answer: Answer, model: Model) -> Iterator[Comparison]:
    """Every comparison of the box check, in the derivation's order; a value that differs is the last one."""
    boxes = case_boxes(case, arrays)
    inputs, sensitivities = ([Rounded.stored(x, model) for x in xs] for xs in (answer.inputs, answer.sensitivities))
    targets = arrays.targets if case.error.targets == "classes" else Rounded.stored(arrays.targets, model)
    for k, box in enumerate(boxes, 1):
        found = compare(k, "c", answer.inputs[k], lambda how: judged_box(box, how, model).weigh(inputs[k - 1]))  # noqa: B023
        yield found
        if found.verdict is Verdict.VALUE_DIFFERS:
            return
    found = compare(
        ERROR_BOX, "E", np.asarray(answer.E), lambda how: ErrorBox(how.error(case.error), targets)(inputs[-1])
    )
    yield found
    if found.verdict is Verdict.VALUE_DIFFERS:
        return
    kinks = error_kinks(case.error, answer.inputs[-1], arrays.targets)
    yield compare(
        ERROR_BOX, "delta_p", answer.sensitivities[-1],
        lambda how: ErrorBox(how.error(case.error), targets).pull(inputs[-1]), kinks,
    )  # fmt: skip
    for k in range(len(boxes), 0, -1):
        if answer.sensitivities[k].shape != answer.inputs[k].shape:
            return
        yield from _pull(k, boxes[k - 1], answer, inputs, sensitivities, model)


def _pull(
    k: int, box: Box, answer: Answer, inputs: list[Rounded], sensitivities: list[Rounded], model: Model
) -> Iterator[Comparison]:
    """delta_p, dw and db of box k."""
    pulled: dict[Tolerant, Any] = {}

    def pull(how: Tolerant) -> Any:
        if how not in pulled:
            pulled[how] = judged_box(box, how, model).pull(inputs[k - 1], sensitivities[k])
        return pulled[how]

    kinks = at_kinks(box.activation, answer.inputs[k - 1])
    yield compare(k, "delta_p", answer.sensitivities[k - 1], lambda how: pull(how)[0], kinks)
    gradients: tuple[tuple[Part, Any, Any], ...] = (("dw", box.w, answer.weights), ("db", box.b, answer.biases))
    for place, (part, owned, given) in enumerate(gradients):
        if owned is not None:
            yield compare(k, part, given[k - 1], lambda how: pull(how)[1][place])  # noqa: B023


def check_update(arrays: Arrays, answer: Answer, rate: float, model: Model) -> Iterator[Comparison]:
    """One step of steepest descent from the framework's own gradient: w - rate dE/dw, b - rate dE/db."""
    owned = [(k, "w", w, answer.weights[k - 1]) for k, w in enumerate(arrays.weights, 1)]
    owned += [(k, "b", b, answer.biases[k - 1]) for k, b in enumerate(arrays.biases, 1) if b is not None]
    after = (*answer.updated, *[None] * len(owned))
    for (k, part, before, gradient), updated in zip(owned, after, strict=False):
        if gradient is not None:
            step = Rounded.constant(rate, model) * Rounded.stored(gradient, model)
            expected = Rounded.stored(before, model) - step
            yield compare(k, part, updated, lambda how: expected)  # type: ignore[arg-type]  # noqa: B023


def case_boxes(case: Case, arrays: Arrays) -> list[Box]:
    """The boxes from the outermost inwards, on ordinary arrays."""
    from gradagree.reference.boxes import boxes

    return list(boxes(case.network(arrays)))


def judged_box(box: Box, how: Tolerant, model: Model) -> Box:
    """The box on rounded arrays, its weights as the framework holds them."""
    w, b = (None if x is None else Rounded.stored(x, model) for x in (box.w, box.b))
    return Box(how.activation(box.activation), w, b, box.inside)


def compare(box: int | str, part: Part, observed: Any, expect: Expect, kinks: Kinks | None = None) -> Comparison:
    """First without the natural scale, then with it, then with each legitimate slope at the kinks."""
    tight = classify(box, part, observed, expect(Tolerant()))
    if not tight.verdict.fails:
        return tight
    natural = classify(box, part, observed, expect(Tolerant(natural=True)))
    if not natural.verdict.fails:
        return inaccurate(natural, tight) if natural.verdict is Verdict.AGREE else natural
    if kinks:
        other, reason = conventional(box, part, observed, expect, kinks)
        if not other.verdict.fails:
            agrees = other.verdict is Verdict.AGREE
            return replace(other, verdict=Verdict.CONVENTION if agrees else other.verdict, reason=reason)
        natural = other if reason else natural
    if part in ("c", "E") and natural.verdict is Verdict.DISAGREE:
        return replace(natural, verdict=Verdict.VALUE_DIFFERS)
    return natural


def conventional(
    box: int | str, part: Part, observed: np.ndarray, expect: Expect, kinks: Kinks
) -> tuple[Comparison, str]:
    """With one legitimate slope at each kink, where one explains all entries on it; and which ones."""
    expected, chosen = expect(Tolerant(natural=True)), []
    value, radius = expected.value.copy(), expected.radius.copy()
    candidates = {slope: expect(Tolerant(natural=True, slope=slope)) for slope in SLOPES}
    for name, on in kinks.items():
        for slope, other in candidates.items():
            with np.errstate(invalid="ignore"):
                within = (observed == other.value) | (np.abs(observed - other.value) <= other.radius)
            if within[on].all():
                value[on], radius[on] = other.value[on], other.radius[on]
                chosen.append(f"{slope} slope at {name}")
                break
    return classify(box, part, observed, Rounded(value, radius, expected.model)), ", ".join(chosen)


def inaccurate(natural: Comparison, tight: Comparison) -> Comparison:
    """Right within the natural scale only: the entry that lost digits, with the tolerance that it passed."""
    lost = abs(tight.observed - tight.expected) / tight.tolerance if tight.tolerance else math.inf
    return replace(
        natural, verdict=Verdict.INACCURATE, index=tight.index, expected=tight.expected, observed=tight.observed,
        reason=f"{lost:.3g} times what the formula's own rounding may lose",
    )  # fmt: skip


def classify(box: int | str, part: Part, observed: np.ndarray | None, expected: Rounded) -> Comparison:
    """Compare one array entry by entry with its tolerance."""
    value, radius = expected.value, expected.radius
    if observed is None:
        return Comparison(box, part, Verdict.DISAGREE, math.inf, reason="is missing", entries=value.size)
    if observed.shape != value.shape:
        shapes = f"has shape {observed.shape}, expected {value.shape}"
        return Comparison(box, part, Verdict.DISAGREE, math.inf, reason=shapes, entries=value.size)
    if value.size == 0:
        return Comparison(box, part, Verdict.AGREE)
    with np.errstate(all="ignore"):
        distance = np.abs(observed - value)
        ratio = np.where(distance > 0, distance / radius, 0.0)
    same = (observed == value) | (np.isnan(observed) & np.isnan(value))
    ratio = np.where(same, 0.0, np.where(np.isnan(distance), np.inf, ratio))
    open = (~np.isfinite(radius) | ~np.isfinite(value)) & ~same
    ratio = np.where(open, 0.0, ratio)
    place = int(np.argmax(ratio))
    verdict, sharpness = _verdict(observed, value, radius, ratio, open, same)
    return Comparison(
        box, part, verdict, float(ratio.flat[place]), tuple(int(i) for i in np.unravel_index(place, value.shape)),
        float(value.flat[place]), float(observed.flat[place]), float(radius.flat[place]), sharpness,
        int(np.sum((np.abs(value) > radius) | (radius == 0))), value.size,
    )  # fmt: skip


def _verdict(observed: Any, value: Any, radius: Any, ratio: Any, open: Any, same: Any) -> tuple[Verdict, float]:
    """The array's verdict, and its tolerance over its largest entry."""
    size, tolerance = float(np.max(np.abs(value))), float(np.max(radius))
    sharpness = math.inf
    if tolerance == 0:
        sharpness = 0.0
    elif size > 0 and math.isfinite(tolerance):
        sharpness = tolerance / size
    if np.any(~np.isfinite(observed) & ~open & ~same):
        return Verdict.NONFINITE, sharpness
    if np.any(ratio > 1):
        return Verdict.DISAGREE, sharpness
    if np.isinf(radius).any():
        return Verdict.OUT_OF_RANGE, math.inf
    if open.any() or not sharpness < 1:
        return Verdict.UNDECIDED, math.inf if math.isnan(sharpness) else sharpness
    return Verdict.AGREE, sharpness
