"""Going on with a run: its plan from ``meta.json``, and which of its records are there already."""

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
    """Which answers have a record: one bit each, in pages that are made where there are some."""

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
        page, place = divmod(record.index, PAGE_SIZE)
        self._pages[record.framework, record.mode, page][place // 8] |= 1 << place % 8
        self.count += 1

    def has(self, framework: str, mode: str, index: int) -> bool:
        page, place = divmod(index, PAGE_SIZE)
        found = self._pages.get((framework, mode, page))
        return found is not None and bool(found[place // 8] >> place % 8 & 1)

    def has_probe(self, record: Record) -> bool:
        return (record.framework, record.spec) in self._probes


def recover(journal: Journal, plan: Plan) -> CompletedRecords:
    """What a journal holds. A torn last line is dropped, and what was concluded from all records, to be concluded anew.

    Raises UsageError where a line is damaged, or a record is none of the plan's.
    """
    done, end = CompletedRecords(), 0
    for record, line_end in read_lines(journal.folder):
        if record.spec.startswith(CONVENTION):
            continue
        known = f"{record.framework}:{record.mode}" in plan.modes and 0 <= record.index < plan.cases * len(plan.dtypes)
        if not known and not record.spec.startswith(PROBE):
            raise UsageError(f"{journal.folder} holds records that its {META} does not ask for: run it anew")
        done.add(record)
        end = line_end
    journal.truncate(end)
    return done


class Told(msgspec.Struct, forbid_unknown_fields=True):
    """A plan as ``meta.json`` keeps it."""

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
    """What makes the plan again; None for one of explicit cases."""
    if plan.explicit is not None:
        return None
    activations, errors = (
        None if these is None else [str(f) for f in these] for these in (plan.activations, plan.errors)
    )
    made = Told(
        plan.cases, plan.seed, list(plan.dtypes), list(plan.regimes), activations, errors, list(plan.modes.items()),
        str(plan.shard), fingerprint(plan, extensions),
    )  # fmt: skip
    return msgspec.to_builtins(made)


def fingerprint(plan: Plan, extensions: Sequence[str]) -> str:
    """What is the same for two plans whose records can stand side by side, two shards of one run for example."""
    functions = [
        sorted(catalogue) if chosen is None else [str(f) for f in chosen]
        for chosen, catalogue in ((plan.activations, Activation.catalogue), (plan.errors, ErrorFunction.catalogue))
    ]
    files = [hashlib.sha256(Path(file).read_bytes()).hexdigest() for file in extensions]
    made = [plan.cases, plan.seed, plan.dtypes, plan.regimes, functions, list(plan.modes.items()), files]
    text = json.dumps([SCHEMA, metadata.version("gradagree"), *made])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def decode_plan(meta: dict[str, Any], folder: Path, extensions: Sequence[str]) -> Plan:
    """The plan that a run's ``meta.json`` tells of. Raises UsageError where it is none, or was another's."""
    path = folder / META
    try:
        kept = msgspec.convert(meta.get("resume"), Told)
    except msgspec.ValidationError as wrong:
        raise UsageError(f"{path}: there is nothing to go on with: {wrong}") from None
    offered = {f"{name}:{mode}" for name, kind in Adapter.catalogue.items() for mode in kind.modes}
    named = (kept.dtypes, FORMATS), (kept.regimes, regimes()), ([name for name, _ in kept.modes], offered)
    unknown = [name for names, known in named for name in names if name not in known]
    if unknown or not (0 < kept.cases <= MAX_CASES and kept.seed >= 0 and kept.dtypes and kept.regimes):
        raise UsageError(f"{path}: there is nothing to go on with: {(unknown or ['a number out of range'])[0][:80]!r}")
    try:
        activations = None if kept.activations is None else tuple(map(Activation.named, kept.activations))
        errors = None if kept.errors is None else tuple(map(ErrorFunction.named, kept.errors))
    except ContractError as wrong:
        raise UsageError(f"{path}: {wrong}") from None
    plan = Plan(
        kept.cases, kept.seed, tuple(kept.dtypes), tuple(kept.regimes), activations, errors,
        dict(kept.modes), shard=Shard.parse(kept.shard),
    )  # fmt: skip
    if fingerprint(plan, extensions) != kept.fingerprint:
        raise UsageError(f"{folder} was begun with another version of gradagree, or with other functions: run it anew")
    return plan


def recorded_versions(meta: dict[str, Any]) -> dict[str, str]:
    """The version that each framework had when a run was begun."""
    found = meta.get("frameworks")
    if not isinstance(found, dict):
        meta["frameworks"] = found = {}
    return {name: str(one.get("version", "")) for name, one in found.items() if isinstance(one, dict)}


def check_version(name: str, before: str | None, now: str) -> None:
    """Raises UsageError where a run would go on with another version."""
    if before is not None and before != now:
        had, has = (f"{name} {version}" if version else f"no {name}" for version in (before, now))
        raise UsageError(f"the run was begun with {had}, and here is {has}: run it anew")
