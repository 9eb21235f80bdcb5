"""The published JSON Schema: equal to the code's, and true of every record."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest

from gradagree.adapters import Adapter
from gradagree.cases.case import Case
from gradagree.checker.kinks import ADMISSIBLE, FROM_REFERENCE
from gradagree.checker.verdict import Record, Verdict
from gradagree.runner.campaign import execute
from gradagree.runner.extensions import load
from gradagree.runner.options import Plan
from tools.record_schema import MEANINGS, record_schema, text

PUBLISHED = Path(__file__).parents[2] / "docs" / "record.schema.json"
FAKE = Path(__file__).parents[1] / "gradagree" / "numpy_fake.py"
SPEC = "3-4b-2:id,{}*2:cross_entropy:n5:{}:grid:s{}"


def test_that_the_published_schema_is_the_codes() -> None:
    remedy = "python -m tools.record_schema > docs/record.schema.json"
    assert PUBLISHED.read_text(encoding="utf-8") == text(), remedy


def test_that_it_is_a_schema_and_explains_every_field() -> None:
    schema = record_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    assert set(schema["properties"]) == set(MEANINGS) == set(Record.__struct_fields__)
    assert sorted(schema["$defs"]["Verdict"]["enum"]) == sorted(Verdict)
    assert schema["properties"]["slopes"]["additionalProperties"]["items"]["enum"] == sorted(
        [*ADMISSIBLE, FROM_REFERENCE]
    )


def problems(lines: list[str]) -> list[str]:
    validator = jsonschema.Draft202012Validator(record_schema())
    return [error.message for line in lines for error in validator.iter_errors(json.loads(line))]


def run(plan: Plan, folder: Path, extensions: list[str]) -> list[str]:
    execute(plan, folder, extensions=extensions, workers=1)
    return (folder / "results.jsonl").read_text(encoding="utf-8").splitlines()


def test_that_every_record_of_a_run_is_as_the_schema_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Adapter, "catalogue", dict(Adapter.catalogue))
    load([str(FAKE)])
    cases = [Case.parse(SPEC.format(name, "f32", k)) for k, name in enumerate(("tanh", "relu", "hardtanh"))]
    plan = Plan.of(cases, "numpy_fake,not_here", "right,wrong,raises")
    lines = run(plan, tmp_path / "run", [str(FAKE)])
    assert len({json.loads(line)["verdict"] for line in lines}) >= 3
    assert problems(lines) == []


@pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="PyTorch is not installed")
def test_that_every_record_of_torch_is_as_the_schema_says(tmp_path: Path) -> None:
    plan = Plan.make(cases=30, frameworks="torch", modes="backward,forward", regimes="all", dtypes="all")
    lines = run(plan, tmp_path / "run", [])
    assert problems(lines) == []
    assert any(json.loads(line)["slopes"] for line in lines)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("verdict", "fine"), ("schema", 2), ("case", "12345"), ("sha256", "0"), ("ratio", "large"), ("ratio", -1),
        ("expected", "0.5"), ("observed", 0.5), ("box", 0), ("box", "first"), ("share", 2), ("spec", " "),
        ("index", "1"), ("slopes", {"k": ["up"]}), ("slopes", {"k": ["left", "left"]}), ("mode", None),
    ],
)  # fmt: skip
def test_that_a_record_that_is_none_is_found(field: str, value: Any) -> None:
    fields = {
        "case": "000001",
        "spec": "s",
        "sha256": "",
        "framework": "f",
        "version": "",
        "mode": "m",
        "dtype": "float64",
    }
    good = json.loads(msgspec.json.encode(Record(**fields, verdict=Verdict.AGREE)))
    assert problems([json.dumps(good)]) == []
    assert problems([json.dumps(good | {field: value})]) != []
    without = {name: given for name, given in good.items() if name != "verdict"}
    assert problems([json.dumps(without)]) != []
