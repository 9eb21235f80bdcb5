"""The stand-alone script of a record, for a chain or a graph."""

from __future__ import annotations

from gradagree.adapters import Adapter
from gradagree.cases.graph_case import AnyCase, GraphCase
from gradagree.checker.verdict import Record
from gradagree.errors import UsageError, nearest
from gradagree.reproduce.graph_script import GraphScript
from gradagree.reproduce.script import Script
from gradagree.reproduce.source import script_text


def format_script(case: AnyCase, record: Record) -> str:
    """The script. Raises UsageError for a framework, mode or function that has no source."""
    framework, mode = record.framework, record.mode
    offered = {f"{name}:{m}" for name, kind in Adapter.catalogue.items() for m, r in kind.modes.items() if r.source}
    if f"{framework}:{mode}" not in offered:
        choice = nearest(f"{framework}:{mode}", offered)
        raise UsageError(f"--script: no script is known for {framework}:{mode}; {choice}")
    kind = GraphScript if isinstance(case, GraphCase) else Script
    try:
        return kind(case, record, Adapter.mode(f"{framework}:{mode}"), script_text(framework)).format()
    except UsageError as wrong:
        raise UsageError(f"--script: {wrong}") from None
