"""A run of the user's files is about the user's functions: companions do not fail it, and reports name the fault."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from gradagree.checker.verdict import Record, Verdict
from gradagree.report import print_summary
from gradagree.report.html import page
from gradagree.report.summary import summarize
from gradagree.runner import campaign
from gradagree.runner.options import Plan

SWISHY = '''
import numpy as np
from gradagree import Activation

class SwishOfMine(Activation):
    """p / (1 + exp(-p))."""

    name = "swish_of_mine"

    def value(self, p):
        return p / (1 + np.exp(-p))

    def derivative(self, p):
        s = 1 / (1 + np.exp(-p))
        return s * (1 + p * (1 - s))

    def torch(self, p, torch):
        return p * torch.sigmoid(p)
'''


def record(verdict: str, function: str | None, **fields: Any) -> Record:
    given = {"case": "1", "spec": "2-1:id,swish_of_mine:sse:n1:f64:grid:s1", "sha256": "", "framework": "torch"}
    rest = {"version": "2", "mode": "backward", "dtype": "float64", "verdict": Verdict(verdict), "function": function}
    return Record(**{**given, **rest, **fields})


OWN = {"own": ["swish_of_mine"]}


def test_that_a_run_of_own_functions_draws_verified_companions(tmp_path: Path) -> None:
    file = tmp_path / "swish_of_mine.py"
    file.write_text(SWISHY)
    plan = campaign.prepare([str(file)], {"cases": 3, "frameworks": "torch"})
    assert plan.own == ("swish_of_mine",)
    assert [str(f) for f in plan.activations or ()] == ["swish_of_mine"]
    assert [str(f) for f in plan.errors or ()] == campaign.COMPANIONS["errors"]
    named = campaign.prepare([str(file)], {"cases": 3, "frameworks": "torch", "errors": "huber"})
    assert (named.own, [str(f) for f in named.errors or ()]) == ((), ["huber"])
    assert Plan.make(cases=3).own == ()


def test_that_a_fault_of_a_companion_does_not_fail_the_run() -> None:
    summary = summarize(OWN, [record("disagree", "sse", box="error"), record("agree", None, mode="grad")])
    assert summary.exit == 0
    assert summary.failing == 0
    assert "1 in other functions than yours do not count" in summary.sentence
    assert summarize({}, [record("disagree", "sse", box="error"), record("agree", None)]).exit == 1


@pytest.mark.parametrize("function", ["swish_of_mine", "swish_of_mine(beta=2.0)", None])
def test_that_a_fault_of_an_own_function_or_of_an_unknown_one_fails_the_run(function: str | None) -> None:
    summary = summarize(OWN, [record("disagree", function), record("disagree", "sse", box="error", mode="grad")])
    assert summary.exit == 1
    assert summary.failing == 1
    assert next(iter(summary.findings)).cause.function == (function or "")
    assert ("(1 disagree, in swish_of_mine" in summary.sentence) is (function is not None)
    assert "torch backward disagrees" in summary.sentence


def test_that_findings_stand_before_the_tables_and_losses_have_one() -> None:
    found = [
        record("disagree", "swish_of_mine", box=2, entry="delta_p[0,0]", expected="0x1p0", observed="0x1p1", ratio=9.0)
    ]
    found += [
        record("disagree", "swish_of_mine", box=2, entry="dw[0,0]", ratio=3.0, mode="grad"),
        record("agree", None, mode="vmap"),
    ]
    screen = io.StringIO()
    print_summary(summarize(OWN, found), Console(file=screen, width=100), Path("out"))
    text = screen.getvalue()
    assert text.count("✗ disagree  torch") == 1
    places = [text.index(part) for part in ("in swish_of_mine)", "✗ disagree  torch", "activation  ", "loss  ")]
    assert places == sorted(places)


def test_that_a_folder_with_results_is_kept_and_named(tmp_path: Path) -> None:
    said: list[str] = []
    plan = Plan.make(cases=1, frameworks="torch", modes="backward", activations="id", errors="sse")
    for _ in range(2):
        campaign.execute(plan, tmp_path, workers=1, notify=said.append)
    assert said == [f"{tmp_path} held the results of an earlier run; they are now in {tmp_path / 'earlier-1'}"]
    assert (tmp_path / "earlier-1" / "results.jsonl").read_bytes()


def test_that_findings_stand_before_the_matrix_on_the_page() -> None:
    text = page(summarize(OWN, [record("disagree", "swish_of_mine", box=2, entry="delta_p[0,0]", ratio=9.0)]))
    assert text.index('id="findings"') < text.index('id="matrix"') < text.index('id="tolerance"')
