"""`OMP_NUM_THREADS=1 python -m benchmarks.speed [--quick]`: reports/speed.json and docs/speed.md."""

from __future__ import annotations

import argparse
import datetime
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.detection.versions import versions
from benchmarks.speed import peers, runs
from benchmarks.speed.page import page

RESULTS, PAGE = Path("reports/speed.json"), Path("docs/speed.md")


def parts(quick: bool) -> dict[str, Callable[[], Any]]:
    """What is measured, by its key in the JSON."""
    sizes = [144, 1_000] if quick else list(peers.PEERS)
    return {
        "bare": lambda: runs.beside_bare(100 if quick else 1000, 1 if quick else 3),
        "peers": lambda: [peers.contest(weights, 5 if quick else 15) for weights in sizes],
        "sizes": lambda: peers.by_size(3, 200_000 if quick else 10**8),
        "long": lambda: runs.long_runs([100, 1_000] if quick else [100, 1_000, 10_000, 100_000]),
    }


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speed", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small sizes, few rounds")
    parser.add_argument("--only", choices=parts(True), help="measure this part again, and keep the others")
    parser.add_argument("--again", action="store_true", help="only make the page again, from the JSON")
    options = parser.parse_args(arguments)
    result: dict[str, Any] = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    wanted = () if options.again else (options.only,) if options.only else tuple(parts(options.quick))
    for name in wanted:
        print(name, flush=True)
        command = "OMP_NUM_THREADS=1 python -m benchmarks.speed" + (" --quick" if options.quick else "")
        head = {"command": command, "date": f"{datetime.date.today()}", "versions": versions()}
        result[name] = {**head, "found": parts(options.quick)[name]()}
        RESULTS.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    PAGE.write_text(page(result), encoding="utf-8")
    print(f"{RESULTS}\n{PAGE}")


if __name__ == "__main__":
    main()
