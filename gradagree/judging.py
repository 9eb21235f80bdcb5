"""Judging answers in their order: the same numbers twice are judged once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from msgspec.structs import replace

from gradagree.arithmetics.model import Model
from gradagree.cases import Case
from gradagree.judge import Asked, judge_all
from gradagree.responses import Failure, Response
from gradagree.verdict import Record


class Last(NamedTuple):
    """What a framework answered last, and where the record of it is."""

    case: Case
    model: Model
    answer: Response
    record: list[Record]


class Judge:
    """Judges answers in the order in which they come; remembers each framework's last one.

    Two modes of a framework (``backward`` and ``grad``) often give the very same bits, which one check covers.
    """

    def __init__(self) -> None:
        self._last: dict[str, Last] = {}

    def __call__(self, answers: Sequence[Asked]) -> Iterator[Record]:
        """The records of some answers, which are looked at together."""
        places = [self._place(asked) for asked in answers]
        made = judge_all([asked for asked, (known, _) in zip(answers, places, strict=True) if not known])
        for asked, (known, record) in zip(answers, places, strict=True):
            if known and isinstance(asked.reply, Response):
                yield replace(record[0], mode=asked.reply.mode, seconds=asked.reply.untapped.seconds)
            else:
                record.append(next(made))
                yield record[0]

    def _place(self, asked: Asked) -> tuple[bool, list[Record]]:
        """Whether the framework's last answer was the same, and the place of the record."""
        case, _, framework, answer = asked[:4]
        if isinstance(answer, Failure):
            return False, []
        model, last = framework.model(case.dtype, answer.mode), self._last.get(framework.name)
        if last is not None and (last.case, last.model) == (case, model) and last.answer.same_bits(answer):
            return True, last.record
        self._last[framework.name] = Last(case, model, answer, [])
        return False, self._last[framework.name].record
