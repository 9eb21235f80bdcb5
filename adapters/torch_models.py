"""A model of PyTorch as it runs: every operation on its way forward, and every cotangent on the way back.

On the way forward, a dispatch mode sees each ATen operation with its numbers. Autograd numbers its nodes in the order
of the operations, so that each node of the backward pass is known by that number. Hooks of the nodes see what each
operation receives and what it passes on. Nothing is kept longer than the backward pass of its operation.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from gradagree.adapters.formats import PARTS
from gradagree.adapters.functions import Call
from gradagree.adapters.operations import ModelObserver, ModelOperation, PassedGradient
from gradagree.adapters.torch_operations import (
    describe_function,
    describe_operation,
    flatten,
    host,
    is_inexact,
    is_random,
)
from gradagree.adapters.torch_programs import caller
from gradagree.adapters.torch_state import seeded
from gradagree.reference.operations.scatter import put

Edge = tuple[Any, int]
"""A node of the backward pass and the number of its output: the identity of a value."""


@dataclass(frozen=True)
class Layout:
    """An array in memory, some of whose entries have been overwritten."""

    shape: tuple[int, ...]
    strides: tuple[int, ...]
    offset: int
    dtype: torch.dtype


@dataclass
class Recorded:
    """An operation whose backward pass has not run yet.

    tensors: Its floating-point operands. versions: Their versions when it ran. edges: The values that they are; None
    for an operand without a gradient. places: Positions of the floating-point outputs. result: The address of the first
    output.
    """

    operation: ModelOperation
    tensors: list[torch.Tensor]
    versions: list[int]
    edges: list[Any]
    places: list[int]
    result: int = 0

    def is_copy_for(self, operation: ModelOperation) -> bool:
        """True if PyTorch has only copied an operand of this operation, such as a lazy conjugate, under its node."""
        return self.operation.name == "aten.clone" != operation.name

    def edges_after(self, tensors: Sequence[torch.Tensor], edges: Sequence[Any]) -> list[Any]:
        """The values that the operands of an operation are, the copy among them."""
        pairs = zip(tensors, edges, strict=True)
        return [self.edges[0] if x.data_ptr() == self.result else edge for x, edge in pairs]


class Recorder(TorchDispatchMode):  # type: ignore[misc]
    """Tells an observer of each operation, and keeps those with a backward pass by the numbers of their nodes."""

    def __init__(self, observer: ModelObserver) -> None:
        super().__init__()
        self.observer = observer
        self.recorded: dict[int, Recorded] = {}
        self.held: dict[int, list[Recorded]] = {}
        self.layouts: dict[int, Layout] = {}
        self.modules: list[str] = [""]
        self.in_function = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        number = torch.autograd._get_sequence_nr() - 1
        tensors = [x for x in flatten((args, kwargs)) if isinstance(x, torch.Tensor)]
        inexact = [x for x in tensors if is_inexact(x)]
        differentiable = not self.in_function and torch.is_grad_enabled() and any(x.requires_grad for x in inexact)
        edges = [identity(x) for x in inexact] if differentiable else []
        written = written_arguments(func, args, kwargs)
        base = inexact[0]._base if written and inexact and written[0] is inexact[0] else None
        given: dict[int, torch.Tensor] = {}
        for x in written:
            self.keep_overwritten(x)
            if is_inexact(x):
                given[id(x)] = x.detach().clone()
        whole = base.detach().clone() if base is not None and differentiable else None
        base_edge = identity(base) if base is not None and differentiable else None
        found = func(*args, **kwargs)
        if not inexact or is_random(func):
            return found
        operation = describe_operation(func, args, kwargs, found, self.modules[-1], caller())
        if operation is None:
            return found
        kept = [given.get(id(x), x.detach()) for x in inexact]
        results = [x for x in flatten(found) if isinstance(x, torch.Tensor)]
        self.observe_value(operation, kept, results)
        # an operation in place may copy its operand first, and that copy has the later number
        earlier = self.recorded.get(number)
        if differentiable and earlier is not None and earlier.is_copy_for(operation):
            edges = earlier.edges_after(inexact, edges)
            earlier = None
        if differentiable and (earlier is None or func._schema.is_mutable):
            places = [k for k, x in enumerate(results) if is_inexact(x)]
            if whole is not None and base is not None:
                operation = operation_on_part(operation, base, inexact[0])
                kept, edges, number = [whole, *kept[1:]], [base_edge, *edges[1:]], number + 1
                self.layouts[number] = Layout(tuple(base.shape), base.stride(), base.storage_offset(), base.dtype)
            result = results[0].data_ptr() if results else 0
            self.keep(number, Recorded(operation, kept, [x._version for x in kept], edges, places, result))
        return found

    def observe_value(
        self, operation: ModelOperation, kept: Sequence[torch.Tensor], results: Sequence[torch.Tensor]
    ) -> None:
        outputs = [host(x) for x in results if is_inexact(x)]
        self.observer.value(operation, [host(x) for x in kept], outputs)

    def keep(self, number: int, one: Recorded) -> None:
        self.recorded[number] = one
        for x in one.tensors:
            self.held.setdefault(x.untyped_storage().data_ptr(), []).append(one)

    def operation_of(self, node: Any) -> Recorded | None:
        """The operation of a node of the backward pass."""
        number = node._sequence_nr()
        if (one := self.recorded.get(number)) is not None:
            return one
        later = self.recorded.get(number + 1)
        name = node.name().rstrip("0123456789").removesuffix("Backward").lower()
        if later is None or not later.operation.name.endswith("_"):
            return None
        return later if later.operation.name.removeprefix("aten.").replace("_", "") == name else None

    def keep_overwritten(self, x: torch.Tensor) -> None:
        """Copy the operands of earlier operations that the next one overwrites."""
        memory = x.untyped_storage().data_ptr()
        for one in self.held.pop(memory, []):
            for k, y in enumerate(one.tensors):
                if y.untyped_storage().data_ptr() == memory:
                    one.tensors[k] = y.detach().clone()

    def call_function(self, kind: Any, original: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        """A custom ``autograd.Function``: one operation, whose backward pass is the user's."""
        tensors = [x for x in args if isinstance(x, torch.Tensor) and is_inexact(x)]
        differentiable = (
            not self.in_function and torch.is_grad_enabled() and any(x.requires_grad for x in tensors)
        )  # fmt: skip
        number = torch.autograd._get_sequence_nr()
        edges = [identity(x) for x in tensors] if differentiable else []
        kept = [x.detach() for x in tensors]
        state = torch.get_rng_state()
        self.in_function += 1
        try:
            found = original(*args, **kwargs)
        finally:
            self.in_function -= 1
        if differentiable:
            operation = describe_function(kind, args, kwargs, found, self.modules[-1], state)
            results = [x for x in flatten(found) if isinstance(x, torch.Tensor)]
            places = [k for k, x in enumerate(results) if is_inexact(x)]
            self.keep(number, Recorded(operation, kept, [x._version for x in kept], edges, places))
        return found

    @contextlib.contextmanager
    def custom_functions(self) -> Iterator[None]:
        """In the context, calls of custom functions are seen."""
        original = torch.autograd.Function.__dict__["apply"]

        def apply(kind: Any, *args: Any, **kwargs: Any) -> Any:
            return self.call_function(kind, original.__get__(None, kind), args, kwargs)

        torch.autograd.Function.apply = classmethod(apply)
        try:
            yield
        finally:
            torch.autograd.Function.apply = original

    @contextlib.contextmanager
    def named_modules(self, model: Any) -> Iterator[None]:
        """In the context, the name of the module that is running is known."""
        handles = []
        for name, module in model.named_modules() if isinstance(model, torch.nn.Module) else []:
            handles.append(module.register_forward_pre_hook(lambda *_, name=name: self.modules.append(name)))
            handles.append(module.register_forward_hook(self.leave, always_call=True))
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def leave(self, *_: Any) -> None:
        self.modules.pop()


