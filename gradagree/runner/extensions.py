"""Extensions: functions and adapters from --ext files, the user's pyproject.toml, and installed packages.

A file is loaded by running it.
"""

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
from gradagree.reference import Activation, ErrorFunction, Layer
from gradagree.reference.parameters import file_of, line_in

LOAD_LIMIT = 60.0
"""Seconds to load a file, including the import of a framework."""
PROJECT_FILE = "pyproject.toml"
SETTINGS = {"seed": int, "profile": str, "frameworks": str, "modes": str, "dtypes": str, "regimes": str}
EXPECTED_VALUES = {int: "a whole number", str: 'text, such as names separated by commas: "float32,float64"'}
ENTRY_POINT_GROUPS: dict[str, tuple[tuple[type, ...], str]] = {
    "gradagree.activations": ((Activation, ErrorFunction), "an activation, an error function, or a module with some"),
    "gradagree.adapters": ((Adapter,), "a subclass of gradagree.Adapter"),
}


class Loaded(NamedTuple):
    """Activations and error functions from the user's files and from installed packages, and layers from the files."""

    named: list[Any]
    installed: list[Any]
    layers: Sequence[type[Layer]] = ()


def load_all(ext: Sequence[str]) -> Loaded:
    """Load all extensions. Functions from --ext replace those from pyproject.toml.

    Raises UsageError with the file or entry point and the reason if one cannot be loaded.
    """
    installed = load_installed()
    origin, declared = _declared_files()
    project, named = load(declared, origin), load(ext)
    for module in (*project, *named):
        _check_use(module)
    functions, layers = find_functions(named), find_layers(named)
    if not ext:
        functions, layers = functions or find_functions(project), layers or find_layers(project)
    return Loaded(functions, installed, layers)


def _check_use(module: ModuleType) -> None:
    adapters = [kind for kind in Adapter.catalogue.values() if file_of(kind) == module.__file__]
    if not find_functions([module]) and not find_layers([module]) and not adapters:
        raise UsageError(
            f"{module.__file__}: no activation, error function, layer or adapter found; define class Name(Activation), "
            "with no underscore before the name"
        )


def load(files: Iterable[str], origin: str = "--ext") -> list[ModuleType]:
    """Run each file once. Raises UsageError with origin, file, line and reason if one cannot be loaded."""
    return [_load(Path(file).resolve(), f"{origin} {shorten_path(str(file))}") for file in files]


