"""All functions of jax.lax, jax.nn, jax.numpy and jax.scipy, each judged from its forward pass alone.

    python -m benchmarks.jax_functions [--only NAMES] [--dtypes float32,bfloat16] [--shard I/N] [--limit SECONDS]
                                       [--out FILE]

The functions are those that the modules list. Arguments come from `benchmarks.jax_arguments`, or else are arrays of
random numbers, one for each argument that the signature requires. A function is judged in each dtype in which it
runs; one that is not judged is listed with the reason. --out adds the results to those of an earlier run.
"""

from __future__ import annotations

import argparse
import collections
import fnmatch
import functools
import importlib
import json
import pkgutil
import re
import signal
import statistics
import sys
import time
import types
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import jax_arguments, jax_scipy_arguments
from benchmarks.jax_arguments import INTEGERS, NO_DERIVATIVE, NO_FLOATS, guesses
from gradagree.adapters.jax_functions import JaxFunctions
from gradagree.arithmetic.duck import NoRule
from gradagree.checker.verdict import Verdict, plain, worst
from gradagree.errors import UsageError
from gradagree.functions.assertions import check_call
from gradagree.functions.records import GradientRecord

DTYPES = ("float64", "float32", "bfloat16", "float16")
MODULES = ("lax", "lax.linalg", "nn", "numpy", "numpy.fft", "numpy.linalg")
PACKAGE = "scipy"
"""The package of which all modules are listed."""
ARGUMENTS = jax_arguments.ARGUMENTS | jax_scipy_arguments.ARGUMENTS
REASONS = jax_arguments.REASONS | jax_scipy_arguments.REASONS
LIMIT = 30.0
"""Seconds for one function in one dtype."""
NO_RULE = ("Differentiation rule for", "Reverse-mode differentiation does not work", "not implemented", "not supported")
"""Parts of the messages with which JAX says that it has no derivative."""


class TooLong(BaseException):
    """A function was not finished within the limit."""


def modules() -> Iterator[tuple[str, types.ModuleType]]:
    """All modules whose functions are judged, by their names below ``jax.``."""
    for name in MODULES:
        yield name, importlib.import_module(f"jax.{name}")
    package = importlib.import_module(f"jax.{PACKAGE}")
    for found in sorted(m.name for m in pkgutil.walk_packages(package.__path__, f"jax.{PACKAGE}.")):
        yield found.removeprefix("jax."), importlib.import_module(found)


def listing() -> dict[str, Callable[..., Any]]:
    """All public functions of the modules, by their names below ``jax.``."""
    found = {}
    for module, contents in modules():
        for name in dir(contents):
            function = getattr(contents, name)
            if name.startswith("_") or name.endswith("_p") or isinstance(function, type | types.ModuleType):
                continue
            if callable(function) and not isinstance(function, jnp.bfloat16.__class__):
                found[f"{module}.{name}"] = function
    return found


def arguments(name: str, function: Any, dtype: str) -> tuple[Callable[..., Any], list[Any]]:
    """A function of arrays, and the arrays.

    Raises:
        UsageError: No arguments are known for which it returns floating-point numbers.
    """
    if name in REASONS:
        raise UsageError(REASONS[name])
    if name in ARGUMENTS:
        return ARGUMENTS[name](function, functools.partial(cast, dtype))
    for args in guesses(function, functools.partial(cast, dtype)):
        kinds = kinds_of_results(function, args)
        if kinds == NO_FLOATS:
            raise UsageError(NO_FLOATS)
        if kinds == "finite":
            return function, args
    if any(kinds_of_results(function, args) for args in guesses(function, lambda x: jnp.asarray(10 * x, jnp.int32))):
        raise UsageError(INTEGERS)
    raise UsageError("no arguments are known")


