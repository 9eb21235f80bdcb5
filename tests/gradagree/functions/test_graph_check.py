"""Graphs of layers in the frameworks: right gradients pass, and a fault in one layer is found there at any depth."""

from __future__ import annotations

import numpy as np
import pytest

from gradagree.adapters import Adapter
from gradagree.adapters.graph_programs import taps_of
from gradagree.cases.architectures import draw_graph
from gradagree.cases.graph_case import GraphCase
from gradagree.cases.graph_text import GRAPH_FAMILIES
from gradagree.cases.regimes import Source
from gradagree.checker.judge import Framework, judge
from gradagree.checker.response import Response, handshake, respond
from gradagree.checker.verdict import Verdict
from gradagree.functions import graph_check
from gradagree.reference import Activation, ErrorFunction
from gradagree.reference.layer import Layer

torch = pytest.importorskip("torch")
RIGHT = [Activation.named(name) for name in ("relu", "tanh", "sigmoid", "elu", "softsign")]
"""Activations without a known fault in a framework."""
SQUARES = [ErrorFunction.named("mse")]
PASSING = (Verdict.AGREE, Verdict.INACCURATE, Verdict.UNDECIDED)


@pytest.fixture(scope="module")
def frameworks():
    """The record of a case in a mode of a framework, all in this process."""
    known = {}

    def record(case, name, mode, change=lambda answer: None):
        if name not in known:
            adapter = Adapter.catalogue[name]()
            with adapter.settings():
                known[name] = adapter, Framework.of(name, handshake(adapter))
        adapter, framework = known[name]
        arrays = case.arrays()
        with adapter.settings():
            reply = respond(adapter, case.problem(arrays), mode)
        if isinstance(reply, Response):
            change(reply.tapped)
        return judge(case, arrays, framework, reply)

    return record


def drawn(family, k, dtype="float32", regime="ordinary", **options):
    return draw_graph(Source(f"check {family} {k}"), family, RIGHT, SQUARES, regime, dtype, k, **options)


@pytest.mark.parametrize("family", GRAPH_FAMILIES)
@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16", "float16"])
@pytest.mark.parametrize("mode", ["backward", "grad"])
def test_torch_passes(frameworks, family, dtype, mode):
    found = {frameworks(drawn(family, k, dtype), "torch", mode).verdict for k in range(3)}
    assert found <= set(PASSING)
    assert Verdict.AGREE in found or dtype in ("bfloat16", "float16")


@pytest.mark.parametrize("mode", ["packed", "grad", "jit"])
def test_jax_passes(frameworks, mode):
    pytest.importorskip("jax")
    text = "mixer-2x3x4:layer_norm_affine,transposition,dense/3,silu,transposition,addition@0+5,flatten,dense/2"
    case = GraphCase.parse(f"{text}:mse:n2:f32:ordinary:s1")
    assert frameworks(case, "jax", mode).verdict is Verdict.AGREE


@pytest.mark.filterwarnings("ignore:.torch.jit.script:DeprecationWarning")
def test_a_compiled_program_of_torch_passes_and_its_fault_is_found(frameworks):
    case = GraphCase.parse("residual-2x3:layer_norm_affine,dense/3,tanh,addition@0+3:mse:n2:f32:ordinary:s4")
    assert frameworks(case, "torch", "compile").verdict is Verdict.AGREE

    def forgotten(answer):
        (weight,) = (name for name, g in answer.gradients.items() if g.ndim == 2)
        answer.gradients[weight] *= 2

    record = frameworks(case, "torch", "compile", forgotten)
    assert record.verdict is Verdict.DISAGREE
    assert record.function == "dense"


@pytest.mark.parametrize(("name", "mode"), [("torch", "vmap"), ("torch", "forward")])
def test_modes_of_single_examples_and_forward_mode_are_unsupported(frameworks, name, mode):
    record = frameworks(drawn("mixer", 0), name, mode)
    assert record.verdict is Verdict.UNSUPPORTED
    assert "computes chains of dense layers only" in record.reason


