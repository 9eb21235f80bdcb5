"""One known difference: what it applies to, and which records it covers."""

from __future__ import annotations

import datetime
import tomllib
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec
from packaging.specifiers import SpecifierSet
from packaging.version import InvalidVersion, Version

from gradagree.cases.graph_case import AnyCase
from gradagree.cases.text import shorten
from gradagree.checker.verdict import Record, Verdict
from gradagree.errors import UsageError

ANY = "*"
UPSTREAM = "known upstream"
DATES = (datetime.date, datetime.datetime, datetime.time)
"""Types that TOML has, besides those of JSON."""


class Entry(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """One accepted difference. An empty mode, dtype or version stands for all."""

    framework: str
    function: str
    verdict: Verdict = msgspec.field(name="class")
    reason: str
    mode: str = ""
    dtype: str = ""
    version: str = ""
    link: str = ""
    expiry: datetime.date | None = None

    def __post_init__(self) -> None:
        """Raises ValueError for an invalid range of versions."""
        self.versions  # noqa: B018

    @cached_property
    def versions(self) -> SpecifierSet:
        return SpecifierSet(self.version, prereleases=True)

    @property
    def label(self) -> str:
        """``torch 2.13.* backward hardsigmoid float64 disagree``."""
        parts = (self.framework, self.version, self.mode, self.function, self.dtype, self.verdict)
        return " ".join(part for part in parts if part)

    def applies_to(self, framework: str, mode: str, dtype: str, version: str) -> bool:
        """Whether it applies to records of this kind; a version that cannot be parsed is in no range."""
        if framework != self.framework or self.mode not in ("", mode) or self.dtype not in ("", dtype):
            return False
        try:
            return not self.version or Version(version) in self.versions
        except InvalidVersion:
            return False

    @property
    def upstream(self) -> bool:
        """Whether it is a proved fault of the framework, from the table that is part of gradagree."""
        return False

    def covers(self, record: Record, case: AnyCase | None = None) -> bool:  # noqa: ARG002  (for proved faults)
        """Whether it accepts this record, whose framework, version, mode, dtype and function are those of the entry.

        `case` is the record's case; by default that of its text.
        """
        return record.verdict is self.verdict

    def reaches(self, record: Record, case: AnyCase | None = None) -> bool:
        """Whether the record's gradient would differ if the difference were still there."""
        return self.covers(record, case) or not self.upstream

    @property
    def word(self) -> str:
        """How a record that it accepts is labelled."""
        return UPSTREAM if self.upstream else "known"

    def names(self, function: str) -> bool:
        """Whether the entry names this function, with or without its parameters."""
        return self.function in (ANY, function, function.partition("(")[0])

    def expired(self, today: datetime.date) -> bool:
        return self.expiry is not None and self.expiry < today

    def to_json(self) -> dict[str, Any]:
        """The entry as stored in ``meta.json``."""
        return dict(msgspec.to_builtins(self))


def read_tables(path: Path) -> list[dict[str, Any]]:
    """The tables ``[[known]]`` of a file. Raises UsageError."""
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as wrong:
        raise UsageError(f"{path} cannot be read: {wrong.strerror}") from None
    except (ValueError, RecursionError) as wrong:
        raise UsageError(f"{path} is not valid TOML: {wrong}") from None
    for key in document:
        if key != "known":
            raise UsageError(f"{path}: unknown table {shorten(key)!r}; begin each entry with [[known]]")
    entries = document.get("known", [])
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise UsageError(f"{path}: begin each entry with [[known]], in double brackets")
    return entries
