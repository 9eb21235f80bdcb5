"""How often something correct is accused: records of torch and jax over dtypes and regimes, counted by verdict.

With --out they are kept in a results folder. With --every the architectures are few, and each comes in every dtype and
regime, so that modes that compile an architecture are asked about many cases of it. With --catalogue they are small
ones, one for each function, and so many draws are made of each.
"""

from __future__ import annotations

import argparse
import collections
import itertools
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from gradagree import draw
from gradagree.arithmetic.model import FORMATS
from gradagree.cases.case import Case
from gradagree.cases.compatibility import adjust_widths, output_activations
from gradagree.cases.regimes import REGIMES
from gradagree.errors import UsageError
from gradagree.reference import Activation, ErrorFunction
from gradagree.runner.campaign import default_workers, execute
from gradagree.runner.options import Plan
from gradagree.runner.scheduler import run_plan

OTHER = 31
EXAMPLES = 4


def everywhere(architectures: Iterable[Case], draws: int = 1) -> Iterator[Case]:
    """Each architecture in every dtype and regime, with other numbers than a run with its seed has."""
    for case in architectures:
        for dtype, regime, again in itertools.product(FORMATS, REGIMES, range(draws)):
            yield replace(case, dtype=dtype, regime=regime, seed=(int(case.seed) * OTHER + again) % 10**9)


def catalogue(seed: int) -> Iterator[Case]:
    """One small network for each activation, with a sum of squares, and one for each error function."""
    plain, squares = Activation.named("id"), ErrorFunction.named("sse")
    for name in Activation.catalogue:
        yield small((plain, Activation.named(name)), 2, squares, seed)
    for name in ErrorFunction.catalogue:
        error = ErrorFunction.named(name)
        yield small((plain, *(() if error.domain == "real" else output_activations(error, ()))), 1, error, seed)


def small(activations: tuple[Activation, ...], boxes: int, error: ErrorFunction, seed: int) -> Case:
    """A network of one or two boxes and four examples."""
    widths = adjust_widths((5, 4, 3)[: boxes + 1], activations, error)
    return Case(widths, activations, error, EXAMPLES, "float64", "ordinary", seed, (True,) * boxes)


def planned(options: argparse.Namespace) -> Plan:
    if not (options.every or options.catalogue):
        return Plan.make(cases=options.cases, seed=options.seed, modes=options.modes)
    if options.catalogue:
        cases = everywhere(catalogue(options.seed), options.cases)
    else:
        cases = everywhere(draw(options.cases, options.seed, ["float64"]))
    frameworks = dict.fromkeys(mode.partition(":")[0] for mode in options.modes.split(","))
    return Plan.of(list(cases), ",".join(frameworks), options.modes)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--modes", default="torch:backward", help="for example torch:backward,jax:jit")
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument("--every", action="store_true", help="so many architectures, in every dtype and regime")
    kind.add_argument("--catalogue", action="store_true", help="so many draws of each function, likewise")
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
    for record in run_plan(plan, workers=default_workers()):
        counts[f"{record.framework} {record.mode} {record.dtype} {record.verdict}"] += 1
        if record.verdict.fails or record.verdict == "inaccurate":
            print(record)
    for name, count in sorted(counts.items()):
        print(f"{count:7}  {name}")


if __name__ == "__main__":
    main()
