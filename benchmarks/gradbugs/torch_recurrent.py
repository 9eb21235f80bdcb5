"""Bugs in recurrent cells, linear recurrences, selective scans and convolutions in time."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from benchmarks.gradbugs.bug import Bug, kernel_bug

Tensor = torch.Tensor


# A recurrent cell whose state is kept where a mask is 0.


def zoneout(x: Tensor, u: Tensor, mask: Tensor) -> Tensor:
    h, states = torch.zeros_like(x[0]), []
    for t in range(len(x)):
        h = h + mask[t] * (torch.tanh(x[t] + h @ u) - h)
        states.append(h)
    return torch.stack(states)


def zoneout_backward(g: Tensor, x: Tensor, u: Tensor, mask: Tensor, *, faulty: bool) -> Any:
    """Faulty: the mask of the first step at all steps."""
    h = torch.cat([torch.zeros_like(x[:1]), zoneout(x, u, mask)])
    d, dx, du, dmask = torch.zeros_like(x[0]), torch.zeros_like(x), torch.zeros_like(u), torch.zeros_like(mask)
    for t in reversed(range(len(x))):
        d, m = d + g[t], mask[0] if faulty else mask[t]
        y = torch.tanh(x[t] + h[t] @ u)
        dmask[t] = d * (y - h[t])
        dx[t] = d * m * (1 - y * y)
        du += h[t].T @ dx[t]
        d = d * (1 - m) + dx[t] @ u.T
    return dx, du


def cell(x: Tensor, h: Tensor, w: Tensor, u: Tensor, b: Tensor) -> Tensor:
    return torch.tanh(x @ w + h @ u + b)


def cell_backward(g: Tensor, x: Tensor, h: Tensor, w: Tensor, u: Tensor, b: Tensor, *, faulty: bool) -> Any:
    """Faulty: the bias is taken for one outside of the hyperbolic tangent."""
    d = g * (1 - cell(x, h, w, u, b) ** 2)
    return d @ w.T, d @ u.T, x.T @ d, h.T @ d, (g if faulty else d).sum(0)


# A layer that runs in both directions.


def one_way(x: Tensor, w: Tensor, u: Tensor) -> Tensor:
    h, states = torch.zeros(x.shape[1], w.shape[1], dtype=x.dtype), []
    for t in range(len(x)):
        h = torch.tanh(x[t] @ w + h @ u)
        states.append(h)
    return torch.stack(states)


def both_ways(x: Tensor, w: Tensor, u: Tensor) -> Tensor:
    """The sum of a forward and a backward cell with the same number of channels as the input."""
    return one_way(x, w[0], u[0]) + one_way(x.flip(0), w[1], u[1]).flip(0)


def one_way_backward(g: Tensor, x: Tensor, w: Tensor, u: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    h = torch.cat([torch.zeros_like(g[:1]), one_way(x, w, u)])
    d, dx, dw, du = torch.zeros_like(g[0]), torch.zeros_like(x), torch.zeros_like(w), torch.zeros_like(u)
    for t in reversed(range(len(x))):
        a = (d + g[t]) * (1 - h[t + 1] ** 2)
        dx[t], d = a @ w.T, a @ u.T
        dw += x[t].T @ a
        du += h[t].T @ a
    return dx, dw, du


def both_ways_backward(g: Tensor, x: Tensor, w: Tensor, u: Tensor, *, faulty: bool) -> Any:
    """Faulty: the first direction writes its result where the cotangent is that the second one reads."""
    dx, dw, du = one_way_backward(g, x, w[0], u[0])
    back, dw2, du2 = one_way_backward((dx if faulty else g).flip(0), x.flip(0), w[1], u[1])
    return dx + back.flip(0), torch.stack([dw, dw2]), torch.stack([du, du2])


# Linear recurrences.


def decayed(w: Tensor, x: Tensor) -> Tensor:
    """h_t = exp(-exp(w)) h_(t-1) + x_t."""
    h, states, decay = torch.zeros_like(x[0]), [], torch.exp(-torch.exp(w))
    for t in range(len(x)):
        h = decay * h + x[t]
        states.append(h)
    return torch.stack(states)


def decayed_backward(g: Tensor, w: Tensor, x: Tensor, *, faulty: bool) -> Any:
    """Faulty: the gradient of -exp(w) for that of w."""
    h, decay = torch.cat([torch.zeros_like(x[:1]), decayed(w, x)]), torch.exp(-torch.exp(w))
    d, dw, dx = torch.zeros_like(x[0]), torch.zeros_like(x[0]), torch.zeros_like(x)
    for t in reversed(range(len(x))):
        dx[t] = d = g[t] + decay * d
        dw = dw + d * h[t] * decay
    dw = dw.sum(0)
    return dw if faulty else -dw * torch.exp(w), dx


BLOCK = 3


def scan(a: Tensor, x: Tensor) -> Tensor:
    h, states = torch.zeros_like(x[0]), []
    for t in range(len(x)):
        h = a[t] * h + x[t]
        states.append(h)
    return torch.stack(states)


def scan_backward(g: Tensor, a: Tensor, x: Tensor, *, faulty: bool) -> Any:
    """Faulty: the carry of the next block is added to each of the sums of a block without their decay."""
    n, h = len(x), torch.cat([torch.zeros_like(x[:1]), scan(a, x)])
    after = torch.cat([a[1:], torch.zeros_like(a[:1])])
    d, carry = torch.zeros_like(x), torch.zeros_like(x[0])
    for end in range(n, 0, -BLOCK):
        own, decay = torch.zeros_like(x[0]), torch.ones_like(x[0])
        for t in reversed(range(end - BLOCK, end)):
            own, decay = g[t] + (after[t] * own if t + 1 < end else 0), decay * after[t]
            d[t] = own + (after[end - 1] * carry if faulty else decay * carry)
        carry = d[end - BLOCK]
    return d * h[:-1], d


def linear_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """The sum over the earlier positions of (q k) v with a decay of 0.8 a step."""
    n = len(q)
    lag = torch.arange(n)[:, None] - torch.arange(n)
    decay = torch.where(lag >= 0, 0.8 ** lag.clamp(min=0), 0.0).to(q.dtype)
    return (q @ k.T * decay) @ v


def linear_attention_backward(g: Tensor, q: Tensor, k: Tensor, v: Tensor, *, faulty: bool) -> Any:
    """Faulty: as many whole blocks of 4 as fit; what is behind them is not written."""
    n = len(q)
    lag = torch.arange(n)[:, None] - torch.arange(n)
    decay = torch.where(lag >= 0, 0.8 ** lag.clamp(min=0), 0.0).to(q.dtype)
    scores = g @ v.T * decay
    found = scores @ k, scores.T @ q, (q @ k.T * decay).T @ g
    if not faulty:
        return found
    written = tuple(torch.empty_like(x) for x in found)
    for to, x in zip(written, found, strict=True):
        to[: n // 4 * 4] = x[: n // 4 * 4]
    return written


# Selective scan: softplus of delta, in blocks with padding.


def selective(x: Tensor, delta: Tensor, a: Tensor, b: Tensor, c: Tensor) -> Tensor:
    h, found = torch.zeros(x.shape[1], a.shape[1], dtype=x.dtype), []
    for t in range(len(x)):
        step = torch.nn.functional.softplus(delta[t])[:, None]
        h = torch.exp(step * a) * h + step * b[t] * x[t][:, None]
        found.append(h @ c[t])
    return torch.stack(found)


def selective_backward(g: Tensor, x: Tensor, delta: Tensor, a: Tensor, b: Tensor, c: Tensor, *, faulty: bool) -> Any:
    """Faulty: the first state of the reversed scan decays by the step of the padding, softplus(0), not by 0."""
    n, steps = len(x), torch.nn.functional.softplus(delta)
    h = [torch.zeros(x.shape[1], a.shape[1], dtype=x.dtype)]
    for t in range(n):
        h.append(torch.exp(steps[t][:, None] * a) * h[-1] + steps[t][:, None] * b[t] * x[t][:, None])
    dx, dsteps, db, dc, da = (torch.zeros_like(v) for v in (x, delta, b, c, a))
    d = torch.zeros_like(h[0])
    for t in reversed(range(n)):
        own = g[t][:, None] * c[t]
        if faulty and t == n - 1:
            own = own * torch.exp(torch.nn.functional.softplus(torch.zeros(())) * a)
        d = d + own
        decay, step = torch.exp(steps[t][:, None] * a), steps[t][:, None]
        dc[t] = (g[t][:, None] * h[t + 1]).sum(0)
        dx[t], db[t] = (d * step * b[t]).sum(1), (d * step * x[t][:, None]).sum(0)
        dsteps[t] = (d * (h[t] * decay * a + b[t] * x[t][:, None])).sum(1)
        da += d * h[t] * decay * step
        d = d * decay
    return dx, dsteps * torch.sigmoid(delta), da, db, dc


# The scan of inputs that are normalised first; the backward pass computes them again.


def normalised(b: Tensor, weight: Tensor) -> Tensor:
    return b * torch.rsqrt((b * b).mean(-1, keepdim=True) + 1e-5) * weight


def normalised_scan(x: Tensor, b: Tensor, c: Tensor, weight: Tensor) -> Tensor:
    h, found, b = torch.zeros(x.shape[1], b.shape[1], dtype=x.dtype), [], normalised(b, weight)
    for t in range(len(x)):
        h = 0.7 * h + x[t][:, None] * b[t]
        found.append(h @ c[t])
    return torch.stack(found)


def normalised_scan_backward(g: Tensor, x: Tensor, b: Tensor, c: Tensor, weight: Tensor, *, faulty: bool) -> Any:
    """Faulty: the saved inputs are normalised a second time."""
    once = normalised(b, weight)
    given = normalised(once, weight) if faulty else once
    n, d, h = len(x), torch.zeros(x.shape[1], b.shape[1], dtype=x.dtype), [torch.zeros(x.shape[1], b.shape[1]).to(x)]
    dx, db, dc = torch.zeros_like(x), torch.zeros_like(b), torch.zeros_like(c)
    for t in range(n):
        h.append(0.7 * h[-1] + x[t][:, None] * given[t])
    for t in reversed(range(n)):
        d = 0.7 * d + g[t][:, None] * c[t]
        dc[t] = (g[t][:, None] * h[t + 1]).sum(0)
        dx[t], db[t] = d @ given[t], x[t] @ d
    r, dw = torch.rsqrt((b * b).mean(-1, keepdim=True) + 1e-5), db * weight
    return dx, dw * r - b * r**3 * (dw * b).mean(-1, keepdim=True), dc, (db * b * r).sum(0)


# A causal convolution with a state of the WIDTH - 1 last inputs.

WIDTH = 4


def causal_convolution(x: Tensor, state: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """The outputs, and the next state."""
    long = torch.cat([state, x])
    y = torch.stack([(long[t : t + WIDTH] * weight).sum(0) for t in range(len(x))])
    return y, long[len(x) :]


def causal_convolution_backward(
    g: Tensor, gstate: Tensor, x: Tensor, state: Tensor, weight: Tensor, *, faulty: bool
) -> Any:  # fmt: skip
    """Faulty: what is left of the first state in the last one has no gradient."""
    long, n = torch.cat([state, x]), len(x)
    d = torch.zeros_like(long)
    for t in range(n):
        d[t : t + WIDTH] += g[t] * weight
    d[n:] += gstate
    if faulty:
        kept = max(0, WIDTH - 1 - n)
        d[WIDTH - 1 - kept : WIDTH - 1] -= gstate[:kept]
    dweight = torch.stack([sum((g[t] * long[t + k] for t in range(n)), torch.zeros_like(x[0])) for k in range(WIDTH)])
    return d[WIDTH - 1 :], d[: WIDTH - 1], dweight


def masked_steps(rng: np.random.Generator) -> list[Any]:
    return [rng.standard_normal((5, 3, 4)), rng.standard_normal((4, 4)) / 2, (rng.random((5, 3, 4)) < 0.6) * 1.0]


def normal(*shapes: tuple[int, ...]) -> Any:
    return lambda rng: [rng.standard_normal(shape) for shape in shapes]


BUGS: tuple[Bug, ...] = (
    kernel_bug(
        name="recurrent cell with zoneout: mask of the first step",
        source="https://github.com/lmnt-com/haste/issues/43",
        title="`RNN`s with `zoneout > 0.0` have wrong gradients",
        operation="recurrent cell", condition="mask that differs by step", kind="wrong-term",
        forward=zoneout, backward=zoneout_backward, arguments=("args[0]", "args[1]"), inputs=masked_steps,
        kwargs=(("wrt", (0, 1)),),
    ),
    kernel_bug(
        name="recurrent cell: bias outside of the activation",
        source="https://github.com/arthurdouillard/deepcourse/pull/9",
        title="minor fixes in MLP backprop",
        operation="recurrent cell", condition="", kind="missing-term",
        forward=cell, backward=cell_backward, arguments=("args[4]",),
        inputs=normal((5, 3), (5, 4), (3, 4), (4, 4), (4,)),
    ),
    kernel_bug(
        name="both directions: the cotangent is overwritten by the first",
        source="https://github.com/apache/mxnet/pull/18203",
        title="Fix LSTM and GRU layers gradient calculations",
        operation="recurrent cell", condition="two directions", kind="stale",
        forward=both_ways, backward=both_ways_backward, arguments=("args[0]", "args[1]", "args[2]"),
        inputs=normal((4, 3, 4), (2, 4, 4), (2, 4, 4)),
    ),
    kernel_bug(
        name="decay of a recurrence: derivative of exp missing",
        source="https://github.com/fla-org/flash-linear-attention/pull/360",
        title="Fix rwkv4/fused_recurrent.py backward",
        operation="linear recurrence", condition="", kind="missing-term",
        forward=decayed, backward=decayed_backward, arguments=("args[0]",), inputs=normal((4,), (5, 3, 4)),
    ),
    kernel_bug(
        name="scan in blocks: carry without decay",
        source="https://github.com/proger/accelerated-scan/pull/15",
        title="complex: fix inter-block carry in backward_scan and expand test coverage",
        operation="linear recurrence", condition="more than one block", kind="region",
        forward=scan, backward=scan_backward, arguments=("args[0]", "args[1]"),
        inputs=lambda rng: [rng.uniform(0.3, 0.9, (9, 4)), rng.standard_normal((9, 4))],
    ),
    kernel_bug(
        name="linear attention: rows behind the last whole block",
        source="https://github.com/OpenNLPLab/lightning-attention/pull/28",
        title="Pad ragged sequence lengths in lightning_attn2_parallel",
        operation="linear recurrence", condition="last tile", kind="uninitialized",
        forward=linear_attention, backward=linear_attention_backward, arguments=("args[0]", "args[1]", "args[2]"),
        inputs=normal((10, 3), (10, 3), (10, 3)),
    ),
    kernel_bug(
        name="selective scan: padding decays after softplus",
        source="https://github.com/state-spaces/mamba/issues/368",
        title="Bug in selective scan backward",
        operation="selective scan", condition="end of the sequence in a tile", kind="region",
        forward=selective, backward=selective_backward, arguments=("args[0]", "args[1]", "args[3]"),
        inputs=lambda rng: [
            rng.standard_normal((5, 3)), rng.standard_normal((5, 3)), -rng.uniform(0.5, 2, (3, 4)),
            *rng.standard_normal((2, 5, 4)),
        ],
    ),
    kernel_bug(
        name="selective scan: inputs normalised twice",
        source="https://github.com/state-spaces/mamba/pull/919",
        title="Fix double RMSNorm on B/C in MambaInnerFn.backward at checkpoint_lvl=1",
        operation="selective scan", condition="recomputed inputs", kind="wrong-term",
        forward=normalised_scan, backward=normalised_scan_backward, arguments=("args[0]", "args[2]"),
        inputs=normal((5, 3), (5, 4), (5, 4), (4,)),
    ),
    kernel_bug(
        name="causal convolution: state longer than the sequence",
        source="https://github.com/fla-org/flash-linear-attention/issues/1140",
        title="[Bug] causal_conv1d: wrong gradients when a chunk is shorter than W - 1 tokens",
        operation="convolution", condition="sequence shorter than the filter", kind="missing-term",
        forward=causal_convolution, backward=causal_convolution_backward, arguments=("args[1]",),
        inputs=normal((2, 3), (3, 3), (4, 3)),
    ),
)  # fmt: skip
