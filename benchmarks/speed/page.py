"""From the published JSON to its page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jinja2

TEMPLATE = Path(__file__).with_name("page.md.in")


def page(result: dict[str, Any]) -> str:
    """The whole page, in Markdown; parts that were not measured are left out."""
    environment = jinja2.Environment(
        undefined=jinja2.StrictUndefined, keep_trailing_newline=True, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"span": span, "times": times}
    return environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(result=result)


def span(timed: dict[str, Any]) -> str:
    """A median with its least and most."""
    return f"{seconds(timed['median'])} ({seconds(timed['least'])} to {seconds(timed['most'])})"


def seconds(x: float) -> str:
    """Three digits, in s, ms or µs."""
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if x >= size:
            return f"{x / size:.3g} {unit}"
    return f"{x / 1e-6:.3g} µs"


def times(this: dict[str, Any], *those: dict[str, Any]) -> str:
    """How many times as long this takes as those one after the other."""
    return f"{this['median'] / sum(that['median'] for that in those):.3g}"
