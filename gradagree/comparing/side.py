"""One side of a comparison: what it needs to know of a run, from its folder or from an extract of it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from gradagree.arithmetics.model import FORMATS
from gradagree.errors import is_file
from gradagree.journal import read_meta, read_records
from gradagree.known import Entry
from gradagree.reporting.accepted import Accepted
from gradagree.reporting.matrix import Column
from gradagree.reporting.provenance import mapping
from gradagree.reporting.texts import named, value_of
from gradagree.verdict import Record, Verdict

__all__ = ["Judged", "Key", "Side", "read_side"]

Place = tuple[str, str, str]
"""Framework, mode, and which kink of which function."""


class Key(NamedTuple):
    """What is the same in two runs, whatever machine and version they ran on."""

    spec: str
    framework: str
    mode: str

    @property
    def column(self) -> Column:
        return Column(named(self.framework), named(self.mode))


class Judged(NamedTuple):
    """What one record says. Numbers have three digits, as in an extract; step is one unit in the last place of the
    entry that has the ratio, over its tolerance. record is kept for all that does not plainly agree."""

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
    """A run: its name, what ``meta.json`` says of it, every record by its key, and the slopes taken at kinks."""

    name: str
    versions: dict[str, str] = field(default_factory=dict)
    facts: dict[str, str] = field(default_factory=dict)
    strict: bool = False
    judged: dict[Key, Judged] = field(default_factory=dict)
    slopes: dict[Place, frozenset[str]] = field(default_factory=dict)
    left_out: int = 0

    def add(self, record: Record, known: Entry | None = None) -> None:
        key = Key(record.spec, record.framework, record.mode)
        self.judged[key] = judged(record, known)
        self.versions.setdefault(record.framework, record.version)
        for place, slopes in record.slopes.items():
            where = (record.framework, record.mode, place)
            self.slopes[where] = self.slopes.get(where, frozenset(slopes)) & frozenset(slopes)

    @property
    def words(self) -> str:
        """``torch 2.13.0, jax 0.10.2``."""
        return ", ".join(f"{named(name)} {named(version)}".strip() for name, version in self.versions.items())


def judged(record: Record, known: Entry | None = None) -> Judged:
    kept = None if record.verdict is Verdict.AGREE else record
    ratio, step, sharpness = map(three_digits, (record.ratio, last_place(record), record.sharpness))
    return Judged(record.verdict, record.dtype, ratio, step, sharpness, kept, known)


def three_digits(stored: float | str | None) -> float:
    """NaN where there is no number."""
    x = value_of(stored)
    return float(f"{x:.3g}") if math.isfinite(x) else x


def last_place(record: Record) -> float:
    """One unit in the last place of what was observed, over its tolerance: a ratio that moves by less has not moved.

    0 where the record does not tell.
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
        from gradagree.comparing.extract import read_extract

        return read_extract(path)
    meta = read_meta(path)
    side = Side(str(path), facts=dict(facts(meta)), strict=meta.get("strict") is True)
    if known is None:
        from gradagree.known import known_of

        known = known_of(meta.get("known"))
    accepted = Accepted(known)
    for record in read_records(path):
        side.add(record, accepted.see(record, Column(record.framework, record.mode)))
    return side


def facts(meta: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """What tells two runs apart, beside the versions of the frameworks."""
    for name in ("command", "started", "gradagree"):
        if meta.get(name):
            yield name, str(meta[name])
    for name, value in mapping(meta.get("platform")).items():
        yield name, str(value)
