"""More than 10,000 damaged pieces are refused, and what counts them can fail."""

from __future__ import annotations

import itertools
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as st


def test_that_the_pieces_are_ten_thousand_and_each_kind_is_tried_once(fuzz: Any) -> None:
    sources = "".join(path.read_text(encoding="utf-8") for path in sorted(Path(__file__).parent.glob("test_*.py")))
    tried = re.findall(r"fuzz\.refused\(\s*\"([a-z ]+)\"", sources)
    assert sorted(tried) == sorted(fuzz.least)
    assert sum(fuzz.least.values()) >= 10_000


def test_that_a_piece_that_is_taken_does_not_count(fuzz: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(fuzz.least, "one", 1)
    with pytest.raises(AssertionError, match=r"^Counter"):
        refuse(fuzz, "one", lambda piece: piece)


def test_that_a_traceback_would_be_seen(fuzz: Any) -> None:
    with pytest.raises(ZeroDivisionError):
        refuse(fuzz, "case", lambda piece: 1 // 0)


def test_that_an_endless_loop_would_be_seen(fuzz: Any) -> None:
    fuzz.patience = 0.2
    with pytest.raises(TimeoutError):
        refuse(fuzz, "case", lambda piece: all(True for _ in itertools.repeat(piece)))


def refuse(fuzz: Any, kind: str, attempt: Any) -> None:
    fuzz.refused(kind, st.just(0), attempt)
