"""Two runs side by side: what is new, what is gone, and what moved by more than its noise."""

from __future__ import annotations

from gradagree.compare.differences import Differences as Differences, compare_runs as compare_runs
from gradagree.compare.side import Side as Side, read_side as read_side, write_extract as write_extract
