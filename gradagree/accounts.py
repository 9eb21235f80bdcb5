"""What is said of every name in the frameworks' listings: ``NAME...: FUNCTION``, ``same as NAME``, or ``not covered``.

A function is that of the catalogue, as canonical text, by which the name is covered.
"""

from __future__ import annotations

from gradagree.accounts_torch import TORCH_FUNCTIONAL, TORCH_NN

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
dot_product_attention: not covered: attention
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
make_fenchel_young_loss: not covered: it makes error functions of a user's own function
ctc_loss ctc_loss_with_forward_probs: not covered: its sum over alignments is a recursion over time; a box of \
sequences will have it
"""

ACCOUNTS = {
    "torch.nn.functional": TORCH_FUNCTIONAL, "torch.nn": TORCH_NN, "jax.nn": JAX_NN, "optax.losses": OPTAX,
}  # fmt: skip
