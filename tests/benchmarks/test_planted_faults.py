"""The benchmark of faults in users' functions: many kinds, right functions that pass, and published figures."""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gradagree.checker.verdict import Record, Verdict

ROOT = Path(__file__).parents[2]
MODULES = ("measure", "page")
LEAST, LEAST_KINDS = 60, 10


@pytest.fixture(scope="module")
def planted() -> Iterator[SimpleNamespace]:
    """The benchmark's modules, from the repository's root."""
    for needed in ("torch", "jax"):
        pytest.importorskip(needed)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT))
        yield SimpleNamespace(
            **{name: importlib.import_module(f"benchmarks.planted_faults.{name}") for name in MODULES}
        )


def fault_named(planted: Any, name: str) -> Any:
    return next(fault for fault in planted.measure.all_faults() if fault.name == name)


def test_that_faults_have_different_names_and_many_kinds(planted: Any) -> None:
    faults = planted.measure.all_faults()
    assert len({fault.name for fault in faults}) == len(faults)
    assert len({fault.kind for fault in faults}) >= LEAST_KINDS
    for framework in ("torch", "jax"):
        assert sum(framework in fault.frameworks for fault in faults) >= LEAST


@pytest.mark.parametrize("framework", ["torch", "jax"])
@pytest.mark.parametrize("method", ["run", "check"])
def test_that_a_fault_is_found_at_once(planted: Any, framework: str, method: str) -> None:
    row = planted.measure.measure(fault_named(planted, "factor of 2"), framework, method)
    assert (row["found"], row["verdict"], row["records"]) == (True, "disagree", 1)


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:DeprecationWarning")
def test_that_check_finds_nothing_in_a_function_without_a_fault(planted: Any) -> None:
    row = planted.measure.measure(fault_named(planted, "factor of 2"), "torch", "check", planted=False)
    assert not row["found"], row


def test_that_check_meets_the_kinks_of_a_loss(planted: Any) -> None:
    row = planted.measure.measure(fault_named(planted, "hinge with the wrong sign at its margin"), "jax", "check")
    assert (row["found"], row["verdict"]) == (True, "disagree")


def test_that_a_false_declaration_is_refused(planted: Any) -> None:
    row = planted.measure.measure(fault_named(planted, "false kink declared"), "torch", "check")
    assert (row["found"], row["verdict"]) == (True, "refused")
    assert "a false kink: at p = 0.0" in row["where"]


def test_that_published_figures_meet_the_aims(planted: Any) -> None:
    rows = json.loads((ROOT / "reports" / "planted-faults.json").read_text(encoding="utf-8"))["rows"]
    for method, aim in (("run", 0.95), ("check", 0.90)):
        for framework in ("torch", "jax"):
            found = [
                row["found"]
                for row in rows
                if row["planted"] and (row["method"], row["framework"]) == (method, framework)
            ]
            assert found
            assert sum(found) >= aim * len(found), (method, framework)
    assert not [row for row in rows if not row["planted"] and row["found"]]


def test_that_the_tables_count_what_is_found_and_name_what_is_not(planted: Any) -> None:
    row = {"kind": "a kind", "fault": "a fault", "planted": True, "framework": "jax", "method": "run", "found": False}
    rows = [row, {**row, "fault": "another", "found": True}, {**row, "planted": False, "found": True}]
    text = planted.page.section({"command": "c", "date": "d", "rows": rows})
    assert "| a kind | – | 1/2 | – | – |" in text
    assert "- *a fault*: by default run in jax." in text
    assert "1 of 1 accused: a fault (jax, default run)." in text


def test_that_a_known_fault_of_another_function_does_not_count(planted: Any) -> None:
    spec = "1-8-8-3-1-12:id,erf,cos,gelu,hardsigmoid:multiclass_hinge:n32:f64:ordinary:s550603312"
    record = Record(
        case="1", spec=spec, sha256="", framework="torch", version="2.13.0+cpu", mode="backward", dtype="float64",
        verdict=Verdict.DISAGREE, function="hardsigmoid", box=5, entry="delta_p[2,0]",
        expected=(0.015768686930338543).hex(), observed=(0.015768687400282033).hex(), ratio=3.0,
    )  # fmt: skip
    assert not planted.measure.first_failure([record], "mine")["found"]
    assert planted.measure.first_failure([record], "hardsigmoid")["found"]
