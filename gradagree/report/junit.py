"""junit.xml: one test for each framework, mode and block of fifty cases, its failures listed inside."""

from __future__ import annotations

import io
import xml.etree.ElementTree as ET
from collections.abc import Sequence

from gradagree.checker.verdict import ORDER, Record, describe_operation
from gradagree.report.findings import UPSTREAM, Standing
from gradagree.report.matrix import Block, Column
from gradagree.report.summary import Summary
from gradagree.report.text import brief, count_noun, format_exact, replay, short_name, visible


def suites(summary: Summary) -> str:
    """The complete file as text."""
    root = ET.Element("testsuites", name="gradagree")
    for column in summary.blocks.columns():
        _suite(root, summary, column)
    standings = list(summary.accepted.standings())
    _known(root, "known differences", [one for one in standings if not one.entry.upstream])
    _known(root, UPSTREAM, [one for one in standings if one.entry.upstream])
    for key in ("tests", "failures", "skipped"):
        root.set(key, str(sum(int(suite.get(key, "0")) for suite in root)))
    root.set("errors", "0")
    ET.indent(root)
    out = io.BytesIO()
    ET.ElementTree(root).write(out, encoding="utf-8", xml_declaration=True)
    return out.getvalue().decode() + "\n"


def _suite(root: ET.Element, summary: Summary, column: Column) -> None:
    found = summary.blocks.of(column)
    suite = ET.SubElement(root, "testsuite", name=visible(column), tests=str(len(found)), errors="0")
    suite.set("failures", str(sum(block.failed > 0 for _, block in found)))
    suite.set("skipped", str(sum(not block.decided for _, block in found)))
    suite.set("time", f"{sum(block.seconds for _, block in found):.3f}")
    for place, block in found:
        _case(
            ET.SubElement(
                suite, "testcase", name=place.name, classname=visible(".".join(filter(None, ("gradagree", *column))))
            ),
            block,
            summary.extensions,
        )


def _known(root: ET.Element, name: str, standings: Sequence[Standing]) -> None:
    """One test for each known difference, which fails if it is stale or expired."""
    if not standings:
        return
    outdated = sum(one.outdated for one in standings)
    suite = ET.SubElement(root, "testsuite", name=name, tests=str(len(standings)), errors="0")
    suite.set("failures", str(outdated))
    suite.set("skipped", str(sum(not one.met and not one.expired for one in standings)))
    suite.set("time", "0.000")
    for one in standings:
        case = ET.SubElement(
            suite, "testcase", name=visible(one.entry.label), classname="gradagree.runner.known", time="0.000"
        )
        if one.outdated:
            ET.SubElement(case, "failure", type="known", message=visible(one.state)).text = visible(one.entry.reason)
        elif not one.met:
            ET.SubElement(case, "skipped", message=visible(one.state))
        told = f"{one.state}: {one.entry.reason}" if one.entry.upstream else one.entry.reason
        ET.SubElement(case, "system-out").text = visible(told)


def _case(case: ET.Element, block: Block, extensions: Sequence[str]) -> None:
    case.set("time", f"{block.seconds:.3f}")
    if block.failed:
        _failure(case, block, extensions)
    elif not block.decided:
        ET.SubElement(case, "skipped", message="; ".join(block.reasons))
    counts = sorted(block.counts.items(), key=lambda item: ORDER[item[0]])
    words = [f"{n} {verdict}" for verdict, n in counts] + [f"{block.known} of them known"] * bool(block.known)
    ET.SubElement(case, "system-out").text = ", ".join(words)


def _failure(case: ET.Element, block: Block, extensions: Sequence[str]) -> None:
    """All failures in one element, since readers of JUnit files expect at most one."""
    worst = min(block.failures, key=lambda record: ORDER[record.verdict])
    message = f"{count_noun(block.failed, 'record')} of {block.counts.total()}, the worst: {worst.verdict}"
    failure = ET.SubElement(case, "failure", type=str(worst.verdict), message=message)
    further = block.failed - len(block.failures)
    failure.text = "\n\n".join(_describe(record, extensions) for record in block.failures)
    failure.text += f"\n\nand {count_noun(further, 'further record')} in results.jsonl" * (further > 0)


def _describe(record: Record, extensions: Sequence[str]) -> str:
    lines = [f"{record.verdict}: {visible(record.spec, 2000)}"]
    lines += [visible(record.reason)] * bool(record.reason)
    if record.box is not None or record.function or record.entry:
        place = filter(None, [describe_operation(record.box, record.function), record.entry])
        lines.append(f"  {', '.join(map(short_name, place))}")
    if record.expected is not None or record.observed is not None:
        lines.append(f"  expected  {format_exact(record.expected, record.dtype)}")
        lines.append(f"  observed  {format_exact(record.observed, record.dtype)}")
        lines.append(f"  tolerance {brief(record.tolerance)}, ratio {brief(record.ratio)}")
    return "\n".join([*lines, f"  {replay(record, extensions)}"])
