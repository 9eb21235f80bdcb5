"""Small models in modules of flax (linen and nnx) and equinox: `python -m benchmarks.models --models jax`."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

WIDTH = 16
Built = tuple[Any, tuple[Any, ...]]


def linen_images(key: Any) -> Built:
    """Convolutions with batch norm in training, and pooling."""
    from flax import linen as nn

    class Images(nn.Module):
        @nn.compact
        def __call__(self, x: Any) -> Any:
            for width in (8, WIDTH):
                x = nn.Conv(width, (3, 3), use_bias=False)(x)
                x = nn.relu(nn.BatchNorm(use_running_average=False)(x))
                x = nn.max_pool(x, (2, 2), strides=(2, 2))
            return nn.Dense(5)(nn.avg_pool(x, (2, 2)).reshape(x.shape[0], -1))

    model = Images()
    x = jax.random.normal(key, (2, 8, 8, 3))
    variables = model.init(key, x)
    return model, (variables, x)


def without_statistics(model: Any) -> Callable[..., Any]:
    """A module of linen as a function of its variables; the new statistics of its batch norm are dropped."""

    def images(variables: Any, x: Any) -> Any:
        return model.apply(variables, x, mutable=["batch_stats"])[0]

    return images


def linen_decoder(key: Any) -> Built:
    """A language model with causal attention."""
    from flax import linen as nn

    class Block(nn.Module):
        @nn.compact
        def __call__(self, x: Any) -> Any:
            mask = nn.make_causal_mask(jnp.ones(x.shape[:2]))
            x = x + nn.MultiHeadDotProductAttention(4)(nn.LayerNorm()(x), mask=mask)
            return x + nn.Dense(WIDTH)(nn.gelu(nn.Dense(4 * WIDTH)(nn.LayerNorm()(x))))

    class Decoder(nn.Module):
        @nn.compact
        def __call__(self, tokens: Any) -> Any:
            embed = nn.Embed(50, WIDTH)
            x = embed(tokens)
            for _ in range(2):
                x = Block()(x)
            return embed.attend(nn.RMSNorm()(x))

    model, tokens = Decoder(), jax.random.randint(key, (2, 7), 0, 50)
    return model, (model.init(key, tokens), tokens)


def nnx_recurrent(key: Any) -> Built:
    """A dense layer, dropout, group norm and an LSTM over the sequence."""
    from flax import nnx

    class Recurrent(nnx.Module):
        def __init__(self, rngs: Any) -> None:
            self.first = nnx.Linear(6, WIDTH, rngs=rngs)
            self.drop = nnx.Dropout(0.2, rngs=rngs)
            self.norm = nnx.GroupNorm(WIDTH, 4, rngs=rngs)
            self.rnn = nnx.RNN(nnx.LSTMCell(WIDTH, 8, rngs=rngs))
            self.last = nnx.Linear(8, 3, rngs=rngs)

        def __call__(self, x: Any) -> Any:
            x = self.drop(nnx.swish(self.norm(self.first(x))))
            return nnx.log_softmax(self.last(self.rnn(x)[:, -1]))

    return Recurrent(nnx.Rngs(0)), (jax.random.normal(key, (3, 5, 6)),)


def nnx_vision(key: Any) -> Built:
    """A vision transformer: patches by a convolution, then attention."""
    from flax import nnx

    class Vision(nnx.Module):
        def __init__(self, rngs: Any) -> None:
            self.patches = nnx.Conv(3, WIDTH, (4, 4), strides=(4, 4), rngs=rngs)
            self.attention = nnx.MultiHeadAttention(4, WIDTH, decode=False, rngs=rngs)
            self.norm = nnx.LayerNorm(WIDTH, rngs=rngs)
            self.last = nnx.Linear(WIDTH, 5, rngs=rngs)

        def __call__(self, x: Any) -> Any:
            x = self.patches(x).reshape(x.shape[0], -1, WIDTH)
            x = x + self.attention(self.norm(x))
            return self.last(nnx.gelu(x).mean(axis=1))

    return Vision(nnx.Rngs(0)), (jax.random.normal(key, (2, 8, 8, 3)),)


def equinox_recurrent(key: Any) -> Built:
    """A GRU over a sequence by `jax.lax.scan`, for each example."""
    import equinox as eqx

    class Recurrent(eqx.Module):
        cell: Any
        head: Any

        def __init__(self, key: Any) -> None:
            one, two = jax.random.split(key)
            self.cell = eqx.nn.GRUCell(4, WIDTH, key=one)
            self.head = eqx.nn.MLP(WIDTH, 3, 8, 2, activation=jax.nn.silu, key=two)

        def __call__(self, xs: Any) -> Any:
            def one(x: Any) -> Any:
                start = jnp.zeros(WIDTH, x.dtype)
                return self.head(jax.lax.scan(lambda h, t: (self.cell(t, h), None), start, x)[0])

            return jax.vmap(one)(xs)

    return Recurrent(key), (jax.random.normal(key, (3, 5, 4)),)


def equinox_images(key: Any) -> Built:
    """Convolution, group norm, attention and pooling, for each example."""
    import equinox as eqx

    class Images(eqx.Module):
        convolution: Any
        norm: Any
        attention: Any
        pool: Any
        head: Any

        def __init__(self, key: Any) -> None:
            one, two, three = jax.random.split(key, 3)
            self.convolution = eqx.nn.Conv2d(3, WIDTH, 3, padding=1, key=one)
            self.norm = eqx.nn.GroupNorm(4, WIDTH)
            self.attention = eqx.nn.MultiheadAttention(4, WIDTH, key=two)
            self.pool = eqx.nn.AvgPool2d(2, 2)
            self.head = eqx.nn.Linear(WIDTH, 5, key=three)

        def __call__(self, xs: Any) -> Any:
            def one(x: Any) -> Any:
                x = self.pool(jax.nn.relu(self.norm(self.convolution(x))))
                tokens = x.reshape(WIDTH, -1).T
                return self.head((tokens + self.attention(tokens, tokens, tokens)).mean(axis=0))

            return jax.vmap(one)(xs)

    return Images(key), (jax.random.normal(key, (2, 3, 8, 8)),)


def alexnet(size: float, batch: int) -> tuple[Any, tuple[Any, Any]]:
    """(a function, its parameters and images): AlexNet's shape, with a share of its weights, channels last."""

    def wide(n: int) -> int:
        return max(8, int(n * size**0.5) // 8 * 8)

    kernels, widths = (11, 5, 3, 3, 3), [wide(n) for n in (64, 192, 384, 256, 256)]
    shapes = [(k, k, a, b) for k, a, b in zip(kernels, [3, *widths[:-1]], widths, strict=True)]
    hidden = wide(4096)
    shapes += [(36 * widths[-1], hidden), (hidden, hidden), (hidden, 1000)]
    keys = jax.random.split(jax.random.key(0), len(shapes) + 1)
    params = {}
    for k, shape in enumerate(shapes):
        w = jax.random.normal(keys[k], shape) / jnp.sqrt(1.0 * jnp.prod(jnp.array(shape[:-1])))
        params[f"{k}"] = {"w": w, "b": jnp.zeros(shape[-1])}

    def convolution(p: Any, x: Any, stride: int, padding: int) -> Any:
        around = [(padding, padding)] * 2
        y = jax.lax.conv_general_dilated(
            x, p["w"], (stride, stride), around, dimension_numbers=("NHWC", "HWIO", "NHWC")
        )
        return jax.nn.relu(y + p["b"])

    def pool(x: Any) -> Any:
        return jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, (1, 3, 3, 1), (1, 2, 2, 1), "VALID")

    def model(params: Any, x: Any) -> Any:
        x = pool(convolution(params["0"], x, 4, 2))
        x = pool(convolution(params["1"], x, 1, 2))
        for name in "234":
            x = convolution(params[name], x, 1, 1)
        x = pool(x).reshape(x.shape[0], -1)
        for name in "56":
            x = jax.nn.relu(x @ params[name]["w"] + params[name]["b"])
        return x @ params["7"]["w"] + params["7"]["b"]

    return model, (params, jax.random.normal(keys[-1], (batch, 224, 224, 3)))


