"""PyTorch's gradients and comparisons, as the audit of existing tests sees them."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from typing import Any

from gradagree.adapters.audit_arrays import ArrayKind, Memory, Numbers, widen

CLOSE = {"input": None, "other": None, "rtol": 1e-5, "atol": 1e-8, "equal_nan": False}
EXACT = {"input": None, "other": None}
"""The parameters of functions that have no signature in Python, with their defaults."""
MOST_NODES = 100_000
"""Larger graphs are not searched for the leaves that a backward pass writes to."""
TRANSFORMS = {
    "grad": lambda result, aux: result[0] if aux else result,
    "grad_and_value": lambda result, aux: result[0],
    "jacrev": lambda result, aux: result[0] if aux else result,
    "jacfwd": lambda result, aux: result[0] if aux else result,
    "hessian": lambda result, aux: result,
}
"""Functions of ``torch.func`` that return a function, with the gradients in the result of that function."""


def array_kind(torch: Any) -> ArrayKind:
    """How tensors are read."""

    def concrete(x: Any) -> bool:
        if torch._C._functorch.is_functorch_wrapped_tensor(x) or x.layout is not torch.strided or x.is_meta:
            return False
        try:
            x.untyped_storage().data_ptr()
        except RuntimeError:  # a tensor without memory, as compilers trace with
            return False
        return not isinstance(x, getattr(torch._subclasses, "FakeTensor", ())) and x.dtype is not torch.bool

    def numbers(x: Any) -> Numbers:
        x = x.detach().resolve_conj().resolve_neg().cpu()
        name = str(x.dtype).rpartition(".")[2] if x.dtype.is_floating_point or x.dtype.is_complex else ""
        wide = x.to(torch.complex128 if x.dtype.is_complex else torch.float64)
        return widen(wide.numpy()).copy(), name

    def memory(x: Any) -> Memory | None:
        storage = x.untyped_storage()
        start = storage.data_ptr()
        return (start, start + storage.nbytes()) if start else None

    @contextlib.contextmanager
    def quiet() -> Iterator[None]:
        with torch._C.DisableTorchFunction(), torch.utils._python_dispatch._disable_current_modes(), torch.no_grad():
            yield

    return ArrayKind(lambda x: isinstance(x, torch.Tensor), concrete, numbers, memory, quiet)


def _all(result: Any, args: Any, kwargs: Any) -> Any:
    return result


def _second(result: Any, args: Any, kwargs: Any) -> Any:
    return result[1]


def install(torch: Any, audit: Any) -> None:
    """Watch the gradients and the comparisons of the module torch."""
    audit.add_kind(array_kind(torch))
    _watch_backward(torch, audit)
    audit.source(torch.autograd, "grad", "torch.autograd.grad", _all)
    for name in ("jacobian", "hessian", "vjp", "jvp", "vhp", "hvp"):
        chosen = _all if name in ("jacobian", "hessian") else _second
        audit.source(torch.autograd.functional, name, f"torch.autograd.functional.{name}", chosen)
    for name, pick in TRANSFORMS.items():
        audit.transform(torch.func, name, f"torch.func.{name}", pick)
    audit.source(torch.func, "jvp", "torch.func.jvp", _second)
    audit.pullback(torch.func, "vjp", "torch.func.vjp")
    for owner in (torch, torch.func):
        audit.passage(owner, "vmap")
    for name in ("allclose", "isclose"):
        wrapper = audit.comparison(torch, name, f"torch.{name}", _close, CLOSE)
        _keep_scriptable(torch, wrapper, f"aten::{name}")
        audit.comparison(torch.Tensor, name, f"torch.Tensor.{name}", _close, CLOSE)
    _keep_scriptable(torch, audit.comparison(torch, "equal", "torch.equal", _exact, EXACT), "aten::equal")
    audit.comparison(torch.Tensor, "equal", "torch.Tensor.equal", _exact, EXACT)
    for name in ("gradcheck", "gradgradcheck"):
        audit.numerical(torch.autograd, name, f"torch.autograd.{name}", functools.partial(_checked, name))


def install_testing(testing: Any, audit: Any) -> None:
    """Watch ``torch.testing.assert_close``."""

    def pairs(args: Any) -> Iterator[tuple[Any, Any, float, float]]:
        for actual, expected in audit.leaf_pairs(args["actual"], args["expected"]):
            given = [x for x in (actual, expected) if hasattr(x, "is_floating_point")]
            rtol, atol = testing._comparison.default_tolerances(*given) if given else (1e-7, 1e-7)
            if args["rtol"] is not None or args["atol"] is not None:
                rtol, atol = args["rtol"] or 0.0, args["atol"] or 0.0
            yield actual, expected, atol, rtol

    audit.comparison(testing, "assert_close", "torch.testing.assert_close", pairs)
    audit.comparison(testing, "assert_allclose", "torch.testing.assert_allclose", pairs)


def install_common_utils(common: Any, audit: Any) -> None:
    """Watch the comparisons of PyTorch's own test classes."""

    def pairs(args: Any) -> Iterator[tuple[Any, Any, float, float]]:
        for actual, expected in audit.leaf_pairs(args["x"], args["y"]):
            given = [x for x in (actual, expected) if hasattr(x, "is_floating_point")]
            rtol, atol = tolerances(*given) if given else (0.0, 0.0)
            if args["atol"] is not None:
                rtol, atol = args["rtol"], args["atol"]
            yield actual, expected, max(atol, args["self"].precision), max(rtol, args["self"].rel_tol)

    tolerances = common.torch.testing._comparison.default_tolerances
    audit.comparison(common.TestCase, "assertEqual", "TestCase.assertEqual", pairs)


