"""Failing cases made small: the smallest case that still fails in the same way."""

from __future__ import annotations

from gradagree.report.findings import Small, read_small
from gradagree.shrinking.findings import shrink_findings
from gradagree.shrinking.search import INSTALL, Shrunk, can_shrink, shrink
from gradagree.shrinking.whole import Asked

__all__ = ["INSTALL", "Asked", "Shrunk", "Small", "can_shrink", "read_small", "shrink", "shrink_findings"]
