"""Judging one answer after the other: the same numbers twice are judged once."""

from __future__ import annotations

from typing import Any, NamedTuple

from msgspec.structs import replace

from gradagree import wire
from gradagree.arithmetics.model import Model
from gradagree.cases import Arrays, Case
from gradagree.judge import Framework, judge
from gradagree.verdict import Record

__all__ = ["Judge"]


class Judged(NamedTuple):
    """The last answer of a framework, and what it was judged by."""

    case: Case
    model: Model
    answer: wire.Answered
    record: Record


class Judge:
    """Judges answers in the order in which they come; remembers each framework's last one.

    Two modes of a framework (``backward`` and ``grad``) often give the very same bits, which one check covers.
    """

    def __init__(self) -> None:
        self._last: dict[str, Judged] = {}

    def __call__(
        self, case: Case, arrays: Arrays, framework: Framework, answer: wire.Answered | wire.Failed, index: int = 0
    ) -> Record:
        if isinstance(answer, wire.Failed):
            return judge(case, arrays, framework, answer, index)
        model, last = framework.model(case.dtype, answer.mode), self._last.get(framework.name)
        if last is not None and (last.case, last.model) == (case, model) and same(last.answer, answer):
            return replace(last.record, mode=answer.mode, seconds=answer.untapped.seconds)
        record = judge(case, arrays, framework, answer, index)
        self._last[framework.name] = Judged(case, model, answer, record)
        return record


def same(x: wire.Answered, y: wire.Answered) -> bool:
    """Whether two answers hold the same bits, with taps and without."""
    return untimed(x.tapped) == untimed(y.tapped) and untimed(x.untapped) == untimed(y.untapped)


def untimed(given: wire.Given) -> Any:
    return replace(given, seconds=0.0)
