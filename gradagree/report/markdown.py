"""report.md: the answer and the findings first, small enough for the summary of a CI job."""

from __future__ import annotations

from collections.abc import Iterator

from gradagree.report.findings import Finding, Small, numbers
from gradagree.report.matrix import GROUPS, Cell, Column
from gradagree.report.provenance import failed_probes, not_installed, runs_of
from gradagree.report.summary import Summary
from gradagree.report.text import (
    brief,
    code as code,
    counted,
    exact,
    fitting,
    prose as prose,
    replay,
    shown_number,
    table,
    verdict_word,
    visible,
)
from gradagree.verdict import ORDER

ROOM_FOR_FINDINGS = 240_000
ROOM_FOR_KNOWN = 40_000
ROOM_FOR_PROBES = 20_000


def document(summary: Summary) -> str:
    """The whole text, in GitHub's Markdown; under 900 kB whatever the records hold."""
    sections = (_answer, _findings, _known, _counts, _matrix, _sharpness, _conventions, _dropped, _provenance)
    return "\n".join(line for section in sections for line in section(summary))


def _answer(summary: Summary) -> Iterator[str]:
    yield "# gradagree report"
    yield ""
    yield f"**{prose(summary.sentence)}**"
    failed = (f"\n✗ probe failed: {prose(line)}" for line in failed_probes(summary.meta))
    yield from fitting(failed, "failed probes", ROOM_FOR_PROBES)


def _findings(summary: Summary) -> Iterator[str]:
    yield "\n## Findings"
    if not len(summary.findings):
        yield "\nNone." if summary.compared else "\nNone: nothing was compared."
    yield from fitting((_finding(finding, summary) for finding in summary.findings), "causes", ROOM_FOR_FINDINGS)
    if summary.findings.further:
        yield f"\n{counted(summary.findings.further, 'further record')} of other causes in results.jsonl."


def _finding(finding: Finding, summary: Summary) -> str:
    cause, example = finding.cause, finding.example
    names = [code(name) for name in (finding.words, cause.function, cause.part, cause.dtype) if name]
    known = finding.accepted
    word = verdict_word(cause.verdict) if known is None else f"{cause.verdict.symbol} {cause.verdict}, known"
    lines = [f"\n### {word} {' · '.join(names)}, {counted(finding.count, 'record')}\n"]
    lines += [f"Known: {prose(visible(known.reason))}\n"] if known is not None else []
    lines.append(prose(visible(example.reason or cause.verdict.meaning)) + "\n")
    if example.expected is not None or example.observed is not None:
        radius = "" if example.expected_radius is None else f" ± {brief(example.expected_radius)}"
        lines.append(f"- expected {exact(example.expected, example.dtype)}{radius}")
        lines.append(f"- observed {exact(example.observed, example.dtype)}")
        lines.append(f"- tolerance {brief(example.tolerance)}, distance {brief(finding.distance)}")
    place = [f"box {code(example.box)}"] * (example.box is not None) + [f"entry {code(example.entry)}"] * bool(
        example.entry
    )
    place += [f"{brief(example.ratio)} times the tolerance"] * (example.ratio is not None)
    lines.append(f"- {', '.join([*place, f'version {code(example.version)}'])}")
    lines.append(f"\n```sh\n{replay(example, summary.extensions)}\n```")
    small = summary.small.get(cause)
    return "\n".join(lines + ([] if small is None else list(_small(small))))


def _small(small: Small) -> Iterator[str]:
    """The smallest case, and its numbers."""
    record = small.record
    told = ""
    if record.expected is not None:
        told = f": expected {exact(record.expected, record.dtype)}, observed {exact(record.observed, record.dtype)}"
    arrays = "; ".join(f"{prose(name)} {prose(inside)}" for name, inside in numbers(small))
    yield f"\nThe smallest case that fails in the same way{told}. {code(record.spec)}, {arrays}"
    yield f"\n```sh\n{small.command}\n```"


