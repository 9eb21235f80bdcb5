"""Smaller cases that fail in the same way as a failing case."""

from __future__ import annotations

from gradagree.report.findings import Small as Small, read_small as read_small
from gradagree.shrink.failing_case import ModeProcess as ModeProcess
from gradagree.shrink.results import shrink_findings as shrink_findings
from gradagree.shrink.search import INSTALL as INSTALL, Shrunk as Shrunk, can_shrink as can_shrink, shrink as shrink
