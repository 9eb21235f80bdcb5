"""From an answer of a framework to a Record."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from msgspec.structs import replace as replace_of_structs

from gradagree.adapters import Adapter, Answer
from gradagree.arithmetic.model import Model, model
from gradagree.cases.case import Arrays, Case
from gradagree.cases.graph_case import AnyCase, GraphArrays
from gradagree.checker.answers import disturbed, malformed, same_bits
from gradagree.checker.comparison import Comparison
from gradagree.checker.digits import NO_DIGIT
from gradagree.checker.exact import Enclosure, InternalError as InternalError, confirmed, with_digits
from gradagree.checker.explain import explained
from gradagree.checker.forward import Localization
from gradagree.checker.kinks import ADMISSIBLE, FROM_REFERENCE
from gradagree.checker.range import excused, unknown
from gradagree.checker.response import Absent, Failure, Ready, Response
from gradagree.checker.reverse import check, check_all, check_update
from gradagree.checker.statistical import compare_statistically
from gradagree.checker.verdict import ORDER, Record, Verdict, hexadecimal, number
from gradagree.checker.zero_gradients import zero_gradient

NUMBERS = ("entry", "expected", "expected_radius", "observed", "tolerance")
"""The fields of a record about its worst entry."""


def sharpness(case: Case, comparisons: Sequence[Comparison]) -> dict[str, Any]:
    """The fields of a record that say how much a pass means."""
    checked = [c for c in comparisons if c.is_gradient] or list(comparisons)
    entries, blunt = sum(c.entries for c in checked), max(checked, key=lambda c: c.sharpness)
    return {
        "sharpness": number(blunt.sharpness),
        "blunt": f"{case.function(blunt.quantity.node)}: {blunt.part}" if blunt.sharpness else None,
        "share": sum(c.sharp for c in checked) / entries if entries else 0.0,
        "ratio": number(max(c.ratio for c in comparisons)),
    }


def worst(case: Case, comparisons: Sequence[Comparison], found: Comparison, proof: Enclosure | None) -> dict[str, Any]:
    """The worst comparison; if it is a finding, its expected value is proved."""
    expected, radius = (found.expected, None) if proof is None else (proof.value, proof.radius)
    same = [c for c in comparisons if c.verdict is found.verdict and c.reason]
    reasons = [f"{case.function(c.quantity.node)}: {c.reason}" for c in same]
    if found.reason.startswith(NO_DIGIT):
        reasons = [found.reason]
    proved = {"expected": hexadecimal(expected), "expected_radius": hexadecimal(radius)}
    return {"verdict": found.verdict, **location(case, found), **proved, "reason": "; ".join(dict.fromkeys(reasons))}


def unless_zero(case: Case, arrays: Arrays, answer: Answer) -> dict[str, Any]:
    """Undecided if every derivative is zero, unless one is zero everywhere; the operation where the cotangents end."""
    zero = zero_gradient(case, arrays, answer)
    if zero is None:
        return {}
    fields: dict[str, Any] = {"reason": zero.reason(case)}
    if zero.everywhere:
        return fields
    if zero.node is not None:
        fields |= {"box": zero.node.name, "function": str(case.function(zero.node.name))}
    return {**fields, "verdict": Verdict.UNDECIDED, "share": 0.0, **dict.fromkeys(NUMBERS)}


def slopes_of(case: Case, comparisons: Sequence[Comparison]) -> dict[str, list[str]]:
    """For each kink, the admissible derivatives that explain every node with that function, unless all do."""
    found: dict[str, set[str]] = {}
    for c in comparisons:
        for name, slopes in c.slopes.items():
            place = f"{case.function(c.quantity.node)}: {name}"
            found[place] = found.get(place, {*ADMISSIBLE, FROM_REFERENCE}) & slopes
    return {place: sorted(slopes) for place, slopes in found.items() if len(slopes) <= len(ADMISSIBLE)}


def untapped(case: Case, comparisons: Sequence[Comparison], tapped: Verdict) -> dict[str, Any]:
    """The gradient without taps differs in some bit from the one with taps: check it by the probabilistic bound."""
    found = max(comparisons, key=lambda c: c.ratio)
    if found.verdict is not Verdict.SUSPECT:
        return {"probable_ratio": number(found.ratio)}
    vague = tapped in (Verdict.UNDECIDED, Verdict.OUT_OF_RANGE)
    result = f"is {tapped.value} in the per-operation check" if vague else "passes the per-operation check"
    reason = f"only without taps: the same gradient with taps {result}"
    return {
        "verdict": Verdict.SUSPECT,
        "probable_ratio": number(found.ratio),
        **location(case, found),
        "reason": reason,
    }


def without_taps(case: Case, comparisons: Sequence[Comparison], answer: Answer) -> dict[str, Any]:
    """The verdict on forward mode."""
    found = min(comparisons, key=lambda c: (ORDER[c.verdict], -c.ratio))
    how = f"along {len(answer.along)} directions" if answer.along else "every coordinate"
    reason = f"{how}, checked {found.reason or 'end to end by the probabilistic tolerance'}"
    return {"verdict": found.verdict, "probable_ratio": number(found.ratio), **location(case, found), "reason": reason}


def location(case: Case, found: Comparison) -> dict[str, Any]:
    """The fields of a record that say where a comparison is, and its numbers."""
    return {
        "box": found.box, "function": str(case.function(found.quantity.node)), "entry": found.entry,
        "expected": hexadecimal(found.expected), "expected_radius": None,
        "observed": hexadecimal(found.observed), "tolerance": hexadecimal(found.tolerance),
    }  # fmt: skip


@dataclass(frozen=True)
class Framework:
    """A framework's process: name, version, device, and the models of its modes."""

    name: str
    version: str
    device: str
    models: dict[str, Model]
    _of_modes: dict[tuple[str, str], Model] = field(default_factory=dict, compare=False, repr=False)

    @classmethod
    def of(cls, name: str, handshake: Ready | Absent) -> Framework:
        if isinstance(handshake, Absent):
            return cls(name, "", "cpu", {})
        measured = ("accumulator", "flushes", "biases")
        models = {d: model(d, *(probes[name] for name in measured)) for d, probes in handshake.probes.items()}
        return cls(name, handshake.version, handshake.device, models)

    def model(self, dtype: str, mode: str) -> Model:
        """The model of a correct program in one of the framework's modes."""
        if (dtype, mode) not in self._of_modes:
            record = Adapter.mode(f"{self.name}:{mode}")
            self._of_modes[dtype, mode] = replace(
                self.models[dtype], fused=record.fused, per_example=record.per_example
            )
        return self._of_modes[dtype, mode]


