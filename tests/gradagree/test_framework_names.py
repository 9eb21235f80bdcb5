"""Frameworks are named in adapters/ only, and in the implementations of functions.

No identifier, import or string of the other modules contains the name of a framework or of one of its libraries.
Docstrings (every string that stands as a statement) and comments may name one as an example; so may the files that
`gradagree new` copies, which are no modules. In reference/, a function may name the frameworks that it takes as
arguments: it is an implementation, or a part of one.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from gradagree.adapters import Adapter
from tools.structure import modules

ROOT = Path(__file__).parents[2]
BUILT_IN = [kind for kind in Adapter.catalogue.values() if kind.__module__.startswith("gradagree.adapters.")]
NAMES = re.compile("|".join(name for kind in BUILT_IN for name in (kind.name, *kind.libraries)), re.IGNORECASE)
ADAPTERS, REFERENCE = "gradagree.adapters", "gradagree.reference"
REPLACEMENTS = ("gradagree.torch", "gradagree.jax", "gradagree.functions.ports")
"""Replacements of the frameworks' own checks, and the check of a port from one to the other."""


def is_part_of(module: str, package: str) -> bool:
    return f"{module}.".startswith(f"{package}.")


def named(root: Path) -> list[str]:
    """Module, line and token of everything outside of adapters/ that names a framework."""
    return [
        f"{module}:{line}: {token}"
        for module, path in modules(root).items()
        if not is_part_of(module, ADAPTERS) and module not in REPLACEMENTS
        for line, token in tokens(ast.parse(path.read_text(encoding="utf-8")), is_part_of(module, REFERENCE))
        if NAMES.search(token)
    ]


def takes_framework(node: ast.FunctionDef) -> bool:
    return any(NAMES.search(argument.arg) for argument in (*node.args.args, *node.args.kwonlyargs))


def tokens(node: ast.AST, implementations: bool) -> Iterator[tuple[int, str]]:
    """Line and text of each name, attribute and string; with implementations, those of frameworks' functions not."""
    if implementations and isinstance(node, ast.FunctionDef) and takes_framework(node):
        return
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return  # a docstring
    for _, value in ast.iter_fields(node):
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST):
                yield from tokens(child, implementations)
            elif isinstance(child, str):
                yield getattr(node, "lineno", 0), child


def test_that_no_module_but_an_adapter_or_an_implementation_names_a_framework() -> None:
    assert named(ROOT) == []


def test_that_no_page_template_names_a_framework() -> None:
    templates = list((ROOT / "gradagree" / "report" / "templates").iterdir())
    assert len(templates) > 5
    assert [path.name for path in templates if NAMES.search(path.read_text(encoding="utf-8"))] == []


PLANTED = {
    "import torch": "torch",
    "from jax.numpy import sin": "jax.numpy",
    "def by_optax(): ...": "by_optax",
    "class ForJax: ...": "ForJax",
    "f(torch=1)": "torch",
    "x.jax": "jax",
    "x = 'call PyTorch'": "call PyTorch",
    "x = f'{1} jax'": " jax",
    "def f(jax): ...": "jax",
}


@pytest.mark.parametrize(("source", "token"), PLANTED.items())
def test_that_a_planted_name_is_found(source: str, token: str, tmp_path: Path) -> None:
    plant(tmp_path, "gradagree/planted.py", source)
    assert named(tmp_path) == [f"gradagree.planted:1: {token}"]


def test_that_docstrings_comments_adapters_and_implementations_may_name_a_framework(tmp_path: Path) -> None:
    plant(tmp_path, "gradagree/planted.py", '"""As in torch."""\nx = 1  # jax\n"""As in jax."""')
    plant(tmp_path, "adapters/for_planted.py", "import torch")
    plant(tmp_path, "reference/planted.py", "class F:\n    def torch(self, p, torch): return torch.tanh(p)")
    assert named(tmp_path) == []


def test_that_a_name_beside_an_implementation_is_found(tmp_path: Path) -> None:
    plant(tmp_path, "reference/planted.py", "def jax_name(p, jax): return jax\nNAME = 'jax'")
    assert named(tmp_path) == ["gradagree.reference.planted:2: jax"]


def plant(root: Path, name: str, source: str) -> None:
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_text(source, encoding="utf-8")
