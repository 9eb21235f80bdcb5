"""The JSON Schema of the records in results.jsonl: python -m tools.record_schema > docs/record.schema.json."""

from __future__ import annotations

import json
from typing import Any

import msgspec

from gradagree.checker.kinks import OWN, SLOPES
from gradagree.checker.verdict import CONVENTION, SCHEMA, Record, Verdict

ADDRESS = f"urn:gradagree:record:{SCHEMA}"
HEXADECIMAL = r"^(-?0x[01](\.[0-9a-f]{1,13})?p[+-][0-9]{1,4}|nan|-?inf)$"
NOT_FINITE = ["nan", "inf", "-inf"]
MEANINGS = {
    "schema": "version of this schema",
    "index": "the number of the case in its run",
    "case": "six digits that stand for the case within a results folder",
    "spec": f"the case's canonical text; for findings about several cases or a framework, {CONVENTION}... or probe:...",
    "sha256": "of all arrays of the case; empty where there are none",
    "framework": "torch, jax, or an adapter of the user's",
    "version": "the framework's",
    "mode": "the way in which the framework computed the gradient",
    "device": "where it did",
    "dtype": "the format of the case's numbers",
    "verdict": "; ".join(f"{verdict}: {verdict.meaning}" for verdict in Verdict),
    "ratio": "the largest distance between observed and expected over its tolerance",
    "probable_ratio": "the same ratio, end to end, with the probabilistic tolerance",
    "sharpness": "the largest tolerance over the largest entry of its array",
    "share": "the share of gradient entries that are larger than their tolerance, or exactly zero",
    "box": "location of the faulty operation: a box number, 1 at the inputs, or error",
    "function": "that box's activation or error function",
    "entry": "which number: c, E, delta_p, dw, db, or d and the name of an activation's parameter, with its index",
    "expected": "the exact value, enclosed by ball arithmetic in a finding",
    "expected_radius": "radius of that enclosure",
    "observed": "the framework's value",
    "tolerance": "largest error of a correct program",
    "reason": "in words; empty where there is nothing to add",
    "seconds": "computing time of the framework",
    "slopes": "for each kink that was met, the slopes that explain what the framework gave, unless all do",
}
NUMBERS = ("ratio", "probable_ratio", "sharpness")
EXACT = ("expected", "expected_radius", "observed", "tolerance")
PATTERNS = {"case": r"^[0-9]{6}$|^$", "sha256": r"^([0-9a-f]{64})?$", "spec": r"^(?!\s*$)"}


def record_schema() -> dict[str, Any]:
    """The schema as JSON Schema 2020-12: msgspec's schema of a record, with descriptions and patterns."""
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
        "items": {"enum": sorted([*SLOPES, OWN])},
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
    print(text(), end="")  # noqa: T201
