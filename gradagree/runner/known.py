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

import datetime
import tomllib
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import InvalidVersion, Version

from gradagree.cases.text import shorten
from gradagree.checker.verdict import Record, Verdict
from gradagree.errors import UsageError, is_file, nearest

NAME = "gradagree-known.toml"
ANY = "*"
NONE = "none"
REQUIRED = ("framework", "function", "class", "reason")
OPTIONAL = ("mode", "dtype", "version", "link", "expiry")
CLASSES = tuple(str(verdict) for verdict in Verdict if verdict.fails or verdict is Verdict.INACCURATE)


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


def decode_known(found: Any) -> list[Entry]:
    """The valid entries among those in ``meta.json``."""
    entries = []
    for one in found if isinstance(found, list) else []:
        try:
            entry = msgspec.convert(one, Entry, strict=False)
            entry.versions  # noqa: B018  (raises for an invalid range)
            entries.append(entry)
        except (msgspec.ValidationError, InvalidSpecifier):
            continue
    return entries


def _decode_entry(table: dict[str, Any], where: str) -> Entry:
    for key in table:
        if key not in REQUIRED + OPTIONAL:
            raise UsageError(f"{where}: unknown key {shorten(key)!r}; {nearest(key, REQUIRED + OPTIONAL)}")
    for key in REQUIRED:
        if key not in table:
            raise UsageError(f"{where}: {key} is missing; write {EXAMPLES[key]}")
    for key, value in table.items():
        good = type(value) is datetime.date if key == "expiry" else isinstance(value, str) and value.strip()
        if not good:
            raise UsageError(f"{where}: {key} is {shorten(repr(value))}; write {EXAMPLES[key]}")
    if table["class"] not in CLASSES:
        raise UsageError(f"{where}: unknown class {shorten(table['class'])!r}; {nearest(table['class'], CLASSES)}")
    try:
        SpecifierSet(table.get("version", ""))
    except InvalidSpecifier:
        raise UsageError(
            f"{where}: version {shorten(table['version'])!r} is not a range of versions; write {EXAMPLES['version']}"
        ) from None
    _check_names(table, where)
    return msgspec.convert(table, Entry)


EXAMPLES = {
    "framework": 'framework = "torch"', "function": 'function = "gelu", or "*" for all', "class": 'class = "disagree"',
    "reason": 'reason = "..."', "mode": 'mode = "backward"', "dtype": 'dtype = "float32"',
    "version": 'version = ">=2.4,<2.14"', "link": 'link = "https://..."', "expiry": "expiry = 2027-06-30",
}  # fmt: skip


def _check_names(table: dict[str, Any], where: str) -> None:
    """Raises UsageError for an unknown framework, dtype or mode."""
    from gradagree.adapters import Adapter
    from gradagree.arithmetic.model import FORMATS

    modes = {name: list(kind.modes) for name, kind in Adapter.catalogue.items()}
    known: dict[str, Sequence[str]] = {"framework": list(modes), "dtype": list(FORMATS)}
    known["mode"] = [*modes.get(table["framework"], ()), "probe"]
    for key, names in known.items():
        if key in table and table[key] not in names:
            raise UsageError(f"{where}: unknown {key} {shorten(table[key])!r}; {nearest(table[key], names)}")


def matches(entry: Entry, record: Record, functions: Sequence[str]) -> bool:
    """Whether the entry accepts the record of a case with these functions."""
    if record.verdict is not entry.verdict:
        return False
    candidates = [record.function] if record.function else functions
    return entry.function == ANY or any(entry.names(function) for function in candidates)
