"""The function of a framework that an implementation calls: one of the framework's own, or a formula of several."""

from __future__ import annotations

import inspect
import re
from typing import Any

from gradagree.adapters import Adapter
from gradagree.adapters.adapter import framework_of, library_frameworks

NOT_CALLED = (".dtype",)
"""Endings of names that are no function."""


def library_call(function: Any, library: str) -> tuple[str, bool]:
    """The name that an implementation calls, and True if it is one function of the library."""
    method = getattr(type(function), library, None)
    if method is None:
        return "", False
    body = inspect.getsource(method).partition("\n")[2]
    names, is_library = _names(body, library), library in library_frameworks()
    if len(names) == 1:
        arithmetic = re.search(r"[-+*/]\s*\(?[\w.]*\b[pot]\b|\b[pot]\b\s*[-+*/]", body)
        return names[0], ".nn." in names[0] or is_library or not arithmetic
    return ("a formula of " + ", ".join(names) if names else "a formula"), is_library


def _names(body: str, library: str) -> list[str]:
    """The full names of the framework's functions, without those that only convert or split arrays."""
    text = Adapter.catalogue[framework_of(library)].script
    if text is None:
        return []
    pattern = rf"\b({'|'.join(text.modules)})((?:\.\w+)+)"
    skipped = (*text.conversions, *NOT_CALLED)
    found = [match for match in re.finditer(pattern, body) if not match[0].endswith(skipped)]
    return list(dict.fromkeys(text.modules[match[1]] + match[2] for match in found))
