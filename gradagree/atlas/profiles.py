"""What a survey looks at: functions, frameworks, modes, dtypes, and how closely."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gradagree.adapters import Adapter
from gradagree.adapters.pointwise import library_frameworks, pointwise_mode, pointwise_names
from gradagree.arithmetics.model import FORMATS
from gradagree.atlas.variants import variants
from gradagree.errors import UsageError, nearest
from gradagree.plan import SurveyProfile, parse_functions, parse_list, parse_names, profile_named
from gradagree.reference import Activation, ErrorFunction

Function = Activation | ErrorFunction


@dataclass(frozen=True)
class Survey:
    """Functions with their parameters, libraries (frameworks, and optax), dtypes, and the modes that are wanted."""

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
    ) -> Survey:  # fmt: skip
        """What options stand for, each a comma-separated list. Raises UsageError, naming what is unknown."""
        chosen = profile_named(profile).survey
        functions = _functions(activations, errors, own)
        if chosen.parameters:
            functions = list(dict.fromkeys([*functions, *(one for f in functions for one in variants(f))]))
        libraries = parse_names("--frameworks", frameworks, [*Adapter.catalogue, *library_frameworks()])
        wanted = parse_names("--dtypes", dtypes, list(FORMATS)) if dtypes else chosen.dtypes
        return cls(tuple(functions), libraries, wanted, _modes(modes, libraries, chosen), chosen)

    def density(self, dtype: str) -> int:
        return self.profile.narrow if FORMATS[dtype].precision <= 11 else self.profile.density

    def asks(self, library: str, mode: str, function: Function) -> bool:
        """Whether a mode of a library is looked at."""
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
    """Those that are named; of a kind that is not named all, but none if the other kind is named."""
    if activations is None and errors is None:
        return [kind() for kind in own] if own else [*_all(Activation), *_all(ErrorFunction)]
    found: list[Function] = []
    for option, text, kind in (("--activations", activations, Activation), ("--errors", errors, ErrorFunction)):
        if text == "all":
            found += _all(kind)
        elif text is not None and text != "none":
            found += parse_functions(option, text, kind)
    if not found:
        raise UsageError("survey: name an activation or an error function")
    return found


def _all(kind: type[Activation] | type[ErrorFunction]) -> list[Function]:
    return [kind.catalogue[name]() for name in sorted(kind.catalogue)]
