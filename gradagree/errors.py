"""What can be wrong with what a person typed or wrote."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path

__all__ = ["UsageError", "is_file", "nearest"]


class UsageError(Exception):
    """Bad input: one clear line that says what to do; the command line ends with exit code 2."""


def is_file(name: str | Path) -> bool:
    """Whether there is a file of that name; no, if it can be none."""
    try:
        return Path(name).is_file()
    except (OSError, ValueError):
        return False


def nearest(name: str, names: Iterable[str]) -> str:
    """``did you mean 'tanh'?`` or the list of all names, to end a message with."""
    names = sorted(names)
    near = difflib.get_close_matches(name[:100], names, 1)
    return f"did you mean {near[0]!r}?" if near else f"known: {', '.join(names)}"
