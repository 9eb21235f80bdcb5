"""Accusations of correct functions that are right: the spelling returns something else than the derivative."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Explanation:
    """Why a function is rightly accused in one framework.

    verdicts are those that it explains; modes are empty for all; places are the operations or regimes at fault.
    """

    function: str
    framework: str
    verdicts: tuple[str, ...]
    reason: str
    regimes: tuple[str, ...] = ()

    def explains(self, function: str, framework: str, verdict: str, regime: str) -> bool:
        return (
            (function, framework) == (self.function, self.framework)
            and verdict in self.verdicts
            and (not self.regimes or regime in self.regimes)
        )


FAR = ("extreme", "saturated", "mixed")
"""Distributions with inputs at which exponentials overflow."""
OVERFLOW = "exp overflows: inf / inf or 0 inf, NaN where the derivative is finite"
CANCELS = "e^p - e^-p keeps no digit of a small p, and 1 - t^2 is 0 where t rounds to 1"
NOT_TAKEN = "where(...): the branch not taken"
TIE = "minimum has derivative 1/2 at a tie"
HALF = "the cotangent times p/2 overflows before it is multiplied by 0"
SOFTSIGN = "the derivative of z / (1 + z) is evaluated as 1/(1 + z) - z/(1 + z)^2, which cancels at large z"
EXPLAINED = (
    Explanation("serf", "jax", ("nonfinite",), f"log1p(exp(p)): {OVERFLOW}", FAR),
    Explanation("eswish", "jax", ("nonfinite",), f"p / (1 + exp(-p)): {OVERFLOW}", FAR),
    Explanation("naive_tanh", "torch", ("nonfinite",), OVERFLOW, FAR),
    Explanation("naive_tanh", "jax", ("nonfinite",), OVERFLOW, FAR),
    Explanation("naive_tanh", "torch", ("disagree",), f"no correct digit: {CANCELS}"),
    Explanation("naive_tanh", "jax", ("disagree",), f"no correct digit: {CANCELS}"),
    Explanation(
        "eswish", "jax", ("disagree",),
        "the derivative of p / d, d = 1 + exp(-p), is 1/d + p exp(-p) / d^2; where d^2 overflows, the second term is 0",
    ),
    Explanation("xielu", "torch", ("disagree",), f"at 0: {TIE}, so that of b (exp(min(p, 0)) - 1) is b/2"),
    Explanation("xielu", "jax", ("disagree",), "as in torch"),
    Explanation(
        "learned_elu", "torch", ("nonfinite",), "where(p > 0, p, alpha expm1(p)): the branch not taken overflows", FAR
    ),
    Explanation(
        "geman_mc_clure", "jax", ("disagree",),
        "no correct digit: the derivative of d / (d + 4) is 1 / (d + 4) - d / (d + 4)^2, which cancels", FAR,
    ),
    Explanation(
        "squash", "jax", ("value-differs", "disagree", "nonfinite"), "|p|^2 overflows, and p / sqrt(inf) is 0", FAR
    ),
    Explanation(
        "affine_norm", "torch", ("disagree",),
        "torch's layer_norm adds the rows' shares of the bias's gradient in 16 bits: 4096 ones give 512 in bfloat16",
    ),
    Explanation(
        "naive_softmax", "jax", ("disagree",),
        "no correct digit: g/s - sum(g e)/s^2 cancels in float16, and e and s^2 are near the ends of its range",
    ),
    Explanation("log_cosh_naive", "torch", ("nonfinite",), "log(cosh d): cosh overflows", FAR),
    Explanation("log_cosh_naive", "jax", ("nonfinite",), "as in torch", FAR),
    Explanation("elish", "jax", ("disagree", "value-differs"), "exp(p) - 1 keeps no digit of a small p"),
    Explanation("hard_mish", "torch", ("nonfinite",), HALF, FAR),
    Explanation("hard_mish", "jax", ("nonfinite",), HALF, FAR),
    Explanation(
        "sequential_module", "torch", ("disagree", "value-differs"),
        f"no correct digit: {SOFTSIGN}; above its threshold of 20 torch's softplus is the identity, off by 2e-9", FAR,
    ),
    Explanation("sequential_module", "jax", ("disagree",), f"no correct digit: {SOFTSIGN}", FAR),
    Explanation(
        "naive_log_sigmoid", "jax", ("nonfinite",),
        "log(s(p)): 1 / s(p) overflows, an infinity where the derivative is at most 1", FAR,
    ),
    Explanation(
        "stable_softplus", "torch", ("disagree",),
        "at 0 clamp has derivative 1 and abs 0: 1, where softplus has 1/2 (smooth, so no other value is admissible)",
    ),
    Explanation(
        "stable_softplus", "jax", ("disagree",), "at 0 maximum has derivative 1/2 and abs 1: 0, where softplus has 1/2"
    ),
    Explanation(
        "elu_of_masks", "torch", ("disagree",),
        "at 0 minimum has derivative 1/2, so that of alpha (exp(min(p, 0)) - 1) is 1/2, where elu has 1",
    ),
    Explanation("elu_of_masks", "jax", ("disagree",), "as in torch"),
    Explanation(
        "symmetric_log", "torch", ("nonfinite",),
        "where(p < 0, -log1p(-p), log1p(p)) at p = -1: the branch not taken has derivative inf, and 0 inf is NaN",
    ),
    Explanation(
        "soft_clipping", "torch", ("value-differs", "disagree"),
        "torch's softplus is the identity above its threshold of 20, another function by 2e-9", FAR,
    ),
    Explanation(
        "adaptive_wing", "torch", ("nonfinite",),
        "where(d < theta, log(1 + d^2.5), line): the branch not taken overflows, and 0 inf is NaN", FAR,
    ),
    Explanation("adaptive_wing", "jax", ("nonfinite",), "as in torch", FAR),
    Explanation(
        "cosine_regression", "torch", ("disagree",),
        "no correct digit: the gradient is orthogonal to o, and bfloat16 keeps no digit of the difference", FAR,
    ),
    Explanation(
        "tukey", "torch", ("nonfinite",), "where(|d| <= c, power of d, constant): the branch not taken overflows", FAR
    ),
    Explanation(
        "huber_by_hand", "jax", ("nonfinite",), "where(|d| > delta, line, d^2 / 2): the branch not taken overflows", FAR
    ),
    Explanation("gaussian_of_log_variance", "torch", ("nonfinite",), f"d^2 / exp(s): {OVERFLOW}", FAR),
    Explanation(
        "symmetric_percentage_error", "torch", ("disagree",),
        "at o = 0, to which softplus underflows, abs has derivative 0, and part of the gradient is missing", FAR,
    ),
    Explanation(
        "focal_of_torchvision", "jax", ("disagree",),
        "at 0 maximum has derivative 1/2 and abs 1, as in stable_softplus; the loss is smooth there",
    ),
    Explanation(
        "welsch", "jax", ("disagree",),
        "no correct digit: jax differentiates expm1(x) as expm1(x) + 1, which is 0 in the tail",
    ),
    Explanation(
        "gaussian_crps", "jax", ("disagree",),
        "no correct digit: 2 cdf - 1 near 0 keeps no digit in bfloat16, where erf is exact",
    ),
    Explanation(
        "ordinal", "torch", ("disagree",),
        "no correct digit: log s(o) - o has derivative s(-o) - 1, which is 0 in the tail",
    ),
    Explanation("ordinal", "jax", ("disagree",), "as in torch"),
    Explanation(
        "poly_bce", "torch", ("disagree",), "no correct digit: s(o) - 1 is 0 in bfloat16, where the exact value is not",
        FAR,
    ),
    Explanation(
        "bce_of_softplus", "torch", ("disagree",),
        "no correct digit: under vmap torch computes binary_cross_entropy_with_logits as (1 - t) o - log s(o), whose "
        "derivative is 0 in the tail",
        FAR,
    ),
    Explanation("telu", "torch", ("nonfinite",), f"tanh(exp(p)): {OVERFLOW}", FAR),
    Explanation("telu", "jax", ("nonfinite",), "as in torch", FAR),
    Explanation("exp_expish", "torch", ("nonfinite",), f"exp(-exp(-p)): {OVERFLOW}", FAR),
    Explanation("exp_expish", "jax", ("nonfinite",), "as in torch", FAR),
    Explanation("soft_modulus", "torch", ("nonfinite",), f"{NOT_TAKEN}: p^2 overflows", FAR),
    Explanation("soft_modulus", "jax", ("nonfinite",), "as in torch", FAR),
    Explanation(
        "annotated_norm", "jax", ("nonfinite",),
        "jax differentiates sqrt at a variance of 0 as 0 inf, NaN where the derivative of d / (sd + eps) is finite",
    ),
    Explanation(
        "scripted_mish", "torch", ("disagree", "nonfinite"),
        "torch.jit.script differentiates softplus as 1 - exp(-softplus(p)), which loses every digit in the tail, and "
        "overflows in 16 bits",
    ),
)  # fmt: skip
"""Each from the formula of the spelling at the input at fault; the right values are those of ball arithmetic."""
