"""The page on coverage: python -m tools.coverage > docs/coverage.md."""

from __future__ import annotations

import importlib
import inspect
from collections import Counter
from dataclasses import dataclass
from typing import Any

from gradagree.adapters.layer_libraries import EQUINOX as EQUINOX_MODULES, FLAX as FLAX_MODULES
from gradagree.reference import Activation, ErrorFunction, Layer, layers  # noqa: F401 (registers the layers)
from tools.script import printer, start

TORCH_FUNCTIONAL = """
celu: celu
elu: elu
gelu: gelu
glu: glu
gumbel_softmax: gumbel_softmax
hardshrink: hardshrink
hardsigmoid: hardsigmoid
hardswish: hardswish
hardtanh: hardtanh
layer_norm: layer_norm
leaky_relu: leaky_relu
log_softmax: log_softmax
logsigmoid: log_sigmoid
mish: mish
normalize: normalize
prelu: prelu
relu: relu
relu6: relu6
rms_norm: rms_norm
rrelu: rrelu
selu: selu
sigmoid: sigmoid
silu: silu
softmax: softmax
softmin: softmin
softplus: softplus_threshold
softshrink: softshrink
softsign: softsign
tanh: tanh
tanhshrink: tanhshrink
threshold: threshold
dropout: dropout
celu_: same as celu
elu_: same as elu
hardtanh_: same as hardtanh
leaky_relu_: same as leaky_relu
relu_: same as relu
rrelu_: same as rrelu
selu_: same as selu
threshold_: same as threshold
alpha_dropout dropout1d dropout2d dropout3d feature_alpha_dropout: same as dropout
binary_cross_entropy: bce
binary_cross_entropy_with_logits: bce_logits
cosine_embedding_loss: cosine_embedding
cosine_similarity: cosine_distance
cross_entropy: cross_entropy
gaussian_nll_loss: gaussian_nll
hinge_embedding_loss: hinge_embedding
huber_loss: huber
kl_div: kl_div
l1_loss: absolute
margin_ranking_loss: margin_ranking
mse_loss: mse
multi_margin_loss: multi_margin
multilabel_margin_loss: multilabel_margin
multilabel_soft_margin_loss: multilabel_soft_margin
nll_loss: nll
pairwise_distance: pairwise_distance
poisson_nll_loss: poisson_nll
smooth_l1_loss: smooth_l1
soft_margin_loss: soft_margin
triplet_margin_loss: triplet_margin
triplet_margin_with_distance_loss: same as triplet_margin_loss
ctc_loss: ctc
linear_cross_entropy: not covered: an affine map and cross_entropy in one, which the network has as two operations
linear: dense
pdist: not covered: distances between the examples of a batch, not a loss by itself
batch_norm: batch_norm
group_norm: group_norm
instance_norm: instance_norm
local_response_norm: local_response_norm
adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d: adaptive_average_pool
adaptive_max_pool1d adaptive_max_pool2d adaptive_max_pool3d: adaptive_max_pool
adaptive_max_pool1d_with_indices: same as adaptive_max_pool1d
adaptive_max_pool2d_with_indices: same as adaptive_max_pool2d
adaptive_max_pool3d_with_indices: same as adaptive_max_pool3d
avg_pool1d avg_pool2d avg_pool3d: average_pool
lp_pool1d lp_pool2d: lp_pool
max_pool1d max_pool2d max_pool3d: max_pool
max_pool1d_with_indices: same as max_pool1d
max_pool2d_with_indices: same as max_pool2d
max_pool3d_with_indices: same as max_pool3d
max_unpool2d: max_unpool
max_unpool1d max_unpool3d: same as max_unpool2d
fractional_max_pool2d fractional_max_pool2d_with_indices fractional_max_pool3d fractional_max_pool3d_with_indices \
lp_pool3d: not covered: no layer yet; assert_grads checks it, from its forward pass
conv1d conv2d conv3d: convolution
conv_transpose1d conv_transpose2d conv_transpose3d: transposed_convolution
conv_tbc: not covered: no layer yet; it is conv1d with other axes
embedding: embedding
embedding_bag: embedding_bag
bilinear: bilinear
multi_head_attention_forward: multi_head_attention
scaled_dot_product_attention: attention
grid_sample: grid_sample
interpolate: interpolation
pad: padding
pixel_shuffle: pixel_shuffle
upsample upsample_bilinear upsample_nearest: same as interpolate
affine_grid channel_shuffle fold native_channel_shuffle pixel_unshuffle unfold: not covered: no layer yet; \
assert_grads checks it, from its forward pass
grouped_mm scaled_grouped_mm scaled_mm: not covered: matrix products of other formats
one_hot: not covered: not differentiable
assert_int_or_pair boolean_dispatch handle_torch_function has_torch_function has_torch_function_unary \
has_torch_function_variadic: not covered: a helper, not a function of numbers
"""

