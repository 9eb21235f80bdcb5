"""Attention and embeddings."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from gradagree.adapters.aten.elementwise import softmax
from gradagree.adapters.aten.table import aten
from gradagree.errors import UsageError


@aten("_safe_softmax")
def safe_softmax(x: Any, dim: int, *_: Any, **__: Any) -> Any:
    """The softmax, and 0 where every entry is -inf."""
    empty = np.max(x, axis=dim, keepdims=True) == -np.inf
    return np.where(empty, 0.0, softmax(np.where(empty, 0.0, x), dim))


@aten("_scaled_dot_product_flash_attention_for_cpu")
def flash_attention(
    q: Any, k: Any, v: Any, dropout: float = 0.0, is_causal: bool = False, *, attn_mask: Any = None,
    scale: float | None = None,
) -> Any:  # fmt: skip
    """(softmax(scale q k^T + mask) v, the logarithm of the sums of the softmax)."""
    if dropout:
        raise UsageError("attention with dropout is random; call it with dropout_p=0, or in evaluation mode")
    k, v = for_each_query(q, k), for_each_query(q, v)
    scores = scaled_scores(q, k, scale, attn_mask, is_causal)
    largest = np.max(scores, axis=-1, keepdims=True)
    shifted = np.exp(scores - np.where(largest == -np.inf, 0.0, largest))
    total = np.sum(shifted, axis=-1, keepdims=True)
    shares = shifted / np.where(total == 0, 1.0, total)
    return shares @ v, (largest + np.log(total))[..., 0]


def for_each_query(q: Any, x: Any) -> Any:
    """Keys or values with the heads of the queries, groups of which share one."""
    heads, own = np.shape(q)[-3], np.shape(x)[-3]
    return x if own == heads else np.repeat(x, heads // own, axis=-3)


def scaled_scores(q: Any, k: Any, scale: float | None, mask: Any, is_causal: bool) -> Any:
    scores = (q @ np.swapaxes(k, -1, -2)) * (1 / math.sqrt(np.shape(q)[-1]) if scale is None else scale)
    if is_causal:
        scores = np.where(np.tri(*np.shape(scores)[-2:]) > 0, scores, -np.inf)
    if mask is None:
        return scores
    return np.where(mask, scores, -np.inf) if getattr(mask, "dtype", None) == np.bool_ else scores + mask


@aten("_scaled_dot_product_attention_math")
def attention_math(
    q: Any, k: Any, v: Any, attn_mask: Any = None, dropout_p: float = 0.0, is_causal: bool = False,
    dropout_mask: Any = None, *, scale: float | None = None, enable_gqa: bool = False,
) -> Any:  # fmt: skip
    """(softmax(scale q k^T + mask) v, the softmax)."""
    if dropout_p:
        raise UsageError("attention with dropout is random; call it with dropout_p=0, or in evaluation mode")
    if enable_gqa:
        k, v = for_each_query(q, k), for_each_query(q, v)
    shares = safe_softmax(scaled_scores(q, k, scale, attn_mask, is_causal), -1)
    return shares @ v, shares


@aten("_embedding_bag", "_embedding_bag_forward_only")
def embedding_bag(
    weight: Any, indices: Any, offsets: Any, scale_grad_by_freq: bool = False, mode: int = 0, sparse: bool = False,
    per_sample_weights: Any = None, include_last_offset: bool = False, padding_idx: int = -1,
) -> Any:  # fmt: skip
    """(sum, mean or maximum of the rows of each bag; three arrays that only the backward pass uses)."""
    indices, offsets = np.asarray(indices), np.asarray(offsets)
    ends = offsets[1:] if include_last_offset else np.append(offsets[1:], len(indices))
    bags = []
    for start, end in zip(offsets, ends, strict=False):
        own = np.arange(start, end)
        own = own[indices[own] != padding_idx] if padding_idx >= 0 else own
        if not own.size:
            bags.append(np.zeros(np.shape(weight)[1]))
            continue
        rows = weight[indices[own]]
        if per_sample_weights is not None:
            rows = rows * np.expand_dims(per_sample_weights[own], -1)
        bags.append((np.sum, np.mean, np.max)[mode](rows, axis=0))
    return np.stack(bags), np.zeros(0), np.zeros(0), np.zeros(0)
