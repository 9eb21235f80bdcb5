"""The survey from Python: findings with their programs, pages on request."""

from __future__ import annotations

from pathlib import Path

import pytest

import gradagree
from gradagree.errors import UsageError


def test_that_findings_have_programs_and_pages_on_request(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    found = gradagree.survey(
        out=tmp_path / "here", activations="hardsigmoid", frameworks="torch", modes="backward", dtypes="float32",
    )  # fmt: skip
    assert found.versions["torch"]
    finding = next(one for one in found.findings if one.function == "hardsigmoid")
    compile(finding.reproducer, "reproducer", "exec")
    assert "import torch" in finding.reproducer
    assert (tmp_path / "here" / "index.html").exists()


def test_that_an_unknown_option_is_reported_before_any_request() -> None:
    with pytest.raises(UsageError, match="unknown"):
        gradagree.survey(activations="nosuch")