def wrong_norm(missing):
    """Layer norm in torch whose backward pass lacks one of its terms."""

    class Wrong(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x, w, b):
            ctx.save_for_backward(x, w)
            return torch.nn.functional.layer_norm(x, x.shape[-1:], w, b, 2**-10)

        @staticmethod
        def backward(ctx, g):
            x, w = ctx.saved_tensors
            rstd = (x.var(-1, unbiased=False, keepdim=True) + 2**-10).rsqrt()
            y, inner = (x - x.mean(-1, keepdim=True)) * rstd, g * w
            terms = [inner, -inner.mean(-1, keepdim=True), -y * (inner * y).mean(-1, keepdim=True)]
            lead = tuple(range(g.ndim - 1))
            kept = sum(term for k, term in enumerate(terms) if k != missing)
            return kept * rstd, (g * y).sum(lead), g.sum(lead)

    base = type(Layer.named("layer_norm_affine"))
    return type("_WrongNorm", (base,), {"torch": lambda self, *arrays, torch: Wrong.apply(*arrays)})()


@pytest.mark.parametrize("depth", [1, 12])
@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16"])
@pytest.mark.parametrize("missing", [1, 2])
def test_a_missing_term_of_layer_norm_is_found_and_named_at_any_depth(frameworks, depth, dtype, missing):
    case = drawn("residual", 1, dtype, blocks=depth, own=wrong_norm(missing))
    record = frameworks(case, "torch", "backward")
    assert record.verdict is Verdict.DISAGREE
    assert record.function == "layer_norm_affine"
    assert record.entry.startswith("delta_x[")
    assert record.expected_radius is not None


@pytest.mark.parametrize("depth", [1, 12])
def test_the_right_layer_norm_passes_at_any_depth(frameworks, depth):
    case = drawn("residual", 1, "float64", blocks=depth, own=Layer.named("layer_norm_affine"))
    record = frameworks(case, "torch", "backward")
    assert record.verdict is Verdict.AGREE
    assert record.sharpness < 1e-9


CASE = GraphCase.parse(
    "transformer-2x4x6:layer_norm_affine,multi_head_attention,addition@0+2,flatten(rows=True),dense/3:"
    "cross_entropy:n8:f32:ordinary:s7"
)
CHANGES = [
    ("values", "c1", 1, "c", "layer_norm_affine", Verdict.VALUE_DIFFERS),
    ("cotangents", "inputs>3.0", 3, "delta_x", "addition", Verdict.DISAGREE),
    ("cotangents", "inputs", 1, "sum of delta", "layer_norm_affine", Verdict.DISAGREE),
    ("gradients", "2.u", 2, "du", "multi_head_attention", Verdict.DISAGREE),
    ("gradients", "5.b", 5, "db", "dense", Verdict.DISAGREE),
]


@pytest.mark.parametrize(("kind", "array", "box", "label", "function", "verdict"), CHANGES, ids=lambda x: str(x))
def test_each_wrong_array_is_found_at_its_node(frameworks, kind, array, box, label, function, verdict):
    def change(answer):
        held = getattr(answer, kind)
        held[array] = held[array] * (1 + 2.0**-14)

    record = frameworks(CASE, "torch", "backward", change)
    assert (record.verdict, record.box, record.function) == (verdict, box, function)
    assert record.entry.startswith(f"{label}[")


def test_a_missing_gradient_and_a_wrong_shape_are_findings(frameworks):
    record = frameworks(CASE, "torch", "backward", lambda answer: answer.gradients.pop("2.w"))
    assert record.verdict is Verdict.DISAGREE
    assert "no gradient was returned" in record.reason
    record = frameworks(CASE, "torch", "backward", lambda a: a.values.update(c1=np.zeros((2, 2))))
    assert record.verdict is Verdict.CRASHED
    assert "c1 has shape (2, 2), not (2, 4, 6)" in record.reason


