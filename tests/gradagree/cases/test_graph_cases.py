"""Graphs of layers as cases: their text makes them again, and what does not fit together is refused in one sentence."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from gradagree.arithmetic.model import FORMATS
from gradagree.arithmetic.rounding import is_representable
from gradagree.cases.architectures import BUILDERS, Builder, convolve, draw_graph, usable
from gradagree.cases.case import Case
from gradagree.cases.graph_case import GraphCase, parse_case
from gradagree.cases.graph_text import FAMILIES, GRAPH_FAMILIES
from gradagree.cases.regimes import REGIMES, Source
from gradagree.errors import UsageError
from gradagree.reference import Activation, ErrorFunction
from gradagree.reference.layer import Layer

LOSSES = [ErrorFunction.catalogue[name]() for name in sorted(ErrorFunction.catalogue)]
SPEC = "residual-2x6:dense/6,tanh,addition@0+2,dense/3:mse:n2:f32:ordinary:s1"


def drawn(family, k):
    regime, dtype = [*REGIMES][k % len(REGIMES)], [*FORMATS][k % len(FORMATS)]
    return draw_graph(Source(f"test {family} {k}"), family, None, LOSSES, regime, dtype, k)


@pytest.mark.parametrize("family", GRAPH_FAMILIES)
@pytest.mark.parametrize("k", range(28))
def test_a_text_makes_the_case_and_its_numbers_again(family, k):
    case = drawn(family, k)
    again = parse_case(case.spec)
    assert again == case
    assert again.spec == case.spec
    assert again.arrays().sha256 == case.arrays().sha256
    form = FORMATS[case.dtype]
    assert all(is_representable(x, form) for x in case.arrays().by_name.values() if x.dtype.kind == "f")


def test_there_are_six_families_with_a_builder_for_each_graph():
    assert ("dense", *BUILDERS) == FAMILIES
    assert len(FAMILIES) == 6


def test_numbers_do_not_depend_on_the_process():
    code = "from gradagree.cases.graph_case import GraphCase\n" + f"print(GraphCase.parse({SPEC!r}).arrays().sha256)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == GraphCase.parse(SPEC).arrays().sha256


def test_the_numbers_of_a_text_stay_as_they_are():
    assert GraphCase.parse(SPEC).alias == "373381"
    assert GraphCase.parse(SPEC).arrays().sha256.startswith("d1857cca")


def test_a_chain_is_still_a_case_of_its_own_kind():
    assert isinstance(parse_case("3-4b-2:id,tanh:sse:n8:f32:ordinary:s1"), Case)


def test_explicit_arrays_have_their_hash_as_seed():
    case = GraphCase.parse(SPEC)
    held = GraphCase.of(case, case.arrays())
    assert held.seed == case.arrays().sha256[:12]
    assert held.arrays() is held.explicit
    with pytest.raises(UsageError, match="name the case file"):
        GraphCase.parse(held.spec).arrays()


def test_indices_and_masks_fit_their_layers():
    text = (
        "transformer-2x4x6:embedding/5x6x2x4@,addition@0+1,masked_dropout,flatten(rows=True),"
        "mixture_of_experts/3x4:mse:n8:f32:zeros:s3"
    )
    arrays = GraphCase.parse(text).arrays().by_name
    assert arrays["1.index"].dtype == np.int64
    assert arrays["1.index"].max() < 5
    assert arrays["3.kept"].dtype == bool
    assert all(len(set(row)) == 2 for row in arrays["5.chosen"].tolist())


def test_a_graph_of_ones_own_layer_is_a_stack_of_blocks():
    layer = Layer.named("group_norm")
    case = draw_graph(Source("own"), "residual", None, LOSSES, "grid", "float32", 1, blocks=12, own=layer)
    assert [node.operation for node in case.nodes].count(layer) == 12
    assert parse_case(case.spec) == case


def test_activations_of_graphs_act_on_rows_of_any_number_of_axes():
    names = {str(a) for a in usable([Activation.named(n) for n in ("tanh", "sqrt", "glu", "prelu", "softmax")])}
    assert names == {"tanh", "softmax"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (SPEC.replace("dense/3", "dense"), "node 4: dense with the size none does not take"),
        (SPEC.replace("dense/3", "dens/3"), "unknown layer 'dens'; did you mean"),
        (SPEC.replace("tanh", "tanh/4"), "node 2: tanh: give an activation without a size"),
        (SPEC.replace("@0+2", "@0+3"), "node 3, addition, takes the values"),
        (SPEC.replace("@0+2", "@0"), "node 3: addition"),
        (SPEC.replace("n2", "n3"), "write n2"),
        (SPEC.replace("residual-", "residul-"), "'residul-2x6' is no family"),
        (SPEC.replace("f32", "f31"), "unknown dtype"),
        (SPEC.replace("ordinary", "digits"), "unknown regime 'digits' of a graph"),
        (SPEC.replace(",dense/3", ",transposition(first=0,second=5)"), "node 4: transposition"),
        (SPEC.replace("residual-2x6", "residual-2x3x6"), "end with flatten"),
        (SPEC.replace("tanh", "split"), "returns several arrays"),
        (SPEC.replace("tanh", "ta nh"), "'ta nh' is no node"),
        ("residual-2x6:tanh", "is no case of a graph"),
    ],
)
def test_what_does_not_fit_together_is_refused_in_one_sentence(text, message):
    with pytest.raises(UsageError, match=message) as raised:
        parse_case(text)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(("length", "expected"), [(3, False), (4, True)])
def test_that_no_instance_norm_is_drawn_over_a_single_entry(length: int, expected: bool) -> None:
    names = set()
    for k in range(40):
        graph = Builder(Source(f"norm {k}"), [], 1)
        graph.start(2, 4, length, length)
        convolve(graph, 4)
        names |= {str(node.operation) for node in graph.nodes}
    assert ("instance_norm" in names) is expected
    assert "group_norm" in names
