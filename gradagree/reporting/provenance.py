"""Where results come from: what ``meta.json`` says, whatever of it is there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

from gradagree.reporting.shards import folded
from gradagree.reporting.texts import named, visible

__all__ = ["Probe", "Run", "failed_probes", "mapping", "merged_meta", "not_installed", "planned", "runs_of"]

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
        """What went wrong, in words."""
        faults = ["sums are reordered or NaN is ignored (fast math)"] * (self.fast_math is True)
        faults += ["bits of a product are lost (a narrower format in between)"] * (self.exact is False)
        return f"{self.framework}, {self.dtype}: " + " and ".join(faults)


class Run(NamedTuple):
    """One run, as pairs of a word and what it was."""

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
    facts += [(named(key), visible(value)) for key, value in mapping(meta.get("platform")).items()]
    facts += [(named(key), _listed(value)) for key, value in mapping(meta.get("options")).items()]
    frameworks = [(named(key), _installed(mapping(value))) for key, value in mapping(meta.get("frameworks")).items()]
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
            sums = [named(answers.get(key, "?")) for key in ("accumulator", "biases")]
            yield Probe(named(framework), named(dtype), sums[0], sums[1], flushes, fast_math, exact)


def failed_probes(meta: dict[str, Any]) -> list[str]:
    """One line for each probe that shows arithmetic outside the model."""
    lines = [probe.failure for run in runs_of(meta) for probe in run.probes if not probe.passed]
    return list(dict.fromkeys(lines))


def not_installed(meta: dict[str, Any]) -> dict[str, str]:
    """Why frameworks are not there, by name."""
    found = {name: mapping(value) for name, value in mapping(meta.get("frameworks")).items()}
    return {named(name): _installed(value) for name, value in found.items() if value.get("installed") is False}


def planned(meta: dict[str, Any]) -> dict[str, int]:
    """Records that each ``framework:mode`` was asked for."""
    plan = mapping(meta.get("plan"))
    return {named(name): count for name, count in plan.items() if isinstance(count, int) and count > 0}


def merged_meta(metas: list[dict[str, Any]]) -> dict[str, Any]:
    """One ``meta`` for several runs, which it keeps in ``runs``: plans added up, a framework there if it is in any."""
    metas = folded(metas)
    if len(metas) == 1:
        return metas[0]
    plan: Counter[str] = Counter()
    frameworks: dict[str, Any] = {}
    for meta in metas:
        plan.update(planned(meta))
        for name, found in mapping(meta.get("frameworks")).items():
            if name not in frameworks or mapping(frameworks[name]).get("installed") is False:
                frameworks[name] = found
    strict = any(meta.get("strict") is True for meta in metas)
    known: list[Any] = []
    for meta in metas:
        entries = meta.get("known")
        known += [one for one in entries if one not in known] if isinstance(entries, list) else []
    return {"schema": 1, "known": known, "runs": metas, "plan": dict(plan), "frameworks": frameworks, "strict": strict}
