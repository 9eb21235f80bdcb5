"""The structure of the packages: modules, imports, circles, layers and class names, read from the sources.

Nothing is imported. Lazy and TYPE_CHECKING imports count. The two links gradagree/reference and gradagree/adapters are
followed, so that a module has the name that it is imported by: gradagree.reference.boxes.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

PACKAGE = "gradagree"
LINKED = ("reference", "adapters")
"""Folders on top that are subpackages of `PACKAGE`."""


LAYERS: tuple[str | Sequence[str], ...] = (
    "errors", "files", "reference", "adapters", "arithmetic", "cases", "checker", "runner", "report", "compare",
    "shrink", "reproduce", "surveys", "train", "functions", "audit", "api",
    ("checking", "cli", "jax", "pytest_plugin", "torch"),
)  # fmt: skip
"""The packages and modules right under `PACKAGE`, lowest first: each imports only from those before it."""


def modules(root: Path) -> dict[str, Path]:
    """The path of each module by its name; a package has the path of its __init__.py."""
    homes = {PACKAGE: root / PACKAGE, **{f"{PACKAGE}.{name}": root / name for name in LINKED}}
    found = {}
    for package, home in homes.items():
        for path in sorted(home.rglob("*.py")):
            parts = path.relative_to(home).with_suffix("").parts
            if package == PACKAGE and parts[0] in LINKED:
                continue  # the links, where a version of Python follows them
            found[".".join([package, *(part for part in parts if part != "__init__")])] = path
    return dict(sorted(found.items()))


def imports(root: Path) -> dict[str, set[str]]:
    """The modules of the packages that each module imports, anywhere in it.

    `from package import name` imports the module `package.name` where there is one, and the package otherwise.
    """
    found = modules(root)
    return {name: set(_imported(name, path, found)) - {name} for name, path in found.items()}


def _imported(name: str, path: Path, found: dict[str, Path]) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in found)
        elif isinstance(node, ast.ImportFrom):
            source = _source(name, path, node)
            targets = (f"{source}.{alias.name}" for alias in node.names)
            yield from (target if target in found else source for target in targets if source in found)


def _source(name: str, path: Path, node: ast.ImportFrom) -> str:
    """The module that an import statement names, relative ones too."""
    if not node.level:
        return node.module or ""
    parts = name.split(".")
    package = parts[: len(parts) - node.level + (path.name == "__init__.py")]
    return ".".join([*package, *([node.module] if node.module else [])])


def cycles(edges: dict[str, set[str]]) -> list[list[str]]:
    """The strongly connected components of more than one module, each sorted."""
    index: dict[str, int] = {}
    lowest: dict[str, int] = {}
    stack: list[str] = []
    found = []

    def visit(name: str) -> None:  # Tarjan 1972
        index[name] = lowest[name] = len(index)
        stack.append(name)
        for target in sorted(edges.get(name, ())):
            if target not in index:
                visit(target)
                lowest[name] = min(lowest[name], lowest[target])
            elif target in stack:
                lowest[name] = min(lowest[name], index[target])
        if lowest[name] == index[name]:
            component = stack[stack.index(name) :]
            del stack[stack.index(name) :]
            if len(component) > 1:
                found.append(sorted(component))

    for name in edges:
        if name not in index:
            visit(name)
    return sorted(found)


def layer(module: str, layers: Sequence[str | Sequence[str]]) -> int | None:
    """The index of a module's layer; None for the package itself and for what is in no layer."""
    part = _part(module)
    found = (rank for rank, names in enumerate(layers) if part in ([names] if isinstance(names, str) else names))
    return next(found, None)


def _part(module: str) -> str:
    """The package or module right under `PACKAGE` that holds a module; "" for `PACKAGE` itself."""
    return module.split(".")[1] if "." in module else ""


def upward(edges: dict[str, set[str]], layers: Sequence[str | Sequence[str]]) -> list[tuple[str, str]]:
    """The imports of a module in a later layer, lowest layer first in layers.

    A layer is a package or module right under `PACKAGE`, or several of the same rank, which do not import each other.
    """
    found = []
    for name, targets in edges.items():
        for target in targets:
            here, there = layer(name, layers), layer(target, layers)
            if here is None or there is None:
                continue
            if there > here or (there == here and _part(name) != _part(target)):
                found.append((name, target))
    return sorted(found)


def class_names(root: Path) -> dict[str, list[str]]:
    """The modules that define each public class at their top level."""
    found: dict[str, list[str]] = {}
    for name, path in modules(root).items():
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                found.setdefault(node.name, []).append(name)
    return found


def shadowing(root: Path, functions: Iterable[str]) -> list[str]:
    """The packages and modules right under `PACKAGE` with the name of one of its public functions."""
    return sorted(name for name in modules(root) if name.count(".") == 1 and name.split(".")[1] in set(functions))
