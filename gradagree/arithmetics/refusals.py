"""What the arithmetics refuse, and in which words: what was asked, what there is, and what to write instead."""

from __future__ import annotations

import difflib
import inspect
import sys
from collections.abc import Callable, Collection
from typing import Any


class NoRule(TypeError):
    """An arithmetic was asked for a function that it has no rule for."""


SHIFTED = "z = x - np.max(x, axis=-1, keepdims=True)"
INSTEAD = {
    "np.asarray": "x itself, or np.stack([x, y])",
    "logsumexp": "np.logaddexp.reduce(x, axis=-1)",
    "softmax": f"{SHIFTED}, then np.exp(z) / np.sum(np.exp(z), axis=-1, keepdims=True)",
    "log_softmax": f"{SHIFTED}, then z - np.log(np.sum(np.exp(z), axis=-1, keepdims=True))",
    "polygamma": "digamma(x) and zeta(n + 1, x)",
}
"""What to write for Python functions that take arrays apart, which NumPy does not hand on."""


def no_rule(arithmetic: str, name: str, known: Collection[str]) -> NoRule:
    """The error that names the function, the nearest known one if there is one, and all that are known."""
    near = difflib.get_close_matches(name.split(".")[0], known, 1)
    hint = f"did you mean {near[0]}? " if near and near[0] != name.split(".")[0] else ""
    return NoRule(
        f"{arithmetic} arithmetic has no rule for {name}; {hint}write the formula with functions that it knows: "
        + ", ".join(sorted(known))
    )


def in_place(arithmetic: str, name: str) -> NoRule:
    """The error for x += y and for out=."""
    return NoRule(f"{arithmetic} arrays are not changed in place by {name}: write x = x + y for x += y, and no out=")


def misfit(arithmetic: str, name: str, rule: Callable[..., Any], args: Any, kwargs: Any) -> NoRule | None:
    """The error for arguments that a rule does not take; None if it takes them."""
    try:
        inspect.signature(rule).bind(*args, **kwargs)
    except TypeError as wrong:
        return NoRule(f"{arithmetic} arithmetic has a rule for {name}, but not with these arguments: {wrong}")
    return None


def taken_apart(arithmetic: str) -> NoRule:
    """The error for code that asks for an ordinary array, naming the library function that the formula called."""
    asked, frame = "np.asarray", sys._getframe(2)
    while frame is not None and frame.f_globals.get("__name__", "").split(".")[0] in ("numpy", "scipy"):
        if not frame.f_code.co_name.startswith(("_", "wrapper", "<")):
            asked = frame.f_code.co_name
        frame = frame.f_back  # type: ignore[assignment]
    advice = INSTEAD.get(asked, "the formula with NumPy's functions and those of scipy.special")
    if arithmetic == "three-valued":
        advice = "np.where(condition, x, y)"
    return NoRule(f"{arithmetic} arithmetic has no rule for {asked}, which asks for ordinary numbers; write {advice}")
