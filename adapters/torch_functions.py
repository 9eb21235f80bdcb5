"""Calls of PyTorch functions and modules for the check of a user's function."""

from __future__ import annotations

import copy
import inspect
import warnings
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import torch
from torch.utils import _pytree as pytree

from gradagree.adapters.functions import Call, UndefinedDerivative, choose, gradient_call
from gradagree.adapters.operations import ModelObserver
from gradagree.adapters.program import Program
from gradagree.adapters.torch_layouts import expanded, expanded_ones, layouts, uninitialized_as_nan
from gradagree.adapters.torch_models import run_model
from gradagree.adapters.torch_programs import replay, to_numpy, trace_program
from gradagree.adapters.torch_sparse import is_sparse, on_dense_arrays, places_of, stored_numbers, with_numbers
from gradagree.adapters.torch_state import seeded, state_of
from gradagree.errors import UsageError
from gradagree.reference.operations.scatter import scatter_add

OF_NUMPY = (torch.float32, torch.float64, torch.complex64, torch.complex128)
"""Dtypes of inexact numbers that NumPy has."""


class TorchFunctions:
    """See `gradagree.adapters.functions.FunctionAdapter`."""

    name = "torch"
    strided = True

    def owns(self, function: Any, args: Any) -> bool:
        return isinstance(function, torch.nn.Module) or any(
            isinstance(leaf, torch.Tensor) for leaf in pytree.tree_leaves(args)
        )

    def prepare(self, function: Any, args: Sequence[Any], kwargs: dict[str, Any], wrt: Any) -> Call:
        is_module = isinstance(function, torch.nn.Module)
        own = dict(function.named_parameters()) if is_module else {}
        tree = (tuple(args), dict(kwargs))
        pairs, spec = pytree.tree_flatten_with_path(tree)
        at = [k for k, (_, leaf) in enumerate(pairs) if isinstance(leaf, torch.Tensor)]
        names = [name_of_path(pairs[k][0]) for k in at] + list(own)
        arrays = [pairs[k][1] for k in at] + list(own.values())
        numbers = {k: stored_numbers(x, names[k]) for k, x in enumerate(arrays) if is_sparse(x)}
        sparse = {k: with_numbers(arrays[k]) for k in numbers}
        arrays = [numbers.get(k, x) for k, x in enumerate(arrays)]
        names = [f"{name}.values()" if k in numbers else name for k, name in enumerate(names)]
        static = [leaf for _, leaf in pairs]
        results: list[str] = []
        plain = not kwargs and len(static) == len(args) and all(x is y for x, y in zip(static, args, strict=True))

        def call(given: Sequence[Any]) -> list[Any]:
            leaves = list(static)
            given = [sparse[k](x) if k in sparse else x for k, x in enumerate(given)] if sparse else given
            for k, x in zip(at, given, strict=False):
                leaves[k] = x
            positional, named = (tuple(leaves), {}) if plain else pytree.tree_unflatten(leaves, spec)
            if is_module:
                parameters = dict(zip(own, given[len(at) :], strict=True))
                found = torch.func.functional_call(function, parameters, positional, named)
            else:
                found = function(*positional, **named)
            if isinstance(found, torch.Tensor):
                results[:] = ["output"]
                return [found.to_dense() if is_sparse(found) else found]
            outputs = pytree.tree_flatten_with_path(found)[0]
            tensors = [(path, y) for path, y in outputs if isinstance(y, torch.Tensor)]
            results[:] = ["output" + pytree.keystr(path) for path, _ in tensors]
            return [y.to_dense() if is_sparse(y) else y for _, y in tensors]

        chosen = select(names, arrays, wrt, len(own))
        return Call(call, names, arrays, chosen, results, state=state_of(function, static))

    def rebuild(self, args: Sequence[Any], kwargs: dict[str, Any], arrays: Sequence[Any]) -> tuple[Any, Any]:
        leaves, spec = pytree.tree_flatten((tuple(args), dict(kwargs)))
        given = iter(arrays)
        found = [dense_form(x, next(given)) if isinstance(x, torch.Tensor) else x for x in leaves]
        return pytree.tree_unflatten(found, spec)

    def is_module(self, function: Any) -> bool:
        return isinstance(function, torch.nn.Module)

    def conjugated(self, x: Any) -> Any:
        return x  # PyTorch's convention is dL/dx + i dL/dy

    def dtype(self, x: Any) -> str:
        return str(x.dtype).removeprefix("torch.")

    def to_numpy(self, x: Any) -> np.ndarray:
        return to_numpy(x)

    def on_host(self, x: Any) -> np.ndarray:
        return x.detach().cpu().numpy(force=True) if x.dtype in OF_NUMPY else to_numpy(x)

    def array(self, x: np.ndarray, like: Any) -> Any:
        return torch.as_tensor(np.asarray(x)).to(dtype=like.dtype, device=like.device)

    def constant(self, x: np.ndarray) -> Any:
        return torch.as_tensor(np.array(x))

    def in_dtype(self, thing: Any, dtype: str | None) -> Any:
        kind = None if dtype is None else getattr(torch, dtype)
        wide = kind.to_complex() if kind in (torch.float32, torch.float64) else None

        def convert(x: Any) -> Any:
            x = self.constant(x) if isinstance(x, np.ndarray) else x
            if kind is None or not isinstance(x, torch.Tensor) or not (x.dtype.is_floating_point or x.is_complex()):
                return x
            if x.is_complex() and wide is None:
                raise UsageError(f"there are no complex numbers of dtype {dtype}; give dtypes='float32,float64'")
            return x.detach().to(wide if x.is_complex() else kind).requires_grad_(x.requires_grad)

        if isinstance(thing, torch.nn.Module):
            return thing if kind is None else copy.deepcopy(thing)._apply(convert)
        return thing if callable(thing) else pytree.tree_map(convert, thing)

    def store(self, x: Any) -> tuple[np.ndarray, dict[str, Any]] | None:
        if type(x) is not torch.Tensor or x.layout is not torch.strided or x.device.type != "cpu":
            return None
        if not x.is_contiguous() or x.is_quantized or x.is_conj() or x.is_neg():
            return None
        numbers = x.detach().float() if x.dtype.is_floating_point and x.dtype.itemsize < 4 else x.detach()
        return numbers.numpy(), {"dtype": self.dtype(x), "requires_grad": x.requires_grad}

    def restore(self, numbers: np.ndarray, about: dict[str, Any]) -> Any:
        return torch.tensor(numbers).to(getattr(torch, about["dtype"])).requires_grad_(about["requires_grad"])

    def settings(self) -> list[str]:
        kind = torch.get_default_dtype()
        return [] if kind is torch.float32 else ["import torch", "", f"torch.set_default_dtype({kind})"]

    def version(self) -> str:
        return str(torch.__version__)

    def device(self, x: Any) -> str:
        return torch.cuda.get_device_name(x.device) if x.device.type == "cuda" else str(x.device)

    def precision(self) -> str:
        return torch.get_float32_matmul_precision()

    def copy(self, x: Any) -> Any:
        return x.detach().clone()

    def write(self, x: Any, numbers: Any) -> None:
        x.data.copy_(numbers)

    def same(self, a: Any, b: Any) -> bool:
        if a.dtype is torch.complex32:  # PyTorch does not compare them
            a, b = a.to(torch.complex64), b.to(torch.complex64)
        if torch.equal(a, b):
            return True
        if not (a.dtype.is_floating_point or a.dtype.is_complex):
            return False
        if a.dtype.itemsize > 1 and not a.sum().isnan():  # without NaN, different numbers are what differs
            return False
        return bool(((a == b) | ((a != a) & (b != b))).all())

    def layouts(self, x: Any) -> dict[str, Callable[[], Any]]:
        return layouts(x)

    def expanded(self, x: Any) -> Any:
        return expanded(x)

    def expanded_ones(self, like: Any) -> Any:
        return expanded_ones(like)

    def uninitialized_as_nan(self) -> AbstractContextManager[Any]:
        return uninitialized_as_nan()

    def precise(self) -> AbstractContextManager[Any]:
        return nullcontext()

    def has_no_forward_mode(self, error: BaseException) -> bool:
        unsupported = isinstance(error, RuntimeError) and "cannot have forward grad" in str(error)
        return unsupported or isinstance(error, NotImplementedError)

    def outputs(self, call: Call) -> list[Any]:
        with torch.no_grad(), seeded(), call.state():
            before = torch.get_rng_state()
            found = call.function([x.detach() for x in call.arrays])
            call.random = not torch.equal(before, torch.get_rng_state())
            return found

    def vjp(self, call: Call, cotangents: Sequence[Any]) -> tuple[list[Any], list[Any]]:
        outputs, (gradients,) = self.vjps(call, [cotangents])
        return outputs, gradients

    def vjps(self, call: Call, many: Sequence[Sequence[Any]]) -> tuple[list[Any], list[list[Any]]]:
        arrays = [x.detach().requires_grad_(k in call.wrt) for k, x in enumerate(call.arrays)]
        inputs, found = [arrays[k] for k in call.wrt], []
        with seeded(), call.state():
            outputs = call.function(arrays)
            if any(y.requires_grad for y in outputs):
                call.constant = [k for k, y in enumerate(outputs) if not y.requires_grad]
            for k, cotangents in enumerate(many):
                pairs = [(y, g) for y, g in zip(outputs, cotangents, strict=True) if g is not None and y.requires_grad]
                both = [y for y, _ in pairs], inputs, [g for _, g in pairs]
                kept = k < len(many) - 1
                found.append(list(defined_gradients(*both, kept) if pairs else [None] * len(inputs)))
        return [y.detach() for y in outputs], found

    def jvp(self, call: Call, tangents: Sequence[Any]) -> tuple[list[Any], list[Any]]:
        forward = torch.autograd.forward_ad
        with warnings.catch_warnings(), forward.dual_level(), seeded(), call.state():
            # PyTorch loads its decompositions with torch.jit.script, which it has deprecated itself.
            warnings.filterwarnings("ignore", r"`torch.jit", DeprecationWarning)
            arrays = [x.detach() for x in call.arrays]
            for k, tangent in zip(call.wrt, tangents, strict=True):
                arrays[k] = forward.make_dual(arrays[k], tangent)
            pairs = [forward.unpack_dual(y) for y in call.function(arrays)]
            return [primal for primal, _ in pairs], [tangent for _, tangent in pairs]

    def gradient(self, call: Call, cotangents: Sequence[Any]) -> Call:
        kept = [k for k, g in enumerate(cotangents) if g is not None]

        def function(given: Sequence[Any]) -> list[Any]:
            arrays = list(given[: len(call.arrays)])
            for k in call.wrt:
                arrays[k] = arrays[k] if arrays[k].requires_grad else arrays[k].requires_grad_()
            wrt = [arrays[k] for k in call.wrt]
            with torch.enable_grad():
                outputs = call.function(arrays)
                pairs = [(outputs[k], g) for k, g in zip(kept, given[len(call.arrays) :], strict=True)]
                pairs = [(y, g) for y, g in pairs if y.requires_grad]
                roots, seeds = [y for y, _ in pairs], [g for _, g in pairs]
                found = torch.autograd.grad(roots, wrt, seeds, create_graph=True, allow_unused=True)
            return [torch.zeros_like(x) if g is None else g for x, g in zip(wrt, found, strict=True)]

        return gradient_call(call, cotangents, kept, function)

    def trace(self, call: Call) -> Program:
        def function(*arrays: Any) -> list[Any]:
            # copies of buffers are steps of the program, so that it may write to them
            with on_dense_arrays(), call.state():
                return call.function(arrays)

        with seeded():
            return trace_program(function, call.arrays, call.names)

    def replay(self, program: Program, call: Call, cotangents: Sequence[Any]) -> tuple[list[Any], list[Any]]:
        return replay(program, call.arrays, cotangents)

    def watch(
        self, function: Any, call: Call, cotangents: Callable[[list[Any]], Sequence[Any]], observer: ModelObserver
    ) -> int:
        return run_model(function, call, cotangents, observer)

    def backward_passes(self, call: Call) -> list[tuple[str, str]]:
        arrays = [x.detach().requires_grad_(k in call.wrt) for k, x in enumerate(call.arrays)]
        found: dict[tuple[str, str], None] = {}
        seen = set()
        with seeded(), call.state():
            waiting = [y.grad_fn for y in call.function(arrays)]
        while waiting:
            node = waiting.pop()
            if node is None or node in seen:
                continue
            seen.add(node)
            own = getattr(type(node), "_forward_cls", None)
            if own is not None:
                code = inspect.unwrap(own.backward).__code__
                found[f"{own.__name__}.backward", f"{code.co_filename}:{code.co_firstlineno}"] = None
            waiting += [consumer for consumer, _ in node.next_functions]
        return list(found)


