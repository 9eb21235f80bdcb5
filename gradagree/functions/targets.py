"""Functions and inputs that the command line names: ``module:function``, ``file.py:function``, a ``.npz`` file."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import numpy as np

from gradagree.errors import UsageError, is_file, nearest
from gradagree.functions.inputs import Arguments
from gradagree.runner.extensions import load


def load_target(text: str, option: str) -> Any:
    """The object of ``module:name`` or ``file.py:name``; the name may have dots.

    Raises:
        UsageError: The module cannot be imported, or has no such name; the message starts with the option.
    """
    home, colon, name = text.rpartition(":")
    if not colon or not home or not name:
        raise UsageError(f"{option} {text!r}: write module:function or file.py:function")
    module = load([home], option)[0] if home.endswith(".py") else import_module(home, option)
    found: Any = module
    for part in name.split("."):
        if not hasattr(found, part):
            known = [one for one in vars(found) if not one.startswith("_")] if hasattr(found, "__dict__") else []
            raise UsageError(f"{option} {text!r}: {home} has no {name!r}; {nearest(part, known, 8)}")
        found = getattr(found, part)
    return found


def import_module(name: str, option: str) -> Any:
    """A module on Python's path or in the current folder."""
    before = list(sys.path)
    sys.path.insert(0, str(Path.cwd()))
    try:
        return importlib.import_module(name)
    except Exception as error:
        first = next(iter(str(error).splitlines()), "")
        raise UsageError(f"{option} {name}: {type(error).__name__}: {first}") from error
    finally:
        sys.path[:] = before


def load_inputs(text: str) -> Any:
    """Arguments: of a ``.npz`` file, or of the function that makes them.

    In a file, ``arr_0``, ``arr_1``, ... are the positional arguments, as `numpy.savez` names them; arrays of other
    names are keyword arguments.
    """
    if not text.endswith(".npz"):
        return load_target(text, "--inputs")
    return Arguments(*load_arrays(text, "--inputs"))


def load_cotangents(text: str) -> list[Any]:
    """Cotangents: ``arr_0``, ``arr_1``, ... of a ``.npz`` file, or what a function returns."""
    if text.endswith(".npz"):
        positional, named = load_arrays(text, "--cotangents")
        if named:
            raise UsageError(
                f"--cotangents {text}: {next(iter(named))!r} is no cotangent; write them by numpy.savez(x, y)"
            )
        return list(positional)
    found = load_target(text, "--cotangents")
    found = found() if callable(found) else found
    return list(found) if isinstance(found, tuple | list) else [found]


def load_arrays(text: str, option: str) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arrays of a ``.npz`` file: those that `numpy.savez` numbers, and those that have names."""
    if not is_file(text):
        raise UsageError(f"{option} {text}: no such file")
    try:
        with open(text, "rb") as file, np.load(file, allow_pickle=False) as stored:
            arrays = dict(stored)
    except Exception as error:
        raise UsageError(f"{option} {text}: cannot be read as a .npz file: {error}") from error
    positional = [arrays.pop(f"arr_{k}") for k in range(len(arrays)) if f"arr_{k}" in arrays]
    return tuple(positional), arrays
