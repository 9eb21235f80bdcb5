"""PyTorch's own corpus of operations (``op_db``), each judged from its forward pass alone.

    python -m benchmarks.op_db [--only NAMES] [--dtypes float32,bfloat16] [--samples N] [--shard I/N] [--limit SECONDS]
                               [--out FILE] [--note TEXT] [--resume] [--unknown]

Every differentiable record of ``torch.testing._internal.common_methods_invocations.op_db`` runs on its sample inputs in
each dtype that it supports; its gradients are compared with those of the graph that its own forward pass traces to.
Prints each failing verdict and a summary, and with --unknown the operations without a NumPy form by the number of
records that need them. --samples takes N of an operation's samples, from the first to the last at equal distances;
empty ones are left out. --out adds the results to those of an earlier run, --resume leaves out the operations that it
has; `benchmarks.op_db_page` makes a page of them. --note is a sentence for the page, on what was run.
"""

from __future__ import annotations

import argparse
import collections
import fnmatch
import importlib
import json
import math
import multiprocessing
import re
import statistics
import sys
import time
import types
import unittest
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from gradagree.adapters.torch_functions import TorchFunctions
from gradagree.checker.verdict import Verdict, plain, worst
from gradagree.errors import UsageError
from gradagree.functions.assertions import check_call
from gradagree.functions.records import GradientRecord

DTYPES = ("float64", "float32", "bfloat16", "float16")
COMPLEX = ("complex128", "complex64")
"""For operations that take no real numbers."""
LIMIT = 20.0
"""Seconds for one sample."""


def corpus() -> list[Any]:
    """The differentiable records of PyTorch's corpus."""
    if "expecttest" not in sys.modules:
        try:
            importlib.import_module("expecttest")
        except ImportError:  # PyTorch's test utilities import it, but the corpus does not use it
            stub: Any = types.ModuleType("expecttest")
            stub.TestCase = unittest.TestCase
            sys.modules["expecttest"] = stub
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from torch.testing._internal.common_methods_invocations import op_db
    return [op for op in op_db if op.supports_autograd]


def chosen(operations: Iterable[Any], only: str | None, shard: str | None) -> list[Any]:
    """The operations whose name fits one of the patterns, and of these every N-th."""
    patterns = only.split(",") if only else ["*"]
    found = [op for op in operations if any(fnmatch.fnmatch(op.formatted_name, p) for p in patterns)]
    index, count = map(int, shard.split("/")) if shard else (1, 1)
    return found[index - 1 :: count]


def supported(op: Any, dtypes: Iterable[str]) -> list[str]:
    """The dtypes among the given ones in which an operation has a backward pass on the CPU; else complex ones."""
    known = {str(dtype).removeprefix("torch.") for dtype in op.supported_backward_dtypes("cpu")}
    return [dtype for dtype in dtypes if dtype in known] or [dtype for dtype in COMPLEX if dtype in known]


def records_of(op: Any, sample: Any) -> list[GradientRecord]:
    """The records of one sample input.

    Raises:
        UsageError: It cannot be judged.
    """
    adapter = TorchFunctions()

    def function(*args: Any, **kwargs: Any) -> Any:
        return sample.output_process_fn_grad(op.gradcheck_wrapper(op.get_op(), *args, **kwargs))

    args = (sample.input, *sample.args)
    call = adapter.prepare(function, args, sample.kwargs, None)
    if not any(x.requires_grad for x in call.arrays):
        raise UsageError("no input requires a gradient")
    return check_call(adapter, call, None, args, sample.kwargs)


def unknown_of(op: Any, sample: Any) -> list[str]:
    """The operations in the trace of a sample that have no NumPy form."""
    adapter = TorchFunctions()
    try:
        call = adapter.prepare(
            lambda *args, **kwargs: op.gradcheck_wrapper(op.get_op(), *args, **kwargs),
            (sample.input, *sample.args), sample.kwargs, None,
        )  # fmt: skip
        return sorted({step.name for step in adapter.trace(call).unknown})
    except Exception:  # noqa: BLE001 (the reason is recorded already)
        return []


def judge_sample(op: Any, sample: Any) -> dict[str, Any]:
    """The outcome of one sample: its verdict, or the reason why there is none."""
    start = time.perf_counter()
    try:
        records = records_of(op, sample)
    except UsageError as refused:
        return {"refused": str(refused), "unknown": unknown_of(op, sample)}
    except Exception as error:  # noqa: BLE001 (a fault of the product, to be listed)
        return {"refused": f"{type(error).__name__}: {str(error).splitlines()[0][:300] if str(error) else ''}"}
    gradients = [r for r in records if r.quantity == "gradient"]
    return {
        "verdict": worst(r.verdict for r in records).value,
        "sharpness": [plain(r.sharpness) for r in gradients if r.sharpness is not None and math.prod(r.shape)],
        "failures": [failure(r) for r in records if r.verdict.fails],
        "seconds": time.perf_counter() - start,
    }