def _known(summary: Summary) -> Iterator[str]:
    rows = [
        [
            f"**✗ {prose(one.state)}**" if one.expired or one.stale else prose(one.state),
            code(one.entry.words), shown_number(one.covered), prose(visible(one.entry.reason)),
            code(one.entry.link), str(one.entry.expiry or "–"),
        ]
        for one in summary.accepted.standings()
    ]  # fmt: skip
    if rows:
        yield "\n## Known differences"
        yield from table(
            ["state", "difference", "records", "reason", "link", "expiry"], rows, "known differences", ROOM_FOR_KNOWN
        )


def _counts(summary: Summary) -> Iterator[str]:
    yield "\n## Counts"
    rows = [[verdict_word(verdict), shown_number(n), verdict.meaning] for verdict, n in summary.unknown.items()]
    for verdict, n in sorted(summary.accepted.verdicts.items(), key=lambda item: ORDER[item[0]]):
        rows.append([f"{verdict.symbol} {verdict}, known", shown_number(n), "accepted, with a reason"])
    yield from table(["verdict", "records", "meaning"], [*rows, ["**all**", shown_number(summary.total), ""]], "rows")


def _matrix(summary: Summary) -> Iterator[str]:
    columns = list(summary.columns)
    rows = (
        [code(name), *(_cell(cells, column) for column in columns)]
        for group in GROUPS
        for name, cells in sorted(summary.matrix.cells[group].items())
    )
    if columns:
        yield "\n## Matrix\n"
        yield "Each cell: the worst verdict and how many have it; a failure counts for the guilty function alone."
        yield from table(["", *(code(column) for column in columns)], rows, "rows")


def _cell(cells: dict[Column, Cell], column: Column) -> str:
    return f"{verdict_word(cells[column].verdict)} {cells[column].share}" if column in cells else "not run"


def _sharpness(summary: Summary) -> Iterator[str]:
    rows = [
        [code(name), *(f"{summary.sharpness[name].quantile(q):.2g}" for q in (0.05, 0.5, 0.95))]
        for name in summary.dtypes
        if name in summary.sharpness
    ]
    if rows:
        yield "\n## Sharpness: tolerance over the largest entry"
        yield from table(["dtype", "5 %", "median", "95 %"], rows, "rows")


def _conventions(summary: Summary) -> Iterator[str]:
    if summary.conventions.total:
        groups = summary.conventions.most_first()
        rows = ([code(g.function), code(g.column.words), prose(g.reason), shown_number(n)] for g, n in groups)
        yield "\n## Conventions"
        yield from table(["function", "framework", "slope", "records"], rows, "conventions")


def _dropped(summary: Summary) -> Iterator[str]:
    rows = [
        [verdict_word(group.verdict), code(group.column.words), prose(group.reason), shown_number(n)]
        for group, n in summary.dropped.most_first()
    ]
    rows += [["? not recorded", code(name), "planned", shown_number(n)] for name, n in summary.missing.items()]
    rows += [["– absent", code(name), prose(reason), "–"] for name, reason in not_installed(summary.meta).items()]
    if rows:
        yield "\n## Not judged"
        yield from table(["verdict", "framework", "why", "records"], rows, "reasons")


def _provenance(summary: Summary) -> Iterator[str]:
    facts = [[prose(word), code(what)] for run in runs_of(summary.meta) for word, what in run.facts + run.frameworks]
    yield "\n## Provenance"
    yield from table(["", ""], [*facts, ["exit code", str(summary.exit)]], "facts")
    probes = [
        [
            code(p.framework),
            code(p.dtype),
            code(p.accumulator),
            code(p.biases),
            *(_flag(x) for x in (p.flushes, p.fast_math, p.exact)),
        ]
        for run in runs_of(summary.meta)
        for p in run.probes
    ]
    if probes:
        yield from table(
            ["framework", "dtype", "sums in", "biases in", "flushes", "fast math", "exact"], probes, "probes"
        )
    yield ""


def _flag(flag: bool | None) -> str:
    return "–" if flag is None else "yes" if flag else "no"
