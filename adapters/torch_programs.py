"""Tracing of PyTorch programs into steps of ATen operations, and their replay with every cotangent kept."""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch._decomp import decomposition_table
from torch.func import functionalize
from torch.fx.experimental.proxy_tensor import make_fx
from torch.fx.traceback import get_current_meta, preserve_node_meta, set_current_meta
from torch.overrides import TorchFunctionMode
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode

from gradagree.adapters.aten import ATEN, CHOICES
from gradagree.adapters.aten.elementwise import convert
from gradagree.adapters.program import Program, Step
from gradagree.adapters.torch_stops import Stops
from gradagree.errors import UsageError
from gradagree.reference.graph import Value

LIBRARIES = (str(Path(torch.__file__).parent), str(Path(inspect.getfile(UsageError)).parent))
"""Folders whose lines are not those of the user's program."""


def trace_program(function: Callable[..., Any], inputs: Sequence[torch.Tensor], names: Sequence[str]) -> Program:
    """The ATen operations of a function of tensors, for the given inputs.

    A custom ``autograd.Function`` opens into its forward operations. Writes into tensors become operations without
    side effects.

    Args:
        function: Takes the tensors and returns a tensor, or a tuple or list of tensors.
        inputs: The tensors; branches and shapes are recorded as they take them.
        names: Names of the inputs, for messages.

    Raises:
        UsageError: The function cannot be traced: it leaves PyTorch, for example.
    """
    try:
        with torch.enable_grad(), preserve_node_meta(), _Places(), Stops(), _Draws() as drawing:
            module: Any = make_fx(function, _error_on_data_dependent_ops=False)(*copies(inputs))
    except Exception as error:  # whatever the user's program raises under tracing
        raise untraceable(error) from error
    for node in reversed(module.graph.nodes):
        if not node.users and name_of(node.target) == "aten._local_scalar_dense":  # a number that Python read
            module.graph.erase_node(node)
    places = {node.name: node.meta.get("stack_trace") or "" for node in module.graph.nodes}
    drawn = dict(zip((node for node in module.graph.nodes if is_random(node.target)), drawing.results, strict=True))
    if drawn or any(is_mutable(node.target) for node in module.graph.nodes):
        copy_constants(module)
        try:
            module, places = retrace(module, inputs, places, drawn=drawn)
        except RuntimeError as error:  # writes that PyTorch cannot take out
            raise untraceable(error) from error
    module, places = decomposed(module, inputs, places)
    for node in module.graph.find_nodes(op="call_function", target=torch.ops.aten.copy_.default):
        if not node.users:  # what the program writes into its inputs reaches no output
            module.graph.erase_node(node)
    separate_unknown(module)
    module.graph.eliminate_dead_code()
    module.recompile()
    return _program(module, list(names), places, *known_results(module, inputs))


def untraceable(error: Exception) -> UsageError:
    """The error of a program that PyTorch cannot trace."""
    reason = str(error).strip().split("\n")[0]
    if reason.startswith("setStorage"):  # it is traced on copies of the inputs, which are all of their memory
        return UsageError(PART_OF_MEMORY)
    return UsageError(f"the function cannot be traced: {reason}; give a reference function in NumPy")


def copy_constants(module: Any) -> None:
    """Give the program copies of arrays that are none of its inputs: it may write into them, as into a workspace."""
    for node in module.graph.find_nodes(op="get_attr"):
        if isinstance(getattr(module, node.target, None), torch.Tensor):
            with module.graph.inserting_after(node):
                own = module.graph.call_function(torch.ops.aten.lift_fresh_copy.default, (node,))
            node.replace_all_uses_with(own, delete_user_cb=lambda user, own=own: user is not own)
    module.recompile()


def separate_unknown(module: Any) -> None:
    """Give each operation without a NumPy form copies of its operands, whose cotangents are what it passes back."""
    unknown = [node for node in module.graph.nodes if node.op == "call_function" and name_of(node.target) not in ATEN]
    for node in unknown:
        for operand in node.all_input_nodes:
            if (x := tensor_of(operand)) is not None and is_inexact(x):
                with module.graph.inserting_before(node):
                    single = module.graph.call_function(torch.ops.aten.clone.default, (operand,))
                single.meta["val"] = x
                node.replace_input_with(operand, single)


