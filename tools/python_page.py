"""The page on Python names: python -m tools.python_page > docs/python.md."""

from __future__ import annotations

import ast
import enum
import importlib
import inspect
import itertools
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from textwrap import indent
from typing import Any

import click

INTRODUCTION = """\
# Python names

What each public name says of itself. This page is made from docstrings by
`python -m tools.python_page > docs/python.md`.

Whatever else there is in the package may change without notice.
"""
HOMES = {
    "gradagree": "From `import gradagree`, which imports no framework, and none of these before it is used.",
    "gradagree.reference": "The answer by hand, in NumPy, as [the derivation](derivation.md) has it.",
    "gradagree.adapters": "The frameworks' answers; [one of your own](extending.md) extends `gradagree.Adapter`.",
    "gradagree.api": "What `gradagree.check` raises where a verdict fails.",
    "gradagree.errors": "What everything raises that is given bad input.",
}  # fmt: skip
FORMER = ("pull",)
"""Former names that still work."""
CHOSEN = {"gradagree.api": ["Disagreement"], "gradagree.errors": ["UsageError"]}
"""Of these modules only so much is public."""
WIDTH = 100
PLUGIN = Path(__file__).parents[1] / "gradagree" / "pytest_plugin" / "__init__.py"
ELSEWHERE = {
    "activations": "The module of all activations: [what each framework spells](coverage.md).",
    "errors": "The module of all error functions: [likewise](coverage.md).",
}
SECTIONS = ("Args", "Returns", "Raises", "Example")
SIMPLE = (type(None), bool, int, float, str, tuple)


def text() -> str:
    """The whole page, in Markdown."""
    parts = [INTRODUCTION]
    for home in HOMES:
        parts += [f"## {home}\n", f"{HOMES[home]}\n", *(part for name in names(home) for part in _entry(home, name))]
    parts += ["## Fixtures of pytest\n", "Of the [plugin](pytest.md), which is installed with the package.\n"]
    for name, returns, said in fixtures():
        parts.append(f"### {name}\n\n```python\n{name}: {returns}\n```\n\n{_prose(said)}\n")
    return "\n".join(parts)


def names(home: str) -> list[str]:
    """The public names of a package or module that were not shown by one before it."""
    module = importlib.import_module(home)
    found = CHOSEN.get(home) or getattr(module, "__all__", None) or list(vars(module))
    before = {id(getattr(importlib.import_module(one), name)) for one in _before(home) for name in names(one)}
    values = {name: getattr(module, name) for name in found if not name.startswith("_")}
    return sorted(
        name for name, value in values.items()
        if id(value) not in before and (name in ELSEWHERE or not inspect.ismodule(value))
    )  # fmt: skip


def _before(home: str) -> list[str]:
    return list(HOMES)[: list(HOMES).index(home)]


def _entry(home: str, name: str) -> Iterator[str]:
    thing = getattr(importlib.import_module(home), name)
    yield f"### {home}.{name}\n"
    if inspect.ismodule(thing):
        yield f"{ELSEWHERE[name]}\n"
        return
    if not isinstance(thing, enum.EnumType):
        yield f"```python\n{'class ' * isinstance(thing, type)}{_signature(name, thing)}\n```\n"
    yield f"{_prose(inspect.getdoc(thing) or '')}\n"
    if isinstance(thing, type):
        for _, shown, said in members(thing):
            yield f"- `{shown}`" + (f": {indent(_prose(said), '  ').strip()}" if said else "")
        yield ""


def members(kind: type) -> list[tuple[str, str, str]]:
    """(name, how it is used, what it says) of what a class has of its own, or of an ancestor that is not public."""
    if issubclass(kind, enum.Enum):
        return [(one.name, f'{one.name} = "{one.value}"', getattr(one, "meaning", "")) for one in kind]
    found: dict[str, tuple[str, str]] = {}
    public = {id(getattr(importlib.import_module(home), name)) for home in HOMES for name in names(home)}
    ours = [one for one in kind.__mro__ if one.__module__.startswith("gradagree")]
    for owner in (one for one in ours if one is kind or id(one) not in public):
        said = _attribute_docs(owner)
        for name in [*inspect.get_annotations(owner), *vars(owner)]:
            if not name.startswith("_") and name not in (*found, *FORMER):
                found[name] = _member(owner, name, said.get(name, ""))
    return [(name, *told) for name, told in found.items()]


