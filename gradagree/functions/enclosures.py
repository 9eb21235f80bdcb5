"""The values and gradients of a graph with the tolerance of a correct program, for each way to keep intermediates."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from gradagree.arithmetic.duck import quiet
from gradagree.arithmetic.majorants import given_products
from gradagree.arithmetic.model import FORMATS, OUTWARD, OWN, Format, Model, model
from gradagree.arithmetic.rounded import Rounded
from gradagree.arithmetic.rounding import is_representable
from gradagree.arithmetic.variance import DEVIATIONS, Variance
from gradagree.functions.batches import Batch, Evaluation, batch_of
from gradagree.functions.opmath import OPMATH, Storing, storing_of, turned
from gradagree.functions.sampling import SAMPLES, Sampler, Samples
from gradagree.reference.graph import Graph

LADDER = ("wide", "stored")
"""Where intermediates are kept: in the accumulator's format, or in the dtype."""
FLUSHED = ", subnormals flushed"
"""Ends the name of an arithmetic in which subnormal numbers may become zero."""
PRODUCTS = ", products in "
"""Begins the part of the name that says to which format the device rounds the factors of matrix products."""
TF32 = Format("tf32", "tf32", 11, 127, -126)
"""The exponents of float32 and 11 significant bits (NVIDIA A100 Tensor Core GPU Architecture, 2020)."""
REDUCED = {"tf32": TF32, "bfloat16": FORMATS["bfloat16"], "float32": FORMATS["float32"]}
"""Formats to which a device may round the factors of matrix products of wider numbers."""
SUMS = "sums in "
"""Begins the name of an arithmetic in which partial sums are rounded to the dtype as well: a loss of digits."""


@dataclass(frozen=True)
class Expected:
    """An array that a correct program computes, as value and tolerance.

    probable: Tolerance in the probabilistic model, or None.
    correlated: Gives that tolerance where errors are not independent; evaluated for an array beyond the other one.
    least: Gives a lower bound of that, from this number of samples.
    ordered: Gives the tolerance of sums in the order of their terms; evaluated for an array beyond all others.
    """

    value: np.ndarray
    radius: np.ndarray
    probable: np.ndarray | None = None
    correlated: Callable[[], np.ndarray] | None = None
    least: Callable[[int], np.ndarray] | None = None
    ordered: Callable[[], np.ndarray] | None = None

    @property
    def tolerance(self) -> np.ndarray:
        """The smaller of both tolerances."""
        return self.radius if self.probable is None else np.fmin(self.radius, self.probable)

    def put(self, place: slice, rows: Expected) -> None:
        """Write these rows."""
        self.value[place], self.radius[place] = rows.value, rows.radius


def narrowest(dtypes: Sequence[str]) -> str:
    """The dtype with the fewest digits."""
    return min(dtypes, key=lambda d: FORMATS[d].precision)


def interior(rung: str, dtype: str) -> Model:
    """The rounding model of the operations inside a function of this dtype."""
    stored = model(dtype)
    if rung.startswith(SUMS):
        return model(dtype, accumulator=dtype)
    if PRODUCTS in rung:
        kept, _, form = rung.partition(PRODUCTS)
        return replace(interior(kept, dtype), products=REDUCED[form])
    if rung.endswith(FLUSHED):
        return replace(interior(rung.removesuffix(FLUSHED), dtype), flushes=True)
    wide = rung in ("wide", *OPMATH) and stored.narrow
    return replace(model(stored.accumulator.name), lowest=stored.format) if wide else stored