class JudgeRequest(NamedTuple):
    """A framework's answer to a case in one mode; with a rate, also after one step of steepest descent."""

    case: Any
    arrays: Any
    framework: Framework
    reply: Response | Failure
    number: int = 0
    rate: float | None = None


def judge(
    case: AnyCase,
    arrays: Arrays | GraphArrays,
    framework: Framework,
    reply: Response | Failure,
    index: int = 0,
    rate: float | None = None,
) -> Record:
    """The record of one case x framework x mode; with a rate, of one step of steepest descent too.

    Raises InternalError where the reference is proved wrong.
    """
    return next(judge_all([JudgeRequest(case, arrays, framework, reply, index, rate)]))


class CaseJudge(NamedTuple):
    """How cases of a kind are judged: the record of an answer, and the comparisons behind one."""

    record: Callable[[JudgeRequest], Record]
    compared: Callable[[Any, Any, Answer, Model], list[Comparison]]


JUDGES: dict[type, CaseJudge] = {}
"""What judges cases other than chains, by their class; a package that builds on this one registers it."""


def judge_all(request: Sequence[JudgeRequest]) -> Iterator[Record]:
    """The records of all requests, in order; the filter processes chains together. Raises InternalError."""
    decoded = [one if type(one.case) in JUDGES else Decoded(one) for one in request]
    comparisons = check_all(one.given for one in decoded if isinstance(one, Decoded) and one.tapped)
    for one in decoded:
        if isinstance(one, Decoded):
            yield one.record(next(comparisons) if one.tapped else iter(()))
        else:
            yield JUDGES[type(one.case)].record(one)


class Decoded:
    """The answer of a response, or the reason why there is none."""

    def __init__(self, request: JudgeRequest) -> None:
        self.request, self.tapped = request, False
        self.fields: dict[str, Any] = {}
        case, arrays, framework, reply = request[:4]
        if isinstance(reply, Failure):
            self.fields = failed(case, arrays, framework, reply)
            return
        self.answer, self.untapped = reply.tapped, reply.untapped
        wrong = malformed(case, arrays, self.answer) or malformed(case, arrays, self.untapped)
        if wrong is None and self.answer.tapped and len(self.answer.cotangents) != len(self.answer.values):
            wrong = f"{len(self.answer.values)} values but {len(self.answer.cotangents)} cotangents"
        if wrong is not None:
            self.fields = {"verdict": Verdict.CRASHED, "reason": f"its answer is malformed: {wrong}"}
            return
        self.rules, self.tapped = framework.model(case.dtype, reply.mode), self.answer.tapped

    @property
    def given(self) -> tuple[Case, Arrays, Answer, Model]:
        return self.request.case, self.request.arrays, self.answer, self.rules

    def record(self, comparisons: Iterator[Comparison]) -> Record:
        """The record; comparisons are those of the per-operation check, where there are taps."""
        case, arrays, framework, reply, number, _ = self.request
        fields = self.fields or self._checked(comparisons)
        unexplained = fields["verdict"] is Verdict.UNDECIDED and not fields["reason"]
        if fields["verdict"] is Verdict.AGREE or unexplained:
            fields |= unless_zero(case, arrays, self.untapped)
        return Record(
            index=number, case=case.alias, spec=case.spec, sha256=arrays.sha256, framework=framework.name,
            version=framework.version, mode=reply.mode, device=framework.device, dtype=case.dtype,
            derivative="taped" if any(f.is_taped for f in (*case.activations, case.error)) else "written", **fields,
        )  # fmt: skip

    def _checked(self, boxed: Iterator[Comparison]) -> dict[str, Any]:
        case, arrays, answer, rules = self.given
        comparisons, finding = [*boxed], None
        if not self.tapped:
            comparisons, finding = end_to_end(case, arrays, answer, self.untapped, rules)
        if self.request.rate is not None:
            comparisons += check_update(case, arrays, answer, self.request.rate, rules)
        if not self.tapped:
            fields = {**sharpness(case, comparisons), "seconds": self.untapped.seconds}
            fields |= without_taps(case, comparisons, self.untapped)
            return fields if finding is None else fields | worst(case, [finding[0]], *finding)
        comparisons, found, proof = confirmed(case, arrays, answer, comparisons)
        fields = {**sharpness(case, comparisons), "seconds": self.untapped.seconds}
        fields |= worst(case, comparisons, found, proof)
        fields |= {"slopes": slopes_of(case, comparisons), **explained(case, arrays, answer, comparisons, rules)}
        if not fields["verdict"].fails and not same_bits(answer, self.untapped):
            others = disturbed(compare_statistically(case, arrays, self.untapped, rules), answer, self.untapped)
            fields |= untapped(case, excused(case, arrays, rules, others), fields["verdict"])
        return fields