def _watch_backward(torch: Any, audit: Any) -> None:
    """After each backward pass, mark what it wrote to ``.grad``."""

    def written(result: Any, args: Any, kwargs: Any) -> list[Any]:
        roots, inputs = (args[0] if args else kwargs["tensors"]), kwargs.get("inputs")
        leaves = [roots] if isinstance(roots, torch.Tensor) else list(roots)
        leaves = leaves_of(leaves) if inputs is None else inputs
        leaves = [leaves] if isinstance(leaves, torch.Tensor) else leaves
        return [x.grad for x in (*leaves, *audit.kept) if isinstance(x.grad, torch.Tensor)]

    def retained(result: Any, args: Any, kwargs: Any) -> list[Any]:
        audit.kept.append(args[0])
        return []

    audit.source(torch.autograd, "backward", "Tensor.backward", written)
    audit.source(torch.Tensor, "retain_grad", "Tensor.retain_grad", retained)


def leaves_of(roots: list[Any]) -> list[Any]:
    """The tensors to whose ``.grad`` a backward pass from these tensors adds."""
    found = [x for x in roots if x.grad_fn is None]
    nodes = [x.grad_fn for x in roots if x.grad_fn is not None]
    seen = set(nodes)
    while nodes and len(seen) < MOST_NODES:
        node = nodes.pop()
        found += [node.variable] if hasattr(node, "variable") else []
        for after, _ in node.next_functions:
            if after is not None and after not in seen:
                seen.add(after)
                nodes.append(after)
    return found


def _close(args: Any) -> Iterator[tuple[Any, Any, float, float]]:
    yield args["input"], args["other"], args["atol"], args["rtol"]


def _exact(args: Any) -> Iterator[tuple[Any, Any, float, float]]:
    yield args["input"], args["other"], 0.0, 0.0


def _checked(name: str, args: Any) -> tuple[Any, Any, int]:
    """The function, its arguments and the order of the derivatives that a numerical check compares."""
    inputs = args["inputs"]
    return args["func"], inputs if isinstance(inputs, tuple | list) else (inputs,), 2 if name == "gradgradcheck" else 1


def _keep_scriptable(torch: Any, wrapper: Any, name: str) -> None:
    """Let TorchScript resolve the wrapper to the operation itself."""
    with contextlib.suppress(AttributeError):
        torch.jit._builtins._register_builtin(wrapper, name)
