"""Known differences: disagreements that a project accepts, each with its reason, in ``gradagree-known.toml``.

    [[known]]
    framework = "torch"
    function = "hardsigmoid"
    class = "disagree"
    reason = "its backward pass multiplies by 1/6 rounded to float32"

An entry can be restricted by mode, dtype and version; without a restriction it applies to all. It can have a link and
an expiry date. ``function = "*"`` stands for every function and for findings that name no function.
"""

from __future__ import annotations

import contextlib
import datetime
import re
import tomllib
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

import msgspec
from packaging.specifiers import SpecifierSet
from packaging.version import InvalidVersion, Version

from gradagree.adapters.adapter import Adapter, framework_names
from gradagree.arithmetic.model import FORMATS
from gradagree.cases.text import shorten
from gradagree.checker.verdict import Record, Verdict
from gradagree.errors import UsageError, is_file, nearest

NAME = "gradagree-known.toml"
ANY = "*"
NONE = "none"
CLASSES = tuple(str(verdict) for verdict in Verdict if verdict.fails or verdict is Verdict.INACCURATE)
DATES = (datetime.date, datetime.datetime, datetime.time)
"""Types that TOML has, besides those of JSON."""
Text = Annotated[str, msgspec.Meta(pattern=r"\S")]
"""Text that is not blank."""


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

    def names(self, function: str) -> bool:
        """Whether the entry names this function, with or without its parameters."""
        return self.function in (ANY, function, function.partition("(")[0])

    def expired(self, today: datetime.date) -> bool:
        return self.expiry is not None and self.expiry < today

    def to_json(self) -> dict[str, Any]:
        """The entry as stored in ``meta.json``."""
        return dict(msgspec.to_builtins(self))


class _Table(Entry, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An entry as a file must have it."""

    framework: Text
    function: Text
    reason: Text
    mode: Text = ""
    dtype: Text = ""
    version: Text = ""
    link: Text = ""


def find_known(option: str | None) -> list[Entry] | None:
    """The entries of the file given by --known, or of the project's file; None if there is neither.

    ``--known none`` ignores the project's file. Raises UsageError for an invalid file.
    """
    if option == NONE:
        return []
    if option is not None:
        if not is_file(option):
            raise UsageError(f"--known {shorten(option)}: no such file")
        return read_known(Path(option))
    path = project_file(Path.cwd())
    return None if path is None else read_known(path)


def project_file(here: Path) -> Path | None:
    """The file in the folder or its nearest parent, up to the one with a pyproject.toml or .git."""
    for folder in (here, *here.parents):
        if is_file(folder / NAME):
            return folder / NAME
        if is_file(folder / "pyproject.toml") or (folder / ".git").exists():
            return None
    return None


def read_known(path: Path) -> list[Entry]:
    """The entries of a file. Raises UsageError that names the file, the entry and the correction."""
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
    return [_decode_entry(entry, f"{path}, entry {place}") for place, entry in enumerate(entries, 1)]


def decode_known(stored: Any) -> list[Entry]:
    """The valid entries among those in ``meta.json``."""
    entries = []
    for entry in stored if isinstance(stored, list) else []:
        with contextlib.suppress(msgspec.ValidationError):
            entries.append(msgspec.convert(entry, Entry, strict=False))
    return entries


def _decode_entry(table: dict[str, Any], where: str) -> Entry:
    """The entry of a table of the file. Raises UsageError."""
    examples, names = _examples(), _names(table.get("framework", ""))
    for key in table:
        if key not in examples:
            raise UsageError(f"{where}: unknown key {shorten(key)!r}; {nearest(key, examples)}")
    for key, known in names.items():
        value = table.get(key)
        if isinstance(value, str) and value.strip() and value not in known:
            raise UsageError(f"{where}: unknown {key} {shorten(value)!r}; {nearest(value, known)}")
    try:
        msgspec.convert(table, _Table, builtin_types=DATES)
    except msgspec.ValidationError as wrong:
        raise UsageError(f"{where}: {_correction(str(wrong), table, examples)}") from None
    return msgspec.convert(table, Entry, builtin_types=DATES)


def _correction(message: str, table: dict[str, Any], examples: dict[str, str]) -> str:
    """The key that msgspec's message is about, and what to write."""
    if missing := re.search(r"missing required field `(\w+)`", message):
        return f"{missing[1]} is missing; write {examples[missing[1]]}"
    if wrong := re.search(r"at `\$\.(\w+)`$", message):
        return f"{wrong[1]} is {shorten(repr(table[wrong[1]]))}; write {examples[wrong[1]]}"
    version = shorten(table["version"])  # the only check of Entry itself
    return f"version {version!r} is not a range of versions; write {examples['version']}"


def _examples() -> dict[str, str]:
    """How to write each key of an entry."""
    return {
        "framework": f'framework = "{framework_names()[0]}"', "function": 'function = "gelu", or "*" for all',
        "class": 'class = "disagree"', "reason": 'reason = "..."', "mode": 'mode = "backward"',
        "dtype": 'dtype = "float32"', "version": 'version = ">=2.4,<2.14"', "link": 'link = "https://..."',
        "expiry": "expiry = 2027-06-30",
    }  # fmt: skip


def _names(framework: Any) -> dict[str, Sequence[str]]:
    """The values that there are of some keys, for a framework."""
    modes = {name: list(kind.modes) for name, kind in Adapter.catalogue.items()}
    of_framework = modes.get(framework, []) if isinstance(framework, str) else []
    return {"class": CLASSES, "framework": list(modes), "dtype": list(FORMATS), "mode": [*of_framework, "probe"]}


def matches(entry: Entry, record: Record, functions: Sequence[str]) -> bool:
    """Whether the entry accepts the record of a case with these functions."""
    if record.verdict is not entry.verdict:
        return False
    candidates = [record.function] if record.function else functions
    return entry.function == ANY or any(entry.names(function) for function in candidates)
