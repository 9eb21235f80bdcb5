"""Correct programs of other formulas than the reference's, in graphs of layers."""

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


@pytest.mark.parametrize("spec", [SCAN, CANCELLING])
def test_that_a_correct_program_of_another_formula_passes(spec, capsys):
    pytest.importorskip("jax")
    assert code(["replay", spec, "--modes", "jax:packed"]) == 0
    assert "✗" not in capsys.readouterr().out