def identity(x: torch.Tensor) -> Edge | torch.Tensor | None:
    """The value that a tensor is, for the backward pass; a leaf, whose node is not known yet, stands for itself."""
    if not x.requires_grad:
        return None
    return x if x.grad_fn is None else (x.grad_fn, x.output_nr)


def edge_of(x: torch.Tensor | Edge | None) -> Edge | None:
    """The node of the backward pass of a value."""
    if not isinstance(x, torch.Tensor):
        return x
    edge = torch.autograd.graph.get_gradient_edge(x)
    return edge.node, edge.output_nr


def written_arguments(func: Any, args: Sequence[Any], kwargs: Any) -> list[torch.Tensor]:
    """The tensors that an operation writes to."""
    if not func._schema.is_mutable:
        return []
    found = []
    for k, declared in enumerate(func._schema.arguments):
        if declared.alias_info is not None and declared.alias_info.is_write:
            x = args[k] if k < len(args) else kwargs.get(declared.name)
            found += [y for y in flatten(x) if isinstance(y, torch.Tensor)]
    return found


def places_of(base: Layout, shape: Sequence[int], strides: Sequence[int], offset: int) -> np.ndarray:
    """The places in a flattened array of the entries of a view of it."""

    def addresses(shape: Sequence[int], strides: Sequence[int], offset: int) -> np.ndarray:
        grid = np.full(tuple(shape), offset)
        for axis, (n, step) in enumerate(zip(shape, strides, strict=True)):
            grid += (step * np.arange(n)).reshape(-1, *(1,) * (len(shape) - axis - 1))
        return grid.ravel()

    known = addresses(base.shape, base.strides, base.offset)
    order = np.argsort(known, kind="stable")
    return order[np.searchsorted(known, addresses(shape, strides, offset), sorter=order)]


