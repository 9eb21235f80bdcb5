"""Makes the subtractions and comparisons of test files visible, after pytest has rewritten their assertions.

Only functions that hold an assertion are changed, and not the functions inside them. The explanations of failures stay
as they are, because they were written before. The compiled files have a name of their own in the cache.
"""

from __future__ import annotations

import ast
import builtins
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gradagree.audit import handwritten
from gradagree.audit.session import Audit

NAME = "@gradagree_audit"
SIGNS: dict[type[ast.cmpop], str] = {ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=", ast.Eq: "=="}
HOME = str(Path(__file__).parents[1])
"""Our own folder, whose files are left alone."""
Function = ast.FunctionDef | ast.AsyncFunctionDef


class Rewriter(ast.NodeTransformer):
    """Replaces ``a - b``, ``a + b`` and ``a < b`` by calls of the audit."""

    def _stop(self, node: ast.AST) -> ast.AST:
        return node

    visit_FunctionDef = visit_AsyncFunctionDef = visit_Lambda = visit_ClassDef = _stop  # noqa: N815

    def visit_BinOp(self, node: ast.BinOp) -> ast.AST:
        self.generic_visit(node)
        name = {ast.Sub: "subtract", ast.Add: "add"}.get(type(node.op))
        return node if name is None else _call(node, name, node.left, node.right)

    def visit_Compare(self, node: ast.Compare) -> ast.AST:
        self.generic_visit(node)
        sign = SIGNS.get(type(node.ops[0])) if len(node.ops) == 1 else None
        return node if sign is None else _call(node, "compare", node.left, ast.Constant(sign), node.comparators[0])


def _call(node: ast.expr, name: str, *arguments: ast.expr) -> ast.AST:
    function = ast.Attribute(ast.Name(NAME, ast.Load()), name, ast.Load())
    call = ast.Call(function, list(arguments), [])
    for new in (call, function, function.value, *(x for x in arguments if isinstance(x, ast.Constant))):
        ast.copy_location(new, node)
    return call


def asserting(tree: ast.Module) -> list[Function]:
    """The functions of a module, and the methods of its classes, that hold an assertion themselves."""
    bodies = [tree.body, *(node.body for node in ast.walk(tree) if isinstance(node, ast.ClassDef))]
    functions = [node for body in bodies for node in body if isinstance(node, Function)]
    return [function for function in functions if any(map(_asserts, ast.walk(function)))]


def _asserts(node: ast.AST) -> bool:
    if isinstance(node, ast.Assert):
        return True
    called = node.func if isinstance(node, ast.Call) else None
    name = called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")
    return name.startswith("assert")


def rewrite(functions: list[Function]) -> None:
    """Change the bodies of these functions."""
    rewriter = Rewriter()
    for function in functions:
        function.body = [rewriter.visit(statement) for statement in function.body]


class Visible:
    """The functions of `handwritten`, for one audit."""

    def __init__(self, audit: Audit) -> None:
        self.subtract: Callable[..., Any] = lambda left, right: handwritten.subtract(audit, left, right)
        self.add: Callable[..., Any] = lambda left, right: handwritten.add(audit, left, right)
        self.compare: Callable[..., Any] = lambda left, sign, right: handwritten.compare(audit, left, sign, right)


def install_rewriting(audit: Audit) -> None:
    """Rewrite the test files that are imported from now on."""
    from _pytest.assertion import rewrite as pytest_rewrite

    original = pytest_rewrite.rewrite_asserts

    def rewrite_asserts(tree: ast.Module, *args: Any, **kwargs: Any) -> None:
        own = any(str(x).startswith(HOME) for x in args if isinstance(x, str))
        functions = [] if own else asserting(tree)
        original(tree, *args, **kwargs)
        audit.guarded(rewrite, functions)

    audit.patches.set(pytest_rewrite, "rewrite_asserts", rewrite_asserts)
    audit.patches.set(pytest_rewrite, "PYC_TAIL", f"-gradagree-audit{pytest_rewrite.PYC_TAIL}")
    setattr(builtins, NAME, Visible(audit))
