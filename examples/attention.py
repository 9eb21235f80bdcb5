"""Causal attention of JAX with a backward pass of its own, checked against a plain function in NumPy.

    gradagree check examples/attention.py:attention --inputs examples/attention.py:inputs \
        --reference examples/attention.py:plain_attention --dtypes float32,bfloat16

Keys and values are in a dict, and the lengths of the sequences are integers, which have no gradient.
In a test, one line checks it:

    assert_grads(attention, inputs(), reference=plain_attention)
"""

import math

import jax
import jax.numpy as jnp
import numpy as np


def probabilities(queries, keys, lengths):
    scores = queries @ keys.swapaxes(-1, -2) / math.sqrt(queries.shape[-1])
    places = jnp.arange(keys.shape[-2])
    mask = (places <= places[:, None]) & (places < lengths[:, None, None])
    return jax.nn.softmax(jnp.where(mask, scores, -jnp.inf), axis=-1)


@jax.custom_vjp
def attention(queries, memory, lengths):
    return probabilities(queries, memory["keys"], lengths) @ memory["values"]


def forward(queries, memory, lengths):
    return attention(queries, memory, lengths), (queries, memory, lengths)


def backward(saved, g):
    queries, memory, lengths = saved
    p = probabilities(queries, memory["keys"], lengths)
    by_p = g @ memory["values"].swapaxes(-1, -2)
    by_scores = p * (by_p - (by_p * p).sum(-1, keepdims=True)) / math.sqrt(queries.shape[-1])
    by_memory = {"keys": by_scores.swapaxes(-1, -2) @ queries, "values": p.swapaxes(-1, -2) @ g}
    return by_scores @ memory["keys"], by_memory, None


attention.defvjp(forward, backward)


def plain_attention(queries, memory, lengths):
    scores = queries @ np.swapaxes(memory["keys"], -1, -2) / np.sqrt(queries.shape[-1])
    places = np.arange(memory["keys"].shape[-2])
    mask = (places <= places[:, None]) & (places < lengths[:, None, None])
    weights = np.where(mask, np.exp(scores), 0.0)
    return weights / weights.sum(-1, keepdims=True) @ memory["values"]


def inputs():
    rng = np.random.default_rng(0)
    queries, keys, values = (jnp.asarray(rng.standard_normal((2, 6, 8)), "float32") for _ in range(3))
    return queries, {"keys": keys, "values": values}, jnp.asarray([6, 4])
