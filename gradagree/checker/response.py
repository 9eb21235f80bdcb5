"""Responses of a framework: its description, its gradient in one mode, or the reason why there is none."""

from __future__ import annotations

import dataclasses
import traceback
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np

from gradagree.adapters import Adapter, Answer, Problem, Unsupported, probe
from gradagree.adapters.graph_problem import GraphProblem, WrongShape
from gradagree.adapters.shapes import find_wrong_shape
from gradagree.arithmetic.model import FORMATS
from gradagree.checker.verdict import Verdict


class Ready(msgspec.Struct, tag=True, frozen=True):
    """The framework is imported. Results of the probes by dtype, modes of single functions by quantity."""

    version: str
    device: str
    modes: list[str]
    probes: dict[str, dict[str, Any]]
    pointwise: dict[str, list[str]] = {}


class Absent(msgspec.Struct, tag=True, frozen=True):
    """There is no such framework here, and why; broken, if its process died at its start."""

    reason: str
    broken: bool = False


class Failure(msgspec.Struct, tag=True, frozen=True):
    """No result in this mode: the name of a verdict (in a survey also raised or unasked), and the reason."""

    mode: str
    verdict: str
    reason: str


class Response(NamedTuple):
    """The gradient in one mode, with taps and without."""

    mode: str
    tapped: Answer
    untapped: Answer

    def same_bits(self, other: Response) -> bool:
        """True if another response holds the same numbers; mode and time do not count."""
        return _same_bits(self.tapped, other.tapped) and _same_bits(self.untapped, other.untapped)


def handshake(adapter: Adapter) -> Ready:
    """The description of a framework, with the results of the probes."""
    return Ready(
        adapter.version, adapter.device, list(adapter.modes), {dtype: probe(adapter, dtype) for dtype in FORMATS}
    )


def failures(absent: Absent, modes: Sequence[str]) -> Iterator[Failure]:
    """The failure of each mode of a framework that is not there."""
    verdict = Verdict.CRASHED if absent.broken else Verdict.ABSENT
    return (Failure(mode, verdict, absent.reason) for mode in modes)


def respond(adapter: Adapter, problem: Problem | GraphProblem, mode: str) -> Response | Failure:
    """Call the adapter; whatever it, the framework or a user's implementation raises becomes a `Failure`."""
    if isinstance(problem, GraphProblem):
        return respond_graph(adapter, problem, mode)
    try:
        tapped, untapped = (_stored(answer) for answer in adapter.answers(problem, mode))
        shape = find_wrong_shape(adapter, problem)
    except Exception as error:  # noqa: BLE001  (whatever a framework or a user's spelling raises is an answer too)
        found = failure(mode, error)
        shape = find_wrong_shape(adapter, problem) if found.verdict == Verdict.CRASHED else None
        return found if shape is None else Failure(mode, Verdict.CRASHED, shape)
    if shape is not None:
        return Failure(mode, Verdict.CRASHED, shape)
    return Response(mode, tapped, untapped)


def respond_graph(adapter: Adapter, problem: GraphProblem, mode: str) -> Response | Failure:
    """As `respond`, for a graph of layers, whose answer always has all taps."""
    try:
        answer = _stored(adapter.graph_answer(problem, mode))
    except WrongShape as wrong:
        return Failure(mode, Verdict.CRASHED, str(wrong))
    except Exception as error:  # noqa: BLE001  (whatever a framework or a user's layer raises is an answer too)
        found = failure(mode, error)
        lacks = found.verdict == Verdict.CRASHED and lacks_kernel(error)
        return Failure(mode, Verdict.UNSUPPORTED, first_line(str(error))) if lacks else found
    return Response(mode, answer, answer)


def lacks_kernel(error: BaseException) -> bool:
    """True if a framework reports that it has no such operation in the dtype."""
    return any(words in str(error) for words in ("not implemented", "is not supported by", "NotImplementedError"))


def failure(mode: str, error: Exception) -> Failure:
    """Unsupported with its reason (also where a kernel is missing for a dtype), or crashed with what was raised."""
    if isinstance(error, Unsupported | NotImplementedError):
        return Failure(mode, Verdict.UNSUPPORTED, str(error))
    traceback.print_exception(error)
    return Failure(mode, Verdict.CRASHED, f"raised {type(error).__name__}: {first_line(str(error))}")


def first_line(text: str, length: int = 300) -> str:
    line = next((line.strip() for line in text.splitlines() if line.strip()), "")
    return line if len(line) <= length else line[: length - 3] + "..."


def _stored(answer: Answer) -> Answer:
    """The answer with contiguous float64 arrays (integers: int64), as after a transfer between processes."""
    return Answer(**{field.name: _contiguous(getattr(answer, field.name)) for field in dataclasses.fields(Answer)})


def _contiguous(x: Any) -> Any:
    if isinstance(x, Mapping):
        return {name: _contiguous(array) for name, array in x.items()}
    return np.asarray(x, dtype="<i8" if x.dtype.kind == "i" else "<f8", order="C") if isinstance(x, np.ndarray) else x


def _same_bits(x: Answer, y: Answer) -> bool:
    maps = ("values", "cotangents", "gradients", "updated", "tangents")
    same = x.E == y.E and x.along == y.along
    return same and all(_same_arrays(getattr(x, name), getattr(y, name)) for name in maps)


def _same_arrays(xs: Mapping[str, np.ndarray], ys: Mapping[str, np.ndarray]) -> bool:
    pairs = ((x, ys[name]) for name, x in xs.items() if name in ys)
    return xs.keys() == ys.keys() and all(x.shape == y.shape and x.tobytes() == y.tobytes() for x, y in pairs)
