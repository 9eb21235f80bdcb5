"""``pytest --gradagree-audit`` and ``gradagree audit``: reports, exit codes, workers, unchanged results."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from gradagree.audit.records import AuditRecord, Classification, join
from gradagree.audit.results import AuditResults, lines, markdown, read_results, schema, write_results
from gradagree.cli.main import code

pytest.importorskip("autograd")
ROOT = Path(__file__).parents[3]
SUITE = """
import autograd
import autograd.numpy as np
import numpy
import pytest

X = np.array([0.3, 1.7, 2.9])

def gradient(scale=1.0):
    return autograd.grad(lambda x: scale * np.sum(np.sin(x)))(X)

def test_sound():
    numpy.testing.assert_allclose(gradient(), np.cos(X))

def test_vacuous():
    assert numpy.allclose(gradient(1e-9), 1e-9 * np.cos(X))

@pytest.mark.parametrize("k", [1, 2])
def test_loose(k):
    assert numpy.allclose(gradient(), np.cos(X))
"""
FAILING = """
def test_fails():
    numpy.testing.assert_allclose(gradient(), 1 + np.cos(X))

def test_explains():
    difference = gradient() - np.sin(X)
    assert abs(difference).max() < 1e-6
"""
BROKEN = """
class Broken(numpy.ndarray):
    pass

@pytest.fixture(autouse=True)
def broken(monkeypatch):
    from gradagree.audit import session
    def judge(pair): raise RuntimeError("planted")
    monkeypatch.setattr(session, "judge", judge)
"""


@pytest.fixture(scope="module")
def plain(audited: Callable[..., Any]) -> Any:
    """The results of the suite, and the process."""
    return audited(SUITE, "-q")


def test_that_the_report_names_the_places_and_their_classes(plain: Any) -> None:
    results, done = plain
    found = {(record.line, str(record.classification), record.calls) for record in results.records}
    assert found == {(13, "sound", 1), (16, "vacuous", 1), (20, "loose", 2)}
    assert results.tests == 4
    assert done.returncode == 0
    assert "✗ test_own.py:16: vacuous: numpy.allclose, float64: a gradient of zeros passes" in done.stdout
    assert "3 places compare gradients, in 4 calls: 1 vacuous, 1 loose, 1 sound" in done.stdout
    jsonschema.validate(json.loads(results.to_json()), schema())


def test_that_workers_send_the_same_records(plain: Any, audited: Callable[..., Any]) -> None:
    alone, parallel = plain[0], audited(SUITE, "-q", "-n", "2")[0]
    places = [[(r.line, r.function, r.classification, r.calls, r.dtype) for r in x.records] for x in (alone, parallel)]
    assert places[0] == places[1]
    assert parallel.failures == {}


@pytest.mark.parametrize(
    ("words", "status"),
    [("too tight,vacuous", 1), ("too tight", 0), ("vacuos", 4)],
)
def test_that_classes_fail_the_run(words: str, status: int, audited: Callable[..., Any]) -> None:
    _, done = audited(SUITE, "-q", f"--gradagree-audit-fail={words}")
    assert done.returncode == status
    if status == 4:
        assert "known classes: vacuous, loose, too tight, unjudged, sound" in done.stderr


def test_that_failures_and_their_explanations_are_those_without_the_audit(audited: Callable[..., Any]) -> None:
    results, with_audit = audited(SUITE + FAILING, "-q")
    _, without = audited(SUITE + FAILING, "-q", audit=False)
    shown = [
        [re.sub(r"0x\w+", "", line) for line in done.stdout.splitlines() if line.startswith(("E ", ">", "FAILED"))]
        for done in (with_audit, without)
    ]
    assert with_audit.returncode == without.returncode == 1
    assert shown[0] == shown[1]
    assert any("assert 1" in line or "where" in line for line in shown[0])
    assert {record.line for record in results.records if not record.passed} >= {23}


def test_that_a_fault_of_the_audit_is_counted_and_changes_nothing(audited: Callable[..., Any]) -> None:
    results, done = audited(SUITE + BROKEN, "-q")
    assert done.returncode == 0
    assert results.records == []
    assert results.failures == {"_compared: RuntimeError: planted": 4}
    assert "the audit failed 4 times: _compared: RuntimeError: planted" in done.stdout


def test_that_nothing_is_watched_without_the_option(audited: Callable[..., Any]) -> None:
    source = SUITE + "\ndef test_plain():\n    assert type(numpy.allclose).__name__ != 'Wrapper'\n"
    assert audited(source, "-q", audit=False)[1].returncode == 0


@pytest.mark.parametrize(
    ("source", "words", "status"),
    [
        (SUITE, [], 0),
        (SUITE, ["--fail", "vacuous"], 1),
        ("def test_other(): pass", [], 5),
        (SUITE, ["--fail", "nothing"], 2),
    ],
)
def test_that_the_command_has_the_exit_codes_of_the_others(
    source: str, words: list[str], status: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "test_own.py").write_text(source)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    assert code(["audit", *words, "--report", "out", "--", "-q", "-p", "no:cacheprovider"]) == status
    if source == SUITE and status != 2:
        assert {path.name for path in (tmp_path / "out").iterdir()} == {"audit.html", "audit.json", "audit.md"}


def record(**changes: Any) -> AuditRecord:
    given: dict[str, Any] = {"test": "t", "file": "a|b.py", "line": 3, "function": "f", "dtype": "float32"}
    return AuditRecord(**given | changes)


def test_that_the_worst_record_of_a_place_stands_for_it() -> None:
    sound = record(classification=Classification.SOUND)
    loose = record(classification=Classification.LOOSE, passed=False)
    (one,) = join([sound, loose, sound])
    assert (one.classification, one.calls, one.passed) == (Classification.LOOSE, 3, False)
    assert len(join([sound, record(line=4), record(dtype="float64")])) == 3


def test_that_the_pages_hold_every_class_and_escape_names(tmp_path: Path) -> None:
    records = [record(classification=kind, line=k, function="<f>") for k, kind in enumerate(Classification)]
    results = AuditResults(records=records, failures={"<x>": 2}, tests=5, command="pytest")
    write_results(tmp_path, results)
    page, text = (tmp_path / "audit.html").read_text(), (tmp_path / "audit.md").read_text()
    for kind in Classification:
        assert f"{str(kind).capitalize()}: 1" in page
        assert kind.meaning in text
    assert "<f>" not in page
    assert "<x>" not in page
    assert "prefers-color-scheme" in page
    assert 'name="viewport"' in page
    assert read_results(tmp_path / "audit.json") == results
    assert text == "\n".join(markdown(results)) + "\n"


def test_that_an_empty_audit_says_so() -> None:
    assert next(lines(AuditResults(tests=3))) == "no comparison of a gradient was found in 3 tests"


def test_that_the_published_schema_is_that_of_the_code() -> None:
    published = json.loads((ROOT / "docs" / "audit-schema.json").read_text(encoding="utf-8"))
    assert published == schema(), "python -m tools.audit_schema > docs/audit-schema.json"
