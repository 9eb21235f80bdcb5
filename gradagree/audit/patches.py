"""Replacing functions of libraries for the time of a test run, also in libraries that are imported later."""

from __future__ import annotations

import contextlib
import functools
import importlib
import importlib.abc
import importlib.machinery
import sys
from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import Any

Install = Callable[[Any, Any], None]
"""Patches a module for an audit."""


class Wrapper:
    """Stands in for a function; compares equal to it, and has its attributes.

    Args:
        original: The function.
        call: Called with the arguments in its place.
    """

    def __init__(self, original: Any, call: Callable[..., Any]) -> None:
        functools.update_wrapper(self, original)
        self.__wrapped__, self._call = original, call

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        __tracebackhide__ = True
        return self._call(*args, **kwargs)

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        return self if instance is None else functools.partial(self, instance)

    def __getattr__(self, name: str) -> Any:
        if name == "__wrapped__":
            raise AttributeError(name)
        return getattr(self.__wrapped__, name)

    def __eq__(self, other: object) -> bool:
        return other is self or other is self.__wrapped__

    def __hash__(self) -> int:
        return hash(self.__wrapped__)

    def __repr__(self) -> str:
        return repr(self.__wrapped__)

    def __reduce__(self) -> Any:
        return named, (self.__wrapped__.__module__, self.__wrapped__.__qualname__)


def named(module: str, name: str) -> Any:
    """The object of a name in a module, as pickle finds it."""
    return functools.reduce(getattr, name.split("."), importlib.import_module(module))


class Patches:
    """Replaced attributes, and how they are put back."""

    def __init__(self) -> None:
        self._undo: list[tuple[Any, str, Any, bool]] = []
        self._finder: HookFinder | None = None

    def set(self, owner: Any, name: str, value: Any) -> None:
        """Replace an attribute."""
        own = name in vars(owner)
        self._undo.append((owner, name, vars(owner).get(name), own))
        setattr(owner, name, value)

    def replace(self, owner: Any, name: str, wrapper: Any, inside: bool = False) -> None:
        """Replace a function, also where another library, or with inside its own, has imported it by the same name."""
        original = getattr(owner, name)
        self.set(owner, name, wrapper)
        home = getattr(owner, "__name__", "").partition(".")[0]
        for module in [*sys.modules.values()] if isinstance(owner, ModuleType) else []:
            names = getattr(module, "__dict__", None)
            away = inside or getattr(module, "__name__", "").partition(".")[0] != home
            if away and isinstance(names, dict) and names.get(name) is original:
                self.set(module, name, wrapper)

    def on_import(self, hooks: Mapping[str, Install], audit: Any) -> None:
        """Patch the modules that are there now, and the others when they are imported."""
        for name, install in hooks.items():
            if name in sys.modules and not _being_imported(sys.modules[name]):
                audit.guarded(install, sys.modules[name], audit)
        later = {name: install for name, install in hooks.items() if name not in sys.modules}
        self._finder = HookFinder(later, audit)
        sys.meta_path.insert(0, self._finder)

    def undo(self) -> None:
        """Put everything back."""
        if self._finder in sys.meta_path:
            sys.meta_path.remove(self._finder)
        while self._undo:
            owner, name, value, own = self._undo.pop()
            with contextlib.suppress(AttributeError, TypeError):
                setattr(owner, name, value) if own else delattr(owner, name)


def _being_imported(module: Any) -> bool:
    return bool(getattr(getattr(module, "__spec__", None), "_initializing", False))


class HookFinder(importlib.abc.MetaPathFinder):
    """Calls a function after a module has been imported."""

    def __init__(self, hooks: Mapping[str, Install], audit: Any) -> None:
        self.hooks = dict(hooks)
        self.audit = audit

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        install = self.hooks.pop(fullname, None)
        if install is None:
            return None
        found = (other.find_spec(fullname, path, target) for other in sys.meta_path if other is not self)
        spec = next(filter(None, found), None)
        if spec is None or spec.loader is None:
            self.hooks[fullname] = install
            return spec
        loader: Any = spec.loader
        execute, own = loader.exec_module, "exec_module" in vars(loader)

        def exec_module(module: ModuleType) -> None:
            del loader.exec_module
            if own:
                loader.exec_module = execute
            execute(module)
            self.audit.guarded(install, module, self.audit)

        with contextlib.suppress(AttributeError):
            loader.exec_module = exec_module
        return spec
