"""Conventions: the derivative that each framework returns at each kink."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
from rich.table import Table

from gradagree.adapters import Adapter, Answer
from gradagree.arithmetic.model import FORMATS
from gradagree.cases.case import Arrays, Case
from gradagree.checker.kinks import SLOPES, one_sided_derivative, one_sided_loss_gradient
from gradagree.checker.response import Absent, Failure, Response
from gradagree.reference import Activation, ErrorFunction
from gradagree.reference.graph import parameter_name
from gradagree.runner.options import Plan
from gradagree.runner.process import FrameworkProcess
from gradagree.surveys.measurements import Measurement, json_value

SEEDS = 200
SMALLEST_JUMP = 2.0**-10
"""Kinks of loss functions with a smaller jump of the derivative are left out."""
OUTPUTS = (1, 2, 3, 4, 5, 6)
DTYPES = ("float64", "float32")
RELATIVE_TOLERANCE = 2.0**-12
"""Relative distance within which a returned derivative counts as equal to one of `SLOPES`."""


class Convention(msgspec.Struct, frozen=True, kw_only=True):
    """The derivative that a mode returns at a kink, and the admissible derivatives (`SLOPES`) that it equals.

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
    def word(self) -> str:
        """The equal derivatives by name, as "left, zero"; if there are none, the reason or the number."""
        return ", ".join(self.slopes) or self.reason or str(self.given)


class KinkCase(msgspec.Struct, frozen=True):
    """A case with entries on a kink.

    on is True for the entries on it, expected the cotangent there for each of `SLOPES`, and times the incoming
    cotangent, by which the derivative is multiplied.
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
        arrays = Arrays((np.ones((1, 1)),), (np.zeros(1),), p, t)
        delta_a = 2 * (activation.value(p) - t)
        expected = {slope: one_sided_derivative(activation, p, slope) * delta_a for slope in SLOPES}
        on = np.ones((1, 1), dtype=bool)
        yield KinkCase(Case.of(case, arrays), activation, f"p = {kink:g}", on, expected, float(delta_a.item()))


def _loss_cases(error: ErrorFunction, dtype: str) -> Iterator[KinkCase]:
    for outputs in (n for n in OUTPUTS if error.width(n) is not None):
        for seed in range(SEEDS):
            case = Case.parse(f"1-{outputs}b:id:{error}:n1:{FORMATS[dtype].short}:grid:s{seed}")
            drawn = case.arrays()
            bias = np.asarray(drawn.biases[0])
            o = bias[None, :]
            on = np.broadcast_to(error.kink(o, drawn.targets), o.shape)
            if not on.any():
                continue
            expected = {slope: one_sided_loss_gradient(error, o, drawn.targets, slope) for slope in SLOPES}
            on = on & (np.abs(expected["left"] - expected["right"]) > SMALLEST_JUMP)
            if on.any():
                arrays = replace(drawn, weights=(np.zeros((1, outputs)),), inputs=np.zeros((1, 1)))
                yield KinkCase(Case.of(case, arrays), error, "the kink", on, expected)
                return


def conventions(
    functions: Sequence[Activation | ErrorFunction] | None = None,
    frameworks: str | None = None,
    modes: str | None = None,
    extensions: Sequence[str] = (),
    dtypes: Sequence[str] = DTYPES,
) -> Iterator[Convention]:
    """The derivatives at kinks, a row for each kink, mode and dtype.

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
        with FrameworkProcess(name, extensions) as process:
            for one in cases:
                chosen = [mode for mode in plan.modes_of(name, 0) if modes or not Adapter.mode(f"{name}:{mode}").slow]
                handshake = process.handshake
                if isinstance(handshake, Absent):
                    return
                for response in process.ask(one.case, one.case.arrays(), chosen):
                    yield _convention(name, handshake.version, one, response)


def _convention(framework: str, version: str, one: KinkCase, response: Response | Failure) -> Convention:
    first = int(np.argmax(one.on))
    left, right = (float(one.expected[side].flat[first]) / one.times for side in ("left", "right"))
    known = {
        "framework": framework, "version": version, "mode": response.mode, "dtype": one.case.dtype,
        "function": str(one.function), "kink": one.kink, "left": left, "right": right,
    }  # fmt: skip
    if isinstance(response, Failure):
        return Convention(**known, slopes=[], given="", reason=f"{response.verdict}: {response.reason}")  # type: ignore[arg-type]
    given = cotangent_at_kink(one, response.untapped)
    slopes = [slope for slope, expected in one.expected.items() if np.all(is_near(given, expected)[one.on])]
    low, high = (side(*(one.expected[name] for name in ("left", "right"))) for side in (np.minimum, np.maximum))
    slack = RELATIVE_TOLERANCE * np.maximum(np.abs(low), np.abs(high))
    between = np.all(((low - slack <= given) & (given <= high + slack))[one.on])
    number = json_value(float(given.flat[first]) / one.times)
    return Convention(**known, slopes=slopes, given=number, finding=not slopes and not between)  # type: ignore[arg-type]


