"""What is said of every name in torch's listings (`gradagree.accounts`)."""

from __future__ import annotations

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
ctc_loss: not covered: its sum over alignments is a recursion over time; a box of sequences will have it
linear_cross_entropy: not covered: a box and cross_entropy in one, for which the network has two boxes
linear: not covered: it is a box's c = a w + b, and checked in every case
pdist: not covered: distances between the examples of a batch, none of which is an error alone
batch_norm group_norm instance_norm local_response_norm: not covered: normalises over examples or channels
adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d adaptive_max_pool1d adaptive_max_pool1d_with_indices \
adaptive_max_pool2d adaptive_max_pool2d_with_indices adaptive_max_pool3d adaptive_max_pool3d_with_indices avg_pool1d \
avg_pool2d avg_pool3d fractional_max_pool2d fractional_max_pool2d_with_indices fractional_max_pool3d \
fractional_max_pool3d_with_indices lp_pool1d lp_pool2d lp_pool3d max_pool1d max_pool1d_with_indices max_pool2d \
max_pool2d_with_indices max_pool3d max_pool3d_with_indices max_unpool1d max_unpool2d max_unpool3d: not covered: pooling
conv1d conv2d conv3d conv_tbc conv_transpose1d conv_transpose2d conv_transpose3d: not covered: convolution
embedding embedding_bag: not covered: embedding, a box of its own
bilinear: not covered: a box of its own with two inputs
multi_head_attention_forward scaled_dot_product_attention: not covered: attention
affine_grid channel_shuffle fold grid_sample interpolate native_channel_shuffle pad pixel_shuffle pixel_unshuffle \
unfold upsample upsample_bilinear upsample_nearest: not covered: moves or interpolates images
grouped_mm scaled_grouped_mm scaled_mm: not covered: matrix products of other formats
one_hot: not covered: not differentiable
assert_int_or_pair boolean_dispatch handle_torch_function has_torch_function has_torch_function_unary \
has_torch_function_variadic: not covered: a helper, no function of numbers
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
CTCLoss: not covered: its sum over alignments is a recursion over time; a box of sequences will have it
LinearCrossEntropyLoss: not covered: a box and cross_entropy in one, for which the network has two boxes
AdaptiveLogSoftmaxWithLoss: not covered: a small network of its own, with weights for clusters of classes
MultiheadAttention: not covered: attention
"""