def enclose(
    graph: Graph, inputs: Sequence[Any], cotangents: Sequence[Any], rung: str, dtype: str, stores: Sequence[str],
    order: int = 1,
) -> tuple[list[Expected], list[Expected | None]]:  # fmt: skip
    """The outputs and the gradients of a graph with worst-case tolerances.

    Args:
        graph: The reference.
        inputs: One array for each input, as float64.
        cotangents: One for each output; None for an output without one.
        rung: ``"wide"``, ``"opmath"``, ``"opmath forward"`` or ``"stored"``.
        dtype: The dtype of the function.
        stores: The dtypes of the outputs, then of the inputs, in which the results are stored.
        order: 2 for the gradient of a gradient, which is linear in its cotangents: a program may round the term of each
            cotangent by itself, where the graph adds cotangents first.

    Returns:
        The outputs, and the gradient of each input; None for an input that no output depends on.
    """
    inside = interior(rung, dtype)
    formats = [replace(model(name), flushes=inside.flushes) for name in stores]
    storing = storing_of(graph, rung, inside, model(dtype))
    keep = None if storing is None else storing.keep
    with quiet():
        if order == 1 and (batch := batch_of(graph, inputs)) is not None:
            return enclose_by_rows(batch, inputs, cotangents, inside, formats, storing)
        lifted = [lift(x, inside) if is_floating(x) else x for x in inputs]
        seeds = [None if g is None else lift(g, inside) for g in cotangents]
        if order > 1:
            seeds = [g if g is None else g.widen(inside.formula * inside.u * np.abs(g.value)) for g in seeds]
        values = graph.evaluate(lifted, keep)
        gradients = graph.vjp(turned(storing, values), turned(storing, seeds), add_in_any_order, keep)
        results = graph.results(values)
        outputs = [store(y, inside, last) for y, last in zip(results, formats, strict=False)]
        both = zip(gradients, formats[len(results) :], strict=True)
        return outputs, [g if g is None else store(g, inside, last) for g, last in both]


def enclose_by_rows(
    batch: Batch, inputs: Sequence[Any], cotangents: Sequence[Any], inside: Model, formats: Sequence[Model],
    storing: Storing | None = None,
) -> tuple[list[Expected], list[Expected | None]]:  # fmt: skip
    """As `enclose`, some rows at a time."""
    graph, count = batch.graph, len(batch.graph.outputs)
    evaluation = Evaluation(batch, lambda x: lift(x, inside) if is_floating(x) else x, add_in_any_order, storing)
    shared = evaluation.shared(inputs)
    outputs = [unknown(graph.sizes[y.number]) for y in graph.outputs]
    found: list[Expected | None] = [None for _ in inputs]
    for place in batch.slices():
        results, gradients = evaluation.rows(inputs, cotangents, place, shared)
        for whole, y, last in zip(outputs, results, formats, strict=False):
            whole.put(place, store(y, inside, last))
        for k, (g, last) in enumerate(zip(gradients, formats[count:], strict=True)):
            if g is not None:
                whole = found[k] = found[k] or unknown(np.shape(inputs[k]))
                whole.put(place, store(g, inside, last))
    for k, g in enumerate(evaluation.shared_gradients(shared)):
        found[k] = found[k] if g is None else store(g, inside, formats[count + k])
    return outputs, found


def unknown(shape: Sequence[int]) -> Expected:
    """An array whose rows are yet to come."""
    return Expected(np.empty(shape), np.empty(shape))


def probable(
    graph: Graph, inputs: Sequence[Any], cotangents: Sequence[Any], rung: str, dtype: str, ordered: bool = False
) -> tuple[list[Any], list[Any]]:
    """The tolerances of the outputs and gradients in the probabilistic model; None for those without one.

    With ordered, partial sums are those in the order of the terms.
    """
    inside = replace(interior(rung, dtype), ordered=ordered)
    known = Variance.stored(0.0, inside)
    storing = storing_of(graph, rung, inside, model(dtype))
    keep = None if storing is None else storing.keep
    batch = batch_of(graph, inputs)
    if batch is not None and batch.is_elementwise:
        return probable_by_rows(batch, inputs, cotangents, known, model(dtype), storing)
    lifted = [known._lift(x) if is_floating(x) else x for x in inputs]
    seeds = [None if g is None else known._lift(g) for g in cotangents]
    with quiet():
        values = graph.evaluate(lifted, keep)
        arrays = graph.results(values), graph.vjp(turned(storing, values), turned(storing, seeds), keep=keep)
    first, second = ([probable_tolerance(x, model(dtype)) for x in xs] for xs in arrays)
    return first, second


