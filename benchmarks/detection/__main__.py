"""``python -m benchmarks.detection [--quick]``: who finds planted faults, as JSON and as a page."""

from __future__ import annotations

import argparse
import datetime
import json
import multiprocessing
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from benchmarks.detection.measure import jobs, row
from benchmarks.detection.networks import DEPTHS, SIZES, Place
from benchmarks.detection.page import page
from benchmarks.detection.peers import TOOLS, TUNED
from benchmarks.detection.versions import versions
from gradagree.arithmetic.model import FORMATS

ROOT = Path(__file__).parents[2]
RESULTS, PAGE = ROOT / "reports" / "detection.json", ROOT / "docs" / "detection.md"
NETWORKS = {"gradagree": 5, "peers": 3}
"""How many of the networks of each fault and place gradagree and its peers are asked about; the first are the same."""
QUICK_NETWORKS = dict.fromkeys(NETWORKS, 1)
Job = tuple[str, str, str, Place]
QUICK_DTYPES, QUICK_DEPTHS, QUICK_SIZES = ("float64", "float32"), (1, 5), (100,)


def places(depths: tuple[int, ...], sizes: tuple[int, ...]) -> list[Place]:
    return [*(Place("depth", depth) for depth in depths), *(Place("size", size) for size in sizes)]


def planned(quick: bool, only: str) -> list[Job]:
    """Every row to be made, the longest work first."""
    tools = [(name, how) for name, how in TOOLS if name.startswith(only)]
    if quick:
        return list(jobs(tools, QUICK_DTYPES, places(QUICK_DEPTHS, QUICK_SIZES)))
    everything = list(jobs(tools, FORMATS, places(DEPTHS, SIZES)))
    return sorted(everything, key=lambda job: -job[3].value if job[3].family == "depth" else 0)


def rows(work: list[Job], networks: dict[str, int], workers: int) -> Iterator[dict[str, Any]]:
    """One for each job, as it is done, made in so many processes, or in this one."""
    asked = [(*job, networks["gradagree" if job[0].startswith("gradagree") else "peers"]) for job in work]
    if workers == 1:
        yield from (row(*job) for job in asked)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context) as pool:
        yield from (future.result() for future in as_completed([pool.submit(row, *job) for job in asked]))


def job_of(found: dict[str, Any]) -> Job:
    return found["tool"], found["settings"], found["dtype"], Place(found["family"], found["value"])


def measured(quick: bool, only: str, workers: int, journal: Path, say: Callable[[str], None]) -> dict[str, Any]:
    """The whole result, as it is published; with only, no more than the rows of those tools.

    Rows go into the journal as they come, and what it holds of an earlier, interrupted run is not made again.
    """
    work, networks = planned(quick, only), QUICK_NETWORKS if quick else NETWORKS
    earlier = [json.loads(line) for line in journal.read_text("utf-8").splitlines()] if journal.exists() else []
    made, seconds = [one["row"] for one in earlier], earlier[-1]["seconds"] if earlier else 0.0
    begun, known = time.perf_counter() - seconds, {job_of(found) for found in made}
    for found in rows([job for job in work if job not in known], networks, workers):
        made.append(found)
        with journal.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"seconds": round(time.perf_counter() - begun, 1), "row": found}) + "\n")
        job = ", ".join(map(str, job_of(found)))
        say(f"{len(made):4} of {len(work)}  {time.perf_counter() - begun:5.0f} s  {job}")
    return {
        "command": "OMP_NUM_THREADS=1 python -m benchmarks.detection" + (" --quick" if quick else ""),
        "date": f"{datetime.date.today()}", "versions": versions(), "networks": networks, "workers": workers,
        "seconds": round(time.perf_counter() - begun),
        "seeds": "SHA-256 of 'detection FAMILY VALUE FAULT NUMBER TRY' seeds each network",
        "tuned": json.loads(TUNED.read_text(encoding="utf-8")), "rows": ordered(made),
    }  # fmt: skip


def ordered(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """In the order of the tables."""
    order = {job: place for place, job in enumerate(jobs(TOOLS, FORMATS, places(DEPTHS, SIZES)))}
    return sorted(rows, key=lambda one: order[job_of(one)])


def renewed(before: dict[str, Any], now: dict[str, Any]) -> dict[str, Any]:
    """The result of before with the rows that have been measured again, and a note of it."""
    renewed = {one["tool"] for one in now["rows"]}
    note = {name: now[name] for name in ("date", "versions", "seconds")} | {"tools": sorted(renewed)}
    kept = [one for one in before["rows"] if one["tool"] not in renewed]
    return {**before, "again": [*before.get("again", []), note], "rows": ordered([*kept, *now["rows"]])}


def text(result: dict[str, Any]) -> str:
    """The result as JSON, one row of the tables on each line."""
    head = {name: value for name, value in result.items() if name != "rows"}
    lines = ",\n".join(" " + json.dumps(found) for found in result["rows"])
    return json.dumps(head, indent=1)[:-2] + f',\n "rows": [\n{lines}\n ]\n}}\n'


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.detection", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="two dtypes, three places, one network each")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--results", type=Path, default=RESULTS, help="where the JSON goes")
    parser.add_argument("--page", type=Path, default=PAGE, help="where the Markdown goes")
    parser.add_argument("--only", default="", metavar="TOOL", help="measure tools of this name again, keep other rows")
    parser.add_argument("--again", action="store_true", help="only make the page again, from the JSON")
    options = parser.parse_args(arguments)
    if not options.again:
        journal = options.results.with_suffix(".quick.jsonl" if options.quick else ".rows.jsonl")
        result = measured(options.quick, options.only, options.workers, journal, print)
        if options.only:
            result = renewed(json.loads(options.results.read_text(encoding="utf-8")), result)
        options.results.write_text(text(result), encoding="utf-8")
        journal.unlink()
    options.page.write_text(page(json.loads(options.results.read_text(encoding="utf-8"))), encoding="utf-8")
    print(f"{options.results}\n{options.page}")


if __name__ == "__main__":
    main()
