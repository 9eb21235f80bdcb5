"""Findings as scripts of their own, to paste into an issue."""

from __future__ import annotations

from gradagree.standalone.issue import Written, write_script

__all__ = ["Written", "write_script"]
