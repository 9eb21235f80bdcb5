"""The NumPy forms of PyTorch's layers and losses: PyTorch's gradients agree with them, and a wrong form does not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
functional = torch.nn.functional

from gradagree.adapters.aten import ATEN  # noqa: E402
from gradagree.adapters.function_adapters import adapter_of  # noqa: E402
from gradagree.checker.verdict import Verdict  # noqa: E402
from gradagree.functions.assertions import assert_grads  # noqa: E402
from gradagree.functions.models import check_model  # noqa: E402

DTYPES = (torch.float64, torch.float32, torch.bfloat16)
SEED = 5


def tensor(*shape: int, dtype: Any = torch.float64) -> Any:
    """Standard normal numbers."""
    drawn = np.random.default_rng(SEED + len(shape)).standard_normal(shape)
    return torch.as_tensor(drawn).to(dtype)


def positive(*shape: int) -> Any:
    return tensor(*shape).abs() + 0.25


INTEGERS = torch.tensor([0, 2, 1, 2])
OFFSETS = torch.tensor([2, 2, 8], dtype=torch.int32)
Sample = tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]
SAMPLES: dict[str, Sample] = {
    "conv1d": (functional.conv1d, (tensor(2, 4, 7), tensor(6, 2, 3), tensor(6)), {"groups": 2, "padding": 1}),
    "conv2d": (functional.conv2d, (tensor(1, 2, 6, 5), tensor(3, 2, 3, 2)), {"stride": 2, "dilation": (1, 2)}),
    "conv3d": (functional.conv3d, (tensor(1, 1, 3, 4, 3), tensor(2, 1, 2, 2, 2)), {"padding": (0, 1, 0)}),
    "conv_transpose1d": (functional.conv_transpose1d, (tensor(2, 4, 5), tensor(4, 3, 3)), {"stride": 2, "groups": 2}),
    "conv_transpose2d": (
        functional.conv_transpose2d, (tensor(1, 2, 3, 4), tensor(2, 2, 3, 3), tensor(2)),
        {"stride": 2, "padding": 1, "output_padding": 1},
    ),
    "unfold": (functional.unfold, (tensor(2, 3, 5, 4), (2, 3)), {"padding": 1}),
    "fold": (functional.fold, (tensor(2, 12, 6), (3, 4), (2, 2)), {}),
    "avg_pool2d": (functional.avg_pool2d, (tensor(1, 2, 5, 6), 3), {"stride": 2, "padding": 1, "ceil_mode": True}),
    "avg_pool1d without padding": (
        functional.avg_pool1d, (tensor(1, 2, 7), 3), {"padding": 1, "count_include_pad": False},
    ),
    "max_pool2d": (functional.max_pool2d, (tensor(1, 2, 6, 5), 3), {"stride": 2, "padding": 1}),
    "max_pool3d": (functional.max_pool3d, (tensor(1, 1, 4, 4, 4), 2), {"dilation": 2}),
    "adaptive_avg_pool2d": (functional.adaptive_avg_pool2d, (tensor(1, 2, 7, 5), (3, 2)), {}),
    "adaptive_max_pool2d": (functional.adaptive_max_pool2d, (tensor(1, 2, 7, 5), (3, 2)), {}),
    "lp_pool2d": (functional.lp_pool2d, (tensor(1, 2, 4, 4), 2.0, 2), {}),
    "batch_norm": (
        functional.batch_norm, (tensor(4, 3, 2), torch.zeros(3), torch.ones(3)),
        {"weight": tensor(3), "bias": positive(3), "training": True},
    ),
    "group_norm": (functional.group_norm, (tensor(2, 6, 4), 3, tensor(6), positive(6)), {}),
    "instance_norm": (functional.instance_norm, (tensor(2, 3, 5),), {}),
    "layer_norm": (functional.layer_norm, (tensor(3, 8), (8,), tensor(8), positive(8)), {}),
    "rms_norm": (functional.rms_norm, (tensor(3, 8), (8,), tensor(8)), {"eps": 1e-5}),
    "local_response_norm": (functional.local_response_norm, (tensor(2, 5, 3), 3), {}),
    "attention": (functional.scaled_dot_product_attention, (tensor(1, 2, 4, 3),) * 3, {"is_causal": True}),
    "attention with mask": (
        functional.scaled_dot_product_attention,
        (tensor(1, 2, 4, 3), tensor(1, 2, 5, 3), tensor(1, 2, 5, 3)),
        {"attn_mask": torch.ones(4, 5).tril().bool(), "scale": 0.5},
    ),
    "attention with grouped queries": (
        functional.scaled_dot_product_attention, (tensor(1, 4, 5, 3), tensor(1, 2, 5, 3), tensor(1, 2, 5, 3)),
        {"is_causal": True, "enable_gqa": True},
    ),
    "grouped_mm of rows": (torch._grouped_mm, (tensor(8, 16), tensor(3, 16, 8), OFFSETS), {}),
    "grouped_mm of terms": (torch._grouped_mm, (tensor(16, 8), tensor(8, 8), OFFSETS), {}),
    "grouped_mm of columns": (torch._grouped_mm, (tensor(3, 8, 16), tensor(16, 8), OFFSETS), {}),
    "embedding": (functional.embedding, (INTEGERS, tensor(4, 3)), {}),
    "embedding_bag": (functional.embedding_bag, (INTEGERS, tensor(4, 3), torch.tensor([0, 3])), {"mode": "mean"}),
    "interpolate linear": (functional.interpolate, (tensor(1, 2, 5),), {"size": 8, "mode": "linear"}),
    "interpolate nearest": (functional.interpolate, (tensor(1, 2, 5, 3),), {"scale_factor": 1.5}),
    "interpolate bilinear": (
        functional.interpolate, (tensor(1, 2, 3, 4),), {"size": (5, 7), "mode": "bilinear", "align_corners": True},
    ),
    "interpolate bicubic": (functional.interpolate, (tensor(1, 1, 3, 4),), {"size": (5, 3), "mode": "bicubic"}),
    "grid_sample": (
        functional.grid_sample, (tensor(1, 2, 4, 5), torch.tanh(tensor(1, 3, 3, 2))), {"align_corners": False},
    ),
    "grid_sample reflected": (
        functional.grid_sample, (tensor(1, 2, 4, 5), 1.5 * tensor(1, 3, 3, 2)),
        {"padding_mode": "reflection", "align_corners": True},
    ),
    "pixel_shuffle": (functional.pixel_shuffle, (tensor(1, 8, 2, 3), 2), {}),
    "pad reflect": (functional.pad, (tensor(1, 2, 4, 5), (1, 2, 3, 0)), {"mode": "reflect"}),
    "pad replicate": (functional.pad, (tensor(1, 2, 4), (2, 1)), {"mode": "replicate"}),
    "pad circular": (functional.pad, (tensor(1, 2, 4), (2, 1)), {"mode": "circular"}),
    "logsigmoid": (functional.logsigmoid, (tensor(3, 6),), {}),
    "glu": (functional.glu, (tensor(3, 6),), {}),
    "bilinear": (functional.bilinear, (tensor(3, 2), tensor(3, 4), tensor(5, 2, 4), tensor(5)), {}),
    "cross_entropy": (
        functional.cross_entropy, (tensor(4, 3), INTEGERS), {"weight": positive(3), "label_smoothing": 0.1},
    ),
    "nll_loss in two dimensions": (functional.nll_loss, (tensor(2, 3, 2), torch.tensor([[0, 1], [2, 2]])), {}),
    "binary_cross_entropy": (
        functional.binary_cross_entropy, (torch.sigmoid(tensor(5)), torch.sigmoid(positive(5))), {},
    ),
    "binary_cross_entropy_with_logits": (
        functional.binary_cross_entropy_with_logits, (tensor(5), torch.sigmoid(positive(5))),
        {"pos_weight": positive(5)},
    ),
    "kl_div": (functional.kl_div, (tensor(4, 3), positive(4, 3)), {"reduction": "batchmean"}),
    "huber_loss": (functional.huber_loss, (tensor(6), positive(6)), {"delta": 0.5}),
    "smooth_l1_loss": (functional.smooth_l1_loss, (tensor(6), positive(6)), {}),
    "soft_margin_loss": (functional.soft_margin_loss, (tensor(6), torch.sign(tensor(6))), {}),
    "multi_margin_loss": (functional.multi_margin_loss, (tensor(4, 3), INTEGERS), {"p": 2}),
    "multilabel_margin_loss": (
        functional.multilabel_margin_loss, (tensor(2, 4), torch.tensor([[1, 3, -1, 0], [2, -1, 0, 1]])), {},
    ),
    "triplet_margin_loss": (functional.triplet_margin_loss, (tensor(3, 4), positive(3, 4), tensor(1, 3, 4)[0]), {}),
    "cosine_embedding_loss": (
        functional.cosine_embedding_loss, (tensor(4, 3), positive(4, 3), torch.tensor([1, -1, 1, -1])), {},
    ),
    "poisson_nll_loss": (functional.poisson_nll_loss, (tensor(5), positive(5)), {}),
    "linear_cross_entropy": (
        functional.linear_cross_entropy, (tensor(4, 3), tensor(5, 3), torch.tensor([1, 0, 4, 2])),
        {"linear_bias": tensor(5), "reduction": "sum"},
    ),
    "antialiased linear interpolation": (
        functional.interpolate, (tensor(1, 2, 7, 5),),
        {"size": (3, 8), "mode": "bilinear", "antialias": True},
    ),
    "antialiased cubic interpolation": (
        functional.interpolate, (tensor(1, 2, 7, 5),),
        {"size": (4, 3), "mode": "bicubic", "antialias": True},
    ),
    "antialiased interpolation of corners": (
        functional.interpolate, (tensor(1, 2, 7, 5),),
        {"size": (3, 8), "mode": "bilinear", "antialias": True, "align_corners": True},
    ),
    "pdist": (functional.pdist, (tensor(4, 3),), {}),
    "lstm cell": (torch.lstm_cell, (tensor(2, 3), [positive(2, 4), tensor(2, 4)], tensor(16, 3), tensor(16, 4)), {}),
    "gru cell": (torch.gru_cell, (tensor(2, 3), tensor(2, 4), tensor(12, 3), tensor(12, 4)), {}),
}  # fmt: skip


def cast(x: Any, dtype: Any) -> Any:
    if isinstance(x, list):
        return [cast(y, dtype) for y in x]
    return x.to(dtype) if isinstance(x, torch.Tensor) and x.dtype.is_floating_point else x


FIRST_ARGUMENT_ONLY = ("batch_norm", "cross_entropy", "binary_cross_entropy_with_logits", "soft_margin_loss")
"""PyTorch has no derivative with respect to some of the other arguments."""
NARROW_SUMS = ("layer_norm",)
"""PyTorch adds the bfloat16 gradients of the weights in bfloat16, which is a finding."""
ONE_LAYOUT = "grouped_mm"
"""Its backward pass raises an error for a cotangent that is not contiguous, which is a finding."""


@pytest.mark.parametrize("dtype", DTYPES, ids=lambda d: str(d).removeprefix("torch."))
@pytest.mark.parametrize("name", SAMPLES)
def test_gradients_of_layers_agree_with_their_forms(name: str, dtype: Any) -> None:
    function, args, kwargs = SAMPLES[name]
    args, kwargs = tuple(cast(x, dtype) for x in args), {k: cast(x, dtype) for k, x in kwargs.items()}
    narrow = dtype is torch.bfloat16
    if narrow and name in NARROW_SUMS:
        pytest.skip("a finding: sums in bfloat16")
    try:
        function(*args, **kwargs)
    except (NotImplementedError, RuntimeError):
        pytest.skip("PyTorch does not support the dtype")
    wrt = [0] if name in FIRST_ARGUMENT_ONLY else None
    report = assert_grads(function, args, kwargs=kwargs, wrt=wrt, layouts=not name.startswith(ONE_LAYOUT))
    assert narrow or all(r.verdict is Verdict.AGREE for r in report.records), report


@pytest.mark.parametrize("name", [name for name in SAMPLES if name not in FIRST_ARGUMENT_ONLY])
def test_that_a_layer_inside_a_model_is_neither_accused_nor_unknown(name: str) -> None:
    function, args, kwargs = SAMPLES[name]
    args, kwargs = tuple(cast(x, torch.float32) for x in args), {k: cast(x, torch.float32) for k, x in kwargs.items()}
    report = check_model(adapter_of(function, args, kwargs), function, args, kwargs)
    assert not report.failures
    assert [reason for one in report.modules for reason in one.unchecked] == []


@pytest.mark.parametrize(
    ("name", "operation"),
    [
        ("conv2d", "convolution"), ("avg_pool2d", "avg_pool2d"), ("interpolate bilinear", "upsample_bilinear2d"),
        ("grid_sample", "grid_sampler_2d"), ("huber_loss", "huber_loss"), ("glu", "glu"),
    ],
)  # fmt: skip
def test_a_form_with_a_wrong_factor_disagrees(name: str, operation: str, monkeypatch: pytest.MonkeyPatch) -> None:
    function, args, kwargs = SAMPLES[name]
    right = ATEN[f"aten.{operation}"]
    monkeypatch.setitem(ATEN, f"aten.{operation}", lambda *a, **k: right(*a, **k) * (1 + 2.0**-16))
    args = tuple(cast(x, torch.float32) for x in args)
    with pytest.raises(AssertionError):
        assert_grads(function, args, kwargs=kwargs)