TORCH_NN = """
CELU: celu
ELU: elu
GELU: gelu
GLU: glu
Hardshrink: hardshrink
Hardsigmoid: hardsigmoid
Hardswish: hardswish
Hardtanh: hardtanh
LeakyReLU: leaky_relu
LogSigmoid: log_sigmoid
LogSoftmax: log_softmax
Mish: mish
PReLU: prelu
RReLU: rrelu
ReLU: relu
ReLU6: relu6
SELU: selu
SiLU: silu
Sigmoid: sigmoid
Softmax: softmax
Softmin: softmin
Softplus: softplus_threshold
Softshrink: softshrink
Softsign: softsign
Tanh: tanh
Tanhshrink: tanhshrink
Threshold: threshold
Dropout: dropout
AlphaDropout Dropout1d Dropout2d Dropout3d FeatureAlphaDropout: same as Dropout
Softmax2d: same as Softmax
BCELoss: bce
BCEWithLogitsLoss: bce_logits
CosineEmbeddingLoss: cosine_embedding
CosineSimilarity: cosine_distance
CrossEntropyLoss: cross_entropy
GaussianNLLLoss: gaussian_nll
HingeEmbeddingLoss: hinge_embedding
HuberLoss: huber
KLDivLoss: kl_div
L1Loss: absolute
MSELoss: mse
MarginRankingLoss: margin_ranking
MultiLabelMarginLoss: multilabel_margin
MultiLabelSoftMarginLoss: multilabel_soft_margin
MultiMarginLoss: multi_margin
NLLLoss: nll
PairwiseDistance: pairwise_distance
PoissonNLLLoss: poisson_nll
SmoothL1Loss: smooth_l1
SoftMarginLoss: soft_margin
TripletMarginLoss: triplet_margin
NLLLoss2d: same as NLLLoss
TripletMarginWithDistanceLoss: same as TripletMarginLoss
CTCLoss: ctc
LinearCrossEntropyLoss: not covered: an affine map and cross_entropy in one, which the network has as two operations
AdaptiveLogSoftmaxWithLoss: not covered: a small network with weights for clusters of classes
MultiheadAttention: multi_head_attention
AdaptiveAvgPool1d AdaptiveAvgPool2d AdaptiveAvgPool3d: adaptive_average_pool
AdaptiveMaxPool1d AdaptiveMaxPool2d AdaptiveMaxPool3d: adaptive_max_pool
AvgPool1d AvgPool2d AvgPool3d: average_pool
MaxPool1d MaxPool2d MaxPool3d: max_pool
LPPool1d LPPool2d: lp_pool
MaxUnpool2d: max_unpool
MaxUnpool1d MaxUnpool3d: same as MaxUnpool2d
BatchNorm1d BatchNorm2d BatchNorm3d: batch_norm
InstanceNorm1d InstanceNorm2d InstanceNorm3d: instance_norm
LayerNorm: layer_norm_affine
GroupNorm: group_norm
RMSNorm: rms_norm_scaled
LocalResponseNorm CrossMapLRN2d: local_response_norm
Conv1d Conv2d Conv3d: convolution
ConvTranspose1d ConvTranspose2d ConvTranspose3d: transposed_convolution
Linear: dense
Identity: id
Bilinear: bilinear
Embedding: embedding
EmbeddingBag: embedding_bag
Flatten: flatten
PixelShuffle: pixel_shuffle
RNN: rnn
LSTM: lstm
GRU: gru
RNNCell: same as RNN
LSTMCell: same as LSTM
GRUCell: same as GRU
CircularPad1d CircularPad2d CircularPad3d ConstantPad1d ConstantPad2d ConstantPad3d ReflectionPad1d ReflectionPad2d \
ReflectionPad3d ReplicationPad1d ReplicationPad2d ReplicationPad3d ZeroPad1d ZeroPad2d ZeroPad3d: padding
Upsample UpsamplingBilinear2d UpsamplingNearest2d: interpolation
LazyBatchNorm1d LazyBatchNorm2d LazyBatchNorm3d SyncBatchNorm: same as BatchNorm2d
LazyInstanceNorm1d LazyInstanceNorm2d LazyInstanceNorm3d: same as InstanceNorm2d
LazyConv1d LazyConv2d LazyConv3d: same as Conv2d
LazyConvTranspose1d LazyConvTranspose2d LazyConvTranspose3d: same as ConvTranspose2d
LazyLinear: same as Linear
ChannelShuffle Fold FractionalMaxPool2d FractionalMaxPool3d LPPool3d PixelUnshuffle Unflatten Unfold: not covered: \
no layer yet; assert_grads checks it, from its forward pass
Transformer TransformerDecoder TransformerDecoderLayer TransformerEncoder TransformerEncoderLayer: not covered: made \
of other layers; check with inputs= judges the module
Container DataParallel Module ModuleDict ModuleList ParameterDict ParameterList RNNBase RNNCellBase \
Sequential: not covered: holds other modules
LinearCrossEntropyOptions: not covered: a helper, not a function of numbers
"""


