"""How often correct functions of other people are accused: `benchmarks.functions` by ``check`` and by ``run --ext``.

    python -m benchmarks.correct_functions [--only smooth,rows] [--seeds 3] [--cases 60] [--out FILE]

Prints each accusation (a failing verdict) with its explanation, if `benchmarks.functions.explained` has one, and the
share of records that are undecided, out of range or unsupported. An accusation without explanation, or a refused
function, is a false alarm: exit code 1. --out adds the functions to those of an earlier result.
"""

from __future__ import annotations

import argparse
import collections
import importlib
import json
import platform
import time
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.functions import evidence
from benchmarks.functions.explained import EXPLAINED
from gradagree import api
from gradagree.api import Disagreement, check
from gradagree.cases.regimes import REGIMES
from gradagree.checker.verdict import Record
from gradagree.errors import UsageError
from gradagree.reference import Activation, ErrorFunction

ROOT = Path(__file__).parents[1]
FOLDER = Path(__file__).parent / "functions"
MODULES = (
    "smooth", "squashing", "piecewise", "custom", "rows", "parameters", "recent",
    "regression", "robust", "likelihood", "classification", "overlap", "embedding", "weighted",
)  # fmt: skip
DTYPES = "float64,float32,float16,bfloat16"
Kind = type[Activation] | type[ErrorFunction]


def functions_of(module: str) -> list[Kind]:
    """The functions that a module of the corpus defines."""
    loaded = importlib.import_module(f"benchmarks.functions.{module}")
    return [
        kind for kind in vars(loaded).values()
        if isinstance(kind, type) and issubclass(kind, Activation | ErrorFunction)
        and kind.__module__ == loaded.__name__ and not kind.__name__.startswith("_")
    ]  # fmt: skip


def records_of_check(kind: Kind) -> list[Record]:
    """The records of ``check``, whether it fails or not. Raises UsageError for a function that it refuses."""
    try:
        return check(kind)
    except Disagreement as found:
        return found.records


def records_of_run(module: str, cases: int, seeds: Iterable[int]) -> Iterator[Record]:
    """The records of ``gradagree run --ext`` with all dtypes and distributions, for each seed."""
    for seed in seeds:
        yield from api.run(
            ext=[str(FOLDER / f"{module}.py")], cases=cases, seed=seed, dtypes=DTYPES, regimes=",".join(REGIMES)
        )


def regime_of(record: Record) -> str:
    return next((part for part in record.spec.split(":") if part in REGIMES), "")


def explanation(function: str, record: Record) -> str | None:
    """The reason for which an accusation is right, or None."""
    given = function, record.framework, record.verdict.value, regime_of(record)
    written = next((one.reason for one in EXPLAINED if one.explains(*given)), None)
    return written or evidence.explanation(record)


def accusations(records: Iterable[Record], name: str | None = None) -> list[dict[str, Any]]:
    """Failing records, one for each function, framework, mode, dtype and verdict."""
    found: dict[tuple[Any, ...], dict[str, Any]] = {}
    for record in records:
        function = name or (record.function or record.spec).partition("(")[0]
        key = function, record.framework, record.mode, record.dtype, record.verdict.value
        if record.verdict.fails and key not in found:
            found[key] = {
                "function": function, "framework": record.framework, "mode": record.mode, "dtype": record.dtype,
                "verdict": record.verdict.value, "case": record.spec, "entry": record.entry,
                "expected": record.expected, "observed": record.observed, "reason": record.reason,
                "explanation": explanation(function, record),
            }  # fmt: skip
    return as_in_narrower(list(found.values()))


