"""A finding as a program that stands alone: it needs the framework, and NumPy at most, and ends with an assertion."""

from __future__ import annotations

from typing import Any

from gradagree.atlas.finding import Finding, copies
from gradagree.atlas.formulas import is_rows
from gradagree.atlas.inlined import inlined, runs
from gradagree.atlas.shown import place_of
from gradagree.reference import Activation, ErrorFunction

SHORT = 12
IMPORTS = {
    "torch": "import torch", "jax": "import jax\njax.config.update('jax_enable_x64', True)",
    "optax": "import jax\nimport optax\njax.config.update('jax_enable_x64', True)",
}  # fmt: skip
TORCH = {
    "eager": "f(x, *t)", "compile": "torch.compile(f, dynamic=True)(x, *t)",
    "vmap": "torch.func.vmap(lambda row, *ts: f(row[None], *(t[None] for t in ts))[0])(x, *t)",
}  # fmt: skip
TORCH_SLOPES = {
    "backward": "y = f(x, *t){k}\ny.backward(torch.ones_like(y))\nfound = x.grad",
    "grad": "y = f(x, *t){k}\nfound = torch.autograd.grad(y, x, torch.ones_like(y))[0]",
    "compile": "y = torch.compile(f, dynamic=True)(x, *t){k}\nfound = torch.autograd.grad(y, x, torch.ones_like(y))[0]",
    "vmap": "alone = lambda row, *ts: f(row[None], *(t[None] for t in ts)){k}.sum()\n"
            "found = torch.func.vmap(torch.func.grad(alone))(x.detach(), *t)",
    "forward": "found = torch.func.jvp(lambda x: f(x, *t), (x.detach(),), (along,))[1]",
    "reverse-reverse": "y = f(x, *t){k}\ng = torch.autograd.grad(y, x, torch.ones_like(y), create_graph=True)[0]{j}\n"
                       "found = torch.autograd.grad(g, x, torch.ones_like(g))[0]",
    "forward-reverse": "slope = torch.func.grad(lambda x: f(x, *t){k}.sum())\n"
                       "found = torch.func.jvp(slope, (x.detach(),), (along,))[1]",
    "reverse-forward": "slope = lambda x: torch.func.jvp(lambda x: f(x, *t), (x,), (along,))[1]{k}.sum()\n"
                       "found = torch.func.grad(slope)(x.detach())",
}  # fmt: skip
SLOPE = "slope = lambda x: jax.vjp(lambda x: f(x, *t), x)[1](out)[0]\n"
JAX = {
    "eager": "found = f(x, *t)", "jit": "found = jax.jit(f)(x, *t)",
    "vmap": "found = jax.jit(jax.vmap(lambda row, *ts: f(row[None], *(t[None] for t in ts))[0]))(x, *t)",
}  # fmt: skip
JAX_SLOPES = {
    "grad": SLOPE + "found = slope(x)", "jit": SLOPE + "found = jax.jit(slope)(x)",
    "vmap": "alone = lambda x, out, *ts: jax.vjp(lambda x: f(x, *(t[None] for t in ts)), x[None])[1](out[None])[0][0]\n"
            "found = jax.jit(jax.vmap(alone))(x, out, *t)",
    "forward": "found = jax.jit(lambda x: jax.jvp(lambda x: f(x, *t), (x,), (along,))[1])(x)",
}  # fmt: skip
JAX_SECONDS = {
    "reverse-reverse": SLOPE + "found = jax.jit(lambda x: jax.vjp(slope, x)[1](along)[0])(x)",
    "forward-reverse": SLOPE + "found = jax.jit(lambda x: jax.jvp(slope, (x,), (along,))[1])(x)",
    "reverse-forward": "ahead = lambda x: jax.jvp(lambda x: f(x, *t), (x,), (along,))[1]\n"
                       "found = jax.jit(lambda x: jax.vjp(ahead, x)[1](out)[0])(x)",
}  # fmt: skip


def reproducer(finding: Finding, function: Activation | ErrorFunction) -> str:
    """The program."""
    example = finding.example
    lines = [IMPORTS[finding.framework], inlined(function, finding.framework)]
    if "window" in example:
        lines += moved(finding, function)
    else:
        lines += operands(finding, function, copies(example["input"]))
        lines += asked(finding, function, example["mode"], "given")
        if "other_mode" in example:
            lines += asked(finding, function, example["other_mode"], "other")
    return "\n".join([*lines, *compared(finding)]) + "\n"


def number(x: Any) -> str:
    return f"float('{x}')" if isinstance(x, str) else repr(x)


def listed(numbers: Any) -> str:
    """A list of numbers as Python has it; long ones by how often each number follows upon itself."""
    if len(numbers) <= SHORT:
        return f"[{', '.join(number(x) for x in numbers)}]"
    return "(" + " + ".join(f"[{number(x)}] * {count}" for x, count in runs(numbers)) + ")"