def compared(case: Any, arrays: Any, tapped: Answer, untapped: Answer, rules: Model) -> list[Comparison]:
    """Every comparison behind a record: the per-operation check, or the probabilistic check of forward mode."""
    if type(case) in JUDGES:
        return JUDGES[type(case)].compared(case, arrays, tapped, rules)
    if tapped.tapped:
        return [with_digits(case, arrays, tapped, one) for one in check(case, arrays, tapped, rules)]
    return end_to_end(case, arrays, tapped, untapped, rules)[0]


def end_to_end(
    case: Case, arrays: Arrays, tapped: Answer, untapped: Answer, rules: Model
) -> tuple[list[Comparison], tuple[Comparison, Enclosure | None] | None]:
    """The probabilistic check, and the faulty operation behind a suspect with its exact value, or None."""
    found, finding = Localization(case, arrays, tapped, untapped, rules)(
        compare_statistically(case, arrays, untapped, rules)
    )
    return excused(case, arrays, rules, found), finding


def failed(case: Case, arrays: Arrays, framework: Framework, reply: Failure) -> dict[str, Any]:
    """The verdict and its reason; a framework may refuse numbers that do not fit the dtype."""
    refused = reply.verdict == Verdict.CRASHED and reply.reason.startswith("raised ")
    if refused and (unknown(case, arrays, framework.model(case.dtype, reply.mode)) is not None):
        return {"verdict": Verdict.OUT_OF_RANGE, "reason": f"an intermediate may not fit the dtype; {reply.reason}"}
    return {"verdict": Verdict(reply.verdict), "reason": reply.reason}


def failed_probes(framework: str, handshake: Ready, dtype: str) -> Record | None:
    """A finding about the framework itself: it does not compute with the dtype's own numbers. None if it does."""
    found = handshake.probes[dtype]
    reasons = [reason for name, (good, reason) in PROBES.items() if found[name] is not good]
    if not reasons:
        return None
    return Record(
        case="000000", spec=f"probe:{dtype}", sha256="", framework=framework, version=handshake.version, mode="probe",
        device=handshake.device, dtype=dtype, verdict=Verdict.DISAGREE, reason="; ".join(reasons),
    )  # fmt: skip


PROBES = {
    "exact": (True, "a product with 1 loses the last bit: a narrower format is used in between"),
    "fast_math": (False, "fast-math: (x + y) - y is taken for x, or 0 times infinity for a number"),
}


class Last(NamedTuple):
    """A framework's last answer and the index of its record."""

    case: Case
    model: Model
    answer: Response
    record: list[Record]


class Judge:
    """Turns answers into records in order of arrival; remembers the last answer of each framework.

    Two modes of a framework (``backward`` and ``grad``) often give the very same bits, which one check covers.
    """

    def __init__(self) -> None:
        self._last: dict[str, Last] = {}

    def __call__(self, answers: Sequence[JudgeRequest]) -> Iterator[Record]:
        """The records of several answers, processed together."""
        places = [self._place(request) for request in answers]
        made = judge_all([request for request, (known, _) in zip(answers, places, strict=True) if not known])
        for request, (known, record) in zip(answers, places, strict=True):
            if known and isinstance(request.reply, Response):
                yield replace_of_structs(record[0], mode=request.reply.mode, seconds=request.reply.untapped.seconds)
            else:
                record.append(next(made))
                yield record[0]

    def _place(self, request: JudgeRequest) -> tuple[bool, list[Record]]:
        """True if the framework's last answer was the same, and the index of its record."""
        case, _, framework, answer = request[:4]
        if isinstance(answer, Failure):
            return False, []
        model, last = framework.model(case.dtype, answer.mode), self._last.get(framework.name)
        if last is not None and (last.case, last.model) == (case, model) and last.answer.same_bits(answer):
            return True, last.record
        self._last[framework.name] = Last(case, model, answer, [])
        return False, self._last[framework.name].record