def passes(model: Any, args: Any) -> float:
    """The processor time of the compiled forward and backward pass, the smallest of three."""
    y = jax.eval_shape(model, *args)
    run = jax.jit(lambda *args: jax.vjp(model, *args)[1](jnp.ones(y.shape, y.dtype)))
    jax.block_until_ready(run(*args))
    times = []
    for _ in range(3):
        started = time.process_time()
        jax.block_until_ready(run(*args))
        times.append(time.process_time() - started)
    return min(times)


MODELS: dict[str, Callable[[Any], Built]] = {
    "linen: convolutions": linen_images, "linen: decoder": linen_decoder, "nnx: recurrent": nnx_recurrent,
    "nnx: vision": nnx_vision, "equinox: recurrent": equinox_recurrent, "equinox: images": equinox_images,
}  # fmt: skip


def build(name: str, dtype: str, seed: int) -> tuple[Any, tuple[Any, ...], dict[str, Any]]:
    """(a model in a dtype, its arguments, no keyword arguments)."""

    def convert(x: Any) -> Any:
        return x.astype(dtype) if isinstance(x, jax.Array) and jnp.issubdtype(x.dtype, jnp.floating) else x

    model, args = jax.tree_util.tree_map(convert, MODELS[name](jax.random.key(seed)))
    return (without_statistics(model) if MODELS[name] is linen_images else model), args, {}
