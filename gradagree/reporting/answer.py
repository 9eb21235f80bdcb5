"""The answer in one sentence."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING

from gradagree.reporting.provenance import mapping, not_installed, planned
from gradagree.reporting.texts import counted, joined, shown_number, visible
from gradagree.verdict import Verdict

if TYPE_CHECKING:
    from gradagree.reporting.summary import Summary

__all__ = ["sentence"]

MOST_NAMED, MOST_FRAMEWORKS = 3, 12
BY_HAND = "backpropagation by hand"
NO_ANSWER = {
    frozenset({Verdict.CRASHED}): ("crashed", "crashed"),
    frozenset({Verdict.TIMEOUT}): ("ran past its limit", "ran past their limit"),
    frozenset({Verdict.CRASHED, Verdict.TIMEOUT}): ("gave no answer", "gave no answer"),
    frozenset({Verdict.SUSPECT}): (f"is suspected against {BY_HAND}", f"are suspected against {BY_HAND}"),
}
DISAGREES = (f"disagrees with {BY_HAND}", f"disagree with {BY_HAND}")
PHRASES = {
    Verdict.AGREE: "agree",
    Verdict.CONVENTION: "with another legitimate slope at a kink",
    Verdict.INACCURATE: "with digits lost",
    Verdict.OUT_OF_RANGE: "out of range",
    Verdict.UNDECIDED: "undecided",
}
RIGHT = (Verdict.AGREE, Verdict.CONVENTION, Verdict.INACCURATE)
OPEN = (Verdict.OUT_OF_RANGE, Verdict.UNDECIDED)
KNOWN = "known to differ"


def sentence(summary: Summary) -> str:
    """Who agrees with the hand derivation on how much, how sharply it was asked, and what is missing."""
    if not summary.compared:
        return _nothing(summary) + _missing(summary) + "."
    answer = _failures(summary) if summary.failing else _agreement(summary)
    return answer + _spent(summary) + _tolerance(summary) + _missing(summary) + "."


def _nothing(summary: Summary) -> str:
    if summary.total:
        columns: dict[str, dict[str, None]] = {}
        for dropped, _ in summary.dropped.most_first():
            columns.setdefault(dropped.reason, {})[dropped.column.framework] = None
        reasons = [f"{joined(list(names)[:MOST_NAMED])}: {reason}" for reason, names in columns.items()]
        return f"Nothing was compared in {counted(summary.total, 'record')} ({_some(reasons)})"
    absent = not_installed(summary.meta)
    if absent and len(absent) == len(mapping(summary.meta.get("frameworks"))):
        return f"Nothing was compared ({_some([f'{name}: {reason}' for name, reason in absent.items()])})"
    return "Nothing was compared: there are no records"


def _some(reasons: list[str]) -> str:
    return visible("; ".join(reasons[:MOST_NAMED]), 400)


def _agreement(summary: Summary) -> str:
    right = sum(summary.verdicts[verdict] for verdict in RIGHT)
    if not right:
        return f"Nothing was decided: {counted(summary.compared, 'gradient')} compared, {_told(summary, OPEN)}"
    names = _names(summary)
    verb = "agrees" if len(names) == 1 else "agree"
    everything = right == summary.compared > 1
    extent = f"{'all' if everything else shown_number(right) + ' of'} {counted(summary.compared, 'gradient')}"
    how, rest = _told(summary, RIGHT[1:]), _told(summary, OPEN)
    how, rest = how and f", {how}", rest and f"; {rest}"
    return f"{joined(names)} {verb} with {BY_HAND} on {extent}{how}{rest}"


def _told(summary: Summary, verdicts: Iterable[Verdict]) -> str:
    """``8 with digits lost and 7 undecided``: those of the verdicts that occur; known failures with what is open."""
    there = [verdict for verdict in verdicts if summary.verdicts[verdict]]
    words = [f"{shown_number(summary.verdicts[verdict])} {PHRASES[verdict]}" for verdict in there]
    known = summary.accepted.failing
    return joined(words + [f"{shown_number(known)} {KNOWN}"] * bool(known and Verdict.UNDECIDED in verdicts))


def _names(summary: Summary) -> list[str]:
    """Every framework that was compared, with its version, the build's label left out."""
    names = []
    for framework, versions in summary.versions.items():
        short = list(dict.fromkeys(version.partition("+")[0] for version in versions))
        names.append(" ".join(filter(None, [framework, joined(short[:MOST_NAMED])])))
    names[MOST_FRAMEWORKS:] = [f"{len(names) - MOST_FRAMEWORKS} more"] * (len(names) > MOST_FRAMEWORKS)
    return names


def _failures(summary: Summary) -> str:
    """Who fails in how many, with which verdicts, and what became of the others."""
    known = summary.accepted.columns
    left = {column: counts - known.get(column, Counter()) for column, counts in summary.columns.items()}
    failing = {column.words: _number_failing(counts) for column, counts in left.items()}
    worst_first = sorted((name for name, n in failing.items() if n), key=lambda name: -failing[name])
    several = len(worst_first) > 1
    named = [f"{name} ({shown_number(failing[name])})" if several else name for name in worst_first]
    named[MOST_NAMED:] = [f"{len(named) - MOST_NAMED} more"] * (len(named) > MOST_NAMED)
    counts = {verdict: n for verdict, n in summary.unknown.items() if verdict.fails}
    verb = NO_ANSWER.get(frozenset(counts), DISAGREES)[several]
    words = joined([f"{shown_number(n)} {verdict}" for verdict, n in counts.items()])
    others = summary.compared - summary.failing
    rest = f"; of the other {shown_number(others)}, {_told(summary, PHRASES)}" if others else ""
    extent = f"{shown_number(summary.failing)} of {counted(summary.compared, 'gradient')}"
    return f"{joined(named)} {verb} in {extent} ({words}){rest}"


def _number_failing(counts: Counter[Verdict]) -> int:
    return sum(n for verdict, n in counts.items() if verdict.fails)


def _spent(summary: Summary) -> str:
    """What fails a run although no record does."""
    spent = summary.accepted.spent
    expired = sum(one.expired for one in spent)
    parts = [(expired, "expired"), (len(spent) - expired, "stale")]
    words = joined([f"{counted(n, 'known difference')} {'is' if n == 1 else 'are'} {word}" for n, word in parts if n])
    return f"; {words}" if words else ""


def _tolerance(summary: Summary) -> str:
    measured = [(name, summary.sharpness[name]) for name in summary.dtypes if name in summary.sharpness]
    medians = [f"{spread.quantile(0.5):.1g} ({name})" for name, spread in measured]
    return f"; the median tolerance was {joined(medians)} of the largest entry" if medians else ""


def _missing(summary: Summary) -> str:
    missing, asked = sum(summary.missing.values()), sum(planned(summary.meta).values())
    if not missing:
        return ""
    return f"; the run is incomplete: {shown_number(missing)} of {shown_number(asked)} planned records are missing"
