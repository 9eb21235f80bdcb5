"""Each public function of a framework at its own defaults, against the plain definition of its name.

The plain definition is the reference's function at its defaults, without a small number that is added to a divisor
(``eps``). A call with nothing but the operands that computes another function is a finding.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np

from gradagree.adapters import Adapter
from gradagree.adapters.adapter import library_frameworks
from gradagree.adapters.entry_points import plain_name
from gradagree.adapters.pointwise import is_rows
from gradagree.arithmetic.ball import LADDER, Ball, lift, precision
from gradagree.reference import Activation, ErrorFunction
from gradagree.reference.losses.reduction import _Separable
from gradagree.reference.parameters import Reduction
from gradagree.reference.samples import allowed_width, some_targets, to_domain
from gradagree.reproduce.finding import SurveyFinding
from gradagree.runner.protocol import Definition, DefinitionRequest, pack, unpack
from gradagree.surveys.calls import library_call
from gradagree.surveys.classify import CLASSES, ErrorCode
from gradagree.surveys.exact import are_precise
from gradagree.surveys.measurements import json_value
from gradagree.surveys.points import order_by_simplicity
from gradagree.surveys.text import format_value

Function = Activation | ErrorFunction

ENTRIES = np.array([1.0, -1.0, 0.5, -0.5, 0.25, 2.0, -2.0, 3.0, -3.0, 5.0, -5.0, 7.0, -7.0, 10.0, -10.0, 24.0, -24.0])
"""Ordinary inputs, on both sides of the thresholds that frameworks have."""
ROW_SHAPES = ((2,), (1,), (2, 2))
"""Shapes of the examples of a function of rows: several axes show along which one a default works."""
SAME = 2.0**-40
"""Results are of one definition if they differ by less, relative to 1 and to the largest entry.

A formula may lose 12 of the 52 digits of float64; no two definitions differ by so little at all ordinary inputs.
"""
NO_DEFAULTS = ("clip", "threshold", "dropout", "gumbel_softmax", "quantile")
"""Functions that are defined by an argument, or that are random."""
PLAIN_PARAMETERS: dict[str, dict[str, Any]] = {"rrelu": {"upper": 1 / 3}, "absolute": {"reduction": "mean"}}
"""Parameters of definitions where the reference has others: a number of every dtype, a sum."""
OTHER_NAMES = {
    "bce_logits": ("bce_with_logits",), "kl_div": ("kl_divergence",), "soft_cross_entropy": ("softmax_cross_entropy",),
    "id": ("identity",), "absolute": ("l1",), "dice": ("dice_loss",),
}  # fmt: skip
"""Further names of functions in libraries."""
EPS_CHOICES = (1e-5, 1e-6, 1e-8, 1e-12, 2.0**-52)
"""Values of ``eps`` that libraries have as defaults."""


@dataclass(frozen=True)
class Sample:
    """A function's definition, an input (and a target), and the exact result.

    terms are the losses of single entries or examples, which a library may return without a reduction.
    """

    function: Function
    x: np.ndarray
    t: np.ndarray | None
    exact: np.ndarray
    terms: tuple[np.ndarray, ...] = ()

    def deviation(self, given: np.ndarray) -> np.ndarray | None:
        """The entries that differ from the definition, as booleans; None if all agree."""
        differences = [
            differ_by_definition(given, one) for one in (self.exact, *self.terms) if one.shape == given.shape
        ]
        if not differences:
            return np.ones(given.shape, dtype=bool)
        return None if any(not one.any() for one in differences) else differences[0]


def differ_by_definition(given: np.ndarray, expected: np.ndarray) -> np.ndarray:
    scale = max(1.0, float(np.max(np.abs(expected), initial=0.0)))
    with np.errstate(invalid="ignore"):
        return np.asarray(~(np.abs(given - expected) <= SAME * scale))


def plain_definition(function: Function) -> Function:
    """The function at its defaults, without a small number that keeps a divisor from 0."""
    changed = dict(PLAIN_PARAMETERS.get(function.name, {}))
    if "eps" in vars(function):
        changed["eps"] = 0.0
    return dataclasses.replace(function, **changed)


def claimed_names() -> dict[str, list[str]]:
    """The plain names under which libraries offer each function of the reference; each name belongs to one function."""
    functions = [kind() for catalogue in (Activation.catalogue, ErrorFunction.catalogue) for kind in catalogue.values()
                 if kind.__module__.startswith("gradagree.reference.")]  # fmt: skip
    owner = {plain_name(one.name): one.name for one in functions}
    former = {name: alias for kind in (Activation, ErrorFunction) for alias, name in kind.aliases.items()}
    further = [(one.name, name) for one in functions for name in OTHER_NAMES.get(one.name, ())]
    further += [(one.name, name) for one in functions for name in aliases_by_call(one)]
    further += [(one.name, former[one.name]) for one in functions if one.name in former]
    for function, name in further:
        owner.setdefault(plain_name(name), function)
    found: dict[str, list[str]] = {}
    for plain, function in owner.items():
        found.setdefault(function, []).append(plain)
    return found


def aliases_by_call(function: Function) -> Iterator[str]:
    """The names of the libraries' neural-network functions that the implementations call."""
    for library in (*Adapter.catalogue, *library_frameworks()):
        name, own = library_call(function, library)
        if own and " " not in name and (".nn." in name or library in library_frameworks()):
            yield name.rpartition(".")[2]


