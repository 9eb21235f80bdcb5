"""Files, pages and terminal output of a survey."""

from __future__ import annotations

import itertools
import math
import platform
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import msgspec
from markupsafe import Markup
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

from gradagree.adapters import Adapter
from gradagree.adapters.adapter import LAST_POSITION, library_frameworks
from gradagree.arithmetic.model import FORMATS
from gradagree.errors import UsageError
from gradagree.files import make_folder, unwritable, write_text
from gradagree.reference import Activation, ErrorFunction
from gradagree.report.figures import power, share
from gradagree.report.html import asset, rendered
from gradagree.reproduce.finding import SurveyFinding
from gradagree.reproduce.literals import run_lengths
from gradagree.reproduce.programs import run_programs
from gradagree.reproduce.reproducer import format_reproducer
from gradagree.surveys.calls import library_call
from gradagree.surveys.classify import CLASSES
from gradagree.surveys.conventions import merge_derivatives
from gradagree.surveys.measurements import BINS, DECADES, ErrorCurve, SurveyRow
from gradagree.surveys.plan import SurveyPlan
from gradagree.surveys.points import kinks_of
from gradagree.surveys.survey import SurveyResult

# Error curves in SVG: error in ulps against the input, on a signed logarithmic axis
# ---------------------------------------------------------------------------------


WIDTH, HEIGHT = 520, 190
LEFT, RIGHT, TOP, BOTTOM = 46, 8, 24, 26
LOWEST = 0.25
"""Lower end of the error axis in ulps."""


def draw_panel(dtype: str, curves: Sequence[ErrorCurve], kinks: Sequence[float]) -> Markup:
    """The curves of one dtype; infinity and NaN are drawn on a separate line at the top."""
    top = math.log2(2.0 ** (FORMATS[dtype].precision + 2) / LOWEST)
    parts = [draw_frame(dtype, top), *(draw_kink(kink) for kink in kinks)]
    parts += [draw_curve(curve, top) for curve in sorted(curves, key=lambda c: position(c.framework))]
    words = "; ".join(f"{c.framework} {c.mode}: {describe_curve(c)}" for c in curves)
    whole = Markup('<svg viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>')
    return whole.format(
        WIDTH, HEIGHT, f"{dtype}: worst error in ulp against the input. {words}", Markup("").join(parts)
    )


def position(library: str) -> int:
    """Sort key of a framework in figures; libraries come after the frameworks that define a position."""
    if library in Adapter.catalogue:
        return Adapter.catalogue[library].position
    return LAST_POSITION - 1 if library in library_frameworks() else LAST_POSITION


def describe_curve(curve: ErrorCurve) -> str:
    finite = [x for x in curve.worst if not isinstance(x, str)]
    text = f"at most {max(finite, default=0):.3g} ulp"
    return text + (", not finite in places" if "inf" in curve.worst else "")


def x_of_bin(place: float) -> float:
    """The x coordinate of a position in bins."""
    return round(LEFT + (WIDTH - LEFT - RIGHT) * place / (2 * BINS), 1)


def bin_of(x: float) -> float:
    """The position of an input in bins, not rounded."""
    if x == 0:
        return BINS
    return BINS + math.copysign(BINS * share(math.log10(abs(x)), *DECADES), x)


def y_of(ulps: float | str, top: float) -> int:
    if isinstance(ulps, str):
        return TOP + 4
    up = max(math.log2(max(ulps, LOWEST) / LOWEST), 0) / top
    return round(HEIGHT - BOTTOM - up * (HEIGHT - BOTTOM - TOP - 12))


DECADE_TICKS = [(s * 10.0**d, ("−" if s < 0 else "") + power(d)) for s in (-1, 1) for d in (-4, -2, 0, 2)] + [
    (0.0, "0")
]


