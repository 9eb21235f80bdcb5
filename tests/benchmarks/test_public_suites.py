"""The index of the audit of public suites, and what is published."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from benchmarks.public_suites import SUITES, PublicSuite, index
from gradagree.audit.records import AuditRecord, Classification
from gradagree.audit.results import AuditResults, join, read_results

PUBLISHED = Path(__file__).parents[2] / "reports" / "audit"


def test_that_the_index_counts_the_places_of_each_class(tmp_path: Path) -> None:
    records = [AuditRecord(test="t", file="f", line=k, function="g", classification="loose") for k in range(3)]
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "audit.json").write_text(AuditResults(records=records, tests=7, seconds=5.0).to_json())
    suites = [PublicSuite("own", "a/own", "123", "tests"), PublicSuite("missing", "a/missing", "1", "tests")]
    (row,) = [line for line in index(tmp_path, suites) if "own/audit.md" in line]
    assert [cell.strip() for cell in row.split("|")[3:10]] == ["7", "3", "0", "3", "0", "0", "0"]
    assert "missing" not in "\n".join(index(tmp_path, suites))


@pytest.mark.parametrize("suite", SUITES, ids=lambda suite: suite.name)
def test_that_a_published_audit_can_be_read_and_names_no_machine(suite: PublicSuite) -> None:
    assert shlex.split(suite.arguments)
    results = read_results(PUBLISHED / suite.name / "audit.json")
    assert results.records == join(results.records)
    assert all(isinstance(record.classification, Classification) for record in results.records)
    assert not any(record.file.startswith("/") for record in results.records)
    assert not any("/" in word and word.startswith("/") for word in shlex.split(results.command))