def samples(function: Function) -> Iterator[Sample]:
    """Ordinary inputs of the plain definition with their exact results."""
    plain = plain_definition(function)
    if isinstance(plain, Activation):
        if not is_rows(plain):
            x = to_domain(plain.domain, ENTRIES)
            yield from evaluated(plain, x, None)
            return
        n = allowed_width(plain, 4)
        for shape in ROW_SHAPES:
            count = int(np.prod(shape)) * n
            yield from evaluated(plain, to_domain(plain.domain, np.resize(ENTRIES[:7], count).reshape(*shape, n)), None)
        return
    n = allowed_width(plain, 3)
    o = to_domain(plain.domain, np.resize(ENTRIES[:8], 2 * n).reshape(2, n))
    yield from evaluated(plain, o, some_targets(plain, 2, n))


def evaluated(function: Function, x: np.ndarray, t: np.ndarray | None) -> Iterator[Sample]:
    """The sample with its exact result; nothing where balls do not determine it."""
    targets = t if t is None or t.dtype.kind == "i" else Ball.exact(t)
    operands = (Ball.exact(x),) if t is None else (Ball.exact(x), targets)
    exact = midpoints(function.value, *operands)
    if exact is None:
        return
    terms = [] if t is None else [*losses_of_entries(function, *operands), *losses_of_examples(function, *operands)]
    yield Sample(function, x, t, exact, tuple(terms))


def losses_of_entries(function: Any, o: Any, t: Any) -> Iterator[np.ndarray]:
    if isinstance(function, _Separable) and (found := midpoints(function._term, o, t)) is not None:
        yield found


def losses_of_examples(function: Any, o: Any, t: Any) -> Iterator[np.ndarray]:
    """The loss of each example alone, with the sum and with the reduction of the definition."""
    if "reduction" not in vars(function):
        return
    for reduction in ("sum", function.reduction):
        alone = dataclasses.replace(function, reduction=reduction)
        found = [midpoints(alone.value, o[i : i + 1], t[i : i + 1]) for i in range(len(o))]
        if all(one is not None for one in found):
            yield np.array(found)


def midpoints(formula: Callable[..., Any], *operands: Any) -> np.ndarray | None:
    """The result of a formula in ball arithmetic; None if no precision determines all digits of a float64."""
    for bits in LADDER:
        with precision(bits), np.errstate(all="ignore"):
            try:
                balls = np.asarray(lift(formula(*operands)).balls)
            except (TypeError, ValueError, NotImplementedError):
                return None
        if are_precise(balls).all():
            return np.asarray(np.frompyfunc(lambda ball: float(ball.mid()), 1, 1)(balls), dtype=np.float64)
    return None


def submit_definitions(
    functions: Iterable[Function], submit: Mapping[str, Callable[[DefinitionRequest], Future[list[Definition]]]]
) -> list[tuple[Sample, dict[str, Future[list[Definition]]]]]:
    """Every sample of the functions of the reference, with the pending results of each library."""
    names = claimed_names()
    found = []
    for function in {one.name: one for one in functions}.values():
        if function.name in NO_DEFAULTS or function.name not in names:
            continue
        for sample in samples(type(function)()):
            operands = {"x": pack(sample.x), **({} if sample.t is None else {"t": pack(sample.t)})}
            request = DefinitionRequest(names[function.name], operands)
            found.append((sample, {library: send(request) for library, send in submit.items()}))
    return found


def definition_findings(
    pending: Sequence[tuple[Sample, dict[str, Future[list[Definition]]]]], versions: dict[str, str]
) -> Iterator[SurveyFinding]:
    """A finding for each library and function whose defaults compute another function, at the simplest input."""
    seen: set[tuple[str, str]] = set()
    for sample, futures in pending:
        results = {library: [one for one in future.result() if one.values is not None]
                   for library, future in futures.items()}  # fmt: skip
        for library, given in results.items():
            differing = [one for one in given if sample.deviation(unpack(one.values)) is not None]
            differing = [one for one in differing if (one.name, sample.function.name) not in seen]
            for group in same_results(differing):
                seen |= {(one.name, sample.function.name) for one in group}
                yield make_finding(sample, library, versions[library], group, results)


def same_results(found: Sequence[Definition]) -> list[list[Definition]]:
    groups: dict[tuple[Any, ...], list[Definition]] = {}
    for one in found:
        values = unpack(one.values)
        groups.setdefault((values.shape, values.tobytes()), []).append(one)
    return list(groups.values())


