"""A cell of the matrix whose failures are all known does not look like a failure."""

from __future__ import annotations

from gradagree.checker.verdict import Record, Verdict
from gradagree.report.matrix import Column, Matrix
from gradagree.report.sections import cell_span

SPEC = "2-3-1:id,tanh,relu:sse:n8:f64:grid:s7"


def matrix(*known: bool) -> Matrix:
    """A record of tanh that disagrees for each flag."""
    found, column = Matrix(), Column("jax", "jit")
    for flag in known:
        record = Record(
            case="1", spec=SPEC, sha256="", framework="jax", version="0.10.2", mode="jit", dtype="float64",
            verdict=Verdict.DISAGREE, function="tanh", box=2, entry="dw[0,0]",
        )  # fmt: skip
        found.add(record, column, flag)
    return found


def test_that_a_cell_is_bad_unless_all_its_failures_are_known() -> None:
    tones = []
    for known in ((True, True), (True, False), (False,)):
        (cells,) = matrix(*known).cells["Activation"].values()
        (cell,) = cells.values()
        tones.append(cell_span(cell).tone)
    assert tones == ["none", "bad", "bad"]
