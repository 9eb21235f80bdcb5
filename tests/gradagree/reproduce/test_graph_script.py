"""The script of a graph of layers shows the entry that the record names, with the framework alone."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

import gradagree.functions.graph_check  # noqa: F401 (judges graphs)
from gradagree.adapters import Adapter
from gradagree.cases.graph_case import GraphCase
from gradagree.checker.judge import Framework, judge
from gradagree.checker.response import handshake, respond
from gradagree.checker.verdict import Verdict, hexadecimal
from gradagree.errors import UsageError
from gradagree.reproduce.programs import run_script
from gradagree.reproduce.record_script import format_script

WHOLE = (
    "transformer-2x4x4:embedding/5x4x2x4@,addition@0+1,layer_norm_affine,multi_head_attention(causal=True),"
    "masked_dropout,addition@2+5,flatten(rows=True),dense/3:mse:n8:f64:ordinary:s7"
)
ENTRIES = [
    (3, "c[0,1,2]", "values", "c3"), (3, "delta_x[1,0,2]", "cotangents", "c2>3.0"),
    (4, "dw[2,1]", "gradients", "4.w"), (6, "delta_z[0,1,3]", "cotangents", "c5"),
    ("error", "delta_p[3,1]", "cotangents", "c8"), (1, "dw[1,2]", "gradients", "1.w"),
]  # fmt: skip


@pytest.fixture(scope="module")
def answer():
    """The right record of the case in torch, and the answer behind it."""
    pytest.importorskip("torch")
    case, adapter = GraphCase.parse(WHOLE), Adapter.catalogue["torch"]()
    reply = respond(adapter, case.problem(case.arrays()), "backward")
    record = judge(case, case.arrays(), Framework.of("torch", handshake(adapter)), reply)
    assert record.verdict is Verdict.AGREE
    return record, reply.tapped


@pytest.mark.parametrize(("box", "entry", "kind", "array"), ENTRIES, ids=lambda x: str(x))
@pytest.mark.parametrize("shift", [0.0, 1.0])
def test_the_script_ends_with_1_only_while_the_entry_is_wrong(answer, box, entry, kind, array, shift, tmp_path):
    record, found = answer
    index = tuple(int(k) for k in entry.partition("[")[2].rstrip("]").split(","))
    number = float(np.asarray(getattr(found, kind)[array])[index])
    changed = msgspec.structs.replace(
        record, verdict=Verdict.DISAGREE, box=box, entry=entry, expected=hexadecimal(number + shift),
        observed=hexadecimal(number), tolerance=hexadecimal(1e-9), reason="",
    )  # fmt: skip
    path = tmp_path / "script.py"
    path.write_text(format_script(GraphCase.parse(WHOLE), changed))
    output, code = run_script(path)
    assert code == (1 if shift else 0), output


def test_a_sum_of_cotangents_has_no_script(answer):
    record, _ = answer
    changed = msgspec.structs.replace(record, verdict=Verdict.DISAGREE, box=2, entry="sum of delta[0,0,0]")
    with pytest.raises(UsageError, match="--script: the cotangents of several nodes"):
        format_script(GraphCase.parse(WHOLE), changed)
