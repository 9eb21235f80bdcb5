"""The process of one framework in a survey: ``python -m gradagree.atlas.asker LIBRARY [EXTENSION]...``.

It reads questions from what was its standard input and answers on what was its standard output; what a framework
prints goes to standard error. LIBRARY is a framework, or a library of jax that error functions are spelled with.
"""

from __future__ import annotations

import dataclasses
import importlib
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from gradagree.adapters import Adapter, Unsupported
from gradagree.adapters.pointwise import Pointwise, by_itself, by_library, takes
from gradagree.atlas.messages import Failure, Hello, Question, receive, send
from gradagree.reference import Activation, ErrorFunction

LIBRARIES = {"optax": "jax"}
REVERSE = ("backward", "grad", "jit", "compile", "reverse-reverse", "forward-reverse")
"""Modes that differentiate a sum over all points as well."""
KINDS: dict[str, Any] = {"activation": Activation, "error": ErrorFunction}


def main(arguments: Sequence[str]) -> None:
    questions, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    warnings.simplefilter("ignore")
    library, *extensions = arguments
    try:
        asked = Asked(library, extensions)
    except (ImportError, Unsupported) as missing:
        send(answers, Failure("absent", f"not installed ({missing})"))
        return
    with asked.adapter.settings():
        send(answers, asked.hello())
        while (question := receive(questions)) is not None:
            send(answers, asked.answer(question))


class Asked:
    """A framework, and the function that it was asked for last."""

    def __init__(self, library: str, extensions: Sequence[str]) -> None:
        from gradagree.declared import load_installed
        from gradagree.extensions import load

        load_installed()
        load(extensions)
        self.library = library
        importlib.import_module(library if library in LIBRARIES else "gradagree")
        self.adapter = Adapter.catalogue[LIBRARIES.get(library, library)]()
        self.ways = pointwise(takes(self.adapter))
        self._spelled: tuple[Any, Any] = (None, None)
        self._summed = False

    def hello(self) -> Hello:
        """Who is here."""
        version = self.adapter.version
        if self.library in LIBRARIES:
            version = f"{importlib.import_module(self.library).__version__} (jax {version})"
        return Hello(version, {name: tuple(self.ways.ways(name)) for name in ("value", "slope", "second")})

    def answer(self, question: Question) -> Any:
        """An array, or a Failure: whatever a framework raises is an answer too."""
        try:
            return self._answer(question)
        except (Unsupported, NotImplementedError) as wrong:
            return Failure("unsupported", first_line(wrong))
        except Exception as wrong:  # noqa: BLE001
            return Failure("raised", f"{type(wrong).__name__}: {first_line(wrong)}")

    def _function(self, question: Question) -> Callable[..., Any]:
        key = (question.kind, question.text, question.dtype)
        if self._spelled[0] != key:
            function = KINDS[question.kind].named(question.text)
            if self.library in LIBRARIES:
                spelled = by_library(function, self.adapter, self.library)
            else:
                spelled = by_itself(function, self.adapter, question.dtype)
            self._spelled = (key, spelled)
            self._summed = question.kind == "error" and not hasattr(function, "_gathered")
        return self._spelled[1]

    def _answer(self, question: Question) -> np.ndarray:
        f = self._function(question)
        count = len(question.points)
        if question.windows is None and self.ways.pads:
            question = padded(question)
        way = self.ways.ways(question.quantity)[question.mode]
        if self._summed and (question.quantity == "value" or question.mode not in REVERSE):
            raise Unsupported("it gives one number for all points")

        def told(start: int, stop: int) -> np.ndarray:
            x = self.adapter.array(question.points[start:stop], question.dtype)
            constants = tuple(self.adapter.constant(c[start:stop], question.dtype) for c in question.constants)
            return assembled(lambda k, j: self.adapter.back(way(f, x, constants, k, j)), question)

        if question.windows is None:
            return told(0, len(question.points))[:count]
        return np.concatenate([told(start, stop) for start, stop in question.windows])


def padded(question: Question) -> Question:
    """The same with its last point repeated until their number is a round one, which was compiled for before.

    Powers of 4, for compiling takes much longer than computing.
    """
    count = len(question.points)
    round_one = next(1 << k for k in range(0, 64, 2) if 1 << k >= count)
    places = np.minimum(np.arange(round_one), count - 1)
    constants = tuple(c[places] for c in question.constants)
    return dataclasses.replace(question, points=question.points[places], constants=constants)


def assembled(part: Callable[[Any, Any], np.ndarray], question: Question) -> np.ndarray:
    """One array from its parts: one output k in reverse mode gives all inputs, one input j in forward mode all outputs.
    Errors of one row, which are several where entries have errors of their own, are added up.

    Second derivatives are those of the first of ks, by each of js.
    """
    js = question.js
    ks = question.ks if question.kind == "activation" or question.ks is None else (None,)
    if ks is None or js is None or question.quantity == "value":
        return part(None, None)
    if question.quantity == "second":
        return np.stack([part(ks[0], j) for j in js], axis=1)
    if question.mode == "forward":
        columns = [part(None, j) for j in js]
        if question.kind == "error":
            columns = [y.reshape(len(y), -1).sum(axis=1)[:, None] for y in columns]
        return np.stack(columns, axis=-1)
    return np.stack([part(k, None) for k in ks], axis=1)


def pointwise(name: str) -> Pointwise:
    if name == "torch":
        from gradagree.adapters.pointwise_torch import OfTorch

        return OfTorch()
    from gradagree.adapters.pointwise_jax import OfJax

    return OfJax()


def first_line(wrong: Exception, length: int = 200) -> str:
    line = next((line.strip() for line in str(wrong).splitlines() if line.strip()), "")
    return line if len(line) <= length else line[: length - 3] + "..."


if __name__ == "__main__":
    main(sys.argv[1:])
