"""User files, pyproject, entry points."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib.util
import io
import signal
import sys
import threading
import tomllib
from collections.abc import Iterable, Iterator, Sequence
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from gradagree.adapters import Adapter
from gradagree.cases.text import shorten
from gradagree.errors import UsageError, is_file, nearest
from gradagree.reference import Activation, ErrorFunction
from gradagree.reference.contract import file_of, line_in

# Files of a user's own activations, error functions and adapters. Loading a file is running it
# ---------------------------------------------------------------------------------------------


LOAD_LIMIT = 60.0
"""Seconds that a file may take to load, a framework's import included."""


def load(files: Iterable[str], origin: str = "--ext") -> list[ModuleType]:
    """Run each file once. Raises UsageError, naming origin, file, line and reason, for one that cannot be loaded."""
    return [_load(Path(file).resolve(), f"{origin} {shorten_path(str(file))}") for file in files]


def shorten_path(path: str, length: int = 160) -> str:
    """A path; of a long one the end, which holds the file's name."""
    fits = len(path) <= length or len(Path(path).name) > length
    return shorten(path, length) if fits else f"...{path[3 - length :]}"


def _load(path: Path, told: str) -> ModuleType:
    name = f"gradagree_extension_{hashlib.sha256(str(path).encode()).hexdigest()[:12]}_{path.stem}"
    if name in sys.modules:
        return sys.modules[name]
    if not is_file(path):
        raise UsageError(f"{told}: there is no such file")
    if (imported := _find_imported(path)) is not None:
        return imported
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise UsageError(f"{told}: not a Python file; its name must end in .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    with guard_loading(told, name, path):
        spec.loader.exec_module(module)
    return module


def _find_imported(path: Path) -> ModuleType | None:
    """The module that has been made from the file already, by a test that imports it or as the script itself."""
    modules = [module for module in list(sys.modules.values()) if isinstance(module, ModuleType)]
    names = ((module, ModuleType.__getattribute__(module, "__dict__")) for module in modules)
    return next((module for module, names in names if names.get("__file__") == str(path)), None)


def find_functions(modules: Sequence[ModuleType]) -> list[Any]:
    """The activations and error functions that were made in the modules, or are names in them; never those of ours."""
    files = {module.__file__ for module in modules}
    named = [value for module in modules for value in vars(module).values() if isinstance(value, type)]
    return [
        kind for catalogue in (Activation.catalogue, ErrorFunction.catalogue) for kind in catalogue.values()
        if not is_builtin(kind) and (file_of(kind) in files or kind in named)
    ]  # fmt: skip


def is_builtin(kind: type) -> bool:
    """Whether a class comes with gradagree."""
    return kind.__module__.startswith("gradagree.")


@contextlib.contextmanager
def guard_loading(told: str, module: str, path: Path | None = None) -> Iterator[None]:
    """Run somebody's code without what it prints. If it fails, forget the module, and raise UsageError in one line."""
    try:
        with contextlib.redirect_stdout(io.StringIO()), _time_limit(LOAD_LIMIT):
            yield
    except (Exception, SystemExit) as wrong:
        _forget(module)
        where = line_in(wrong, path) if path else ""
        raise UsageError(f"{told}{where}: {type(wrong).__name__}: {_first(wrong)}") from wrong


@contextlib.contextmanager
def _time_limit(seconds: float) -> Iterator[None]:
    """Raises TimeoutError in what runs longer, where signals can tell: on the main thread of a POSIX system."""
    if not hasattr(signal, "setitimer") or threading.current_thread() is not threading.main_thread():
        yield
        return

    def late(*_: object) -> None:
        raise TimeoutError(f"not loaded within {seconds:g} seconds; a file of functions only defines them")

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _forget(name: str) -> None:
    """Undo what a file that failed has registered, so that it can be mended and loaded again."""
    sys.modules.pop(name, None)
    for catalogue in (Activation.catalogue, ErrorFunction.catalogue, Adapter.catalogue):
        for key in [key for key, kind in catalogue.items() if kind.__module__ == name]:
            del catalogue[key]


def _first(wrong: BaseException) -> str:
    return next(iter(str(wrong).splitlines()), "")


# Functions and adapters that are not ours: of --ext, of the user's pyproject.toml, and of installed packages
# -----------------------------------------------------------------------------------------------------------


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
    origin, declared = _declared_files()
    project, given = load(declared, origin), load(ext)
    for module in (*project, *given):
        _check_use(module)
    return Loaded(find_functions(given) or ([] if ext else find_functions(project)), installed)


def extension_files(ext: Sequence[str]) -> list[str]:
    """Every file of functions as an absolute path: those that pyproject.toml names, then those of --ext."""
    return list(dict.fromkeys([*_declared_files()[1], *(str(Path(file).resolve()) for file in ext)]))


@functools.cache
def load_installed() -> list[Any]:
    """Load every entry point, once in a process, and return its activations and error functions."""
    found: list[Any] = []
    for group in GROUPS:
        for entry in metadata.entry_points(group=group):
            found += _load_entry_point(entry)
    return found


def _check_use(module: ModuleType) -> None:
    adapters = [kind for kind in Adapter.catalogue.values() if file_of(kind) == module.__file__]
    if not find_functions([module]) and not adapters:
        raise UsageError(
            f"{module.__file__}: no activation, error function or adapter in it: write class Name(Activation), and no "
            "underscore before the name"
        )


def _load_entry_point(entry: metadata.EntryPoint) -> list[Any]:
    package = f" of {entry.dist.name} {entry.dist.version}" if entry.dist is not None else ""
    told = f"entry point {entry.name!r}{package} ({entry.group} = {entry.value!r})"
    with guard_loading(told, entry.module):
        thing = entry.load()
    kinds, wanted = GROUPS[entry.group]
    if isinstance(thing, type) and issubclass(thing, kinds):
        return [] if issubclass(thing, Adapter) else [thing]
    if isinstance(thing, ModuleType) and Adapter not in kinds:
        if functions := find_functions([thing]):
            return functions
        raise UsageError(f"{told}: the module has no activation and no error function; correct or remove the package")
    raise UsageError(f"{told}: it is {thing!r}, not {wanted}; correct or remove the package")


def settings() -> dict[str, Any]:
    """What pyproject.toml says of the checks that pytest collects: profile, seed, frameworks, modes and so on."""
    _, table = _table()
    return {key: table[key] for key in SETTINGS if key in table}


def _declared_files() -> tuple[str, list[str]]:
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
