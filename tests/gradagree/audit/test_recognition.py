"""Which comparisons of a test suite are recognised as comparisons of gradients, and which are not."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gradagree.audit.results import AuditResults

HERE = Path(__file__).parent
SUITES = {name: (HERE / f"suite_of_{name}.txt").read_text(encoding="utf-8") for name in ("torch", "jax")}
EXPECTED = {
    (suite, number): re.findall(r"[^,\s][^,]*", line.partition("# audit: ")[2])
    for suite, text in SUITES.items()
    for number, line in enumerate(text.splitlines(), 1)
    if "# audit: " in line
}
"""The functions, or none, that the audit must have recorded at each marked line."""


@pytest.fixture(scope="module", params=SUITES)
def suite(request: pytest.FixtureRequest, audited: object) -> tuple[str, AuditResults, str]:
    pytest.importorskip(request.param)
    results, done = audited(SUITES[request.param], "-q")  # type: ignore[operator]
    return request.param, results, done.stdout


def test_that_each_form_is_recognised_at_its_line_and_nothing_else(suite: tuple[str, AuditResults, str]) -> None:
    name, results, _ = suite
    found: dict[tuple[str, int], list[str]] = {}
    for record in results.records:
        found.setdefault((name, record.line), []).append(record.function)
    expected = {key: words for key, words in EXPECTED.items() if key[0] == name and words != ["nothing"]}
    assert {key: sorted(words) for key, words in found.items()} == {key: sorted(w) for key, w in expected.items()}


def test_that_the_suite_passes_and_the_audit_does_not_fail(suite: tuple[str, AuditResults, str]) -> None:
    _, results, output = suite
    assert results.failures == {}
    assert "failed" not in output.replace("0 failed", "")
    assert results.tests == output.count(" passed") * results.tests


def test_that_there_are_marked_lines_of_both_kinds() -> None:
    assert sum(words == ["nothing"] for words in EXPECTED.values()) >= 8
    assert len(EXPECTED) >= 45
