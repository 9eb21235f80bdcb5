"""The JSON Schema of the records in results.jsonl: python -m tools.record_schema > docs/record.schema.json."""

from __future__ import annotations

import json
from typing import Any

import msgspec

from gradagree.checker.kinks import ADMISSIBLE, FROM_REFERENCE
from gradagree.checker.verdict import CONVENTION, SCHEMA, Record, Verdict
from tools.script import printer, start

ADDRESS = f"urn:gradagree:record:{SCHEMA}"
HEXADECIMAL = r"^(-?0x[01](\.[0-9a-f]{1,13})?p[+-][0-9]{1,4}|nan|-?inf)$"
NOT_FINITE = ["nan", "inf", "-inf"]
MEANINGS = {
    "schema": "version of this schema",
    "index": "number of the case in its run",
    "case": "six digits that identify the case within a results folder",
    "spec": f"canonical text of the case; {CONVENTION}... or probe:... in findings about several cases or a framework",
    "sha256": "hash of all arrays of the case, or empty",
    "framework": "torch, jax, or the name of a user's adapter",
    "version": "version of the framework",
    "mode": "gradient mode",
    "device": "device that computed the gradient",
    "dtype": "format of the numbers of the case",
    "verdict": "; ".join(f"{verdict}: {verdict.meaning}" for verdict in Verdict),
    "ratio": "largest error of an entry over its worst-case error bound",
    "probable_ratio": "largest error of an entry over its probabilistic error bound, end to end",
    "sharpness": "relative tolerance: the largest error bound over the largest entry of its array",
    "share": "share of gradient entries that are checked: larger than their error bound, or exactly zero",
    "blunt": "function and array with that relative tolerance: softmax: delta_p",
    "box": "number of the operation of the entry, 1 at the inputs, or error for the loss",
    "function": "activation or error function of that operation",
    "entry": "name and index of the entry: c, E, delta_p, dw, db, or d and the name of an activation's parameter",
    "expected": "exact value, proved by ball arithmetic in a finding",
    "expected_radius": "radius of its enclosure",
    "observed": "result of the framework",
    "tolerance": "error bound of a correct program",
    "reason": "explanation, or empty",
    "seconds": "time that the framework took, in seconds",
    "slopes": "for each kink that was met, the one-sided derivatives that explain the result, unless all do",
    "derivative": "taped where a function of the case leaves its derivative to the tape, else written",
    "known": "label and reason of a known difference, in records of check and the pytest plugin; else empty",
}
NUMBERS = ("ratio", "probable_ratio", "sharpness")
EXACT = ("expected", "expected_radius", "observed", "tolerance")
PATTERNS = {"case": r"^[0-9]{6}$|^$", "sha256": r"^([0-9a-f]{64})?$", "spec": r"^(?!\s*$)"}


def record_schema() -> dict[str, Any]:
    """The schema as JSON Schema 2020-12: that of msgspec with descriptions and patterns."""
    schema = msgspec.json.schema(Record)
    found = schema["$defs"]["Record"]
    fields = found["properties"]
    for name, meaning in MEANINGS.items():
        fields[name]["description"] = meaning
    for name, pattern in PATTERNS.items():
        fields[name]["pattern"] = pattern
    for name in EXACT:
        fields[name]["anyOf"] = [{"type": "string", "pattern": HEXADECIMAL}, {"type": "null"}]
    for name in NUMBERS:
        fields[name]["anyOf"] = [{"type": "number", "minimum": 0}, {"enum": NOT_FINITE}, {"type": "null"}]
    fields["schema"] = {"const": SCHEMA, "description": MEANINGS["schema"]}
    fields["box"]["anyOf"] = [{"type": "integer", "minimum": 1}, {"const": "error"}, {"type": "null"}]
    fields["share"]["anyOf"] = [{"type": "number", "minimum": 0, "maximum": 1}, {"type": "null"}]
    fields["slopes"]["additionalProperties"] = {
        "type": "array",
        "items": {"enum": sorted([*ADMISSIBLE, FROM_REFERENCE])},
        "uniqueItems": True,
    }
    verdict = {**schema["$defs"]["Verdict"], "description": MEANINGS["verdict"]}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema", "$id": ADDRESS, **found,
        "title": "A gradagree record", "description": "One case, framework and mode: one line of results.jsonl.",
        "$defs": {"Verdict": verdict},
    }  # fmt: skip


def text() -> str:
    """The schema as published in docs."""
    return json.dumps(record_schema(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    start(printer(text, "Print docs/record.schema.json."), "tools.record_schema")
