"""Whether an accused program is right but for its rounding: the same program, on the same numbers, in float64."""

from __future__ import annotations

import functools
import math
import warnings
from dataclasses import replace
from typing import Any

import numpy as np

from gradagree.adapters.adapter import Adapter
from gradagree.adapters.for_jax import ForJax
from gradagree.adapters.for_torch import ForTorch
from gradagree.adapters.formats import FORMATS
from gradagree.cases.case import Case, problem_of
from gradagree.checker.comparison import observed_array
from gradagree.checker.verdict import Record, Verdict, split_entry
from gradagree.reference.graph import LOSS_NODE

CLOSE = 0.05
"""Relative difference up to which float64 confirms the expected value; its inputs are rounded differently."""
LOST = 0.5
"""Relative error from which on a number has lost its digits."""
PLAIN = {"packed": "grad", "jit": "grad", "vmap": "backward", "compile": "backward"}
"""Modes whose program in float64 is that of a simpler one."""


@functools.cache
def adapter(framework: str) -> Adapter:
    return {"torch": ForTorch, "jax": ForJax}[framework]()


def in_float64(record: Record) -> float | None:
    """The accused number as the same program computes it in float64; None if it cannot be found."""
    label, index = split_entry(record.entry)
    if not index or record.box is None:
        return None
    case = Case.parse(record.spec)
    node = record.box if record.box == LOSS_NODE else int(record.box)
    problem = replace(problem_of(case, case.arrays()), dtype="float64")
    mode = record.mode if record.mode == "forward" else PLAIN.get(record.mode, record.mode)
    own = adapter(record.framework)
    try:
        with own.settings(), warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            tapped, _ = own.answers(problem, mode)
    except Exception:  # noqa: BLE001 (a program that fails is no evidence)
        return None
    found = observed_array(tapped, case.quantity(node, label))
    return None if found is None else float(found[index])


def explanation(record: Record) -> str | None:
    """What float64 shows about an accusation: digits that are lost, or an intermediate that overflows; or None."""
    if record.dtype == "float64" or record.expected is None or record.verdict not in ROUNDING:
        return None
    found, expected = in_float64(record), float.fromhex(record.expected)
    smallest = FORMATS[record.dtype].smallest
    if found is None or not math.isfinite(found) or abs(found - expected) > CLOSE * abs(expected) + smallest:
        return None
    if record.verdict is Verdict.NONFINITE:
        return f"an intermediate overflows {record.dtype}: in float64 the same program gives {found:.3g}"
    if record.observed is None or abs(float.fromhex(record.observed) - expected) < LOST * abs(expected):
        return None
    return f"every digit is lost in {record.dtype}: in float64 the same program gives {found:.3g}"


ROUNDING: Any = (Verdict.NONFINITE, Verdict.DISAGREE, Verdict.VALUE_DIFFERS)
