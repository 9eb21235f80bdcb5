"""Conventions: the derivative that each framework returns at each kink."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec
import numpy as np

from gradagree.adapters import Adapter
from gradagree.arithmetic.model import FORMATS
from gradagree.cases.case import Arrays, Case
from gradagree.checker.kinks import ADMISSIBLE, has_kinks, one_sided_derivative, one_sided_loss_gradient
from gradagree.checker.response import Absent, Failure, Response
from gradagree.reference import Activation, ErrorFunction
from gradagree.reference.graph import INPUTS, parameter_name
from gradagree.runner.options import Plan
from gradagree.runner.process import FrameworkProcess
from gradagree.surveys.measurements import Measurement, json_value

SEEDS = 200
"""Cases that are searched for one with an output on a kink."""
WEIGHT, BIAS = parameter_name(1, "w"), parameter_name(1, "b")
SMALLEST_JUMP = 2.0**-10
"""Kinks of loss functions with a smaller jump of the derivative are left out."""
OUTPUTS = (1, 2, 3, 4, 5, 6)
DTYPES = ("float64", "float32")
RELATIVE_TOLERANCE = 2.0**-12
"""Relative distance within which a returned derivative counts as equal to one of `ADMISSIBLE`."""


class Convention(msgspec.Struct, frozen=True, kw_only=True):
    """The derivative that a mode returns at a kink, and the admissible derivatives (`ADMISSIBLE`) that it equals.

    left and right are the one-sided derivatives, and given is the mode's, at the first entry on the kink. finding is
    True if it is neither admissible nor between the one-sided derivatives.
    """

    framework: str
    version: str
    mode: str
    dtype: str
    function: str
    kink: str
    slopes: list[str]
    left: float
    right: float
    given: float | str
    finding: bool = False
    reason: str = ""

    @property
    def label(self) -> str:
        """The equal derivatives by name, as "left, zero"; if there are none, the verdict of a failure or the number."""
        return ", ".join(self.slopes) or self.reason.partition(":")[0] or str(self.given)


class KinkCase(msgspec.Struct, frozen=True):
    """A case with entries on a kink.

    on is True for the entries on it, expected the cotangent there for each of `ADMISSIBLE` (without "zero" where 0 is
    not between the one-sided derivatives), and times the incoming cotangent, by which the derivative is multiplied.
    """

    case: Case
    function: Activation | ErrorFunction
    kink: str
    on: np.ndarray
    expected: dict[str, np.ndarray]
    times: float = 1.0


def kink_cases(functions: Iterable[Activation | ErrorFunction], dtype: str) -> Iterator[KinkCase]:
    """A case for every kink of the functions that is representable in the dtype."""
    for function in functions:
        with np.errstate(all="ignore"):
            if isinstance(function, Activation):
                yield from _activation_cases(function, dtype)
            else:
                yield from _loss_cases(function, dtype)


def _activation_cases(activation: Activation, dtype: str) -> Iterator[KinkCase]:
    for kink in activation.kinks:
        p = np.array([[kink]])
        if float(kink) != float(np.asarray(kink, dtype=np.float32)) and dtype != "float64":
            continue
        a = np.round(np.asarray(activation.value(p)) * 4) / 4
        t = a - np.where(np.abs(activation.value(p) - a) < 1 / 8, 1.0, 0.5)
        case = Case.parse(f"1-1b:id,{activation}:sse:n1:{FORMATS[dtype].short}:ordinary:s0")
        arrays = Arrays.of({WEIGHT: np.ones((1, 1)), BIAS: np.zeros(1), INPUTS: p, "targets": t})
        delta_a = 2 * (activation.value(p) - t)
        derivatives = {name: one_sided_derivative(activation, p, name) for name in ADMISSIBLE}
        expected = {name: x * delta_a for name, x in derivatives.items() if name != "zero" or not np.any(x)}
        on = np.ones((1, 1), dtype=bool)
        yield KinkCase(Case.of(case, arrays), activation, f"p = {kink:g}", on, expected, float(delta_a.item()))


def _loss_cases(error: ErrorFunction, dtype: str) -> Iterator[KinkCase]:
    if not has_kinks(error):
        return
    for outputs in (n for n in OUTPUTS if error.width(n) is not None):
        for seed in range(SEEDS):
            case = Case.parse(f"1-{outputs}b:id:{error}:n1:{FORMATS[dtype].short}:grid:s{seed}")
            drawn = dict(case.arrays().by_name)
            o, targets = drawn[BIAS][None, :], drawn["targets"]
            on = np.broadcast_to(error.kink(o, targets), o.shape)
            if not on.any():
                continue
            expected = {name: one_sided_loss_gradient(error, o, targets, name) for name in ADMISSIBLE}
            on = on & (np.abs(expected["left"] - expected["right"]) > SMALLEST_JUMP)
            if np.any(expected["zero"][on]):
                del expected["zero"]
            if on.any():
                arrays = Arrays.of({**drawn, WEIGHT: np.zeros((1, outputs)), INPUTS: np.zeros((1, 1))})
                yield KinkCase(Case.of(case, arrays), error, "the kink", on, expected)
                return


def conventions(
    functions: Sequence[Activation | ErrorFunction] | None = None,
    frameworks: str | None = None,
    modes: str | None = None,
    extensions: Sequence[str] = (),
    dtypes: Sequence[str] = DTYPES,
) -> Iterator[Convention]:
    """The derivatives at kinks, a row for each kink, mode and dtype; absent frameworks have none.

    Args:
        functions: functions to list; by default all of the catalogue.
        frameworks: comma-separated names; by default all.
        modes: comma-separated names; by default all that do not compile each case slowly.
        extensions: Python files that define further functions.
        dtypes: dtypes to list.
    """
    if functions is None:
        functions = [kind.catalogue[name]() for kind in (Activation, ErrorFunction) for name in sorted(kind.catalogue)]
    cases = [one for dtype in dtypes for one in kink_cases(functions, dtype)]
    plan = Plan.of([one.case for one in cases], frameworks, modes or "all")
    for name in plan.frameworks:
        selected = [mode for mode in plan.modes_of(name, 0) if modes or not Adapter.mode(f"{name}:{mode}").slow]
        with FrameworkProcess(name, extensions) as process:
            handshake = process.handshake
            if isinstance(handshake, Absent):
                continue
            for one in cases:
                for response in process.compute(one.case, one.case.arrays(), selected):
                    yield case_convention(name, handshake.version, one, response)


def case_convention(framework: str, version: str, one: KinkCase, response: Response | Failure) -> Convention:
    """The convention of one mode's result for a case."""
    expected = {name: derivative[one.on] for name, derivative in one.expected.items()}
    row = Convention(
        framework=framework, version=version, mode=response.mode, dtype=one.case.dtype, function=str(one.function),
        kink=one.kink, left=float(expected["left"][0]) / one.times, right=float(expected["right"][0]) / one.times,
        slopes=[], given="",
    )  # fmt: skip
    if isinstance(response, Failure):
        return msgspec.structs.replace(row, reason=f"{response.verdict}: {response.reason}")
    # The gradient of the bias is the cotangent at the kink: p = 0 w + b or x + b, and there is one example.
    given = np.reshape(response.untapped.gradients[BIAS], one.on.shape)[one.on] / one.case.loss_weight
    slopes = equal_derivatives(given, expected)
    return msgspec.structs.replace(
        row, slopes=slopes, given=json_value(float(given[0]) / one.times),
        finding=not slopes and not is_between_sides(given, expected),
    )  # fmt: skip


