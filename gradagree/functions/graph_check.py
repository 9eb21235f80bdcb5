"""The record of a framework's answer to a graph of layers: each node is judged alone, on the framework's own numbers.

Importing this module makes `gradagree.checker` judge such cases, and prove the derivatives of layers.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from gradagree.adapters import Answer
from gradagree.adapters.graph_programs import taps_of
from gradagree.arithmetic.model import FORMATS, Model
from gradagree.arithmetic.tape import trace
from gradagree.cases.case import sha256_of
from gradagree.cases.graph_case import GraphArrays, GraphCase
from gradagree.cases.graph_reference import node_values
from gradagree.checker.comparison import Comparison
from gradagree.checker.exact import Enclosure
from gradagree.checker.judge import JUDGES, NUMBERS, CaseJudge, JudgeRequest, sharpness, slopes_of, worst
from gradagree.checker.proofs import PROVERS
from gradagree.checker.response import Failure
from gradagree.checker.verdict import ORDER, Record, Verdict
from gradagree.functions.graph_nodes import NodeCheck, TappedGraph, check_graph
from gradagree.reference.graph import INPUTS
from gradagree.reference.layer import Layer

NOTHING = "every gradient is 0 at these inputs: nothing is checked"


def judge_graph(request: JudgeRequest) -> Record:
    """The record of a framework's answer in one mode. Raises InternalError where the reference is proved wrong."""
    case, arrays, framework, reply, number, _ = request
    fields = answer_fields(request)
    return Record(
        index=number, case=case.alias, spec=case.spec, sha256=arrays.sha256, framework=framework.name,
        version=framework.version, mode=reply.mode, device=framework.device, dtype=case.dtype,
        derivative="taped" if any(f.is_taped for f in case.functions) else "written", **fields,
    )  # fmt: skip


def answer_fields(request: JudgeRequest) -> dict[str, Any]:
    """The fields of a record that say how the answer compares."""
    case, arrays, framework, reply = request[:4]
    if isinstance(reply, Failure):
        if reply.verdict == Verdict.CRASHED and reply.reason.startswith("raised ") and overflows(case, arrays):
            reason = f"an intermediate does not fit the dtype; {reply.reason}"
            return {"verdict": Verdict.OUT_OF_RANGE, "reason": reason}
        return {"verdict": Verdict(reply.verdict), "reason": reply.reason}
    answer = reply.tapped
    wrong = malformed_graph(case, answer)
    if wrong is not None:
        return {"verdict": Verdict.CRASHED, "reason": f"its answer is malformed: {wrong}"}
    model = framework.model(case.dtype, reply.mode)
    key = LastAnswer(case.spec, tuple(type(f) for f in case.functions), arrays.sha256, sha256_of_answer(answer), model)
    if key not in LAST:
        LAST.clear()
        LAST[key] = compared_fields(TappedGraph(case, arrays, answer, model))
    return LAST[key] | {"seconds": answer.seconds}


class LastAnswer(NamedTuple):
    """What the fields of a record depend on; modes with the same numbers share them."""

    spec: str
    kinds: tuple[type, ...]  # names may be defined anew
    sha256: str
    answer: str
    model: Model


LAST: dict[LastAnswer, dict[str, Any]] = {}
"""The fields of the last answer, if there is one."""


def sha256_of_answer(answer: Answer) -> str:
    """A hash of all arrays of an answer (0 equals -0)."""
    maps = {"values": answer.values, "cotangents": answer.cotangents, "gradients": answer.gradients}
    found = {
        f"{kind} {name}": np.where(np.isnan(x), np.nan, x + 0.0)
        for kind, arrays in maps.items() for name, x in arrays.items()
    }  # fmt: skip
    return sha256_of(found | {"E": np.asarray(answer.E, dtype=np.float64)})


def compared_fields(graph: TappedGraph) -> dict[str, Any]:
    """The fields of a record of an answer that is not malformed."""
    case: Any = graph.case
    answer = graph.answer
    comparisons, found, proof = confirmed_graph(check_graph(graph))
    fields = {**sharpness(case, comparisons), "seconds": answer.seconds, **worst(case, comparisons, found, proof)}
    fields |= {"slopes": slopes_of(case, comparisons)}
    gradients = (answer.cotangents[INPUTS], *answer.gradients.values())
    if fields["verdict"] is Verdict.AGREE and not any(np.any(x) for x in gradients):
        fields |= {"verdict": Verdict.UNDECIDED, "reason": NOTHING, "share": 0.0, **dict.fromkeys(NUMBERS)}
    return fields


