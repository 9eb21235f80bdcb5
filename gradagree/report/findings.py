"""Findings grouped by cause, known differences, and the smallest failing cases."""

from __future__ import annotations

import contextlib
import datetime
import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from gradagree.arithmetic.model import FORMATS
from gradagree.cases.file import CASES, case_path, encode_array, read_case, write_case
from gradagree.cases.graph_case import AnyCase
from gradagree.checker.verdict import ORDER, Record, Verdict, split_entry
from gradagree.errors import UsageError
from gradagree.files import make_folder, write_text
from gradagree.report.matrix import Column
from gradagree.report.text import quote, short_name, value_of, visible
from gradagree.runner.known import functions_of, matches
from gradagree.runner.known_entry import ANY, UPSTREAM as UPSTREAM, Entry

MOST_MODES, MOST_WORDS, MOST_PARTS = 5, 80, 4
POINTWISE = ("delta_p", "c", "E")
"""Arrays whose entries have an input that a report can show."""
ROOM = 1000
"""Causes of one verdict that are kept apart."""


class Cause(NamedTuple):
    """The key of a finding, common to its records in all modes; reason separates failures without a location."""

    verdict: Verdict
    framework: str
    function: str
    part: str
    dtype: str
    reason: str = ""


@dataclass
class Finding:
    """One cause, how many records have it, the one with the largest ratio, and the known difference that it is."""

    cause: Cause
    example: Record
    count: int = 1
    accepted: Entry | None = None
    modes: Counter[str] = field(default_factory=Counter)

    @property
    def label(self) -> str:
        """``known``, ``known upstream``, or nothing."""
        return "" if self.accepted is None else self.accepted.word

    @property
    def words(self) -> str:
        """``torch backward``, or ``torch backward 12, vmap 3``, the mode of most records first."""
        modes = self.modes.most_common(MOST_MODES) or [(self.example.mode, self.count)]
        several = [f"{mode} {n:,}" for mode, n in modes] if len(self.modes) > 1 else [modes[0][0]]
        return f"{self.cause.framework} {', '.join(several)}" + ", ..." * (len(self.modes) > MOST_MODES)

    @property
    def ratio(self) -> float:
        return _ratio(self.example)

    @property
    def distance(self) -> float:
        """|observed - expected|; NaN where either is missing."""
        return abs(value_of(self.example.observed) - value_of(self.example.expected))

    @property
    def times_tolerance(self) -> float | str | None:
        """The error of the example's entry over its tolerance.

        In an inaccurate record that is less than the ratio, which is that of the entry closest to its tolerance.
        """
        tolerance = value_of(self.example.tolerance)
        if self.cause.verdict is not Verdict.INACCURATE or not tolerance > 0:
            return self.example.ratio
        return self.distance / tolerance


@dataclass
class Findings:
    """Findings by cause; past the room for causes of a verdict, its further records are only counted."""

    known: dict[tuple[Cause, Entry | None], Finding] = field(default_factory=dict)
    causes: Counter[Verdict] = field(default_factory=Counter)
    further: int = 0
    is_companion: Callable[[Record], bool] = lambda record: False

    def add(self, record: Record, accepted: Entry | None = None) -> None:
        cause = cause_of(record)
        found = self.known.get((cause, accepted))
        if found is not None:
            found.count += 1
            found.modes[record.mode] += 1
            found.example = max(found.example, record, key=_ratio)
        elif self.causes[record.verdict] < ROOM:
            self.causes[record.verdict] += 1
            self.known[cause, accepted] = Finding(cause, record, accepted=accepted, modes=Counter([record.mode]))
        else:
            self.further += 1

    def __len__(self) -> int:
        return len(self.known)

    def __iter__(self) -> Iterator[Finding]:
        """What fails the run first, of that the worst verdict, and within it the largest ratio."""
        return iter(sorted(self.known.values(), key=lambda one: (self.is_companion(one.example), *_place(one))))