JAX_NN = """
celu: celu
elu: elu
gelu: gelu_tanh
glu: glu
hard_sigmoid: hardsigmoid
hard_swish: hardswish
hard_tanh: hardtanh
identity: id
leaky_relu: leaky_relu
log1mexp: log1mexp
log_sigmoid: log_sigmoid
log_softmax: log_softmax
logmeanexp: logmeanexp
logsumexp: logsumexp
mish: mish
relu: relu
relu6: relu6
selu: selu
sigmoid: sigmoid
silu: silu
soft_sign: softsign
softmax: softmax
softplus: softplus
sparse_plus: sparse_plus
sparse_sigmoid: sparse_sigmoid
squareplus: squareplus
standardize: standardize
tanh: tanh
hard_silu: same as hard_swish
swish: same as silu
dot_product_attention: multi_head_attention
get_scaled_dot_general_config scaled_dot_general scaled_matmul: not covered: matrix products of other formats
one_hot: not covered: not differentiable
"""

OPTAX = """
binary_dice_loss: binary_dice
cosine_distance: cosine_distance
dice_loss: dice
generalized_kl_divergence: generalized_kl
hinge_loss: hinge
huber_loss: huber
kl_divergence: kl_div
kl_divergence_with_log_targets: kl_div_of_logs
l2_loss: half_squared
log_cosh: log_cosh
multiclass_generalized_dice_loss: generalized_dice
multiclass_hinge_loss: multiclass_hinge
multiclass_perceptron_loss: multiclass_perceptron
multiclass_sparsemax_loss: multiclass_sparsemax
ntxent: ntxent
perceptron_loss: perceptron
poly_loss_cross_entropy: poly_cross_entropy
sigmoid_binary_cross_entropy: bce_logits
sigmoid_focal_loss: sigmoid_focal
softmax_cross_entropy: soft_cross_entropy
softmax_cross_entropy_with_integer_labels: cross_entropy
sparsemax_loss: binary_sparsemax
squared_error: mse
triplet_margin_loss: triplet_margin_of_squares
convex_kl_divergence: same as generalized_kl_divergence
cosine_similarity: same as cosine_distance
ranking_softmax_loss safe_softmax_cross_entropy: same as softmax_cross_entropy
smooth_labels: not covered: it prepares targets; soft_cross_entropy has it as label_smoothing
make_fenchel_young_loss: not covered: it builds loss functions from a user's function
ctc_loss ctc_loss_with_forward_probs: ctc
"""

