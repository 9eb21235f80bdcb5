"""The results of an audit: audit.json, audit.md, audit.html, and the summary in the terminal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from gradagree.audit.records import AuditRecord, Classification, join
from gradagree.files import make_folder, write_text

JSON, MARKDOWN, PAGE = "audit.json", "audit.md", "audit.html"
MOST_LINES = 20
LEGEND = """Tolerances are relative to the largest and to the median entry. *zero*, *sign*, *factor 2*: the share of
the entries at which zero, the opposite sign or twice the value would pass. Entries that rounding may hide do not count.
*rounding*: what rounding requires, relative to the largest entry; ≤ marks a bound from dtype and size."""
HEAD = (
    "comparison", "place", "class", "dtype", "tolerance, largest", "tolerance, median", "zero", "sign", "factor 2",
    "rounding", "calls",
)  # fmt: skip


class AuditResults(msgspec.Struct, kw_only=True):
    """Everything that an audit found; the content of audit.json.

    Args:
        schema: Version of the format.
        command: The command that was run.
        versions: Versions of Python and of the libraries.
        seconds: Duration of the tests.
        audit_seconds: The part of it that the audit took, on average over the processes.
        tests: Number of tests that ran.
        records: A record for each place, function and dtype; the worst first.
        failures: Errors of the audit itself, with their numbers; what they concern is not in the records.
    """

    schema: int = 1
    command: str = ""
    versions: dict[str, str] = {}
    seconds: float = 0.0
    audit_seconds: float = 0.0
    tests: int = 0
    records: list[AuditRecord] = []
    failures: dict[str, int] = {}

    @property
    def counts(self) -> dict[Classification, int]:
        """Number of places of each classification."""
        found = Counter(record.classification for record in self.records)
        return {kind: found[kind] for kind in Classification if found[kind]}

    @property
    def sentence(self) -> str:
        """The result in one sentence."""
        if not self.records:
            return f"no comparison of a gradient was found in {self.tests:,} tests"
        calls = sum(record.calls for record in self.records)
        kinds = ", ".join(f"{count:,} {kind}" for kind, count in self.counts.items())
        places = "1 place compares" if len(self.records) == 1 else f"{len(self.records):,} places compare"
        return f"{places} gradients, in {calls:,} calls: {kinds}"

    def to_json(self) -> str:
        return msgspec.json.format(msgspec.json.encode(self), indent=1).decode() + "\n"


def joined(results: AuditResults) -> AuditResults:
    """The results with one record for each place."""
    return msgspec.structs.replace(results, records=join(results.records))


def write_results(folder: Path, results: AuditResults) -> None:
    """Write the three files. Raises UsageError if that is impossible."""
    from gradagree.report.html import asset, render

    make_folder(folder)
    write_text(folder / JSON, results.to_json())
    write_text(folder / MARKDOWN, "\n".join(markdown(results)) + "\n")
    values = {"results": results, "tables": tables(results), "facts": facts(results), "kinds": list(Classification)}
    write_text(folder / PAGE, render("audit.html.j2", values, asset("report.css")))


def lines(results: AuditResults) -> Iterator[str]:
    """The summary for a terminal: the sentence, the worst places, and what failed."""
    yield results.sentence
    bad = [r for r in results.records if r.classification in (Classification.VACUOUS, Classification.LOOSE)]
    for record in bad[:MOST_LINES]:
        yield f"{record.classification.symbol} {record.place}: {record.classification}: {finding(record)}"
    if len(bad) > MOST_LINES:
        yield f"{len(bad) - MOST_LINES} more in {JSON} (--gradagree-audit-report DIR)"
    if results.seconds:
        share = results.audit_seconds / max(results.seconds - results.audit_seconds, 1e-9)
        yield f"the audit took {results.audit_seconds:.2f} s, {share:.0%} of the tests' own time"
    for failure, count in results.failures.items():
        yield f"the audit failed {count} times: {failure}"


def finding(record: AuditRecord) -> str:
    """What a comparison lets through, in words."""
    words = f"{record.function}, {record.dtype}: "
    if record.zeros_pass:
        words += "a gradient of zeros passes"
    elif record.zero or record.flip or record.double:
        words += f"zero passes at {percent(record.zero)} of the entries, the opposite sign at {percent(record.flip)}, "
        words += f"twice the value at {percent(record.double)}"
    else:
        words += f"an error of {number(record.largest)} of the largest entry passes"
    return f"{words}; tolerance {number(record.median)} of the median, rounding requires {number(record.required)}"


def markdown(results: AuditResults) -> Iterator[str]:
    """The report for a pull request."""
    from gradagree.report.text import code, prose, table

    yield "# Audit of gradient tests"
    yield ""
    yield f"{prose(results.sentence[0].upper() + results.sentence[1:])}."
    yield ""
    for kind in results.counts:
        yield f"- {kind.symbol} **{kind}**: {kind.meaning}."
    rows = table(
        HEAD, ([code(row[0]), code(row[1]), *map(prose, row[2:])] for row in map(cells, results.records)), "places"
    )
    yield from (line.replace("results.jsonl", JSON) for line in rows)
    yield ""
    yield LEGEND
    yield ""
    for name, value in facts(results):
        yield f"- {name}: {prose(value)}"
    for failure, count in results.failures.items():
        yield f"- the audit failed {count} times: {code(failure)}"


def cells(record: AuditRecord) -> list[str]:
    """A row of the table of places."""
    mark = "≤ " if record.required_by == "bound" else ""
    return [
        record.function, record.place, f"{record.classification.symbol} {record.classification}", record.dtype,
        number(record.largest), number(record.median),
        "all" if record.zeros_pass else percent(record.zero), percent(record.flip), percent(record.double),
        f"{mark}{number(record.required)}" if record.required is not None else number(None), f"{record.calls:,}",
    ]  # fmt: skip


def tables(results: AuditResults) -> list[Any]:
    """The sections of the page: one for each classification."""
    from gradagree.report.sections import Span, Table

    def row(record: AuditRecord) -> list[Any]:
        place, function, _, *others = (lambda c: (c[1], c[0], *c[2:]))(cells(record))
        return [Span(place, code=True), Span(function, note=record.test), *map(Span, others)]

    def section(kind: Classification) -> Any:
        rows = [row(record) for record in results.records if record.classification is kind]
        head = (HEAD[1], HEAD[0], *HEAD[3:])
        name = f"{str(kind).capitalize()}: {len(rows):,}"
        return Table(name, head, rows[:500], words=f"{kind.meaning[0].upper()}{kind.meaning[1:]}.")

    return [section(kind) for kind in results.counts]


def facts(results: AuditResults) -> list[tuple[str, str]]:
    """Command, versions and times."""
    found = [("command", results.command)] if results.command else []
    found += [("versions", ", ".join(f"{name} {version}" for name, version in results.versions.items()))]
    found += [
        ("tests", f"{results.tests:,} in {results.seconds:.1f} s, of which the audit {results.audit_seconds:.1f} s")
    ]
    return found


def number(x: float | None) -> str:
    return "–" if x is None else f"{x:.1e}"


def percent(x: float | None) -> str:
    if x is None:
        return "–"
    return f"{x:.0%}" if x in (0.0, 1.0) or 0.005 <= x < 0.995 else ("< 1%" if x < 0.5 else "> 99%")


def schema() -> dict[str, Any]:
    """The JSON schema of audit.json."""
    return msgspec.json.schema(AuditResults)


def read_results(path: Path) -> AuditResults:
    """The results in an audit.json."""
    return msgspec.json.decode(path.read_bytes(), type=AuditResults)


def failing(results: AuditResults, classes: Sequence[str]) -> list[AuditRecord]:
    """The records of these classes."""
    return [record for record in results.records if record.classification.value in classes]
