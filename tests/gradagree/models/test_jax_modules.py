"""Models of JAX, operation by operation: correct ones are not accused, planted faults are found and named."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

jax = pytest.importorskip("jax")
eqx = pytest.importorskip("equinox")

import jax.numpy as jnp  # noqa: E402

from gradagree import check  # noqa: E402
from gradagree.adapters.jax_modules import container_of, module_of  # noqa: E402
from gradagree.errors import UsageError  # noqa: E402
from gradagree.functions.inputs import report_by_inputs  # noqa: E402
from gradagree.functions.records import Disagreement, Report  # noqa: E402

SEED = 3


def normal(*shape: int, dtype: Any = jnp.float32) -> Any:
    drawn = np.random.default_rng(SEED + sum(shape)).standard_normal(shape)
    return jnp.asarray(drawn, dtype)


PARAMS = {"first": {"w": normal(4, 8), "b": normal(8)}, "last": {"w": normal(8, 3)}}


NARROW = jax.tree_util.tree_map(lambda x: x.astype(jnp.bfloat16), PARAMS)


def network(params: Any, x: Any) -> Any:
    hidden = jax.nn.relu(x @ params["first"]["w"] + params["first"]["b"])
    return jax.nn.log_softmax(hidden @ params["last"]["w"])


def recurrent(params: Any, xs: Any) -> Any:
    """A recurrence by `jax.lax.scan`, whose state is a bounded while loop later on."""

    def step(h: Any, x: Any) -> Any:
        h = jnp.tanh(x @ params["w"] + h @ params["u"])
        return h, h * jax.lax.stop_gradient(h)

    h, ys = jax.lax.scan(step, jnp.zeros((2, 3)), xs)
    return jax.lax.fori_loop(0, 2, lambda _, z: z * 0.5 + 1.0, h), ys


def embedded(params: Any, tokens: Any) -> Any:
    """Rows of a table, which is the weight of the last layer as well, and dropout with a key."""
    x = jnp.take(params["table"], tokens, axis=0)
    kept = jax.random.bernoulli(jax.random.key(0), 0.8, x.shape)
    return jnp.where(kept, x / 0.8, 0.0) @ params["table"].T


def spectrum(weight: Any, x: Any) -> Any:
    """Complex weights, and the magnitudes and angles of what passes them."""
    z = jnp.fft.rfft(x) @ weight
    return jnp.abs(z) ** 2 + jnp.angle(z), (z * z.conj()).real


@jax.custom_vjp
def norm(x: Any, weight: Any) -> Any:
    """Root-mean-square norm."""
    return x * jax.lax.rsqrt(jnp.mean(x**2, -1, keepdims=True) + 1e-6) * weight


def norm_forward(x: Any, weight: Any) -> Any:
    scale = jax.lax.rsqrt(jnp.mean(x**2, -1, keepdims=True) + 1e-6)
    return x * scale * weight, (x, weight, scale)


def norm_backward(kept: Any, g: Any) -> Any:
    x, weight, scale = kept
    by_weight = (g * x * scale).sum(0)
    g = g * weight
    return scale * g - scale**3 * x * (g * x).mean(-1, keepdims=True), by_weight


norm.defvjp(norm_forward, norm_backward)


@jax.custom_vjp
def wrong_norm(x: Any, weight: Any) -> Any:
    return norm(x, weight)


def wrong_norm_backward(kept: Any, g: Any) -> Any:
    x, weight, scale = kept
    by_weight = (g * x * scale).sum(0)
    g = g * weight
    return scale * g - scale**3 * x * (g * x).sum(-1, keepdims=True), by_weight  # the mean belongs here


wrong_norm.defvjp(norm_forward, wrong_norm_backward)


@jax.custom_jvp
def square(x: Any) -> Any:
    return x * x


@square.defjvp
def square_jvp(primals: Any, tangents: Any) -> Any:
    return square(*primals), 2 * primals[0] * tangents[0]


@jax.custom_jvp
def wrong_square(x: Any) -> Any:
    return x * x


@wrong_square.defjvp
def wrong_square_jvp(primals: Any, tangents: Any) -> Any:
    return wrong_square(*primals), primals[0] * tangents[0]


class Norm(eqx.Module):
    """A norm as a module with a weight."""

    weight: Any
    function: Any = eqx.field(static=True)

    def __call__(self, x: Any) -> Any:
        return jax.vmap(self.function, in_axes=(0, None))(x[:, None], self.weight)[:, 0]


class Stack(eqx.Module):
    """Two blocks of modules in a list."""

    blocks: list[Any]
    head: Any

    def __init__(self, function: Any, depth: int = 2) -> None:
        keys = jax.random.split(jax.random.key(SEED), depth + 1)
        self.blocks = [[eqx.nn.Linear(6, 6, key=key), Norm(jnp.ones(6), function)] for key in keys[1:]]
        self.head = eqx.nn.Linear(6, 2, key=keys[0])

    def __call__(self, x: Any) -> Any:
        for linear, normalise in self.blocks:
            x = normalise(jax.vmap(linear)(x))
        return jax.vmap(self.head)(x)


def modules_of(model: Any, inputs: Any, **options: Any) -> Report:
    return report_by_inputs(model, None, inputs, modules=True, layouts=False, repeat=1, **options)


MODELS = {
    "network": (network, (PARAMS, normal(5, 4))),
    "recurrent": (recurrent, ({"w": normal(4, 3), "u": normal(3, 3)}, normal(3, 2, 4))),
    "embedded": (embedded, ({"table": normal(9, 4)}, jnp.asarray([[1, 3, 1], [0, 8, 2]]))),
    "custom rules": (lambda x, w: square(norm(x, w)), (normal(4, 6), normal(6))),
    "complex": (spectrum, (normal(4, 3) + 1j * normal(4, 3)[::-1], normal(5, 6))),
    "equinox": (Stack(norm), (normal(4, 6),)),
    "equinox in an argument": (lambda net, x: net(x), (Stack(norm), normal(4, 6))),
    "bfloat16": (network, (NARROW, normal(5, 4, dtype=jnp.bfloat16))),
}  # fmt: skip


@pytest.mark.parametrize("name", MODELS)
def test_that_a_correct_model_is_not_accused_and_nothing_is_left_out(name: str) -> None:
    report = modules_of(*MODELS[name])
    assert not report.failures
    assert [one.unchecked for one in report.modules if one.unchecked] == []
    assert any(one.entries for one in report.modules)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("network", {"args.0.first", "args.0.last", ""}),
        ("equinox", {"blocks.0.0", "blocks.0.1", "blocks.1.0", "blocks.1.1", "head"}),
        ("equinox in an argument", {f"args.0.{one}" for one in ("blocks.0.0", "blocks.0.1", "blocks.1.0", "head")}),
    ],
)
def test_that_modules_have_the_names_of_their_parameters(name: str, expected: set[str]) -> None:
    assert expected <= {one.name for one in modules_of(*MODELS[name]).modules}


@pytest.mark.parametrize("depth", [1, 4])
def test_that_a_fault_in_one_module_is_named_with_rule_and_argument(depth: int) -> None:
    model = Stack(norm, depth)
    model = eqx.tree_at(lambda m: m.blocks[-1][1], model, Norm(jnp.ones(6), wrong_norm))
    report = modules_of(model, (normal(4, 6),))
    assert [one.name for one in report.modules if one.verdict.fails] == [f"blocks.{depth - 1}.1"]
    (fault,) = next(one.faults for one in report.modules if one.verdict.fails)
    assert fault.startswith(f"blocks.{depth - 1}.1: wrong_norm_backward (")
    assert fault.endswith("returns a wrong gradient of x")


def test_that_a_wrong_jvp_rule_is_found() -> None:
    with pytest.raises(Disagreement, match=r"wrong_square_jvp \(.*returns a wrong gradient of x"):
        check(lambda x: wrong_square(x) * 2, inputs=(normal(5),), modules=True)


def test_that_the_tolerance_does_not_grow_with_the_depth() -> None:
    sharpness = [max(one.sharpness for one in modules_of(Stack(norm, depth), (normal(4, 6),)).modules)
                 for depth in (1, 6)]  # fmt: skip
    assert sharpness[1] < 4 * sharpness[0]


def test_that_a_function_that_reads_its_numbers_is_refused_in_one_sentence() -> None:
    with pytest.raises(UsageError, match="cannot be traced") as caught:
        modules_of(lambda x: x * 2 if x.sum() > 0 else x, (normal(3),))
    assert "\n" not in str(caught.value)


def test_the_names_of_modules_in_scopes() -> None:
    assert module_of("vmap(Network)/Dense_0", "Network") == "Dense_0"
    assert module_of("vmap(gradagree.module:layers.0)/eqx.nn.Linear", "") == "layers.0"
    assert module_of("", "Network") is None
    assert container_of("args[0]['params']['Dense_0']['kernel']") == "args.0.params.Dense_0"
    assert container_of("args[0]") == ""
