"""Proof of the expected entry of a finding: ball arithmetic on the whole graph, or an enclosure in float64."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import flint
import msgspec
import numpy as np

from gradagree.arithmetic.ball import LADDER as PRECISIONS, Ball, is_narrow, precision
from gradagree.arithmetic.duck import NoRule
from gradagree.checker.verdict import Verdict, hexadecimal, plain
from gradagree.functions.enclosures import enclose, is_floating
from gradagree.functions.records import GradientRecord
from gradagree.functions.tangents import enclose_tangents, move
from gradagree.reference.graph import Graph, Value

MOST_OPERATIONS = 200_000
"""Operations on single numbers up to which a graph is evaluated in ball arithmetic: about a second."""
DIGITS = 60
"""Bits of a proved value, a few more than float64 holds."""
MOST_BITS = 512
UNPROVED = "the exact value does not exclude the observed one"
CONTRADICTED = "the reference in float64 is farther from the exact value than its own tolerance"


class Proof(NamedTuple):
    """An interval that holds the exact value: middle and radius."""

    value: float
    radius: float

    def excludes(self, observed: float) -> bool:
        """True if a number is certainly not the exact value."""
        return not abs(observed - self.value) <= self.radius

    def contradicts(self, value: float, tolerance: float) -> bool:
        """True if the exact value is certainly farther from the reference's own value than its tolerance."""
        return abs(value - self.value) - self.radius > tolerance


def operations(graph: Graph, inputs: Sequence[np.ndarray]) -> int:
    """Number of operations on single numbers in the evaluation of a graph and its vjp."""
    with np.errstate(all="ignore"):
        sizes = [np.shape(x) for x in graph.evaluate(inputs)]
    total = 0
    for step in graph.applications:
        operands = [sizes[x.number] for x in step.operands if isinstance(x, Value)]
        terms = np.shape(graph.operands(step, [np.empty(s) for s in sizes])[0])[-1] if is_product(step) else 1
        total += max(math.prod(shape) for shape in (*operands, sizes[step.output.number])) * terms
    return 3 * total


def is_product(step: Any) -> bool:
    return step.operation.name in ("matmul", "complex matmul", "dft")


def prove(
    graph: Graph, inputs: Sequence[np.ndarray], cotangents: Sequence[Any], quantity: str, number: int,
    index: tuple[int, ...],
) -> Proof | None:  # fmt: skip
    """An interval that holds the exact value of one entry of an output or a gradient.

    Args:
        graph: The reference.
        inputs: Its inputs, stored numbers as float64.
        cotangents: Those of its outputs; None for an output without one.
        quantity: ``"value"`` or ``"gradient"``.
        number: The output, or the input that the gradient belongs to.
        index: The entry.

    Returns:
        The interval; None where neither arithmetic knows the value.
    """
    if operations(graph, inputs) <= MOST_OPERATIONS:
        proof = by_balls(graph, inputs, cotangents, quantity, number, index)
        if proof is not None:
            return proof
    names = ["float64"] * (len(graph.outputs) + len(graph.inputs))
    try:
        values, gradients = enclose(graph, inputs, cotangents, "stored", "float64", names)
    except NoRule:
        return None
    found = values[number] if quantity == "value" else gradients[number]
    if found is None:
        return Proof(0.0, 0.0)
    proof = Proof(float(found.value[index]), float(found.radius[index]))
    return proof if math.isfinite(proof.value) and math.isfinite(proof.radius) else None


def by_balls(
    graph: Graph, inputs: Sequence[np.ndarray], cotangents: Sequence[Any], quantity: str, number: int,
    index: tuple[int, ...],
) -> Proof | None:  # fmt: skip
    """The interval by ball arithmetic, at the first precision at which it is narrow enough."""

    def entry() -> flint.arb | None:
        lifted = [Ball.exact(x) if is_floating(x) else x for x in inputs]
        seeds = [None if g is None else Ball.exact(g) for g in cotangents]
        values = graph.evaluate(lifted)
        arrays = graph.results(values) if quantity == "value" else graph.vjp(values, seeds)
        return None if arrays[number] is None else Ball.entry(arrays[number], index)

    return at_precisions(entry)


