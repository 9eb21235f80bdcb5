"""The check of many small models operation by operation, and the table of docs/models.md."""

from __future__ import annotations

import importlib
import importlib.util
import time
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from gradagree.adapters.function_adapters import adapter_of
from gradagree.functions.models import check_model
from gradagree.functions.records import Report

SEED = 20240607
DTYPES = ("float32", "bfloat16")
NEEDED = {"transformers": ("torch", "transformers"), "jax": ("jax", "flax", "equinox")}
"""The packages that a group of models needs."""
BUILDERS = {"transformers": "benchmarks.transformer_models", "jax": "benchmarks.jax_models"}
HEADER = "| model | dtype | verdict | modules | operations | entries | not checked | seconds |"


class ModelRow(msgspec.Struct, kw_only=True, frozen=True):
    """The result for one model in one dtype.

    notes: The reasons of its inaccurate and undecided gradients, each once. unchecked: Operations without a form.
    """

    group: str
    model: str
    dtype: str
    verdict: str
    modules: int
    operations: int
    entries: int
    seconds: float
    unchecked: list[str]
    faults: list[str]
    notes: list[str]

    def line(self) -> str:
        """Its row in the table."""
        cells = (
            self.model, self.dtype, self.verdict, self.modules, self.operations, f"{self.entries:,}",
            ", ".join(self.unchecked) or "–", f"{self.seconds:.1f}",
        )  # fmt: skip
        return "| " + " | ".join(map(str, cells)) + " |"


def missing(group: str) -> list[str]:
    """The packages of a group that are not installed."""
    return [name for name in NEEDED[group] if importlib.util.find_spec(name) is None]


def notes_of(report: Report) -> list[str]:
    """Why gradients are inaccurate or undecided."""
    found: dict[str, None] = {}
    for one in report.records:
        if one.verdict.value not in ("agree", "undecided"):
            found[f"{one.verdict.value}: {one.reason}"] = None
    undecided = [one.name for one in report.modules if one.verdict.value == "undecided"]
    return [*found, *(f"undecided: {name}" for name in undecided)]


def survey(group: str, names: Sequence[str] = (), seed: int = SEED) -> Iterator[ModelRow]:
    """The rows of a group of models."""
    warnings.filterwarnings("ignore")
    builder: Any = importlib.import_module(BUILDERS[group])
    for name in names or builder.MODELS:
        for dtype in DTYPES:
            model, args, kwargs = builder.build(name, dtype, seed)
            started = time.process_time()
            report = check_model(adapter_of(model, args, kwargs), model, args, kwargs)
            yield row_of(group, name, dtype, report, time.process_time() - started)


def row_of(group: str, name: str, dtype: str, report: Report, seconds: float) -> ModelRow:
    return ModelRow(
        group=group, model=name, dtype=dtype, verdict=report.verdict.value, modules=len(report.modules),
        operations=sum(one.operations for one in report.modules), entries=sum(one.entries for one in report.modules),
        seconds=round(seconds, 2), unchecked=sorted({x for one in report.modules for x in one.unchecked}),
        faults=[x for one in report.modules for x in one.faults], notes=notes_of(report),
    )  # fmt: skip


def write_rows(path: Path, group: str, rows: Sequence[ModelRow]) -> None:
    """Replace the rows of a group in a report."""
    known = msgspec.json.decode(path.read_bytes(), type=list[ModelRow]) if path.exists() else []
    kept = [row for row in known if row.group != group]
    text = msgspec.json.format(msgspec.json.encode(sorted([*kept, *rows], key=lambda row: row.group)), indent=1)
    path.write_bytes(text + b"\n")


def table(rows: Sequence[ModelRow]) -> list[str]:
    return [HEADER, "| --- | --- | --- | --- | --- | --- | --- | --- |", *(row.line() for row in rows)]
