"""Table of conventions."""

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
from gradagree.surveys.measurements import Measurement

# What each framework answers at every kink of every function: the table of conventions
# -------------------------------------------------------------------------------------


SEEDS = 200
SMALLEST_JUMP = 2.0**-10
"""A smaller jump of an error function's slope is none to look at."""
OUTPUTS = (1, 2, 3, 4, 5, 6)
DTYPES = ("float64", "float32")
RELATIVE_TOLERANCE = 2.0**-12
"""Relatively: what is nearer to a slope is that slope; how accurate it is, is another question."""


class Convention(msgspec.Struct, frozen=True, kw_only=True):
    """What one framework's mode gives at one kink: the slopes that explain it, or else what it is.

    left and right are the one-sided slopes, and given the framework's, at the first number on the kink. finding says
    that it is none of the legitimate slopes, nor anything between the one-sided ones.
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
        """left, right, mean or zero where it is one of them, "left, zero" where they are the same; else the number."""
        return ", ".join(self.slopes) or self.reason or str(self.given)


class KinkCase(msgspec.Struct, frozen=True):
    """A case that meets a kink: where, the sensitivity by each slope, and how often it is the slope itself."""

    case: Case
    function: Activation | ErrorFunction
    kink: str
    on: np.ndarray
    expected: dict[str, np.ndarray]
    times: float = 1.0


def kink_cases(functions: Iterable[Activation | ErrorFunction], dtype: str) -> Iterator[KinkCase]:
    """A case for every kink of the functions that a number of the dtype lies on."""
    for function in functions:
        with np.errstate(all="ignore"):
            yield from (
                _activation_cases(function, dtype) if isinstance(function, Activation) else _loss_cases(function, dtype)
            )


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
    """The table, row by row; by default of the whole catalogue, in every mode that does not compile case by case."""
    if functions is None:
        functions = [kind.catalogue[name]() for kind in (Activation, ErrorFunction) for name in sorted(kind.catalogue)]
    cases = [one for dtype in dtypes for one in kink_cases(functions, dtype)]
    plan = Plan.of([one.case for one in cases], frameworks, modes or "all")
    for name in plan.frameworks:
        with FrameworkProcess(name, extensions) as process:
            for one in cases:
                asked = [mode for mode in plan.modes_of(name, 0) if modes or not Adapter.mode(f"{name}:{mode}").slow]
                handshake = process.handshake
                if isinstance(handshake, Absent):
                    return
                for reply in process.ask(one.case, one.case.arrays(), asked):
                    yield _convention(name, handshake.version, one, reply)


def _convention(framework: str, version: str, one: KinkCase, reply: Response | Failure) -> Convention:
    place = int(np.argmax(one.on))
    left, right = (float(one.expected[side].flat[place]) / one.times for side in ("left", "right"))
    known = {
        "framework": framework, "version": version, "mode": reply.mode, "dtype": one.case.dtype,
        "function": str(one.function), "kink": one.kink, "left": left, "right": right,
    }  # fmt: skip
    if isinstance(reply, Failure):
        return Convention(**known, slopes=[], given="", reason=f"{reply.verdict}: {reply.reason}")  # type: ignore[arg-type]
    given = cotangent_at_kink(one, reply.untapped)
    slopes = [
        slope
        for slope, expected in one.expected.items()
        if np.all(
            (np.abs(given - expected) <= RELATIVE_TOLERANCE * np.maximum(np.abs(given), np.abs(expected)))[one.on]
        )
    ]
    low, high = (side(*(one.expected[name] for name in ("left", "right"))) for side in (np.minimum, np.maximum))
    slack = RELATIVE_TOLERANCE * np.maximum(np.abs(low), np.abs(high))
    between = np.all(((low - slack <= given) & (given <= high + slack))[one.on])
    number = float(given.flat[place]) / one.times
    told = number if np.isfinite(number) else str(number)
    return Convention(**known, slopes=slopes, given=told, finding=not slopes and not between)  # type: ignore[arg-type]


def cotangent_at_kink(one: KinkCase, answer: Answer) -> np.ndarray:
    """What the framework gives at the kink: the bias's gradient, for there is one example, and p = 0 w + b or x + b."""
    return np.reshape(answer.gradients[parameter_name(1, "b")], one.on.shape)


# What frameworks answer at the kinks of a function of one number: for its page
# -----------------------------------------------------------------------------


class KinkDerivative(msgspec.Struct, frozen=True):
    """The derivative that was given at one kink, and the slopes on both sides."""

    function: str
    framework: str
    kink: float
    given: float | str
    left: float
    right: float
    modes: list[str]
    dtypes: list[str]


