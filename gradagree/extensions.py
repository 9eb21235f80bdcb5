"""Files of a user's own activations, error functions and adapters. Loading a file is running it."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import io
import signal
import sys
import threading
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from gradagree.adapters import Adapter
from gradagree.casetext import shorten
from gradagree.errors import UsageError, is_file
from gradagree.reference import Activation, ErrorFunction
from gradagree.reference.contract import file_of, line_in

LIMIT = 60.0
"""Seconds that a file may take to load, a framework's import included."""


def load(files: Iterable[str], origin: str = "--ext") -> list[ModuleType]:
    """Run each file once. Raises UsageError, naming origin, file, line and reason, for one that cannot be loaded."""
    return [_load(Path(file).resolve(), f"{origin} {ending(str(file))}") for file in files]


def ending(path: str, length: int = 160) -> str:
    """A path; of a long one the end, which holds the file's name."""
    fits = len(path) <= length or len(Path(path).name) > length
    return shorten(path, length) if fits else f"...{path[3 - length :]}"


def _load(path: Path, told: str) -> ModuleType:
    name = f"gradagree_extension_{hashlib.sha256(str(path).encode()).hexdigest()[:12]}_{path.stem}"
    if name in sys.modules:
        return sys.modules[name]
    if not is_file(path):
        raise UsageError(f"{told}: there is no such file")
    if (imported := _imported(path)) is not None:
        return imported
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise UsageError(f"{told}: not a Python file; its name must end in .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    with guarded(told, name, path):
        spec.loader.exec_module(module)
    return module


def _imported(path: Path) -> ModuleType | None:
    """The module that has been made from the file already, by a test that imports it or as the script itself."""
    modules = [module for module in list(sys.modules.values()) if isinstance(module, ModuleType)]
    names = ((module, ModuleType.__getattribute__(module, "__dict__")) for module in modules)
    return next((module for module, names in names if names.get("__file__") == str(path)), None)


def functions_of(modules: Sequence[ModuleType]) -> list[Any]:
    """The activations and error functions that were made in the modules, or are names in them; never those of ours."""
    files = {module.__file__ for module in modules}
    named = [value for module in modules for value in vars(module).values() if isinstance(value, type)]
    return [
        kind for catalogue in (Activation.catalogue, ErrorFunction.catalogue) for kind in catalogue.values()
        if not is_ours(kind) and (file_of(kind) in files or kind in named)
    ]  # fmt: skip


def is_ours(kind: type) -> bool:
    """Whether a class comes with gradagree."""
    return kind.__module__.startswith("gradagree.")


@contextlib.contextmanager
def guarded(told: str, module: str, path: Path | None = None) -> Iterator[None]:
    """Run somebody's code without what it prints. If it fails, forget the module, and raise UsageError in one line."""
    try:
        with contextlib.redirect_stdout(io.StringIO()), _limited(LIMIT):
            yield
    except (Exception, SystemExit) as wrong:
        _forget(module)
        where = line_in(wrong, path) if path else ""
        raise UsageError(f"{told}{where}: {type(wrong).__name__}: {_first(wrong)}") from wrong


@contextlib.contextmanager
def _limited(seconds: float) -> Iterator[None]:
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