def at_precisions(entry: Callable[[], flint.arb | None]) -> Proof | None:
    """The interval of a number that is computed in ball arithmetic; None stands for the number 0."""
    for bits in PRECISIONS[: PRECISIONS.index(MOST_BITS) + 1]:
        with precision(bits), np.errstate(all="ignore"):
            try:
                ball = entry()
            except (NoRule, ValueError, ZeroDivisionError):
                return None
            if ball is None:
                return Proof(0.0, 0.0)
            if ball.is_finite() and (is_narrow(ball, DIGITS) or bits == MOST_BITS):
                middle = float(ball.mid())
                return Proof(middle, float(np.nextafter(float((ball - middle).abs_upper()), np.inf)))
    return None


def prove_tangent(
    graph: Graph, inputs: Sequence[np.ndarray], tangents: Sequence[Any], number: int, index: tuple[int, ...]
) -> Proof | None:
    """As `prove`, for one entry of the tangent of an output."""
    if operations(graph, inputs) <= MOST_OPERATIONS:
        proof = at_precisions(lambda: Ball.entry(move(graph, inputs, tangents, Ball.exact)[number], index))
        if proof is not None:
            return proof
    found = enclose_tangents(graph, inputs, tangents, "stored", "float64", ["float64"] * len(graph.outputs))[number]
    proof = Proof(float(found.value[index]), float(found.radius[index]))
    return proof if math.isfinite(proof.value) and math.isfinite(proof.radius) else None


def with_proof(record: GradientRecord, proof: Proof | None) -> GradientRecord:
    """A finding with its proved value; undecided if the proof does not exclude what was observed."""
    if proof is None:
        return record
    observed = math.nan if record.observed is None else plain(record.observed)
    found = msgspec.structs.replace(
        record, expected=hexadecimal(proof.value), expected_radius=hexadecimal(proof.radius)
    )
    if proof.contradicts(plain(record.expected), plain(record.tolerance)):
        return msgspec.structs.replace(found, verdict=Verdict.UNDECIDED, reason=CONTRADICTED)
    if math.isfinite(observed) and not proof.excludes(observed):
        return msgspec.structs.replace(found, verdict=Verdict.UNDECIDED, reason=UNPROVED)
    return found


def prove_findings(
    graph: Graph, inputs: Sequence[np.ndarray], cotangents: Sequence[Any], records: Sequence[GradientRecord],
    results: Sequence[str], names: Sequence[str],
) -> list[GradientRecord]:  # fmt: skip
    """The records, with the proved value in each failing one that has an entry.

    Args:
        graph: The reference.
        inputs: Its inputs.
        cotangents: Those of its outputs, ordinary arrays.
        records: Records of values and gradients.
        results: Names of the outputs.
        names: Names of the inputs.
    """
    found = []
    for record in records:
        if record.verdict.fails and record.entry is not None and record.quantity in ("value", "gradient"):
            known = results if record.quantity == "value" else names
            number = list(known).index(record.name)
            proof = prove(graph, inputs, cotangents, record.quantity, number, record.entry)
            record = with_proof(record, proof)
        found.append(record)
    return found


def prove_tangents(
    graph: Graph, inputs: Sequence[np.ndarray], tangents: Sequence[Any], records: Sequence[GradientRecord],
    results: Sequence[str],
) -> list[GradientRecord]:  # fmt: skip
    """The records, with the proved value in each failing one of a tangent."""
    return [
        with_proof(record, prove_tangent(graph, inputs, tangents, list(results).index(record.name), record.entry))
        if record.verdict.fails and record.entry is not None and record.quantity == "tangent" else record
        for record in records
    ]  # fmt: skip
