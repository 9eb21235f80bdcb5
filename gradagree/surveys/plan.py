"""Plan of a survey: functions and their parameters, libraries, dtypes and modes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gradagree.adapters import Adapter
from gradagree.adapters.adapter import library_frameworks, pointwise_mode, pointwise_names
from gradagree.arithmetic.model import FORMATS
from gradagree.errors import UsageError, nearest
from gradagree.reference import Activation, ErrorFunction
from gradagree.runner.options import SurveyProfile, find_profile, parse_functions, parse_list, parse_names

ACTIVATION_VARIANTS = """
celu(alpha=0.5) celu(alpha=2.0) clip(low=0.0,high=6.0) elu(alpha=0.5) elu(alpha=2.0) elu(alpha=-1.0)
gumbel_softmax(tau=0.125) gumbel_softmax(tau=4.0) hardshrink(lambd=0.0) hardshrink(lambd=2.0)
hardtanh(min_val=-2.0,max_val=3.0) hardtanh(min_val=0.0,max_val=1.0) layer_norm(eps=0.0)
normalize(eps=0.0009765625) leaky_relu(negative_slope=0.5)
leaky_relu(negative_slope=-0.5) leaky_relu(negative_slope=0.0) leaky_relu(negative_slope=2.0) prelu(a=0.0) prelu(a=-0.5)
prelu(a=2.0) rms_norm(eps=0.0) rrelu(lower=0.5,upper=0.5) softplus(beta=0.5) softplus(beta=2.0) softplus(beta=8.0)
softplus_threshold(beta=2.0) softplus_threshold(threshold=1.0) softplus_threshold(beta=0.5,threshold=8.0)
softshrink(lambd=0.0) softshrink(lambd=2.0) squareplus(b=0.0) squareplus(b=1.0) squareplus(b=0.0625)
threshold(threshold=1.0,to=20.0) threshold(threshold=0.5,to=0.5) threshold(threshold=-1.0,to=0.0)
"""
LOSS_VARIANTS = """
bce_logits(pos_weight=3.0) bce_logits(weight=0.5) bce(weight=2.0) binary_sparsemax cosine_distance(eps=0.0)
cosine_embedding(margin=0.5) cross_entropy(label_smoothing=0.125) cross_entropy(weight=(0.0,1.0,2.0))
cross_entropy(ignore_index=0) gaussian_nll(full=True) gaussian_nll(eps=0.25) hinge(margin=0.5)
hinge_embedding(margin=0.5) huber(delta=0.5) huber(delta=4.0) huber(delta=0.0009765625) margin_ranking(margin=0.5)
multi_margin(p=2) multi_margin(margin=0.5) multi_margin(weight=(0.0,1.0,2.0))
multilabel_soft_margin(weight=(0.0,1.0,2.0))
nll(weight=(0.0,1.0,2.0)) pairwise_distance(eps=0.0) poisson_nll(full=True) poisson_nll_of_rates(eps=0.0009765625)
poisson_nll_of_rates(full=True,eps=0.0009765625)
poly_cross_entropy(epsilon=-1.0) poly_cross_entropy(epsilon=0.0) quantile(q=0.5) quantile(q=0.125)
sigmoid_focal(gamma=0.0) sigmoid_focal(gamma=0.5) sigmoid_focal(gamma=1.0) sigmoid_focal(gamma=5.0,alpha=0.25)
smooth_l1(beta=0.5) smooth_l1(beta=4.0) smooth_l1(beta=0.0009765625) soft_cross_entropy(label_smoothing=0.125)
soft_cross_entropy(weight=(0.0,1.0,2.0)) triplet_margin(swap=True) triplet_margin(eps=0.0) triplet_margin(margin=0.25)
triplet_margin_of_squares(eps=0.0)
"""


def variants(function: Activation | ErrorFunction) -> list[Activation | ErrorFunction]:
    """The function; with default parameters, its listed variants too."""
    if str(function) != function.name:
        return [function]
    texts = ACTIVATION_VARIANTS if isinstance(function, Activation) else LOSS_VARIANTS
    kind = Activation if isinstance(function, Activation) else ErrorFunction
    listed = [text for text in texts.split() if text.partition("(")[0] == function.name]
    return list(dict.fromkeys([function, *(kind.named(text) for text in listed)]))


Function = Activation | ErrorFunction


@dataclass(frozen=True)
class SurveyPlan:
    """Functions with their parameters, libraries (frameworks, and optax), dtypes and selected modes of a survey."""

    functions: tuple[Function, ...]
    libraries: tuple[str, ...]
    dtypes: tuple[str, ...]
    modes: tuple[str, ...] | None
    profile: SurveyProfile

    @classmethod
    def make(
        cls, *, profile: str = "quick", activations: str | None = None, errors: str | None = None,
        frameworks: str | None = None, modes: str | None = None, dtypes: str | None = None,
        own: Sequence[type[Function]] = (),
    ) -> SurveyPlan:  # fmt: skip
        """The plan of these options, each a comma-separated list. Raises UsageError for an unknown name."""
        chosen = find_profile(profile).survey
        functions = _functions(activations, errors, own)
        if chosen.parameters:
            functions = list(dict.fromkeys([*functions, *(one for f in functions for one in variants(f))]))
        libraries = parse_names("--frameworks", frameworks, [*Adapter.catalogue, *library_frameworks()])
        wanted = parse_names("--dtypes", dtypes, list(FORMATS)) if dtypes else chosen.dtypes
        return cls(tuple(functions), libraries, wanted, _modes(modes, libraries, chosen), chosen)

    def density(self, dtype: str) -> int:
        return self.profile.narrow if FORMATS[dtype].precision <= 11 else self.profile.density

    def includes(self, library: str, mode: str, function: Function) -> bool:
        """Whether a mode of a library is surveyed."""
        if self.modes is not None:
            return f"{library}:{mode}" in self.modes or mode in self.modes
        if self.profile.slow:
            return True
        way = pointwise_mode(library, mode)
        usual = str(function) == function.name or library not in Adapter.catalogue
        return not way.slow if usual else way.quick


def _modes(text: str | None, libraries: Sequence[str], profile: SurveyProfile) -> tuple[str, ...] | None:
    if text is None and not profile.quick:
        return None
    offered = list(dict.fromkeys(f"{name}:{mode}" for name in libraries for mode in pointwise_names(name)))
    if text is None:
        return tuple(name for name in offered if pointwise_mode(*name.split(":")).quick)
    if text == "all":
        return tuple(offered)
    bare = [name.partition(":")[2] for name in offered]
    parts = parse_list("--modes", text)
    for part in parts:
        if part not in offered and part not in bare:
            raise UsageError(f"--modes: no mode {part!r} in {', '.join(libraries)}; {nearest(part, {*offered, *bare})}")
    return tuple(parts)


def _functions(activations: str | None, errors: str | None, own: Sequence[type[Function]]) -> list[Function]:
    """The named functions; all, or the user's own, if neither option is given."""
    if activations is None and errors is None:
        return [kind() for kind in own] if own else [*_all(Activation), *_all(ErrorFunction)]
    found: list[Function] = []
    for option, text, kind in (("--activations", activations, Activation), ("--errors", errors, ErrorFunction)):
        if text == "all":
            found += _all(kind)
        elif text is not None and text != "none":
            found += parse_functions(option, text, kind)
    if not found:
        raise UsageError("survey: select at least one function with --activations or --errors")
    return found


def _all(kind: type[Activation] | type[ErrorFunction]) -> list[Function]:
    return [kind.catalogue[name]() for name in sorted(kind.catalogue)]