def probable_by_rows(
    batch: Batch, inputs: Sequence[Any], cotangents: Sequence[Any], known: Variance, last: Model,
    storing: Storing | None = None,
) -> tuple[list[Any], list[Any]]:  # fmt: skip
    """As `probable`, some rows at a time."""
    evaluation = Evaluation(batch, lambda x: known._lift(x) if is_floating(x) else x, None, storing)
    count, found = len(batch.graph.outputs), dict[int, np.ndarray]()
    with quiet():
        for place in batch.slices():
            outputs, gradients = evaluation.rows(inputs, cotangents, place, {})
            for k, x in enumerate([*outputs, *gradients]):
                if (tolerance := probable_tolerance(x, last)) is not None:
                    whole = found.setdefault(k, np.empty((batch.rows, *tolerance.shape[1:])))
                    whole[place] = tolerance
    both = [found.get(k) for k in range(count + len(inputs))]
    return both[:count], both[count:]


def probable_tolerance(x: Any, last: Model) -> Any:
    """The tolerance of a result that is stored in a dtype; None for one without a variance."""
    if not isinstance(x, Variance):
        return None
    return x.tolerance + (DEVIATIONS * last.u * np.abs(x.value) if x.model.u < last.u else 0.0)


def sampled(
    graph: Graph, inputs: Sequence[Any], cotangents: Sequence[Any], rung: str, dtype: str,
    assumed: tuple[list[Any], list[Any]],
) -> tuple[list[Any], list[Any]]:  # fmt: skip
    """The probabilistic tolerances where errors are not independent, from samples of the errors of the whole graph.

    assumed are the tolerances for independent errors.
    """
    inside = interior(rung, dtype)
    return SampledTolerances(functools.partial(Sampler, graph, inputs, cotangents, inside), inside, assumed).all


class SampledTolerances:
    """The tolerances from samples of the errors of a whole graph, of which some samples give a lower bound.

    Args:
        sampler: Makes the sampler.
        inside: The rounding model.
        assumed: The tolerances for independent errors.
    """

    def __init__(self, sampler: Callable[[], Sampler], inside: Model, assumed: tuple[list[Any], list[Any]]) -> None:
        self.sampler, self.inside, self.assumed = sampler, inside, assumed

    @functools.cached_property
    def samples(self) -> Samples | None:
        """The samples; None where a matrix is singular, so that there are no numbers to sample around."""
        try:
            found = Samples(self.sampler())
            found.deviations(1)
        except np.linalg.LinAlgError:
            return None
        return found

    @functools.cached_property
    def all(self) -> tuple[list[Any], list[Any]]:
        """The tolerances of the outputs and of the gradients."""
        try:
            deviations = None if self.samples is None else self.samples.deviations(SAMPLES)
        except np.linalg.LinAlgError:
            deviations = None
        if deviations is None:
            return self.assumed
        both = zip(self.assumed, deviations, strict=True)
        first, second = ([widened(t, d, self.inside) for t, d in zip(*pair, strict=True)] for pair in both)
        return first, second

    def least(self, which: int, k: int, drawn: int) -> np.ndarray:
        """A lower bound of one of them from some samples; from none that of the smallest numbers of the dtype."""
        if drawn == 0:
            return np.full(np.shape(self.assumed[which][k]), DEVIATIONS * self.inside.quantum)
        if self.samples is None:
            return np.zeros(np.shape(self.assumed[which][k]))
        deviation = self.samples.deviations(drawn)[which][k]
        return np.asarray(DEVIATIONS * (deviation + self.inside.quantum))


def widened(tolerance: Any, deviation: Any, inside: Model) -> Any:
    """The tolerance by sampled deviations.

    The sampled deviation of one entry is uncertain, so every entry has at least the tolerance for independent errors,
    times the ratio of both in the mean.
    """
    if tolerance is None or deviation is None:
        return tolerance
    own = DEVIATIONS * (deviation + inside.quantum)
    known = np.isfinite(own) & np.isfinite(tolerance) & (tolerance > 0)
    ratio = np.sqrt(np.mean(np.square(own[known] / tolerance[known]))) if known.any() else 1.0
    return np.maximum(own, tolerance * ratio)


