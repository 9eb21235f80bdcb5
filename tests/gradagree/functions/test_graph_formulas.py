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
BIAS_FIRST = (
    "residual-2x4x6x6:convolution(padding=1)/4x3,log_sigmoid,convolution(padding=1)/4x3,concatenation@0+3,"
    "convolution(padding=1,bias=False)/8x3,batch_norm,relu6,convolution(padding=1)/8x3,addition@4+8,hardtanh,"
    "average_pool,flatten,dense/4:perceptron:n2:f64:tiny:s200"
)
"""PyTorch begins the sum of a convolution with the bias, which is lost where the products are 1e12 times larger."""
GROUPED = (
    "convolutional-2x4x8x8:convolution(padding=1,groups=2)/6x3,celu,average_pool,flatten,dense/4,log_softmax"
    ":kl_div_of_logs:n2:f64:tiny:s249"
)
DENSE = (
    "mixer-2x4x6:layer_norm_affine,transposition,dense(bias=False)/8,dense(bias=False)/8@2,gating@4+3,masked_dropout,"
    "dense/4,transposition,addition@0+8,rms_norm_scaled,dense/12,softsign,masked_dropout,low_rank/6x2,addition@9+14,"
    "rms_norm_scaled,transposition,dense(bias=False)/8,dense(bias=False)/8@17,gating@19+18,dense/4,transposition,"
    "addition@15+22,layer_norm_affine,dense/12,gelu_tanh,low_rank/6x2,addition@23+27,flatten,dense/4"
    ":smooth_l1:n2:f64:mixed:s257"
)
"""The same for a product of matrices."""
GRU = "recurrent-4x3x4:gru(both=True),flatten(rows=True),dense/4:soft_margin:n12:f16:extreme:s277"
"""PyTorch's GRU computes n + z (h - n) in place of (1 - z) n + z h."""
BIAS_SUM = (
    "mixer-2x4x4:rms_norm_scaled,transposition,dense(bias=False)/8,dense(bias=False)/8@2,gating@4+3,dense/4,"
    "transposition,addition@0+7,layer_norm_affine,dense/8,tanh,dense/4,addition@8+12,rms_norm_scaled,transposition,"
    "dense/8,elu,dense/4,transposition,addition@13+19,rms_norm_scaled,dense/8,elu,masked_dropout,dense/4,"
    "addition@20+25,flatten,dense/3:triplet_margin:n2:f16:tiny:s2"
)
"""PyTorch's layer_norm adds the bias's gradient in float16, where terms of 0.4 cancel to -0.001."""
REFUSED = "recurrent-6x4:dense/4,softplus,selective_scan/2@0+2,dense/4,sigmoid:bce:n6:f16:saturated:s85"
"""PyTorch's binary_cross_entropy raises for the NaN of a value that overflows."""


SQUARES = (
    "mixer-2x4x6:layer_norm_affine,transposition,dense(bias=False)/8,dense(bias=False)/8@2,gating@4+3,dense/4,"
    "transposition,addition@0+7,layer_norm_affine,dense(bias=False)/12,dense(bias=False)/12@9,gating@11+10,"
    "low_rank/6x2,addition@8+13,flatten,dense/4,sigmoid:bce:n2:bf16:extreme:s738"
)
"""The same, where the squares inside a norm overflow and no value does."""
SUBNORMAL_INPUTS = (
    "residual-4x4:rms_norm_scaled,relu6,dense/4,addition@0+3,gelu_tanh,dense/4:hinge_embedding:n4:f32:extreme:s200044"
)
"""JAX flushes inputs of 1e-38, which the norm multiplies by 32: beyond the probabilistic tolerance of what follows."""
SUBNORMAL_SUM = (
    "transformer-2x4x4:layer_norm_affine,dense(bias=False)/4,dense(bias=False)/4@1,dense(bias=False)/4@1,"
    "attention(causal=True)@2+3+4,dense/4,addition@0+6,layer_norm_affine,dense(bias=False)/8,dense(bias=False)/8@8,"
    "gating@10+9,masked_dropout,low_rank/4x2,addition@7+13,layer_norm_affine,flatten(rows=True),dense/4"
    ":multiclass_sparsemax:n8:bf16:tiny:s200040"
)
"""JAX flushes a sum of cotangents that is subnormal."""
EXTREME_KERNEL = (
    "convolutional-2x4x8:convolution(axes=1,padding=1,groups=2,bias=False)/4x3,batch_norm,softsign,max_pool(axes=1),"
    "transposed_convolution(axes=1,stride=2)/4x2,average_pool(axes=1),flatten,dense/4,log_softmax:kl_div_of_logs:n2"
    ":bf16:extreme:s703"
)
"""oneDNN flushes subnormal numbers in bfloat16."""
SCALED_BY_0 = "residual-4x6:weight_norm/6,hardtanh,dense/6,addition@0+3,mish,dense/4:poisson_nll:n4:f32:mixed:s928"
"""PyTorch adds products of weights and their cotangents, which overflow, before it multiplies them by a scale of 0."""
IN_ORDER = (
    "convolutional-2x4x8x8:convolution(padding=1,bias=False)/4x3,group_norm,log_sigmoid,"
    "convolution(padding=1,padding_mode=circular,bias=False)/4x3,batch_norm,hardswish,average_pool,average_pool,flatten,"
    "dense/4,log_softmax:nll:n2:f32:ordinary:s937"
)
"""PyTorch adds 128 terms of a kernel's gradient in order: partial sums are three times those of random signs."""


@pytest.mark.parametrize(
    ("mode", "spec"),
    [
        ("jax:packed", SCAN), ("jax:packed", CANCELLING), ("torch:backward", ZERO_ROWS), ("torch:backward", GROWTH),
        ("jax:packed", LARGE), ("torch:backward", FLUSHED), ("jax:packed", VANISHING),
        ("torch:backward", REFUSED), ("torch:backward", BIAS_FIRST), ("torch:backward", GROUPED),
        ("torch:backward", SQUARES), ("jax:packed", SUBNORMAL_INPUTS), ("jax:packed", SUBNORMAL_SUM),
        ("torch:backward", EXTREME_KERNEL), ("torch:backward", IN_ORDER), ("torch:backward", SCALED_BY_0),
        ("torch:backward", DENSE), ("torch:backward", GRU), ("torch:backward", BIAS_SUM),
    ],
)  # fmt: skip
def test_that_a_correct_program_of_another_formula_passes(mode, spec, capsys):
    pytest.importorskip(mode.partition(":")[0])
    assert code(["replay", spec, "--modes", mode]) == 0
    assert "✗" not in capsys.readouterr().out


def test_that_sums_in_16_bits_are_reported_where_the_terms_of_a_bias_cancel(capsys):
    pytest.importorskip("torch")
    code(["replay", BIAS_SUM, "--modes", "torch:backward"])
    assert "partial sums kept in float16" in capsys.readouterr().out