@dataclass
class FindingGroup:
    """The findings of one framework and function, which a report shows as one, the worst first."""

    members: list[Finding]

    @property
    def example(self) -> Finding:
        """Of the worst verdict, a finding whose entry has one input, with the largest ratio."""
        return min(self.members, key=lambda one: (*_place(one)[:2], one.cause.part not in POINTWISE, -one.ratio))

    @property
    def count(self) -> int:
        return sum(one.count for one in self.members)

    @property
    def accepted(self) -> Entry | None:
        return self.members[0].accepted

    @property
    def label(self) -> str:
        return self.members[0].label

    @property
    def words(self) -> str:
        """``torch backward 12, vmap 3``, over all members."""
        modes: Counter[str] = Counter()
        for one in self.members:
            modes.update(one.modes or {one.example.mode: one.count})
        return Finding(self.members[0].cause, self.example.example, self.count, modes=modes).words

    @property
    def parts(self) -> str:
        return _listed(one.cause.part for one in [self.example, *self.members])

    @property
    def dtypes(self) -> str:
        return _listed(one.cause.dtype for one in [self.example, *self.members])

    @property
    def others(self) -> list[tuple[Verdict, int]]:
        """The other verdicts of its records, with their numbers."""
        counts: Counter[Verdict] = Counter()
        for one in self.members:
            counts[one.cause.verdict] += one.count
        return [(verdict, counts[verdict]) for verdict in Verdict if counts[verdict] and verdict is not self.verdict]

    @property
    def verdict(self) -> Verdict:
        return self.example.cause.verdict


def grouped(findings: Iterable[Finding]) -> list[FindingGroup]:
    """Findings by framework and function, in their order; those without a function by their reason."""
    groups: dict[tuple[str, ...], FindingGroup] = {}
    for one in findings:
        cause, known = one.cause, "" if one.accepted is None else f"{one.label} {one.accepted.reason}"
        at_fault = cause.function.partition("(")[0] or f"{cause.verdict} {cause.reason}"
        groups.setdefault((cause.framework, at_fault, known), FindingGroup([])).members.append(one)
    return list(groups.values())


def _listed(names: Iterable[str]) -> str:
    """``delta_p, dw``: each name once, at most four of them."""
    found = list(dict.fromkeys(filter(None, names)))
    return ", ".join(found[:MOST_PARTS]) + ", ..." * (len(found) > MOST_PARTS)


def cause_of(record: Record) -> Cause:
    part = split_entry(record.entry)[0]
    reason = "" if record.function else words_of(record.reason)
    return Cause(record.verdict, record.framework, record.function or "", part, record.dtype, reason)


def words_of(reason: str) -> str:
    """A reason without its numbers: ``raised RuntimeError: expected # but found #``."""
    return "".join("#" if c.isdigit() else c for c in reason[:MOST_WORDS])


def _place(found: Finding) -> tuple[bool, int, float]:
    return found.accepted is not None, ORDER[found.cause.verdict], -found.ratio


def _ratio(record: Record) -> float:
    """The record's ratio to sort by: none is below all others, NaN above all numbers."""
    if record.ratio is None:
        return -1.0
    ratio = value_of(record.ratio)
    return math.inf if math.isnan(ratio) else ratio


Kind = tuple[str, str, str, str]
MOST_KINDS = 1000
MOST_SEARCHED = 100
"""Cases in which the operands of a fault of a framework are searched for, for each entry and version."""


class Standing(NamedTuple):
    """One entry, how many records it covers, and how many it could have covered."""

    entry: Entry
    covered: int
    met: int
    expired: bool
    version: str = ""

    @property
    def stale(self) -> bool:
        """Its framework, mode and function were compared, and nothing differs."""
        return self.met > 0 and not self.covered and not self.entry.upstream

    @property
    def fixed(self) -> bool:
        """The fault of a framework does not show in gradients that reach its inputs."""
        return self.met > 0 and not self.covered and self.entry.upstream

    @property
    def shown(self) -> bool:
        """True but for faults of frameworks that no gradient reached."""
        return not self.entry.upstream or self.met > 0 or self.covered > 0

    @property
    def outdated(self) -> bool:
        """True if it fails the run: expired or stale."""
        return self.expired or self.stale

    @property
    def state(self) -> str:
        if self.expired:
            return f"expired on {self.entry.expiry}"
        if self.stale:
            return f"stale: {self.met:,} compared, none differs this way; remove or correct the entry"
        if self.fixed:
            return f"no longer seen: {self.met:,} compared with {self.entry.framework} {self.version}, none differs"
        if self.covered and self.entry.upstream:
            return UPSTREAM
        return "known" if self.covered else "not met: no such gradient was compared"


