"""The implementation of a function as stand-alone source."""

from __future__ import annotations

import ast
import builtins
import inspect
import math
import re
import sys
import textwrap
from collections.abc import Callable
from dataclasses import dataclass, field
from types import FunctionType, ModuleType
from typing import Any

from gradagree.adapters.adapter import library_frameworks
from gradagree.adapters.pointwise import unreduced
from gradagree.errors import UsageError
from gradagree.reference import Activation, ErrorFunction

# A framework's form of a function as plain code: parameters become numbers, methods become functions
# ---------------------------------------------------------------------------------------------------


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
        """The name of a function's plain form, which is added if it is missing.

        It is called with the operands and then the function's parameters. Raises UsageError if its code cannot be
        written.
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
        tree = parse_function(function)
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


def parse_function(function: Any) -> ast.FunctionDef:
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
        if not is_literal(value):
            raise UsageError(f"--script: {self.owner}.{node.attr}, which {self.name} uses, cannot be written down")
        return ast.parse(repr(value), mode="eval").body

    def visit_arg(self, node: ast.arg) -> ast.AST:
        return ast.arg(node.arg)


def is_literal(value: Any) -> bool:
    return value is None or isinstance(value, PLAIN) or (isinstance(value, tuple) and all(map(is_literal, value)))


# A function's spelling as text that stands alone: its parameters as numbers, and no reduction
# --------------------------------------------------------------------------------------------


PLAIN_INLINED = (bool, int, float, str)
BUILTIN = ("abs", "float", "len", "range", "sum", "max", "min", "slice", "tuple", "int", "bool", "list", "zip", "iter")


def inline(function: Activation | ErrorFunction, library: str, maker: str) -> str:
    """``def f(p): return torch.tanh(p)``, with all that it needs but the library's own import."""
    function = unreduced(function)
    method = inspect.getattr_static(type(function), library)
    tree = parsed_inlined(method)
    own = list(getattr(function, "own_weights", ()))
    replaced = Inline(function, own, maker).visit(tree)
    if any(isinstance(node, ast.Name) and node.id == "self" for node in ast.walk(replaced)):
        return as_class(function, library)
    operands = ("p",) if isinstance(function, Activation) else ("o", "t")
    body = [node for node in replaced.body if not is_text(node)]
    replaced.body, replaced.name = body, "f"
    replaced.args.args = [ast.arg(name) for name in operands]
    text = ast.unparse(ast.fix_missing_locations(replaced))
    if len(body) == 1:
        text = text.replace(":\n    return", ": return", 1)
    return with_dependencies(text, [replaced], sys.modules[defining_class(function, library).__module__])


def parsed_inlined(method: Any) -> Any:
    return ast.parse(textwrap.dedent(inspect.getsource(method))).body[0]


def is_text(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def defining_class(function: Any, name: str) -> type:
    """The class that defines the attribute."""
    return next(kind for kind in type(function).__mro__ if name in vars(kind))


class Inline(ast.NodeTransformer):
    """Puts numbers in the place of self's attributes, and the errors themselves in that of what gathers them."""

    def __init__(self, function: Any, own: list[str], maker: str) -> None:
        self.function = function
        self.own = own
        self.maker = maker

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        if isinstance(node.func, ast.Attribute) and node.func.attr == "_gathered" and node.args:
            return node.args[0]
        return node

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        self.generic_visit(node)
        if not (isinstance(node.value, ast.Name) and node.value.id == "self"):
            return node
        if node.attr in self.own:
            return ast.parse(self.maker.format(float(getattr(self.function, node.attr)))).body[0].value  # type: ignore[attr-defined]
        value = getattr(self.function, node.attr, None)
        plain = isinstance(value, PLAIN_INLINED) or (
            isinstance(value, tuple) and all(isinstance(x, PLAIN_INLINED) for x in value)
        )
        return ast.parse(repr(value)).body[0].value if plain else node  # type: ignore[attr-defined]


def run_lengths(numbers: Any) -> list[tuple[Any, int]]:
    """Each number with how often it follows upon itself."""
    found: list[tuple[Any, int]] = []
    for x in numbers:
        if found and found[-1][0] == x:
            found[-1] = (x, found[-1][1] + 1)
        else:
            found.append((x, 1))
    return found


def with_dependencies(text: str, trees: list[Any], module: Any) -> str:
    """The text after the constants, imports and functions of its module that it uses."""
    names = [n.id for tree in trees for n in ast.walk(tree) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)]
    first: list[str] = []
    for name in dict.fromkeys(names):
        value = vars(module).get(name)
        if name == "np":
            first.append("import numpy as np")
        elif isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
            first.append(f"{name} = {value!r}")
        elif inspect.isfunction(value):
            first.append(
                with_dependencies(
                    without_annotations(inspect.getsource(value)),
                    [parsed_inlined(value)],
                    sys.modules[value.__module__],
                )
            )
    return "\n".join(dict.fromkeys([*first, text]))


