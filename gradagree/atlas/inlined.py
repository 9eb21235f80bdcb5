"""A function's spelling as text that stands alone: its parameters as numbers, and no reduction."""

from __future__ import annotations

import ast
import inspect
import math
import sys
import textwrap
from typing import Any

from gradagree.adapters.pointwise import library_frameworks, unreduced
from gradagree.reference import Activation, ErrorFunction

PLAIN = (bool, int, float, str)
BUILTIN = ("abs", "float", "len", "range", "sum", "max", "min", "slice", "tuple", "int", "bool", "list", "zip", "iter")


def inlined(function: Activation | ErrorFunction, library: str, maker: str) -> str:
    """``def f(p): return torch.tanh(p)``, with all that it needs but the library's own import."""
    function = unreduced(function)
    method = inspect.getattr_static(type(function), library)
    tree = parsed(method)
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
    return with_needs(text, [replaced], sys.modules[type_of(function, library).__module__])


def parsed(method: Any) -> Any:
    return ast.parse(textwrap.dedent(inspect.getsource(method))).body[0]


def is_text(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def type_of(function: Any, name: str) -> type:
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
        plain = isinstance(value, PLAIN) or (isinstance(value, tuple) and all(isinstance(x, PLAIN) for x in value))
        return ast.parse(repr(value)).body[0].value if plain else node  # type: ignore[attr-defined]


def runs(numbers: Any) -> list[tuple[Any, int]]:
    """Each number with how often it follows upon itself."""
    found: list[tuple[Any, int]] = []
    for x in numbers:
        if found and found[-1][0] == x:
            found[-1] = (x, found[-1][1] + 1)
        else:
            found.append((x, 1))
    return found


def with_needs(text: str, trees: list[Any], module: Any) -> str:
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
            first.append(with_needs(bare(inspect.getsource(value)), [parsed(value)], sys.modules[value.__module__]))
    return "\n".join(dict.fromkeys([*first, text]))


def bare(source: str) -> str:
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
    """For a spelling that calls other methods of its class: the class with those methods."""
    wanted, methods, trees = [library], {}, []
    while wanted:
        name = wanted.pop()
        if name in methods or name == "_gathered":
            continue
        attribute = inspect.getattr_static(type(function), name, None)
        getter = getattr(attribute, "fget", attribute)
        if not inspect.isfunction(getter):
            continue
        tree = parsed(getter)
        methods[name] = bare(inspect.getsource(getter))
        trees.append(tree)
        wanted += [n.attr for n in ast.walk(tree) if isinstance(n, ast.Attribute)
                   and isinstance(n.value, ast.Name) and n.value.id == "self"]  # fmt: skip
    fields = [f"    {key} = {value!r}" for key, value in vars(function).items() if isinstance(value, (*PLAIN, tuple))]
    lines = ["class F:", *fields, *(textwrap.indent(text, "    ") for text in methods.values())]
    lines.append("    def _gathered(self, e, asarray): return e")
    operands = "p" if isinstance(function, Activation) else "o, t"
    framework = library_frameworks().get(library, library)
    frameworks = ", ".join(dict.fromkeys([library, framework]))
    lines.append(f"def f({operands}): return F().{library}({operands}, {frameworks})")
    return with_needs("\n".join(lines), trees, sys.modules[type_of(function, library).__module__])
