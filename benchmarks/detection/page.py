"""From the published JSON to its page: the words in a template, the tables beside it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jinja2

from benchmarks.detection import tables
from benchmarks.detection.networks import DEPTHS, SIZES
from benchmarks.planted_faults.page import RESULTS, section

TEMPLATE = Path(__file__).with_name("page.md.in")


def page(result: dict[str, Any]) -> str:
    """The whole page, in Markdown."""
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, keep_trailing_newline=True)
    template = environment.from_string(TEMPLATE.read_text(encoding="utf-8"))
    planted = section(json.loads(RESULTS.read_text(encoding="utf-8")))
    return template.render(
        result=result, rows=result["rows"], tables=tables, depths=DEPTHS, sizes=SIZES, planted=planted
    )
