"""Functions and adapters that are not ours: of --ext, of the user's pyproject.toml, and of installed packages.

The nearest pyproject.toml, from the current folder upwards, may name files: ``[tool.gradagree] ext = ["swish.py"]``,
and what ``pytest --gradagree`` checks them with: profile, seed, frameworks, modes, dtypes, regimes. A package offers
its own by entry points in the groups ``gradagree.activations`` (an activation, an error function, or a module with
some) and ``gradagree.adapters`` (an adapter). Nothing else is loaded.
"""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from gradagree.adapters import Adapter
from gradagree.errors import UsageError, is_file, nearest
from gradagree.extensions import functions_of, guarded, load
from gradagree.reference import Activation, ErrorFunction
from gradagree.reference.contract import file_of

NAME = "pyproject.toml"
SETTINGS = {"seed": int, "profile": str, "frameworks": str, "modes": str, "dtypes": str, "regimes": str}
EXAMPLES = {int: "a whole number", str: 'text, names separated by commas, such as "torch,jax"'}
GROUPS: dict[str, tuple[tuple[type, ...], str]] = {
    "gradagree.activations": ((Activation, ErrorFunction), "an activation, an error function, or a module with some"),
    "gradagree.adapters": ((Adapter,), "a subclass of gradagree.Adapter"),
}


class Loaded(NamedTuple):
    """Activations and error functions: those of the files that the user named, and those of installed packages."""

    named: list[Any]
    installed: list[Any]


def load_all(ext: Sequence[str]) -> Loaded:
    """Load what there is. The functions of --ext come before those that pyproject.toml names.

    Raises UsageError, naming the file or entry point and the reason, for one that cannot be loaded.
    """
    installed = load_installed()
    origin, declared = _declared()
    project, given = load(declared, origin), load(ext)
    for module in (*project, *given):
        _check_use(module)
    return Loaded(functions_of(given) or ([] if ext else functions_of(project)), installed)


def files(ext: Sequence[str]) -> list[str]:
    """Every file of functions as an absolute path: those that pyproject.toml names, then those of --ext."""
    return list(dict.fromkeys([*_declared()[1], *(str(Path(file).resolve()) for file in ext)]))


@functools.cache
def load_installed() -> list[Any]:
    """Load every entry point, once in a process, and return its activations and error functions."""
    found: list[Any] = []
    for group in GROUPS:
        for entry in metadata.entry_points(group=group):
            found += _entered(entry)
    return found


def _check_use(module: ModuleType) -> None:
    adapters = [kind for kind in Adapter.catalogue.values() if file_of(kind) == module.__file__]
    if not functions_of([module]) and not adapters:
        raise UsageError(
            f"{module.__file__}: no activation, error function or adapter in it: write class Name(Activation), and no "
            "underscore before the name"
        )


def _entered(entry: metadata.EntryPoint) -> list[Any]:
    package = f" of {entry.dist.name} {entry.dist.version}" if entry.dist is not None else ""
    told = f"entry point {entry.name!r}{package} ({entry.group} = {entry.value!r})"
    with guarded(told, entry.module):
        thing = entry.load()
    kinds, wanted = GROUPS[entry.group]
    if isinstance(thing, type) and issubclass(thing, kinds):
        return [] if issubclass(thing, Adapter) else [thing]
    if isinstance(thing, ModuleType) and Adapter not in kinds:
        if functions := functions_of([thing]):
            return functions
        raise UsageError(f"{told}: the module has no activation and no error function; correct or remove the package")
    raise UsageError(f"{told}: it is {thing!r}, not {wanted}; correct or remove the package")


def settings() -> dict[str, Any]:
    """What pyproject.toml says of the checks that pytest collects: profile, seed, frameworks, modes and so on."""
    _, table = _table()
    return {key: table[key] for key in SETTINGS if key in table}


def _declared() -> tuple[str, list[str]]:
    """What to call the place, and the absolute paths of the files that it names."""
    path, table = _table()
    if path is None:
        return "", []
    ext = table.get("ext", [])
    if not isinstance(ext, list) or not all(isinstance(file, str) for file in ext):
        raise UsageError(f'{path}: [tool.gradagree] ext is {ext!r}; write a list of files, ext = ["swish.py"]')
    return f"{path}: [tool.gradagree] ext", [str((path.parent / file).resolve()) for file in ext]


def project_file() -> Path | None:
    """The nearest pyproject.toml."""
    here = Path.cwd()
    return next((folder / NAME for folder in (here, *here.parents) if is_file(folder / NAME)), None)


def _table() -> tuple[Path | None, dict[str, Any]]:
    """The nearest pyproject.toml, and its [tool.gradagree]."""
    path = project_file()
    if path is None:
        return None, {}
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8")).get("tool", {}).get("gradagree", {})
        keys = list(table.keys())
    except (OSError, ValueError, AttributeError, RecursionError) as wrong:
        raise UsageError(f"{path}: cannot be read: {wrong}") from wrong
    known = ["ext", *SETTINGS]
    for key in keys:
        if key not in known:
            raise UsageError(f"{path}: [tool.gradagree] has no key {key!r}; {nearest(key, known)}")
        if key in SETTINGS and type(table[key]) is not SETTINGS[key]:
            raise UsageError(f"{path}: [tool.gradagree] {key} is {table[key]!r}; write {EXAMPLES[SETTINGS[key]]}")
    return path, table
