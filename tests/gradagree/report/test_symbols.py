"""Every output puts the same symbol beside a verdict."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from rich.console import Console

from gradagree.cases.case import Case
from gradagree.checker.verdict import Record, Verdict
from gradagree.compare import compare_runs, read_side
from gradagree.compare.page import document as comparison
from gradagree.report import print_summary, summarize
from gradagree.report.console import print_replay
from gradagree.report.html import page
from gradagree.report.markdown import document
from gradagree.runner.replay import ReplayResult

CASE = "3-1:id,tanh:sse:n2:f64:grid:s1"


@pytest.fixture
def record(make: Callable[..., list[Record]]) -> Record:
    return msgspec.structs.replace(make(cases=1)[0], spec=CASE, dtype="float64", function="tanh", box=2)


@pytest.mark.parametrize("verdict", Verdict)
def test_that_terminal_pages_and_replay_show_the_same_symbol(
    verdict: Verdict, record: Record, meta: dict[str, Any], capsys: Any
) -> None:
    record = msgspec.structs.replace(record, verdict=verdict)
    summary, expected = summarize(meta, [record]), f"{verdict.symbol} {verdict}"
    terminal = Console(file=io.StringIO(), width=200)
    print_summary(summary, terminal, Path("out"))
    html = page(summary)
    print_replay(Case.parse(CASE), [ReplayResult(record, ())])
    assert re.findall(rf"[^\w\s] {verdict}", terminal.file.getvalue())[0] == expected
    assert re.findall(rf"[^\w\s] {verdict}", document(summary))[0] == expected
    assert f'<span aria-hidden="true">{verdict.symbol}</span> {verdict}</span>' in html
    payload = json.loads(re.findall(r'id="records">(.*?)</script>', html)[0])
    assert [symbol for word, symbol, _ in payload["verdicts"] if word == verdict] == [verdict.symbol]
    assert capsys.readouterr().out.splitlines()[3].startswith(f"{verdict.symbol} torch")


@pytest.mark.parametrize("verdict", [verdict for verdict in Verdict if verdict.fails])
def test_that_a_comparison_shows_it_too(
    verdict: Verdict, record: Record, run_folder: Callable[..., Path], tmp_path: Path
) -> None:
    right, wrong = (msgspec.structs.replace(record, verdict=v) for v in (Verdict.AGREE, verdict))
    sides = [read_side(run_folder(tmp_path / name, [one])) for name, one in (("a", right), ("b", wrong))]
    assert f"{verdict.symbol} {verdict}" in comparison(compare_runs(*sides))
