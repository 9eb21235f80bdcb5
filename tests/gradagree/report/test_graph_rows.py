"""Records of graphs of layers in reports: rows of layers and architectures."""

from __future__ import annotations

from gradagree.checker.verdict import Record, Verdict
from gradagree.report.matrix import rows_of

SPEC = "residual-2x6:dense/6,tanh,addition@0+2,gating@3+1,dense/3:mse:n2:f32:ordinary:s1"


def record(**changes):
    fields = {
        "case": "000000", "spec": SPEC, "sha256": "", "framework": "torch", "version": "2", "mode": "grad",
        "dtype": "float32", "verdict": Verdict.AGREE,
    }  # fmt: skip
    return Record(**fields | changes)


def test_a_right_gradient_counts_for_every_layer_and_its_family():
    assert set(rows_of(record())) == {
        ("Layer", "dense"), ("Layer", "addition"), ("Layer", "gating"), ("Activation", "tanh"),
        ("Error function", "mse"), ("Architecture", "residual"), ("Dtype", "float32"), ("Regime", "ordinary"),
    }  # fmt: skip


def test_a_wrong_one_counts_for_the_layer_at_fault():
    rows = set(rows_of(record(verdict=Verdict.DISAGREE, box=4, function="gating")))
    assert ("Layer", "gating") in rows
    assert ("Layer", "dense") not in rows
    assert ("Architecture", "dense") in set(rows_of(record(spec="3-4b-2:id,tanh:sse:n8:f32:ordinary:s1")))
