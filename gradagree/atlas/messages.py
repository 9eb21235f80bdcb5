"""Messages between a survey and a framework's process: length, then a pickle; both ends are ours."""

from __future__ import annotations

import pickle
import struct
from dataclasses import dataclass
from typing import IO, Any

import numpy as np

HEADER = struct.Struct("<Q")


@dataclass(frozen=True)
class Hello:
    """The framework is imported; modes by quantity."""

    version: str
    modes: dict[str, tuple[str, ...]]


@dataclass(frozen=True)
class Failure:
    """No answer, and why: unsupported, raised, absent or crashed."""

    word: str
    reason: str


@dataclass(frozen=True)
class Question:
    """One quantity of one function in one mode. ks are outputs, js inputs; None for an elementwise function.

    windows, if any, are (start, stop) of the points: each window is asked alone, and the answers are joined.
    """

    kind: str
    text: str
    dtype: str
    quantity: str
    mode: str
    points: np.ndarray
    constants: tuple[np.ndarray, ...] = ()
    ks: tuple[int, ...] | None = None
    js: tuple[int, ...] | None = None
    windows: tuple[tuple[int, int], ...] | None = None


def send(stream: IO[bytes], message: Any) -> None:
    data = pickle.dumps(message, protocol=5)
    stream.write(HEADER.pack(len(data)))
    stream.write(data)
    stream.flush()


def receive(stream: IO[bytes]) -> Any:
    """The next message; None at the end of the stream."""
    header = stream.read(HEADER.size)
    if len(header) < HEADER.size:
        return None
    data = stream.read(HEADER.unpack(header)[0])
    return pickle.loads(data)
