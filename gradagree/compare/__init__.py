"""Comparison of two runs: new and resolved findings, and changes beyond the noise."""

from __future__ import annotations

from gradagree.compare.differences import Differences as Differences, compare_runs as compare_runs
from gradagree.compare.side import Side as Side, read_side as read_side, write_extract as write_extract
