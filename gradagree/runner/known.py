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
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import msgspec

from gradagree.adapters.adapter import Adapter, framework_names
from gradagree.arithmetic.model import FORMATS
from gradagree.cases.graph_case import AnyCase
from gradagree.cases.text import shorten, split_case
from gradagree.checker.verdict import Record, Verdict
from gradagree.errors import UsageError, is_file, nearest
from gradagree.runner.known_entry import ANY, DATES, Entry, read_tables
from gradagree.runner.known_upstream import UpstreamFault, upstream_faults

NAME = "gradagree-known.toml"
NONE = "none"
CLASSES = tuple(str(verdict) for verdict in Verdict if verdict.fails or verdict is Verdict.INACCURATE)
Text = Annotated[str, msgspec.Meta(pattern=r"\S")]
"""Text that is not blank."""


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

    ``--known none`` is an empty list, which disables the known faults of the frameworks, too; a file without entries
    has these alone. Raises UsageError for an invalid file.
    """
    if option == NONE:
        return []
    if option is not None:
        if not is_file(option):
            raise UsageError(f"--known {shorten(option)}: no such file")
        return read_known(Path(option)) or upstream_faults()
    path = project_file(Path.cwd())
    return None if path is None else read_known(path) or upstream_faults()


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
    return [_decode_entry(entry, f"{path}, entry {place}") for place, entry in enumerate(read_tables(path), 1)]


def decode_known(stored: Any) -> list[Entry]:
    """The valid entries among those in ``meta.json``."""
    entries: list[Entry] = []
    for entry in stored if isinstance(stored, list) else []:
        kind = UpstreamFault if isinstance(entry, dict) and "region" in entry else Entry
        with contextlib.suppress(msgspec.ValidationError):
            entries.append(msgspec.convert(entry, kind, strict=False))
    return entries


def known_in(meta: Mapping[str, Any]) -> list[Entry]:
    """The entries that apply to a run: those it kept, and the frameworks' known faults unless it disabled them."""
    return [] if meta.get("known") == [] else with_upstream(decode_known(meta.get("known")))


def with_upstream(entries: Sequence[Entry]) -> list[Entry]:
    """The entries and the known faults of the frameworks."""
    return list(entries) if any(entry.upstream for entry in entries) else [*entries, *upstream_faults()]


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


def known_by(option: str | None) -> list[Entry]:
    """The entries that apply where no run keeps them: those of `find_known`, and the frameworks' known faults."""
    found = find_known(option)
    return [] if found == [] else with_upstream(found or [])


def functions_of(record: Record) -> list[str]:
    """The functions of a record's case, and the one at fault."""
    parts = split_case(record.spec)
    return list(dict.fromkeys(filter(None, (*parts.activations, parts.error, record.function))))


def mark_known(record: Record, entries: Sequence[Entry], case: AnyCase | None = None) -> Record:
    """The record, with the label and reason of the first entry that accepts it."""
    if not entries or not record.verdict.compared or record.verdict is Verdict.AGREE:
        return record
    functions, kind = functions_of(record), (record.framework, record.mode, record.dtype, record.version)
    for entry in entries:
        if entry.applies_to(*kind) and matches(entry, record, functions, case):
            return msgspec.structs.replace(record, known=f"{entry.word}: {entry.reason}")
    return record


def matches(entry: Entry, record: Record, functions: Sequence[str], case: AnyCase | None = None) -> bool:
    """Whether the entry accepts the record of a case with these functions."""
    if not entry.covers(record, case):
        return False
    candidates = [record.function] if record.function else functions
    return entry.function == ANY or any(entry.names(function) for function in candidates)