def copies(inputs: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    """The inputs without their history; what the program writes into them does not reach the user's."""
    return [x.detach().clone() for x in inputs]


def copy(x: torch.Tensor, source: torch.Tensor, non_blocking: bool = False) -> torch.Tensor:
    return source.to(x.dtype).expand(x.shape)


DECOMPOSITIONS = decomposition_table | {torch.ops.aten.copy.default: copy}
"""PyTorch's own, and those of operations without a derivative that stand for writes."""
ROUNDS = 8
"""Decompositions may need others."""


def retrace(
    module: Any, inputs: Sequence[torch.Tensor], places: dict[str, str], table: Any = None, drawn: Any = None
) -> tuple[Any, dict[str, str]]:
    """The program without writes, and the places of its operations.

    table: Decompositions of some operations. drawn: Results of operations that draw random numbers.
    """
    with preserve_node_meta(), torch.no_grad():
        written = functionalize(_Again(module, drawn or {}).run, remove="mutations_and_views")
        found: Any = make_fx(written, decomposition_table=table, _error_on_data_dependent_ops=False)(*copies(inputs))
    return found, {
        n.name: next((places.get(o.name, "") for o in n.meta.get("from_node", [])), "") for n in found.graph.nodes
    }


def unknown_targets(module: Any) -> list[Any]:
    """The operations of a program that have no NumPy form, but a decomposition by PyTorch."""
    targets = dict.fromkeys(node.target for node in module.graph.nodes if node.op == "call_function")
    return [t for t in targets if t in DECOMPOSITIONS and name_of(t) not in ATEN and not is_random(t)]


def decomposed(module: Any, inputs: Sequence[torch.Tensor], places: dict[str, str]) -> tuple[Any, dict[str, str]]:
    """The program with operations without a NumPy form decomposed, where that leads to operations with a derivative."""
    kept: set[Any] = set()
    for _ in range(ROUNDS):
        table = {target: DECOMPOSITIONS[target] for target in unknown_targets(module) if target not in kept}
        if not table:
            break
        found = retrace(module, inputs, places, table=table)
        if ends_in_primitives(found[0]):
            alone = {target: retrace(module, inputs, places, table={target: table[target]})[0] for target in table}
            kept |= {target for target, one in alone.items() if ends_in_primitives(one)}
        else:
            module, places = found
    return module, places


def ends_in_primitives(module: Any) -> bool:
    """True if a program has primitives that have neither a NumPy form nor a derivative."""
    names = {name_of(node.target) for node in module.graph.nodes if node.op == "call_function"}
    return any(name.startswith("prims.") and name not in ATEN for name in names)


NOT_CONTIGUOUS = "as_strided reads an array that is not contiguous; call contiguous() before it"
PART_OF_MEMORY = "as_strided reads an array that is a part of another one's memory; call clone() before it"


def known_results(module: Any, inputs: Sequence[torch.Tensor]) -> tuple[dict[Any, Any], dict[Any, Any]]:
    """PyTorch's own results: of operations on constants, and of operations without a NumPy form that return integers;
    and what an operation took where it may take any of several: places of equal entries, signs of vectors."""
    nodes = [node for node in module.graph.nodes if node.op == "call_function"]
    fixed = {node for node in module.graph.nodes if node.op == "get_attr"}
    unknown = {node for node in nodes if name_of(node.target) not in ATEN}
    for node in nodes:
        if fixed.issuperset(node.all_input_nodes) and "empty" not in name_of(node.target):
            fixed.add(node)
    strided = {node for node in nodes if name_of(node.target).startswith("aten.as_strided")}
    if strided and not all(x.is_contiguous() for x in inputs):
        raise UsageError(NOT_CONTIGUOUS)
    if not all(map(is_whole_memory, inputs)) and any(map(has_offset, strided)):
        raise UsageError(PART_OF_MEMORY)
    choosing = {node for node in nodes if name_of(node.target) in CHOICES}
    found: dict[Any, Any] = {}
    chosen: dict[Any, Any] = {}

    class Keeping(torch.fx.Interpreter):  # type: ignore[misc]
        def run_node(self, n: Any) -> Any:
            if n in strided and not self.fetch_args_kwargs_from_env(n)[0][0].is_contiguous():
                raise UsageError(NOT_CONTIGUOUS)
            result = super().run_node(n)
            tensors = pytree.tree_leaves(result)
            whole = all(isinstance(x, torch.Tensor) and not is_inexact(x) for x in tensors)
            if n.op == "call_function" and (n in fixed or (n in unknown and whole)):
                found[n] = result
            elif n in choosing and isinstance(result, tuple):
                chosen[n] = to_numpy(result[CHOICES[name_of(n.target)]])
            return result

    if unknown or choosing or strided or any(node in fixed for node in nodes):
        with torch.no_grad():
            Keeping(module).run(*copies(inputs))
    return found, chosen


def has_offset(node: Any) -> bool:
    """True if a view is given by a place in memory, not by one in the array."""
    given = node.args[-1] if isinstance(node.args[-1], int) else None
    return node.kwargs.get("storage_offset", given) is not None


def is_whole_memory(x: torch.Tensor) -> bool:
    """True if an array is all of its memory, so that places in memory are places in the array."""
    return x.storage_offset() == 0 and x.untyped_storage().nbytes() == x.numel() * x.element_size()


def is_inexact(x: torch.Tensor) -> bool:
    return x.dtype.is_floating_point or x.dtype.is_complex


def is_random(target: Any) -> bool:
    """True for operations that draw random numbers; fused attention does so only with dropout, which has no form."""
    return torch.Tag.nondeterministic_seeded in getattr(target, "tags", ()) and "attention" not in name_of(target)


RANDOM_SLOPES = "aten.rrelu_with_noise"
"""It writes the slopes that it draws into its second argument."""


class _Draws(TorchDispatchMode):  # type: ignore[misc]
    """Keeps the results of operations that draw random numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.results: list[Any] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        if name_of(func) == RANDOM_SLOPES:
            self.results.append(args[1].clone())
        elif is_random(func):
            self.results.append([x.clone() for x in found] if isinstance(found, tuple) else found.clone())
        return found


class _Again(torch.fx.Interpreter):  # type: ignore[misc]
    """Runs a program with the random numbers of its first run, and keeps the place of each operation."""

    def __init__(self, module: Any, drawn: dict[Any, Any]) -> None:
        super().__init__(module)
        self.drawn = drawn

    def run_node(self, n: Any) -> Any:
        with set_current_meta(n):
            if n not in self.drawn:
                return super().run_node(n)
            found, args = self.drawn[n], self.fetch_args_kwargs_from_env(n)[0]
            if name_of(n.target) == RANDOM_SLOPES:
                given = list(args[2:5])
                lower, upper, training = given + [1 / 8, 1 / 3, False][len(given) :]
                x, slope = args[0], found.double() if training else (lower + upper) / 2
                # PyTorch multiplies by the number drawn and returns it rounded: the conversion stands for that rounding
                return torch.where(x > 0, x, (x.double() * slope).to(x.dtype) if training else x * slope)
            if is_mutable(n.target):
                return args[0].copy_(found)
            if name_of(n.target) == "aten.native_dropout":
                x, p, train = args
                p = 0.0 if train is False else p
                return x * found[1] * (1 / (1 - p) if p < 1 else 0.0), found[1]
            return found


class _Places(TorchFunctionMode):  # type: ignore[misc]
    """Records for each operation the innermost file and line outside PyTorch that called it."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        get_current_meta()["stack_trace"] = caller()
        return func(*args, **(kwargs or {}))


def caller() -> str:
    """File and line outside PyTorch and this package."""
    frame: Any = sys._getframe(2)
    while frame is not None and frame.f_code.co_filename.startswith(LIBRARIES):
        frame = frame.f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno}" if frame is not None else ""