def draw_frame(dtype: str, top: float) -> Markup:
    """Label, grid lines and tick labels of a panel."""
    floor = HEIGHT - BOTTOM
    tick, grid = Markup('<text x="{}" y="{}">{}</text>'), Markup("M{} {}{}{}")
    across_it = [(x_of_bin(bin_of(x)), name) for x, name in DECADE_TICKS]
    heights = [(y_of(y, top), power(round(math.log10(y)))) for y in ulp_ticks(dtype)]
    lines = [grid.format(x, TOP, "V", floor) for x, _ in across_it]
    lines += [grid.format(LEFT, y, "H", WIDTH - RIGHT) for y, _ in heights]
    below = [tick.format(x, floor + 15, name) for x, name in across_it]
    beside = [tick.format(LEFT - 6, y + 4, name) for y, name in [*heights, (TOP + 4, "NaN, ∞")]]
    parts = [
        Markup('<text class="label" x="{}" y="14">{}</text>').format(LEFT, dtype),
        Markup('<path class="grid" d="{}"/>').format(Markup("").join(lines)),
        Markup('<g class="tick" text-anchor="middle">{}</g>').format(Markup("").join(below)),
        Markup('<g class="tick" text-anchor="end">{}</g>').format(Markup("").join(beside)),
        Markup('<line class="floor" x1="{}" y1="{y}" x2="{}" y2="{y}"/>').format(LEFT, WIDTH - RIGHT, y=floor),
    ]
    return Markup("").join(parts)


def ulp_ticks(dtype: str) -> list[float]:
    """Ticks of the error axis: 1 and some powers of ten, up to the dtype's precision."""
    step = 10.0 ** max(1, round(FORMATS[dtype].precision * math.log10(2) / 4))
    shown = [1.0]
    while shown[-1] * step <= 2.0 ** FORMATS[dtype].precision:
        shown.append(shown[-1] * step)
    return shown


def draw_kink(kink: float) -> Markup:
    return Markup('<line class="kink" x1="{x}" y1="{}" x2="{x}" y2="{}"/>').format(
        TOP, HEIGHT - BOTTOM, x=x_of_bin(bin_of(kink))
    )


def draw_curve(curve: ErrorCurve, top: float) -> Markup:
    """A curve as steps from bin to bin, with a gap where a bin has no value."""
    path: list[str] = []
    last: int | None = None
    for k, ulps in enumerate([*curve.worst, -1.0]):
        now = None if ulps == -1 else y_of(ulps, top)
        if now == last:
            continue
        if last is not None:
            path.append(f"H{x_of_bin(k):g}")
        if now is not None:
            path.append(f"V{now}" if last is not None else f"M{x_of_bin(k):g} {now}")
        last = now
    known = curve.framework if position(curve.framework) < LAST_POSITION else "other"
    return Markup('<path class="curve {}" d="{}"/>').format(known, "".join(path))


# Pages: an overview with the findings, and a page for each function
# ------------------------------------------------------------------


QUANTITIES = {"slope": "The derivative", "value": "The value", "second": "The second derivative"}
SEVERITIES = ("high", "medium", "low", "note")
MAX_NUMBERS = 12
MAX_ON_OVERVIEW = 400
"""Findings on the overview; the others are on the functions' pages."""


def style() -> str:
    """The common part of the reports' style sheet, and that of the survey."""
    return asset("report.css").partition("\n.note {")[0] + "\n" + asset("atlas.css")


def overview(found: SurveyResult, functions: Sequence[Any], about: dict[str, Any]) -> str:
    """index.html: the extent of the survey, findings (the worst first), and a table of all functions."""
    shown = [finding for finding in found.findings if finding.severity in ("high", "medium")][:MAX_ON_OVERVIEW]
    columns = [(name, dtype) for name in found.versions for dtype in FORMATS if any(
        row.framework == name and row.dtype == dtype and row.status == "measured" for row in found.rows)]  # fmt: skip
    values = {
        "found": found, "about": about, "shown": list(enumerate(shown, 1)), "total": len(found.findings),
        "columns": columns,
        "severities": Counter(f.severity for f in found.findings), "matrix": matrix(found, functions, columns),
        "classes": list(CLASSES.values()), "order": SEVERITIES, "statuses": Counter(row.status for row in found.rows),
        "text": format_value,
    }  # fmt: skip
    return rendered("atlas.html.j2", values, style())


