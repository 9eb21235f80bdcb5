"""Tracing of PyTorch programs into steps of ATen operations, and their replay with every cotangent kept."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch.func import functionalize
from torch.fx.experimental.proxy_tensor import make_fx
from torch.fx.traceback import preserve_node_meta, set_current_meta

from gradagree.adapters.aten import ATEN
from gradagree.adapters.program import Program, Step
from gradagree.errors import UsageError
from gradagree.reference.graph import Value

FRAME = re.compile(r'File "([^"]+)", line (\d+)')


def trace_program(function: Callable[..., Any], inputs: Sequence[torch.Tensor], names: Sequence[str]) -> Program:
    """The ATen operations of a function of tensors, for the given inputs.

    A custom ``autograd.Function`` opens into its forward operations. Writes into tensors become operations without
    side effects.

    Args:
        function: Takes the tensors and returns a tensor, or a tuple or list of tensors.
        inputs: The tensors; branches and shapes are recorded as they take them.
        names: Names of the inputs, for messages.

    Raises:
        UsageError: The function cannot be traced: it reads numbers of its tensors, for example.
    """
    detached = [x.detach() for x in inputs]
    try:
        with torch.no_grad():
            module: Any = make_fx(function, record_stack_traces=True)(*detached)
    except Exception as error:  # whatever the user's program raises under tracing
        reason = str(error).strip().split("\n")[0]
        raise UsageError(f"the function cannot be traced: {reason}; give a reference function in NumPy") from error
    places = {node.name: place_of(node.meta.get("stack_trace", "")) for node in module.graph.nodes}
    if any(is_mutable(node.target) for node in module.graph.nodes):
        with preserve_node_meta(), torch.no_grad():
            module = make_fx(functionalize(_WithMeta(module).run, remove="mutations_and_views"))(*detached)
        places = {
            n.name: next((places.get(o.name, "") for o in n.meta.get("from_node", [])), "") for n in module.graph.nodes
        }
    module.graph.eliminate_dead_code()
    module.recompile()
    return _program(module, list(names), places)


class _WithMeta(torch.fx.Interpreter):  # type: ignore[misc]
    """Hands the place of each operation on to the program that is made of it."""

    def run_node(self, n: Any) -> Any:
        with set_current_meta(n):
            return super().run_node(n)


def place_of(stack_trace: str) -> str:
    """File and line of the innermost frame of a stack trace."""
    frames = FRAME.findall(stack_trace)
    return ":".join(frames[-1]) if frames else ""


def is_mutable(target: Any) -> bool:
    return bool(getattr(getattr(target, "_schema", None), "is_mutable", False))


def _program(module: Any, names: list[str], places: dict[str, str]) -> Program:
    numbers: dict[Any, Value] = {}
    constants: dict[Any, Any] = {}
    steps: list[Step] = []
    outputs: list[Any] = []

    def operand(x: Any) -> Any:
        if isinstance(x, torch.fx.Node):
            return constants[x] if x in constants else numbers[x]
        if isinstance(x, list | tuple):
            return [operand(y) for y in x]
        return x

    for node in module.graph.nodes:
        if node.op == "placeholder":
            numbers[node] = Value(len(numbers))
        elif node.op == "get_attr":
            constants[node] = to_numpy(getattr(module, node.target))
        elif node.op == "output":
            returned = node.args[0] if isinstance(node.args[0], list | tuple) else [node.args[0]]
            outputs = [operand(x) for x in returned]
        else:
            name = name_of(node.target)
            operands, keywords = tuple(map(operand, node.args)), {k: operand(x) for k, x in node.kwargs.items()}
            numbers[node] = Value(len(names) + len(steps))
            steps.append(
                Step(name, ATEN.get(name), operands, keywords, numbers[node].number, places.get(node.name, ""))
            )
    return Program(names, steps, outputs, native=(module, numbers))


def name_of(target: Any) -> str:
    """``aten.add`` for every overload and for the forms without side effects and without views."""
    schema = getattr(target, "_schema", None)
    if schema is None:
        return getattr(target, "__name__", str(target))
    return schema.name.replace("::", ".").removesuffix("_copy")


def to_numpy(x: torch.Tensor) -> np.ndarray:
    """A tensor as float64 (or with its integers, or truth values), on the host."""
    x = x.detach().cpu()
    return x.to(torch.float64).numpy() if x.dtype.is_floating_point else x.numpy()


def replay(
    program: Program, inputs: Sequence[torch.Tensor], cotangents: Sequence[torch.Tensor | None]
) -> tuple[list[Any], list[Any]]:
    """All values of the traced program and their cotangents, by PyTorch itself.

    Returns:
        Two lists by the numbers of the values; None for a value that is no tensor, or that nothing depends on.
    """
    module, numbers = program.native
    kept: dict[int, Any] = {}

    class Keeping(torch.fx.Interpreter):  # type: ignore[misc]
        def run_node(self, n: Any) -> Any:
            found = super().run_node(n)
            if n in numbers:
                if isinstance(found, torch.Tensor) and found.dtype.is_floating_point:
                    if found.requires_grad:
                        found.retain_grad()
                    else:  # after an operation that blocks gradients, its consumers still have cotangents
                        found = found.detach().requires_grad_()
                kept[numbers[n].number] = found
            return found

    leaves = [x.detach().clone().requires_grad_(x.dtype.is_floating_point) for x in inputs]
    outputs = Keeping(module).run(*leaves)
    outputs = outputs if isinstance(outputs, list | tuple) else [outputs]
    pairs = [(y, g) for y, g in zip(outputs, cotangents, strict=True) if g is not None and y.requires_grad]
    torch.autograd.backward([y for y, _ in pairs], [g for _, g in pairs])
    values = [kept.get(k) for k in range(len(program.inputs) + len(program.steps))]
    grads = [x.grad if isinstance(x, torch.Tensor) and x.dtype.is_floating_point else None for x in values]
    return values, grads
