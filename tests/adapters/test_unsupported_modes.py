"""A mode that cannot run a function's Python code is unsupported; the modes that can run it compare."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gradagree import Activation, check
from gradagree.api import Disagreement
from gradagree.checker.verdict import Verdict

pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:DeprecationWarning")
EAGER = "backward,grad,vmap,forward"


class TwiceMasked(Activation):
    """A(p) = 2 p, by an assignment to the entries of a boolean mask."""

    def value(self, p: Any) -> Any:
        return 2 * p

    def derivative(self, p: Any) -> Any:
        return 2 * np.ones_like(p)

    def torch(self, p: Any, torch: Any) -> Any:
        out = p.clone()
        below = p <= 0
        out[below] = 2 * p[below]
        out[~below] = 2 * p[~below]
        return out

    def jax(self, p: Any, jax: Any) -> Any:
        return 2 * p + 0 * p[p > 0].sum()


class TwiceBranching(TwiceMasked):
    """A(p) = 2 p, where Python code needs numbers."""

    def torch(self, p: Any, torch: Any) -> Any:
        return 2 * p if p.sum() > 0 else p + p

    def jax(self, p: Any, jax: Any) -> Any:
        return p * np.where(np.asarray(jax.lax.stop_gradient(p)) > 0, 2, 2).astype(p.dtype)


class TwiceNumbered(TwiceMasked):
    """A(p) = 2 p, by NumPy in torch."""

    def torch(self, p: Any, torch: Any) -> Any:
        return p * torch.from_numpy(np.where(p.detach().to(torch.float64).numpy() > 0, 2.0, 2.0)).to(p.dtype)


class TwiceNewStyle(TwiceMasked):
    """A(p) = 2 p, by a new-style function without vmap and jvp."""

    def torch(self, p: Any, torch: Any) -> Any:
        class Double(torch.autograd.Function):  # type: ignore[misc]
            @staticmethod
            def forward(x: Any) -> Any:
                return 2 * x

            @staticmethod
            def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
                ctx.sizes = len(inputs), output.shape

            @staticmethod
            def backward(ctx: Any, g: Any) -> Any:
                return ctx.sizes[0] * 2 * g

        return Double.apply(p)


class TwiceCheckpointed(TwiceMasked):
    """A(p) = 2 p, recomputed in the backward pass."""

    def torch(self, p: Any, torch: Any) -> Any:
        from torch.utils.checkpoint import checkpoint

        return checkpoint(lambda x: 2 * x, p, use_reentrant=False)


class TwiceWrong(TwiceMasked):
    """A(p) = 2 p, with an error that is none of a mode."""

    def torch(self, p: Any, torch: Any) -> Any:
        raise RuntimeError("the size of tensor a must match the size of tensor b")

    def jax(self, p: Any, jax: Any) -> Any:
        raise TypeError("the size of array a must match the size of array b")


KINDS = (TwiceMasked, TwiceBranching, TwiceNumbered, TwiceNewStyle, TwiceCheckpointed, TwiceWrong)
for kind in KINDS:
    kind.catalogue.pop(kind.name)


def verdicts(function: type[Activation], framework: str, modes: str, case: str) -> dict[str, Verdict]:
    """The verdict of each mode, whether the check fails or not."""
    try:
        records = check(function, frameworks=framework, modes=modes, case=case)
    except Disagreement as found:
        records = list(found.records)
    return {record.mode: record.verdict for record in records}


@pytest.mark.parametrize("case", ["3-4-2:id,{}:sse:n4:f64:ordinary:s1", "1-257:id,{}:sse:n2:f64:ordinary:s1"])
@pytest.mark.parametrize("function", KINDS[:-1], ids=lambda kind: kind.name)
def test_that_torch_modes_that_cannot_run_a_function_are_unsupported(function: type[Activation], case: str) -> None:
    pytest.importorskip("torch")
    found = verdicts(function, "torch", EAGER, case.format(function.name))
    assert {found["backward"], found["grad"]} == {Verdict.AGREE}
    assert found["vmap"] is Verdict.UNSUPPORTED
    assert found["forward"] in (Verdict.AGREE, Verdict.UNSUPPORTED)


@pytest.mark.parametrize("function", [TwiceMasked, TwiceBranching], ids=lambda kind: kind.name)
def test_that_jax_modes_that_cannot_trace_a_function_are_unsupported(function: type[Activation]) -> None:
    pytest.importorskip("jax")
    modes = "grad,jit,vmap,packed"
    found = verdicts(function, "jax", modes, f"3-4-2:id,{function.name}:sse:n4:f64:ordinary:s1")
    assert found.pop("grad") is Verdict.AGREE
    assert set(found.values()) == {Verdict.UNSUPPORTED}


@pytest.mark.parametrize(("framework", "modes"), [("torch", EAGER), ("jax", "grad,packed")])
def test_that_another_error_of_a_function_is_no_missing_support(framework: str, modes: str) -> None:
    pytest.importorskip(framework)
    found = verdicts(TwiceWrong, framework, modes, "3-4-2:id,twice_wrong:sse:n4:f64:ordinary:s1")
    assert set(found.values()) == {Verdict.CRASHED}