def operation_on_part(operation: ModelOperation, base: torch.Tensor, view: torch.Tensor) -> ModelOperation:
    """An operation that overwrites a part of an array, as one on the whole array."""
    layout = Layout(tuple(base.shape), base.stride(), base.storage_offset(), base.dtype)
    places = places_of(layout, view.shape, view.stride(), view.storage_offset())
    inner, shape = operation.function, tuple(view.shape)

    def function(whole: Any, *others: Any) -> Sequence[Any]:
        assert inner is not None
        flat = np.reshape(whole, (-1,))
        (new,) = inner(np.reshape(flat[places], shape), *others)
        return [np.reshape(put(flat, places, np.reshape(new, (-1,))), layout.shape)]

    whole = None if inner is None else function
    return replace(operation, function=whole, graph=None, factors=None, convolution=None, rows=None, moves=False)


def later_view(node: Any, base: Layout) -> Recorded:
    """The view of an array that has been overwritten in part, for which PyTorch makes a new node."""
    size, strides, offset = node._saved_size, node._saved_stride, node._saved_storage_offset
    places = places_of(base, size, strides, base.offset if offset is None else offset)
    name = str(base.dtype).removeprefix("torch.")
    operation = ModelOperation(
        "aten.as_strided", "", "", ["self"], [name, name],
        lambda whole: [np.reshape(np.reshape(whole, (-1,))[places], tuple(size))], moves=True,
    )  # fmt: skip
    empty = torch.zeros((), dtype=base.dtype).expand(base.shape)
    return Recorded(operation, [empty], [0], [node.next_functions[0]], [0])


def run_model(model: Any, call: Call, cotangents: Callable[[list[Any]], Sequence[Any]], observer: ModelObserver) -> int:
    """Run a model and its backward pass once, and tell the observer of every operation.

    Args:
        model: The module or function.
        call: Its call.
        cotangents: The cotangents of the outputs; None for an output without one.
        observer: Is told of each operation.

    Returns:
        The number of operations with a backward pass.
    """
    arrays = [x.detach().requires_grad_(k in call.wrt) for k, x in enumerate(call.arrays)]
    recorder = Recorder(observer)
    with seeded(), call.state(), recorder.named_modules(model):
        with recorder.custom_functions(), recorder:
            outputs = call.function(arrays)
        seeds = cotangents(outputs)
        pairs = [(y, g) for y, g in zip(outputs, seeds, strict=True) if g is not None and y.requires_grad]
        if not pairs:
            return 0
        leaves = {id(edge_of(arrays[k])[0]): call.names[k] for k in call.wrt if arrays[k].requires_grad}  # type: ignore[index]
        backward = BackwardPass(recorder, observer, leaves)
        backward.watch(pairs)
        try:
            torch.autograd.backward([y for y, _ in pairs], [g for _, g in pairs])
        finally:
            backward.close()
    for k in call.wrt:
        if id(edge_of(arrays[k])[0]) not in backward.reached:  # type: ignore[index]
            observer.total("", call.names[k], str(call.arrays[k].dtype).removeprefix("torch."), [], None)
    return backward.count


def is_same_array(x: torch.Tensor, y: torch.Tensor) -> bool:
    """True if two tensors are the same numbers in memory."""
    return x.data_ptr() == y.data_ptr() != 0 and (x.shape, x.stride()) == (y.shape, y.stride())


