"""Correct programs that compute by other formulas than the reference, or beyond the range of the dtype, in graphs."""

from __future__ import annotations

import pytest

from gradagree.cli.main import code

SCAN = (
    "recurrent-4x3x4:dense/4,sigmoid,dense/4@0,linear_recurrence@2+3,flatten(rows=True),dense/4"
    ":smooth_l1:n12:f32:grid:s810411226"
)
"""JAX's associative scan adds products where the steps in order add up to much less: 1.2 times their tolerance."""
CANCELLING = (
    "mixer-2x4x4:rms_norm_scaled,transposition,dense/8,celu,dense/4,transposition,addition@0+6,rms_norm_scaled,dense/8,"
    "relu,dense/4,addition@7+11,rms_norm_scaled,transposition,dense(bias=False)/8,dense(bias=False)/8@14,"
    "gating@16+15,dense/4,transposition,addition@12+19,layer_norm_affine,dense/8,elu,low_rank/4x2,addition@20+24,"
    "flatten,dense/4:multiclass_hinge:n2:f16:saturated:s408779833"
)
"""A variance as mean(x^2) - mean(x)^2 would cancel in the norm that is node 21."""
ZERO_ROWS = "residual-4x4:weight_norm/4,sin,dense/4,concatenation@0+3,relu6,dense/4,sigmoid:bce:n4:f16:zeros:s898117888"
"""A direction of weight_norm that is 0 would be divided by its norm."""
GROWTH = "recurrent-6x4:dense/4,softplus,selective_scan/2@0+2,dense/4:multi_margin:n6:f64:extreme:s116563255"
"""The first state of a scan does not depend on its decay, which overflows."""
LARGE = "residual-4x4:rms_norm_scaled,sigmoid,dense/4,addition@0+3,tanh,dense/4:smooth_l1:n4:f32:extreme:s99574759"
"""The squares of a norm overflow, and its value is 0, beyond the probabilistic tolerance."""
FLUSHED = (
    "recurrent-4x3x4:lstm,rnn(depth=2),flatten(rows=True),dense/4:multiclass_sparsemax:n12:f32:saturated:s442471490"
)
"""PyTorch's LSTM flushes a subnormal tanh."""
VANISHING = (
    "convolutional-2x4x8:convolution(axes=1,bias=False)/4x3,instance_norm,leaky_relu,average_pool(axes=1),flatten,dense/4"
    ":mse:n2:f64:extreme:s313852603"
)
"""The power -3/2 of the variance is 0 in float64."""
REFUSED = "recurrent-6x4:dense/4,softplus,selective_scan/2@0+2,dense/4,sigmoid:bce:n6:f16:saturated:s85"
"""PyTorch's binary_cross_entropy raises for the NaN of a value that overflows."""


@pytest.mark.parametrize(
    ("mode", "spec"),
    [
        ("jax:packed", SCAN), ("jax:packed", CANCELLING), ("torch:backward", ZERO_ROWS), ("torch:backward", GROWTH),
        ("jax:packed", LARGE), ("torch:backward", FLUSHED), ("jax:packed", VANISHING),
        ("torch:backward", REFUSED),
    ],
)  # fmt: skip
def test_that_a_correct_program_of_another_formula_passes(mode, spec, capsys):
    pytest.importorskip(mode.partition(":")[0])
    assert code(["replay", spec, "--modes", mode]) == 0
    assert "✗" not in capsys.readouterr().out