def equal_derivatives(given: np.ndarray, expected: Mapping[str, np.ndarray]) -> list[str]:
    """The names of the admissible derivatives that equal the given one at all entries."""
    return [
        name for name, x in expected.items()
        if np.all(np.abs(given - x) <= RELATIVE_TOLERANCE * np.maximum(np.abs(given), np.abs(x)))
    ]  # fmt: skip


def is_between_sides(given: np.ndarray, expected: Mapping[str, np.ndarray]) -> bool:
    """True if the given derivative lies between the one-sided ones at all entries."""
    low, high = (side(expected["left"], expected["right"]) for side in (np.minimum, np.maximum))
    slack = RELATIVE_TOLERANCE * np.maximum(np.abs(low), np.abs(high))
    return bool(np.all((low - slack <= given) & (given <= high + slack)))


class KinkDerivative(msgspec.Struct, frozen=True):
    """The derivative that modes of a framework return at a kink, and the one-sided derivatives."""

    function: str
    framework: str
    kink: float
    given: float | str
    left: float
    right: float
    modes: list[str]
    dtypes: list[str]


def kink_derivatives(measurement: Measurement) -> Iterable[KinkDerivative]:
    """The derivatives of a measurement at each kink that is among its points."""
    subject = measurement.subject
    function = subject.function
    if measurement.quantity != "slope" or not isinstance(function, Activation) or subject.operands.shape[1] > 1:
        return
    for kink in function.kinks:
        where = np.flatnonzero(subject.points == kink)
        if len(where):
            p = np.asarray(float(kink))
            left, right = (float(one_sided_derivative(function, p, side)) for side in ("left", "right"))
            yield KinkDerivative(
                function=str(function), framework=measurement.framework, kink=float(kink),
                given=json_value(float(measurement.observed[where[0]])), left=left, right=right,
                modes=[measurement.mode], dtypes=[subject.dtype],
            )  # fmt: skip


def merge_derivatives(rows: Iterable[KinkDerivative]) -> list[KinkDerivative]:
    """Rows with the same derivative merged to one, with all their modes and dtypes."""
    found: dict[tuple[object, ...], KinkDerivative] = {}
    for row in rows:
        key = (row.function, row.framework, row.kink, row.given)
        before = found.get(key, row)
        modes, dtypes = dict.fromkeys(before.modes + row.modes), dict.fromkeys(before.dtypes + row.dtypes)
        found[key] = msgspec.structs.replace(before, modes=list(modes), dtypes=list(dtypes))
    return list(found.values())
