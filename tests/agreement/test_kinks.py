"""Kinks met exactly, missed by one rounding, and met again in every box of a deep network."""

import numpy as np
import pytest

from gradagree.cases.case import Arrays, Case

KINKED = ("relu", "leaky_relu", "leaky_relu(negative_slope=0.25)", "elu(alpha=0.5)", "hardtanh")
DEPTH = 6
FORMATS = {"f64": np.float64, "f32": np.float32}


def beside(kinks: tuple[float, ...], form: str) -> np.ndarray:
    """Every kink, the numbers of the dtype beside it (beside 0: a rounding of 1 away), and a number far from all."""
    rows = [0.5]
    for kink in kinks:
        at = FORMATS[form](kink)
        step = np.finfo(FORMATS[form]).eps if kink == 0 else np.spacing(at)
        rows += [at - step, at, at + step]
    return np.array(rows, dtype=np.float64)[:, None]


def network(function: str, form: str) -> Case:
    """The function in box after box of one unit, weights 1, so that a kink met once is met in all."""
    boxes = ",".join([function] * (DEPTH - 1))
    text = f"{'-'.join(['1'] * (DEPTH + 1))}:id,{boxes}:sse:n{{}}:{form}:grid:s1"
    inputs = beside(Case.parse(text.format(1)).activations[1].kinks, form)
    ones = tuple(np.ones((1, 1)) for _ in range(DEPTH))
    arrays = Arrays(ones, (None,) * DEPTH, inputs, np.full_like(inputs, 2.0))
    return Case.of(Case.parse(text.format(len(inputs))), arrays)


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("function", KINKED)
@pytest.mark.parametrize("mode", ["torch:backward", "torch:vmap", "jax:grad"])
def test_that_no_legitimate_slope_is_accused(function, form, mode, gradagree_block):
    framework, _, way = mode.partition(":")
    (record,) = gradagree_block(framework, way, [(0, network(function, form))])
    assert record.verdict in ("agree", "convention")
