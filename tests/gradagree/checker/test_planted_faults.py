"""Every classic fault, planted in one step of one box, is found, and its box is named; without it nothing is found."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from gradagree import Case
from gradagree.adapters import Answer
from gradagree.checker.kinks import ADMISSIBLE, one_sided_derivative
from gradagree.checker.verdict import plain
from gradagree.reference import Activation
from gradagree.reference.activations import Gelu, GeluTanh, Identity

TRIALS = 6
MOST_WEIGHTS = 1500
KINKED = tuple(Activation.named(text) for text in ("relu", "leaky_relu", "hardtanh", "elu(alpha=2.0)"))
NUDGE = {"float64": 1e-9, "float32": 1e-4}
NARROWER = {"float64": np.float32, "float32": np.float16}

Suits = Callable[[Case, int], bool]


def anywhere(case: Case, k: int) -> bool:
    return True


def weighs(case: Case, k: int) -> bool:
    return k < len(case.widths)


def biased(case: Case, k: int) -> bool:
    return weighs(case, k) and case.biases[k - 1]


def bends(case: Case, k: int) -> bool:
    return not isinstance(case.activations[k - 1], Identity)


def square(case: Case, k: int) -> bool:
    return weighs(case, k) and case.widths[k - 1] == case.widths[k] > 1


def oblong(case: Case, k: int) -> bool:
    return weighs(case, k) and case.widths[k - 1] != case.widths[k]


def several(case: Case, k: int) -> bool:
    return case.batch > 1


def kinked(case: Case, k: int) -> bool:
    """The second box, whose many inputs lie on a grid of sixteenths."""
    return k == 2 and bool(case.activations[1].kinks) and case.batch * case.widths[1] > 256


def both(*suits: Suits) -> Suits:
    return lambda case, k: all(one(case, k) for one in suits)


@dataclass(frozen=True)
class Fault:
    """What is told in place of one step, the part of the answer that it spoils, and the boxes that it can befall."""

    name: str
    step: str
    part: str
    told: Callable[[np.ndarray, SimpleNamespace], Any]
    suits: Suits = anywhere
    error_box: bool = False
    at_kink: bool = False
    functions: tuple[Activation, ...] | None = None


def one_entry(change: Callable[[float], float]) -> Callable[[np.ndarray, SimpleNamespace], np.ndarray]:
    """The middle entry is another one."""

    def told(right: np.ndarray, at: SimpleNamespace) -> np.ndarray:
        middle = np.arange(right.size).reshape(right.shape) == right.size // 2
        return np.where(middle, change(right.flat[right.size // 2]), right)

    return told


def on_kink(at: SimpleNamespace) -> np.ndarray:
    return np.isin(at.p, at.activation.kinks)


def illegitimate(right: np.ndarray, at: SimpleNamespace) -> np.ndarray:
    return np.where(on_kink(at), 0.3, right)


ENTRIES = {"sign": lambda x: -x, "zero": lambda x: 0.0, "NaN": lambda x: np.nan, "infinity": lambda x: np.inf}
PARTS: list[tuple[str, Suits]] = [("delta_p", anywhere), ("dw", weighs), ("db", biased)]
FAULTS = [
    Fault("A' forgotten", "slope", "delta_p", lambda right, at: np.ones_like(right), bends),
    Fault("A for A'", "slope", "delta_p", lambda right, at: at.value, bends),
    Fault("p for A(p)", "dw", "dw", lambda right, at: at.p.T @ at.delta_c, both(weighs, bends)),
    Fault("first example only", "dw", "dw", lambda right, at: at.value[:1].T @ at.delta_c[:1], both(weighs, several)),
    Fault("one missing in dw", "dw", "dw", lambda right, at: at.value[:-1].T @ at.delta_c[:-1], both(weighs, several)),
    Fault("one missing in db", "db", "db", lambda right, at: at.delta_c[:-1].sum(axis=0), both(biased, several)),
    Fault("mean for sum", "db", "db", lambda right, at: right / len(at.delta_c), both(biased, several)),
    Fault("w not transposed", "delta_a", "delta_p", lambda right, at: at.delta_c @ at.w, square),
    Fault("w reversed", "delta_a", "delta_p", lambda right, at: at.delta_c @ at.w[::-1].T, square),
    Fault("dw transposed", "dw", "dw", lambda right, at: right.T, square),
    Fault("dw of another shape", "dw", "dw", lambda right, at: right.T, oblong),
    Fault("summed over outputs", "db", "db", lambda right, at: at.delta_c.sum(axis=1), biased),
    Fault("own sensitivity for the next", "db", "db", lambda right, at: at.delta_p.sum(axis=0), both(biased, square)),
    Fault("detached", "delta_p", "delta_p", lambda right, at: 0 * right),
    Fault("factor 2 lost", "delta_p", "delta_p", lambda right, at: right / 2, error_box=True),
    Fault("sign of the error lost", "delta_p", "delta_p", lambda right, at: np.abs(right), error_box=True),
    Fault("E halved", "E", "E", lambda right, at: right / 2, error_box=True),
    Fault("0.3 at a kink", "slope", "delta_p", illegitimate, kinked, at_kink=True, functions=KINKED),
    Fault("tanh form of gelu", "value", "c", lambda right, at: GeluTanh().value(at.p), bends, functions=(Gelu(),)),
    Fault("NaN in c", "c", "c", one_entry(lambda x: np.nan)),
    *(Fault(f"{x} in {part}", part, part, one_entry(f), suits) for x, f in ENTRIES.items() for part, suits in PARTS),
]  # fmt: skip


def nudged(dtype: str, part: str, suits: Suits) -> Fault:
    return Fault(f"1 + {NUDGE[dtype]} on {part}", part, part, lambda right, at: right * (1 + NUDGE[dtype]), suits)


def narrowed(dtype: str, part: str, suits: Suits) -> Fault:
    return Fault(f"{part} in fewer bits", part, part, lambda right, at: right.astype(NARROWER[dtype]), suits)


PLANTED = [
    pytest.param(fault, dtype, seed, id=f"{fault.name}-{dtype}-s{seed}")
    for dtype, seed in itertools.product(NUDGE, range(2))
    for fault in [*FAULTS, *(make(dtype, *where) for make in (nudged, narrowed) for where in PARTS)]
]


def trials(bench: Any, fault: Fault, dtype: str, seed: int) -> Iterator[tuple[Case, int | str]]:
    """Random architectures without end, each with a box that the fault can befall, chosen at random."""
    chooser = random.Random(seed)
    regime = "grid" if fault.at_kink else "ordinary"
    for case in bench.classic_cases(dtype, seed, MOST_WEIGHTS, regime, fault.functions or bench.classic):
        boxes = [k for k in range(1, case.depth + 1) if fault.suits(case, k)]
        if boxes:
            yield case, "error" if fault.error_box else chooser.choice(boxes)


def admissible(bench: Any, fault: Fault, case: Case, box: int | str) -> list[Answer]:
    """The honest answer, or one for each legitimate slope where the fault lies at a kink."""
    slopes = ADMISSIBLE if fault.at_kink else ()
    told = [
        lambda right, at, x=x: np.where(on_kink(at), one_sided_derivative(at.activation, at.p, x), right)
        for x in slopes
    ]
    return [bench.answer(case, {(box, fault.step): lie}) for lie in told] or [bench.answer(case)]


def decidable(bench: Any, fault: Fault, case: Case, box: int | str, lying: Answer) -> bool:
    """Whether some entry is farther than twice the tolerance from all that is right, or the shape is another one."""
    wrong = bench.part(lying, box, fault.part)
    decided: Any = True
    for honest in admissible(bench, fault, case, box):
        right, tolerance = (f(honest, box, fault.part) for f in (bench.part, lambda *at: bench.tolerance(case, *at)))
        if right.shape != wrong.shape:
            return True
        far = (np.abs(wrong - right) > 2 * tolerance) | (~np.isfinite(wrong) & np.isfinite(tolerance))
        decided &= far & (fault.at_kink | ~bench.on_kinks(case, honest, box, fault.part))
    return bool(np.any(decided))


@pytest.mark.parametrize(("fault", "dtype", "seed"), PLANTED)
def test_that_a_planted_fault_is_found_and_its_box_named(bench: Any, fault: Fault, dtype: str, seed: int) -> None:
    decided = 0
    for case, box in itertools.islice(trials(bench, fault, dtype, seed), TRIALS):
        assert bench.failing(case, bench.answer(case)) == [], f"false alarm: {case}"
        lying = bench.answer(case, {(box, fault.step): fault.told})
        if decidable(bench, fault, case, box, lying):
            decided += 1
            assert bench.failing(case, lying) == [(box, fault.part)], f"{fault.name} in box {box} of {case}"
            check_record(bench.judged(case, lying), case, box, fault.part)
    assert 3 * decided >= 2 * TRIALS, f"only {decided} of {TRIALS} faults were larger than the tolerance"


def check_record(record: Any, case: Case, box: int | str, part: str) -> None:
    """The record names box, function and entry; what it says was expected is proved and far from what was observed."""
    function = case.error if box == "error" else case.activations[int(box) - 1]
    assert record.verdict.fails
    assert (record.box, record.entry.split("[")[0], record.function) == (box, part, str(function)), case.spec
    assert (record.expected_radius is None) == ("has shape" in record.reason)
    gap = abs(plain(record.observed) - plain(record.expected)) + plain(record.expected_radius)
    assert not gap <= plain(record.tolerance)


def test_that_the_trials_range_over_one_to_six_boxes_and_all_classic_functions(bench: Any) -> None:
    many = 2 * TRIALS
    drawn = [case for fault in FAULTS for case, _ in itertools.islice(trials(bench, fault, "float64", 0), many)]
    assert {len(case.widths) - 1 for case in drawn} == {1, 2, 3, 4, 5, 6}
    assert {activation.name for case in drawn for activation in case.activations} == {f.name for f in bench.classic}
    assert {case.error.name for case in drawn} == {f.name for f in bench.classic_errors}
