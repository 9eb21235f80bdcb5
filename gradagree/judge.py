"""From a framework's answer to one record: the worst of all comparisons, with its proof."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from gradagree import wire
from gradagree.adapters import Adapter, Answer
from gradagree.arithmetics.model import Model, model
from gradagree.boxcheck import check, check_update
from gradagree.cases import Arrays, Case
from gradagree.comparison import ERROR_BOX, Comparison
from gradagree.conviction import InternalError, convicted
from gradagree.explanation import explained
from gradagree.kinks import OWN, SLOPES
from gradagree.malformed import malformed
from gradagree.probable import out_of_range, probable, same_bits
from gradagree.truth import Truth
from gradagree.verdict import ORDER, Record, Verdict, hexadecimal, number

__all__ = ["Framework", "InternalError", "compared", "failed_probes", "judge"]


@dataclass(frozen=True)
class Framework:
    """What judging needs to know of a framework's process."""

    name: str
    version: str
    device: str
    models: dict[str, Model]

    @classmethod
    def of(cls, name: str, hello: wire.Ready | wire.Absent) -> Framework:
        if isinstance(hello, wire.Absent):
            return cls(name, "", "cpu", {})
        measured = ("accumulator", "flushes", "biases")
        models = {d: model(d, *(probes[name] for name in measured)) for d, probes in hello.probes.items()}
        return cls(name, hello.version, hello.device, models)

    def model(self, dtype: str, mode: str) -> Model:
        """The model of a correct program in one of the framework's modes."""
        adapter = Adapter.catalogue.get(self.name, Adapter)
        return replace(self.models[dtype], fused=mode in adapter.compiled, each_alone=mode in adapter.each_alone)


def judge(
    case: Case,
    arrays: Arrays,
    framework: Framework,
    reply: wire.Answered | wire.Failed,
    index: int = 0,
    rate: float | None = None,
) -> Record:
    """The record of one case x framework x mode; with a rate, of one step of steepest descent too.

    Raises InternalError where the reference is proved wrong.
    """
    common: dict[str, Any] = {
        "index": index, "case": case.alias, "spec": case.spec, "sha256": arrays.sha256, "framework": framework.name,
        "version": framework.version, "mode": reply.mode, "device": framework.device, "dtype": case.dtype,
    }  # fmt: skip
    if isinstance(reply, wire.Failed):
        return Record(**common, **_failed(case, arrays, framework, reply))
    tapped, untapped = wire.unpack_answer(reply.tapped), wire.unpack_answer(reply.untapped)
    wrong = malformed(case, arrays, tapped) or malformed(case, arrays, untapped)
    if wrong is None and tapped.tapped and len(tapped.sensitivities) != len(tapped.inputs):
        wrong = f"{len(tapped.inputs)} inputs but {len(tapped.sensitivities)} sensitivities"
    if wrong is not None:
        return Record(**common, verdict=Verdict.CRASHED, reason=f"its answer is malformed: {wrong}")
    rules = framework.model(case.dtype, reply.mode)
    comparisons = compared(case, arrays, tapped, rules, rate)
    if not tapped.tapped:
        fields = {**_sharpness(comparisons), "seconds": untapped.seconds}
        return Record(**common, **fields, **_end_to_end(case, comparisons, untapped))
    comparisons, found, proof = convicted(case, arrays, tapped, comparisons)
    fields = {**_sharpness(comparisons), "seconds": untapped.seconds}
    fields |= _worst(case, comparisons, found, proof)
    fields |= {"slopes": _slopes(case, comparisons), **explained(case, arrays, tapped, comparisons, rules)}
    if not fields["verdict"].fails and not same_bits(tapped, untapped):
        fields |= _untapped(case, probable(case, arrays, untapped, rules))
    return Record(**common, **fields)


def _failed(case: Case, arrays: Arrays, framework: Framework, reply: wire.Failed) -> dict[str, Any]:
    """The verdict and its reason; a framework may refuse numbers that do not fit the dtype."""
    refused = reply.verdict == Verdict.CRASHED and reply.reason.startswith("raised ")
    if refused and out_of_range(case, arrays, framework.model(case.dtype, reply.mode)):
        return {"verdict": Verdict.OUT_OF_RANGE, "reason": f"an intermediate may not fit the dtype; {reply.reason}"}
    return {"verdict": Verdict(reply.verdict), "reason": reply.reason}


