"""Check gradients of deep-learning frameworks against a hand-written reference, with computed error bounds.

Importing the package imports no framework; each name loads its module at first use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gradagree.adapters import Adapter as Adapter
    from gradagree.cases.case import Case as Case
    from gradagree.cases.random import draw as draw
    from gradagree.checker.verdict import Record as Record, Verdict as Verdict
    from gradagree.reference import Activation as Activation, ErrorFunction as ErrorFunction, Operation as Operation

_HOMES = {
    "Activation": "gradagree.reference",
    "Adapter": "gradagree.adapters",
    "Case": "gradagree.cases.case",
    "ErrorFunction": "gradagree.reference",
    "Operation": "gradagree.reference",
    "Record": "gradagree.checker.verdict",
    "Verdict": "gradagree.checker.verdict",
    "check": "gradagree.api",
    "draw": "gradagree.cases.random",
    "run": "gradagree.api",
    "survey": "gradagree.api",
}

__all__ = [
    "Activation",
    "Adapter",
    "Case",
    "ErrorFunction",
    "Operation",
    "Record",
    "Verdict",
    "check",
    "draw",
    "run",
    "survey",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'gradagree' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
