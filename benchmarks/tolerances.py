"""The distribution of relative tolerances in results folders: by dtype, and the arrays whose tolerance is blunt.

Without options it prints a table for each folder. With --arrays it checks the blunt and the undecided records again,
and prints each array whose tolerance is above a tenth of its largest entry, with the largest ones first. With --out it
writes the distribution of all folders together, and with --before that of an earlier version's folders beside it;
`python -m benchmarks.tolerances_page` makes the page of the file.
"""

from __future__ import annotations

import argparse
import collections
import functools
import json
import math
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gradagree.adapters import Adapter
from gradagree.arithmetic.model import FORMATS
from gradagree.cases.case import Case, problem_of
from gradagree.checker.comparison import BLUNT
from gradagree.checker.judge import Framework, compared
from gradagree.checker.response import Failure, handshake, respond

RESULTS, PAGE = "reports/tolerances.json", "docs/tolerances.md"
LIMITS = (0.5, 0.1, 0.01, 0.001)
"""The shares of records above these tolerances are published."""
REASONS = {"every gradient is 0": "every gradient is 0", "less than half": "less than half of an array is checked"}
"""Why records are undecided, by a part of their reason; all others have a tolerance as large as the numbers."""
OTHER = "the tolerance is as large as the numbers, or nothing is known of them"
WORST = 20
"""Arrays that are published."""
COLUMNS = "dtype | records | 5 % | median | 95 % | above 0.1 | undecided"


def records(folder: Path) -> list[dict[str, Any]]:
    """The records of a results folder that hold gradients."""
    lines = (folder / "results.jsonl").read_text(encoding="utf-8").splitlines()
    return [record for record in map(json.loads, lines) if record["sharpness"] is not None]


def relative_tolerance(record: dict[str, Any]) -> float:
    """The largest tolerance over the largest entry, the worst of all gradient arrays; infinity where it is unknown."""
    found = float(record["sharpness"])
    return math.inf if math.isnan(found) else found


def distribution(given: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The tolerances of the records that agree, the share of their entries that is checked, and how many do not say."""
    agree = [record for record in given if record["verdict"] == "agree"]
    tolerances = np.array([relative_tolerance(record) for record in agree])
    shares = [record["share"] for record in agree if record.get("share") is not None]
    found: dict[str, Any] = {
        "records": len(given),
        "agree": len(agree),
        "above": {str(limit): int(np.sum(tolerances > limit)) for limit in LIMITS},
        "checked": float(np.mean(shares)) if shares else None,
        **{name: sum(record["verdict"] == name for record in given) for name in ("undecided", "out-of-range")},
    }
    found["reasons"] = dict(collections.Counter(map(reason, (r for r in given if r["verdict"] == "undecided"))))
    if agree:
        found["quantiles"] = [float(np.quantile(tolerances, q)) for q in (0.05, 0.5, 0.95)]
    return found


def reason(record: dict[str, Any]) -> str:
    """Why a record is undecided."""
    return next((says for part, says in REASONS.items() if part in record.get("reason", "")), OTHER)


def distributions(folders: Sequence[Path]) -> dict[str, Any]:
    """The distribution of each dtype, of all folders together."""
    given = [record for folder in folders for record in records(folder)]
    return {name: distribution([record for record in given if record["dtype"] == name]) for name in FORMATS}


def worst_arrays(folders: Sequence[Path]) -> list[dict[str, Any]]:
    """The arrays that make records blunt: how many records, by dtype, and the largest tolerance; most records first."""
    found: dict[tuple[str, str], list[float]] = collections.defaultdict(list)
    for record in (record for folder in folders for record in records(folder)):
        if record["verdict"] == "agree" and relative_tolerance(record) > BLUNT and record.get("blunt"):
            found[record["dtype"], record["blunt"]].append(relative_tolerance(record))
    rows = [{"dtype": key[0], "array": key[1], "records": len(x), "largest": max(x)} for key, x in found.items()]
    return sorted(rows, key=lambda row: (-row["records"], -row["largest"], row["array"]))[:WORST]


def command_of(folder: Path) -> str:
    """The command that made a folder, without the folder's name."""
    command: str = json.loads((folder / "meta.json").read_text(encoding="utf-8"))["command"]
    return command.partition(" --out")[0]


def before(folders: Sequence[Path]) -> dict[str, Any]:
    """The commands and the distributions of an earlier version."""
    return {"commands": [command_of(folder) for folder in folders], "dtypes": distributions(folders)}


def versions_of(folder: Path) -> dict[str, str]:
    meta = json.loads((folder / "meta.json").read_text(encoding="utf-8"))
    return {name: x["version"] for name, x in meta["frameworks"].items() if x["installed"]}


def row(dtype: str, found: dict[str, Any]) -> str:
    """A line of the table."""
    agree, undecided = found["agree"], f"{found['undecided']} of {found['records']}"
    if not agree:
        return f"| {dtype} | 0 | | | | | {undecided} |"
    low, middle, high = (f"{x:.1e}" for x in found["quantiles"])
    blunt = found["above"][str(BLUNT)]
    return f"| {dtype} | {agree} | {low} | {middle} | {high} | {share(blunt, agree)} | {undecided} |"


def share(part: int, whole: int) -> str:
    """For example ``3 of 60 (5.0 %)``."""
    return f"{part} of {whole} ({100 * part / whole:.1f} %)"


def table(folder: Path) -> str:
    """The distribution by dtype, as a table in Markdown."""
    rule = "| --- " * len(COLUMNS.split("|")) + "|"
    return "\n".join([f"| {COLUMNS} |", rule, *(row(*each) for each in distributions([folder]).items())])


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
    parser.add_argument("--before", type=Path, nargs="+", default=[], help="results folders of an earlier version")
    parser.add_argument("--out", type=Path, help="file for the distributions")
    options = parser.parse_args()
    for folder in [*options.folders, *options.before]:
        print(f"\n{folder}\n\n{table(folder)}")
        for record in records(folder) if options.arrays else ():
            vague = record["verdict"] == "agree" and relative_tolerance(record) > BLUNT
            if vague or record["verdict"] == "undecided":
                print(f"\n{record['verdict']} {record['framework']}:{record['mode']} {record['spec']}")
                print("\n".join(text for _, text in sorted(blunt_arrays(record), reverse=True)))
    if options.out:
        kept = json.loads(options.out.read_text(encoding="utf-8")) if options.out.exists() else {}
        kept |= {
            "date": time.strftime("%Y-%m-%d"),
            "commands": [command_of(folder) for folder in options.folders],
            "versions": versions_of(options.folders[0]),
            "now": distributions(options.folders),
            "before": before(options.before) if options.before else kept.get("before"),
            "arrays": worst_arrays(options.folders),
        }
        options.out.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
