"""What the script of a failing call loads: its arrays, its objects, and the user's own functions."""

from __future__ import annotations

import contextlib
import functools
import importlib
import importlib.util
import json
import os
import pickle
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from gradagree.adapters.function_adapters import named_adapter
from gradagree.errors import UsageError
from gradagree.functions.importable import lookup
from gradagree.functions.saved import ARRAYS, DESCRIPTION, FOLDER

MAIN = "gradagree_main"
"""The name under which the user's main script is loaded; the script of the failing call is another one."""


class Saved:
    """A failing call that was saved beside a script.

    Args:
        script: The file of the script.
    """

    def __init__(self, script: str) -> None:
        self.folder = Path(script).resolve().parent
        self.description = json.loads((self.folder / DESCRIPTION).read_text(encoding="utf-8"))
        os.environ[FOLDER] = ""  # a failure is not saved again
        sys.path += [one for one in self.description["path"] if one not in sys.path]

    @functools.cached_property
    def arrays(self) -> list[Any]:
        """The arrays of the call."""
        with np.load(self.folder / ARRAYS, allow_pickle=False) as stored:
            numbers = [stored[f"arr_{k}"] for k in range(len(self.description["arrays"]))]
        return [restored(x, dict(about)) for x, about in zip(numbers, self.description["arrays"], strict=True)]

    @functools.cached_property
    def objects(self) -> list[Any]:
        """The other arguments, such as modules."""
        found = []
        for k in range(self.description["objects"]):
            with (self.folder / f"object-{k}.pickle").open("rb") as file:
                found.append(Unpickler(self, file).load())
        return found

    def load(self, module: str, name: str) -> Any:
        """A function or class by the names of its module and of itself.

        Raises:
            UsageError: The module or the name does not exist any more.
        """
        found = lookup(self.module(module), name)
        if found is None:
            raise UsageError(f"{self.description['modules'].get(module, module)} has no {name!r} any more")
        return found

    def module(self, name: str) -> ModuleType:
        """A module of the user: the one of this name if it has the file that it had, otherwise by its file.

        A script may end with the failing check itself; what is defined before it is there.
        """
        file = self.description["modules"].get(name)
        known = MAIN if name == "__main__" else name
        if known in sys.modules:
            return sys.modules[known]
        if name != "__main__" and (file is None or same_file(name, file)):
            return importlib.import_module(name)
        spec = importlib.util.spec_from_file_location(known, file)
        if spec is None or spec.loader is None or not Path(file).is_file():
            raise UsageError(f"{file}: no such file any more")
        sys.path.insert(0, str(Path(file).parent))
        module = sys.modules[known] = importlib.util.module_from_spec(spec)
        try:
            with contextlib.redirect_stdout(None), contextlib.suppress(AssertionError, SystemExit):
                spec.loader.exec_module(module)
        finally:
            sys.path.pop(0)
        return module


def same_file(name: str, file: str) -> bool:
    """True if the import of a module finds this file."""
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError, AttributeError):
        return False
    return spec is not None and spec.origin is not None and Path(spec.origin).resolve() == Path(file)


def restored(numbers: np.ndarray, about: dict[str, Any]) -> Any:
    """A stored array as the framework's."""
    framework = about.pop("framework")
    return numbers if framework == "numpy" else named_adapter(framework).restore(numbers, about)


class Unpickler(pickle.Unpickler):
    """Finds the classes of the user's main script, and of files that are not on Python's path."""

    def __init__(self, saved: Saved, file: Any) -> None:
        super().__init__(file)
        self.saved = saved

    def find_class(self, module: str, name: str) -> Any:
        if module in self.saved.description["modules"]:
            return self.saved.load(module, name)
        return super().find_class(module, name)
