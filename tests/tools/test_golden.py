"""tools/golden.py sees every difference that matters, and none where only wording or time differ."""

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from tools import golden

RECORD = {
    "spec": "1-1:relu:sse:n1:f32:grid:s1", "framework": "torch", "mode": "backward", "verdict": "agree", "ratio": 0.5,
    "sharpness": None, "reason": "at a kink", "seconds": 0.1, "version": "2.13.0", "observed": "0x1.8p+1",
}  # fmt: skip
HELP = "Usage: gradagree run [OPTIONS]\n\n  Run.\n\nOptions:\n  --cases N  How many.\n  -h, --help  Show this.\n"
PAGE = """<!doctype html><style>p { top: 7px }</style>
<p>3 cases in 1.5 s</p><table><tr><td>✓ agree 2/3</td><td>0.5</td></table>"""


def write(folder: Path, name: str, text: str) -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def lines(*records: dict[str, object]) -> str:
    return "".join(json.dumps(record) + "\n" for record in records)


@pytest.fixture
def recordings(tmp_path: Path) -> tuple[Path, Path]:
    """Two recordings of the same results."""
    old, new = tmp_path / "old", tmp_path / "new"
    write(old, "golden.json", json.dumps({"quick": True, "codes": {"run": 1}}))
    write(old, "run/results.jsonl", lines(RECORD, {**RECORD, "mode": "forward"}))
    write(old, "run/report.html", PAGE)
    write(old, "survey/findings.json", json.dumps([{"kind": "no correct digit", "count": 3, "note": "far out"}]))
    write(
        old, "train/train.json", json.dumps({"curves": {"torch": {"error": [3.5, 2.25]}}, "stopped": {"torch": "end"}})
    )
    write(old, "help-run.txt", HELP)
    write(old, "list-modes.txt", "jax:grad    reverse mode,\n            operation by operation\n")
    write(old, "docs/record.schema.json", json.dumps({"title": "A record", "type": "object"}))
    write(old, "docs/python.md", "# Names\n\n## gradagree\n\n### gradagree.run\n\nRuns.\n")
    shutil.copytree(old, new)
    return old, new


def compared(old: Path, new: Path) -> tuple[int, str]:
    done = CliRunner().invoke(golden.main, ["compare", str(old), str(new)])
    return done.exit_code, done.output


def test_that_two_recordings_of_the_same_results_do_not_differ(recordings: tuple[Path, Path]) -> None:
    assert compared(*recordings) == (0, "no differences\n")


@pytest.mark.parametrize(
    ("name", "old", "new", "line"),
    [
        ("run/results.jsonl", '"agree"', '"disagree"', "verdict is 'disagree' instead of 'agree'"),
        ("run/results.jsonl", "0.5", "0.5000000000000001", "ratio is 0.5000000000000001 instead of 0.5"),
        ("run/results.jsonl", "0x1.8p+1", "0x1.9p+1", "observed is '0x1.9p+1' instead of '0x1.8p+1'"),
        ("run/results.jsonl", "null", "0.0", "sharpness is 0.0 instead of None"),
        ("run/results.jsonl", "at a kink", "", "reason is False instead of True"),
        ("run/results.jsonl", ', "seconds": 0.1', "", "missing: seconds"),
        ("run/results.jsonl", "forward", "grad", "missing: 1-1:relu:sse:n1:f32:grid:s1 torch forward"),
        ("run/report.html", "0.5", "0.75", "'0.75' instead of '0.5'"),
        ("run/report.html", "agree 2/3", "disagree 2/3", "'disagree' instead of 'agree'"),
        ("survey/findings.json", "no correct digit", "few digits", "[0] kind is 'few digits'"),
        ("survey/findings.json", '"count": 3', '"count": 4', "[0] count is 4 instead of 3"),
        ("train/train.json", "2.25", "2.5", "curves torch error [1] is 2.5 instead of 2.25"),
        ("train/train.json", "[3.5, 2.25]", "[3.5]", "has 1 entries instead of 2"),
        ("help-run.txt", "  --cases N  How many.\n", "", "missing: --cases N"),
        ("help-run.txt", "--cases N", "--cases COUNT", "new: --cases COUNT"),
        ("list-modes.txt", "jax:grad", "jax:jit", "missing: jax:grad"),
        ("golden.json", '"run": 1', '"run": 0', "codes run is 0 instead of 1"),
        ("docs/record.schema.json", "object", "array", "type is 'array' instead of 'object'"),
        ("docs/python.md", "### gradagree.run", "### gradagree.go", "missing: gradagree.run"),
    ],
)  # fmt: skip
def test_that_a_change_is_seen(recordings: tuple[Path, Path], name: str, old: str, new: str, line: str) -> None:
    text = (recordings[1] / name).read_text(encoding="utf-8")
    assert old in text
    write(recordings[1], name, text.replace(old, new, 1) if old != "forward" else text.replace(old, new))
    code, output = compared(*recordings)
    assert code == 1
    assert f"{name}: " in output
    assert line in output


