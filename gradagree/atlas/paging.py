"""The atlas as pages: an overview with the findings, and a page for each function."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from markupsafe import Markup

from gradagree.arithmetics.model import FORMATS
from gradagree.atlas.classes import CLASSES
from gradagree.atlas.curves import Curve
from gradagree.atlas.drawn import panel
from gradagree.atlas.finding import Finding
from gradagree.atlas.inlined import runs
from gradagree.atlas.looking import Row
from gradagree.atlas.points import kinks_of
from gradagree.atlas.spelled import called
from gradagree.atlas.surveying import Surveyed
from gradagree.reference import Activation, ErrorFunction
from gradagree.report.html import asset, rendered

QUANTITIES = {"slope": "The derivative", "value": "The value", "second": "The second derivative"}
SEVERITIES = ("high", "medium", "low", "note")
MOST_SHOWN = 12
LISTED = 400
"""Findings on the overview; the rest are on the functions' pages."""


def style() -> str:
    """The reports' style, without what only they have, and the atlas's own."""
    return asset("report.css").partition("\n.note {")[0] + "\n" + asset("atlas.css")


def overview(found: Surveyed, functions: Sequence[Any], about: dict[str, Any]) -> str:
    """index.html: what was looked at, the findings, the worst first, and a table of all functions."""
    shown = [finding for finding in found.findings if finding.severity in ("high", "medium")][:LISTED]
    columns = [(name, dtype) for name in found.versions for dtype in FORMATS if any(
        row.framework == name and row.dtype == dtype and row.status == "measured" for row in found.rows)]  # fmt: skip
    values = {
        "found": found, "about": about, "shown": list(enumerate(shown, 1)), "total": len(found.findings),
        "columns": columns,
        "severities": Counter(f.severity for f in found.findings), "matrix": matrix(found, functions, columns),
        "classes": list(CLASSES.values()), "order": SEVERITIES, "statuses": Counter(row.status for row in found.rows),
        "text": text,
    }  # fmt: skip
    return rendered("atlas.html.j2", values, style())


def matrix(
    found: Surveyed, functions: Sequence[Any], columns: Sequence[tuple[str, str]]
) -> list[tuple[str, str, list[Any]]]:
    """For each function, in each framework and dtype: the worst class of the derivative, and the worst error."""
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
    name: str, rows: Sequence[Row], findings: Sequence[Finding], curves: Sequence[Curve], conventions: Sequence[Any],
    about: dict[str, Any],
) -> str:  # fmt: skip
    """functions/NAME.html."""
    kind = Activation.catalogue.get(name) or ErrorFunction.catalogue[name]
    function = kind()
    kinks = kinks_of(function)
    figures = [(words, panels(quantity, curves, kinks)) for quantity, words in QUANTITIES.items()]
    frameworks = list(dict.fromkeys(row.framework for row in rows))
    failed = [row for row in rows if row.status not in ("measured", "unasked")]
    values = {
        "name": name, "function": function, "summary": function.summary(), "kinks": kinks,
        "figures": [f for f in figures if f[1]],
        "findings": list(enumerate(findings, 1)),
        "rows": alike([row for row in rows if row.status == "measured" and row.function == name]),
        "others": Counter((row.framework, row.mode, row.quantity, row.status, row.reason) for row in failed),
        "calls": [(framework, *called(function, framework)) for framework in frameworks], "conventions": conventions,
        "about": about, "text": text,
    }  # fmt: skip
    return rendered("atlas-function.html.j2", values, style())


def alike(rows: Sequence[Row]) -> list[tuple[Row, list[str]]]:
    """Rows that say the same of several modes, as one, with the modes."""
    found: dict[tuple[Any, ...], tuple[Row, list[str]]] = {}
    for row in rows:
        measures = (row.framework, row.dtype, row.quantity, row.inputs, row.worst_ulp, row.median_ulp, str(row.classes))
        found.setdefault(measures, (row, []))[1].append(row.mode)
    return list(found.values())


def panels(quantity: str, curves: Sequence[Curve], kinks: Sequence[float]) -> list[Markup]:
    return [
        panel(dtype, theirs, kinks)
        for dtype in FORMATS
        if (theirs := [curve for curve in curves if curve.dtype == dtype and curve.quantity == quantity])
    ]


def text(x: Any, digits: int = 6) -> str:
    """A number, a row of numbers, or nothing, as people read it."""
    if x is None:
        return ""
    if isinstance(x, list | tuple):
        if len(x) > MOST_SHOWN:
            return " and ".join(f"{count} times {text(one, digits)}" for one, count in runs(x))
        return text(x[0], digits) if len(x) == 1 else "(" + ", ".join(text(one, digits) for one in x) + ")"
    if isinstance(x, str):
        return {"inf": "∞", "-inf": "−∞", "nan": "NaN"}.get(x, x)
    if x == float("inf"):
        return "∞"
    return f"{x:.{digits}g}".replace("-", "−") if isinstance(x, float) else str(x)
