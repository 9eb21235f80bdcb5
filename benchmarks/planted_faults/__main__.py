"""``python -m benchmarks.planted_faults``: which planted faults the default run and ``check`` find."""

from __future__ import annotations

import argparse
import contextlib
import datetime
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.planted_faults.measure import all_faults, measure
from benchmarks.planted_faults.page import FRAMEWORKS, METHODS, RESULTS, section
from benchmarks.planted_faults.planting import Fault

COMMAND = "OMP_NUM_THREADS=1 python -m benchmarks.planted_faults"
Job = tuple[Fault, str, str, bool]


def jobs(faults: list[Fault], frameworks: list[str], methods: list[str]) -> Iterator[Job]:
    """(fault, framework, method, planted): each fault, and each function once without a fault."""
    seen = set()
    for fault in faults:
        for framework in (one for one in fault.frameworks if one in frameworks):
            for method in methods:
                yield fault, framework, method, True
                key = id(fault.right), fault.by_jvp, framework, method
                if key not in seen:
                    seen.add(key)
                    yield fault, framework, method, False


def row_key(row: dict[str, Any]) -> tuple[Any, ...]:
    return row["fault"], row["framework"], row["method"], row["planted"]


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The rows of an earlier measurement; none if there is no file."""
    return list(json.loads(path.read_text(encoding="utf-8"))["rows"]) if path.exists() else []


def write_rows(path: Path, rows: list[dict[str, Any]], faults: list[Fault]) -> dict[str, Any]:
    """Write rows in the order of the faults, one on each line."""
    order = {fault.name: place for place, fault in enumerate(faults)}
    kept = sorted((row for row in rows if row["fault"] in order), key=lambda row: order[row["fault"]])
    result = {"command": COMMAND, "date": f"{datetime.date.today()}", "rows": kept}
    lines = ",\n".join("  " + json.dumps(row) for row in kept)
    head = json.dumps({name: result[name] for name in ("command", "date")})[:-1]
    path.write_text(f'{head}, "rows": [\n{lines}\n]}}\n', encoding="utf-8")
    return result


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.planted_faults", description=__doc__)
    parser.add_argument("--frameworks", default=",".join(FRAMEWORKS))
    parser.add_argument("--methods", default=",".join(METHODS))
    parser.add_argument("--only", default="", metavar="TEXT", help="faults with this text in their kind or name")
    parser.add_argument("--results", type=Path, default=RESULTS, help="the JSON; its other rows are kept")
    parser.add_argument("--resume", action="store_true", help="measure only what has no row in the JSON")
    parser.add_argument("--verbose", action="store_true", help="show what the frameworks print")
    options = parser.parse_args(arguments)
    faults = all_faults()
    chosen = [fault for fault in faults if options.only in fault.kind or options.only in fault.name]
    rows = {row_key(row): row for row in read_rows(options.results)}
    start = time.perf_counter()
    for fault, framework, method, planted in jobs(chosen, options.frameworks.split(","), options.methods.split(",")):
        if options.resume and (fault.name, framework, method, planted) in rows:
            continue
        with open(os.devnull, "w") as nowhere, contextlib.ExitStack() as stack:
            if not options.verbose:
                stack.enter_context(contextlib.redirect_stderr(nowhere))
            row = measure(fault, framework, method, planted)
        rows[row_key(row)] = row
        write_rows(options.results, list(rows.values()), faults)
        result = "found" if row["found"] else "not found"
        what = fault.name if planted else f"{fault.name}, without the fault"
        print(f"{framework} {method}: {what}: {result} {row['verdict']} ({row['records']} records, {row['seconds']} s)")
    print(section(write_rows(options.results, list(rows.values()), faults)))
    print(f"{time.perf_counter() - start:.0f} s; {options.results}")


if __name__ == "__main__":
    main()
