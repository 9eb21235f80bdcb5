"""The check command: functions of files and modules, inputs of files and functions, exit codes."""

from __future__ import annotations

import json
import runpy
import shlex
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from gradagree.cli.main import code

pytest.importorskip("torch")
KERNELS = """
import numpy as np
import torch

class Cube(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, scale):
        ctx.save_for_backward(x, scale)
        return x ** 3 * scale

    @staticmethod
    def backward(ctx, g):
        x, scale = ctx.saved_tensors
        return 2 * g * x ** 2 * scale, (g * x ** 3).sum()

def cube(x, scale):
    return x ** 3 * scale

def right(x, scale):
    return torch.pow(x, 3) * scale

def inputs():
    return np.linspace(0.5, 2, 4), np.asarray(3.0)
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    tmp_path.joinpath("own_kernels.py").write_text(KERNELS)
    yield tmp_path
    for name in [name for name in sys.modules if name.startswith(("gradagree_extension_", "own_kernels"))]:
        del sys.modules[name]


Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def call(*words: str) -> tuple[int, str, str]:
        ended, printed = code(["check", *words, "--framework", "torch"]), capsys.readouterr()
        return ended, printed.out, printed.err

    return call


@pytest.mark.parametrize("home", ["own_kernels", "own_kernels.py"])
def test_that_a_right_function_exits_with_0(run: Run, home: str) -> None:
    words = ["--inputs", f"{home}:inputs", "--reference", f"{home}:cube", "--dtypes", "float32,bfloat16"]
    ended, out, err = run(f"{home}:right", *words)
    assert (ended, err) == (0, "")
    assert out.startswith("right: agree\n")
    assert out.count("✓ agree") == 6


def test_that_a_wrong_function_exits_with_1_and_names_the_argument(run: Run) -> None:
    ended, out, _ = run("own_kernels.py:Cube.apply", "--inputs", "own_kernels.py:inputs", "--html", "page.html")
    assert ended == 1
    assert out.startswith("Cube.apply: gradient of args[0] (torch float64): disagree\n")
    assert out.endswith("Written: page.html\n")
    assert "Cube.apply" in Path("page.html").read_text()


def test_that_json_is_all_that_is_printed(run: Run) -> None:
    ended, out, _ = run("own_kernels:Cube.apply", "--inputs", "own_kernels:inputs", "--json", "--wrt", "1")
    found = json.loads(out)
    assert (ended, found["function"], found["verdict"]) == (0, "Cube.apply", "agree")
    assert [record["name"] for record in found["records"]] == ["output", "args[1]"]


def test_that_a_file_of_arrays_gives_positional_and_keyword_arguments(run: Run) -> None:
    np.savez("own.npz", np.linspace(0.5, 2, 4), scale=np.asarray(3.0))
    ended, out, _ = run("own_kernels:right", "--inputs", "own.npz", "--reference", "own_kernels:cube")
    assert ended == 0
    assert "gradient of scale" in out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["own_kernels:right"], "give the arguments of the function with --inputs"),
        (["right", "--inputs", "a.npz"], "check 'right': write module:function or file.py:function"),
        (["own_kernels:rigth", "--inputs", "a.npz"], "own_kernels has no 'rigth'; did you mean 'right'?"),
        (["not_here:right", "--inputs", "a.npz"], "check not_here: ModuleNotFoundError: No module named 'not_here'"),
        (["not_here.py:right", "--inputs", "a.npz"], "check not_here.py: no such file"),
        (["own_kernels:right", "--inputs", "a.npz"], "--inputs a.npz: no such file"),
        (["own_kernels:right", "--inputs", "own_kernels:cub"], "--inputs 'own_kernels:cub': own_kernels has no 'cub'"),
        (["own_kernels:right", "--inputs", "own_kernels:inputs", "--html", "a.txt"], "give a name that ends in .html"),
    ],
)
def test_that_bad_input_exits_with_2_in_one_line(run: Run, words: list[str], message: str) -> None:
    ended, out, err = run(*words)
    assert (ended, out, err.count("\n")) == (2, "", 1)
    assert message in err


def test_that_a_damaged_file_of_arrays_is_refused(run: Run) -> None:
    Path("a.npz").write_bytes(b"PK\x03\x04 damaged")
    ended, _, err = run("own_kernels:right", "--inputs", "a.npz")
    assert (ended, err.count("\n")) == (2, 1)
    assert "--inputs a.npz: cannot be read as a .npz file" in err


def test_that_a_failing_call_is_saved_where_it_is_wanted(run: Run, folder: Path) -> None:
    ended, printed, _ = run("own_kernels.py:Cube.apply", "--inputs", "own_kernels.py:inputs", "--save", "replay")
    (script,) = folder.glob("replay/Cube.apply-*/replay.py")
    assert (ended, printed.rstrip().endswith(f"See it again: {command_of(script)}")) == (1, True)
    with pytest.raises(AssertionError, match=r"Cube.apply: gradient of args\[0\]"):
        runpy.run_path(str(script))


def command_of(script: Path) -> str:
    python = "python" if shutil.which("python") == sys.executable else sys.executable
    return shlex.join([python, str(script)])


def test_that_hidden_conditions_and_cotangents_are_chosen(run: Run, folder: Path) -> None:
    words = ("own_kernels.py:right", "--inputs", "own_kernels.py:inputs", "--json")
    assert len(json.loads(run(*words)[1])["conditions"]) > 3
    assert json.loads(run(*words, "--no-layouts", "--repeat", "1")[1])["conditions"] == []
    np.savez(folder / "cotangents.npz", np.ones(4))
    assert run(*words, "--cotangents", "cotangents.npz")[0] == 0
    np.savez(folder / "cotangents.npz", x=np.ones(4))
    ended, _, error = run(*words, "--cotangents", "cotangents.npz")
    assert (ended, "'x' is no cotangent; write them by numpy.savez(x, y)" in error) == (2, True)
    ended, _, error = run(*words, "--repeat", "0")
    assert (ended, "repeat=0: give the number of calls, 1 or more" in error) == (2, True)
