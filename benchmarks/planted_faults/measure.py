"""How gradagree sees one fault: in its default run, and in `check` with its defaults, up to the first failure."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from benchmarks.planted_faults.activations import activation_faults
from benchmarks.planted_faults.losses import loss_faults
from benchmarks.planted_faults.operands import operand_faults
from benchmarks.planted_faults.planting import Fault
from benchmarks.planted_faults.rows import row_faults
from gradagree import api
from gradagree.checker.conventions import Conventions
from gradagree.checker.proofs import prove_derivatives
from gradagree.checker.verdict import Record
from gradagree.errors import UsageError
from gradagree.reference import Activation, ErrorFunction
from gradagree.runner.campaign import COMPANIONS
from gradagree.runner.known import mark_known
from gradagree.runner.known_upstream import upstream_faults
from gradagree.runner.options import Plan


def all_faults() -> list[Fault]:
    """Every fault, those of activations first."""
    return [*activation_faults(), *row_faults(), *loss_faults(), *operand_faults()]


def measure(fault: Fault, framework: str, method: str, planted: bool = True) -> dict[str, Any]:
    """The row of one fault in one framework: whether it is found, by which verdict, after how many records and seconds.

    Without a fault planted, found means a false alarm.
    """
    start = time.perf_counter()
    function = fault.function(planted)
    row = {
        "kind": fault.kind, "fault": fault.name, "planted": planted, "framework": framework, "method": method,
    }  # fmt: skip
    try:
        prove_derivatives(function)
    except UsageError as refused:
        found = {"found": True, "verdict": "refused", "records": 0, "where": str(refused)[:200]}
    else:
        found = first_failure(_records(function, framework, method), function.name)
    return {**row, **found, "seconds": round(time.perf_counter() - start, 1)}


def first_failure(records: Iterable[Record], own: str = "") -> dict[str, Any]:
    """The first record that fails, or the first finding on kinks.

    A known fault of the framework in a function other than `own` does not count.
    """
    seen, conventions, known = 0, Conventions(), upstream_faults()
    for record in records:
        seen += 1
        conventions.see(record)
        if record.verdict.fails and (record.function == own or not mark_known(record, known).known):
            return _failed(record, seen)
    failed = [record for record in conventions.findings() if record.verdict.fails]
    return _failed(failed[0], seen) if failed else {"found": False, "verdict": "", "records": seen, "where": ""}


def _failed(record: Record, seen: int) -> dict[str, Any]:
    where = f"{record.mode} {record.spec}: {record.reason}"[:200]
    return {"found": True, "verdict": str(record.verdict), "records": seen, "where": where}


def _records(function: Activation | ErrorFunction, framework: str, method: str) -> Iterator[Record]:
    if method == "check":
        return api._records_of_all(api._small_cases(function, None), framework, None)
    return api._records_of(framework, default_run(function, framework))


def default_run(function: Activation | ErrorFunction, framework: str) -> Plan:
    """The plan of `gradagree run --ext FILE`, of a file with this function only."""
    activations: Sequence[Any] = [Activation.named(name) for name in COMPANIONS["activations"]]
    errors: Sequence[Any] = [ErrorFunction.named(name) for name in COMPANIONS["errors"]]
    if isinstance(function, Activation):
        activations = [function]
    else:
        errors = [function]
    plan = Plan.make(frameworks=framework)
    return replace(plan, activations=tuple(activations), errors=tuple(errors))
