"""Ports of modules: a right one passes; of a wrong one, the first module that differs is named, with the reason."""

from __future__ import annotations

import copy

import numpy as np
import pytest

from gradagree import assert_port
from gradagree.api import Disagreement
from gradagree.checker.verdict import Verdict
from gradagree.errors import UsageError
from gradagree.functions.ports import port_report

torch = pytest.importorskip("torch")
jax = pytest.importorskip("jax")
jnp = jax.numpy
nn = torch.nn


def params_of(module):
    return {name: x.detach().numpy() for name, x in [*module.named_parameters(), *module.named_buffers()]}


def seeded(module, seed=0):
    """The module, with parameters that differ from their defaults."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) / 2 + 0.25)
    return module


def normalised(x, w, b, eps):
    m = x.mean(-1, keepdims=True)
    return (x - m) / jnp.sqrt(((x - m) ** 2).mean(-1, keepdims=True) + eps) * w + b


BLOCK = seeded(nn.Sequential(nn.Linear(4, 6), nn.LayerNorm(6), nn.GELU(), nn.Linear(6, 6), nn.LeakyReLU()))


def block(params, x, eps=1e-5, exact=True, transposed=False, slope=0.01, bias=True):
    x = normalised(x @ params["0.weight"].T + params["0.bias"], params["1.weight"], params["1.bias"], eps)
    x = jax.nn.gelu(x, approximate=not exact)
    x = x @ (params["3.weight"] if transposed else params["3.weight"].T) + (params["3.bias"] if bias else 0)
    return jax.nn.leaky_relu(x, slope)


X = np.random.default_rng(1).standard_normal((3, 4)).astype(np.float32)


def test_a_right_port_agrees_on_values_and_all_gradients():
    report = assert_port(BLOCK, block, params=params_of(BLOCK), batch=X)
    assert report.verdict is Verdict.AGREE
    names = {record.name for record in report.records}
    assert {"torch: 0.weight", "jax: args[0]['0.weight']", "0.weight and args[0]['0.weight']"} <= names
    assert {record.framework for record in report.records} == {"torch", "jax", "torch, jax"}


@pytest.mark.parametrize(
    ("options", "module", "reason"),
    [
        ({"eps": 1e-6}, r"1 \(LayerNorm\(\(6,\), eps=1e-05", "eps=1e-06 in place of 1e-05"),
        ({"exact": False}, r"2 \(GELU\(", "approximate='tanh' in place of 'none'"),
        ({"transposed": True}, r"3 \(Linear\(", "the weight is transposed"),
        ({"bias": False}, r"3 \(Linear\(", "no bias"),
        ({"slope": 0.2}, r"4 \(LeakyReLU\(", "negative_slope=0.2 in place of 0.01"),
    ],
)
def test_the_first_module_that_differs_is_named_with_the_reason(options, module, reason):
    with pytest.raises(Disagreement, match=f"first module whose value differs is {module}.*; the port has {reason}"):
        assert_port(BLOCK, lambda params, x: block(params, x, **options), params=params_of(BLOCK), batch=X)


def test_a_constant_that_is_rounded_to_the_dtype_is_no_difference():
    rounded = float(np.float32(1e-5))
    report = assert_port(BLOCK, lambda p, x: block(p, x, eps=rounded), params=params_of(BLOCK), batch=X)
    assert report.verdict is Verdict.AGREE


def test_a_difference_far_below_the_dtype_is_found():
    module = seeded(nn.Sequential(nn.LayerNorm(4, eps=1e-12)))

    def port(params, x):
        return normalised(x, params["0.weight"], params["0.bias"], 1e-8)

    with pytest.raises(Disagreement, match="the port has eps=1e-08 in place of 1e-12"):
        assert_port(module, port, params=params_of(module), batch=X)


class Images(nn.Module):
    def __init__(self):
        super().__init__()
        self.convolution, self.head = nn.Conv2d(2, 3, 2), nn.Linear(12, 2)

    def forward(self, x):
        return self.head(torch.relu(self.convolution(x)).flatten(1))


def images(params, x, last=False):
    y = jax.lax.conv_general_dilated(x, params["convolution.weight"], (1, 1), "VALID")
    y = jax.nn.relu(y + params["convolution.bias"][:, None, None])
    y = (y.transpose(0, 2, 3, 1) if last else y).reshape(y.shape[0], -1)
    return y @ params["head.weight"].T + params["head.bias"]


def test_the_memory_layout_of_a_flattened_image_is_named():
    model = seeded(Images(), 2)
    x = np.random.default_rng(2).standard_normal((2, 2, 3, 3)).astype(np.float32)
    assert assert_port(model, images, params=params_of(model), batch=(x,)).verdict is Verdict.AGREE
    with pytest.raises(Disagreement, match=r"first module whose value differs is head .*\(rows, columns, channels\)"):
        assert_port(model, lambda params, x: images(params, x, True), params=params_of(model), batch=x)


def gru(params, x, order):
    def step(h, row):
        a, r = (row @ w.T + b for row, w, b in ((row, w_i, b_i), (h, w_h, b_h)))
        parts = [jnp.split(z, 3, axis=-1) for z in (a, r)]
        (ar, az, an), (rr, rz, rn) = ([one[k] for k in order] for one in parts)
        reset, update = jax.nn.sigmoid(ar + rr), jax.nn.sigmoid(az + rz)
        new = (1 - update) * jnp.tanh(an + reset * rn) + update * h
        return new, new

    w_i, w_h, b_i, b_h = (params[f"{name}_l0"] for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"))
    last, states = jax.lax.scan(step, jnp.zeros((x.shape[1], 3)), x)
    return states, last[None]


def test_the_order_of_gates_is_named():
    model = seeded(nn.GRU(2, 3), 3)
    x = np.random.default_rng(3).standard_normal((4, 2, 2)).astype(np.float32)
    good = assert_port(model, lambda p, x: gru(p, x, (0, 1, 2)), params=params_of(model), batch=x)
    assert good.verdict is Verdict.AGREE
    with pytest.raises(Disagreement, match="the gates are in the order z, r, n"):
        assert_port(model, lambda p, x: gru(p, x, (1, 0, 2)), params=params_of(model), batch=x)


def test_the_statistics_of_a_batch_norm_are_named():
    model = seeded(nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3)), 4)
    model[1].running_mean.fill_(0.5)

    def port(params, x):
        y = x @ params["0.weight"].T + params["0.bias"]
        y = (y - params["1.running_mean"]) / jnp.sqrt(params["1.running_var"] + 1e-5)
        return y * params["1.weight"] + params["1.bias"]

    assert assert_port(model.eval(), port, params=params_of(model), batch=X).verdict is Verdict.AGREE
    with pytest.raises(Disagreement, match="the port has running statistics in place of those of the batch"):
        assert_port(model.train(), port, params=params_of(model), batch=X)


def test_a_port_with_another_gradient_is_found_although_its_values_are_right():
    def stopped(params, x):
        held = {**params, "3.bias": jax.lax.stop_gradient(params["3.bias"])}
        return block(held, x)

    report = port_report(BLOCK, stopped, params_of(BLOCK), X)
    wrong = [record for record in report.records if record.verdict is Verdict.DISAGREE]
    assert [record.name for record in wrong] == ["3.bias and args[0]['3.bias']"]

    @jax.custom_vjp
    def doubled(x):
        return x

    doubled.defvjp(lambda x: (x, None), lambda _, g: (2 * g,))
    report = port_report(BLOCK, lambda params, x: doubled(block(params, x)), params_of(BLOCK), X)
    assert {r.name for r in report.failures} >= {"jax: args[0]['0.weight']"}


def test_modules_without_parameters_and_of_float64_are_ported():
    relu = assert_port(nn.ReLU(), lambda params, x: jax.nn.relu(x), params={}, batch=torch.tensor(X))
    assert {record.dtype for record in relu.records} == {"float32", "float64"}
    wide = copy.deepcopy(BLOCK).double()
    report = assert_port(wide, block, params=params_of(wide), batch=X)
    assert {record.dtype for record in report.records} == {"float64"}


def test_mistakes_get_one_sentence():
    params = params_of(BLOCK)
    with pytest.raises(Disagreement, match=r"the port returns the shape \(3,\), the module \(3, 6\)"):
        assert_port(BLOCK, lambda params, x: block(params, x)[:, 0], params=params, batch=X)
    with pytest.raises(Disagreement, match="the port returns 2 arrays, the module 1; return the same"):
        assert_port(BLOCK, lambda params, x: (block(params, x), x), params=params, batch=X)
    wrong = {
        "jax_fn is a int; give a function": (3, params, X),
        "batch holds a NoneType; give an array of numbers": (block, params, None),
        "the torch program cannot be called with these arguments": (block, params, X[:, :3]),
        "the jax program cannot be called with these arguments: KeyError: '1.bias'": (block, {}, X),
        r"args\[0\] holds NaN or infinity": (block, params, X * np.nan),
    }
    without = {name: x for name, x in params.items() if name != "1.bias"}
    for message, (function, given, batch) in wrong.items():
        with pytest.raises(UsageError, match=message):
            assert_port(BLOCK, function, params=given or without, batch=batch)
    with pytest.raises(UsageError, match="torch_module"):
        assert_port(torch.sinh, block, params=params, batch=X)