def operands(finding: Finding, function: Any, times: int) -> list[str]:
    """x, t and the direction, in so many copies."""
    example, in_torch = finding.example, finding.framework == "torch"
    row = listed(example["input"])
    flat = isinstance(function, Activation) and not is_rows(function)
    values = f"{row} * {times}" if flat else f"[{row}] * {times}"
    make = "torch.tensor({}, dtype=torch.{})" if in_torch else "jax.numpy.array({}, dtype={!r})"
    lines = [f"x = {make.format(values, example['dtype'])}" + ".requires_grad_()" * in_torch]
    if example["target"] is None:
        lines.append("t = ()")
    elif getattr(function, "targets", "") == "classes":
        right = int(example["target"][0])
        lines.append(f"t = ({make.format(f'[{right}] * {times}', 'int64')},)")
    else:
        rows = make.format(f"[{listed(example['target'])}] * {times}", example["dtype"])
        lines.append(f"t = ({rows},)")
    return lines


def index(finding: Finding, function: Any) -> tuple[str, str, int | None, str]:
    """What stands for the output k and the input j, the input that a tangent is along, and where the answer lies."""
    entry = finding.example["entry"]
    if not is_rows(function):
        return "", "", None, "".join(f"[{k}]" for k in [0, *entry])
    k, j = (0, entry[0]) if finding.quantity == "second" else (entry[0] if entry else 0, None)
    vector = isinstance(function, Activation)
    picked = f"[..., {k}]" if vector and finding.quantity != "value" else ""
    along = entry[-1] if finding.quantity == "slope" else j
    place = [0, *entry] if finding.quantity == "value" else [0, entry[-1]]
    return picked, f"[..., {j}]" if j is not None else "", along, "".join(f"[{one}]" for one in place)


def asked(finding: Finding, function: Any, mode: str, name: str) -> list[str]:
    """The answer in one mode, under a name."""
    in_torch = finding.framework == "torch"
    k, j, along, place = index(finding, function)
    if finding.quantity == "value":
        text = f"found = {TORCH[mode]}" if in_torch else JAX[mode]
    elif in_torch:
        text = TORCH_SLOPES[mode]
    else:
        text = (JAX_SLOPES if finding.quantity == "slope" else JAX_SECONDS)[mode]
    lines = tangents(text, along, k, in_torch)
    if mode == "forward" and is_rows(function) and isinstance(function, Activation):
        place = f"[0][{finding.example['entry'][0]}]"
    elif mode == "forward" and is_rows(function):
        place = "[0].sum()"
    lines += text.replace("{k}", k).replace("{j}", j).split("\n")
    return [*lines, f"{name} = found{place}.item()" if in_torch else f"{name} = float(found{place})"]


def tangents(text: str, along: int | None, k: str, in_torch: bool) -> list[str]:
    """The directions that the program uses."""
    lines: list[str] = []
    if "along" in text and in_torch:
        lines.append(f"along = torch.{'ones' if along is None else 'zeros'}_like(x.detach())")
        lines += [] if along is None else [f"along[..., {along}] = 1"]
    elif "along" in text:
        like = "jax.numpy.{}_like(x)"
        lines.append(
            "along = " + (like.format("ones") if along is None else like.format("zeros") + f".at[..., {along}].set(1)")
        )
    if "out" in text and not in_torch:
        like = "jax.numpy.{}_like(f(x, *t))"
        lines.append("out = " + (like.format("zeros") + f".at{k}.set(1)" if k else like.format("ones")))
    return lines


def moved(finding: Finding, function: Any) -> list[str]:
    """The answers at both places."""
    lines: list[str] = []
    for name, at in (("other", "beside"), ("given", "window")):
        entry, length = place_of(finding.example[at])
        lines += [*operands(finding, function, length), *asked(finding, function, finding.example["mode"], name)]
        lines[-1] = lines[-1].replace("found[0]", f"found[{entry}]", 1)
    return lines


def compared(finding: Finding) -> list[str]:
    """What is printed, and what must hold."""
    example = finding.example
    given, true = example["given"], example["true"]
    if "window" in example:
        return [f"print({example['window']!r}, given, {example['beside']!r}, other)",
                "assert given != other and (given == given or other == other)"]  # fmt: skip
    if "other_mode" in example:
        told = f"print({example['mode']!r}, given, {example['other_mode']!r}, other, 'true', {number(true)})"
        numbers = [x for x in (given, example["other_given"]) if not isinstance(x, str)]
        gap = repr(abs(numbers[0] - numbers[1]) / 2) if len(numbers) == 2 else "1e308"
        return [told, f"assert not abs(given - other) <= {gap}"]
    told = f"print('given', given, 'true', {number(true)})"
    if isinstance(true, str):
        return [told, "assert given == given" if true == "nan" else "assert given != given"]
    if isinstance(given, str):
        return [told, f"assert not abs(given - {number(true)}) < float('inf')"]
    return [told, f"assert abs(given - {number(true)}) > {abs(given - true) / 2!r}"]