def lift(x: Any, inside: Model) -> Rounded:
    """Numbers that the function is given, or NaN: exact, except for those of a wider dtype, which may be rounded."""
    x = np.asarray(x, dtype=np.float64)
    exact = is_representable(x, inside.format)
    if not exact and (unknown := np.isnan(x)).any():
        exact = is_representable(np.where(unknown, 0.0, x), inside.format)
    return Rounded.stored(x, inside) if exact else Rounded.constant(x, inside)


def is_floating(x: Any) -> bool:
    return np.asarray(x).dtype.kind == "f"


def store(x: Any, inside: Model, last: Model) -> Expected:
    """A result rounded to the dtype in which it is returned."""
    if not isinstance(x, Rounded):
        x = Rounded.constant(np.asarray(x, dtype=np.float64), inside)
    value, radius = x.value, x.radius
    if x.model.u < last.u:
        size = np.abs(value) + radius
        radius = np.where(size == 0, 0.0, (radius + (last.u + OWN) * size + last.quantum) * OUTWARD)
        radius = np.where(size + radius > last.format.largest, np.inf, radius)
    return Expected(value, radius)


def add_in_any_order(parts: list[Any]) -> Any:
    """The sum of the contributions to one cotangent, in whatever order the program adds them."""
    total = parts[0]
    for part in parts[1:]:
        total = np.add(total, part)
    if not isinstance(total, Rounded) or len(parts) == 2:
        return total
    sizes = sum(np.abs(p.value) + p.radius if isinstance(p, Rounded) else np.abs(p) for p in parts)
    return total.widen(len(parts) * total.model.u * sizes)


def is_sharp(expected: Sequence[Expected | None], dtype: str) -> bool:
    """True if worst-case tolerances leave three quarters of the digits of a dtype: no other is needed."""
    for one in expected:
        if one is None or not one.value.size:
            continue
        if not np.max(one.radius) <= FORMATS[dtype].u ** 0.75 * np.max(np.abs(one.value)):
            return False
    return True


def with_probable(
    expected: Expected, tolerance: np.ndarray | None, correlated: Callable[[], np.ndarray] | None = None, **more: Any
) -> Expected:
    return replace(expected, probable=tolerance, correlated=correlated, **more)


def expect(
    graph: Graph, inputs: Sequence[Any], cotangents: Sequence[Any], rung: str, dtype: str, stores: Sequence[str],
    order: int = 1,
) -> tuple[list[Expected], list[Expected | None]]:  # fmt: skip
    """As `enclose`, with the probabilistic tolerances where the worst case is not sharp."""
    with given_products([*inputs, *cotangents]):
        return expect_both_tolerances(graph, inputs, cotangents, rung, dtype, stores, order)


def expect_both_tolerances(
    graph: Graph, inputs: Sequence[Any], cotangents: Sequence[Any], rung: str, dtype: str, stores: Sequence[str],
    order: int,
) -> tuple[list[Expected], list[Expected | None]]:  # fmt: skip
    """As `expect`."""
    values, gradients = enclose(graph, inputs, cotangents, rung, dtype, stores, order)
    if order > 1 or is_sharp([*values, *gradients], dtype):
        return values, gradients
    assumed = probable(graph, inputs, cotangents, rung, dtype)
    if rung in OPMATH:  # a coarser arithmetic follows, with samples
        values = [with_probable(y, t) for y, t in zip(values, assumed[0], strict=True)]
        return values, [g if g is None else with_probable(g, t) for g, t in zip(gradients, assumed[1], strict=True)]
    inside = interior(rung, dtype)
    samples = SampledTolerances(functools.partial(Sampler, graph, inputs, cotangents, inside), inside, assumed)

    in_order = functools.cache(lambda: probable(graph, inputs, cotangents, rung, dtype, True))

    def wrapped(one: Expected, which: int, k: int) -> Expected:
        least = functools.partial(samples.least, which, k)
        more = {"least": least, "ordered": lambda: in_order()[which][k]}
        return with_probable(one, assumed[which][k], lambda: samples.all[which][k], **more)

    values = [wrapped(y, 0, k) for k, y in enumerate(values)]
    return values, [g if g is None else wrapped(g, 1, k) for k, g in enumerate(gradients)]
