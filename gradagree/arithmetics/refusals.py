"""Errors of the arithmetics: what is not supported, what is, and what to write instead."""

from __future__ import annotations

import difflib
import inspect
import sys
from collections.abc import Callable, Collection
from typing import Any


class NoRule(TypeError):
    """An arithmetic has no rule for a function, or not for these arguments."""


SHIFTED = "z = x - np.max(x, axis=-1, keepdims=True)"
INSTEAD = {
    "np.asarray": "x itself, or np.stack([x, y])",
    "logsumexp": "np.logaddexp.reduce(x, axis=-1)",
    "softmax": f"{SHIFTED}, then np.exp(z) / np.sum(np.exp(z), axis=-1, keepdims=True)",
    "log_softmax": f"{SHIFTED}, then z - np.log(np.sum(np.exp(z), axis=-1, keepdims=True))",
    "polygamma": "digamma(x) and zeta(n + 1, x)",
}
"""Alternatives for Python functions that convert their arguments to ordinary arrays."""


def no_rule(arithmetic: str, name: str, known: Collection[str]) -> NoRule:
    """The error for an unsupported function, with the closest supported name and all supported names."""
    near = difflib.get_close_matches(name.split(".")[0], known, 1)
    hint = f"did you mean {near[0]}? " if near and near[0] != name.split(".")[0] else ""
    return NoRule(
        f"{arithmetic} arithmetic does not support {name}; {hint}write the formula with functions that it supports: "
        + ", ".join(sorted(known))
    )


def in_place_refused(arithmetic: str, name: str) -> NoRule:
    """The error for x += y and for out=."""
    return NoRule(
        f"{arithmetic} arrays cannot be changed in place by {name}; write x = x + y for x += y, and do not use out="
    )


def bad_arguments(arithmetic: str, name: str, rule: Callable[..., Any], args: Any, kwargs: Any) -> NoRule | None:
    """The error for arguments that a rule does not accept; None if it accepts them."""
    try:
        inspect.signature(rule).bind(*args, **kwargs)
    except TypeError as wrong:
        return NoRule(f"{arithmetic} arithmetic supports {name}, but not with these arguments: {wrong}")
    return None


def conversion_refused(arithmetic: str) -> NoRule:
    """The error for a conversion to an ordinary array, with the name of the library function that tried it."""
    function, frame = "np.asarray", sys._getframe(2)
    while frame is not None and frame.f_globals.get("__name__", "").split(".")[0] in ("numpy", "scipy"):
        if not frame.f_code.co_name.startswith(("_", "wrapper", "<")):
            function = frame.f_code.co_name
        frame = frame.f_back  # type: ignore[assignment]
    advice = INSTEAD.get(function, "the formula with NumPy's functions and those of scipy.special")
    if arithmetic == "three-valued":
        advice = "np.where(condition, x, y)"
    return NoRule(f"{arithmetic} arithmetic does not support {function}, which needs ordinary arrays; write {advice}")
