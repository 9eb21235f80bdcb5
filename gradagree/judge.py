"""From a framework's answer to one record: the worst of all comparisons, with its proof."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from gradagree.adapters import Adapter, Answer
from gradagree.arithmetics.model import Model, model
from gradagree.boxcheck import check, check_update, checked
from gradagree.cases import Arrays, Case
from gradagree.checker.statistical import probable
from gradagree.clearance import Clearance
from gradagree.comparison import Comparison
from gradagree.conviction import InternalError as InternalError, convicted
from gradagree.disturbance import disturbed, same_bits
from gradagree.explanation import explained
from gradagree.malformed import malformed
from gradagree.recorded import sharpness, slopes_of, untapped, without_taps, worst
from gradagree.responses import Absent, Failure, Ready, Response
from gradagree.truth import Enclosure
from gradagree.unfit import excused, unknown
from gradagree.verdict import Record, Verdict


@dataclass(frozen=True)
class Framework:
    """What judging needs to know of a framework's process."""

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
            self._of_modes[dtype, mode] = replace(self.models[dtype], fused=record.fused, each_alone=record.per_example)
        return self._of_modes[dtype, mode]


class Asked(NamedTuple):
    """A framework's answer to a case in one mode; with a rate, after one step of steepest descent too."""

    case: Case
    arrays: Arrays
    framework: Framework
    reply: Response | Failure
    number: int = 0
    rate: float | None = None


def judge(
    case: Case,
    arrays: Arrays,
    framework: Framework,
    reply: Response | Failure,
    index: int = 0,
    rate: float | None = None,
) -> Record:
    """The record of one case x framework x mode; with a rate, of one step of steepest descent too.

    Raises InternalError where the reference is proved wrong.
    """
    return next(judge_all([Asked(case, arrays, framework, reply, index, rate)]))


def judge_all(asked: Sequence[Asked]) -> Iterator[Record]:
    """The records of all, in their order; what is cheap is looked at together. Raises InternalError."""
    opened = [Opened(one) for one in asked]
    comparisons = checked(one.given for one in opened if one.tapped)
    return (one.record(next(comparisons) if one.tapped else iter(())) for one in opened)


class Opened:
    """An answer taken out of its message, unless it is none or malformed."""

    def __init__(self, asked: Asked) -> None:
        self.asked, self.tapped = asked, False
        self.fields: dict[str, Any] = {}
        case, arrays, framework, reply = asked[:4]
        if isinstance(reply, Failure):
            self.fields = failed(case, arrays, framework, reply)
            return
        self.answer, self.untapped = reply.tapped, reply.untapped
        wrong = malformed(case, arrays, self.answer) or malformed(case, arrays, self.untapped)
        if wrong is None and self.answer.tapped and len(self.answer.cotangents) != len(self.answer.values):
            wrong = f"{len(self.answer.values)} inputs but {len(self.answer.cotangents)} sensitivities"
        if wrong is not None:
            self.fields = {"verdict": Verdict.CRASHED, "reason": f"its answer is malformed: {wrong}"}
            return
        self.rules, self.tapped = framework.model(case.dtype, reply.mode), self.answer.tapped

    @property
    def given(self) -> tuple[Case, Arrays, Answer, Model]:
        return self.asked.case, self.asked.arrays, self.answer, self.rules

    def record(self, comparisons: Iterator[Comparison]) -> Record:
        """The record; comparisons are those of the box check, where there are taps."""
        case, arrays, framework, reply, number, _ = self.asked
        fields = self.fields or self._judged(comparisons)
        return Record(
            index=number, case=case.alias, spec=case.spec, sha256=arrays.sha256, framework=framework.name,
            version=framework.version, mode=reply.mode, device=framework.device, dtype=case.dtype, **fields,
        )  # fmt: skip

    def _judged(self, boxed: Iterator[Comparison]) -> dict[str, Any]:
        case, arrays, answer, rules = self.given
        comparisons, guilty = [*boxed], None
        if not self.tapped:
            comparisons, guilty = end_to_end(case, arrays, answer, self.untapped, rules)
        if self.asked.rate is not None:
            comparisons += check_update(arrays, answer, self.asked.rate, rules)
        if not self.tapped:
            fields = {**sharpness(comparisons), "seconds": self.untapped.seconds}
            fields |= without_taps(case, comparisons, self.untapped)
            return fields if guilty is None else fields | worst(case, [guilty[0]], *guilty)
        comparisons, found, proof = convicted(case, arrays, answer, comparisons)
        fields = {**sharpness(comparisons), "seconds": self.untapped.seconds}
        fields |= worst(case, comparisons, found, proof)
        fields |= {"slopes": slopes_of(case, comparisons), **explained(case, arrays, answer, comparisons, rules)}
        if not fields["verdict"].fails and not same_bits(answer, self.untapped):
            others = disturbed(probable(case, arrays, self.untapped, rules), answer, self.untapped)
            fields |= untapped(case, excused(case, arrays, rules, others), fields["verdict"])
        return fields


def compared(case: Case, arrays: Arrays, tapped: Answer, untapped: Answer, rules: Model) -> list[Comparison]:
    """Every comparison behind a record: the box check, or the probable check of forward mode."""
    if tapped.tapped:
        return list(check(case, arrays, tapped, rules))
    return end_to_end(case, arrays, tapped, untapped, rules)[0]


def end_to_end(
    case: Case, arrays: Arrays, tapped: Answer, untapped: Answer, rules: Model
) -> tuple[list[Comparison], tuple[Comparison, Enclosure | None] | None]:
    """The probable check, and the box that is guilty of what it suspects, with what is true there, or None."""
    found, guilty = Clearance(case, arrays, tapped, untapped, rules)(probable(case, arrays, untapped, rules))
    return excused(case, arrays, rules, found), guilty


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