def compared(case: Case, arrays: Arrays, answer: Answer, rules: Model, rate: float | None = None) -> list[Comparison]:
    """Every comparison behind a record: the box check, or the probable check of a mode without taps.

    Forward mode multiplies a tangent that lost digits below the smallest normal number by all that comes after it.
    """
    if answer.tapped:
        found = list(check(case, arrays, answer, rules))
    else:
        found = probable(case, arrays, answer, replace(rules, flushes=True))
    return found if rate is None else [*found, *check_update(arrays, answer, rate, rules)]


def failed_probes(framework: str, hello: wire.Ready, dtype: str) -> Record | None:
    """A finding about the framework itself: it does not compute with the dtype's own numbers. None if it does."""
    found = hello.probes[dtype]
    reasons = [reason for name, (good, reason) in PROBES.items() if found[name] is not good]
    if not reasons:
        return None
    return Record(
        case="000000", spec=f"probe:{dtype}", sha256="", framework=framework, version=hello.version, mode="probe",
        device=hello.device, dtype=dtype, verdict=Verdict.DISAGREE, reason="; ".join(reasons),
    )  # fmt: skip


PROBES = {
    "exact": (True, "a product with 1 loses the last bit: a narrower format is used in between"),
    "fast_math": (False, "fast-math: (x + y) - y is taken for x, or 0 times infinity for a number"),
}


def _sharpness(comparisons: Sequence[Comparison]) -> dict[str, Any]:
    checked = [c for c in comparisons if c.is_gradient] or list(comparisons)
    entries = sum(c.entries for c in checked)
    return {
        "sharpness": number(max(c.sharpness for c in checked)),
        "share": sum(c.sharp for c in checked) / entries if entries else 0.0,
        "ratio": number(max(c.ratio for c in comparisons)),
    }


def _worst(case: Case, comparisons: Sequence[Comparison], found: Comparison, proof: Truth | None) -> dict[str, Any]:
    """The worst comparison; where it is a finding, what is expected there is proved."""
    expected, radius = (found.expected, None) if proof is None else (proof.value, proof.radius)
    same = [c for c in comparisons if c.verdict is found.verdict and c.reason]
    reasons = [f"{function_name(case, c.box)}: {c.reason}" for c in same]
    proved = {"expected": hexadecimal(expected), "expected_radius": hexadecimal(radius)}
    return {"verdict": found.verdict, **_told(case, found), **proved, "reason": "; ".join(dict.fromkeys(reasons))}


def _slopes(case: Case, comparisons: Sequence[Comparison]) -> dict[str, list[str]]:
    """For each kink, the slopes that explain every box with that function, unless all do."""
    found: dict[str, set[str]] = {}
    for c in comparisons:
        for name, slopes in c.slopes.items():
            place = f"{function_name(case, c.box)}: {name}"
            found[place] = found.get(place, {*SLOPES, OWN}) & slopes
    return {place: sorted(slopes) for place, slopes in found.items() if len(slopes) <= len(SLOPES)}


def _untapped(case: Case, comparisons: Sequence[Comparison]) -> dict[str, Any]:
    """The gradient without taps differs in some bit from the one with taps: is it probable?"""
    worst = max(comparisons, key=lambda c: c.ratio)
    if worst.verdict is not Verdict.SUSPECT:
        return {"probable_ratio": number(worst.ratio)}
    reason = "only without taps: the same gradient with taps passes the box check"
    return {"verdict": Verdict.SUSPECT, "probable_ratio": number(worst.ratio), **_told(case, worst), "reason": reason}


def _end_to_end(case: Case, comparisons: Sequence[Comparison], answer: Answer) -> dict[str, Any]:
    """The verdict on a mode without taps."""
    worst = min(comparisons, key=lambda c: (ORDER[c.verdict], -c.ratio))
    how = f"along {len(answer.along)} directions" if answer.along else "every coordinate"
    reason = f"no taps in this mode: {how}, judged end to end by the probable tolerance"
    return {"verdict": worst.verdict, "probable_ratio": number(worst.ratio), **_told(case, worst), "reason": reason}


def _told(case: Case, found: Comparison) -> dict[str, Any]:
    """Where it is, and the numbers."""
    return {
        "box": found.box, "function": function_name(case, found.box), "entry": found.entry,
        "expected": hexadecimal(found.expected), "expected_radius": None,
        "observed": hexadecimal(found.observed), "tolerance": hexadecimal(found.tolerance),
    }  # fmt: skip


def function_name(case: Case, box: int | str) -> str:
    """The activation of a box, or the error function, as canonical text."""
    return str(case.error if box == ERROR_BOX else case.activations[int(box) - 1])
