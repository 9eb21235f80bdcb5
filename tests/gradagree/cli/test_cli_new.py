"""The new command: the template passes as it is, and invalid names are refused."""

from __future__ import annotations

import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gradagree import Activation, ErrorFunction
from gradagree.cli.main import code
from gradagree.runner.campaign import prepare

NAMES = {
    "bent": "Bent",
    "two_words": "TwoWords",
    "swish_2": "Swish2",
    "Bent": "Bent",
    "twoWords": "TwoWords",
    "a_": "A",
}


@pytest.fixture(autouse=True)
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An empty folder, and catalogues that are as before after the test."""
    monkeypatch.chdir(tmp_path)
    for base in (Activation, ErrorFunction):
        monkeypatch.setattr(base, "catalogue", dict(base.catalogue))
    yield
    for name in [name for name in sys.modules if name.startswith("gradagree_extension_")]:
        del sys.modules[name]


@pytest.fixture
def error_of(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    def run(*arguments: str) -> str:
        ended, printed = code(["new", *arguments]), capsys.readouterr()
        assert (ended, printed.out, printed.err.count("\n")) == (2, "", 1)
        return printed.err.removeprefix("gradagree: ").rstrip("\n")

    return run


@pytest.mark.parametrize("kind", ["activation", "error"])
@pytest.mark.parametrize("name", NAMES)
def test_that_the_template_passes_under_its_name(kind: str, name: str) -> None:
    assert code(["new", kind, name]) == 0
    plan = prepare([f"{name}.py"], {"cases": 1})
    (made,) = (plan.activations if kind == "activation" else plan.errors) or ()
    assert (str(made), type(made).__name__) == (name, NAMES[name])
    assert type(made).summary()
    assert {path.name for path in Path().iterdir()} - {"__pycache__"} == {f"{name}.py"}


@pytest.mark.parametrize("kind", ["activation", "error"])
def test_that_the_two_commands_in_the_message_pass(kind: str, capfd: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("torch")
    assert code(["new", kind, "bent"]) == 0
    commands = [shlex.split(line) for line in capfd.readouterr().out.splitlines() if line.startswith("  ")]
    assert [command[0] for command in commands] == ["gradagree", "python"]
    assert code([*commands[0][1:-1], "1", "--modes", "backward", "--workers", "1", "--out", "results"]) == 0
    script = commands[1][-1].replace("modes=", "frameworks='torch', modes=")
    subprocess.run([sys.executable, "-c", script], check=True, timeout=120)


@pytest.mark.parametrize(
    "name", ["", "2x", "a-b", "_hidden", "größe", "lambda", "None", "../a", "a.py", "a" * 65, "a b"]
)
def test_that_an_invalid_name_is_an_error(name: str, error_of: Any) -> None:
    message = "cannot be the name of a file and a class: write a letter, then letters, digits and underscores"
    assert message in error_of("activation", name)


@pytest.mark.parametrize(
    ("kind", "name", "message"),
    [
        (
            "activation",
            "tanh",
            "the name 'tanh' is taken by gradagree.reference.activations.smooth.Tanh: choose another",
        ),
        (
            "activation",
            "Tanh",
            "the name 'Tanh' is taken by gradagree.reference.activations.smooth.Tanh: choose another",
        ),
        (
            "error",
            "sse",
            "the name 'sse' is taken by gradagree.reference.losses.regression.SumOfSquares: choose another",
        ),
        ("error", "Activation", "the name 'Activation' is taken by gradagree.reference.contract.Activation: choose"),
        ("activation", "random", "random.py would hide the Python module 'random': choose another name"),
        ("error", "numpy", "numpy.py would hide the Python module 'numpy': choose another name"),
        ("activaton", "bent", "new 'activaton': did you mean 'activation'?"),
    ],
)
def test_that_a_name_in_use_is_an_error_that_names_its_owner(kind: str, name: str, message: str, error_of: Any) -> None:
    assert error_of(kind, name).startswith(message)
    assert list(Path().iterdir()) == []


def test_that_a_name_may_be_one_of_the_other_kind() -> None:
    assert code(["new", "activation", "sse"]) == code(["new", "error", "tanh"]) == 0


@pytest.mark.parametrize("there", ["file", "folder", "dangling link"])
def test_that_nothing_is_overwritten(there: str, error_of: Any) -> None:
    path = Path("bent.py")
    {"file": path.touch, "folder": path.mkdir, "dangling link": lambda: path.symlink_to("nowhere")}[there]()
    assert error_of("activation", "bent") == "bent.py already exists: choose another name, or remove the file"
    assert not path.is_file() or path.read_text() == ""


def test_that_a_read_only_folder_is_an_error_in_one_line(error_of: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> Any:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "open", full)
    assert error_of("activation", "bent") == "cannot write bent.py: No space left on device; choose another folder"
