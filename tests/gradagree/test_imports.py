"""What is imported, when, and in which direction."""

from __future__ import annotations

import ast
import importlib.util
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FAKE = Path(__file__).parent / "numpy_fake.py"
OPTIONS = "--frameworks numpy_fake,torch --modes right,backward --cases 1 --workers 1 --out results"
RUN = ["run", "--ext", str(FAKE), *OPTIONS.split()]
HEAVY = {"torch", "jax", "jaxlib", "numpy", "scipy", "flint", "ml_dtypes", "sklearn"}
FRAMEWORKS = {"torch", "jax", "jaxlib"}
MAY_IMPORT = {
    "reference": {"gradagree.reference", "gradagree.errors"},
    "adapters": {"gradagree.reference", "gradagree.adapters", "gradagree.errors"},
    "gradagree": {"gradagree"},
}
"""Arrows go one way."""
LIBRARIES = {"reference": {"numpy", "scipy"}, "adapters": {"numpy", "scipy"}}
TRACERS = ("jax_", "lax", "torch_")
"""Names of the files in adapters/ that trace programs; they are imported only where a program of theirs is given."""


def loaded_by(code: str, folder: Path = ROOT) -> set[str]:
    """The top-level modules that a fresh interpreter has imported after some code."""
    told = "\nimport sys\nprint('modules:', *{name.partition('.')[0] for name in sys.modules})"
    command = [sys.executable, "-c", code + told]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120, cwd=folder)
    return set(done.stdout.splitlines()[-1].split())


def needs(name: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(importlib.util.find_spec(name) is None, reason=f"{name} is not installed")


@pytest.mark.parametrize(
    "code",
    [
        "import gradagree",
        "import gradagree; dir(gradagree)",
        "import gradagree.pytest_plugin",
        "from gradagree.cli.main import code; assert code(['--help']) == 0",
        "from gradagree.cli.main import code; assert code(['run', '--help']) == 0",
        "from gradagree.cli.main import code; assert code(['new', '--help']) == 0",
        "from gradagree.cli.main import code; assert code(['--version']) == 0",
        "from gradagree.cli.main import code; assert code(['ryn']) == 2",
    ],
)
def test_that_importing_and_asking_for_help_load_nothing_heavy(code: str) -> None:
    assert loaded_by(code) & HEAVY == set()


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("import gradagree; gradagree.Case", "numpy"),
        ("from gradagree.cli.main import code; code(['list', 'activations'])", "numpy"),
        pytest.param("from gradagree.adapters import ForTorch; ForTorch()", "torch", marks=needs("torch")),
        pytest.param("from gradagree.adapters import ForJax; ForJax()", "jax", marks=needs("jax")),
    ],
)
def test_that_what_is_loaded_would_be_seen(code: str, expected: str) -> None:
    assert expected in loaded_by(code)


@pytest.mark.parametrize(
    "code",
    [
        "import gradagree; [getattr(gradagree, name) for name in gradagree.__all__]",
        "from gradagree.cli.main import code; [code(['list', what]) for what in ('frameworks', 'modes', 'regimes')]",
        f"from gradagree.cli.main import code; code({RUN!r})",
    ],
)
def test_that_the_process_that_judges_never_loads_a_framework(code: str, tmp_path: Path) -> None:
    assert loaded_by(code, tmp_path) & FRAMEWORKS == set()


def test_that_every_public_name_is_there_and_no_other() -> None:
    import gradagree

    for name in gradagree.__all__:
        assert getattr(gradagree, name) is not None
        assert name in dir(gradagree)
    with pytest.raises(AttributeError, match=r"^module 'gradagree' has no attribute 'nothing'$"):
        _ = gradagree.nothing


def sources(package: str) -> list[Path]:
    """The files of one of the three, without those that links lead to."""
    return sorted(
        path for path in (ROOT / package).rglob("*.py")
        if not any(parent.is_symlink() for parent in path.parents if parent.is_relative_to(ROOT / package))
    )  # fmt: skip


def imported(source: str) -> Iterator[tuple[int, str]]:
    """The line and full name of every module that a source imports, wherever it does."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.lineno, "." * node.level + (node.module or "")


def forbidden(source: str, package: str) -> list[tuple[int, str]]:
    """The imports of our own that a package may not have, and those that do not use the full name."""

    def allowed(name: str) -> bool:
        if name.partition(".")[0] != "gradagree":
            return not name.startswith(".") and name.partition(".")[0] not in MAY_IMPORT
        return any(name == one or name.startswith(f"{one}.") for one in MAY_IMPORT[package])

    return [(line, name) for line, name in imported(source) if not allowed(name)]


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_that_arrows_go_one_way(package: str) -> None:
    found = {path: forbidden(path.read_text(encoding="utf-8"), package) for path in sources(package)}
    assert found
    assert {path: names for path, names in found.items() if names} == {}


@pytest.mark.parametrize(
    ("package", "line"),
    [
        ("reference", "from gradagree.adapters import Adapter"), ("reference", "import gradagree.cases.case"),
        ("reference", "from gradagree import Case"), ("adapters", "from gradagree.arithmetic import Rounded"),
        ("adapters", "import gradagree"), ("gradagree", "import reference"), ("gradagree", "from adapters import x"),
        ("reference", "from . import boxes"), ("reference", "from gradagree.reference_of_ours import x"),
    ],
)  # fmt: skip
def test_that_an_arrow_the_wrong_way_would_be_seen(package: str, line: str) -> None:
    assert forbidden(f"def f():\n    if True:\n        {line}\n", package)


@pytest.mark.parametrize("package", LIBRARIES)
def test_that_the_lower_two_use_their_own_libraries_alone(package: str) -> None:
    for path in sources(package):
        kind, _, framework = path.stem.partition("_")
        own = {framework} if kind in ("for", "pointwise") and framework else set()
        own |= {"jax", "torch"} if is_tracer(path) else set()
        names = {name.partition(".")[0] for _, name in imported(path.read_text(encoding="utf-8"))}
        assert names - set(sys.stdlib_module_names) - {"gradagree"} <= LIBRARIES[package] | own, path


def test_that_a_framework_is_imported_within_functions_only() -> None:
    for path in sources("adapters"):
        whole = ast.parse(path.read_text(encoding="utf-8"))
        top = [node for node in whole.body if isinstance(node, ast.Import | ast.ImportFrom)]
        names = {name.partition(".")[0] for node in top for _, name in imported(ast.unparse(node))}
        assert is_tracer(path) or not names & FRAMEWORKS, path


def is_tracer(path: Path) -> bool:
    return "adapters" in path.parts and any(part.startswith(TRACERS) for part in path.parts)


def test_that_importing_the_reference_fills_the_catalogue() -> None:
    code = "from gradagree.reference import Activation as A, ErrorFunction as E; A.named('gelu'); E.named('bce')"
    assert "numpy" in loaded_by(code)
