"""The process of one framework: ``python -m gradagree.worker FRAMEWORK [EXTENSION]...``.

It reads questions from what was its standard input and answers on what was its standard output; what a framework prints
goes to standard error. It ends when its input ends, and soon after its parent does.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Sequence
from typing import IO

from gradagree import wire
from gradagree.adapters import Adapter, Problem, course
from gradagree.cases import Case, problem_of
from gradagree.declared import load_installed
from gradagree.extensions import load
from gradagree.lifeline import end_with_parent
from gradagree.memory import volunteer
from gradagree.responses import Absent, Failure, failure, handshake, respond


def main(arguments: Sequence[str]) -> None:
    questions, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    end_with_parent(questions.fileno())
    volunteer()
    warnings.simplefilter("ignore")
    name, *extensions = arguments
    try:
        load_installed()
        load(extensions)
        adapter = Adapter.catalogue[name]()
    except ImportError as missing:
        wire.write(answers, Absent(f"not installed ({missing}): {Adapter.catalogue[name].install}"))
        return
    with adapter.settings():
        say(answers, handshake(adapter))
        serve(adapter, questions, answers)


def serve(adapter: Adapter, questions: IO[bytes], answers: IO[bytes]) -> None:
    """Answer until the questions end."""
    while (question := wire.read(questions)) is not None:
        if isinstance(question, wire.Train):
            say(answers, trained(adapter, question))
        elif isinstance(question, wire.Ask):
            problem = problem_of(Case.parse(question.spec), wire.unpack_arrays(question), question.rate)
            for mode in question.modes:
                say(answers, answer(adapter, problem, mode))


def say(answers: IO[bytes], message: wire.Message) -> None:
    """Send a message; what is on standard error until then belongs to it."""
    os.write(2, wire.MARK)
    wire.write(answers, message)


def trained(adapter: Adapter, question: wire.Train) -> wire.Message:
    """The weights round by round, or why there are none."""
    (mode,) = question.ask.modes
    problem = problem_of(Case.parse(question.ask.spec), wire.unpack_arrays(question.ask))
    try:
        rounds = course(adapter, problem, mode, question.rate, question.rounds)
        return wire.Trained(mode, [[wire.pack(x) for x in weights] for weights in rounds])
    except Exception as wrong:  # noqa: BLE001  (whatever a framework raises is an answer too)
        return failure(mode, wrong)


def answer(adapter: Adapter, problem: Problem, mode: str) -> wire.Message:
    """The gradient in one mode, or why there is none."""
    found = respond(adapter, problem, mode)
    return found if isinstance(found, Failure) else wire.pack_response(found)


if __name__ == "__main__":
    main(sys.argv[1:])