def without_annotations(source: str) -> str:
    """Without its docstring and the types of its signature."""
    tree = ast.parse(textwrap.dedent(source))
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            node.body = [one for one in node.body if not is_text(one)] or [ast.Pass()]
            node.returns = None
            for arg in node.args.args:
                arg.annotation = None
    return ast.unparse(tree)


def as_class(function: Any, library: str) -> str:
    """For an implementation that calls other methods of its class: the class with these methods."""
    wanted, methods, trees = [library], {}, []
    while wanted:
        name = wanted.pop()
        if name in methods or name == "_gathered":
            continue
        attribute = inspect.getattr_static(type(function), name, None)
        getter = getattr(attribute, "fget", attribute)
        if not inspect.isfunction(getter):
            continue
        tree = parsed_inlined(getter)
        methods[name] = without_annotations(inspect.getsource(getter))
        trees.append(tree)
        wanted += [n.attr for n in ast.walk(tree) if isinstance(n, ast.Attribute)
                   and isinstance(n.value, ast.Name) and n.value.id == "self"]  # fmt: skip
    fields = [
        f"    {key} = {value!r}" for key, value in vars(function).items() if isinstance(value, (*PLAIN_INLINED, tuple))
    ]
    lines = ["class F:", *fields, *(textwrap.indent(text, "    ") for text in methods.values())]
    lines.append("    def _gathered(self, e, asarray): return e")
    operands = "p" if isinstance(function, Activation) else "o, t"
    framework = library_frameworks().get(library, library)
    frameworks = ", ".join(dict.fromkeys([library, framework]))
    lines.append(f"def f({operands}): return F().{library}({operands}, {frameworks})")
    return with_dependencies("\n".join(lines), trees, sys.modules[defining_class(function, library).__module__])


# Which function of a framework a spelling calls: its own, or a formula of several
# --------------------------------------------------------------------------------


NAME = re.compile(r"\b(?:torch|jax|optax|jnp|special)(?:\.\w+)+")
PLUMBING = ("asarray", "as_tensor", "torch.tensor", "jax.numpy.array", "split", "jax.numpy.sum", "jnp.asarray")
SHORT = {"jnp": "jax.numpy", "special": "jax.scipy.special"}

DOCUMENTED = {
    ("torch", "bce", "value"): "documented: the logarithm is clamped at -100",
}
"""Where a framework says itself that it gives something else."""


def library_call(function: Any, library: str) -> tuple[str, bool]:
    """The name that the implementation calls, and True if it is one function of the library."""
    method = getattr(type(function), library, None)
    if method is None:
        return "", False
    text = inspect.getsource(method).partition("\n")[2]
    names = [full_name(name) for name in NAME.findall(text) if not name.endswith(PLUMBING) and name.count(".") > 0]
    names = list(dict.fromkeys(name for name in names if not name.endswith((".dtype", ".as_tensor"))))
    if len(names) == 1:
        arithmetic = re.search(r"[-+*/]\s*\(?[\w.]*\b[pot]\b|\b[pot]\b\s*[-+*/]", text)
        own = ".nn." in names[0] or library == "optax" or not arithmetic
        return names[0], own
    return ("a formula of " + ", ".join(names) if names else "a formula"), library == "optax"


def full_name(name: str) -> str:
    head, _, rest = name.partition(".")
    return f"{SHORT.get(head, head)}.{rest}"
