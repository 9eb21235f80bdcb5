"""The checks that look for the bugs: gradagree, the frameworks' own, a rule of kernel authors, published tolerances."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import jax.test_util
import numpy as np
import torch
from torch.autograd.gradcheck import GradcheckError

from benchmarks.gradbugs.bug import DTYPES, Bug
from gradagree import assert_grads
from gradagree.functions.message import describe_failure
from gradagree.functions.records import Disagreement

COTANGENTS = 20240607
NARROW = ("float16", "bfloat16")


@dataclass(frozen=True)
class Finding:
    """What one check says about one program.

    accused: True if it fails; None if it cannot be used.
    arguments: True if it names one of the arrays that are wrong.
    kind: True if it names what is wrong.
    message: Its message.
    """

    accused: bool | None
    arguments: bool = False
    kind: bool = False
    message: str = ""


UNUSABLE = Finding(None)


def by_assert_grads(bug: Bug, function: Any, arrays: Sequence[Any], dtype: str) -> Finding:
    try:
        assert_grads(function, arrays, **bug.options())
    except Disagreement as found:
        failures = found.report.failures if found.report is not None else found.records
        message = "\n".join(describe_failure(record) for record in failures)
        return Finding(True, any(r.name in bug.arguments for r in failures), bug.names_kind(message), message)
    return Finding(False)


def by_gradcheck(bug: Bug, function: Any, arrays: Sequence[Any], dtype: str) -> Finding:
    if bug.framework != "torch" or dtype != "float64" or bug.order > 2:
        return UNUSABLE
    inputs = [x.detach().requires_grad_() if is_differentiated(bug, k, x) else x for k, x in enumerate(arrays)]
    check = torch.autograd.gradcheck if bug.order == 1 else torch.autograd.gradgradcheck
    try:
        check(function, inputs)
    except GradcheckError as error:
        return Finding(True, message=str(error))
    return Finding(False)


def is_differentiated(bug: Bug, k: int, x: Any) -> bool:
    wrt = dict(bug.kwargs).get("wrt")
    return isinstance(x, torch.Tensor) and x.is_floating_point() and (wrt is None or k in np.atleast_1d(wrt))


def by_check_grads(bug: Bug, function: Any, arrays: Sequence[Any], dtype: str) -> Finding:
    if bug.framework != "jax":
        return UNUSABLE
    places = [k for k, x in enumerate(arrays) if hasattr(x, "dtype") and jnp.issubdtype(x.dtype, jnp.floating)]
    wrt = dict(bug.kwargs).get("wrt")
    places = places if wrt is None else [k for k in places if k in np.atleast_1d(wrt)]

    def of_floats(*given: Any) -> Any:
        filled = list(arrays)
        for k, x in zip(places, given, strict=True):
            filled[k] = x
        return function(*filled)

    try:
        jax.test_util.check_grads(of_floats, tuple(arrays[k] for k in places), order=bug.order, modes=("rev",))
    except AssertionError as error:
        return Finding(True, message=str(error))
    return Finding(False)


def by_opcheck(bug: Bug, function: Any, arrays: Sequence[Any], dtype: str) -> Finding:
    """`torch.library.opcheck` of the kernel registered as a custom operator, in float32."""
    if bug.kernel is None or dtype != "float32" or function not in (bug.wrong, bug.right):
        return UNUSABLE
    forward, backwards = bug.kernel
    backward = backwards[0] if function is bug.wrong else backwards[1]
    operator = registered(bug, forward, backward)
    inputs = [x.detach().requires_grad_() if is_differentiated(bug, k, x) else x for k, x in enumerate(arrays)]
    found = torch.library.opcheck(operator, tuple(inputs), raise_exception=False)
    failed = {name: text for name, text in found.items() if text != "SUCCESS"}
    return Finding(bool(failed), message=str(failed))


COUNT = iter(range(1 << 30))


def registered(bug: Bug, forward: Callable[..., Any], backward: Callable[..., Any]) -> Any:
    """The custom operator with this forward and backward pass."""
    arrays = bug.arrays("float64")
    many = isinstance(forward(*arrays), tuple)
    names = [f"x{k}" for k in range(len(arrays))]
    schema = f"({', '.join(f'Tensor {name}' for name in names)}) -> {'Tensor[]' if many else 'Tensor'}"
    name = f"gradbugs::bug{next(COUNT)}"
    fresh = lambda y: y.contiguous().clone()  # noqa: E731

    def compute(*args: Any) -> Any:
        with torch.no_grad():
            found = forward(*args)
        return [fresh(y) for y in found] if many else fresh(found)

    operator = torch.library.custom_op(name, compute, mutates_args=(), schema=schema)
    operator.register_fake(compute)

    def setup(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.save_for_backward(*inputs)

    def derive(ctx: Any, *cotangents: Any) -> Any:
        given = cotangents[0] if many else cotangents
        found = backward(*given, *ctx.saved_tensors)
        found = found if isinstance(found, tuple) else (found,)
        return (*found, *[None] * (len(arrays) - len(found)))

    operator.register_autograd(derive, setup_context=setup)
    return operator


# Comparisons with the plain program.


def values_and_gradients(bug: Bug, function: Any, arrays: Sequence[Any]) -> list[np.ndarray | None]:
    """Outputs and gradients in float64 for normal random cotangents."""
    rng = np.random.default_rng(COTANGENTS)
    if bug.framework == "torch":
        inputs = [x.detach().requires_grad_() if is_differentiated(bug, k, x) else x for k, x in enumerate(arrays)]
        outputs = function(*inputs)
        outputs = outputs if isinstance(outputs, tuple | list) else (outputs,)
        seeds = [torch.tensor(rng.standard_normal(tuple(y.shape))).to(y.dtype) for y in outputs]
        wrt = [x for x in inputs if isinstance(x, torch.Tensor) and x.requires_grad]
        found = torch.autograd.grad(list(outputs), wrt, seeds, allow_unused=True)
        return [None if x is None else x.detach().double().numpy() for x in [*outputs, *found]]
    places = [k for k, x in enumerate(arrays) if hasattr(x, "dtype") and jnp.issubdtype(x.dtype, jnp.floating)]

    def of_floats(given: Any) -> Any:
        filled = list(arrays)
        for k, x in zip(places, given, strict=True):
            filled[k] = x
        return function(*filled)

    outputs, vjp = jax.vjp(of_floats, [arrays[k] for k in places])
    leaves, tree = jax.tree.flatten(outputs)
    seeds = [jnp.asarray(rng.standard_normal(y.shape), y.dtype) for y in leaves]
    (found,) = vjp(jax.tree.unflatten(tree, seeds))
    return [np.asarray(x, np.float64) for x in [*leaves, *found]]


def plain(bug: Bug) -> Any:
    """The plain program of the bug's framework; the repaired one where the reference is of NumPy."""
    from benchmarks.gradbugs.variants import has_plain_form

    return bug.reference if has_plain_form(bug) else bug.right


