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

from gradagree.adapters import Adapter
from gradagree.arithmetic.model import FORMATS
from gradagree.cases.datasets import regimes
from gradagree.checker.kinks import Conventions
from gradagree.checker.verdict import CONVENTION, SCHEMA, Record
from gradagree.errors import UsageError
from gradagree.reference import Activation, ContractError, ErrorFunction
from gradagree.runner.options import MAX_CASES, Plan
from gradagree.runner.results import META, Journal, read_lines
from gradagree.runner.shards import Shard

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


class SavedPlan(msgspec.Struct, forbid_unknown_fields=True):
    """A plan as ``meta.json`` stores it, under "resume"."""

    cases: int
    seed: int
    dtypes: list[str]
    regimes: list[str]
    activations: list[str] | None
    errors: list[str] | None
    modes: list[tuple[str, int]]
    shard: str
    fingerprint: str


def encode_plan(plan: Plan, extensions: Sequence[str]) -> dict[str, Any] | None:
    """The plan for ``meta.json``; None if its cases were given explicitly."""
    if plan.explicit is not None:
        return None
    activations, errors = (
        None if chosen is None else [str(f) for f in chosen] for chosen in (plan.activations, plan.errors)
    )
    saved = SavedPlan(
        plan.cases, plan.seed, list(plan.dtypes), list(plan.regimes), activations, errors, list(plan.modes.items()),
        str(plan.shard), fingerprint(plan, extensions),
    )  # fmt: skip
    return msgspec.to_builtins(saved)


def fingerprint(plan: Plan, extensions: Sequence[str]) -> str:
    """Hash of everything that determines the records; equal for the shards of one run."""
    functions = [
        sorted(catalogue) if chosen is None else [str(f) for f in chosen]
        for chosen, catalogue in ((plan.activations, Activation.catalogue), (plan.errors, ErrorFunction.catalogue))
    ]
    files = [hashlib.sha256(Path(file).read_bytes()).hexdigest() for file in extensions]
    fields = [plan.cases, plan.seed, plan.dtypes, plan.regimes, functions, list(plan.modes.items()), files]
    text = json.dumps([SCHEMA, metadata.version("gradagree"), *fields])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def decode_plan(meta: dict[str, Any], folder: Path, extensions: Sequence[str]) -> Plan:
    """The plan of a run, from its ``meta.json``.

    Raises UsageError if there is none, or if the version of gradagree or a function has changed since.
    """
    path = folder / META
    try:
        saved = msgspec.convert(meta.get("resume"), SavedPlan)
    except msgspec.ValidationError as wrong:
        raise UsageError(f"{path}: cannot resume: {wrong}") from None
    offered = {f"{name}:{mode}" for name, kind in Adapter.catalogue.items() for mode in kind.modes}
    named = (saved.dtypes, FORMATS), (saved.regimes, regimes()), ([name for name, _ in saved.modes], offered)
    unknown = [name for names, known in named for name in names if name not in known]
    if unknown or not (0 < saved.cases <= MAX_CASES and saved.seed >= 0 and saved.dtypes and saved.regimes):
        raise UsageError(f"{path}: cannot resume: invalid value {(unknown or ['number out of range'])[0][:80]!r}")
    try:
        activations = None if saved.activations is None else tuple(map(Activation.named, saved.activations))
        errors = None if saved.errors is None else tuple(map(ErrorFunction.named, saved.errors))
    except ContractError as wrong:
        raise UsageError(f"{path}: {wrong}") from None
    plan = Plan(
        saved.cases, saved.seed, tuple(saved.dtypes), tuple(saved.regimes), activations, errors,
        dict(saved.modes), shard=Shard.parse(saved.shard),
    )  # fmt: skip
    if fingerprint(plan, extensions) != saved.fingerprint:
        raise UsageError(f"{folder} was started with another version of gradagree or other functions; start a new run")
    return plan


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
