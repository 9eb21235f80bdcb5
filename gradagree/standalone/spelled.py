"""A framework's form of a function as plain code: parameters become numbers, methods become functions."""

from __future__ import annotations

import ast
import builtins
import inspect
import textwrap
from collections.abc import Callable
from dataclasses import dataclass, field
from types import FunctionType, ModuleType
from typing import Any

from gradagree.errors import UsageError
from gradagree.reference import Activation, ErrorFunction

PLAIN = (bool, int, float, str)


@dataclass
class Code:
    """Imports, constants and functions that a script needs, each once."""

    framework: str
    imports: dict[str, None] = field(default_factory=dict)
    constants: dict[str, str] = field(default_factory=dict)
    functions: dict[str, str] = field(default_factory=dict)
    taken: dict[str, Any] = field(default_factory=dict)

    def name_for(self, function: Activation | ErrorFunction) -> str:
        """The name of a function's plain form, which is written where it is not yet.

        It is called with the operands, and then the function's own weights. Raises UsageError where its code cannot be
        written down.
        """
        for name, known in self.taken.items():
            if type(known) is type(function) and known == function:
                return name
        name = function.name if function.name.isidentifier() else f"function_{len(self.taken) + 1}"
        while name in self.taken:
            name += "_"
        self.taken[name] = function
        method = getattr(type(function), self.framework, None)
        if not isinstance(method, FunctionType):
            raise UsageError(f"--script: {function} has no method {self.framework!r}")
        self._write(method, function, name)
        return name

    def _write(self, function: Callable[..., Any], owner: Any, name: str) -> None:
        self.functions[name] = ""
        tree = parsed(function)
        tree.name, tree.decorator_list, tree.returns = name, [], None
        if isinstance(tree.body[0], ast.Expr) and isinstance(tree.body[0].value, ast.Constant) and len(tree.body) > 1:
            tree.body = tree.body[1:]
        plain = Plain(self, owner, name)
        tree = plain.visit(tree)
        own = [ast.arg(weight) for weight in plain.weights]
        dropped = ("self", self.framework) if owner is not None and not name.startswith("_") else ("self",)
        tree.args.args = [ast.arg(arg.arg) for arg in tree.args.args if arg.arg not in dropped] + own
        self._globals(tree, inspect.unwrap(function))
        self.functions[name] = ast.unparse(ast.fix_missing_locations(tree))

    def method(self, owner: Any, name: str) -> str:
        """The name under which a method of the owner is called as a function."""
        made = f"_{type(owner).__name__.lower()}_{name.strip('_')}"
        if made not in self.functions:
            self._write(getattr(type(owner), name), owner, made)
        return made

    def _globals(self, tree: ast.FunctionDef, function: Any) -> None:
        """Whatever the code names outside of itself."""
        loaded = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}
        for name in sorted(loaded & set(function.__globals__)):
            if name in self.functions or hasattr(builtins, name):
                continue
            value = function.__globals__[name]
            if isinstance(value, ModuleType):
                self.imports[f"import {value.__name__} as {name}" if value.__name__ != name else f"import {name}"] = (
                    None
                )
            elif isinstance(value, FunctionType):
                self._write(value, None, name)
            elif isinstance(value, PLAIN):
                self.constants[name] = repr(value)
            else:
                raise UsageError(f"--script: {name}, which {tree.name} uses, cannot be written down")


def parsed(function: Any) -> ast.FunctionDef:
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function))).body[0]
    except (OSError, TypeError, SyntaxError):
        raise UsageError(
            f"--script: the source of {getattr(function, '__qualname__', function)} is not at hand"
        ) from None
    if not isinstance(tree, ast.FunctionDef):
        raise UsageError(f"--script: {getattr(function, '__qualname__', function)} is no plain function")
    return tree


class Plain(ast.NodeTransformer):
    """Numbers for self.beta, and functions for self._helper."""

    def __init__(self, code: Code, owner: Any, name: str) -> None:
        self.code, self.owner, self.name = code, owner, name
        self.weights: dict[str, None] = {}

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        if not isinstance(node.value, ast.Name) or node.value.id != "self":
            return self.generic_visit(node)
        if node.attr in getattr(self.owner, "own_weights", ()):
            self.weights[node.attr] = None
            return ast.Name(node.attr, ast.Load())
        value = getattr(self.owner, node.attr, None)
        if isinstance(getattr(type(self.owner), node.attr, None), FunctionType):
            return ast.Name(self.code.method(self.owner, node.attr), ast.Load())
        if not plain(value):
            raise UsageError(f"--script: {self.owner}.{node.attr}, which {self.name} uses, cannot be written down")
        return ast.parse(repr(value), mode="eval").body

    def visit_arg(self, node: ast.arg) -> ast.AST:
        return ast.arg(node.arg)


def plain(value: Any) -> bool:
    return value is None or isinstance(value, PLAIN) or (isinstance(value, tuple) and all(map(plain, value)))
