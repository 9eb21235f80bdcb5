"""report.html, and what all pages share."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from importlib import resources
from typing import Any

import jinja2
from markupsafe import Markup

from gradagree.checker.verdict import ORDER, Verdict
from gradagree.report import sections
from gradagree.report.figures import Interval, Panel, histograms, intervals
from gradagree.report.findings import grouped
from gradagree.report.matrix import depth_label
from gradagree.report.network import draw_faulty_operation
from gradagree.report.provenance import failed_probes, runs_of
from gradagree.report.rows import MOST, script_json
from gradagree.report.summary import Summary
from gradagree.report.text import brief, count_noun, format_count, format_exact, short_name, tone, visible

FILTERS = {f.__name__: f for f in (brief, count_noun, format_exact, short_name, format_count, visible)}


def render(template: str, values: Mapping[str, Any], style: str, script: str | None = None) -> str:
    """The page of a template, which allows this style and this script only."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("gradagree.report", "templates"), autoescape=True, undefined=jinja2.StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    environment.filters.update(FILTERS)
    environment.globals.update(tone=tone, equation=equation, verdicts=list(Verdict), probes=sections.probes)
    own = {"policy": policy(style, script), "style": Markup(style), "script": Markup(script or "")}
    return environment.get_template(template).render({**values, **own})


def policy(style: str, script: str | None = None) -> str:
    """A content security policy that allows this style and this script and loads nothing."""
    rules = ["default-src 'none'", f"style-src '{_digest(style)}'"]
    rules += [] if script is None else [f"script-src '{_digest(script)}'"]
    return "; ".join([*rules, "base-uri 'none'", "form-action 'none'"])


def _digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def asset(name: str) -> str:
    """The text of a file in the folder of templates."""
    return resources.files("gradagree.report").joinpath("templates", name).read_text(encoding="utf-8")


def equation(counts: dict[Verdict, int]) -> list[tuple[Verdict, int]]:
    """Verdicts with their counts, compared ones first, from best to worst."""
    return sorted(counts.items(), key=lambda item: (not item[0].compared, -ORDER[item[0]]))


MOST_FINDINGS = 200


def page(summary: Summary) -> str:
    """The complete page as text."""
    findings = grouped(summary.findings)
    values = {
        "summary": summary, "matrix": sections.matrix(summary), "tolerances": sections.relative_tolerances(summary),
        "largest_tolerances": sections.largest_tolerances(summary),
        "findings": [
            (sections.section_of(one, summary), draw_faulty_operation(one.example.example))
            for one in findings[:MOST_FINDINGS]
        ],
        "unshown": findings[MOST_FINDINGS:], "known": sections.known_differences(summary),
        "conventions": sections.conventions(summary), "not_decided": sections.not_decided(summary),
        "probes_failed": failed_probes(summary.meta),
        "runs": runs_of(summary.meta), "exit_code": summary.exit, "figures": figures(summary),
        "most": MOST, "payload": None if summary.rows.dropped else Markup(script_json(summary.rows.payload())),
    }  # fmt: skip
    return render("report.html.j2", values, asset("report.css"), asset("report.js"))


def figures(summary: Summary) -> dict[str, Markup]:
    """The figures for which there are numbers."""
    ratios = [Panel(name, summary.ratios[name].histogram()) for name in summary.dtypes if name in summary.ratios]
    sharp = [Panel(name, summary.sharpness[name].histogram()) for name in summary.dtypes if name in summary.sharpness]
    depths = [(name, by_depth(summary, name)) for name in summary.dtypes if name in summary.sharpness]
    drawn: dict[str, Markup] = {}
    if ratios:
        drawn["ratios"] = histograms("Largest error / tolerance, records by dtype", ratios, "the tolerance")
    if sharp:
        drawn["sharpness"] = histograms("Relative tolerance, records by dtype", sharp, "the largest entry")
        drawn["depth"] = intervals("Relative tolerance, by dtype and number of operations", depths, "the largest entry")
    return drawn


def by_depth(summary: Summary, dtype: str) -> list[Interval]:
    depths = sorted(depth for name, depth in summary.by_depth if name == dtype)
    return [Interval(depth_label(depth), summary.by_depth[dtype, depth]) for depth in depths]