def as_in_narrower(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """float64 has no wider dtype to compare with: what loses every digit in a narrower one does so further out."""
    lost = {(one["function"], one["framework"], one["verdict"]): one["dtype"] for one in found if one["explanation"]}
    for one in found:
        dtype = lost.get((one["function"], one["framework"], one["verdict"]))
        if one["explanation"] is None and one["dtype"] == "float64" and "no correct digit" in one["reason"] and dtype:
            one["explanation"] = f"as in {dtype}"
    return found


def counts(records: Iterable[Record]) -> dict[str, dict[str, int]]:
    """Number of records of each verdict, by dtype."""
    found: dict[str, collections.Counter[str]] = collections.defaultdict(collections.Counter)
    for record in records:
        found[record.dtype][record.verdict.value] += 1
    return {dtype: dict(verdicts) for dtype, verdicts in sorted(found.items())}


def of_function(kind: Kind) -> dict[str, Any]:
    """The result of ``check`` for a function."""
    start = time.perf_counter()
    about = {"kind": kind.kind, "formula": kind.summary(), "spelled": [x for x in ("torch", "jax") if hasattr(kind, x)]}
    try:
        records = records_of_check(kind)
    except UsageError as refused:
        return {**about, "refused": str(refused)}
    spelled = [record for record in records if record.framework in about["spelled"]]
    compared = {record.framework for record in spelled if record.verdict.compared}
    return {
        **about, "counts": counts(spelled), "accusations": accusations(records, kind.name),
        "never_compared": sorted(set(about["spelled"]) - compared), "seconds": round(time.perf_counter() - start, 1),
    }  # fmt: skip


def measure(modules: Iterable[str], cases: int, seeds: int, result: dict[str, Any]) -> Iterator[None]:
    """Add the results of the modules' functions, and of runs with them, to `result`."""
    for module in modules:
        for kind in functions_of(module):
            result["check"][kind.name] = of_function(kind)
            show(kind.name, result["check"][kind.name])
            yield
        if cases:
            records = list(records_of_run(module, cases, range(seeds)))
            result["run"][module] = {"counts": counts(records), "accusations": accusations(records)}
            show(f"run --ext {module}.py", result["run"][module])
            yield


def show(name: str, found: dict[str, Any]) -> None:
    if "refused" in found:
        print(f"{name}: refused: {found['refused']}", flush=True)
        return
    total: collections.Counter[str] = collections.Counter()
    for verdicts in found["counts"].values():
        total.update(verdicts)
    print(f"{name}: {', '.join(f'{n} {verdict}' for verdict, n in total.most_common())}", flush=True)
    for one in found["accusations"]:
        place = f"{one['framework']}:{one['mode']} {one['dtype']} {one['verdict']}"
        print(f"    {one['function']} {place}: {one['explanation'] or 'FALSE ALARM? ' + one['case']}", flush=True)


def false_alarms(result: dict[str, Any]) -> list[str]:
    """Functions that are refused, or accused without explanation."""
    every = {**result["check"], **result["run"]}
    refused = [name for name, found in every.items() if "refused" in found]
    accused = [one["function"] for found in every.values() for one in found.get("accusations", ())
               if one["explanation"] is None]  # fmt: skip
    return sorted({*refused, *accused})


def summary(result: dict[str, Any]) -> str:
    """The totals in a few lines."""
    kinds = collections.Counter(found["kind"] for found in result["check"].values())
    spelled = collections.Counter(name for found in result["check"].values() for name in found["spelled"])
    lines = [f"{dict(kinds)}, written in {dict(spelled)}"]
    for path in ("check", "run"):
        total: collections.Counter[str] = collections.Counter()
        for found in result[path].values():
            for verdicts in found.get("counts", {}).values():
                total.update(verdicts)
        size = max(1, sum(total.values()))
        lines.append(f"{path}: " + ", ".join(f"{n} {name} ({n / size:.1%})" for name, n in total.most_common()))
    accused = [
        one for path in ("check", "run") for found in result[path].values() for one in found.get("accusations", ())
    ]
    lines.append(f"accusations: {len(accused)}, of which explained: {sum(bool(x['explanation']) for x in accused)}")
    lines.append(f"false alarms: {', '.join(false_alarms(result)) or 'none'}")
    return "\n".join(lines)


def count(text: str) -> int:
    """A number from 0, for argparse."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r}: give a whole number from 0")
    return int(text)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", help=f"modules, separated by commas, of {', '.join(MODULES)}")
    parser.add_argument("--cases", type=count, default=60, help="architectures of each run, 0 for none")
    parser.add_argument("--seeds", type=count, default=3, help="runs of each module")
    parser.add_argument("--out", type=Path, help="a JSON file, which is extended")
    options = parser.parse_args()
    modules = options.only.split(",") if options.only else list(MODULES)
    if unknown := set(modules) - set(MODULES):
        parser.error(f"--only: no module {', '.join(sorted(unknown))}; the corpus has {', '.join(MODULES)}")
    warnings.filterwarnings("ignore", message="`torch.jit.script` is deprecated")
    result: dict[str, Any] = {"check": {}, "run": {}}
    if options.out is not None and options.out.exists():
        result = json.loads(options.out.read_text(encoding="utf-8"))
    result["python"] = platform.python_version()
    for _ in measure(modules, options.cases, options.seeds, result):
        if options.out is not None:
            options.out.write_text(json.dumps(result, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    print(summary(result))
    return 1 if false_alarms(result) else 0


if __name__ == "__main__":
    raise SystemExit(main())