def matrix(
    found: SurveyResult, functions: Sequence[Any], columns: Sequence[tuple[str, str]]
) -> list[tuple[str, str, list[Any]]]:
    """For each function, in each framework and dtype: worst error class and largest error of the derivative."""
    names = list(dict.fromkeys(function.name for function in functions))
    worst: dict[tuple[str, str, str], tuple[int, str, float]] = {}
    severity = {one.name: int(one.severity) for one in CLASSES.values()}
    order = [one.name for one in CLASSES.values()]
    for row in found.rows:
        if row.quantity != "slope" or row.status != "measured":
            continue
        name = max(row.classes, key=lambda c: (severity[c], -order.index(c)), default="")
        ulps = float(row.worst_ulp) if not isinstance(row.worst_ulp, str) else float("inf")
        here = (severity.get(name, -1), name, ulps)
        key = (row.function.partition("(")[0], row.framework, row.dtype)
        worst[key] = max(worst.get(key, (-2, "", 0.0)), here)
    kinds = {function.name: function.kind for function in functions}
    return [(name, kinds[name], [worst.get((name, *column)) for column in columns]) for name in names]


def function_page(
    name: str, rows: Sequence[SurveyRow], findings: Sequence[SurveyFinding], curves: Sequence[ErrorCurve],
    conventions: Sequence[Any],
    about: dict[str, Any],
) -> str:  # fmt: skip
    """functions/NAME.html."""
    kind = Activation.catalogue.get(name) or ErrorFunction.catalogue[name]
    function = kind()
    kinks = kinks_of(function)
    figures = [(words, draw_panels(quantity, curves, kinks)) for quantity, words in QUANTITIES.items()]
    frameworks = list(dict.fromkeys(row.framework for row in rows))
    failed = [row for row in rows if row.status not in ("measured", "unasked")]
    values = {
        "name": name, "function": function, "summary": function.summary(), "kinks": kinks,
        "figures": [f for f in figures if f[1]],
        "findings": list(enumerate(findings, 1)),
        "rows": merge_modes([row for row in rows if row.status == "measured" and row.function == name]),
        "others": Counter((row.framework, row.mode, row.quantity, row.status, row.reason) for row in failed),
        "calls": [(name, *library_call(function, name)) for name in frameworks],
        "conventions": conventions,
        "about": about, "text": format_value,
    }  # fmt: skip
    return rendered("atlas-function.html.j2", values, style())


def merge_modes(rows: Sequence[SurveyRow]) -> list[tuple[SurveyRow, list[str]]]:
    """Rows with the same measurements in several modes joined to one, each with its modes."""
    found: dict[tuple[Any, ...], tuple[SurveyRow, list[str]]] = {}
    for row in rows:
        measures = (row.framework, row.dtype, row.quantity, row.inputs, row.worst_ulp, row.median_ulp, str(row.classes))
        found.setdefault(measures, (row, []))[1].append(row.mode)
    return list(found.values())


def draw_panels(quantity: str, curves: Sequence[ErrorCurve], kinks: Sequence[float]) -> list[Markup]:
    return [
        draw_panel(dtype, theirs, kinks)
        for dtype in FORMATS
        if (theirs := [curve for curve in curves if curve.dtype == dtype and curve.quantity == quantity])
    ]


def format_value(x: Any, digits: int = 6) -> str:
    """A number or a list of numbers as text; "" for None."""
    if x is None:
        return ""
    if isinstance(x, list | tuple):
        if len(x) > MAX_NUMBERS:
            return " and ".join(f"{count} times {format_value(one, digits)}" for one, count in run_lengths(x))
        return (
            format_value(x[0], digits) if len(x) == 1 else "(" + ", ".join(format_value(one, digits) for one in x) + ")"
        )
    if isinstance(x, str):
        return {"inf": "∞", "-inf": "−∞", "nan": "NaN"}.get(x, x)
    if x == float("inf"):
        return "∞"
    return f"{x:.{digits}g}".replace("-", "−") if isinstance(x, float) else str(x)


# The table of findings in Markdown
# ---------------------------------


