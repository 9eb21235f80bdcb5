"""report.md: the answer and the findings first, small enough for the summary of a CI job."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from gradagree.reporting.causes import Finding
from gradagree.reporting.matrix import GROUPS, Cell, Column
from gradagree.reporting.provenance import failed_probes, not_installed, runs_of
from gradagree.reporting.summary import Summary
from gradagree.reporting.texts import brief, counted, exact, mark, named, replay, shown_number, visible
from gradagree.verdict import Verdict

__all__ = ["code", "document", "prose"]

ROOM = 120_000
"""Bytes of one section's rows; what does not fit is counted."""
ROOM_FOR_FINDINGS = 240_000
ROOM_FOR_PROBES = 20_000
PLAIN_CODE = re.compile(r"[\w .,:;=+()\-/%*'\"\[\]{}@#!?^~]+")
SPECIAL = re.compile(r"[^\w ,;=+%?'\"(){}–×±…/:.-]|(?<=www)\.|:(?=//)")


def document(summary: Summary) -> str:
    """The whole text, in GitHub's Markdown; under 900 kB whatever the records hold."""
    sections = (_answer, _findings, _counts, _matrix, _sharpness, _conventions, _dropped, _provenance)
    return "\n".join(line for section in sections for line in section(summary))


def prose(text: str) -> str:
    """Text that Markdown and HTML take for nothing but text."""
    return SPECIAL.sub(_entity, text)


def code(text: object) -> str:
    """Text set as code, whatever it holds; also inside a table."""
    words = named(text)
    if PLAIN_CODE.fullmatch(words):
        return f"`{words}`"
    return f"<code>{re.sub(r'[^A-Za-z0-9 ]', _entity, words)}</code>" if words else "–"


def _entity(match: re.Match[str]) -> str:
    return f"&#{ord(match[0])};"


def fitting(blocks: Iterable[str], what: str, room: int = ROOM) -> Iterator[str]:
    """As many blocks as there is room for, then how many are left out."""
    left_out = 0
    for block in blocks:
        room -= len(block.encode()) + 1
        if room > 0 and not left_out:
            yield block
        else:
            left_out += 1
    if left_out:
        yield f"\n{shown_number(left_out)} more {what} in results.jsonl."


def _verdict(verdict: Verdict) -> str:
    words = f"{mark(verdict)} {verdict}"
    return f"**{words}**" if verdict.fails else words


def _table(head: Sequence[str], rows: Iterable[Sequence[str]], what: str) -> Iterator[str]:
    yield ""
    yield f"| {' | '.join(head)} |"
    yield f"|{' --- |' * len(head)}"
    yield from fitting((f"| {' | '.join(row)} |" for row in rows), what)


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
    yield from fitting(
        (_finding(finding, summary.extensions) for finding in summary.findings), "causes", ROOM_FOR_FINDINGS
    )
    if summary.findings.further:
        yield f"\n{counted(summary.findings.further, 'further record')} of other causes in results.jsonl."


def _finding(finding: Finding, extensions: Sequence[str]) -> str:
    cause, example = finding.cause, finding.example
    names = [code(name) for name in (cause.framework, cause.mode, cause.function, cause.part, cause.dtype) if name]
    lines = [f"\n### {_verdict(cause.verdict)} {' · '.join(names)}, {counted(finding.count, 'record')}\n"]
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
    return "\n".join([*lines, f"\n```sh\n{replay(example, extensions)}\n```"])


def _counts(summary: Summary) -> Iterator[str]:
    yield "\n## Counts"
    rows = [[_verdict(verdict), shown_number(n), verdict.meaning] for verdict, n in summary.counts.items()]
    yield from _table(["verdict", "records", "meaning"], [*rows, ["**all**", shown_number(summary.total), ""]], "rows")


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
        yield from _table(["", *(code(column) for column in columns)], rows, "rows")


def _cell(cells: dict[Column, Cell], column: Column) -> str:
    return f"{_verdict(cells[column].verdict)} {cells[column].share}" if column in cells else "not run"


def _sharpness(summary: Summary) -> Iterator[str]:
    rows = [
        [code(name), *(f"{summary.sharpness[name].quantile(q):.2g}" for q in (0.05, 0.5, 0.95))]
        for name in summary.dtypes
        if name in summary.sharpness
    ]
    if rows:
        yield "\n## Sharpness: tolerance over the largest entry"
        yield from _table(["dtype", "5 %", "median", "95 %"], rows, "rows")


def _conventions(summary: Summary) -> Iterator[str]:
    if summary.conventions.total:
        groups = summary.conventions.most_first()
        rows = ([code(g.function), code(g.column.words), prose(g.reason), shown_number(n)] for g, n in groups)
        yield "\n## Conventions"
        yield from _table(["function", "framework", "slope", "records"], rows, "conventions")


def _dropped(summary: Summary) -> Iterator[str]:
    rows = [
        [_verdict(group.verdict), code(group.column.words), prose(group.reason), shown_number(n)]
        for group, n in summary.dropped.most_first()
    ]
    rows += [["? not recorded", code(name), "planned", shown_number(n)] for name, n in summary.missing.items()]
    rows += [["– absent", code(name), prose(reason), "–"] for name, reason in not_installed(summary.meta).items()]
    if rows:
        yield "\n## Not judged"
        yield from _table(["verdict", "framework", "why", "records"], rows, "reasons")


def _provenance(summary: Summary) -> Iterator[str]:
    facts = [[prose(word), code(what)] for run in runs_of(summary.meta) for word, what in run.facts + run.frameworks]
    yield "\n## Provenance"
    yield from _table(["", ""], [*facts, ["exit code", str(summary.exit)]], "facts")
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
        yield from _table(
            ["framework", "dtype", "sums in", "biases in", "flushes", "fast math", "exact"], probes, "probes"
        )
    yield ""


def _flag(flag: bool | None) -> str:
    return "–" if flag is None else "yes" if flag else "no"
