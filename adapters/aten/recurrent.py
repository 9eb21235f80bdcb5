"""Recurrent cells and layers, and sequences of several lengths."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import special

from gradagree.adapters.aten.table import aten, concrete


def lstm_step(gates: Any, c: Any) -> Any:
    """(the hidden state, the cell state) from the sums of a step: input, forget, new and output gate."""
    n = np.shape(c)[-1]
    take, forget, new, out = (gates[..., k * n : (k + 1) * n] for k in range(4))
    cell = special.expit(forget) * c + special.expit(take) * np.tanh(new)
    return special.expit(out) * np.tanh(cell), cell


@aten("_thnn_fused_lstm_cell")
def lstm_cell(x_gates: Any, h_gates: Any, c: Any, x_bias: Any = None, h_bias: Any = None) -> Any:
    """(the hidden state, the cell state, the gates)."""
    gates = x_gates + h_gates
    for bias in (x_bias, h_bias):
        gates = gates if bias is None else gates + bias
    return (*lstm_step(gates, c), gates)


@aten("mkldnn_rnn_layer")
def lstm_layer(
    x: Any, w_x: Any, w_h: Any, b_x: Any, b_h: Any, h: Any, c: Any, reverse: bool, batch_sizes: Any, mode: int, *_: Any
) -> Any:
    """(the hidden states, the last one, the last cell state) of an LSTM over x (time, batch, inputs)."""
    steps = np.shape(x)[0]
    h, c = (np.reshape(z, np.shape(z)[-2:]) for z in (h, c))
    from_x = x @ np.swapaxes(w_x, -1, -2)
    found: dict[int, Any] = {}
    for t in range(steps)[:: -1 if reverse else 1]:
        h, c = lstm_step(from_x[t] + b_x + h @ np.swapaxes(w_h, -1, -2) + b_h, c)
        found[t] = h
    return np.stack([found[t] for t in range(steps)]), h, c, np.zeros(0)


@aten("_pack_padded_sequence")
def pack(x: Any, lengths: Any, batch_first: bool) -> Any:
    """(the rows of all sequences, step after step; how many sequences go on at each step)."""
    x = np.swapaxes(x, 0, 1) if batch_first else x
    going = np.arange(np.shape(x)[0])[:, None] < concrete(lengths)
    return x[np.nonzero(going)], going.sum(axis=1)
