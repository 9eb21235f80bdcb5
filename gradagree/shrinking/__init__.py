"""Failing cases made small: the smallest case that still fails in the same way."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

__all__ = ["shrink_findings"]


def shrink_findings(folder: Path, seconds: float, extensions: Sequence[str] = ()) -> None:
    """Shrink each finding of a results folder."""