def difference(a: np.ndarray | None, b: np.ndarray | None) -> float:
    """The largest difference; None counts as zeros."""
    if a is None or b is None:
        a, b = (np.zeros(1) if x is None else x for x in (a, b))
    found = np.abs(a - b)
    return float(np.max(np.where(np.isnan(found), np.inf, found), initial=0.0))


def by_twice_the_error(bug: Bug, function: Any, arrays: Sequence[Any], dtype: str) -> Finding:
    """The error against a wider dtype is at most twice that of the plain program, or below 1e-5 as in the tests."""
    if dtype == "float64" or bug.order > 1:
        return UNUSABLE
    wider = "float64" if dtype == "float32" else "float32"
    above = [cast(x, wider) for x in arrays]
    exact, own, usual = (
        values_and_gradients(bug, f, xs) for f, xs in ((plain(bug), above), (function, arrays), (plain(bug), arrays))
    )
    errors = [(difference(a, e), difference(b, e)) for a, b, e in zip(own, usual, exact, strict=True)]
    return Finding(any(a > 2 * b + 1e-5 for a, b in errors))


def cast(x: Any, dtype: str) -> Any:
    if isinstance(x, torch.Tensor):
        return x.to(getattr(torch, dtype)) if x.is_floating_point() else x
    return x.astype(dtype) if hasattr(x, "dtype") and jnp.issubdtype(x.dtype, jnp.floating) else x