class BackwardPass:
    """The hooks of a backward pass, which tell an observer what each operation receives and passes on."""

    def __init__(self, recorder: Recorder, observer: ModelObserver, leaves: dict[int, str]) -> None:
        self.recorder = recorder
        self.observer = observer
        self.leaves = leaves
        self.parts: dict[tuple[int, int], list[torch.Tensor]] = {}
        self.handles: list[Any] = []
        self.nodes: list[Any] = []
        self.reached: set[int] = set()
        self.count = 0

    def watch(self, pairs: Sequence[tuple[torch.Tensor, torch.Tensor]]) -> None:
        """Set the hooks of all nodes between the outputs and the leaves."""
        waiting = [y.grad_fn for y, _ in pairs]
        for y, g in pairs:
            self.parts.setdefault((id(edge_of(y)[0]), edge_of(y)[1]), []).append(g)  # type: ignore[index]
            if y.grad_fn is None:
                waiting.append(edge_of(y)[0])  # type: ignore[index]
        seen: set[int] = set()
        while waiting:
            node = waiting.pop()
            if node is None or id(node) in seen:
                continue
            seen.add(id(node))
            self.nodes.append(node)  # alive, so that its identity stays
            waiting += [other for other, _ in node.next_functions]
        known = {node._sequence_nr(): self.recorder.operation_of(node) for node in self.nodes}
        self.recorder.recorded = {number: one for number, one in known.items() if one is not None}
        self.recorder.held.clear()
        for one in self.recorder.recorded.values():
            one.edges = [edge_of(x) for x in one.edges]
        for one in self.recorder.recorded.values():
            one.operation.labels = [self.label(edge) for edge in one.edges]
        for node in self.nodes:
            self.hook(node)

    def hook(self, node: Any) -> None:
        if hasattr(node, "variable"):
            self.reached.add(id(node))
            self.handles.append(node.register_prehook(lambda grads, node=node: self.arrived(node, grads)))
            return
        one = self.recorder.recorded.get(node._sequence_nr())
        if one is None and node.name() == "AsStridedBackward0":
            layout = self.recorder.layouts.get(node.next_functions[0][0]._sequence_nr())
            one = None if layout is None else later_view(node, layout)
        self.count += 1
        if one is None:
            self.observer.unknown("", node.name(), "", "PyTorch adds it for an array that is written to in part")
            self.handles.append(node.register_hook(lambda given, _, node=node: self.collect(node, given)))
            return
        self.handles.append(node.register_hook(lambda given, taken, node=node: self.passed(node, one, given, taken)))

    def label(self, edge: Edge | None) -> str:
        """The name of the argument or parameter that a value is, possibly with moved entries."""
        node = None if edge is None else edge[0]
        while node is not None and not hasattr(node, "variable"):
            one = self.recorder.recorded.get(node._sequence_nr())
            further = [other for other, _ in node.next_functions if other is not None]
            if one is None or not one.operation.moves or len(further) != 1:
                return ""
            node = further[0]
        return self.leaves.get(id(node), "")

    def collect(self, node: Any, given: Sequence[torch.Tensor | None]) -> None:
        """Keep what a node passes on until it is added up."""
        for (other, k), g in zip(node.next_functions, given, strict=True):
            if other is not None and g is not None:
                self.parts.setdefault((id(other), k), []).append(g)

    def passed(
        self, node: Any, one: Recorded, given: Sequence[torch.Tensor | None], taken: Sequence[torch.Tensor | None]
    ) -> None:
        """The hook of a node that has run."""
        operation = one.operation
        for k, g in enumerate(taken):
            self.add_up(operation.module, f"the output of {operation.name}", (id(node), k), g)
        self.collect(node, given)
        edges = [None if other is None else (id(other), k) for other, k in node.next_functions]
        places: dict[Any, list[int]] = {}
        for k, edge in enumerate(one.edges):
            if edge is not None:
                places.setdefault((id(edge[0]), edge[1]), []).append(k)
        sums: list[PassedGradient] = []
        for edge, operands in places.items():
            known = [g for other, g in zip(edges, given, strict=True) if other == edge and g is not None]
            total = known[0] if known else None
            for g in known[1:]:
                total = total + g
            sums.append(PassedGradient(tuple(operands), None if total is None else host(total)))
        received = dict(enumerate(taken))
        seeds = [None if received.get(k) is None else host(received[k]) for k in one.places]
        self.observer.gradient(operation, [host(x) for x in one.tensors], seeds, sums)
        one.tensors, operation.function, operation.graph = [], None, None  # nothing else holds the numbers

    def arrived(self, node: Any, grads: Sequence[torch.Tensor | None]) -> None:
        self.add_up("", self.leaves.get(id(node), "a parameter"), (id(node), 0), grads[0])

    def add_up(self, module: str, label: str, edge: tuple[int, int], observed: torch.Tensor | None) -> None:
        """Compare a cotangent with the sum of what the consumers have passed."""
        parts = self.parts.pop(edge, [])
        if observed is None and not parts:
            return
        if len(parts) == 1 and observed is not None and is_same_array(parts[0], observed):
            return
        dtype = str((parts[0] if observed is None else observed).dtype).removeprefix("torch.")
        dtype = PARTS.get(dtype, dtype)
        self.observer.total(
            module, label, dtype, [host(x) for x in parts], None if observed is None else host(observed)
        )

    def close(self) -> None:
        for handle in self.handles:
            handle.remove()
