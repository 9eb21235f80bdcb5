"""Known differences: disagreements that a project accepts, each with its reason, in ``gradagree-known.toml``.

    [[known]]
    framework = "torch"
    function = "hardsigmoid"
    class = "disagree"
    reason = "its backward pass multiplies by 1/6 rounded to float32"

An entry may narrow itself by mode, dtype and version, give a link, and expire. What it does not name it is about in
every form; ``function = "*"`` is every function, and findings that name none.
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
    """One accepted difference. An empty text stands for every mode, dtype or version."""

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
        """Whether it is about records of this kind; a version that cannot be read lies in no range."""
        if framework != self.framework or self.mode not in ("", mode) or self.dtype not in ("", dtype):
            return False
        try:
            return not self.version or Version(version) in self.versions
        except InvalidVersion:
            return False

    def names(self, function: str) -> bool:
        """Whether a function, with its parameters or without, is the entry's."""
        return self.function in (ANY, function, function.partition("(")[0])

    def expired(self, today: datetime.date) -> bool:
        return self.expiry is not None and self.expiry < today

    def to_json(self) -> dict[str, Any]:
        """What ``meta.json`` keeps of it."""
        return dict(msgspec.to_builtins(self))


def find_known(option: str | None) -> list[Entry] | None:
    """The entries of the file that --known names, else of the project's own; None where there is neither.

    ``--known none`` leaves the project's file alone. Raises UsageError where a file is not what it should be.
    """
    if option == NONE:
        return []
    if option is not None:
        if not is_file(option):
            raise UsageError(f"--known {shorten(option)}: there is no such file")
        return read_known(Path(option))
    path = project_file(Path.cwd())
    return None if path is None else read_known(path)


def project_file(here: Path) -> Path | None:
    """The file in a folder or the nearest one above it, up to the one that holds a pyproject.toml or .git."""
    for folder in (here, *here.parents):
        if is_file(folder / NAME):
            return folder / NAME
        if is_file(folder / "pyproject.toml") or (folder / ".git").exists():
            return None
    return None


def read_known(path: Path) -> list[Entry]:
    """The entries of a file. Raises UsageError, naming file, entry, and what to write."""
    try:
        told = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as wrong:
        raise UsageError(f"{path} cannot be read: {wrong.strerror}") from None
    except (ValueError, RecursionError) as wrong:
        raise UsageError(f"{path} is no TOML: {wrong}") from None
    for key in told:
        if key != "known":
            raise UsageError(f"{path}: there is no table {shorten(key)!r}; begin each entry with [[known]]")
    entries = told.get("known", [])
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise UsageError(f"{path}: begin each entry with [[known]], in double brackets")
    return [_decode_entry(entry, f"{path}, entry {place}") for place, entry in enumerate(entries, 1)]


def decode_known(found: Any) -> list[Entry]:
    """The entries that a ``meta.json`` keeps, as far as they can be read."""
    entries = []
    for one in found if isinstance(found, list) else []:
        try:
            entry = msgspec.convert(one, Entry, strict=False)
            entry.versions  # noqa: B018  (a range that cannot be read is found here)
            entries.append(entry)
        except (msgspec.ValidationError, InvalidSpecifier):
            continue
    return entries


def _decode_entry(told: dict[str, Any], where: str) -> Entry:
    for key in told:
        if key not in REQUIRED + OPTIONAL:
            raise UsageError(f"{where}: unknown key {shorten(key)!r}; {nearest(key, REQUIRED + OPTIONAL)}")
    for key in REQUIRED:
        if key not in told:
            raise UsageError(f"{where}: {key} is missing; write {EXAMPLES[key]}")
    for key, value in told.items():
        good = type(value) is datetime.date if key == "expiry" else isinstance(value, str) and value.strip()
        if not good:
            raise UsageError(f"{where}: {key} is {shorten(repr(value))}; write {EXAMPLES[key]}")
    if told["class"] not in CLASSES:
        raise UsageError(f"{where}: unknown class {shorten(told['class'])!r}; {nearest(told['class'], CLASSES)}")
    try:
        SpecifierSet(told.get("version", ""))
    except InvalidSpecifier:
        raise UsageError(
            f"{where}: version {shorten(told['version'])!r} is no range of versions; write {EXAMPLES['version']}"
        ) from None
    _check_names(told, where)
    return msgspec.convert(told, Entry)


EXAMPLES = {
    "framework": 'framework = "torch"', "function": 'function = "gelu", or "*" for all', "class": 'class = "disagree"',
    "reason": 'reason = "..."', "mode": 'mode = "backward"', "dtype": 'dtype = "float32"',
    "version": 'version = ">=2.4,<2.14"', "link": 'link = "https://..."', "expiry": "expiry = 2027-06-30",
}  # fmt: skip


def _check_names(told: dict[str, Any], where: str) -> None:
    """Names that gradagree knows, where it can know them all: those of dtypes, frameworks and their modes."""
    from gradagree.adapters import Adapter
    from gradagree.arithmetic.model import FORMATS

    modes = {name: list(kind.modes) for name, kind in Adapter.catalogue.items()}
    known: dict[str, Sequence[str]] = {"framework": list(modes), "dtype": list(FORMATS)}
    known["mode"] = [*modes.get(told["framework"], ()), "probe"]
    for key, names in known.items():
        if key in told and told[key] not in names:
            raise UsageError(f"{where}: unknown {key} {shorten(told[key])!r}; {nearest(told[key], names)}")


def matches(entry: Entry, record: Record, functions: Sequence[str]) -> bool:
    """Whether the record, whose case has these functions, is the difference that the entry accepts."""
    if record.verdict is not entry.verdict:
        return False
    guilty = [record.function] if record.function else functions
    return entry.function == ANY or any(entry.names(function) for function in guilty)