def _member(owner: type, name: str, said: str) -> tuple[str, str]:
    value = inspect.getattr_static(owner, name, None)
    function = getattr(value, "__func__", value)
    if inspect.isfunction(function):
        return _signature(name, function, method=not isinstance(value, staticmethod)), inspect.getdoc(function) or ""
    getter = getattr(value, "fget", None) or getattr(value, "func", None)
    if getter is not None:
        return name + _typed(inspect.get_annotations(getter).get("return", "Any"), ": "), inspect.getdoc(getter) or ""
    return name + _typed(inspect.get_annotations(owner).get(name, type(value)), ": "), said


def _attribute_docs(owner: type) -> dict[str, str]:
    """What stands in quotation marks below an attribute."""
    try:
        body = ast.parse(inspect.getsource(owner)).body[0]
    except (OSError, SyntaxError, IndentationError):
        return {}
    lines = body.body if isinstance(body, ast.ClassDef) else []
    return {
        line.target.id: inspect.cleandoc(str(below.value.value))
        for line, below in itertools.pairwise(lines)
        if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name)
        and isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant)
    }  # fmt: skip


def _signature(name: str, thing: Any, method: bool = False) -> str:
    """``name(operand: type = default) -> type``; the same in every version of Python."""
    of_python = isinstance(thing, type) and issubclass(thing, Exception | float | tuple)
    if of_python and "__init__" not in vars(thing) and not hasattr(thing, "_fields"):
        return name
    signature = inspect.signature(thing)
    parameters = list(signature.parameters.values())[int(method) :]
    shown, starred = [], False
    for one in parameters:
        if one.kind is one.KEYWORD_ONLY and not starred:
            shown.append("*")
            starred = True
        starred |= one.kind is one.VAR_POSITIONAL
        mark = "*" * ((one.kind is one.VAR_POSITIONAL) + 2 * (one.kind is one.VAR_KEYWORD))
        shown.append(mark + one.name + _typed(one.annotation, ": ") + _default(one.default))
    returns = "" if isinstance(thing, type) else _typed(signature.return_annotation, " -> ")
    line = f"{name}({', '.join(shown)}){returns}"
    broken = "".join(f"    {one},\n" for one in shown)
    return line if method or len(line) <= WIDTH else f"{name}(\n{broken}){returns}"


def _typed(annotation: Any, sign: str) -> str:
    if annotation in (inspect.Parameter.empty, None, "None"):
        return ""
    told = getattr(annotation, "__forward_arg__", annotation)
    return sign + re.sub(
        r"\b(?:\w+\.)+(?=[A-Z])", "", told if isinstance(told, str) else inspect.formatannotation(told)
    )


def _default(value: Any) -> str:
    if value is inspect.Parameter.empty:
        return ""
    return f" = {value!r}" if isinstance(value, SIMPLE) and "<" not in repr(value) else " = ..."


def _prose(said: str) -> str:
    """A docstring as Markdown: prose, lists of arguments and exceptions, and examples as code."""
    shown, section = [], ""
    for part in re.split(rf"^({'|'.join(SECTIONS)}):\n", said, flags=re.MULTILINE):
        if part in SECTIONS:
            section = part
        elif section == "Example":
            shown.append(f"```python\n{textwrap.dedent(part).strip()}\n```")
        elif section in ("Args", "Raises"):
            entries = re.findall(r"^(\w+): ((?:.+\n?)(?: +.+\n?)*)", textwrap.dedent(part), re.MULTILINE)
            listed = "\n".join(f"- `{name}`: {_escaped(' '.join(text.split()))}" for name, text in entries)
            shown.append(f"{section}:\n\n{listed}")
        elif section:
            shown.append(f"{section}: {_escaped(' '.join(part.split()))}")
        else:
            shown.append(_escaped(part).strip())
    return "\n\n".join(shown)


def _escaped(said: str) -> str:
    """Text as Markdown: its code as it is, and nothing else that could be taken for a sign."""
    parts = re.split(r"(``.+?``|`.+?`)", said)
    escaped = [re.sub(r"([*_<\[\]])", r"\\\1", part) for part in parts[::2]]
    code = [f"`{part.strip('`')}`" for part in parts[1::2]]
    return "".join(one for pair in zip(escaped, [*code, ""], strict=True) for one in pair)


def fixtures() -> Iterator[tuple[str, str, str]]:
    """(name, type, what it says) of each fixture of the plugin."""
    for node in ast.parse(PLUGIN.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef) and any("fixture" in ast.unparse(one) for one in node.decorator_list):
            yield node.name, ast.unparse(node.returns) if node.returns else "Any", ast.get_docstring(node) or ""


if __name__ == "__main__":
    click.echo(text(), nl=False)
