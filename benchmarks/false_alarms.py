"""How often something correct is accused: records of torch and jax over all regimes, counted by verdict."""

from __future__ import annotations

import argparse
import collections

from gradagree.campaign import default_workers
from gradagree.drivers import records
from gradagree.plan import Plan


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--modes", default="torch:backward", help="for example torch:backward,jax:jit")
    options = parser.parse_args()
    plan = Plan.make(cases=options.cases, seed=options.seed, modes=options.modes)
    counts: collections.Counter[str] = collections.Counter()
    for record in records(plan, workers=default_workers()):
        counts[f"{record.framework} {record.mode} {record.dtype} {record.verdict}"] += 1
        if record.verdict.fails or record.verdict == "inaccurate":
            print(record)
    for name, count in sorted(counts.items()):
        print(f"{count:7}  {name}")


if __name__ == "__main__":
    main()
