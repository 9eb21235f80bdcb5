"""Layers in PyTorch and JAX agree with the hand-written ones, and classic faults in each kind are found and named."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys

import numpy as np
import pytest

from gradagree import Layer, check
from gradagree.api import Disagreement
from gradagree.checker.verdict import Verdict
from gradagree.cli.main import code
from gradagree.errors import UsageError
from gradagree.functions.layers import layer_report
from gradagree.reference import ContractError, layers  # noqa: F401 (registers the layers)

torch = pytest.importorskip("torch")
BUILT_IN = [kind for kind in Layer.catalogue.values() if kind.__module__.startswith("gradagree.")]
IN_TORCH = [layer for kind in BUILT_IN if hasattr(kind, "torch") for layer in kind().variants()]
IN_JAX = [kind() for kind in BUILT_IN if hasattr(kind, "jax")]
PASSING = (Verdict.AGREE, Verdict.INACCURATE, Verdict.UNDECIDED, Verdict.UNSUPPORTED)


@pytest.mark.parametrize("layer", IN_TORCH, ids=str)
def test_torch_agrees_in_four_dtypes(layer):
    report = layer_report(layer, "torch", layouts=False, repeat=1)
    assert not report.failures, report.failures[0]
    exact = [r.verdict for r in report.records if r.dtype in ("float64", "float32")]
    assert exact
    assert set(exact) <= {Verdict.AGREE}
    assert {r.verdict for r in report.records} <= set(PASSING)


@pytest.mark.parametrize("layer", IN_JAX, ids=str)
def test_jax_agrees(layer):
    pytest.importorskip("jax")
    report = layer_report(layer, "jax", dtypes="float32", layouts=False, repeat=1)
    assert {r.verdict for r in report.records} == {Verdict.AGREE}


def with_backward(layer, change):
    """The layer in torch, with its hand-written vjp, changed, as the backward pass."""

    class Changed(torch.autograd.Function):
        @staticmethod
        def forward(ctx, *arrays):
            ctx.save_for_backward(*arrays)
            return layer.torch(*arrays, torch=torch)

        @staticmethod
        def backward(ctx, g):
            arrays = [z.detach().double().numpy() if z.is_floating_point() else z.numpy() for z in ctx.saved_tensors]
            found = change(g.double().numpy(), *arrays)
            return tuple(
                None if z is None else torch.tensor(np.ascontiguousarray(z)).to(g.dtype).reshape(x.shape)
                for z, x in zip(found, ctx.saved_tensors, strict=True)
            )

    kind = type("_Changed", (type(layer),), {"torch": lambda self, *arrays, torch: Changed.apply(*arrays)})
    return kind(**{field.name: getattr(layer, field.name) for field in dataclasses.fields(layer)})


def fault(layer, place, wrong):
    """The right cotangents, the one at a place replaced by a wrong one of (g, *arrays)."""

    def change(g, *arrays):
        found = list(layer.vjp(g, *arrays))
        found[place] = wrong(found[place], g, *arrays)
        return found

    return change


FAULTS = [
    ("dense", 1, "w", lambda found, g, x, w, b: found[::-1]),
    ("dense", 2, "b", lambda found, g, x, w, b: g.sum(0)[0]),
    ("low_rank", 3, "b", lambda found, g, x, w, a, b: 2 * found),
    ("bilinear", 2, "w", lambda found, g, *_: found.swapaxes(1, 2).reshape(found.shape)),
    ("embedding", 0, "w", lambda found, g, w, index: np.stack([g[index == k][-1:].sum(0) for k in range(len(w))])),
    ("embedding_bag(mode=mean)", 0, "w", lambda found, g, w, index: found * index.shape[1]),
    ("convolution", 1, "w", lambda found, g, *_: found[:, :, ::-1]),
    ("convolution(stride=2,padding=1,bias=False)", 0, "x", lambda found, g, *_: np.roll(found, 1, -1)),
    ("transposed_convolution(stride=2,padding=1)", 0, "x", lambda found, g, *_: found[..., ::-1]),
    ("average_pool(size=3,padding=1,include_padding=False)", 0, "x", lambda found, g, x: found * (1 + (x > 0) / 8)),
    ("batch_norm", 0, "x", lambda found, g, x, w, b: g * w[:, None] / x.std((0, 2), keepdims=True)),
    ("layer_norm_affine", 0, "x", lambda found, g, x, w, b: g * w / x.std(-1, keepdims=True)),
    ("rms_norm_scaled", 0, "x", lambda found, g, x, w: g * w / np.sqrt((x * x).mean(-1, keepdims=True) + 2**-10)),
    ("group_norm", 1, "w", lambda found, g, x, w, b: (g * x).sum((0, 2))),
    ("attention(causal=True)", 1, "k", lambda found, g, q, k, v: Layer.named("attention").vjp(g, q, k, v)[1]),
    ("attention", 0, "q", lambda found, g, q, k, v: 2 * found),
    ("attention(causal=True,shared=2)", 2, "v", lambda found, *_: found / 2),
    ("rotary_embedding", 0, "x", lambda found, g, x, cos, sin: Layer.named("rotary_embedding").value(g, cos, sin)),
    ("gating", 1, "z", lambda found, g, a, z: g * a / (1 + np.exp(-z))),
    ("linear_recurrence", 0, "a", lambda found, *_: np.roll(found, 1, 0)),
    ("selective_scan", 2, "a", lambda found, *_: found * 0.5),
    ("gru", 3, "b_l0", lambda found, g, *_: np.roll(found, 3)),
    ("lstm", 1, "w_l0", lambda found, *_: np.roll(found, 3, 0)),
    ("mixture_of_experts", 1, "r", lambda found, *_: 0 * found),
    ("masked_dropout", 0, "x", lambda found, g, x, kept: g * kept),
    ("grid_sample", 1, "grid", lambda found, *_: found[..., ::-1]),
    ("pixel_shuffle", 0, "x", lambda found, *_: found[:, ::-1]),
]


@pytest.mark.parametrize(("text", "place", "name", "wrong"), FAULTS, ids=lambda x: x if isinstance(x, str) else "")
@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16"])
def test_a_classic_fault_is_found_and_its_array_named(text, place, name, wrong, dtype):
    layer = Layer.named(text)
    report = layer_report(
        with_backward(layer, fault(layer, place, wrong)), "torch", dtypes=dtype, layouts=False, repeat=1
    )  # fmt: skip
    failing = {r.name for r in report.failures}
    assert failing == {name}


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_fault_of_ctc_is_found_in_the_dtypes_that_torch_has(dtype):
    layer = Layer.named("ctc")

    def without_softmax(found, g, x, *_):
        return found - g[:, None] * np.exp(x) / np.exp(x).sum(-1, keepdims=True)

    wrong = with_backward(layer, fault(layer, 0, without_softmax))
    assert {r.name for r in layer_report(wrong, "torch", dtypes=dtype, layouts=False, repeat=1).failures} == {"x"}


@pytest.mark.parametrize("text", ["dense", "batch_norm", "attention(causal=True)", "gru", "selective_scan"])
def test_the_hand_written_vjp_as_a_backward_pass_passes(text):
    layer = Layer.named(text)
    report = layer_report(with_backward(layer, layer.vjp), "torch", layouts=False, repeat=1)
    assert not report.failures


def test_check_of_a_class_names_the_variant(monkeypatch):
    kind = type(Layer.named("padding"))
    report = check(kind, frameworks="torch", dtypes="float32", layouts=False, repeat=1)
    assert report.verdict is Verdict.AGREE
    assert {r.name for r in report.records} >= {"x of padding", "x of padding(padding_mode=reflect)"}
    right = kind.torch
    monkeypatch.setattr(kind, "torch", lambda self, x, *, torch: right(self, x, torch=torch) * (1 + 2.0**-10))
    with pytest.raises(Disagreement, match="output of padding"):
        check(kind, frameworks="torch", dtypes="float32", layouts=False, repeat=1)


def test_check_of_a_layer_takes_arrays():
    layer = Layer.named("dense")
    x, w, b = np.ones((1, 3)), np.eye(2, 3), np.zeros(2)
    for inputs in ({"x": x, "w": w, "b": b}, (x, w, b), lambda: (x, w, b)):
        report = check(layer, inputs=inputs, frameworks="torch", dtypes="float32")
        assert [r.shape for r in report.records if r.label == "gradient of w"] == [(2, 3)]


def test_mistakes_get_one_sentence():
    with pytest.raises(UsageError, match=r"lp_pool has no implementation in jax: define the method 'jax'"):
        check(Layer.named("lp_pool"), frameworks="jax")
    with pytest.raises(UsageError, match="frameworks='touch'"):
        check(Layer.named("dense"), frameworks="touch")
    with pytest.raises(ContractError, match="unknown layer 'densse'; did you mean 'dense'"):
        Layer.named("densse")


def test_arrays_that_do_not_fit_get_one_sentence():
    x, w, b = np.ones((1, 3)), np.eye(2, 3), np.zeros(2)
    wrong = {
        r"dense takes the arrays x, w, b; give these 3, not 2": (x, w),
        r"dense takes the arrays x, w, b; give these 3, not 4": (x, w, b, b),
        r"dense has no array 'y': known: b, w, x": {"y": x, "w": w, "b": b},
        r"dense: value cannot be evaluated with these arrays: ValueError": (x, np.eye(2), b),
        r"dense: w holds NaN or infinity": (x, w * np.nan, b),
        r"dense: no array has a derivative: x \(int64\)": tuple(z.astype(int) for z in (x, w, b)),
    }
    for message, inputs in wrong.items():
        with pytest.raises(UsageError, match=message):
            check(Layer.named("dense"), inputs=inputs, frameworks="torch")
    rnn = Layer.named("rnn")
    arrays = rnn.example(np.random.default_rng(0))
    report = check(rnn, inputs=tuple(arrays.values()), frameworks="torch", dtypes="float32", layouts=False, repeat=1)
    assert {r.name for r in report.records} >= set(arrays)


@pytest.mark.parametrize("option", ["--reference=numpy:sinh", "--wrt=0", "--modules"])
def test_options_that_a_layer_has_no_use_for_are_refused(option, capsys):
    words = ["check", "gradagree.reference.layers.linear:Dense", "--framework", "torch", option]
    assert code(words) == 2
    assert capsys.readouterr().err.startswith(f"gradagree: {option.partition('=')[0]} does not apply to a layer")


def run(*words, cwd):
    return subprocess.run([sys.executable, "-m", "gradagree", *words], cwd=cwd, capture_output=True, text=True)


def test_the_template_of_a_layer_passes_and_a_fault_in_it_fails(tmp_path):
    made = run("new", "layer", "my_layer", cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    command = ["check", "my_layer.py:MyLayer", "--framework", "torch", "--json"]
    passed = run(*command, cwd=tmp_path)
    assert passed.returncode == 0, passed.stdout + passed.stderr
    assert json.loads(passed.stdout)["verdict"] == "agree"
    file = tmp_path / "my_layer.py"
    file.write_text(file.read_text().replace("self.scale * (g.T @ x)", "1.0 * self.scale * (x.T @ g)"))
    failed = run(*command, cwd=tmp_path)
    assert failed.returncode == 2
    assert "vjp is not the derivative of value: that of w at" in failed.stderr
