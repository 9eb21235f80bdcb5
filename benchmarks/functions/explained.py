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
EXPLAINED = (
    Explanation("serf", "jax", ("nonfinite",), f"log1p(exp(p)): {OVERFLOW}", FAR),
    Explanation("eswish", "jax", ("nonfinite",), f"p / (1 + exp(-p)): {OVERFLOW}", FAR),
    Explanation("naive_tanh", "torch", ("nonfinite",), OVERFLOW, FAR),
    Explanation("naive_tanh", "jax", ("nonfinite",), OVERFLOW, FAR),
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
        "scripted_mish", "torch", ("disagree", "nonfinite"),
        "torch.jit.script differentiates softplus as 1 - exp(-softplus(p)), which loses every digit in the tail, and "
        "overflows in 16 bits",
    ),
)  # fmt: skip
"""Each was worked out independently, with mpmath."""