def failure(record: GradientRecord) -> dict[str, Any]:
    """The fields of a failing record that explain it."""
    fields = (
        "name",
        "quantity",
        "verdict",
        "ratio",
        "sharpness",
        "entry",
        "expected",
        "observed",
        "tolerance",
        "reason",
    )
    found = {field: getattr(record, field) for field in fields}
    reason = without_place(record.reason)
    return {**found, "verdict": record.verdict.value, "shape": list(record.shape), "reason": reason}


def judge_operation(op: Any, dtype: str, samples: int | None) -> Iterator[dict[str, Any]]:
    """The outcomes of the samples of an operation in one dtype."""
    torch.manual_seed(0)
    try:
        found = list(filter(has_entries, op.sample_inputs("cpu", getattr(torch, dtype), requires_grad=True)))
    except Exception as error:  # noqa: BLE001 (PyTorch cannot make its samples)
        yield {"dtype": dtype, "sample": -1, "refused": f"no sample inputs: {type(error).__name__}: {error}"[:300]}
        return
    for k in spread(len(found), samples):
        yield {"dtype": dtype, "sample": k, **judge_sample(op, found[k])}


def has_entries(sample: Any) -> bool:
    """False for samples whose arrays are empty: they agree, but say nothing."""
    arrays = [x for x in torch.utils._pytree.tree_leaves(sample.input) if isinstance(x, torch.Tensor)]
    return not arrays or any(x.numel() for x in arrays)


def spread(count: int, samples: int | None) -> list[int]:
    """The numbers of some of `count` samples: the first, the last, and others at equal distances; all for None."""
    if samples is None or samples >= count:
        return list(range(count))
    return [k * (count - 1) // max(1, samples - 1) for k in range(samples)]


def work(connection: Any, op: Any, dtypes: Sequence[str], samples: int | None) -> None:
    """Send each dtype and its outcomes for one operation, then None."""
    warnings.simplefilter("ignore")
    for dtype in dtypes:
        connection.send(dtype)
        for outcome in judge_operation(op, dtype, samples):
            connection.send(outcome)
    connection.send(None)


def outcomes_within(op: Any, dtypes: Sequence[str], samples: int | None, limit: float) -> list[dict[str, Any]]:
    """The outcomes of one operation; a sample that takes longer than `limit` seconds ends those of its dtype."""
    found: list[dict[str, Any]] = []
    waiting = list(dtypes)
    while waiting:
        outcomes, stopped = outcomes_of_process(op, waiting, samples, limit)
        found += outcomes
        waiting = waiting[waiting.index(stopped) + 1 :] if stopped else []
    return found


def outcomes_of_process(
    op: Any, dtypes: Sequence[str], samples: int | None, limit: float
) -> tuple[list[dict[str, Any]], str | None]:
    """Outcomes of a process of its own, and the dtype in which it ended early, or None."""
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=work, args=(sender, op, dtypes, samples), daemon=True)
    process.start()
    sender.close()
    found: list[dict[str, Any]] = []
    dtype = dtypes[0]
    try:
        while receiver.poll(limit):
            message = receiver.recv()
            if message is None:
                return found, None
            if isinstance(message, str):
                dtype = message
            else:
                found.append(message)
        reason = f"not finished within {limit:g} s"
    except EOFError:
        reason = "the process ended"
    finally:
        process.kill()
        process.join()
    return [*found, {"dtype": dtype, "sample": -1, "refused": reason}], dtype


PLACE = re.compile(r" \((called at )?[^()]*op_db\.py:\d+\)")
"""The place of the call of an operation, which is the same for all."""


def without_place(text: str) -> str:
    return PLACE.sub("", text)


def digits(x: float | None) -> float | None:
    """A relative tolerance with the digits that matter."""
    return x if x is None or not math.isfinite(x) else float(f"{x:.3g}")


