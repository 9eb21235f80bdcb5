"""Everything that is line wrong is answered in one line that message what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from gradagree.cli.main import code

GOOD = "3-4b-2:id,tanh*2:sse:n5:f64:ordinary:s1"
LONG = "n" * 5000
INVALID = {
    "ryn": "no command 'ryn'; did you mean 'run'?",
    "--foo": "No such option",
    "run --foo": "No such option",
    "run extra": "Got unexpected extra argument",
    "run --cases": "Option '--cases' requires an argument",
    "run --cases many": "Invalid value for '--cases': 'many'",
    "run --cases 1.5": "Invalid value for '--cases': '1.5'",
    "run --cases 0": "--cases 0: give a whole number from 1 to 1000000000",
    "run --seed -1": "--seed -1: give a whole number of at least 0",
    "run --budget inf": "--budget inf: give a number of seconds above 0",
    "run --workers 0": "--workers 0: give a whole number of at least 1",
    "run --known none.toml": "--known none.toml: no such file",
    "run --known a.file": "a.file is not valid TOML: ",
    "run --shrink -1": "--shrink -1: give a number of seconds, or 0 to shrink nothing",
    "run --shrink nan": "--shrink nan: give a number of seconds, or 0 to shrink nothing",
    "run --budget 0": "--budget 0: give a number of seconds above 0",
    "run --budget nan": "--budget nan: give a number of seconds above 0",
    "run --profile fast": "--profile: unknown profile 'fast'; known: ci, nightly, quick",
    "run --dtypes float31": "--dtypes: unknown name 'float31'; did you mean 'float32'?",
    "run --regimes gird": "--regimes: unknown name 'gird'; did you mean 'grid'?",
    "run --activations tahn": "--activations: unknown activation 'tahn'; did you mean 'tanh'?",
    "run --errors ssse": "--errors: unknown error function 'ssse'; did you mean 'sse'?",
    "run --frameworks pytorch": "--frameworks: unknown name 'pytorch'; did you mean 'torch'?",
    "run --modes backwards": "--modes: no mode 'backwards' in ",
    "run --ext none.py": "--ext none.py: no such file",
    f"run --ext {LONG}.py": "--ext nnn",
    "run --frameworks torch --out a.file": "cannot write a.file: File exists; choose another folder with --out",
    "replay": "Missing argument 'ID|FILE'",
    "replay nonsense": "'nonsense' is not a case, a case file, or a six-digit alias",
    f"replay {LONG}": "'nnn",
    "replay 2-2:tanh": "'2-2:tanh' is no case: write WIDTHS:ACTIVATIONS:ERROR:nEXAMPLES:DTYPE:REGIME:sSEED, for ",
    "replay 2-2:tahn:sse:n1:f64:grid:s1": "unknown activation 'tahn'; did you mean 'tanh'?",
    "replay 000000": "an alias needs a results folder; give it with --dir",
    "replay 000000 --dir none": "none is not a results folder: results.jsonl: No such file or directory",
    "replay a.file": "a.file is no case file: ",
    f"replay {GOOD} --script a.txt": "--script a.txt: give a name that ends in .py",
    f"replay {GOOD} --script none/a.py": "--script none/a.py: there is no folder none",
    f"replay {GOOD} --script {LONG}.py": "--script nnn",
    f"replay {GOOD} --modes backwards": "--modes: no mode 'backwards' in ",
    "report": "Missing argument 'DIR...'",
    "report none": "none is not a results folder: it has no meta.json",
    "report a.file": "a.file",
    "report none --known none.toml": "--known none.toml: no such file",
    "compare": "Missing argument 'A'",
    "compare none": "compare: name a second results folder, or use --extract FILE to write a baseline of the first",
    "compare none none": "none is not a results folder: it has no meta.json",
    "compare none none --out a.file": "cannot write a.file: File exists; choose another folder with --out",
    "compare a.file a.file": "a.file is no extract: ",
    "compare none --extract none/b.file": "--extract none/b.file: there is no folder none",
    "compare none --extract .": "--extract .: that is a folder; name a file",
    "compare none --extract a.file": "none is not a results folder: it has no meta.json",
    "compare none none --extract f": "compare --extract FILE writes a baseline of one results folder: name only one",
    "compare none none --known a.file": "a.file is not valid TOML: ",
    "list": "Missing argument 'activations|errors|layers|architectures|frameworks|modes|regimes'",
    "list activation": "list 'activation': did you mean 'activations'?",
    "list errors --ext none.py": "--ext none.py: no such file",
}


@pytest.mark.parametrize("line", INVALID, ids=lambda line: line[:60])
def test_that_bad_input_is_an_error_in_one_line(
    line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.file").write_text("no case")
    ended = code(line.split())
    printed = capsys.readouterr()
    assert printed.err.startswith(f"gradagree: {INVALID[line]}"), printed.err
    assert printed.err.count("\n") == 1
    assert (ended, printed.out) == (2, "")
    assert len(printed.err) < 600 or LONG in line