def overflows(case: GraphCase, arrays: GraphArrays) -> bool:
    """True if a number of the graph, or inside a layer, is too large for the dtype.

    A framework may refuse what follows from it.
    """
    largest, values = FORMATS[case.dtype].largest, node_values(case, arrays)
    numbers = itertools.chain(values, *(intermediates(case, arrays, values, k) for k in range(1, case.depth + 1)))
    return any(not np.all(np.abs(x) <= largest) for x in numbers if x is not None)


def intermediates(case: GraphCase, arrays: GraphArrays, values: Sequence[Any], k: int) -> list[Any]:
    """The floating-point numbers that the formula of layer k computes on the way; none for an activation."""
    node = case.nodes[k - 1]
    if not isinstance(node.operation, Layer):
        return []
    own = (arrays.by_name[name] for name in case.array_shapes if name.startswith(f"{k}."))
    given = [np.asarray(x) for x in (*(values[i] for i in node.inputs), *own)]
    floating = [place for place, x in enumerate(given) if x.dtype.kind == "f"]

    def value(*points: Any) -> Any:
        return node.operation.value(*(points[floating.index(i)] if i in floating else x for i, x in enumerate(given)))

    with np.errstate(all="ignore"):
        points = [given[place] for place in floating]
        found = trace(value, *points).evaluate(points)
    return [x for x in map(np.asarray, found) if x.dtype.kind == "f"]


def graph_comparisons(case: GraphCase, arrays: GraphArrays, answer: Answer, model: Model) -> list[Comparison]:
    """Every comparison behind a record, in the order of the check; none for a malformed answer."""
    if malformed_graph(case, answer) is not None:
        return []
    return [one for one, _ in check_graph(TappedGraph(case, arrays, answer, model))]


def confirmed_graph(
    checked: Sequence[tuple[Comparison, NodeCheck | None]],
) -> tuple[list[Comparison], Comparison, Enclosure | None]:
    """All comparisons, the worst one and, if it is a finding, the exact value of its entry."""
    comparisons = [one for one, _ in checked]
    proved: set[int] = set()
    while True:
        place = min(range(len(comparisons)), key=lambda k: (ORDER[comparisons[k].verdict], -comparisons[k].ratio))
        found, check = comparisons[place], checked[place][1]
        if place in proved or check is None or not (found.verdict.fails or found.verdict is Verdict.INACCURATE):
            return comparisons, found, None
        exact, radius = check.prove(found)
        proved.add(place)
        comparisons[place] = exact
        if exact.verdict is found.verdict:
            return comparisons, exact, None if radius is None else Enclosure(exact.expected, radius)


def malformed_graph(case: GraphCase, answer: Answer) -> str | None:
    """The error in the arrays of an answer, or None."""
    names = [INPUTS, *taps_of(case.nodes)]
    for kind, found in (("values", answer.values), ("cotangents", answer.cotangents)):
        if list(found) != names:
            return f"it holds {len(found)} {kind} for {len(names)} values"
        for name, x in found.items():
            shape = case.value_shapes[name.partition(">")[0]]
            if x.shape != shape:
                return f"the {kind[:-1]} {name} has shape {x.shape}, not {shape}"
    for name in case.parameter_names:
        if name in answer.gradients and answer.gradients[name].shape != case.array_shapes[name]:
            return f"the gradient of {name} has shape {answer.gradients[name].shape}, not {case.array_shapes[name]}"
    return None


def prove_variants(layer: Layer) -> None:
    """Raises UsageError if a layer's vjp, with its defaults or other settings, is not the derivative of its value."""
    from gradagree.functions.layers import example_arrays, prove_layer

    for variant in layer.variants():
        prove_layer(variant, example_arrays(variant, None))


JUDGES[GraphCase] = CaseJudge(judge_graph, graph_comparisons)
PROVERS[Layer] = prove_variants
