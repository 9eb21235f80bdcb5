"""Files of a user's own functions and adapters: what loading does, and how a bad file is named."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gradagree.adapters import Adapter
from gradagree.errors import UsageError
from gradagree.reference import Activation, ErrorFunction
from gradagree.runner.extensions import load

IMPORTS = """from gradagree import Activation, Adapter, ErrorFunction
import numpy as np
"""
GOOD = f"""{IMPORTS}
class Bent(Activation):
    def value(self, p):
        return 2 * p

    def derivative(self, p):
        return 2 * np.ones_like(p)
"""


@pytest.fixture(autouse=True)
def as_before(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What a file registers leaves with the test."""
    for base in (Activation, ErrorFunction, Adapter):
        monkeypatch.setattr(base, "catalogue", dict(base.catalogue))
    modules = set(sys.modules)
    yield
    for name in set(sys.modules) - modules:
        del sys.modules[name]


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Writes mine.py, in what becomes the current folder, and gives its name."""
    monkeypatch.chdir(tmp_path)

    def write(content: str | bytes, name: str = "mine.py") -> str:
        Path(name).write_bytes(content if isinstance(content, bytes) else content.encode())
        return name

    return write


def complaint(name: str) -> str:
    with pytest.raises(UsageError) as caught:
        load([name])
    assert str(caught.value).isprintable()
    return str(caught.value)


def test_that_what_a_file_defines_is_in_the_catalogue(file: Any) -> None:
    assert "bent" not in Activation.catalogue
    (module,) = load([file(GOOD)])
    assert Activation.catalogue["bent"] is module.Bent
    assert Activation.named("bent") == module.Bent()


def test_that_a_file_is_run_once_however_it_is_named(file: Any, tmp_path: Path) -> None:
    name = file(GOOD)
    modules = {id(module) for path in (name, f"./{name}", str(tmp_path / name)) for module in load([path, path])}
    assert len(modules) == 1


def test_that_files_of_one_name_in_two_folders_are_two(file: Any) -> None:
    Path("other").mkdir()
    one, other = load([file("x = 1\n"), file("x = 2\n", "other/mine.py")])
    assert (one.x, other.x) == (1, 2)


def test_that_a_file_may_be_mended_and_loaded_again(file: Any) -> None:
    complaint(file(f"{GOOD}\n1 / 0\n"))
    (module,) = load([file(GOOD)])
    assert Activation.catalogue["bent"] is module.Bent


BAD = {
    "raises": ("import os\n\n1 / 0\n", ", line 3: ZeroDivisionError: division by zero"),
    "raises in a library": ("import json\n\njson.loads('{')\n", ", line 3: JSONDecodeError: Expecting property name"),
    "raises within a function": ("def f():\n    1 / 0\n\nf()\n", ", line 2: ZeroDivisionError: division by zero"),
    "raises in several lines": ("raise ValueError('one\\ntwo')\n", ", line 1: ValueError: one"),
    "syntax": ("x = 1\ny = (\n", ", line 2: SyntaxError: '(' was never closed"),
    "indentation": ("def f():\nreturn 1\n", ", line 2: IndentationError: expected an indented block"),
    "not UTF-8": (b"x = '\xff'\n", ", line 1: SyntaxError: "),
    "null bytes": ("x = 1\0\n", ""),
    "exits": ("import sys\nsys.exit(0)\n", ", line 2: SystemExit: 0"),
    "endless recursion": ("def f(): f()\nf()\n", ", line 1: RecursionError: maximum recursion depth exceeded"),
    "imports what is not there": (
        "import nothing_of_that_name\n", ", line 1: ModuleNotFoundError: No module named 'nothing_of_that_name'",
    ),
    "misspelled method": (
        f"{GOOD}\n    def tourch(self, p, torch):\n        return p\n",
        ", line 4: ContractError: Bent.tourch is no part of an activation; did you mean 'torch'?",
    ),
    "misspelled derivative": (
        GOOD.replace("derivative", "derivate"),
        ", line 4: ContractError: Bent.derivate is no part of an activation; did you mean 'derivative'?",
    ),
    "no value": (
        GOOD.replace("def value(self, p)", "def _value(self, p)"),
        ", line 4: ContractError: Bent has no method 'value': add `def value(self, ...)`",
    ),
    "name taken": (
        GOOD.replace("Bent", "Tanh"),
        ", line 4: ContractError: Tanh: the name 'tanh' is taken by gradagree.reference.activations.smooth.Tanh; set",
    ),
    "unknown targets": (
        (
            f"{IMPORTS}class Lost(ErrorFunction):\n    targets = 'bit'\n    def value(self, o, t): ...\n"
            "    def sensitivity(self, o, t): ...\n"
        ),
        ", line 3: ContractError: Lost.targets is 'bit'; it must be one of real, bits, signs, classes",
    ),
    "parameter without a default": (
        GOOD.replace("    def value", "    beta: float\n\n    def value"),
        ", line 4: ContractError: Bent.beta needs a default value: `beta: float = 1.0`",
    ),
    "adapter without a name": (f"{IMPORTS}class Mine(Adapter):\n    modes = {{}}\n", ", line 3: "),
    "adapter without modes": (f"{IMPORTS}class Mine(Adapter):\n    name = 'mine'\n", ", line 3: "),
    "adapter of a name that is taken": (
        f"{IMPORTS}class Mine(Adapter):\n    name = 'torch'\n    install = ''\n    modes = {{}}\n", ", line 3: ",
    ),
}  # fmt: skip


@pytest.mark.parametrize("bad", BAD)
def test_that_a_bad_file_is_refused_in_one_line_that_names_file_line_and_reason(bad: str, file: Any) -> None:
    content, expected = BAD[bad]
    assert complaint(file(content)).startswith(f"--ext mine.py{expected}")


@pytest.mark.parametrize("bad", BAD)
def test_that_a_bad_file_leaves_no_module_behind(bad: str, file: Any) -> None:
    before = {name for name in sys.modules if name.startswith("gradagree_extension")}
    complaint(file(BAD[bad][0]))
    assert {name for name in sys.modules if name.startswith("gradagree_extension")} == before


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("none.py", "--ext none.py: no such file"),
        ("", "--ext : no such file"),
        ("folder.py", "--ext folder.py: no such file"),
        ("mine.txt", "--ext mine.txt: not a Python file; its name must end in .py"),
        ("mine", "--ext mine: not a Python file; its name must end in .py"),
        ("n" * 300 + ".py", "--ext nnn"),
    ],
)
def test_that_a_name_that_leads_to_no_python_file_is_refused(name: str, expected: str, file: Any) -> None:
    Path("folder.py").mkdir()
    for other in ("mine.txt", "mine"):
        file(GOOD, other)
    assert complaint(name).startswith(expected)


def test_that_what_a_file_prints_at_its_import_is_hidden(file: Any, capsys: pytest.CaptureFixture[str]) -> None:
    (module,) = load([file("print('noise ' * 10**6)\nx = 1\n")])
    assert module.x == 1
    assert capsys.readouterr().out == ""


def test_that_what_a_file_prints_before_it_fails_is_hidden_too(file: Any, capsys: pytest.CaptureFixture[str]) -> None:
    complaint(file("print('noise')\n1 / 0\n"))
    assert capsys.readouterr().out == ""


def test_that_files_after_a_bad_one_are_not_run(file: Any) -> None:
    with pytest.raises(UsageError):
        load([file("1 / 0\n"), file(GOOD, "good.py")])
    assert "bent" not in Activation.catalogue


def test_that_a_file_that_loops_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gradagree.runner.extensions.LOAD_LIMIT", 0.2)
    (tmp_path / "loops.py").write_text("import time\nwhile True:\n    time.sleep(0.01)\n")
    with pytest.raises(UsageError, match=r"loops.py, line [23]: TimeoutError: not loaded within 0.2 seconds"):
        load([str(tmp_path / "loops.py")])


def test_that_the_limit_ends_with_the_loading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gradagree.runner.extensions.LOAD_LIMIT", 0.2)
    (tmp_path / "brief.py").write_text("made = 1\n")
    assert load([str(tmp_path / "brief.py")])[0].made == 1
    time.sleep(0.3)
