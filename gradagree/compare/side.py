"""One run of a comparison, read from a results folder or from an extract."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from gradagree.arithmetic.model import FORMATS
from gradagree.checker.verdict import ORDER, Record, Verdict
from gradagree.errors import UsageError, is_file
from gradagree.files import write_text
from gradagree.report.findings import Accepted
from gradagree.report.matrix import Column
from gradagree.report.provenance import mapping
from gradagree.report.rows import short_number
from gradagree.report.text import short_name, value_of, visible
from gradagree.runner.known import known_in, with_upstream
from gradagree.runner.known_entry import Entry
from gradagree.runner.results import read_meta, read_records

Place = tuple[str, str, str]
"""Framework, mode, and the kink of a function."""


class Key(NamedTuple):
    """Case, framework and mode: identifies a record in both runs."""

    spec: str
    framework: str
    mode: str

    @property
    def column(self) -> Column:
        return Column(short_name(self.framework), short_name(self.mode))


class RecordOutcome(NamedTuple):
    """The part of a record that a comparison uses. Numbers have three digits, as in an extract; step is one unit in the
    last place of the entry with the ratio, over its tolerance. record is kept unless the verdict is `agree`.
    """

    verdict: Verdict
    dtype: str
    ratio: float
    step: float
    sharpness: float
    record: Record | None = None
    known: Entry | None = None

    @property
    def fails(self) -> bool:
        return self.verdict.fails and self.known is None


@dataclass
class Side:
    """A run: its name, ``meta.json``, every record by its key, and the derivatives at kinks."""

    name: str
    versions: dict[str, str] = field(default_factory=dict)
    facts: dict[str, str] = field(default_factory=dict)
    strict: bool = False
    outcomes: dict[Key, RecordOutcome] = field(default_factory=dict)
    slopes: dict[Place, frozenset[str]] = field(default_factory=dict)
    left_out: int = 0

    def add(self, record: Record, known: Entry | None = None) -> None:
        key = Key(record.spec, record.framework, record.mode)
        self.outcomes[key] = outcome_of(record, known)
        self.versions.setdefault(record.framework, record.version)
        for place, slopes in record.slopes.items():
            where = (record.framework, record.mode, place)
            self.slopes[where] = self.slopes.get(where, frozenset(slopes)) & frozenset(slopes)

    @property
    def words(self) -> str:
        """``torch 2.13.0, jax 0.10.2``."""
        return ", ".join(f"{short_name(name)} {short_name(version)}".strip() for name, version in self.versions.items())


def outcome_of(record: Record, known: Entry | None = None) -> RecordOutcome:
    kept = None if record.verdict is Verdict.AGREE else record
    ratio, step, sharpness = map(three_digits, (record.ratio, last_place(record), record.sharpness))
    return RecordOutcome(record.verdict, record.dtype, ratio, step, sharpness, kept, known)


def three_digits(stored: float | str | None) -> float:
    """NaN where there is no number."""
    x = value_of(stored)
    return float(f"{x:.3g}") if math.isfinite(x) else x


def last_place(record: Record) -> float:
    """One unit in the last place of what was observed, over its tolerance: a ratio that moves by less has not moved.

    0 if the record has no observed number or tolerance.
    """
    observed, tolerance, form = value_of(record.observed), value_of(record.tolerance), FORMATS.get(record.dtype)
    if form is None or not math.isfinite(observed) or not 0 < tolerance < math.inf:
        return 0.0
    _, exponent = math.frexp(observed)
    return max(math.ldexp(1.0, exponent - form.precision), form.smallest) / tolerance


def read_side(path: Path, known: Sequence[Entry] | None = None) -> Side:
    """The side that a results folder or an extract stands for.

    known are the accepted differences; by default those that the folder kept. Raises UsageError for anything else.
    """
    if is_file(path):
        return read_extract(path)
    meta = read_meta(path)
    side = Side(str(path), facts=dict(facts(meta)), strict=meta.get("strict") is True)
    accepted = Accepted(known_in(meta) if known is None else known and with_upstream(known))
    for record in read_records(path):
        side.add(record, accepted.see(record, Column(record.framework, record.mode)))
    return side


def facts(meta: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Properties that distinguish two runs, besides the versions of the frameworks."""
    for name in ("command", "started", "gradagree"):
        if meta.get(name):
            yield name, str(meta[name])
    for name, value in mapping(meta.get("platform")).items():
        yield name, str(value)


SCHEMA = 1
MOST_BYTES = 4_000_000
"""Cases beyond so many bytes are left out and counted, those that plainly agree first."""
RECORD_FIELDS = ("function", "box", "entry", "expected", "expected_radius", "observed", "tolerance", "reason")
VERDICTS = list(Verdict)