def is_mutable(target: Any) -> bool:
    return bool(getattr(getattr(target, "_schema", None), "is_mutable", False))


CONVERSIONS = frozenset({"aten._to", "aten.to", "prims.convert_element_type"})
NEIGHBOURS = frozenset({"aten.nextafter", "prims.nextafter"})


def with_conversions(node: Any, form: Callable[..., Any] | None) -> Callable[..., Any] | None:
    """`converting_form` for an operation of a traced program."""
    return converting_form(node.target, [tensor_of(x) for x in node.args], tensor_of(node), form)


def converting_form(
    target: Any, given: Sequence[Any], result: Any, form: Callable[..., Any] | None
) -> Callable[..., Any] | None:
    """The NumPy form of an operation with the conversions of its operands to other dtypes.

    A conversion needs the dtype of its operand; an operation on single entries of several dtypes converts all arrays to
    that of its result. Arguments and results that are no tensors are None.
    """
    if form is None:
        return None
    if name_of(target) in NEIGHBOURS:
        return functools.partial(form, dtype=str(result.dtype).removeprefix("torch."))
    if name_of(target) in CONVERSIONS:
        return functools.partial(form, source=given[0].dtype)
    if result is not None and not is_inexact(result):
        return exact_form(form, np.dtype(bool if result.dtype == torch.bool else np.int64))
    if torch.Tag.pointwise not in getattr(target, "tags", ()) or result is None or not is_inexact(result):
        return form
    promoted = {
        k: x.dtype for k, x in enumerate(given)
        if x is not None and x.ndim and x.dtype != result.dtype and x.dtype.is_floating_point
    }  # fmt: skip
    if not promoted:
        return form

    def converting(*operands: Any, **keywords: Any) -> Any:
        pairs = enumerate(operands)
        return form(*(convert(x, dtype=result.dtype, source=promoted.get(k)) if k in promoted else x for k, x in pairs),
                    **keywords)  # fmt: skip

    return converting