@dataclass(frozen=True)
class Tolerance:
    """A tolerance that a library publishes: atol and rtol by dtype, or the largest ratio of the root mean squares."""

    name: str
    source: str
    by_dtype: tuple[tuple[str, float, float], ...] = ()
    ratio: float = 0.0

    def dtypes(self) -> tuple[str, ...]:
        return DTYPES if self.ratio else tuple(dtype for dtype, _, _ in self.by_dtype)

    def holds(self, found: np.ndarray | None, plain: np.ndarray | None, dtype: str) -> bool:
        if found is None or plain is None:
            found, plain = (np.zeros(1) if x is None else x for x in (found, plain))
        if not np.array_equal(np.isfinite(found), np.isfinite(plain)):
            return False
        if self.ratio:
            size = float(np.sqrt(np.mean(plain**2))) if plain.size else 0.0
            return plain.size == 0 or float(np.sqrt(np.mean((found - plain) ** 2))) <= self.ratio * (size + 1e-8)
        atol, rtol = next((a, r) for name, a, r in self.by_dtype if name == dtype)
        return bool(np.allclose(found, plain, atol=atol, rtol=rtol, equal_nan=True))


TOLERANCES = (
    Tolerance(
        "torch.testing.assert_close", "https://docs.pytorch.org/docs/stable/testing.html",
        (("float64", 1e-7, 1e-7), ("float32", 1e-5, 1.3e-6), ("float16", 1e-5, 1e-3), ("bfloat16", 1e-5, 1.6e-2)),
    ),
    Tolerance(
        "Liger-Kernel, RMS norm",
        "https://github.com/linkedin/Liger-Kernel/blob/030cb716fe45cdef7304ed605506b67e6dd1fc5e/test/transformers/test_rms_norm.py",
        (("float32", 1e-4, 1e-7), ("bfloat16", 5.0, 1e-5)),
    ),
    Tolerance("ratio of errors 0.005", "https://github.com/fla-org/flash-linear-attention", ratio=0.005),
)  # fmt: skip


def by_tolerance(tolerance: Tolerance, bug: Bug, function: Any, arrays: Sequence[Any], dtype: str) -> Finding:
    if dtype not in tolerance.dtypes() or bug.order > 1:
        return UNUSABLE
    own, usual = (values_and_gradients(bug, f, arrays) for f in (function, plain(bug)))
    return Finding(not all(tolerance.holds(a, b, dtype) for a, b in zip(own, usual, strict=True)))


Check = Callable[[Bug, Any, Sequence[Any], str], Finding]

OWN = "assert_grads"
TOOLS: dict[str, Check] = {
    OWN: by_assert_grads,
    "gradcheck": by_gradcheck,
    "check_grads": by_check_grads,
    "opcheck": by_opcheck,
    "twice the error": by_twice_the_error,
    **{tolerance.name: functools.partial(by_tolerance, tolerance) for tolerance in TOLERANCES},
}


def examined(tool: str, bug: Bug, function: Any, arrays: Sequence[Any], dtype: str) -> Finding:
    """What a check says; one that raises another error cannot be used."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return TOOLS[tool](bug, function, arrays, dtype)
        except Exception as error:  # noqa: BLE001 (a check that does not know the program)
            return Finding(None, message=f"{type(error).__name__}: {error}")
