"""Transformations that hand results on, such as vmap and jit: which of their outputs are gradients."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from gradagree.audit.patches import Wrapper

MARK = "_gradagree_passage"


class _Flags:
    """For each number of outputs, the places of those that are gradients."""

    def __init__(self, audit: Any) -> None:
        self.audit = audit
        self.places: dict[int, set[int]] = {}

    def see(self, result: Any) -> None:
        """Note which placeholders in the result of the inner function are gradients."""
        leaves = self.audit.arrays.leaves(result)
        places = {k for k, leaf in enumerate(leaves) if self.audit.symbols.get(id(leaf)) is leaf and leaf is not None}
        if places:
            self.places.setdefault(len(leaves), set()).update(places)

    def mark(self, result: Any, label: str) -> None:
        """Mark the outputs at these places."""
        leaves = self.audit.arrays.leaves(result)
        for place in self.places.get(len(leaves), ()):
            self.audit.mark(leaves[place], label)


def make_passage(audit: Any, original: Callable[..., Any], hold: bool) -> Callable[..., Any]:
    """What stands in for such a transformation."""

    def passage(*args: Any, **kwargs: Any) -> Any:
        __tracebackhide__ = True
        if not args or not callable(args[0]):
            made = original(*args, **kwargs)
            return made if args or kwargs.get("fun") or not callable(made) else functools.partial(passage, **kwargs)
        inner, flags = _watched(audit, args[0], hold)
        outer = original(inner, *args[1:], **kwargs)
        if flags is None or not callable(outer):
            return outer

        def call(*inputs: Any, **named: Any) -> Any:
            __tracebackhide__ = True
            result = outer(*inputs, **named)
            if flags.places and audit.test and not audit.inside:
                audit.guarded(flags.mark, result, f"{getattr(original, '__name__', 'transformation')} of a gradient")
            return result

        return Wrapper(outer, call)

    return passage


def _watched(audit: Any, function: Any, hold: bool) -> tuple[Any, _Flags | None]:
    """The function that notes which of its results are gradients, and its notes."""
    if hold:
        known = getattr(function, "__dict__", {}).get(MARK)
        if known is not None and known[0] is function and known[2].audit is audit:
            return known[1:]
        if not hasattr(function, "__dict__") or isinstance(function, type):
            return function, None
    flags = _Flags(audit)

    @functools.wraps(function)
    def inner(*args: Any, **kwargs: Any) -> Any:
        __tracebackhide__ = True
        result = function(*args, **kwargs)
        if audit.symbols and not audit.inside:
            audit.guarded(flags.see, result)
        return result

    if hold:
        try:
            setattr(function, MARK, (function, inner, flags))
        except (AttributeError, TypeError):
            return function, None
    return inner, flags
