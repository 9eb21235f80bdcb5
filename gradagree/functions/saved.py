"""A failing call saved in a folder: its arrays, and a script that checks the user's own function on them again.

The folder is ``NAME-DIGEST`` in the folder that the environment variable ``GRADAGREE_REPLAY_DIR`` names; by default in
the system's folder of temporary files, of which the newest are kept. The same failure has the same folder.
"""

from __future__ import annotations

import contextlib
import functools
import getpass
import hashlib
import json
import os
import pickle
import re
import shlex
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gradagree.adapters.function_adapters import imported
from gradagree.errors import UsageError
from gradagree.files import make_folder, write_text
from gradagree.functions.importable import NotImportable, Origin, origin_of
from gradagree.functions.records import Report

FOLDER = "GRADAGREE_REPLAY_DIR"
ARRAYS, DESCRIPTION, SCRIPT = "arrays.npz", "arrays.json", "replay.py"
LARGEST = 1 << 30
"""Bytes of arrays that are saved at most."""
PUBLIC = {"gradagree.functions.assertions": "gradagree"}
"""Where users find the functions of a module."""
NEWEST = 50
"""Folders that are kept among the temporary files."""


class NotSaved(Exception):
    """A call that no script can repeat; the text says why, and what to do."""


@dataclass(frozen=True)
class FailedCheck:
    """A check as the user wrote it.

    Args:
        front: The function that checks, as ``gradagree.assert_grads``.
        args: Its positional arguments: the user's function, the arguments of that, and so on.
        keywords: Its keyword arguments, without those that have their default.
    """

    front: str
    args: tuple[Any, ...]
    keywords: Mapping[str, Any]

    @classmethod
    def of(cls, front: Any, args: tuple[Any, ...], options: Mapping[str, Any]) -> FailedCheck:
        """The check, with the options that are not those of the function's signature."""
        defaults = front.__kwdefaults__ or {}
        plain = {name for name, value in options.items() if value is None or isinstance(value, str | int | tuple)}
        usual = {name for name in plain & set(defaults) if options[name] == defaults[name]}
        chosen = {name: value for name, value in options.items() if name not in usual}
        return cls(f"{PUBLIC.get(front.__module__, front.__module__)}.{front.__name__}", args, chosen)


def save_call(report: Report, check: FailedCheck, folder: Path | None = None) -> None:
    """Save a failing check; the report gets the command that repeats it, or a note that says why there is none.

    By default the folder is that of the environment variable.
    """
    if folder is None and os.environ.get(FOLDER) == "":
        return
    try:
        source = ValueSource()
        positional = [source.literal(one) for one in check.args]
        named = {key: source.literal(value) for key, value in check.keywords.items()}
        path = source.write(report.function, script(check.front, report.function, positional, named), folder)
    except (NotSaved, UsageError) as reason:
        text = str(reason).replace("with --out", f"with --save, save= or {FOLDER}")
        report.notes.append(f"no script shows this again: {text}")
    else:
        report.replay = f"{interpreter()} {shlex.quote(str(path))}"


def interpreter() -> str:
    return "python" if shutil.which("python") == sys.executable else shlex.quote(sys.executable)


def script(front: str, name: str, positional: Sequence[str], named: Mapping[str, str]) -> str:
    """The text of a script that makes the check again."""
    home, _, function = front.rpartition(".")
    lines = [*positional, *(f"{key}={value}" for key, value in named.items())]
    own = str(Path(__file__).resolve().parents[2])
    settings = ["import sys", "", f"sys.path.insert(0, {own!r})"] if own in path() else []
    settings += [line for adapter in imported() for line in adapter.settings()]
    return "\n".join(
        [
            f'"""Checks {name} again, with the arguments for which it failed."""',
            "",
            *(["import functools"] if any("functools.partial(" in line for line in lines) else []),
            *settings,
            *([""] if settings else []),
            f"from {home} import {function}",
            "from gradagree.functions.repeat import Saved",
            "",
            "saved = Saved(__file__)",
            f"report = {function}(",
            *(f"    {line}," for line in lines),
            ")",
            "print(report)",
            "",
        ]
    )


