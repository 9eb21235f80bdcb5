"""Ten kernels as users write them: right backward passes agree in all dtypes, and one typical fault each is named."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest

from gradagree.functions.assertions import assert_grads, check_function
from gradagree.functions.records import GradientRecord

torch = pytest.importorskip("torch")
F = torch.nn.functional
DTYPES = ("float64", "float32", "float16", "bfloat16")


def drawn(*shape: int, seed: int = 0, scale: float = 1.0) -> np.ndarray:
    return scale * np.random.default_rng(seed).standard_normal(shape)


TARGETS = torch.tensor([1, -100, 0, 2, 4])
ROWS = torch.tensor([0, 2, 2, 1, 0, 2])
MASK = torch.from_numpy(drawn(6, 7, seed=9) > 0)


def probabilities(q: Any, k: Any) -> Any:
    scores = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])
    causal = torch.ones(scores.shape[-2:], dtype=torch.bool).tril()
    return torch.softmax(scores.masked_fill(~causal, -math.inf), -1)


def attention(q: Any, k: Any, v: Any) -> Any:
    return probabilities(q, k) @ v


def attention_backward(wrong: bool, g: Any, q: Any, k: Any, v: Any) -> Any:
    p, by_p = probabilities(q, k), g @ v.transpose(-1, -2)
    by_s = p * (by_p - (by_p * p).sum(-1, keepdim=True))
    scale = 1 / math.sqrt(q.shape[-1])
    return by_s @ k * (1 if wrong else scale), by_s.transpose(-1, -2) @ q * scale, p.transpose(-1, -2) @ g


def rms_norm(x: Any, weight: Any) -> Any:
    return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + 1e-6) * weight


def rms_norm_backward(wrong: bool, g: Any, x: Any, weight: Any) -> Any:
    kind = torch.promote_types(x.dtype, torch.float32)
    wide, g, w = x.to(kind), g.to(kind), weight.to(kind)
    scale = torch.rsqrt(wide.square().mean(-1, keepdim=True) + 1e-6)
    mean = (g * w * wide).mean(-1, keepdim=True)
    by_x = scale * g * w - (0 if wrong else scale**3 * wide * mean)
    return by_x.to(x.dtype), (g * wide * scale).sum(0).to(weight.dtype)


def swiglu(x: Any, gate: Any, up: Any) -> Any:
    return F.silu(x @ gate) * (x @ up)


def swiglu_backward(wrong: bool, g: Any, x: Any, gate: Any, up: Any) -> Any:
    a = x @ gate
    s = torch.sigmoid(a)
    by_a = g * (x @ up) * (s if wrong else s + a * s * (1 - s))
    return by_a @ gate.T + (g * a * s) @ up.T, x.T @ by_a, x.T @ (g * a * s)


def cross_entropy(logits: Any) -> Any:
    return F.cross_entropy(logits, TARGETS, ignore_index=-100)


def cross_entropy_backward(wrong: bool, g: Any, logits: Any) -> Any:
    keep = TARGETS != -100
    right = F.one_hot(TARGETS.clamp(min=0), logits.shape[-1]).to(logits.dtype)
    by_row = (torch.softmax(logits, -1) - right) * keep[:, None]
    return g * by_row / (len(TARGETS) if wrong else keep.sum())


def turned(x: Any, sign: int) -> Any:
    half = x.shape[-1] // 2
    angles = torch.arange(x.shape[-2])[:, None] * 10000.0 ** (-torch.arange(half) / half)
    c, s = angles.cos().to(x.dtype), sign * angles.sin().to(x.dtype)
    a, b = x[..., :half], x[..., half:]
    return torch.cat([a * c - b * s, a * s + b * c], -1)


def rotary(x: Any) -> Any:
    return turned(x, 1)


def rotary_backward(wrong: bool, g: Any, _: Any) -> Any:
    return turned(g, 1 if wrong else -1)


def scatter_add(x: Any, base: Any) -> Any:
    return base.index_add(0, ROWS, x)


def scatter_add_backward(wrong: bool, g: Any, *_: Any) -> Any:
    return g[ROWS], torch.zeros_like(g) if wrong else g


def gates(x: Any, h: Any, c: Any, w: Any, u: Any) -> Any:
    i, f, n, o = (x @ w + h @ u).chunk(4, -1)
    i, f, n, o = torch.sigmoid(i), torch.sigmoid(f), torch.tanh(n), torch.sigmoid(o)
    return i, f, n, o, torch.tanh(f * c + i * n)


def lstm_cell(x: Any, h: Any, c: Any, w: Any, u: Any) -> Any:
    *_, o, y = gates(x, h, c, w, u)
    return o * y


def lstm_cell_backward(wrong: bool, g: Any, x: Any, h: Any, c: Any, w: Any, u: Any) -> Any:
    i, f, n, o, y = gates(x, h, c, w, u)
    by_c = g * o * (1 - y * y)
    parts = [by_c * n * i * (1 - i), by_c * c * f * (1 - f), by_c * i * (1 - n * n), g * y * o * (1 - o)]
    by_z = torch.cat(parts, -1)
    return by_z @ w.T, by_z @ u.T, by_c if wrong else by_c * f, x.T @ by_z, h.T @ by_z


def convolution(x: Any, weight: Any) -> Any:
    columns = F.unfold(x, weight.shape[-2:], padding=1)
    return (weight.reshape(len(weight), -1) @ columns).reshape(len(x), len(weight), *x.shape[2:])


def convolution_backward(wrong: bool, g: Any, x: Any, weight: Any) -> Any:
    columns, g = F.unfold(x, weight.shape[-2:], padding=1), g.reshape(len(x), len(weight), -1)
    kernel = weight.flip(-1, -2) if wrong else weight
    by_columns = kernel.reshape(len(weight), -1).T @ g
    by_weight = (g @ columns.transpose(1, 2)).sum(0).reshape(weight.shape)
    return F.fold(by_columns, x.shape[2:], weight.shape[-2:], padding=1), by_weight


def gelu(x: Any) -> Any:
    return F.gelu(x, approximate="tanh")


def gelu_backward(wrong: bool, g: Any, x: Any) -> Any:
    k = math.sqrt(2 / math.pi)
    t = torch.tanh(k * (x + 0.044715 * x**3))
    inner = k * (1 + 3 * 0.044715 * x**2)
    return g * (0.5 * (1 + t) + (0.5 * x * (1 - t) if wrong else 0.5 * x * (1 - t * t) * inner))


def dropout(x: Any) -> Any:
    return x * MASK / 0.6


def dropout_backward(wrong: bool, g: Any, _: Any) -> Any:
    return g / 0.6 if wrong else g * MASK / 0.6


class Kernel(NamedTuple):
    """A kernel with its backward pass, which takes True to be wrong, and what a message says of the fault."""

    forward: Callable[..., Any]
    backward: Callable[..., Any]
    inputs: tuple[np.ndarray, ...]
    wrong: set[str]
    sentence: str

    def function(self, wrong: bool) -> Any:
        def forward(ctx: Any, *arrays: Any) -> Any:
            ctx.save_for_backward(*arrays)
            return self.forward(*arrays)

        def backward(ctx: Any, g: Any) -> Any:
            return self.backward(wrong, g, *ctx.saved_tensors)

        methods = {"forward": staticmethod(forward), "backward": staticmethod(backward)}
        return type(self.forward.__name__, (torch.autograd.Function,), methods).apply  # type: ignore[attr-defined]


CELL = tuple(drawn(*shape, seed=k) for k, shape in enumerate([(3, 4), (3, 5), (3, 5), (4, 20), (5, 20)]))
KERNELS = [
    Kernel(
        attention, attention_backward, tuple(drawn(2, 6, 8, seed=k) for k in range(3)), {"args[0]"},
        "it is sqrt(8) times the gradient: a factor 1/sqrt(8) is missing",
    ),
    Kernel(
        rms_norm, rms_norm_backward, (drawn(20, 16), drawn(16, seed=1)), {"args[0]"}, "the contribution through",
    ),
    Kernel(
        swiglu, swiglu_backward, (drawn(6, 8), drawn(8, 5, seed=1, scale=0.3), drawn(8, 5, seed=2, scale=0.3)),
        {"args[0]", "args[1]"}, "the contribution through expit is missing",
    ),
    Kernel(
        cross_entropy, cross_entropy_backward, (drawn(5, 7),), {"args[0]"},
        "it is 0.8 times the gradient: a constant factor is wrong",
    ),
    Kernel(rotary, rotary_backward, (drawn(2, 5, 8),), {"args[0]"}, ""),
    Kernel(scatter_add, scatter_add_backward, (drawn(6, 4), drawn(3, 4, seed=1)), {"args[1]"}, "it is 0 everywhere"),
    Kernel(lstm_cell, lstm_cell_backward, CELL, {"args[2]"}, ""),
    Kernel(
        convolution, convolution_backward, (drawn(2, 3, 5, 4), drawn(4, 3, 3, 3, seed=1, scale=0.3)), {"args[0]"}, "",
    ),
    Kernel(gelu, gelu_backward, (drawn(40),), {"args[0]"}, ""),
    Kernel(dropout, dropout_backward, (drawn(6, 7),), {"args[0]"}, "a mask is not applied"),
]  # fmt: skip


def tensors(kernel: Kernel, dtype: str) -> list[Any]:
    return [torch.from_numpy(x).to(getattr(torch, dtype)) for x in kernel.inputs]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kernel", KERNELS, ids=lambda kernel: kernel.forward.__name__)
def test_that_a_right_kernel_agrees(kernel: Kernel, dtype: str) -> None:
    report = assert_grads(kernel.function(wrong=False), tensors(kernel, dtype))
    assert report.verdict.value == "agree"
    assert report.notes == []


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kernel", KERNELS, ids=lambda kernel: kernel.forward.__name__)
def test_that_a_wrong_kernel_is_found_and_its_fault_named(kernel: Kernel, dtype: str) -> None:
    report = check_function(kernel.function(wrong=True), tensors(kernel, dtype))
    failures: list[GradientRecord] = report.failures
    assert {record.name for record in failures} == kernel.wrong
    if dtype in ("float64", "float32"):
        assert any(kernel.sentence in record.reason for record in failures), [record.reason for record in failures]
        name = kernel.forward.__name__
        assert all(f"so {name}.backward ({__file__}:" in record.reason for record in failures)