@dataclass
class Accepted:
    """Matches records one by one with the known differences."""

    entries: Sequence[Entry] = ()
    today: datetime.date = field(default_factory=datetime.date.today)
    find_case: Callable[[str], AnyCase | None] = lambda spec: None
    covered: Counter[tuple[int, str]] = field(default_factory=Counter)
    met: Counter[tuple[int, str]] = field(default_factory=Counter)
    searched: Counter[tuple[int, str]] = field(default_factory=Counter)
    verdicts: Counter[Verdict] = field(default_factory=Counter)
    upstream: Counter[Verdict] = field(default_factory=Counter)
    columns: dict[Column, Counter[Verdict]] = field(default_factory=dict)
    _kinds: dict[Kind, list[int]] = field(default_factory=dict)

    def see(self, record: Record, column: Column) -> Entry | None:
        """The first entry that covers the record; None for a record that is not known."""
        if not self.entries or not record.verdict.compared:
            return None
        functions, found, case = functions_of(record), None, self.find_case(record.spec)
        for place in self._of_kind(record):
            entry = self.entries[place]
            key = (place, record.version if entry.upstream else "")
            if entry.function == ANY or any(map(entry.names, functions)):
                covered = matches(entry, record, functions, case)
                self.covered[key] += covered
                self.met[key] += covered or self._reaches(entry, record, key, case)
                found = found or (entry if covered else None)
        if found is not None:
            self.verdicts[record.verdict] += 1
            self.upstream[record.verdict] += found.upstream
            self.columns.setdefault(column, Counter())[record.verdict] += 1
        return found

    def _reaches(self, entry: Entry, record: Record, key: tuple[int, str], case: AnyCase | None) -> bool:
        """Whether the record would show the difference if it were there; faults that were seen are not searched for."""
        if not entry.upstream:
            return True
        if record.verdict is not Verdict.AGREE or self.covered[key] or self.searched[key] >= MOST_SEARCHED:
            return False
        self.searched[key] += 1
        return entry.reaches(record, case)

    def _of_kind(self, record: Record) -> list[int]:
        """Places of the entries that are about records of this framework, mode, dtype and version."""
        kind = (record.framework, record.mode, record.dtype, record.version)
        if kind not in self._kinds:
            found = [place for place, entry in enumerate(self.entries) if entry.applies_to(*kind)]
            if len(self._kinds) >= MOST_KINDS:
                return found
            self._kinds[kind] = found
        return self._kinds[kind]

    def standings(self) -> Iterator[Standing]:
        """Every entry, in the file's order; a fault of a framework for each version, if a gradient reached it."""
        for place, entry in enumerate(self.entries):
            keys = [key for key in self.met if key[0] == place] if entry.upstream else [(place, "")]
            for key in keys:
                expired = entry.expired(self.today)
                standing = Standing(entry, self.covered[key], self.met[key], expired, key[1])
                if standing.shown:
                    yield standing

    @property
    def outdated(self) -> list[Standing]:
        """Those that are stale or expired: a run with one of them fails."""
        return [one for one in self.standings() if one.outdated]

    @property
    def total(self) -> int:
        return self.verdicts.total()

    @property
    def failing(self) -> int:
        return sum(n for verdict, n in self.verdicts.items() if verdict.fails)

    @property
    def failing_upstream(self) -> int:
        return sum(n for verdict, n in self.upstream.items() if verdict.fails)

    @property
    def by_label(self) -> list[tuple[str, Counter[Verdict]]]:
        """What the project accepts, and the known faults of the frameworks."""
        return [("known", self.verdicts - self.upstream), (UPSTREAM, self.upstream)]


