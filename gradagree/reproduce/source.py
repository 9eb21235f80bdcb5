"""The implementation of a function in a framework as stand-alone source."""

from __future__ import annotations

import ast
import builtins
import inspect
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import FunctionType, ModuleType
from typing import Any

import numpy as np

from gradagree.adapters import Adapter
from gradagree.adapters.adapter import framework_of
from gradagree.adapters.modes import ScriptText
from gradagree.adapters.pointwise import REDUCTION
from gradagree.errors import UsageError
from gradagree.reference import Operation
from gradagree.reproduce.literals import WIDTH, number_literal

PLAIN = (bool, int, float, str)


def script_text(library: str) -> ScriptText:
    """The source text that the programs of a framework, or of one of its libraries, share. Raises UsageError."""
    adapter = Adapter.catalogue.get(framework_of(library))
    if adapter is None or adapter.script is None:
        raise UsageError(f"{library}: its adapter has no source text for programs")
    return adapter.script


@dataclass
class SourceWriter:
    """Imports, constants and functions of a program, each written once.

    Attributes of self become literals, and its methods functions.

    Args:
        library: Framework or library whose implementations are written.
        parameter: Source of a parameter's array, such as ``asarray({}, p.dtype)``, which stands in place of the
            parameter. Without it, a function takes its parameters as arguments after its operands.
        arguments: Further attributes that become arguments after the operands.
    """

    library: str
    parameter: str = ""
    arguments: Sequence[str] = ()
    imports: dict[str, None] = field(default_factory=dict)
    constants: dict[str, str] = field(default_factory=dict)
    functions: dict[str, str] = field(default_factory=dict)
    _names: dict[str, Operation] = field(default_factory=dict)

    def name_for(self, function: Operation) -> str:
        """The name of a function, which is written if it is missing. Raises UsageError if that is not possible."""
        for name, known in self._names.items():
            if type(known) is type(function) and known == function:
                return name
        name = function.name if function.name.isidentifier() else f"function_{len(self._names) + 1}"
        while name in self._names:
            name += "_"
        self._names[name] = function
        self.write(function, name)
        return name

    def write(self, function: Operation, name: str) -> None:
        """Write the implementation of a function under this name. Raises UsageError if that is not possible."""
        method = getattr(type(function), self.library, None)
        if not isinstance(method, FunctionType):
            raise UsageError(f"{function} has no method {self.library!r}")
        self._write(method, function, name, (self.library, framework_of(self.library)))

    def lines(self) -> list[str]:
        """Imports, constants, and each function after those that it was written for."""
        constants = [f"{name} = {value}" for name, value in self.constants.items()]
        return [*self.imports, *constants, *reversed(self.functions.values())]

    def method(self, owner: Any, name: str) -> str:
        """The name of the function that stands for a method, which is written if it is missing."""
        function_name = f"_{type(owner).__name__.lower()}_{name.strip('_')}"
        if function_name not in self.functions:
            self._write(getattr(type(owner), name), owner, function_name)
        return function_name

    def _write(self, function: Callable[..., Any], owner: Any, name: str, modules: Sequence[str] = ()) -> None:
        """Write a function, or a method of the owner; modules are arguments that name an import of the program."""
        self.functions[name] = ""
        inliner = _Inliner(self, owner, name)
        tree = inliner.visit(_parse(function))
        tree.name, tree.decorator_list = name, []
        if ast.get_docstring(tree) is not None and len(tree.body) > 1:
            del tree.body[0]
        operands = [arg for arg in tree.args.args if arg.arg not in {"self", *modules}]
        tree.args.args = [*operands, *map(ast.arg, inliner.parameters)]
        kept = [k for k, arg in enumerate(tree.args.kwonlyargs) if arg.arg not in modules]
        tree.args.kw_defaults = [tree.args.kw_defaults[k] for k in kept]
        tree.args.kwonlyargs = [tree.args.kwonlyargs[k] for k in kept]
        self._write_globals(tree, inspect.unwrap(function))
        text = ast.unparse(ast.fix_missing_locations(tree))
        one_line = text.replace(":\n    return", ": return", 1)
        self.functions[name] = one_line if "\n" not in one_line and len(one_line) <= WIDTH else text

    def _write_globals(self, tree: ast.FunctionDef, function: Any) -> None:
        """Write everything that the code names outside of itself."""
        loaded = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}
        for name in sorted(loaded & set(function.__globals__)):
            if name in self.functions or hasattr(builtins, name):
                continue
            value = function.__globals__[name]
            if isinstance(value, ModuleType):
                alias = "" if value.__name__ == name else f" as {name}"
                self.imports[f"import {value.__name__}{alias}"] = None
            elif isinstance(value, FunctionType):
                self._write(value, None, name)
            elif isinstance(value, PLAIN):
                self.constants[name] = number_literal(value) if isinstance(value, float) else repr(value)
            else:
                raise UsageError(f"{name}, which {tree.name} uses, cannot be written as source")


def _parse(function: Any) -> ast.FunctionDef:
    name = getattr(function, "__qualname__", function)
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function))).body[0]
    except (OSError, TypeError, SyntaxError):
        raise UsageError(f"the source of {name} is not available") from None
    if not isinstance(tree, ast.FunctionDef):
        raise UsageError(f"{name} is not defined by def")
    return tree


class _Inliner(ast.NodeTransformer):
    """Replaces self.beta by a literal, self._helper by a function, and drops types and the reduction of a loss."""

    def __init__(self, source: SourceWriter, owner: Any, name: str) -> None:
        self.source, self.owner, self.name = source, owner, name
        self.parameters: dict[str, None] = {}

    def visit_Call(self, node: ast.Call) -> ast.AST:
        if _attribute_of_self(node.func) == REDUCTION and REDUCTION in vars(self.owner):
            return self.visit(node.args[0])
        return self.generic_visit(node)

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        name = _attribute_of_self(node)
        if name is None:
            return self.generic_visit(node)
        value = getattr(self.owner, name, None)
        if name in (*getattr(self.owner, "parameter_names", ()), *self.source.arguments):
            if self.source.parameter and name not in self.source.arguments:
                return _expression(self.source.parameter.format(np.asarray(value, dtype=float).tolist()))
            self.parameters[name] = None
            return ast.Name(name, ast.Load())
        if isinstance(getattr(type(self.owner), name, None), FunctionType):
            return ast.Name(self.source.method(self.owner, name), ast.Load())
        if not _is_literal(value):
            raise UsageError(f"{self.owner}.{name}, which {self.name} uses, cannot be written as source")
        return _expression(repr(value))

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.returns = None
        return self.generic_visit(node)

    def visit_arg(self, node: ast.arg) -> ast.AST:
        return ast.arg(node.arg)


def _attribute_of_self(node: ast.AST) -> str | None:
    """beta of ``self.beta``; None for anything else."""
    is_own = isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "self"
    return node.attr if is_own else None  # type: ignore[attr-defined]


def _expression(text: str) -> ast.expr:
    return ast.parse(text, mode="eval").body


def _is_literal(value: Any) -> bool:
    return value is None or isinstance(value, PLAIN) or (isinstance(value, tuple) and all(map(_is_literal, value)))