COLUMNS = ("severity", "what", "function", "calls", "of", "modes", "dtypes", "example", "gives", "true")
LISTED_SEVERITIES = ("high", "medium", "note")


def findings_markdown(found: SurveyResult, about: dict[str, Any]) -> str:
    """findings.md: findings of high and medium severity, and notes."""
    versions = ", ".join(f"{name} {version}" for name, version in found.versions.items())
    counts = Counter(finding.severity for finding in found.findings)
    severities = ", ".join(f"{count} {severity}" for severity, count in counts.items())
    first = (
        f"# What the survey found\n\n{versions}; profile {about['profile']}; {severities}. "
        "Each is proved by ball arithmetic; `findings.json` has a program that shows it, and "
        "[the page](../../docs/survey.md) says what is meant.\n\n"
    )
    lines = [f"| {' | '.join(COLUMNS)} |", f"|{' --- |' * len(COLUMNS)}"]
    lines += [finding_line(finding) for finding in found.findings if finding.severity in LISTED_SEVERITIES]
    return first + "\n".join(lines) + "\n"


def finding_line(finding: SurveyFinding) -> str:
    e = finding.example
    where = f"`{e['function']}` at {format_value(e['input'], 8)}" + (
        f", target {format_value(e['target'], 8)}" if e["target"] else ""
    )
    where += f", {e['dtype']} {e['mode']}"
    other = (
        f" ({e.get('beside') or e.get('other_mode')}: {format_value(e['other_given'], 8)})"
        if "other_given" in e
        else ""
    )
    cells = (
        finding.severity, finding.kind + (f" ({finding.note})" if finding.note else ""), finding.function,
        f"`{finding.calls}`", finding.quantity, ", ".join(finding.modes), ", ".join(finding.dtypes), where,
        format_value(e["given"], 8) + (f" ({e['window']})" if "window" in e else "") + other,
        " to ".join(format_value(x, 8) for x in e.get("between", [e["true"]])),
    )  # fmt: skip
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


# The results folder: atlas.jsonl, findings.json, findings.md, survey.json and the pages
# --------------------------------------------------------------------------------------


ROWS_FILE, FINDINGS_FILE, META_FILE, INDEX_FILE = "atlas.jsonl", "findings.json", "survey.json", "index.html"
LISTING_FILE = "findings.md"
LONG_ROW = 16
"""Longer rows are written as pairs of a number and its count."""


def prepare_folder(folder: Path) -> Path:
    """Create the folder. Raises UsageError if no file can be written there."""
    make_folder(folder)
    trial = folder / ".gradagree"
    try:
        trial.write_bytes(b"")
        trial.unlink()
    except OSError as wrong:
        raise unwritable(folder, wrong) from None
    return folder


def add_reproducers(found: SurveyResult, tried: bool = False) -> None:
    """Give each finding its program; with `tried`, drop the findings that their programs do not reproduce."""
    made: list[SurveyFinding] = []
    for finding in found.findings:
        text = finding.example["function"]
        kind: Any = Activation if finding.function in Activation.catalogue else ErrorFunction
        try:
            program = format_reproducer(finding, kind.named(text))
        except (OSError, TypeError, KeyError, UsageError) as wrong:
            program = f"# {text} has no source to show: {wrong}\n"
        made.append(msgspec.structs.replace(finding, reproducer=program))
    found.findings = made
    if tried:
        shown = run_programs([(one.framework, one.reproducer) for one in made])
        found.findings = list(itertools.compress(made, shown))
        found.unshown += len(made) - len(found.findings)


