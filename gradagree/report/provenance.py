"""Metadata of runs, shards and several results folders."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from gradagree.checker.conventions import Conventions
from gradagree.checker.verdict import CONVENTION, Record, Verdict
from gradagree.errors import UsageError
from gradagree.report.text import short_name, visible
from gradagree.runner.known import known_in
from gradagree.runner.results import read_meta, read_records
from gradagree.runner.shards import Shard

MOST_SHARDS = 20


def run_of(meta: dict[str, Any]) -> str | None:
    """The key common to the shards of one run; None for a run without shards."""
    resume = meta.get("resume")
    found = resume.get("fingerprint") if isinstance(resume, dict) and shard_of(meta) is not None else None
    return found if isinstance(found, str) else None


def shard_of(meta: dict[str, Any]) -> Shard | None:
    try:
        return Shard.parse(str(meta["shard"]))
    except (KeyError, UsageError):
        return None


def shared_runs(metas: Sequence[dict[str, Any]]) -> list[str | None]:
    """For each folder the run that it is a shard of, where another folder is, too."""
    runs = list(map(run_of, metas))
    return [run if runs.count(run) > 1 else None for run in runs]


def fold_shards(metas: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """One ``meta`` for all shards of a run, with the plan of the complete run, so that missing records count."""
    others: list[dict[str, Any]] = []
    runs: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    for run, meta in zip(shared_runs(metas), metas, strict=True):
        if run is None:
            others.append(meta)
        else:
            runs[run].append(meta)
    return [*map(_fold, runs.values()), *others]


def _fold(metas: list[dict[str, Any]]) -> dict[str, Any]:
    frameworks: dict[str, Any] = {}
    for meta in metas:
        for name, found in (meta["frameworks"] if isinstance(meta.get("frameworks"), dict) else {}).items():
            if not (isinstance(frameworks.get(name), dict) and frameworks[name].get("installed")):
                frameworks[name] = found
    seconds = [meta["seconds"] for meta in metas if isinstance(meta.get("seconds"), int | float)]
    whole = {name: value for name, value in metas[0].items() if name not in ("shard", "whole")}
    strict = any(meta.get("strict") is True for meta in metas)
    plan = metas[0].get("whole")
    return {
        **whole, "plan": plan if isinstance(plan, dict) else {}, "frameworks": frameworks, "strict": strict,
        "seconds": round(sum(seconds), 3),
        "shards": _list_shards([shard for meta in metas if (shard := shard_of(meta))]),
    }  # fmt: skip


def _list_shards(shards: list[Shard]) -> str:
    """``1/3, 3/3 twice; missing: 2/3``."""
    counts = Counter(shards)
    words = {1: "", 2: " twice"}
    there = [f"{shard}{words.get(n, f' {n} times')}" for shard, n in sorted(counts.items())]
    wanted = max(shard.of for shard in shards)
    missing = [f"{k}/{wanted}" for k in range(1, wanted + 1) if Shard(k, wanted) not in counts]
    some = [", ".join(names[:MOST_SHARDS]) + ", ..." * (len(names) > MOST_SHARDS) for names in (there, missing)]
    return some[0] + (f"; missing: {some[1]}" if missing else "")


RUN_FACTS = ("command", "seed", "started", "seconds", "cases", "shard", "shards", "strict", "gradagree")


class Probe(NamedTuple):
    """What a framework does with numbers of one dtype; None where it was not measured."""

    framework: str
    dtype: str
    accumulator: str
    biases: str
    flushes: bool | None
    fast_math: bool | None
    exact: bool | None

    @property
    def passed(self) -> bool:
        return self.fast_math is not True and self.exact is not False

    @property
    def failure(self) -> str:
        """A message that names the faults."""
        faults = ["sums are reordered or NaN is ignored (fast math)"] * (self.fast_math is True)
        faults += ["bits of a product are lost (a narrower format in between)"] * (self.exact is False)
        return f"{self.framework}, {self.dtype}: " + " and ".join(faults)


class Run(NamedTuple):
    """The facts, frameworks and probes of one run, as pairs of a name and a text."""

    facts: list[tuple[str, str]]
    frameworks: list[tuple[str, str]]
    probes: list[Probe]


def mapping(found: Any) -> dict[str, Any]:
    """A dictionary with text for keys: what was found if it is one, else an empty one."""
    return {str(key): value for key, value in found.items()} if isinstance(found, dict) else {}


def runs_of(meta: dict[str, Any]) -> list[Run]:
    """The runs behind a report: one, or those that were merged."""
    merged = meta.get("runs")
    metas = merged if isinstance(merged, list) else [meta]
    return [_run(mapping(one)) for one in metas]


def _run(meta: dict[str, Any]) -> Run:
    facts = [(fact, visible(meta[fact], 2000)) for fact in RUN_FACTS if meta.get(fact) is not None]
    facts += [(short_name(key), visible(value)) for key, value in mapping(meta.get("platform")).items()]
    facts += [(short_name(key), _listed(value)) for key, value in mapping(meta.get("options")).items()]
    frameworks = [
        (short_name(key), _installed(mapping(value))) for key, value in mapping(meta.get("frameworks")).items()
    ]
    return Run(facts, frameworks, list(_probes(meta)))


def _listed(value: Any) -> str:
    return visible(", ".join(map(str, value)) if isinstance(value, list) else value)


def _installed(framework: dict[str, Any]) -> str:
    if framework.get("installed") is False:
        return visible(framework.get("reason") or "not installed")
    words = [str(framework[key]) for key in ("version", "device") if framework.get(key)]
    return visible(", ".join(words) or "installed")


def _probes(meta: dict[str, Any]) -> Iterator[Probe]:
    for framework, found in mapping(meta.get("frameworks")).items():
        for dtype, probe in mapping(mapping(found).get("probes")).items():
            answers = mapping(probe)
            flags = [answers.get(key) for key in ("flushes", "fast_math", "exact")]
            flushes, fast_math, exact = (flag if isinstance(flag, bool) else None for flag in flags)
            sums = [short_name(answers.get(key, "?")) for key in ("accumulator", "biases")]
            yield Probe(short_name(framework), short_name(dtype), sums[0], sums[1], flushes, fast_math, exact)


def failed_probes(meta: dict[str, Any]) -> list[str]:
    """One line for each probe that shows arithmetic outside the model."""
    lines = [probe.failure for run in runs_of(meta) for probe in run.probes if not probe.passed]
    return list(dict.fromkeys(lines))


def not_installed(meta: dict[str, Any]) -> dict[str, str]:
    """The reasons why frameworks are absent, by name."""
    found = {name: mapping(value) for name, value in mapping(meta.get("frameworks")).items()}
    return {short_name(name): _installed(value) for name, value in found.items() if value.get("installed") is False}


def planned_counts(meta: dict[str, Any]) -> dict[str, int]:
    """The number of planned records of each ``framework:mode``."""
    plan = mapping(meta.get("plan"))
    return {short_name(name): count for name, count in plan.items() if isinstance(count, int) and count > 0}


def merged_meta(metas: list[dict[str, Any]]) -> dict[str, Any]:
    """One ``meta`` for several runs, which it keeps in ``runs``: plans added up, a framework there if it is in any."""
    metas = fold_shards(metas)
    if len(metas) == 1:
        return metas[0]
    plan: Counter[str] = Counter()
    frameworks: dict[str, Any] = {}
    for meta in metas:
        plan.update(planned_counts(meta))
        for name, found in mapping(meta.get("frameworks")).items():
            if name not in frameworks or mapping(frameworks[name]).get("installed") is False:
                frameworks[name] = found
    strict = any(meta.get("strict") is True for meta in metas)
    found = {"schema": 1, "runs": metas, "plan": dict(plan), "frameworks": frameworks, "strict": strict}
    if not any("known" in meta for meta in metas):
        return found
    known: list[Any] = []
    for entry in (entry.to_json() for meta in metas for entry in known_in(meta)):
        known += [entry] * (entry not in known)
    return found | {"known": known}


def records_of(folders: Sequence[Path]) -> Iterator[Record]:
    """The records of all folders; one that is in several of them comes once. What shards of one run concluded each from
    its own records is concluded anew from all of them.

    Raises UsageError, naming it, where folders hold different verdicts for the same case, framework and mode.
    """
    if len(folders) == 1:
        yield from read_records(folders[0])
        return
    runs = shared_runs([read_meta(folder) for folder in folders])
    whole: dict[str | None, Conventions] = {run: Conventions() for run in runs if run is not None}
    seen: dict[bytes, tuple[Verdict, int]] = {}
    for place, folder in enumerate(folders):
        conventions = whole.get(runs[place])
        for record in read_records(folder):
            if conventions is not None and record.spec.startswith(CONVENTION):
                continue
            digest = hashlib.blake2b(repr(record.key).encode(), digest_size=16).digest()
            verdict, first = seen.setdefault(digest, (record.verdict, place))
            if first == place:
                if conventions is not None:
                    conventions.see(record)
                yield record
            elif verdict is not record.verdict:
                raise _contradiction(record, verdict, folders[first], folder)
    for conventions in whole.values():
        yield from conventions.findings()


def _contradiction(record: Record, verdict: Verdict, first: Path, second: Path) -> UsageError:
    return UsageError(
        f"{visible(record.spec)} with {visible(record.framework)}:{visible(record.mode)} is {verdict} in {first} but "
        f"{record.verdict} in {second}; report them apart, or compare them: gradagree compare {first} {second}"
    )
