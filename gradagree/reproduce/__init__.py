"""Findings as scripts of their own, to paste into an issue."""

from __future__ import annotations

from gradagree.reproduce.issue import ScriptFiles as ScriptFiles, write_script as write_script