def write_survey(found: SurveyResult, plan: SurveyPlan, profile: str, folder: Path, command: str) -> Path:
    """Write the results folder, and return the path of the overview."""
    about = {
        "profile": profile, "machine": f"{platform.machine()} {platform.system()}", "command": command,
        "versions": found.versions, "absent": found.absent, "dtypes": list(plan.dtypes), "rows": len(found.rows),
        "statuses": Counter(row.status for row in found.rows), "unshown": found.unshown,
        "findings": Counter(finding.severity for finding in found.findings),
    }  # fmt: skip
    encode = msgspec.json.Encoder().encode
    try:
        make_folder(folder / "functions")
        with (folder / ROWS_FILE).open("wb") as file:
            file.writelines(encode(compact_row(row)) + b"\n" for row in found.rows)
        (folder / FINDINGS_FILE).write_bytes(
            b"[\n" + b",\n".join(encode(compact_finding(one)) for one in found.findings) + b"\n]\n"
        )
        (folder / META_FILE).write_bytes(msgspec.json.format(encode(about), indent=1) + b"\n")
    except OSError as wrong:
        raise unwritable(folder, wrong) from None
    write_text(folder / LISTING_FILE, findings_markdown(found, about))
    write_text(folder / INDEX_FILE, overview(found, plan.functions, about))
    for name in dict.fromkeys(function.name for function in plan.functions):
        write_text(folder / "functions" / f"{name}.html", page(name, found, about))
    return folder / INDEX_FILE


def compact_row(row: Any) -> dict[str, Any]:
    """A row without its empty fields, and without the version, which is in survey.json."""
    fields = msgspec.to_builtins(row)
    del fields["version"]
    return {key: value for key, value in fields.items() if value not in ("", [], {}) or key in ("function", "mode")}


def compact_finding(finding: SurveyFinding) -> SurveyFinding:
    """A finding with long rows as pairs of a number and the times that it is repeated."""
    example = finding.example
    long = {key: run_lengths(row) for key in ("input", "target") if len(row := example[key] or ()) > LONG_ROW}
    return msgspec.structs.replace(finding, example={**example, **long}) if long else finding


def page(name: str, found: SurveyResult, about: dict[str, Any]) -> str:
    return function_page(
        name, [row for row in found.rows if row.function.partition("(")[0] == name],
        [finding for finding in found.findings if finding.function == name],
        [curve for curve in found.curves if curve.function == name],
        [row for row in merge_derivatives(found.conventions) if row.function == name], about,
    )  # fmt: skip


def no_framework_message(found: SurveyResult) -> str:
    """The message for a survey without any framework."""
    reasons = "; ".join(f"{name}: {reason}" for name, reason in found.absent.items())
    return f"survey: none of the selected frameworks is available ({reasons})"


# Terminal output
# ---------------


MAX_PRINTED = 12


class SurveyProgress:
    """A progress bar on standard error, if that is a terminal."""

    def __init__(self, total: int) -> None:
        columns = (BarColumn(20), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("{task.description}"))
        self._progress = Progress(*columns, console=Console(stderr=True), transient=True)
        self._task = self._progress.add_task("", total=total)

    def step(self, what: str) -> None:
        """Advance by one function in one dtype."""
        self._progress.update(self._task, advance=1, description=what)

    def __enter__(self) -> Self:
        if self._progress.console.is_terminal:
            self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()


def print_summary(found: SurveyResult) -> None:
    """Print the number of rows and findings, and a line for each of the worst findings."""
    console = Console()
    counts = Counter(finding.severity for finding in found.findings)
    severities = ", ".join(f"{counts[name]} {name}" for name in ("high", "medium", "low", "note") if counts[name])
    versions = ", ".join(f"{name} {version}" for name, version in found.versions.items())
    console.print(
        f"{len(found.rows):,} rows; {len(found.findings)} findings ({severities or 'none'}) in {versions}",
        highlight=False,
    )
    for name, reason in found.absent.items():
        console.print(f"{name}: {reason}", highlight=False)
    for finding in found.findings[:MAX_PRINTED]:
        e = finding.example
        where = f"{e['function']} at {format_value(e['input'])}" + (
            f", target {format_value(e['target'])}" if e["target"] else ""
        )
        line = f"{finding.kind}: {finding.framework}, {finding.quantity} of {where}, {e['dtype']} {e['mode']}: "
        console.print(Text(line + f"gives {format_value(e['given'])}, true is {format_value(e['true'])}"))
    if len(found.findings) > MAX_PRINTED:
        console.print(f"... and {len(found.findings) - MAX_PRINTED} more", highlight=False)
