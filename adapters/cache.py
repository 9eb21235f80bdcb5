"""Folder of the caches on disk: compiled programs and exact values.

By default it is ``$XDG_CACHE_HOME/gradagree``, or ``~/.cache/gradagree``. The environment variable ``GRADAGREE_CACHE``
names another folder, or switches all caches off.
"""

from __future__ import annotations

import os
from pathlib import Path

VARIABLE = "GRADAGREE_CACHE"
OFF = frozenset({"", "off", "0", "no", "none", "false"})
"""Values of the variable, in any case, that switch the caches off."""


def cache_folder(use: str) -> Path | None:
    """The subfolder for one use, such as ``truth``; None if the caches are switched off. It need not exist yet."""
    named = os.environ.get(VARIABLE)
    if named is None:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "gradagree" / use
    return None if named.strip().lower() in OFF else Path(named) / use
