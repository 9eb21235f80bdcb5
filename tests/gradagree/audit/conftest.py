"""Suites in temporary folders, run by pytest with the audit in a process of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from gradagree.audit.results import AuditResults, read_results

ROOT = Path(__file__).parents[3]
Suite = Callable[..., tuple[AuditResults, subprocess.CompletedProcess[str]]]


@pytest.fixture(scope="session")
def audited(tmp_path_factory: pytest.TempPathFactory) -> Suite:
    """A function that writes a test file, runs it with the audit, and returns the results and the process."""

    def run(
        source: str, *words: str, audit: bool = True, **modules: str
    ) -> tuple[AuditResults, subprocess.CompletedProcess[str]]:
        folder = tmp_path_factory.mktemp("suite")
        for name, text in modules.items():
            (folder / f"{name}.py").write_text(text, encoding="utf-8")
        (folder / "test_own.py").write_text(source, encoding="utf-8")
        (folder / "pytest.ini").write_text("[pytest]\n")
        options = ["--gradagree-audit", "--gradagree-audit-report=out"] if audit else []
        command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *options, *words]
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        done = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300, check=False
        )
        written = folder / "out" / "audit.json"
        return read_results(written) if written.exists() else AuditResults(), done

    return run