def make_finding(
    sample: Sample, library: str, version: str, group: Sequence[Definition], results: dict[str, list[Definition]]
) -> SurveyFinding:
    first, function = group[0], sample.function
    given = unpack(first.values)
    differ = sample.deviation(given)
    assert differ is not None
    entry = shown_entry(sample, differ)
    expected = next((x for x in (sample.exact, *sample.terms) if np.shape(x) == given.shape), sample.exact)
    alone = sample.t is None and not is_rows(function)
    x = sample.x[entry] if alone else sample.x
    true = float(expected[entry]) if expected.shape == given.shape else float(np.ravel(expected)[0])
    example = {
        "function": str(function), "dtype": "float64", "mode": "eager", "input": json_value(np.ravel(x)),
        "shape": [] if alone else list(sample.x.shape), "entry": [] if alone else list(entry),
        "target": None if sample.t is None else json_value(np.ravel(sample.t)),
        "target_shape": [] if sample.t is None else list(sample.t.shape), "given": json_value(float(given[entry])),
        "true": json_value(true), "ulps": json_value(abs(float(given[entry]) - true) / float(np.spacing(abs(true)))),
        "call": first.call, "options": first.options, "computes": computes(sample, given),
    }  # fmt: skip
    others = others_at(entry, given.shape, group, results)
    if given.shape not in {np.shape(one) for one in (sample.exact, *sample.terms)}:
        example["given_shape"] = list(given.shape)
    return SurveyFinding(
        framework=library, version=version, function=function.name, variants=[str(function)],
        calls=", ".join(one.name for one in group), own=True, quantity="value",
        kind=CLASSES[ErrorCode.DEFINITION].name, severity=CLASSES[ErrorCode.DEFINITION].severity.name.lower(),
        region="ordinary", modes=["eager"], dtypes=["float64"],
        ranges={"float64": [float(sample.x.min()), float(sample.x.max()), int(differ.sum())]}, count=int(differ.sum()),
        example=example | {"others": others}, note=describe(example, first, others),
    )  # fmt: skip


def shown_entry(sample: Sample, differ: np.ndarray) -> tuple[int, ...]:
    """The index of the simplest entry that differs."""
    if differ.ndim == 1 and differ.shape == sample.x.shape:
        order = order_by_simplicity(sample.x)
        return (int(order[np.isin(order, np.flatnonzero(differ))][0]),)
    return tuple(map(int, np.argwhere(differ)[0])) if differ.ndim else ()


def computes(sample: Sample, given: np.ndarray) -> str:
    """The function of the reference that a library computes instead, with its parameters; "" if none is known."""
    for candidate in candidates(sample.function):
        for expected in float_results(candidate, sample.x, sample.t):
            if expected.shape == given.shape and not differ_by_definition(given, expected).any():
                return str(candidate)
    return ""


def float_results(function: Any, x: np.ndarray, t: np.ndarray | None) -> list[np.ndarray]:
    """The value in float64 and, for a loss, that of each example alone; nothing where it does not fit the operands."""
    with np.errstate(all="ignore"), suppress(TypeError, ValueError, IndexError):
        if t is None:
            return [np.asarray(function.value(x), dtype=np.float64)]
        alone = [function.value(x[i : i + 1], t[i : i + 1]) for i in range(len(x))]
        return [np.asarray(one, dtype=np.float64) for one in (function.value(x, t), alone)]
    return []


def candidates(function: Function) -> Iterator[Function]:
    """The function with other reductions or another eps, then all others of its kind at their defaults."""
    plain: Any = function
    if "reduction" in vars(plain):
        for reduction in get_args(Reduction):
            yield dataclasses.replace(plain, reduction=reduction)
    if "eps" in vars(plain):
        for eps in EPS_CHOICES:
            yield dataclasses.replace(plain, eps=eps)
    kind: Any = Activation if isinstance(function, Activation) else ErrorFunction
    for other in kind.catalogue.values():
        yield other()


def others_at(
    entry: tuple[int, ...], shape: tuple[int, ...], group: Sequence[Definition], results: dict[str, list[Definition]]
) -> dict[str, Any]:
    """The results of all other public functions of the name at the same entry, one for each library and number."""
    names, found = {one.name for one in group}, {}
    for given in results.values():
        shown: set[float] = set()
        for one in given:
            values = unpack(one.values)
            if one.name in names or values.shape != shape or (value := float(values[entry])) in shown:
                continue
            shown.add(value)
            found[one.name] = json_value(value)
    return found


def describe(example: dict[str, Any], first: Definition, others: dict[str, Any]) -> str:
    """What is computed at the defaults, and what others compute."""
    numbers = example["given"], example["true"]
    digits = next((d for d in DIGITS if len({format_value(x, d) for x in numbers}) > 1), DIGITS[-1])
    parts = [f"{first.call} returns {format_value(example['given'], digits)}"]
    if "given_shape" in example:
        parts[0] += f" in the shape {tuple(example['given_shape'])}"
    if first.options:
        parts[0] += f" with the defaults {first.options}"
    if example["computes"]:
        parts[0] += f", which is {example['computes']}"
    parts.append(f"the definition gives {format_value(example['true'], digits)}")
    parts += [f"{name} gives {format_value(value, digits)}" for name, value in others.items()]
    return "; ".join(parts)


DIGITS = range(6, 18)
"""Digits of results: as many as show the difference."""