FLAX = """
BatchNorm: batch_norm
Conv: convolution
ConvTranspose: transposed_convolution
Dense: dense
Dropout: masked_dropout
Embed: embedding
GRUCell: gru
GroupNorm: group_norm
InstanceNorm: instance_norm
LSTMCell: lstm
LayerNorm: layer_norm_affine
MultiHeadDotProductAttention: multi_head_attention
PReLU: prelu
RMSNorm: rms_norm_scaled
SimpleCell: rnn
SpectralNorm: spectral_norm
WeightNorm: weight_norm
DenseGeneral Einsum: same as Dense
MultiHeadAttention SelfAttention: same as MultiHeadDotProductAttention
OptimizedLSTMCell: same as LSTMCell
Bidirectional: not covered: it runs two other cells; rnn, gru and lstm have both directions as a setting
ConvLSTMCell ConvLocal MGUCell: not covered: no layer yet; assert_grads checks it, from its forward pass
RNN RNNCellBase Sequential BatchApply Module: not covered: holds other modules
Fp8DirectDotGeneralOp Fp8DotGeneral Fp8DotGeneralOp Fp8Einsum NANOOFp8DotGeneralOp: not covered: matrix products of \
other formats
DenyList FrozenDict LogicallyPartitioned Partitioned Variable: not covered: a helper, not a function of numbers
"""

EQUINOX = """
AvgPool1d AvgPool2d AvgPool3d: average_pool
BatchNorm: batch_norm
Conv Conv1d Conv2d Conv3d: convolution
ConvTranspose ConvTranspose1d ConvTranspose2d ConvTranspose3d: transposed_convolution
Dropout: masked_dropout
Embedding: embedding
GRUCell: gru
GroupNorm: group_norm
Identity: id
LSTMCell: lstm
LayerNorm: layer_norm_affine
Linear: dense
MaxPool1d MaxPool2d MaxPool3d: max_pool
MultiheadAttention: multi_head_attention
PReLU: prelu
RMSNorm: rms_norm_scaled
RotaryPositionalEmbedding: rotary_embedding
SpectralNorm: spectral_norm
WeightNorm: weight_norm
AdaptiveAvgPool1d AdaptiveAvgPool2d AdaptiveAvgPool3d AdaptiveMaxPool1d AdaptiveMaxPool2d AdaptiveMaxPool3d: not \
covered: its windows differ from PyTorch's; assert_grads checks it, from its forward pass
AdaptivePool Pool: not covered: a pool by a function of the user; assert_grads checks it, from its forward pass
MLP: not covered: made of other layers; check with inputs= judges the module
Lambda Sequential Shared StatefulLayer: not covered: holds other modules
State StateIndex: not covered: a helper, not a function of numbers
"""

ACCOUNTS = {
    "torch.nn.functional": TORCH_FUNCTIONAL, "torch.nn": TORCH_NN, "jax.nn": JAX_NN, "optax.losses": OPTAX,
    "flax.linen": FLAX, "equinox.nn": EQUINOX,
}  # fmt: skip

OWN_MODULES = {"flax": FLAX_MODULES, "equinox": EQUINOX_MODULES}
"""The layers whose own modules of a library run, by library."""

IMPLEMENTATIONS = {"flax": "jax", "equinox": "jax"}
"""Libraries of modules whose formulas are compared through those of another framework."""

SAME, NOT_COVERED = "same as ", "not covered: "