def write_extract(side: Side, path: Path) -> int:
    """Write the extract of a side; how many records were left out. Raises UsageError where it cannot be written."""
    cases: dict[str, dict[Key, RecordOutcome]] = {}
    for key, outcome in side.outcomes.items():
        cases.setdefault(key.spec, {})[key] = outcome
    columns = {(key.framework, key.mode): None for key in side.outcomes}
    places = {column: place for place, column in enumerate(columns)}
    odd_first = sorted(cases.items(), key=lambda item: all(j.verdict is Verdict.AGREE for j in item[1].values()))
    lines, room, left_out = [], MOST_BYTES, side.left_out
    for spec, found in odd_first:
        line = _to_json([spec, next(iter(found.values())).dtype, *(_encode(places, *item) for item in found.items())])
        room -= len(line.encode()) + 1
        if room > 0:
            lines.append(line)
        else:
            left_out += len(found)
    header = {
        "extract": SCHEMA, "of": side.name, "versions": side.versions, "facts": side.facts, "strict": side.strict,
        "columns": list(columns), "slopes": [[*place, sorted(slopes)] for place, slopes in side.slopes.items()],
        "left_out": left_out,
    }  # fmt: skip
    write_text(path, "\n".join([_to_json(header), *lines]) + "\n")
    return left_out


def _to_json(thing: Any) -> str:
    return json.dumps(thing, separators=(",", ":"), ensure_ascii=False)


def _encode(places: dict[tuple[str, str], int], key: Key, outcome: RecordOutcome) -> list[Any]:
    """Column, verdict, three numbers and, unless it agrees, the record."""
    place = places[key.framework, key.mode]
    numbers = [short_number(x) if x == x else None for x in (outcome.ratio, outcome.step, outcome.sharpness)]
    encoded = [place, ORDER[outcome.verdict], *numbers]
    if outcome.record is None:
        return encoded
    fields = {
        name: getattr(outcome.record, name) for name in RECORD_FIELDS if getattr(outcome.record, name) not in (None, "")
    }
    return [*encoded, fields | ({"reason": visible(outcome.record.reason)} if outcome.record.reason else {})]


def read_extract(path: Path) -> Side:
    """The side in a file. Raises UsageError for anything that is no extract."""
    line = ""
    try:
        with path.open(encoding="utf-8") as file:
            side, columns = _header(path, json.loads(file.readline()))
            for line in file:
                for key, outcome in _case(side, columns, json.loads(line)):
                    side.outcomes[key] = outcome
    except OSError as wrong:
        raise UsageError(f"{path} cannot be read: {wrong.strerror}") from None
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError, msgspec.MsgspecError) as wrong:
        where = f" in {visible(line, 60)!r}" if line else ""
        raise UsageError(
            f"{path} is no extract: {visible(wrong, 200)}{where}; make one with: gradagree compare DIR --extract FILE"
        ) from None
    return side


def _header(path: Path, header: Any) -> tuple[Side, list[tuple[str, str]]]:
    if not isinstance(header, dict) or header.get("extract") != SCHEMA:
        raise ValueError("its first line is no header")
    versions, facts = ({str(k): str(v) for k, v in header[name].items()} for name in ("versions", "facts"))
    slopes = {(str(f), str(m), str(p)): frozenset(map(str, found)) for f, m, p, found in header["slopes"]}
    side = Side(str(path), versions, facts, header["strict"] is True, slopes=slopes, left_out=int(header["left_out"]))
    return side, [(str(framework), str(mode)) for framework, mode in header["columns"]]


def _case(side: Side, columns: list[tuple[str, str]], line: Any) -> Iterator[tuple[Key, RecordOutcome]]:
    spec, dtype, *records = line
    for column, verdict, ratio, step, sharpness, *fields in records:
        framework, mode = columns[column]
        record = _record(side, spec, dtype, framework, mode, VERDICTS[verdict], ratio, fields[0]) if fields else None
        numbers = (value_of(ratio), value_of(step), value_of(sharpness))
        yield Key(spec, framework, mode), RecordOutcome(VERDICTS[verdict], str(dtype), *numbers, record)


def _record(
    side: Side, spec: str, dtype: str, framework: str, mode: str, verdict: Verdict, ratio: Any, fields: dict[str, Any]
) -> Record:
    extra = {name: fields[name] for name in RECORD_FIELDS if name in fields}
    common = {
        "case": "", "spec": spec, "sha256": "", "framework": framework, "version": side.versions.get(framework, ""),
        "mode": mode, "dtype": dtype, "verdict": str(verdict), "ratio": ratio,
    }  # fmt: skip
    return msgspec.convert(common | extra, Record)
