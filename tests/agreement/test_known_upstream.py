"""Faults of the table, in the installed frameworks: every finding of these cases is known, and nothing else is."""

from __future__ import annotations

import pytest

from gradagree import check
from gradagree.api import Disagreement
from gradagree.report import summarize

SEEN = [
    ("6-4b-5:id,hardsigmoid:sse:n4:f64:ordinary:s1", "torch:backward"),
    ("6-4b-5:id,hardsigmoid:sse:n4:f64:ordinary:s1", "torch:forward"),
    ("10-32-5-64:id,sparse_plus,selu,softmin:bce:n32:f32:grid:s356125571", "torch:backward"),
    ("1-6-12-16-64-2:id,standardize,log_softmax,mish*2,softmax:bce:n4:f16:grid:s34874130", "torch:vmap"),
    ("1-6-12-16-64-2:id,standardize,log_softmax,mish*2,softmax:bce:n4:f64:grid:s34874130", "jax:packed"),
    ("8-5b-8b-8b-16b-24b:id,relu6,dropout,softplus,sqrt:soft_margin:n1:f16:grid:s374271266", "torch:backward"),
    ("32-16b:id:soft_margin:n8:f32:saturated:s105383508", "torch:forward"),
    ("10-64b:id,softplus_threshold:gaussian_nll:n16:f64:saturated:s334152530", "torch:forward"),
    ("64-5-12:id,softshrink,standardize:generalized_kl:n16:f16:zeros:s273182797", "jax:grad"),
]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("spec", "column"), SEEN, ids=[f"{column}-{spec}" for spec, column in SEEN])
def test_that_a_fault_of_the_framework_is_known(spec: str, column: str) -> None:
    framework, mode = column.split(":")
    with pytest.raises(Disagreement) as caught:
        check(spec, frameworks=framework, modes=mode)
    summary = summarize({}, caught.value.records)
    assert (summary.exit, summary.failing, summary.accepted.failing_upstream) == (0, 0, 1)
    assert summarize({"known": []}, caught.value.records).exit == 1
