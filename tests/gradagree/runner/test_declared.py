"""Files that pyproject.toml names, and entry points of installed packages."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from gradagree import Activation, Adapter, ErrorFunction, check
from gradagree.checker.verdict import Verdict
from gradagree.cli.main import code
from gradagree.errors import UsageError
from gradagree.runner import campaign, extensions as declared
from gradagree.runner.extensions import extension_files, load, load_all, load_installed
from gradagree.runner.results import read_meta, read_records

BENT = """import numpy as np
from gradagree import Activation

class NAME(Activation):
    def value(self, p):
        return 2 * p

    def derivative(self, p):
        return 2 * np.ones_like(p)

    def torch(self, p, torch):
        return 2 * p
"""
ADAPTER = """from gradagree import Adapter

class ForNothing(Adapter):
    name = "nothing"
    install = "pip install nothing"
    modes = {"right": None}

    def __init__(self):
        raise ImportError("there is nothing")
"""


@pytest.fixture(autouse=True)
def as_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An empty folder, from which modules can be imported too; what is registered leaves with the test."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    for base in (Activation, ErrorFunction, Adapter):
        monkeypatch.setattr(base, "catalogue", dict(base.catalogue))
    modules = set(sys.modules)
    load_installed.cache_clear()
    yield
    load_installed.cache_clear()
    for name in set(sys.modules) - modules:
        del sys.modules[name]


def bent(name: str = "Bent", path: str = "bent.py") -> str:
    Path(path).parent.mkdir(exist_ok=True)
    Path(path).write_text(BENT.replace("NAME", name))
    return path


def project(content: str, folder: str = ".") -> None:
    (Path(folder) / "pyproject.toml").write_text(f"[tool.gradagree]\n{content}\n")


@pytest.fixture
def offering(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """Makes it look as if an installed package had one entry point."""

    def offer(group: str, value: str) -> None:
        entries = metadata.EntryPoints([metadata.EntryPoint("mine", value, group)])
        monkeypatch.setattr(declared.metadata, "entry_points", lambda group: entries.select(group=group))

    return offer


def complaint() -> str:
    with pytest.raises(UsageError) as caught:
        load_all(())
    assert str(caught.value).isprintable()
    return str(caught.value)


@pytest.mark.parametrize("below", [".", "a", "a/b"])
def test_that_files_are_found_from_any_folder_below_and_are_relative_to_the_project(
    below: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bent(path="own/bent.py")
    project('ext = ["own/bent.py"]')
    Path(below).mkdir(parents=True, exist_ok=True)
    monkeypatch.chdir(below)
    assert [kind.name for kind in load_all(()).named] == ["bent"]
    assert extension_files(()) == [str(tmp_path / "own" / "bent.py")]


def test_that_the_nearest_project_alone_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    project('ext = ["none.py"]')
    Path("inner").mkdir()
    (Path("inner") / "pyproject.toml").write_text("[project]\nname = 'inner'\n")
    monkeypatch.chdir("inner")
    assert extension_files(()) == []
    assert load_all(()).named == []


def test_that_nothing_is_loaded_that_is_not_named() -> None:
    bent()
    Path("other.py").write_text("raise RuntimeError('loaded')\n")
    project('ext = ["bent.py"]')
    assert [kind.name for kind in load_all(()).named] == ["bent"]


def test_that_functions_of_ext_come_before_those_of_the_project() -> None:
    project(f'ext = ["{bent()}"]')
    other = bent("Other", "other.py")
    assert [kind.name for kind in load_all([other]).named] == ["other"]
    assert {"bent", "other"} <= set(Activation.catalogue)
    assert [Path(file).name for file in extension_files([other])] == ["bent.py", "other.py"]
    assert [kind.name for kind in load_all(["bent.py"]).named] == ["bent"]


def test_that_a_run_is_on_the_functions_of_the_project() -> None:
    project(f'ext = ["{bent()}"]')
    for _ in range(2):
        assert [str(one) for one in campaign.prepare((), {}).activations or ()] == ["bent"]


@pytest.mark.parametrize("first", ["loaded", "imported"])
def test_that_a_file_may_be_imported_too(first: str) -> None:
    project(f'ext = ["{bent("Twice", "twice_made.py")}"]')
    steps: list[Callable[[], Any]] = [lambda: load_all(()), lambda: __import__("twice_made").Twice]
    for step in steps if first == "loaded" else reversed(steps):
        step()
    assert [kind.name for kind in load_all(()).named] == ["twice"]


def test_that_a_class_of_another_file_does_not_take_a_name() -> None:
    load([bent()])
    with pytest.raises(UsageError, match="the name 'bent' is taken by gradagree_extension_"):
        load([bent(path="copy_of_bent.py")])


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ('ext = ["none.py"]', "[tool.gradagree] ext PATH/none.py: no such file"),
        ('ext = ["broken.py"]', "[tool.gradagree] ext PATH/broken.py, line 1: ZeroDivisionError: division by zero"),
        ('ext = "bent.py"', "[tool.gradagree] ext is 'bent.py'; write a list of files, ext = [\"swish.py\"]"),
        ("ext = [1]", "[tool.gradagree] ext is [1]; write a list of files"),
        ('exts = ["bent.py"]', "[tool.gradagree] has no key 'exts'; did you mean 'ext'?"),
        ("ext = [", "cannot be read: Invalid value"),
    ],
)
def test_that_a_project_that_cannot_be_followed_is_refused_in_one_line(
    content: str, expected: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("broken.py").write_text("1 / 0\n")
    project(content)
    assert code(["list", "activations"]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"gradagree: {tmp_path / 'pyproject.toml'}: {expected.replace('PATH', str(tmp_path))}"), (
        error
    )
    assert error.count("\n") == 1


def test_that_a_file_without_a_function_is_refused() -> None:
    Path("swish.py").write_text("class Swish:\n    def value(self, p):\n        return p\n")
    with pytest.raises(UsageError, match=r"swish.py: no activation, error function, layer or adapter found; "):
        load_all(["swish.py"])


@pytest.mark.parametrize("value", ["offered", "offered:Offered"])
def test_that_an_entry_point_joins_the_catalogue(value: str, offering: Any) -> None:
    bent("Offered", "offered.py")
    offering("gradagree.activations", value)
    loaded = load_all(())
    assert (loaded.named, [kind.name for kind in loaded.installed]) == ([], ["offered"])
    assert campaign.prepare((), {}).activations is None
    assert Activation.named("offered")


def test_that_an_adapter_of_an_entry_point_joins_the_frameworks(offering: Any) -> None:
    Path("for_nothing.py").write_text(ADAPTER)
    offering("gradagree.adapters", "for_nothing:ForNothing")
    with pytest.raises(UsageError, match=r"nothing was compared: not installed \(there is nothing\)"):
        check("2-2:id:sse:n1:f64:grid:s1", frameworks="nothing")
    assert "nothing" in Adapter.catalogue


def test_that_a_function_of_an_entry_point_with_a_wrong_derivative_is_refused(offering: Any) -> None:
    Path("offered.py").write_text(BENT.replace("NAME", "Offered").replace("return 2 * np", "return 3 * np"))
    offering("gradagree.activations", "offered")
    with pytest.raises(UsageError, match="offered: derivative does not match value"):
        campaign.prepare((), {})


@pytest.mark.parametrize(
    ("group", "value", "expected"),
    [
        ("activations", "nowhere_at_all", "ModuleNotFoundError: No module named 'nowhere_at_all'"),
        ("activations", "offered:Missing", "AttributeError: module 'offered' has no attribute 'Missing'"),
        ("activations", "broken", "ZeroDivisionError: division by zero"),
        ("activations", "json", "the module has no activation and no error function; correct or remove the package"),
        ("activations", "offered:np", "the module has no activation and no error function"),
        ("activations", "json:dumps", "it is <function dumps at "),
        ("adapters", "offered:Offered", "it is <class 'offered.Offered'>, not a subclass of gradagree.Adapter;"),
        ("adapters", "offered", "it is <module 'offered' from "),
    ],
)
def test_that_a_broken_entry_point_is_named_in_one_line(group: str, value: str, expected: str, offering: Any) -> None:
    bent("Offered", "offered.py")
    Path("broken.py").write_text("1 / 0\n")
    offering(f"gradagree.{group}", value)
    assert complaint().startswith(f"entry point 'mine' (gradagree.{group} = {value!r}): {expected}")


def test_that_a_list_tells_where_a_function_is_from(capsys: pytest.CaptureFixture[str]) -> None:
    project(f'ext = ["{bent()}"]')
    assert code(["list", "activations"]) == 0
    listed = {line.split()[0]: line for line in capsys.readouterr().out.splitlines() if line.strip()}
    assert "from bent.py" in listed["bent"]
    assert "from" not in listed["tanh"]


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package of a framework and a function, as an installer leaves it, for this process and those it starts."""
    shutil.copy(Path(__file__).parents[1] / "numpy_fake.py", tmp_path / "offered_fake.py")
    bent("Offered", "offered.py")
    (tmp_path / "offers-2.5.dist-info").mkdir()
    (tmp_path / "offers-2.5.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: offers\nVersion: 2.5\n")
    (tmp_path / "offers-2.5.dist-info" / "entry_points.txt").write_text(
        "[gradagree.adapters]\nfake = offered_fake:NumpyFake\n[gradagree.activations]\noffered = offered\n"
    )
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]))


@pytest.mark.usefixtures("installed")
def test_that_the_process_of_a_framework_has_what_is_installed_and_what_the_project_names(tmp_path: Path) -> None:
    project(f'ext = ["{bent()}"]')
    options = "--frameworks numpy_fake --modes right --cases 1 --workers 1 --activations bent,offered --out results"
    assert code(["run", *options.split()]) == 0
    records = list(read_records(Path("results")))
    assert {record.verdict for record in records} == {Verdict.AGREE}
    assert read_meta(Path("results"))["extensions"] == [str(tmp_path / "bent.py")]
    case = "2-2-2:id,bent,offered:sse:n1:f64:ordinary:s1"
    assert code(["replay", case, "--frameworks", "numpy_fake", "--modes", "right"]) == 0


@pytest.mark.usefixtures("installed")
def test_that_a_broken_entry_point_is_named_with_its_package(tmp_path: Path) -> None:
    (tmp_path / "offered.py").write_text("1 / 0\n")
    assert complaint().startswith(
        "entry point 'offered' of offers 2.5 (gradagree.activations = 'offered'): ZeroDivision"
    )
