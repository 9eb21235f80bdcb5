"""The process of one framework: ``python -m gradagree.worker FRAMEWORK [EXTENSION]...``.

It reads questions from its standard input and answers on what was its standard output; whatever the framework prints
goes to standard error. It ends when its input ends.
"""

from __future__ import annotations

import os
import sys
import traceback
import warnings
from collections.abc import Sequence
from typing import IO

from gradagree import wire
from gradagree.adapters import Adapter, Problem, Unsupported, probe
from gradagree.arithmetics.model import FORMATS
from gradagree.cases import Case, problem_of
from gradagree.extensions import load
from gradagree.verdict import Verdict

__all__ = ["main"]


def main(arguments: Sequence[str]) -> None:
    questions = sys.stdin.buffer
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    warnings.simplefilter("ignore")
    name, *extensions = arguments
    try:
        load(extensions)
        adapter = Adapter.catalogue[name]()
    except ImportError as missing:
        wire.write(answers, wire.Absent(f"not installed ({missing}): {Adapter.catalogue[name].install}"))
        return
    with adapter.settings():
        wire.write(answers, greeting(adapter))
        serve(adapter, questions, answers)


def greeting(adapter: Adapter) -> wire.Ready:
    """What a framework says of itself, its probes included."""
    probes = {dtype: probe(adapter, dtype) for dtype in FORMATS}
    return wire.Ready(adapter.version, adapter.device, list(adapter.modes), probes)


def serve(adapter: Adapter, questions: IO[bytes], answers: IO[bytes]) -> None:
    """Answer until the questions end."""
    while isinstance(ask := wire.read(questions), wire.Ask):
        problem = problem_of(Case.parse(ask.spec), wire.unpack_arrays(ask))
        for mode in ask.modes:
            wire.write(answers, answer(adapter, problem, mode))


def answer(adapter: Adapter, problem: Problem, mode: str) -> wire.Message:
    """The gradient in one mode, or why there is none."""
    try:
        tapped, untapped = adapter.answers(problem, mode)
    except Unsupported as reason:
        return wire.Failed(mode, Verdict.UNSUPPORTED, str(reason))
    except Exception as wrong:  # noqa: BLE001  (whatever a framework or a user's spelling raises is an answer too)
        traceback.print_exc()
        return wire.Failed(mode, Verdict.CRASHED, f"raised {type(wrong).__name__}: {first_line(str(wrong))}")
    return wire.Answered(mode, wire.pack_answer(tapped), wire.pack_answer(untapped))


def first_line(text: str, length: int = 300) -> str:
    line = next((line.strip() for line in text.splitlines() if line.strip()), "")
    return line if len(line) <= length else line[: length - 3] + "..."


if __name__ == "__main__":
    main(sys.argv[1:])