def summary(outcomes: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The outcomes of an operation in one dtype."""
    sharpness = [math.inf if math.isnan(s) else s for x in outcomes for s in x.get("sharpness", [])]
    return {
        "samples": len(outcomes),
        "judged": sum("verdict" in x for x in outcomes),
        "verdicts": dict(collections.Counter(x["verdict"] for x in outcomes if "verdict" in x)),
        "sharpness": digits(statistics.median(sharpness)) if sharpness else None,
        "refused": dict(collections.Counter(without_place(x["refused"]) for x in outcomes if "refused" in x)),
        "unknown": sorted({name for x in outcomes for name in x.get("unknown", [])}),
        "failures": [{"sample": x["sample"], **f} for x in outcomes for f in x.get("failures", [])][:2],
        "seconds": round(sum(x.get("seconds", 0.0) for x in outcomes), 3),
    }


def measure(operations: Sequence[Any], dtypes: Sequence[str], samples: int | None, limit: float) -> Iterator[Any]:
    """The name and the summaries of each operation, by dtype."""
    for op in operations:
        wanted = supported(op, dtypes)
        found = outcomes_within(op, wanted, samples, limit) if wanted else []
        yield op.formatted_name, {dtype: summary([x for x in found if x["dtype"] == dtype]) for dtype in wanted}


def text_of(known: Mapping[str, Any]) -> str:
    """All results as JSON, one operation a line."""
    rest = {key: value for key, value in known.items() if key != "operations"}
    lines = [
        f"{json.dumps(name)}: {json.dumps(one, sort_keys=True)}" for name, one in sorted(known["operations"].items())
    ]
    return json.dumps(rest, sort_keys=True)[:-1] + ', "operations": {\n' + ",\n".join(lines) + "\n}}\n"


def judged(result: Mapping[str, Any]) -> bool:
    """True if all samples of an operation that need a gradient were judged, in each of its dtypes."""
    needed = [one["samples"] - one["refused"].get("no input requires a gradient", 0) for one in result.values()]
    return any(needed) and all(one["judged"] == n for one, n in zip(result.values(), needed, strict=True))


def partly_judged(result: Mapping[str, Any]) -> bool:
    """True if at least one sample of an operation was judged in each of its dtypes."""
    return bool(result) and all(one["judged"] for one in result.values())


def print_summary(results: Mapping[str, Any], unknown: bool) -> None:
    print(f"{len(results)} operations, {sum(map(judged, results.values()))} judged on all samples, "
          f"{sum(map(partly_judged, results.values()))} on at least one in each dtype")  # fmt: skip
    for dtype in (*DTYPES, *COMPLEX):
        ones = [result[dtype] for result in results.values() if dtype in result]
        counts: collections.Counter[str] = collections.Counter()
        for one in ones:
            counts.update(one["verdicts"])
        print(f"{dtype}: {len(ones)} operations; " + ", ".join(f"{v} {n}" for v, n in counts.most_common()))
    if unknown:
        needs = collections.Counter(
            name for result in results.values() for name in {u for one in result.values() for u in one["unknown"]}
        )
        print("\n".join(f"{n:4d} {name}" for name, n in needs.most_common()))


def main() -> None:
    parser = argparse.ArgumentParser(description="PyTorch's own corpus, judged from forward passes alone.")
    parser.add_argument("--only", help="names or patterns, separated by commas: softmax,nn_functional_*")
    parser.add_argument("--dtypes", default=",".join(DTYPES))
    parser.add_argument(
        "--samples", type=int, help="number of sample inputs of each operation in each dtype; all by default"
    )
    parser.add_argument("--shard", help="I/N: every N-th operation, starting with the I-th")
    parser.add_argument("--limit", type=float, default=LIMIT, help="seconds for one sample")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--note", help="a sentence for the page, kept with --out")
    parser.add_argument("--resume", action="store_true", help="leave out the operations that --out has")
    parser.add_argument("--unknown", action="store_true", help="list the operations without a NumPy form")
    options = parser.parse_args()
    torch.set_num_threads(1)
    known = json.loads(options.out.read_text()) if options.out and options.out.exists() else {"operations": {}}
    results = {}
    operations = chosen(corpus(), options.only, options.shard)
    if options.resume:
        operations = [op for op in operations if op.formatted_name not in known["operations"]]
    for name, result in measure(operations, options.dtypes.split(","), options.samples, options.limit):
        results[name] = result
        for dtype, one in result.items():
            for found in one["failures"]:
                print(name, dtype, *(f"{key}={value}" for key, value in found.items()), flush=True)
            for reason, count in one["refused"].items():
                print(name, dtype, f"refused {count} of {one['samples']}: {reason}", flush=True)
        if options.out:
            known["operations"][name] = result
            known["versions"] = {"torch": torch.__version__, "python": sys.version.split()[0]}
            known["samples"] = options.samples
            known["limit"] = options.limit
            if options.note is not None:
                known["note"] = options.note
            options.out.write_text(text_of(known))
    print_summary(results, options.unknown)
    accused = [v.value for v in Verdict if v.fails]
    sys.exit(any(v in one["verdicts"] for result in results.values() for one in result.values() for v in accused))


if __name__ == "__main__":
    main()
