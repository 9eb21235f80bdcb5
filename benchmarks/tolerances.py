"""The distribution of relative tolerances in results folders: by dtype, and the arrays whose tolerance is blunt.

Without options it prints a table for each folder. With --arrays it checks the blunt and the undecided records again,
and prints each array whose tolerance is above a tenth of its largest entry, with the largest ones first.
"""

from __future__ import annotations

import argparse
import functools
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from gradagree.adapters import Adapter
from gradagree.arithmetic.model import FORMATS
from gradagree.cases.case import Case, problem_of
from gradagree.checker.judge import Framework, compared
from gradagree.checker.response import Failure, handshake, respond

BLUNT = 0.1
"""A relative tolerance above this says little."""
COLUMNS = "dtype | records | 5 % | median | 95 % | above 0.1 | undecided"


def records(folder: Path) -> list[dict[str, Any]]:
    """The records of a results folder that hold gradients."""
    lines = (folder / "results.jsonl").read_text().splitlines()
    return [record for record in map(json.loads, lines) if record["sharpness"] is not None]


def relative_tolerance(record: dict[str, Any]) -> float:
    """The largest tolerance over the largest entry, the worst of all gradient arrays; infinity where it is unknown."""
    found = float(record["sharpness"])
    return math.inf if math.isnan(found) else found


def row(dtype: str, given: list[dict[str, Any]]) -> str:
    """A line of the table: the tolerances of the records that agree, and how many are undecided."""
    own = [record for record in given if record["dtype"] == dtype]
    agree = [relative_tolerance(record) for record in own if record["verdict"] == "agree"]
    undecided = sum(record["verdict"] == "undecided" for record in own)
    if not agree:
        return f"| {dtype} | 0 | | | | | {undecided} of {len(own)} |"
    low, middle, high = (f"{np.quantile(agree, q):.1e}" for q in (0.05, 0.5, 0.95))
    blunt = sum(tolerance > BLUNT for tolerance in agree)
    share = f"{blunt} of {len(agree)} ({100 * blunt / len(agree):.1f} %)"
    return f"| {dtype} | {len(agree)} | {low} | {middle} | {high} | {share} | {undecided} of {len(own)} |"


def table(folder: Path) -> str:
    """The distribution by dtype, as a table in Markdown."""
    given = records(folder)
    rule = "| --- " * len(COLUMNS.split("|")) + "|"
    return "\n".join([f"| {COLUMNS} |", rule, *(row(dtype, given) for dtype in FORMATS)])


@functools.cache
def framework(name: str) -> tuple[Adapter, Framework]:
    adapter = Adapter.catalogue[name]()
    with adapter.settings():
        return adapter, Framework.of(name, handshake(adapter))


def blunt_arrays(record: dict[str, Any]) -> Iterator[tuple[float, str]]:
    """The arrays of a record whose tolerance is above a tenth of their largest entry, checked again."""
    adapter, described = framework(record["framework"])
    case = Case.parse(record["spec"])
    arrays = case.arrays()
    with adapter.settings():
        found = respond(adapter, problem_of(case, arrays), record["mode"])
    if isinstance(found, Failure):
        return
    rules = described.model(case.dtype, record["mode"])
    for c in compared(case, arrays, found.tapped, found.untapped, rules):
        if c.is_gradient and not c.sharpness <= BLUNT:
            place = f"{case.function(c.quantity.node)} {c.part}"
            yield c.sharpness, f"{c.sharpness:8.2g} {c.sharp}/{c.entries} {c.verdict} {place} {c.reason}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", type=Path, nargs="+", help="results folders")
    parser.add_argument("--arrays", action="store_true", help="name the arrays with blunt tolerances")
    options = parser.parse_args()
    for folder in options.folders:
        print(f"\n{folder}\n\n{table(folder)}")
        for record in records(folder) if options.arrays else ():
            vague = record["verdict"] == "agree" and relative_tolerance(record) > BLUNT
            if vague or record["verdict"] == "undecided":
                print(f"\n{record['verdict']} {record['framework']}:{record['mode']} {record['spec']}")
                print("\n".join(text for _, text in sorted(blunt_arrays(record), reverse=True)))


if __name__ == "__main__":
    main()
