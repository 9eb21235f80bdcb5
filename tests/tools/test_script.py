"""Bad input to a script in tools/ is one line on standard error and exit code 2."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPTS = sorted(path.stem for path in (ROOT / "tools").glob("*.py") if "__main__" in path.read_text(encoding="utf-8"))
BAD_INPUT = {
    **{f"{name} --nothing": f"tools.{name}: No such option" for name in SCRIPTS},
    **{f"{name} a b c": f"tools.{name}: " for name in SCRIPTS},
    "figures nowhere": "tools.figures: Invalid value for '[FOLDER]': Directory 'nowhere' does not exist.",
    "figures empty": "tools.figures: empty is no checkout of gradagree: it has no Python files in reference, adapters",
    "golden": "tools.golden: Missing command.",
    "golden recrd x": "tools.golden: No such command 'recrd'.",
    "golden record": "tools.golden: Missing argument 'FOLDER'.",
    "golden record a.file": "tools.golden: Invalid value for 'FOLDER': Directory 'a.file' is a file.",
    "golden record full": "tools.golden: full holds other files: name a new folder, or one with a recording to replace",
    "golden compare empty": "tools.golden: Missing argument 'NEW'.",
    "golden compare nowhere empty": "tools.golden: Invalid value for 'OLD': Directory 'nowhere' does not exist.",
    "golden compare empty empty": "tools.golden: empty holds no recording: write one with python -m tools.golden",
    "golden compare broken broken --most many": "tools.golden: Invalid value for '--most': 'many' is not a valid",
    "golden compare broken broken": "tools.golden: a recording cannot be read: JSONDecodeError: ",
}


@pytest.mark.parametrize("line", BAD_INPUT)
def test_that_bad_input_is_one_line_and_exit_code_2(line: str, tmp_path: Path) -> None:
    for name in ("empty", "full", "broken"):
        (tmp_path / name).mkdir()
    (tmp_path / "a.file").touch()
    (tmp_path / "full" / "notes.txt").write_text("mine", encoding="utf-8")
    for name in ("golden.json", "a.json"):
        (tmp_path / "broken" / name).write_text("{", encoding="utf-8")
    name, *arguments = line.split()
    done = subprocess.run(
        [sys.executable, "-m", f"tools.{name}", *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith(BAD_INPUT[line])
    assert (done.stdout, done.stderr.count("\n")) == ("", 1)
    assert (tmp_path / "full" / "notes.txt").read_text(encoding="utf-8") == "mine"


def test_that_every_script_is_tried() -> None:
    assert len(SCRIPTS) >= 7
