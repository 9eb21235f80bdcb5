"""The names of the modules whose code calls the operations of a JAX program.

Each module of a pytree that can be called enters a scope with its path while it runs, and JAX keeps the scopes of every
operation. Modules of flax.linen enter scopes of their own. An operation in no scope belongs to the container of the
parameter that it uses, such as ``params['layer']``.
"""

from __future__ import annotations

import contextlib
import functools
import re
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any

import jax

MARK = "gradagree.module:"
"""Begins the name of a scope that holds a module's path."""
NAMED: ContextVar[bool] = ContextVar("NAMED", default=False)
"""True while modules enter scopes."""
CONTAINERS = (list, tuple, dict)
WRAPPED = re.compile(r"\b\w+\(")
"""A transformation around the scopes, as in ``vmap(layer)``."""


@contextlib.contextmanager
def naming() -> Iterator[None]:
    """In the context, modules that are called enter scopes with their names."""
    token = NAMED.set(True)
    try:
        yield
    finally:
        NAMED.reset(token)


@contextlib.contextmanager
def scopes(tree: Any) -> Iterator[None]:
    """In the context, every module in a tree enters a scope when it is called.

    Args:
        tree: Pairs of the name of a root, which may be empty, and the module, or containers of some.
    """
    if not NAMED.get():
        yield
        return
    paths = {id(module): (module, path) for name, root in tree for module, path in modules_in(root, name)}
    classes = {owner(type(module)) for module, _ in paths.values()}
    kept = [(kind, kind.__dict__["__call__"]) for kind in classes]
    for kind, original in kept:
        kind.__call__ = scoped(original, paths)  # type: ignore[method-assign]
    try:
        yield
    finally:
        for kind, original in kept:
            kind.__call__ = original  # type: ignore[method-assign]


def owner(kind: type) -> type:
    """The class in whose body the method ``__call__`` of a class is written."""
    return next(one for one in kind.__mro__ if "__call__" in one.__dict__)


def scoped(original: Any, paths: dict[int, tuple[Any, str]]) -> Callable[..., Any]:
    """A method ``__call__`` that enters the scope of its module."""

    @functools.wraps(original)
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        bound = original.__get__(self, type(self))
        known = paths.get(id(self))
        if known is None:
            return bound(*args, **kwargs)
        with jax.named_scope(MARK + known[1].replace("/", ".")):
            return bound(*args, **kwargs)

    return call


def modules_in(thing: Any, path: str, seen: set[int] | None = None) -> Iterator[tuple[Any, str]]:
    """Modules that can be called, with their paths: objects whose class is written in Python, and their attributes."""
    seen = set() if seen is None else seen
    if id(thing) in seen or isinstance(thing, type | jax.Array | str | bytes | int | float | complex):
        return
    seen.add(id(thing))
    if isinstance(thing, CONTAINERS):
        for key, one in thing.items() if isinstance(thing, dict) else enumerate(thing):
            yield from modules_in(one, joined(path, str(key)), seen)
        return
    if not isinstance(attributes := getattr(thing, "__dict__", None), dict) or is_foreign(type(thing)):
        return
    if any("__call__" in kind.__dict__ for kind in type(thing).__mro__):
        yield thing, path
    for name, one in list(attributes.items()):
        if not name.startswith("_"):
            yield from modules_in(one, joined(path, name), seen)


def is_foreign(kind: type) -> bool:
    """True for classes of functions and of JAX itself, which are no modules."""
    return kind.__module__.partition(".")[0] in ("builtins", "functools", "jax", "jaxlib", "numpy", "types")


def joined(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def module_of(stack: str, root: str) -> str | None:
    """The module that the scopes of an operation name; None without any.

    Args:
        stack: The scopes, as JAX writes them: ``vmap(Network)/Dense_0``.
        root: The name of the model's own class, which is left out.
    """
    plain = WRAPPED.sub("", stack).replace(")", "")
    parts = [part for part in plain.split("/") if part]
    marked = [part.removeprefix(MARK) for part in parts if part.startswith(MARK)]
    if marked:
        return marked[-1]
    if not parts:
        return None
    return ".".join(parts[1:] if parts[0] == root else parts)


def container_of(label: str) -> str:
    """The path of the container of a parameter, as ``params.layer`` for ``params['layer']['w']``."""
    *parts, _ = re.findall(r"[^.\[\]'\"]+", label)
    return "" if parts == ["args"] else ".".join(parts)
