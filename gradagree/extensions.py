"""Files of a user's own activations, error functions and adapters. Loading a file is running it."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import io
import signal
import sys
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import ModuleType

from gradagree.adapters import Adapter
from gradagree.casetext import shorten
from gradagree.errors import UsageError, is_file
from gradagree.reference import Activation, ErrorFunction

__all__ = ["load"]

LIMIT = 60.0
"""Seconds that a file may take to load, a framework's import included."""


def load(files: Iterable[str]) -> list[ModuleType]:
    """Run each file once. Raises UsageError, naming file, line and reason, for one that cannot be loaded."""
    return [_load(Path(file).resolve(), file) for file in files]


def _load(path: Path, shown: str) -> ModuleType:
    name = f"gradagree_extension_{hashlib.sha256(str(path).encode()).hexdigest()[:12]}_{path.stem}"
    if name in sys.modules:
        return sys.modules[name]
    if not is_file(path):
        raise UsageError(f"--ext {shorten(shown)}: there is no such file")
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise UsageError(f"--ext {shown}: not a Python file; its name must end in .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        with contextlib.redirect_stdout(io.StringIO()), _limited(LIMIT):
            spec.loader.exec_module(module)
    except (Exception, SystemExit) as wrong:
        _forget(name)
        raise UsageError(f"--ext {shown}{_line(wrong, path)}: {type(wrong).__name__}: {_first(wrong)}") from wrong
    return module


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
    del sys.modules[name]
    for catalogue in (Activation.catalogue, ErrorFunction.catalogue, Adapter.catalogue):
        for key in [key for key, kind in catalogue.items() if kind.__module__ == name]:
            del catalogue[key]


def _line(wrong: BaseException, path: Path) -> str:
    """``, line 7``: the last line of the file that was running."""
    found = None
    trace = wrong.__traceback__
    while trace is not None:
        if Path(trace.tb_frame.f_code.co_filename) == path:
            found = trace.tb_lineno
        trace = trace.tb_next
    if isinstance(wrong, SyntaxError):
        found = wrong.lineno
    return "" if found is None else f", line {found}"


def _first(wrong: BaseException) -> str:
    return next(iter(str(wrong).splitlines()), "")
