"""Failing cases made small: the smallest case that still fails in the same way."""

from __future__ import annotations

from gradagree.report.findings import Small as Small, read_small as read_small
from gradagree.shrink.context import ModeProcess as ModeProcess
from gradagree.shrink.search import (
    INSTALL as INSTALL,
    Shrunk as Shrunk,
    can_shrink as can_shrink,
    shrink as shrink,
    shrink_findings as shrink_findings,
)
