"""Errors in user input, and the messages for them."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path


class UsageError(Exception):
    """Bad input: one clear line that says what to do; the command line ends with exit code 2."""


def is_file(name: str | Path) -> bool:
    """True if there is a file of that name; False if the name is invalid."""
    try:
        return Path(name).is_file()
    except (OSError, ValueError):
        return False


def check_target(option: str, path: str | Path, suffix: str = "") -> Path:
    """The path of a file to write. Raises UsageError if it cannot be written, or has another suffix."""
    given, path = f"{option} {str(path)[:200]}", Path(path)
    if suffix and path.suffix != suffix:
        raise UsageError(f"{given}: give a name that ends in {suffix}")
    try:
        parent_exists, is_folder = path.parent.is_dir(), path.is_dir()
    except (OSError, ValueError) as error:
        raise UsageError(f"{given}: {error}") from None
    if is_folder:
        raise UsageError(f"{given}: that is a folder; name a file")
    if not parent_exists:
        raise UsageError(f"{given}: there is no folder {path.parent}")
    return path


def nearest(name: str, names: Iterable[str], most: int | None = None) -> str:
    """The end of a message: ``did you mean 'tanh'?``, or the known names, at most `most` of them."""
    names = sorted(names)
    near = difflib.get_close_matches(name[:100], names, 1)
    if near:
        return f"did you mean {near[0]!r}?"
    more = len(names[most:]) if most is not None else 0
    return f"known: {', '.join(names[:most])}" + (f" and {more} more" if more else "")


def in_one_line(text: str) -> str:
    """The message with line breaks and control characters escaped, whatever it quotes."""
    escaped = "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in text)
    return escaped.encode("utf-8", "backslashreplace").decode()