def test_that_a_missing_record_and_a_missing_page_are_seen(recordings: tuple[Path, Path]) -> None:
    write(recordings[1], "run/results.jsonl", lines(RECORD))
    (recordings[1] / "run/report.html").unlink()
    code, output = compared(*recordings)
    assert code == 1
    assert "run/results.jsonl: missing: 1-1:relu:sse:n1:f32:grid:s1 torch forward\n" in output
    assert "files: missing: run/report.html\n" in output


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("run/results.jsonl", '"seconds": 0.1', '"seconds": 0.2'),
        ("run/results.jsonl", "2.13.0", "2.14.0"),
        ("run/results.jsonl", "at a kink", "where the slope jumps"),
        ("run/report.html", "3 cases in 1.5 s", "3 random cases took 2.5 s"),
        ("run/report.html", "7px", "8px"),
        ("survey/findings.json", "far out", "far from zero"),
        ("help-run.txt", "How many.", "Number of cases, a whole number."),
        ("list-modes.txt", "operation by operation", "one operation at a time"),
        ("docs/python.md", "Runs.", "Runs 3 cases.\n\n### gradagree.new"),
    ],
)
def test_that_times_versions_and_wording_are_free(recordings: tuple[Path, Path], name: str, old: str, new: str) -> None:
    text = (recordings[1] / name).read_text(encoding="utf-8")
    assert old in text
    write(recordings[1], name, text.replace(old, new))
    assert compared(*recordings) == (0, "no differences\n")


def test_that_records_in_another_order_do_not_differ(recordings: tuple[Path, Path]) -> None:
    write(recordings[1], "run/results.jsonl", lines({**RECORD, "mode": "forward"}, RECORD))
    assert compared(*recordings) == (0, "no differences\n")


ROWS = {
    "report.html": "<!doctype html><table>{}</table>".format(
        "".join(f"<tr><td>{row}</td></tr>" for row in ("{}", "{}"))
    ),
    "report.md": "| {} |\n| {} |\n",
}


@pytest.mark.parametrize("page", ROWS)
@pytest.mark.parametrize(
    ("rows", "code"),
    [
        (("agree 2</td><td>tanh 7", "agree 2</td><td>relu 5"), 0),
        (("agree 2", "disagree 2"), 1),
        (("3 of 4", "2 of 4"), 1),
    ],
)
def test_that_tied_rows_of_a_table_have_no_order(
    recordings: tuple[Path, Path], page: str, rows: tuple[str, str], code: int
) -> None:
    shown = [row if page == "report.html" else row.replace("</td><td>", " | ") for row in rows]
    for folder, order in zip(recordings, (shown, shown[::-1]), strict=True):
        write(folder, f"run/{page}", ROWS[page].format(*order))
    assert compared(*recordings)[0] == code


def test_that_messages_are_shown_where_they_are_wanted(recordings: tuple[Path, Path]) -> None:
    old, new = recordings
    write(new, "run/results.jsonl", lines({**RECORD, "reason": "at 0"}, {**RECORD, "mode": "forward"}))
    done = CliRunner().invoke(golden.main, ["compare", str(old), str(new), "--messages"])
    assert done.exit_code == 0
    assert "(message) at a kink\n       -> at 0\n" in done.output