def exact_form(form: Callable[..., Any], dtype: np.dtype[Any]) -> Callable[..., Any]:
    """A form whose result has integers or truth values in place of floating-point numbers that are equal to them."""

    def exact(*operands: Any, **keywords: Any) -> Any:
        found = form(*operands, **keywords)
        return found.astype(dtype) if isinstance(found, np.ndarray) and found.dtype.kind == "f" else found

    return exact


def tensor_of(x: Any) -> Any:
    """The tensor that stands for a value of a traced program; None for anything else."""
    found = x.meta.get("val") if isinstance(x, torch.fx.Node) else None
    return found if isinstance(found, torch.Tensor) else None


def _program(
    module: Any, names: list[str], places: dict[str, str], known: dict[Any, Any], chosen: dict[Any, Any]
) -> Program:
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
        elif node in known:
            constants[node] = pytree.tree_map(to_numpy, known[node])
        elif node.op == "get_attr":
            constants[node] = to_numpy(getattr(module, node.target))
        elif tensor_of(node) is not None and not tensor_of(node).numel():
            constants[node] = np.zeros(tuple(tensor_of(node).shape))
        elif node.op == "output":
            returned = node.args[0] if isinstance(node.args[0], list | tuple) else [node.args[0]]
            outputs = [operand(x) for x in returned]
        else:
            name = name_of(node.target)
            operands, keywords = tuple(map(operand, node.args)), {k: operand(x) for k, x in node.kwargs.items()}
            keywords |= {"taken": chosen[node]} if node in chosen else {}
            numbers[node] = Value(len(names) + len(steps))
            form = with_conversions(node, ATEN.get(name))
            steps.append(Step(name, form, operands, keywords, numbers[node].number, places.get(node.name, "")))
    return Program(names, steps, outputs, native=(module, numbers))


def name_of(target: Any) -> str:
    """``aten.add`` for every overload and for the forms without side effects and without views."""
    schema = getattr(target, "_schema", None)
    if schema is None:
        return getattr(target, "__name__", str(target))
    name = schema.name.replace("::", ".")
    return name if name == "aten.index_copy" else name.removesuffix("_copy")


def to_numpy(x: Any) -> Any:
    """A tensor as float64 or complex128 (or with its integers, or truth values), on the host; others as they are."""
    if not isinstance(x, torch.Tensor):
        return x
    x = x.detach().cpu()
    wide = torch.float64 if x.dtype.is_floating_point else torch.complex128 if x.dtype.is_complex else x.dtype
    return x.to(wide).numpy(force=True)


def replay(
    program: Program, inputs: Sequence[torch.Tensor], cotangents: Sequence[torch.Tensor | None]
) -> tuple[list[Any], list[Any]]:
    """All values of the traced program and their cotangents, by PyTorch itself.

    Returns:
        Two lists by the numbers of the values; None for a value that is no tensor, or that nothing depends on.

    Raises:
        UsageError: PyTorch has no derivative with respect to an argument.
    """
    module, numbers = program.native
    kept: dict[int, Any] = {}

    class Keeping(torch.fx.Interpreter):  # type: ignore[misc]
        def call_function(self, target: Any, args: Any, kwargs: Any) -> Any:
            if target is torch.ops.aten.copy.default:  # PyTorch has no derivative of this form of a write
                return args[1].to(args[0].dtype).expand_as(args[0]).clone()
            if target is torch.ops.aten.detach_copy.default:  # nor of this form of detach
                return args[0].detach()
            return super().call_function(target, args, kwargs)

        def run_node(self, n: Any) -> Any:
            found = super().run_node(n)
            if n in numbers:
                if isinstance(found, torch.Tensor) and is_inexact(found):
                    if found.requires_grad:
                        found.retain_grad()
                    else:  # after an operation that blocks gradients, its consumers still have cotangents
                        found = found.detach().requires_grad_()
                kept[numbers[n].number] = found
            return found

    leaves = [x.detach().clone().requires_grad_(is_inexact(x)) for x in inputs]
    try:
        outputs = Keeping(module).run(*leaves)
    except RuntimeError as error:  # such as: not differentiable with respect to an argument
        raise UsageError(f"the operations cannot be run one by one: {str(error).splitlines()[0]}") from error
    outputs = outputs if isinstance(outputs, list | tuple) else [outputs]
    pairs = [(y, g) for y, g in zip(outputs, cotangents, strict=True) if g is not None and y.requires_grad]
    try:
        torch.autograd.backward([y for y, _ in pairs], [g for _, g in pairs])
    except RuntimeError as error:  # an operation has none
        raise UsageError(f"the operations have no derivative: {str(error).splitlines()[0]}") from error
    values = [kept.get(k) for k in range(len(program.inputs) + len(program.steps))]
    grads = [x.grad if isinstance(x, torch.Tensor) and is_inexact(x) else None for x in values]
    return values, grads