def kink_derivatives(measurement: Measurement) -> Iterable[KinkDerivative]:
    """One for each kink that is a number of the dtype."""
    subject = measurement.subject
    function = subject.function
    if measurement.quantity != "slope" or not isinstance(function, Activation) or subject.points.ndim > 1:
        return
    for kink in function.kinks:
        where = np.flatnonzero(subject.points == kink)
        if len(where):
            left, right = (float(function.derivative(np.nextafter(float(kink), side * np.inf))) for side in (-1, 1))
            given = float(measurement.observed[where[0]])
            told = given if np.isfinite(given) else str(given)
            yield KinkDerivative(
                str(function),
                measurement.framework,
                float(kink),
                told,
                left,
                right,
                [measurement.mode],
                [subject.dtype],
            )


def merge_derivatives(rows: Iterable[KinkDerivative]) -> list[KinkDerivative]:
    """Those that are the same number in several modes and dtypes as one."""
    found: dict[tuple[object, ...], KinkDerivative] = {}
    for row in rows:
        key = (row.function, row.framework, row.kink, row.given)
        before = found.get(key)
        if before is None:
            found[key] = row
        else:
            for name in ("modes", "dtypes"):
                theirs = getattr(before, name)
                theirs += [x for x in getattr(row, name) if x not in theirs]
    return list(found.values())


# The table of conventions as text: Markdown for a page, JSON for programs, a table for the terminal
# --------------------------------------------------------------------------------------------------


INTRODUCTION = """# What each framework answers at kinks

Where a function's slope jumps, more than one answer is legitimate: the slope from the left, from the right, their mean,
or 0. The table says which one each mode of each framework gives, measured in float64 and float32 by
`gradagree survey --kinks`. Words that are joined by a comma are the same number there. A cell with two lines says that
the dtypes differ; a number is an answer that is none of the four. **In bold: outside the one-sided slopes, a finding.**

"""


def cells(rows: Sequence[Convention]) -> dict[tuple[str, str, str], dict[str, list[Convention]]]:
    """The rows by function, kink and its slopes, and then by framework:mode."""
    found: dict[tuple[str, str, str], dict[str, list[Convention]]] = {}
    for row in rows:
        column = found.setdefault((row.function, row.kink, ""), {})
        column.setdefault(f"{row.framework}:{row.mode}", []).append(row)
    return {
        (function, kink, one_sided_text(next(iter(columns.values()))[0])): columns
        for (function, kink, _), columns in found.items()
    }


def one_sided_text(row: Convention) -> str:
    """For example ``0 | 1``: the slopes from both sides."""
    return f"{row.left:.3g} | {row.right:.3g}"


def column_names(rows: Sequence[Convention]) -> list[str]:
    return list(dict.fromkeys(f"{row.framework}:{row.mode}" for row in rows))


def cell_text(rows: Sequence[Convention], between: str, bold: str = "") -> str:
    """One word if all dtypes agree, else one for each dtype."""
    told = {row.dtype: f"{bold}{label(row)}{bold}" if row.finding else label(row) for row in rows}
    if len(set(told.values())) <= 1:
        return next(iter(told.values()), "")
    return between.join(f"{dtype}: {word}" for dtype, word in told.items())


def label(row: Convention) -> str:
    return row.word.partition(":")[0] if row.reason else row.word


def markdown(rows: Sequence[Convention]) -> str:
    """The page."""
    names = column_names(rows)
    versions = dict.fromkeys(f"{row.framework} {row.version}" for row in rows)
    head = ["function", "kink", "left \\| right", *names]
    lines = [f"| {' | '.join(head)} |", f"|{' --- |' * len(head)}"]
    for (function, kink, slopes), found in cells(rows).items():
        told = [cell_text(found.get(name, []), "<br>", "**") for name in names]
        lines.append(" | ".join(["| `" + function + "`", kink, slopes.replace("|", "\\|"), *told]) + " |")
    return f"{INTRODUCTION}Versions: {', '.join(versions)}.\n\n" + "\n".join(lines) + "\n"


def terminal_table(rows: Sequence[Convention]) -> Table:
    table = Table(*("function", "kink", "left | right", *column_names(rows)), box=None, pad_edge=False)
    for (function, kink, slopes), found in cells(rows).items():
        table.add_row(function, kink, slopes, *(cell_text(found.get(name, []), "\n") for name in column_names(rows)))
    return table


def write_conventions(rows: Sequence[Convention], folder: Path) -> tuple[Path, Path]:
    """conventions.md and conventions.json in the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    page, data = folder / "conventions.md", folder / "conventions.json"
    page.write_text(markdown(rows), encoding="utf-8")
    data.write_bytes(msgspec.json.format(msgspec.json.encode(list(rows)), indent=1) + b"\n")
    return page, data
