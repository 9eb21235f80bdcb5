"""HTML pages that need nothing else, and let nothing else run."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from importlib import resources
from typing import Any

import jinja2
from markupsafe import Markup

from gradagree.reporting import texts
from gradagree.verdict import ORDER, Verdict

__all__ = ["asset", "policy", "rendered"]

FILTERS = {
    name: getattr(texts, name) for name in ("brief", "counted", "exact", "mark", "named", "shown_number", "visible")
}


def rendered(template: str, values: Mapping[str, Any], style: str, script: str | None = None) -> str:
    """The page that the template makes of the values, with this style and this script and no other."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("gradagree", "templates"), autoescape=True, undefined=jinja2.StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    environment.filters.update(FILTERS)
    environment.globals.update(tone=tone, equation=equation, verdicts=list(Verdict))
    own = {"policy": policy(style, script), "style": Markup(style), "script": Markup(script or "")}
    return environment.get_template(template).render({**values, **own})


def policy(style: str, script: str | None = None) -> str:
    """A content security policy under which only this style and this script count, and nothing is loaded."""
    rules = ["default-src 'none'", f"style-src '{_digest(style)}'"]
    rules += [] if script is None else [f"script-src '{_digest(script)}'"]
    return "; ".join([*rules, "base-uri 'none'", "form-action 'none'"])


def _digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def asset(name: str) -> str:
    """A file that is put into the page as it is."""
    return resources.files("gradagree").joinpath("templates", name).read_text(encoding="utf-8")


def tone(verdict: Verdict) -> str:
    """bad, doubtful, good or none: how loudly a verdict is set."""
    if verdict.fails:
        return "bad"
    if verdict in (Verdict.INACCURATE, Verdict.UNDECIDED, Verdict.OUT_OF_RANGE):
        return "doubtful"
    return "good" if verdict.compared else "none"


def equation(counts: dict[Verdict, int]) -> list[tuple[Verdict, int]]:
    """What was compared, the best first, then what was not."""
    return sorted(counts.items(), key=lambda item: (not item[0].compared, -ORDER[item[0]]))