def _load(path: Path, source: str) -> ModuleType:
    name = f"gradagree_extension_{hashlib.sha256(str(path).encode()).hexdigest()[:12]}_{path.stem}"
    if name in sys.modules:
        return sys.modules[name]
    if not is_file(path):
        raise UsageError(f"{source}: no such file")
    if (imported := _find_imported(path)) is not None:
        return imported
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise UsageError(f"{source}: not a Python file; its name must end in .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    with guard_loading(source, name, path):
        spec.loader.exec_module(module)
    return module


def _find_imported(path: Path) -> ModuleType | None:
    """The module that was already loaded from the file, by an import or as the main script."""
    modules = [module for module in list(sys.modules.values()) if isinstance(module, ModuleType)]
    names = ((module, ModuleType.__getattribute__(module, "__dict__")) for module in modules)
    return next((module for module, names in names if names.get("__file__") == str(path)), None)


@contextlib.contextmanager
def guard_loading(source: str, module: str, path: Path | None = None) -> Iterator[None]:
    """Suppress the output of loading; if it fails, unregister the module and raise UsageError in one line."""
    try:
        with contextlib.redirect_stdout(io.StringIO()), _time_limit(LOAD_LIMIT):
            yield
    except (Exception, SystemExit) as wrong:
        _forget(module)
        where = line_in(wrong, path) if path else ""
        reason = next(iter(str(wrong).splitlines()), "")
        raise UsageError(f"{source}{where}: {type(wrong).__name__}: {reason}") from wrong


@contextlib.contextmanager
def _time_limit(seconds: float) -> Iterator[None]:
    """Raises TimeoutError after this time; only on the main thread of a POSIX system, where signals work."""
    if not hasattr(signal, "setitimer") or threading.current_thread() is not threading.main_thread():
        yield
        return

    def late(*_: object) -> None:
        raise TimeoutError(f"not loaded within {seconds:g} seconds; the file should only define functions")

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _forget(name: str) -> None:
    """Undo the registrations of a file that failed, so that it can be corrected and loaded again."""
    sys.modules.pop(name, None)
    for catalogue in (Activation.catalogue, ErrorFunction.catalogue, Layer.catalogue, Adapter.catalogue):
        for key in [key for key, kind in catalogue.items() if kind.__module__ == name]:
            del catalogue[key]


@functools.cache
def load_installed() -> list[Any]:
    """The activations and error functions of all entry points, loaded once per process."""
    found: list[Any] = []
    for group in ENTRY_POINT_GROUPS:
        for entry in metadata.entry_points(group=group):
            found += _load_entry_point(entry)
    return found


def _load_entry_point(entry: metadata.EntryPoint) -> list[Any]:
    package = f" of {entry.dist.name} {entry.dist.version}" if entry.dist is not None else ""
    source = f"entry point {entry.name!r}{package} ({entry.group} = {entry.value!r})"
    with guard_loading(source, entry.module):
        thing = entry.load()
    kinds, wanted = ENTRY_POINT_GROUPS[entry.group]
    if isinstance(thing, type) and issubclass(thing, kinds):
        return [] if issubclass(thing, Adapter) else [thing]
    if isinstance(thing, ModuleType) and Adapter not in kinds:
        if functions := find_functions([thing]):
            return functions
        raise UsageError(f"{source}: the module has no activation and no error function; correct or remove the package")
    raise UsageError(f"{source}: it is {thing!r}, not {wanted}; correct or remove the package")


def find_functions(modules: Sequence[ModuleType]) -> list[Any]:
    """The activations and error functions that the modules define or import, except gradagree's own."""
    files = {module.__file__ for module in modules}
    named = [value for module in modules for value in vars(module).values() if isinstance(value, type)]
    return [
        kind for catalogue in (Activation.catalogue, ErrorFunction.catalogue) for kind in catalogue.values()
        if not is_builtin(kind) and (file_of(kind) in files or kind in named)
    ]  # fmt: skip


def find_layers(modules: Sequence[ModuleType]) -> list[type[Layer]]:
    """The layers that the modules define or import, except gradagree's own."""
    files = {module.__file__ for module in modules}
    named = [value for module in modules for value in vars(module).values() if isinstance(value, type)]
    return [
        kind for kind in Layer.catalogue.values()
        if not is_builtin(kind) and (file_of(kind) in files or kind in named)
    ]  # fmt: skip


def is_builtin(kind: type) -> bool:
    """Whether a class is part of gradagree."""
    return kind.__module__.startswith("gradagree.")


def extension_files(ext: Sequence[str]) -> list[str]:
    """Absolute paths of all extension files: those in pyproject.toml, then those of --ext."""
    return list(dict.fromkeys([*_declared_files()[1], *(str(Path(file).resolve()) for file in ext)]))


def _declared_files() -> tuple[str, list[str]]:
    """Name of the setting for messages, and the absolute paths of its files."""
    path, table = _table()
    if path is None:
        return "", []
    ext = table.get("ext", [])
    if not isinstance(ext, list) or not all(isinstance(file, str) for file in ext):
        raise UsageError(f'{path}: [tool.gradagree] ext is {ext!r}; write a list of files, ext = ["swish.py"]')
    return f"{path}: [tool.gradagree] ext", [str((path.parent / file).resolve()) for file in ext]


def settings() -> dict[str, Any]:
    """The settings in pyproject.toml for checks that pytest collects: profile, seed, frameworks, modes and so on."""
    _, table = _table()
    return {key: table[key] for key in SETTINGS if key in table}


def project_file() -> Path | None:
    """The nearest pyproject.toml."""
    here = Path.cwd()
    return next((folder / PROJECT_FILE for folder in (here, *here.parents) if is_file(folder / PROJECT_FILE)), None)


def _table() -> tuple[Path | None, dict[str, Any]]:
    """The nearest pyproject.toml, and its table [tool.gradagree]."""
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
            raise UsageError(
                f"{path}: [tool.gradagree] {key} is {table[key]!r}; write {EXPECTED_VALUES[SETTINGS[key]]}"
            )
    return path, table


def shorten_path(path: str, length: int = 160) -> str:
    """A path; the end of a long one, which has the name of the file."""
    fits = len(path) <= length or len(Path(path).name) > length
    return shorten(path, length) if fits else f"...{path[3 - length :]}"
