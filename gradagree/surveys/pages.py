"""Pages of a survey: an overview with the findings, and a page for each function."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from markupsafe import Markup

from gradagree.arithmetic.model import FORMATS
from gradagree.reference import Activation, ErrorFunction
from gradagree.report.html import asset, render
from gradagree.surveys.calls import library_call
from gradagree.surveys.classify import CLASSES
from gradagree.surveys.conventions import merge_derivatives
from gradagree.surveys.curves import ErrorCurve, draw_panel, line_class, position
from gradagree.surveys.measurements import SurveyRow
from gradagree.surveys.points import kinks_of
from gradagree.surveys.survey import SurveyResult
from gradagree.surveys.text import format_value

QUANTITIES = {"slope": "Derivative", "value": "Value", "second": "Second derivative"}
STATUSES = {"unasked": "not selected"}
"""Words for the statuses of rows that are not plain."""
SEVERITIES = ("high", "medium", "low", "note")
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
        "classes": list(CLASSES.values()), "order": SEVERITIES,
        "statuses": Counter(STATUSES.get(row.status, row.status) for row in found.rows),
        "text": format_value,
    }  # fmt: skip
    return render("atlas.html.j2", values, style())


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


def function_page(name: str, found: SurveyResult, about: dict[str, Any]) -> str:
    """functions/NAME.html."""
    kind = Activation.catalogue.get(name) or ErrorFunction.catalogue[name]
    function = kind()
    kinks = kinks_of(function)
    rows = [row for row in found.rows if row.function.partition("(")[0] == name]
    curves = [curve for curve in found.curves if curve.function == name]
    figures = [(heading, draw_panels(quantity, curves, kinks)) for quantity, heading in QUANTITIES.items()]
    frameworks = list(dict.fromkeys(row.framework for row in rows))
    failed = [row for row in rows if row.status not in ("measured", "unasked")]
    values = {
        "name": name, "function": function, "summary": function.summary(), "kinks": kinks,
        "figures": [(heading, panels) for heading, panels in figures if panels],
        "frameworks": [(x, line_class(x)) for x in sorted({curve.framework for curve in curves}, key=position)],
        "findings": list(enumerate((finding for finding in found.findings if finding.function == name), 1)),
        "rows": merge_modes([row for row in rows if row.status == "measured" and row.function == name]),
        "others": Counter((row.framework, row.mode, row.quantity, row.status, row.reason) for row in failed),
        "calls": [(framework, *library_call(function, framework)) for framework in frameworks],
        "conventions": [row for row in merge_derivatives(found.conventions) if row.function == name],
        "about": about, "text": format_value,
    }  # fmt: skip
    return render("atlas-function.html.j2", values, style())


def merge_modes(rows: Sequence[SurveyRow]) -> list[tuple[SurveyRow, list[str]]]:
    """Rows with the same measurements in several modes merged to one, each with its modes."""
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
