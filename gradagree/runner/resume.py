"""Resuming a run: its plan, saved in ``meta.json``, and the records that exist already."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import msgspec

from gradagree.checker.conventions import Conventions
from gradagree.checker.verdict import CONVENTION, SCHEMA, Record
from gradagree.errors import UsageError
from gradagree.reference import Activation, ContractError, ErrorFunction
from gradagree.runner.options import Plan, PlanOptions
from gradagree.runner.results import META, Journal, read_lines

PAGE_SIZE = 1 << 12
PROBE = "probe:"


class CompletedRecords:
    """The (framework, mode, index) that have a record: one bit each, in pages allocated on first use."""

    def __init__(self) -> None:
        self.conventions = Conventions()
        self.count = 0
        self._pages: defaultdict[tuple[str, str, int], bytearray] = defaultdict(lambda: bytearray(PAGE_SIZE // 8))
        self._probes: set[tuple[str, str]] = set()

    def add(self, record: Record) -> None:
        self.conventions.see(record)
        if record.spec.startswith(PROBE):
            self._probes.add((record.framework, record.spec))
            return
        page, bit = divmod(record.index, PAGE_SIZE)
        self._pages[record.framework, record.mode, page][bit // 8] |= 1 << bit % 8
        self.count += 1

    def has(self, framework: str, mode: str, index: int) -> bool:
        page, bit = divmod(index, PAGE_SIZE)
        bits = self._pages.get((framework, mode, page))
        return bits is not None and bool(bits[bit // 8] >> bit % 8 & 1)

    def has_probe(self, record: Record) -> bool:
        return (record.framework, record.spec) in self._probes


def recover(journal: Journal, plan: Plan) -> CompletedRecords:
    """The records in a results folder.

    Cuts off an incomplete last line and the findings about conventions, which the end of the run derives again from all
    records. Raises UsageError if a line is damaged or a record does not belong to the plan.
    """
    done, end = CompletedRecords(), 0
    for record, line_end in read_lines(journal.folder):
        if record.spec.startswith(CONVENTION):
            continue
        known = f"{record.framework}:{record.mode}" in plan.modes and 0 <= record.index < plan.cases * len(plan.dtypes)
        if not known and not record.spec.startswith(PROBE):
            raise UsageError(f"{journal.folder} holds records that are not in the plan of its {META}; start a new run")
        done.add(record)
        end = line_end
    journal.truncate(end)
    return done


def encode_plan(plan: Plan, extensions: Sequence[str]) -> dict[str, Any] | None:
    """The entry "resume" of ``meta.json``: the plan's options and a fingerprint; None for explicit cases."""
    if plan.explicit is not None:
        return None
    options = plan.options()
    return {**msgspec.to_builtins(options), "fingerprint": fingerprint(options, extensions)}


def decode_plan(meta: dict[str, Any], folder: Path, extensions: Sequence[str]) -> Plan:
    """The plan of a run, from its ``meta.json``.

    Raises UsageError if there is none, or if the version of gradagree or a function has changed since.
    """
    path, saved = folder / META, meta.get("resume")
    try:
        fields = dict(msgspec.convert(saved, dict[str, Any]))
        recorded = fields.pop("fingerprint", None)
        options = msgspec.convert(fields, PlanOptions)
        plan = options.plan()
    except msgspec.ValidationError as wrong:
        raise UsageError(f"{path}: cannot resume: {wrong}") from None
    except (UsageError, ContractError) as wrong:
        raise UsageError(f"{path}: cannot resume: {wrong}") from None
    if fingerprint(options, extensions) != recorded:
        raise UsageError(f"{folder} was started with another version of gradagree or other functions; start a new run")
    return plan


def fingerprint(options: PlanOptions, extensions: Sequence[str]) -> str:
    """Hash of everything that determines the records; equal for the shards of one run."""
    functions = [
        sorted(catalogue) if names is None else names
        for names, catalogue in (
            (options.activations, Activation.catalogue), (options.errors, ErrorFunction.catalogue),
        )
    ]  # fmt: skip
    files = [hashlib.sha256(Path(file).read_bytes()).hexdigest() for file in extensions]
    dtypes = [options.dtypes, options.other_dtypes]
    fields = [options.cases, options.seed, dtypes, options.regimes, functions, options.modes, files]
    fields += [options.architectures, options.layers]
    text = json.dumps([SCHEMA, metadata.version("gradagree"), *fields])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def recorded_versions(meta: dict[str, Any]) -> dict[str, str]:
    """The version of each framework at the start of a run."""
    found = meta.get("frameworks")
    if not isinstance(found, dict):
        meta["frameworks"] = found = {}
    return {name: str(one.get("version", "")) for name, one in found.items() if isinstance(one, dict)}


def check_version(name: str, before: str | None, now: str) -> None:
    """Raises UsageError if the version of a framework has changed since the start of the run."""
    if before is not None and before != now:
        then, current = (f"{name} {version}" if version else f"no {name}" for version in (before, now))
        raise UsageError(f"the run was started with {then}, but {current} is installed; start a new run")