SHRUNK = "shrunk.jsonl"
MOST_NUMBERS = 40
"""Of an array, and `MOST_IN_ALL` of all arrays of a case, that are written out."""
MOST_IN_ALL = 200


class Small(msgspec.Struct, frozen=True):
    """One line: the cause, the first case that showed it, and the record and arrays of the small case.

    Numbers are hexadecimal floats, and integers for classes.
    """

    cause: Cause
    of: str
    record: Record
    arrays: dict[str, dict[str, Any]]

    @property
    def file(self) -> str:
        """Where its folder keeps it as a case."""
        form = FORMATS.get(self.record.dtype)
        return short_name(f"{CASES}/{self.record.sha256[:12]}.{form.short if form else '?'}.json")

    @property
    def command(self) -> str:
        """What makes a script of it, typed in the results folder."""
        column = short_name(f"{self.record.framework}:{self.record.mode}")
        return f"gradagree replay {quote(self.file)} --modes {quote(column)} --script"


def array_texts(small: Small) -> list[tuple[str, str]]:
    """Each array's name and its numbers, ``[[0, 0.5]]``; of many only how many there are."""
    found = []
    numbers = {name: x if isinstance(x := array.get("values"), list) else [] for name, array in small.arrays.items()}
    most = MOST_NUMBERS if sum(map(len, numbers.values())) <= MOST_IN_ALL else 1
    for name, values in numbers.items():
        shape = [n for n in small.arrays[name].get("shape", ()) if isinstance(n, int)]
        if len(values) > most:
            found.append((short_name(name), f"{len(values):,} numbers"))
        else:
            texts = [f"{value_of(x):.17g}" if isinstance(x, str | int | float) else "?" for x in values]
            found.append((short_name(name), visible(_nested(texts, shape))))
    return found


def _nested(texts: list[str], shape: list[int]) -> str:
    if len(shape) < 2 or not texts:
        return f"[{', '.join(texts)}]"
    size = max(1, len(texts) // max(1, shape[0]))
    rows = [_nested(texts[k : k + size], shape[1:]) for k in range(0, len(texts), size)]
    return f"[{', '.join(rows)}]"


def write_small(folder: Path, found: Iterable[tuple[Cause, str, AnyCase, Record]]) -> None:
    """Keep small cases in a results folder; nothing, and no file, where there are none."""
    lines = []
    for cause, of, case, record in found:
        path = case_path(folder, case)
        make_folder(folder / CASES)
        write_case(case, path)
        arrays = {name: encode_array(array) for name, array in case.arrays().by_name.items()}
        lines.append(msgspec.json.encode(Small(cause, of, record, arrays)).decode())
    if lines:
        write_text(folder / SHRUNK, "\n".join(lines) + "\n")
    else:
        (folder / SHRUNK).unlink(missing_ok=True)


def explicit_case(spec: str, folders: Sequence[Path]) -> AnyCase | None:
    """The case of a text that does not determine its arrays, from the results folders; None where they lack it."""
    found = re.search(r":(\w+):\w+:@([0-9a-f]{12})$", spec)
    for folder in folders if found else ():
        path = folder / CASES / f"{found[2]}.{found[1]}.json" if found else folder
        with contextlib.suppress(UsageError):
            return read_case(path)
    return None


def read_small(folders: Sequence[Path]) -> dict[Cause, Small]:
    """What the folders keep, the first of each cause; lines that cannot be read are left out."""
    found: dict[Cause, Small] = {}
    for folder in folders:
        for small in _lines(folder / SHRUNK):
            found.setdefault(small.cause, small)
    return found


def _lines(path: Path) -> Iterator[Small]:
    try:
        lines = path.read_bytes().splitlines()
    except OSError:
        return
    for line in lines:
        try:
            yield msgspec.json.decode(line, type=Small)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            continue