def test_gradients_that_are_all_zero_check_nothing(frameworks):
    case = GraphCase.parse("residual-2x4:relu,dense/3,relu:absolute:n2:f32:zeros:s1")
    found = {frameworks(GraphCase.parse(f"{case.spec[:-2]}s{k}"), "torch", "backward").reason for k in range(8)}
    assert any("nothing is checked" in reason for reason in found)


def test_every_use_of_a_value_used_twice_has_a_tap():
    assert taps_of(CASE.nodes)[:3] == ["inputs>1.0", "c1", "c2"]
    assert "inputs>3.0" in taps_of(CASE.nodes)


def test_a_layer_without_an_implementation_is_unsupported(frameworks):
    pytest.importorskip("jax")
    case = GraphCase.parse("convolutional-2x2x4:lp_pool(axes=1),flatten,dense/2:mse:n2:f32:ordinary:s1")
    record = frameworks(case, "jax", "packed")
    assert record.verdict is Verdict.UNSUPPORTED
    assert "lp_pool(axes=1) has no implementation in jax" in record.reason
    assert frameworks(case, "torch", "backward").verdict is Verdict.AGREE


def test_a_layer_that_raises_has_crashed(frameworks):
    base = type(Layer.named("gating"))

    def fail(self, *arrays, torch):
        raise ValueError("no such kernel")

    layer = type("_Failing", (base,), {"torch": fail})()
    case = GraphCase.parse("mixer-2x4:dense/4,gating@1+0,dense/2:mse:n2:f32:ordinary:s1")
    nodes = (case.nodes[0], case.nodes[1]._replace(operation=layer), case.nodes[2])
    record = frameworks(GraphCase(case.family, case.shape, nodes, case.error, case.dtype), "torch", "grad")
    assert record.verdict is Verdict.CRASHED
    assert "no such kernel" in record.reason


def test_a_sum_of_cotangents_that_overflows_accuses_nothing(frameworks):
    def change(answer):
        held = answer.cotangents
        for name in ("inputs>1.0", "inputs>3.0"):
            held[name] = np.full_like(held[name], 60000.0)
        held["inputs"] = np.full_like(held["inputs"], np.inf)

    case = GraphCase.parse(CASE.spec.replace(":f32:", ":f16:"))
    record = frameworks(case, "torch", "backward", change)
    assert not str(record.entry).startswith("sum of delta")


def test_a_node_that_was_given_nan_accuses_nothing(frameworks):
    def change(answer):
        for held in (answer.cotangents, answer.gradients):
            for name in held:
                held[name] = np.full_like(held[name], np.nan)

    assert frameworks(CASE, "torch", "backward", change).box == "error"


def test_running_means_of_layer_norm_are_admissible(frameworks):
    text = "residual-2x6:layer_norm_affine,dense/3:mse:n2:f32:grid"
    verdicts = {frameworks(GraphCase.parse(f"{text}:s{k}"), "torch", "backward").verdict for k in range(12)}
    assert verdicts <= {Verdict.AGREE, Verdict.UNDECIDED}


def test_that_an_answer_with_the_same_bits_is_judged_once_and_one_with_another_bit_anew(frameworks, monkeypatch):
    judged, right = [], graph_check.compared_fields
    monkeypatch.setattr(graph_check, "compared_fields", lambda graph: judged.append(graph) or right(graph))
    case = drawn("mixer", 31)
    found = [frameworks(case, "torch", mode) for mode in ("backward", "grad")]
    assert [record.verdict for record in found] == [Verdict.AGREE] * 2
    assert [record.mode for record in found] == ["backward", "grad"]
    assert len(judged) == 1
    last = next(name for name in reversed(case.parameter_names) if name.endswith(".b"))
    changed = frameworks(case, "torch", "grad", lambda answer: answer.gradients[last].__imul__(2))
    assert changed.verdict is Verdict.DISAGREE
    assert len(judged) == 2
