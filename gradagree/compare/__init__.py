"""Two runs side by side: what is new, what is gone, and what moved by more than its noise."""

from __future__ import annotations

from gradagree.compare.differences import Differences, compare_runs
from gradagree.compare.side import Side, read_side, write_extract

__all__ = ["Differences", "Side", "compare_runs", "read_side", "write_extract"]