def dense_form(x: torch.Tensor, given: Any) -> Any:
    """What stands for an array: itself, or the dense array of its stored numbers."""
    if not is_sparse(x):
        return given
    if x.dense_dim():
        raise UsageError("a reference of a sparse tensor with dense axes is not supported; write it in torch")
    return scatter_add(given, np.ravel_multi_index(tuple(places_of(x).numpy()), tuple(x.shape)), tuple(x.shape))


def defined_gradients(
    outputs: Sequence[Any], inputs: Sequence[Any], cotangents: Sequence[Any], retain_graph: bool = False
) -> Sequence[Any]:
    """The gradients.

    Raises:
        UndefinedDerivative: PyTorch says that there is none, of a function of the phases of complex eigenvectors.
    """
    try:
        return torch.autograd.grad(outputs, inputs, cotangents, retain_graph=retain_graph, allow_unused=True)
    except RuntimeError as error:
        if "ill-defined" not in str(error):
            raise
        raise UndefinedDerivative(
            f"the function has no derivative for these cotangents: {str(error).splitlines()[0]} Return what does not "
            "depend on it, such as the absolute values"
        ) from error


def name_of_path(path: Any) -> str:
    """``args[0]``, ``mask`` for a keyword argument, ``args[1]['w']`` inside a container."""
    first, *rest = path
    if first.idx == 0:
        return "args" + pytree.keystr(tuple(rest))
    return str(rest[0].key) + pytree.keystr(tuple(rest[1:]))


def select(names: Sequence[str], arrays: Sequence[Any], wrt: Any, parameters: int = 0) -> list[int]:
    """The positions of the arrays to differentiate; the last ones are parameters of a module.

    By default the parameters and arguments that require a gradient, and all floating arguments where none does.
    """
    floating = [k for k, x in enumerate(arrays) if x.dtype.is_floating_point or x.dtype.is_complex]
    if wrt is None:
        arguments = [k for k in floating if k < len(arrays) - parameters]
        own = [k for k in floating if k not in arguments and arrays[k].requires_grad]
        return [*([k for k in arguments if arrays[k].requires_grad] or arguments), *own]
    return choose({names[k]: k for k in floating}, wrt)
