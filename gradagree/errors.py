"""What can be wrong with what a person typed or wrote."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = ["UsageError", "nearest"]


class UsageError(Exception):
    """Bad input: one clear line that says what to do; the command line ends with exit code 2."""


def nearest(name: str, names: Iterable[str]) -> str:
    """``did you mean 'tanh'?`` or the list of all names, to end a message with."""
    names = sorted(names)
    near = difflib.get_close_matches(name, names, 1)
    return f"did you mean {near[0]!r}?" if near else f"known: {', '.join(names)}"
