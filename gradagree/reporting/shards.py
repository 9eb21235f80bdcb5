"""Shards of one run as the run itself, with what is missing or there twice."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

from gradagree.errors import UsageError
from gradagree.sharding import Shard

__all__ = ["folded", "shared_runs"]

MOST_TOLD = 20


def run_of(meta: dict[str, Any]) -> str | None:
    """What the shards of one run have in common; None for a run that is whole."""
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


def folded(metas: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """One ``meta`` for all shards of a run: the plan of the whole, so that what is missing counts as missing."""
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
    told = [meta["seconds"] for meta in metas if isinstance(meta.get("seconds"), int | float)]
    whole = {name: value for name, value in metas[0].items() if name not in ("shard", "whole")}
    strict = any(meta.get("strict") is True for meta in metas)
    plan = metas[0].get("whole")
    return {
        **whole, "plan": plan if isinstance(plan, dict) else {}, "frameworks": frameworks, "strict": strict,
        "seconds": round(sum(told), 3), "shards": _account([shard for meta in metas if (shard := shard_of(meta))]),
    }  # fmt: skip


def _account(shards: list[Shard]) -> str:
    """``1/3, 3/3 twice; missing: 2/3``."""
    counts = Counter(shards)
    words = {1: "", 2: " twice"}
    there = [f"{shard}{words.get(n, f' {n} times')}" for shard, n in sorted(counts.items())]
    wanted = max(shard.of for shard in shards)
    missing = [f"{k}/{wanted}" for k in range(1, wanted + 1) if Shard(k, wanted) not in counts]
    some = [", ".join(names[:MOST_TOLD]) + ", ..." * (len(names) > MOST_TOLD) for names in (there, missing)]
    return some[0] + (f"; missing: {some[1]}" if missing else "")
