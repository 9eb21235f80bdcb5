"""Prints the JSON schema of audit.json: ``python -m tools.audit_schema > docs/audit-schema.json``."""

from __future__ import annotations

import json

from gradagree.audit.results import schema
from tools.script import printer, start


def text() -> str:
    """The schema as published in docs."""
    return json.dumps(schema(), indent=1) + "\n"


if __name__ == "__main__":
    start(printer(text, "Print docs/audit-schema.json."), "tools.audit_schema")
