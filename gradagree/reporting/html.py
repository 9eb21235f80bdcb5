"""report.html: one page that needs nothing else, and lets nothing else run."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from markupsafe import Markup

from gradagree.reporting import texts
from gradagree.reporting.causes import Finding
from gradagree.reporting.guilty import guilty_box
from gradagree.reporting.matrix import GROUPS, Column, depth_label
from gradagree.reporting.pages import asset, rendered
from gradagree.reporting.provenance import failed_probes, not_installed, runs_of
from gradagree.reporting.rows import MOST, embedded
from gradagree.reporting.small import numbers
from gradagree.reporting.summary import Summary
from gradagree.reporting.svg import Interval, Panel, histograms, intervals

__all__ = ["page"]

MOST_FINDINGS = 200
QUANTILES = (0.05, 0.5, 0.95)


def page(summary: Summary) -> str:
    """The whole page as text."""
    findings, heads = list(summary.findings), header(list(summary.columns))
    values = {
        "summary": summary, "standings": list(summary.accepted.standings()), "groups": GROUPS, "header": heads,
        "columns": [column for _, theirs in heads for column in theirs], "findings": findings[:MOST_FINDINGS],
        "unshown": findings[MOST_FINDINGS:], "parted": parted,
        "replay": partial(texts.replay, extensions=summary.extensions),
        "probes_failed": failed_probes(summary.meta), "not_installed": not_installed(summary.meta),
        "guilty_box": guilty_box, "numbers": numbers,
        "runs": runs_of(summary.meta), "exit_code": summary.exit, "figures": figures(summary), "quantiles": QUANTILES,
        "most": MOST, "payload": None if summary.rows.dropped else Markup(embedded(summary.rows.payload())),
    }  # fmt: skip
    return rendered("report.html.j2", values, asset("report.css"), asset("report.js"))


def header(columns: Sequence[Column]) -> list[tuple[str, list[Column]]]:
    """Frameworks, each with its columns, in the order of the records."""
    frameworks: dict[str, list[Column]] = {}
    for column in columns:
        frameworks.setdefault(column.framework, []).append(column)
    return list(frameworks.items())


def parted(finding: Finding) -> tuple[str, str]:
    """The observed number's digits, cut where it departs from the expected one."""
    expected, observed = (
        texts.exact(number, finding.example.dtype) for number in (finding.example.expected, finding.example.observed)
    )
    same = 0
    if expected.partition("e")[2] == observed.partition("e")[2]:
        while same < min(len(expected), len(observed)) and expected[same] == observed[same]:
            same += 1
    return observed[:same], observed[same:]


def figures(summary: Summary) -> dict[str, Markup]:
    """The figures for which there are numbers."""
    ratios = [Panel(name, summary.ratios[name].histogram()) for name in summary.dtypes if name in summary.ratios]
    sharp = [Panel(name, summary.sharpness[name].histogram()) for name in summary.dtypes if name in summary.sharpness]
    depths = [(name, by_depth(summary, name)) for name in summary.dtypes if name in summary.sharpness]
    drawn: dict[str, Markup] = {}
    if ratios:
        drawn["ratios"] = histograms("Largest distance over tolerance, records by dtype", ratios, "the tolerance")
    if sharp:
        drawn["sharpness"] = histograms(
            "Tolerance over the largest entry, records by dtype", sharp, "the largest entry"
        )
        drawn["depth"] = intervals("Tolerance over the largest entry, by dtype and boxes", depths, "the largest entry")
    return drawn


def by_depth(summary: Summary, dtype: str) -> list[Interval]:
    depths = sorted(depth for name, depth in summary.by_depth if name == dtype)
    return [Interval(depth_label(depth), summary.by_depth[dtype, depth]) for depth in depths]