class ValueSource:
    """Writes values as Python source, in which ``saved`` holds those that have none: arrays and pickled objects."""

    def __init__(self) -> None:
        self.arrays: list[np.ndarray] = []
        self.descriptions: list[dict[str, Any]] = []
        self.objects: list[bytes] = []
        self.files: dict[str, str] = {}
        self.known: dict[int, tuple[Any, str]] = {}

    def literal(self, value: Any) -> str:
        """The source of a value. Raises NotSaved."""
        if value is None or type(value) in (bool, int, str, bytes, complex):
            return repr(value)
        if type(value) is float:
            return repr(value) if np.isfinite(value) else f"float({str(value)!r})"
        if type(value) in (tuple, list):
            inside = ", ".join(map(self.literal, value))
            return f"[{inside}]" if type(value) is list else f"({inside},)" if len(value) == 1 else f"({inside})"
        if type(value) is dict:
            return "{" + ", ".join(f"{self.literal(key)}: {self.literal(one)}" for key, one in value.items()) + "}"
        if type(value) is functools.partial:
            keywords = [f"{key}={self.literal(one)}" for key, one in value.keywords.items()]
            return f"functools.partial({', '.join([*map(self.literal, (value.func, *value.args)), *keywords])})"
        if id(value) not in self.known:
            self.known[id(value)] = value, self.array(value) or self.function(value) or self.pickled(value)
        return self.known[id(value)][1]

    def array(self, value: Any) -> str:
        """The source of a plain array, whose numbers are in the file of arrays; empty for anything else."""
        if type(value) is np.ndarray and value.dtype.kind in "biufc":
            stored: Any = value, {"framework": "numpy"}
        else:
            found = ((adapter.name, adapter.store(value)) for adapter in imported())
            stored = next(((x[0], {"framework": name, **x[1]}) for name, x in found if x is not None), None)
        if stored is None:
            return ""
        self.arrays.append(stored[0])
        self.descriptions.append(stored[1])
        return f"saved.arrays[{len(self.arrays) - 1}]"

    def function(self, value: Any) -> str:
        """The source that loads a function or a class by its name; empty for anything else."""
        if not callable(value) or (not hasattr(value, "__qualname__") and not hasattr(value, "__name__")):
            return ""
        try:
            origin = origin_of(value)
        except NotImportable as reason:
            if (known := self.by_pickle(value)) is not None:
                return known
            raise NotSaved(str(reason)) from None
        self.remember(origin.module, origin)
        return f"saved.load({origin.module!r}, {origin.name!r})"

    def by_pickle(self, value: Any) -> str | None:
        """The source of a function of a library, or a method of an object, that pickle can load."""
        try:
            if pickle.loads(pickle.dumps(value)) is not value and getattr(value, "__self__", None) is None:
                return None
            return self.pickled(value)
        except Exception:  # noqa: BLE001 (whatever a class raises when it is pickled)
            return None

    def pickled(self, value: Any) -> str:
        """The source of an object that is pickled: a module, or an argument of any other class."""
        try:
            self.objects.append(pickle.dumps(value))
        except Exception as error:  # whatever a class raises when it is pickled
            reason = str(error).split("\n")[0]
            raise NotSaved(
                f"an object of the class {type(value).__name__} cannot be pickled ({reason}); define the class at the "
                "top of a module, or check a function that makes the object"
            ) from error
        for owner in {type(value), *map(type, modules_of(value))}:
            with contextlib.suppress(NotImportable):
                self.remember(owner.__module__, origin_of(owner))
        return f"saved.objects[{len(self.objects) - 1}]"

    def remember(self, module: str, origin: Origin) -> None:
        if origin.file and not origin.file.startswith(installed()):
            self.files[module] = origin.file

    def write(self, name: str, text: str, folder: Path | None) -> Path:
        """The script in its folder, with the arrays."""
        if sum(x.nbytes for x in self.arrays) + sum(map(len, self.objects)) > LARGEST:
            raise NotSaved(f"the arguments have more than {LARGEST >> 20} MiB; check the function with smaller ones")
        description = {"arrays": self.descriptions, "objects": len(self.objects), "modules": self.files, "path": path()}
        digest = hashlib.sha256((text + json.dumps(description)).encode())
        for part in (*(x.tobytes() for x in self.arrays), *self.objects):
            digest.update(part)
        home = folder_of(folder)
        target = home / f"{re.sub(r'[^A-Za-z0-9_.]+', '_', name).strip('_') or 'function'}-{digest.hexdigest()[:8]}"
        make_folder(target)
        try:
            np.savez(target / ARRAYS, *self.arrays)
            for k, one in enumerate(self.objects):
                (target / f"object-{k}.pickle").write_bytes(one)
            os.utime(target)
        except OSError as error:
            raise NotSaved(f"{target} cannot be written to ({error.strerror}); set {FOLDER} to a folder") from error
        write_text(target / DESCRIPTION, json.dumps(description, indent=1))
        write_text(target / SCRIPT, text)
        return target / SCRIPT


def modules_of(value: Any) -> list[Any]:
    """The parts of a module of torch; empty for anything else."""
    parts = getattr(value, "modules", None)
    return list(parts()) if callable(parts) and not isinstance(value, type) else []


def path() -> list[str]:
    """The folders in which Python looks for modules, without those of its installation."""
    folders = [str(Path(one or ".").resolve()) for one in sys.path]
    return [one for one in dict.fromkeys(folders) if not one.startswith(installed()) and os.path.isdir(one)]


def installed() -> tuple[str, ...]:
    """The folders of Python's installation."""
    return tuple(str(Path(one).resolve()) + os.sep for one in (sys.prefix, sys.base_prefix))


def folder_of(folder: Path | None) -> Path:
    """The folder that holds the folders of failures, which is made. Raises UsageError or NotSaved."""
    if folder is None and os.environ.get(FOLDER):
        folder = Path(os.environ[FOLDER]).expanduser()
    if folder is not None:
        make_folder(folder)
        return folder.resolve()
    try:
        user = getpass.getuser()
    except (KeyError, OSError, ImportError):  # no name is known
        user = "unknown"
    home = Path(tempfile.gettempdir()).resolve() / f"gradagree-of-{user}"
    try:
        home.mkdir(mode=0o700, exist_ok=True)
        if hasattr(os, "getuid") and (home.is_symlink() or home.stat().st_uid != os.getuid()):
            raise NotSaved(f"{home} belongs to another user; set {FOLDER} to a folder")
        known = sorted(home.iterdir(), key=lambda one: one.stat().st_mtime)
    except OSError as error:
        raise NotSaved(f"{home} cannot be written to ({error.strerror}); set {FOLDER} to a folder") from error
    for old in known[: max(0, len(known) - NEWEST + 1)]:
        shutil.rmtree(old, ignore_errors=True)
    return home
