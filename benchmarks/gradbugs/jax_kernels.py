"""Bugs of JAX in attention, normalised exponentials, losses and wrapped kernels."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.gradbugs.bug import Bug
from benchmarks.gradbugs.kernels import gradients_in_wide, in_wide, jax_vjp, wide


def kernel(forward: Any, backward: Any) -> Any:
    return jax_vjp(in_wide(forward), gradients_in_wide(backward))


def attention(q: Any, k: Any, v: Any, bias: Any) -> Any:
    """Attention of a batch, with a bias that all entries of the batch share."""
    return jax.nn.softmax(q @ k.swapaxes(-1, -2) * q.shape[-1] ** -0.5 + bias) @ v


def attention_backward(of_bias: Any) -> Any:
    """The gradients; of_bias gives that of the bias from those of the scores."""

    def backward(g: Any, q: Any, k: Any, v: Any, bias: Any) -> Any:
        scale = q.shape[-1] ** -0.5
        p = jax.nn.softmax(q @ k.swapaxes(-1, -2) * scale + bias)
        dp = g @ v.swapaxes(-1, -2)
        ds = p * (dp - jnp.sum(p * dp, -1, keepdims=True))
        return ds @ k * scale, ds.swapaxes(-1, -2) @ q * scale, p.swapaxes(-1, -2) @ g, of_bias(ds)

    return backward


def queries(rng: np.random.Generator) -> list[Any]:
    return [*[rng.normal(size=(3, 5, 4)) for _ in range(3)], rng.normal(size=(5, 5))]


def weighted_logsumexp(a: Any, b: Any) -> Any:
    """log(sum b exp a) of each row."""
    top = jnp.max(a, -1, keepdims=True)
    return jnp.log(jnp.sum(b * jnp.exp(a - top), -1)) + top[..., 0]


def weighted_logsumexp_backward(of_zeros: bool) -> Any:
    """The gradients; by mistake a weight of 0 is taken for one that does not exist."""

    def backward(g: Any, a: Any, b: Any) -> Any:
        share = jnp.exp(a - weighted_logsumexp(a, b)[..., None]) * g[..., None]
        return share * b, share if of_zeros else jnp.where(b == 0, 0, share)

    return backward


def weights_with_zeros(rng: np.random.Generator) -> list[Any]:
    b = rng.uniform(0.5, 2, (3, 5))
    b[0, 1] = b[1, 4] = b[2, 2] = 0
    return [rng.normal(size=(3, 5)), b]


def masked_softmax(x: Any, mask: Any) -> Any:
    """The softmax of the entries with a true mask; 0 elsewhere."""
    top = jnp.max(jnp.where(mask, x, -jnp.inf), -1, keepdims=True)
    e = jnp.where(mask, jnp.exp(jnp.where(mask, x - top, 0)), 0)
    return e / jnp.sum(e, -1, keepdims=True)


def masked_softmax_backward(safe: bool) -> Any:
    """The gradient; by mistake through the exponentials of entries that are masked, which overflow."""

    def backward(g: Any, x: Any, mask: Any) -> Any:
        top = jnp.max(jnp.where(mask, x, -jnp.inf), -1, keepdims=True)
        inside = jnp.where(mask, x - top, 0) if safe else x - top
        p = masked_softmax(x, mask)
        total = jnp.sum(jnp.where(mask, jnp.exp(inside), 0), -1, keepdims=True)
        by_exponential = jnp.where(mask, (g - jnp.sum(p * g, -1, keepdims=True)) / total, 0)
        return (by_exponential * jnp.exp(inside)).astype(x.dtype), None

    return backward


def scores_with_large_masked_ones(rng: np.random.Generator) -> list[Any]:
    mask = rng.permuted(np.arange(12).reshape(3, 4) % 4 < 2, axis=1)
    return [np.where(mask, rng.normal(size=(3, 4)), 1000.0), mask]


def focal_loss(logits: Any, labels: Any) -> Any:
    """The sigmoid cross-entropy times (1 - p)^gamma with gamma = 0, which is 1."""
    return jax.nn.softplus(logits) - logits * labels


def focal_loss_backward(guarded: bool) -> Any:
    """The gradient; by mistake with gamma (1 - p)^(gamma - 1), which is 0 times infinity where p is 1."""

    def backward(g: Any, logits: Any, labels: Any) -> Any:
        p = jax.nn.sigmoid(logits)
        right = labels * p + (1 - labels) * (1 - p)
        factor = 0.0 if guarded else 0.0 * (1 - right) ** -1.0
        d = p - labels + factor * focal_loss(logits, labels) * p * (1 - p)
        return g * d, -g * logits

    return backward


def smoothed(x: Any) -> Any:
    """The mean of x + sigma z for z = 1 and z = -1, which is x, and its square."""
    sigma = 0.25
    return jnp.mean(jnp.stack([x + sigma, x - sigma]), 0)


def smoothed_backward(divided: bool) -> Any:
    """The estimate of the gradient by the mean of f(x + sigma z) z / sigma; by mistake not divided by sigma."""

    def backward(g: Any, x: Any) -> Any:
        sigma = 0.25
        estimate = jnp.mean(jnp.stack([(x + sigma), -(x - sigma)]), 0)
        return (g * (estimate / sigma if divided else estimate),)

    return backward


def scaled_by_batch(a: Any, scale: Any) -> Any:
    """a times scale, for each entry of the outermost axis, which a kernel runs over in a loop."""
    return a * scale


def scaled_by_batch_backward(launches: int) -> Any:
    """The gradients of a kernel that is launched for each entry of the outermost axis, though it loops over them."""

    def backward(g: Any, a: Any, scale: Any) -> Any:
        return launches * g * scale, launches * jnp.sum(g * a, 0)

    return backward


def largest(x: Any) -> Any:
    return jnp.max(x, 0)


def largest_backward(count: Any) -> Any:
    """The cotangent shared by the largest entries, whose number count gives."""

    def backward(g: Any, x: Any) -> Any:
        at = x == jnp.max(x, 0)
        return ((at * (wide(g) / wide(count(at, x.dtype)))).astype(x.dtype),)

    return backward


def counted_in_dtype(at: Any, dtype: Any) -> Any:
    """The number of true entries, added one after the other in a dtype."""
    return jax.lax.fori_loop(0, len(at), lambda k, n: n + at[k].astype(dtype), jnp.zeros(at.shape[1:], dtype))


BUGS = (
    Bug(
        "the bias of an attention has no gradient", "https://github.com/jax-ml/jax/issues/27184",
        "the gradient of bias in jax.nn.dot_product_attention", "jax", "attention", "None instead of a gradient",
        "entries-missing", kernel(attention, attention_backward(lambda ds: jnp.zeros(ds.shape[1:]))),
        kernel(attention, attention_backward(lambda ds: ds.sum(0))), queries, ("args[3]",), attention,
    ),
    Bug(
        "the gradient of a shared bias is that of one device", "https://github.com/jax-ml/jax/pull/22404",
        "[cuDNN SDPA] fix bias sharding check and dbias calculation", "jax", "attention", "broadcasting", "wrong-axis",
        kernel(attention, attention_backward(lambda ds: ds[0])),
        kernel(attention, attention_backward(lambda ds: ds.sum(0))), queries, ("args[3]",), attention,
    ),
    Bug(
        "weights of zero have no gradient", "https://github.com/jax-ml/jax/issues/22398",
        "Incorrect Jacobian of `jax.scipy.special.logsumexp` when `b` contains a `0`", "jax", "softmax", "zero",
        "entries-missing", kernel(weighted_logsumexp, weighted_logsumexp_backward(False)),
        kernel(weighted_logsumexp, weighted_logsumexp_backward(True)), weights_with_zeros, ("args[1]",),
        weighted_logsumexp,
    ),
    Bug(
        "masked scores overflow in the backward pass", "https://github.com/jax-ml/jax/issues/17117",
        "`where` related gradient bug in jax.nn.softmax and jax.nn.log_softmax (unprotected use of jnp.exp?)", "jax",
        "softmax", "masks", "nonfinite", jax_vjp(in_wide(masked_softmax), masked_softmax_backward(False)),
        jax_vjp(in_wide(masked_softmax), masked_softmax_backward(True)), scores_with_large_masked_ones, ("args[0]",),
        masked_softmax,
    ),
    Bug(
        "a focal loss without focus has no gradient at certain predictions",
        "https://github.com/google-deepmind/optax/issues/1267", "NaNs with optax.losses.sigmoid_focal_loss", "jax",
        "cross-entropy", "certain predictions", "nonfinite", kernel(focal_loss, focal_loss_backward(False)),
        kernel(focal_loss, focal_loss_backward(True)),
        lambda rng: [np.array([0.5, -1.0, 50.0, 2.0, -60.0]), np.array([0.0, 1.0, 1.0, 1.0, 0.0])], ("args[0]",),
        focal_loss,
    ),
    Bug(
        "a gradient by perturbations is not divided by their size",
        "https://github.com/google-deepmind/optax/issues/1308",
        "perturbations.make_perturbed_fun has incorrectly scaled gradients", "jax", "estimator", "", "scale",
        kernel(smoothed, smoothed_backward(False)), kernel(smoothed, smoothed_backward(True)),
        lambda rng: [rng.integers(-16, 17, 9) / 16], ("args[0]",), lambda x: x * 1.0,
    ),
    Bug(
        "a wrapped kernel adds its gradients once for each entry of the batch",
        "https://github.com/NVIDIA/warp/issues/1380",
        "[jax_experimental] Incorrect gradients in `jax_kernel(..., enable_backward=True)`: `launch_dims` "
        "auto-inference uses full array shape and the explicit workaround is blocked", "jax", "wrapped kernel",
        "loop in the kernel", "scale", kernel(scaled_by_batch, scaled_by_batch_backward(6)),
        kernel(scaled_by_batch, scaled_by_batch_backward(1)),
        lambda rng: [rng.normal(size=(6, 4)), rng.normal(size=4)], ("args[0]", "args[1]"), lambda a, s: a * s,
    ),
    Bug(
        "equal largest entries are counted in 16 bits", "https://github.com/jax-ml/jax/pull/38902",
        "Fix jnp.max VJP precision error on float16/bfloat16 reductions", "jax", "ties", "16-bit accumulation",
        "ties", jax_vjp(largest, largest_backward(counted_in_dtype)),
        jax_vjp(largest, largest_backward(lambda at, _: jnp.sum(at, 0, dtype="float32"))),
        lambda rng: [np.ones((700, 2))], ("args[0]",), largest, ("bfloat16",),
    ),
)  # fmt: skip
