"""What can be wrong with an answer at one point: the classes, what each means, and how bad it is."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum


class Severity(IntEnum):
    """How loudly a finding is told; the higher the worse."""

    NOTE = 0
    LOW = 1
    MEDIUM = 2
    HIGH = 3


class Code(IntEnum):
    """The class of an answer; of several the last one holds."""

    RIGHT = 0
    CANCELLED = 1
    INACCURATE = 2
    DIGITS = 3
    NO_DIGIT = 4
    ZERO = 5
    SIGN = 6
    NONFINITE = 7
    KINK = 8
    JUMP = 9
    INFINITY = 10
    NAN_LOST = 11
    OVERFLOW = 12
    MODES = 13
    SHAPE = 14
    MASK = 15


@dataclass(frozen=True)
class Class:
    """A name for people, how bad it is, and its definition."""

    name: str
    severity: Severity
    definition: str


CLASSES: dict[Code, Class] = {
    Code.NONFINITE: Class(
        "not finite", Severity.HIGH, "NaN or infinity, where the input is finite and the truth is a number of the dtype"
    ),
    Code.SIGN: Class("wrong sign", Severity.HIGH, "the sign is wrong, and both numbers are beyond underflow"),
    Code.NO_DIGIT: Class("no correct digit", Severity.HIGH, "the error is at least half of the truth"),
    Code.KINK: Class(
        "outside the slopes", Severity.HIGH, "at a kink: neither between the one-sided derivatives, nor 0"
    ),
    Code.JUMP: Class("outside the jump", Severity.HIGH, "where the value jumps: neither of both sides, nor between"),
    Code.MASK: Class(
        "not finite at a mask", Severity.MEDIUM,
        "logits, some of them masked by -infinity: NaN or infinity, where the truth is a number of the dtype",
    ),
    Code.SHAPE: Class(
        "depends on shape", Severity.MEDIUM, "the same input has another answer alone, or at another place of a vector"
    ),
    Code.MODES: Class(
        "modes differ", Severity.MEDIUM,
        "a mode departs from the framework's first one in half the digits or more, or at a kink; one of both is right",
    ),
    Code.ZERO: Class(
        "early zero", Severity.MEDIUM, "0, where the truth is 64 times the size at which underflow begins, or more"
    ),
    Code.DIGITS: Class("half the digits", Severity.MEDIUM, "the error is 2^(precision/2) ulp or more"),
    Code.INACCURATE: Class("inaccurate", Severity.LOW, "the error is 16 ulp or more"),
    Code.CANCELLED: Class(
        "ill-conditioned", Severity.LOW,
        "16 ulp or more, but an input within 8 units of the last place (of its size; of 1 for error functions) "
        "has it; or it is small beside the function's size nearby, where that passes zero",
    ),
    Code.INFINITY: Class(
        "at infinity", Severity.LOW,
        "an input is infinite: the answer is not the one that all numbers from 2^1100 to 2^1101 have",
    ),
    Code.NAN_LOST: Class("NaN lost", Severity.LOW, "the input is NaN and the answer is a number"),
    Code.OVERFLOW: Class("NaN for infinity", Severity.LOW, "NaN, where the truth is beyond the dtype's largest number"),
}  # fmt: skip
"""The worst first."""


def table() -> str:
    """The classes as a table in Markdown."""
    lines = ["| class | severity | means |", "| --- | --- | --- |"]
    lines += [f"| {one.name} | {one.severity.name.lower()} | {one.definition} |" for one in CLASSES.values()]
    return "\n".join(lines) + "\n"
