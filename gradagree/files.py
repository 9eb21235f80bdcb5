"""Writing files: whole or not at all, with one clear line where that is impossible."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from gradagree.errors import UsageError


def make_folder(folder: Path) -> None:
    """Raises UsageError where it cannot be made."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as wrong:
        raise unwritable(folder, wrong) from None


def write_text(path: Path, text: str) -> None:
    """Write a file so that it is either the old one or the new one, whatever happens meanwhile."""
    beside = path.with_name(path.name + ".part")
    try:
        beside.unlink(missing_ok=True)  # a link there would lead what is written elsewhere
        beside.write_text(text, encoding="utf-8")
        os.replace(beside, path)
    except OSError as wrong:
        with contextlib.suppress(OSError):
            beside.unlink(missing_ok=True)
        raise unwritable(path, wrong) from None


def unwritable(path: Path, wrong: OSError) -> UsageError:
    return UsageError(f"cannot write {path}: {wrong.strerror or wrong}; choose another folder with --out")