def kinds_of_results(function: Callable[..., Any], args: Sequence[Any]) -> str:
    """What a function returns: ``finite`` or ``nonfinite`` floating-point numbers, or a reason; "" for an error."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            outputs = jax.tree.leaves(function(*args))
            kinds = {jnp.result_type(y) for y in outputs}
    except TooLong:
        raise
    except Exception:  # noqa: BLE001 (these arguments do not fit)
        return ""
    if not any(jnp.issubdtype(kind, jnp.inexact) for kind in kinds):
        return NO_FLOATS
    return "finite" if all(bool(jnp.isfinite(y).all()) for y in outputs) else "nonfinite"


def cast(dtype: str, x: Any) -> Any:
    return jnp.asarray(x, dtype)


def records_of(function: Callable[..., Any], args: Sequence[Any]) -> list[GradientRecord]:
    adapter = JaxFunctions()
    call = adapter.prepare(function, args, {}, None)
    return check_call(adapter, call, None, args, {})


def judge(name: str, function: Any, dtype: str, limit: float) -> dict[str, Any]:
    """The outcome of one function in one dtype: its verdict, or the reason why there is none."""

    def stop(*_: Any) -> None:
        raise TooLong

    start = time.perf_counter()
    signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, limit)
    try:
        records = records_of(*arguments(name, function, dtype))
    except TooLong:
        return {"refused": f"not finished within {limit:g} s"}
    except UsageError as refused:
        return {"refused": without_places(str(refused))}
    except NoRule as missing:
        return {"refused": str(missing)[:120]}
    except Exception as error:  # noqa: BLE001 (of the framework, for this dtype, or ours)
        reason = f"{type(error).__name__}: {str(error).splitlines()[0][:200] if str(error) else ''}"
        return {"refused": without_places(reason)}
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
    failed = failing(records)
    if failed and all(map(is_without_derivative, failed)):
        return {"refused": NO_DERIVATIVE}
    sharpness = [plain(r.sharpness) for r in records if r.quantity == "gradient" and r.sharpness is not None]
    found = {
        "verdict": worst(r.verdict for r in records).value,
        "sharpness": float(f"{statistics.median(sharpness):.3g}") if sharpness else None,
        "seconds": round(time.perf_counter() - start, 2),
    }
    return found | ({"failures": [*map(failure, failed)]} if failed else {})


def failing(records: Sequence[GradientRecord]) -> list[GradientRecord]:
    return [r for r in records if r.verdict.fails]


def is_without_derivative(record: GradientRecord) -> bool:
    """True if JAX says that it has no derivative."""
    return record.verdict.value == "crashed" and any(part in record.reason for part in NO_RULE)


def failure(record: GradientRecord) -> dict[str, Any]:
    """The fields of a failing record that explain it."""
    numbers = {name: as_float(getattr(record, name)) for name in ("expected", "observed", "tolerance")}
    return {
        "name": record.name, "verdict": record.verdict.value, "ratio": plain(record.ratio),
        "entry": list(record.entry or ()), **numbers, "reason": without_places(record.reason),
    }  # fmt: skip


def without_places(text: str) -> str:
    """A sentence without the files and lines of this machine."""
    return re.sub(r" \((called at )?/[^)]*\)", "", text)


def as_float(x: Any) -> float | None:
    return float.fromhex(x) if isinstance(x, str) else x


def chosen(names: Sequence[str], only: str | None, shard: str | None) -> list[str]:
    """The names that fit one of the patterns, and of these every N-th."""
    patterns = only.split(",") if only else ["*"]
    found = [name for name in names if any(fnmatch.fnmatch(name, p) for p in patterns)]
    index, count = map(int, shard.split("/")) if shard else (1, 1)
    return found[index - 1 :: count]


def measure(names: Sequence[str], dtypes: Sequence[str], limit: float) -> Iterator[tuple[str, dict[str, Any]]]:
    """The name and the outcomes of each function, by dtype."""
    functions = listing()
    for name in names:
        found = {}
        for dtype in dtypes:
            found[dtype] = judge(name, functions[name], dtype, limit)
        yield name, found
        jax.clear_caches()


def is_judged(result: Mapping[str, Any]) -> bool:
    return any("verdict" in one for one in result.values())


def print_summary(results: Mapping[str, Any]) -> None:
    print(f"{len(results)} functions, {sum(map(is_judged, results.values()))} judged")
    for dtype in DTYPES:
        ones = [result[dtype] for result in results.values() if dtype in result]
        counts = collections.Counter(one["verdict"] for one in ones if "verdict" in one)
        sharpness = [one["sharpness"] for one in ones if one.get("sharpness") is not None]
        if counts:
            median = f"median relative tolerance {statistics.median(sharpness):.1e}"
            print(f"{dtype}: " + ", ".join(f"{v} {n}" for v, n in counts.most_common()) + f"; {median}")


def as_text(known: Mapping[str, Any]) -> str:
    """JSON with one line for each function."""
    lines = [f" {json.dumps(name)}: {json.dumps(one)}" for name, one in sorted(known["functions"].items())]
    return f'{{"versions": {json.dumps(known["versions"])},\n"functions": {{\n' + ",\n".join(lines) + "\n}}\n"


def main() -> None:
    parser = argparse.ArgumentParser(description="The functions of JAX, judged from forward passes alone.")
    parser.add_argument("--only", help="names or patterns, separated by commas: nn.*,numpy.cumsum")
    parser.add_argument("--dtypes", default=",".join(DTYPES))
    parser.add_argument("--shard", help="I/N: every N-th function, starting with the I-th")
    parser.add_argument("--limit", type=float, default=LIMIT, help="seconds for one function in one dtype")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    jax.config.update("jax_enable_x64", True)
    warnings.simplefilter("ignore")
    known = json.loads(options.out.read_text()) if options.out and options.out.exists() else {"functions": {}}
    results = {}
    for name, result in measure(
        chosen([*listing()], options.only, options.shard), options.dtypes.split(","), options.limit
    ):
        results[name] = result
        for dtype, one in result.items():
            for found in one.get("failures", []):
                print(name, dtype, *(f"{key}={value}" for key, value in found.items()), flush=True)
        if not is_judged(result):
            print(name, "refused:", next(iter(result.values()))["refused"], flush=True)
        if options.out:
            known["functions"].setdefault(name, {}).update(result)
            known["versions"] = {"jax": jax.__version__, "numpy": np.__version__, "python": sys.version.split()[0]}
            options.out.write_text(as_text(known))
    print_summary(results)
    accused = [v.value for v in Verdict if v.fails]
    sys.exit(any(one.get("verdict") in accused for result in results.values() for one in result.values()))


if __name__ == "__main__":
    main()
