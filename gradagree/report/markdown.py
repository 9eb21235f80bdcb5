"""report.md: summary sentence and findings first, small enough for the summary of a CI job."""

from __future__ import annotations

from collections.abc import Iterator

from gradagree.report import sections
from gradagree.report.findings import grouped
from gradagree.report.provenance import failed_probes, runs_of
from gradagree.report.sections import FindingSection, SmallCase, Span, Table
from gradagree.report.summary import Summary
from gradagree.report.text import ROOM, code, code_span, count_noun, fit_blocks, prose, table, verdict_word, visible

ROOM_FOR_FINDINGS = 240_000
ROOM_FOR_KNOWN = 40_000
ROOM_FOR_PROBES = 20_000
GIVEN = 300
"""Characters of the input at fault."""


def document(summary: Summary) -> str:
    """The complete text in GitHub's Markdown, always below 900 kB."""
    return "\n".join(_lines(summary))


def _lines(summary: Summary) -> Iterator[str]:
    yield from _answer(summary)
    yield from _findings(summary)
    known = sections.known_differences(summary)
    if known.rows:
        yield from section(known, ROOM_FOR_KNOWN)
    yield from section(sections.counts(summary))
    for one in (sections.matrix(summary), sections.relative_tolerances(summary), *_last_tables(summary)):
        if one.rows:
            yield from section(one)
    yield from _provenance(summary)


def _last_tables(summary: Summary) -> Iterator[Table]:
    yield sections.largest_tolerances(summary)
    yield sections.conventions(summary)
    yield sections.not_decided(summary)


def section(one: Table, room: int = ROOM) -> Iterator[str]:
    """Heading, words and table of a section."""
    yield f"\n## {one.name}"
    if one.words:
        yield f"\n{prose(one.words)}"
    if one.rows:
        yield from table(list(map(prose, one.flat_head)), ([span(s) for s in row] for row in one.rows), one.unit, room)
    for remark in filter(None, (one.further, one.note)):
        yield f"\n{prose(remark)}"


def span(one: Span) -> str:
    if one.code:
        return code_span(one.plain)
    words = f"{one.symbol} {prose(one.text)}".strip()
    return (f"**{words}**" if one.tone == "bad" else words) + (f" {prose(one.note)}" if one.note else "")


def _answer(summary: Summary) -> Iterator[str]:
    yield "# gradagree report"
    yield ""
    yield f"**{prose(summary.sentence)}**"
    failed = (f"\n✗ probe failed: {prose(line)}" for line in failed_probes(summary.meta))
    yield from fit_blocks(failed, "failed probes", ROOM_FOR_PROBES)


def _findings(summary: Summary) -> Iterator[str]:
    yield "\n## Findings"
    if not len(summary.findings):
        yield "\nNone." if summary.compared else "\nNone: nothing was compared."
    found = (finding(sections.section_of(one, summary)) for one in grouped(summary.findings))
    yield from fit_blocks(found, "causes", ROOM_FOR_FINDINGS)
    if summary.findings.further:
        yield f"\n{count_noun(summary.findings.further, 'further record')} of other causes in results.jsonl."


def finding(one: FindingSection) -> str:
    word = f"{one.verdict.symbol} {one.verdict}, {one.label}" if one.accepted else verdict_word(one.verdict)
    lines = [f"\n### {word} {' · '.join(map(code, one.names))}, {one.records}\n"]
    lines += [f"{one.label.capitalize()}: {prose(one.known)}\n"] if one.accepted else []
    lines.append(prose(one.reason or one.verdict.meaning) + "\n")
    if one.compared:
        lines.append(f"- expected {one.expected}{one.radius and f' ± {one.radius}'}")
        lines.append(f"- observed {one.observed}")
        lines.append(f"- error {one.distance}, tolerance {one.tolerance}")
    lines += [f"- at {code_span(visible(one.given, GIVEN))}"] if one.given else []
    lines += [f"- also {one.others}"] if one.others else []
    place = [code(one.operation)] * bool(one.operation) + [f"entry {code(one.entry)}"] * bool(one.entry)
    place += [f"{one.ratio} times the tolerance"] * bool(one.ratio)
    lines.append(f"- {', '.join([*place, f'version {code(one.version)}'])}")
    lines.append(f"\n```sh\n{one.command}\n```")
    return "\n".join(lines + ([] if one.small is None else list(_small(one.small))))


def _small(small: SmallCase) -> Iterator[str]:
    """The smallest case, and its numbers."""
    outcome = f": expected {small.expected}, observed {small.observed}" if small.expected else ""
    arrays = "; ".join(f"{prose(name)} {prose(inside)}" for name, inside in small.arrays)
    yield f"\nThe smallest case that fails in the same way{outcome}. {code(small.spec)}, {arrays}"
    yield f"\n```sh\n{small.command}\n```"


def _provenance(summary: Summary) -> Iterator[str]:
    runs = runs_of(summary.meta)
    facts = [[prose(word), code(what)] for run in runs for word, what in run.facts + run.frameworks]
    yield "\n## Provenance"
    yield from table(["", ""], [*facts, ["exit code", str(summary.exit)]], "facts")
    for run in runs:
        found = sections.probes(run)
        if found.rows:
            yield from table(found.head, ([span(one) for one in row] for row in found.rows), found.unit)
    yield ""
