"""Check gradients of deep-learning frameworks against a hand-written reference, with computed error bounds.

Importing the package imports no framework; each name loads its module at first use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gradagree.adapters import Adapter as Adapter
    from gradagree.cases.case import Case as Case
    from gradagree.cases.selection import draw as draw
    from gradagree.checker.verdict import Record as Record, Verdict as Verdict
    from gradagree.functions.assertions import assert_grads as assert_grads
    from gradagree.functions.ports import assert_port as assert_port
    from gradagree.functions.records import Report as Report
    from gradagree.reference import (
        Activation as Activation,
        ErrorFunction as ErrorFunction,
        Layer as Layer,
        Operation as Operation,
    )
    from gradagree.reference.graph import Graph as Graph

_HOMES = {
    "Activation": "gradagree.reference",
    "Adapter": "gradagree.adapters",
    "Case": "gradagree.cases.case",
    "ErrorFunction": "gradagree.reference",
    "Graph": "gradagree.reference.graph",
    "Layer": "gradagree.reference",
    "Operation": "gradagree.reference",
    "Record": "gradagree.checker.verdict",
    "Report": "gradagree.functions.records",
    "Verdict": "gradagree.checker.verdict",
    "assert_grads": "gradagree.functions.assertions",
    "assert_port": "gradagree.functions.ports",
    "check": "gradagree.api",
    "draw": "gradagree.cases.selection",
    "run": "gradagree.api",
    "survey": "gradagree.api",
}

__all__ = [
    "Activation",
    "Adapter",
    "Case",
    "ErrorFunction",
    "Graph",
    "Layer",
    "Operation",
    "Record",
    "Report",
    "Verdict",
    "assert_grads",
    "assert_port",
    "check",
    "draw",
    "run",
    "survey",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'gradagree' has no attribute {name!r}")
    if name in ("Activation", "ErrorFunction", "Layer"):  # their classes may leave their derivative to the tape
        importlib.import_module("gradagree.arithmetic")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
