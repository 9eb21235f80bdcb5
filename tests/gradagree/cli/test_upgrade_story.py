"""The upgrade described in docs/upgrading.md: baseline, change, gate, known entry, green again, entry gone."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from gradagree.cli.main import code
from gradagree.reference import Activation

pytestmark = pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="PyTorch is not installed")

KERNEL = '''"""A user's kernel; its version is a number in a file."""

from pathlib import Path

import numpy as np

from gradagree import Activation


class Kernel(Activation):
    """A(p) = tanh p."""

    def value(self, p):
        return np.tanh(p)

    def derivative(self, p):
        return 1 - np.tanh(p) ** 2

    def torch(self, p, torch):
        return torch.tanh(p) * float(Path(FILE).read_text())
'''
KNOWN = """\
[[known]]
framework = "torch"
function = "kernel"
class = "value-differs"
reason = "the new kernel is off by 1e-3, see the upstream issue"
"""
RUN = (
    "run --cases 4 --frameworks torch --modes backward --regimes ordinary --workers 1 --shrink 30 --ext kernel.py --out"
)


def test_that_the_upgrade_story_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Activation, "catalogue", dict(Activation.catalogue))
    monkeypatch.chdir(tmp_path)
    version = Path("version").resolve()
    Path("kernel.py").write_text(KERNEL.replace("FILE", repr(str(version))))

    def execute(line: str) -> tuple[int, str]:
        ended = code(line.split())
        printed = capsys.readouterr()
        assert "Traceback" not in printed.err
        return ended, printed.out

    version.write_text("1.0")
    assert execute(f"{RUN} old")[0] == 0
    assert execute("compare old --extract baseline.jsonl")[0] == 0
    assert execute(f"{RUN} same")[0] == 0
    assert execute("compare baseline.jsonl same --gate")[0] == 0

    version.write_text("1.001")
    ended, printed = execute(f"{RUN} new")
    assert ended == 1
    if importlib.util.find_spec("hypothesis") is not None:
        assert "smallest case 1-1:kernel:sse:n1:f64:explicit:" in " ".join(printed.split())
    ended, printed = execute("compare baseline.jsonl new --gate --out pages")
    assert ended == 1
    assert "a regression." in " ".join(printed.split())

    Path("gradagree-known.toml").write_text(KNOWN)
    assert execute(f"{RUN} known")[0] == 0
    assert execute("compare baseline.jsonl known --gate")[0] == 0

    version.write_text("1.0")
    ended, printed = execute(f"{RUN} mended")
    assert ended == 1
    assert "stale" in printed
    Path("gradagree-known.toml").unlink()
    assert execute("report mended")[0] == 1
    assert execute("report mended --known none")[0] == 0