@dataclass(frozen=True)
class Entry:
    """One name, and how it is covered."""

    name: str
    coverage: str

    @property
    def status(self) -> str:
        """``covered``, ``same as`` or ``not covered``."""
        return next((mark.rstrip(": ") for mark in (SAME, NOT_COVERED) if self.coverage.startswith(mark)), "covered")


def account(library: str) -> dict[str, Entry]:
    """The names of a library that have an entry here."""
    entries: dict[str, Entry] = {}
    for line in ACCOUNTS[library].replace("\\\n", "").strip().splitlines():
        names, _, covered_by = line.partition(": ")
        entries |= {name: Entry(name, covered_by) for name in names.split()}
    return entries


def listed(library: str) -> list[str]:
    """The functions or modules that the installed library lists.

    Raises ImportError where it is not installed.
    """
    module = importlib.import_module(library)
    counts = {"torch.nn": is_module, "flax.linen": inspect.isclass, "equinox.nn": inspect.isclass}.get(
        library, is_function
    )
    return sorted(name for name in dir(module) if not name.startswith("_") and counts(getattr(module, name)))


def is_function(thing: Any) -> bool:
    """True for a function, and for one that jax wraps."""
    return inspect.isroutine(thing) or (
        callable(thing) and hasattr(thing, "__wrapped__") and not inspect.isclass(thing)
    )


def is_module(thing: Any) -> bool:
    """True for a class of modules of torch.nn."""
    return inspect.isclass(thing) and thing.__module__.startswith("torch.nn.modules.")


def unaccounted(library: str) -> list[str]:
    """The names of the installed library that have no entry here."""
    return [name for name in listed(library) if name not in account(library)]


def summary(entry: Entry) -> str:
    """The formula of the function that covers a name."""
    kind: Any = next(kind for kind in (Layer, Activation, ErrorFunction) if entry.coverage in kind.catalogue)
    return str(kind.named(entry.coverage).summary())


def page() -> str:
    """``docs/coverage.md``."""
    lines = [
        "# Coverage",
        "",
        "Coverage of every activation, loss function and layer in the public modules of the frameworks. A layer is",
        "covered if gradagree has its value and vjp, written by hand, and compares the framework's with them. Those of",
        'flax and equinox marked *own module* run themselves (`check(Dense, frameworks="equinox")`); of the others it',
        "is the formula that is covered, in JAX. All of them are [checked](models.md) as they run in a model.",
        "Functions of `jax.lax`, `jax.numpy` and `jax.scipy` are on [a page of their own](jax-functions.md), those of",
        "PyTorch on [another](op-db.md).",
    ]
    lines += ["This page is generated by `python -m tools.coverage > docs/coverage.md`."]
    for library in ACCOUNTS:
        entries = account(library).values()
        counts = Counter(entry.status for entry in entries)
        totals = ", ".join(f"{counts[status]} {status}" for status in ("covered", "same as", "not covered"))
        lines += ["", f"## {library}", "", f"{len(entries)} names: {totals}.", ""]
        lines += ["| name | | formula or reason |", "| --- | --- | --- |"]
        runs = OWN_MODULES.get(library.partition(".")[0], {})
        lines += [
            _row(entry, ", own module" * (entry.coverage in runs))
            for entry in sorted(entries, key=lambda entry: entry.name.lower())
        ]
    return "\n".join(lines) + "\n"


def _row(entry: Entry, own: str = "") -> str:
    if entry.status == "covered":
        return f"| `{entry.name}` | covered by `{entry.coverage}`{own} | {summary(entry).replace('|', chr(92) + '|')} |"
    if entry.status == "same as":
        return f"| `{entry.name}` | same as `{entry.coverage.removeprefix(SAME)}` | |"
    return f"| `{entry.name}` | not covered | {entry.coverage.removeprefix(NOT_COVERED)} |"


if __name__ == "__main__":
    start(printer(page, "Print docs/coverage.md."), "tools.coverage")
