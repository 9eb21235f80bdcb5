"""replay --script writes a script and an issue text for a case that fails."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from typing import Any

import pytest

from gradagree.cli.main import code
from gradagree.reference import Activation

pytestmark = pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="PyTorch is not installed")

BENT = '''from gradagree import Activation
import numpy as np

class Bent(Activation):
    """A(p) = tanh p."""

    def value(self, p):
        return np.tanh(p)

    def derivative(self, p):
        return 1 - np.tanh(p) ** 2

    def torch(self, p, torch):
        return torch.tanh(p) * FACTOR
'''
SPEC = "5-6b-4:id,tanh,bent:mse:n7:f64:ordinary:s4"


@pytest.fixture
def replay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Replays a case whose function has a factor in its implementation: exit code, output and error output."""
    monkeypatch.setattr(Activation, "catalogue", dict(Activation.catalogue))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")

    def command(factor: str, *options: str) -> tuple[int, str, str]:
        Path("mine.py").write_text(BENT.replace("FACTOR", factor))
        ended = code(["replay", SPEC, "--ext", "mine.py", "--modes", "torch:backward", *options])
        captured = capsys.readouterr()
        return ended, captured.out, captured.err

    return command


def test_that_a_fault_gives_a_short_script_that_shows_it_and_an_issue_with_the_script(replay: Any) -> None:
    ended, output, _ = replay("(1 + 2**-20)", "--script", "fault.py")
    script, issue = Path("fault.py").read_text(), Path("fault.md").read_text()
    assert ended == 1
    assert "The script ends with 1 and prints:" in output
    assert "wrong: the distance is" in output
    assert script.strip() in issue
    assert issue.startswith("# torch")
    assert "bent is that of another function" in issue
    assert "2**-20" in re.sub(r"[ ()]", "", script)
    # Only the faulty function is left of the network.
    assert "mse(" not in script.replace("mse_loss(", "")
    assert len(script.splitlines()) <= 5 * 12


def test_that_without_a_fault_no_script_is_written(replay: Any) -> None:
    ended, output, _ = replay("1", "--script")
    assert (ended, "No script is written: nothing is wrong." in output) == (0, True)
    assert not list(Path().glob("*.md"))


def test_that_a_script_has_a_default_name(replay: Any) -> None:
    replay("(1 + 2**-20)", "--script")
    (path,) = Path().glob("gradagree-*-torch-backward.py")
    assert path.with_suffix(".md").exists()


def test_that_a_name_without_py_is_refused_in_one_line(replay: Any) -> None:
    ended, _, error = replay("(1 + 2**-20)", "--script", "fault.txt")
    assert (ended, error) == (2, "gradagree: --script fault.txt: give a name that ends in .py\n")