def is_near(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.asarray(np.abs(x - y) <= RELATIVE_TOLERANCE * np.maximum(np.abs(x), np.abs(y)))


def cotangent_at_kink(one: KinkCase, answer: Answer) -> np.ndarray:
    """The cotangent at the kink: the gradient of the bias, as p = 0 w + b or x + b and there is one example."""
    return np.reshape(answer.gradients[parameter_name(1, "b")], one.on.shape)


# Derivatives at the kinks of elementwise functions, for their pages
# ------------------------------------------------------------------


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
    if measurement.quantity != "slope" or not isinstance(function, Activation) or subject.points.ndim > 1:
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
    """Rows with the same derivative joined to one, with all their modes and dtypes."""
    found: dict[tuple[object, ...], KinkDerivative] = {}
    for row in rows:
        key = (row.function, row.framework, row.kink, row.given)
        before = found.get(key, row)
        modes, dtypes = dict.fromkeys(before.modes + row.modes), dict.fromkeys(before.dtypes + row.dtypes)
        found[key] = msgspec.structs.replace(before, modes=list(modes), dtypes=list(dtypes))
    return list(found.values())


# The table of conventions in Markdown, in JSON and for the terminal
# ------------------------------------------------------------------


INTRODUCTION = """# What each framework answers at kinks

Where a function's slope jumps, more than one answer is legitimate: the slope from the left, from the right, their mean,
or 0. The table says which one each mode of each framework gives, measured in float64 and float32 by
`gradagree survey --kinks`. Words that are joined by a comma are the same number there. A cell with two lines says that
the dtypes differ; a number is an answer that is none of the four. **In bold: outside the one-sided slopes, a finding.**

"""


def cells(rows: Sequence[Convention]) -> dict[tuple[str, str, str], dict[str, list[Convention]]]:
    """The rows by (function, kink, one-sided derivatives), and then by framework:mode."""
    found: dict[tuple[str, str, str], dict[str, list[Convention]]] = {}
    for row in rows:
        column = found.setdefault((row.function, row.kink, ""), {})
        column.setdefault(f"{row.framework}:{row.mode}", []).append(row)
    return {
        (function, kink, one_sided_text(next(iter(columns.values()))[0])): columns
        for (function, kink, _), columns in found.items()
    }


def one_sided_text(row: Convention) -> str:
    """The one-sided derivatives, as ``0 | 1``."""
    return f"{row.left:.3g} | {row.right:.3g}"


def column_names(rows: Sequence[Convention]) -> list[str]:
    return list(dict.fromkeys(f"{row.framework}:{row.mode}" for row in rows))


def cell_text(rows: Sequence[Convention], between: str, bold: str = "") -> str:
    """One label if all dtypes agree, else one for each dtype."""
    labels = {row.dtype: f"{bold}{label(row)}{bold}" if row.finding else label(row) for row in rows}
    if len(set(labels.values())) <= 1:
        return next(iter(labels.values()), "")
    return between.join(f"{dtype}: {word}" for dtype, word in labels.items())


def label(row: Convention) -> str:
    return row.word.partition(":")[0] if row.reason else row.word


def markdown(rows: Sequence[Convention]) -> str:
    """The table of conventions as a page in Markdown."""
    names = column_names(rows)
    versions = dict.fromkeys(f"{row.framework} {row.version}" for row in rows)
    head = ["function", "kink", "left \\| right", *names]
    lines = [f"| {' | '.join(head)} |", f"|{' --- |' * len(head)}"]
    for (function, kink, slopes), found in cells(rows).items():
        texts = [cell_text(found.get(name, []), "<br>", "**") for name in names]
        lines.append(" | ".join(["| `" + function + "`", kink, slopes.replace("|", "\\|"), *texts]) + " |")
    return f"{INTRODUCTION}Versions: {', '.join(versions)}.\n\n" + "\n".join(lines) + "\n"


def terminal_table(rows: Sequence[Convention]) -> Table:
    table = Table(*("function", "kink", "left | right", *column_names(rows)), box=None, pad_edge=False)
    for (function, kink, slopes), found in cells(rows).items():
        table.add_row(function, kink, slopes, *(cell_text(found.get(name, []), "\n") for name in column_names(rows)))
    return table


def write_conventions(rows: Sequence[Convention], folder: Path) -> tuple[Path, Path]:
    """Write conventions.md and conventions.json, and return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    page, data = folder / "conventions.md", folder / "conventions.json"
    page.write_text(markdown(rows), encoding="utf-8")
    data.write_bytes(msgspec.json.format(msgspec.json.encode(list(rows)), indent=1) + b"\n")
    return page, data
