"""How often something correct is accused: records of torch and jax over dtypes and regimes, counted by verdict.

With --out they are kept in a results folder. With --every the architectures are few, and each comes in every dtype and
regime, so that modes that compile an architecture are asked about many cases of it.
"""

from __future__ import annotations

import argparse
import collections
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from gradagree import draw
from gradagree.arithmetics.model import FORMATS
from gradagree.campaign import default_workers, execute
from gradagree.cases import Case
from gradagree.drawing import REGIMES
from gradagree.drivers import records
from gradagree.errors import UsageError
from gradagree.plan import Plan

OTHER = 31


def everywhere(architectures: int, seed: int) -> Iterator[Case]:
    """Each architecture in every dtype and regime, with other numbers than a run with this seed has."""
    for case in draw(architectures, seed, ["float64"]):
        for dtype in FORMATS:
            for regime in REGIMES:
                yield replace(case, dtype=dtype, regime=regime, seed=int(case.seed) * OTHER % 10**9)


def planned(options: argparse.Namespace) -> Plan:
    if not options.every:
        return Plan.make(cases=options.cases, seed=options.seed, modes=options.modes)
    frameworks = dict.fromkeys(mode.partition(":")[0] for mode in options.modes.split(","))
    return Plan.of(list(everywhere(options.cases, options.seed)), ",".join(frameworks), options.modes)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--modes", default="torch:backward", help="for example torch:backward,jax:jit")
    parser.add_argument("--every", action="store_true", help="so many architectures, in every dtype and regime")
    parser.add_argument("--out", type=Path, help="a results folder")
    options = parser.parse_args()
    if options.cases < 1:
        parser.error(f"--cases {options.cases}: give a whole number of at least 1")
    try:
        plan = planned(options)
        if options.out is not None:
            execute(plan, options.out, workers=default_workers())
            return
    except UsageError as wrong:
        parser.error(str(wrong))
    counts: collections.Counter[str] = collections.Counter()
    for record in records(plan, workers=default_workers()):
        counts[f"{record.framework} {record.mode} {record.dtype} {record.verdict}"] += 1
        if record.verdict.fails or record.verdict == "inaccurate":
            print(record)
    for name, count in sorted(counts.items()):
        print(f"{count:7}  {name}")


if __name__ == "__main__":
    main()
