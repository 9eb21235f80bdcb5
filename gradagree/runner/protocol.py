"""Messages between the parent and a worker process: length, then MessagePack; arrays as their bytes."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import IO, Any

import msgspec
import numpy as np

from gradagree.adapters import Answer
from gradagree.cases.case import Arrays
from gradagree.cases.graph_case import GraphArrays
from gradagree.checker.response import Absent, Failure, Ready, Response

HEADER = struct.Struct("<Q")
MAX_MESSAGE_BYTES = 1 << 34
MARK = b"\f"
"""Separator on a worker's standard error: the text after it was written after the last message."""


class Array(msgspec.Struct, array_like=True, frozen=True):
    """A float64 or int64 array; booleans are integers."""

    integers: bool
    shape: tuple[int, ...]
    data: bytes


class GradientRequest(msgspec.Struct, tag=True, frozen=True):
    """To a worker: compute the gradient of a case in each mode; one result per mode."""

    spec: str
    arrays: dict[str, Array]
    modes: list[str]
    rate: float | None = None


class TrainRequest(msgspec.Struct, tag=True, frozen=True):
    """To a worker: train from the weights of a case; `rounds` holds the sampled pairs of each round."""

    case: GradientRequest
    rate: float
    rounds: list[list[int]]


class TrainResult(msgspec.Struct, tag=True, frozen=True):
    """From a worker: all weights and biases by name, after each round."""

    mode: str
    rounds: list[dict[str, Array]]


class PointwiseRequest(msgspec.Struct, tag=True, frozen=True):
    """To a worker: one quantity ("value", "slope" or "second") of one function in one mode.

    outputs are the entries that are differentiated and inputs those differentiated by; None for an elementwise
    function. windows, if any, are (start, stop) of the points: each is evaluated alone, and the results are joined.
    If the request is weighted, the last constant holds the cotangents, and the derivative is the vjp. A loss
    is differentiated by its targets if by is "target", or by a weight of this name: then these are the points, and the
    constants its outputs, and beside a weight its targets.
    """

    kind: str
    function: str
    dtype: str
    quantity: str
    mode: str
    points: Array
    constants: list[Array] = []
    outputs: tuple[int, ...] | None = None
    inputs: tuple[int, ...] | None = None
    windows: tuple[tuple[int, int], ...] | None = None
    weighted: bool = False
    by: str = ""


class PointwiseResult(msgspec.Struct, tag=True, frozen=True):
    """From a worker: the values or derivatives at all points."""

    mode: str
    values: Array


class DefinitionRequest(msgspec.Struct, tag=True, frozen=True):
    """To a worker: call the public functions with these plain names in float64, at their own defaults.

    The operands are the input ``x`` and, for a loss, the target ``t``.
    """

    names: list[str]
    operands: dict[str, Array]
    mode: str = ""


class Definition(msgspec.Struct, array_like=True, frozen=True):
    """A public function: its name, the source of its call, its default options, and its result or why it has none."""

    name: str
    call: str
    options: str
    values: Array | None = None
    reason: str = ""


class DefinitionResult(msgspec.Struct, tag=True, frozen=True):
    """From a worker: the public functions that it found."""

    found: list[Definition]
    mode: str = ""


class PackedAnswer(msgspec.Struct, array_like=True, frozen=True):
    """A framework's answer, with its arrays packed, by name."""

    E: float
    values: dict[str, Array]
    cotangents: dict[str, Array]
    gradients: dict[str, Array]
    seconds: float
    along: list[float]
    updated: dict[str, Array]
    tangents: dict[str, Array]


class GradientResult(msgspec.Struct, tag=True, frozen=True):
    """From a worker: the gradient in one mode, with taps and without taps."""

    mode: str
    tapped: PackedAnswer
    untapped: PackedAnswer


Result = GradientResult | TrainResult | PointwiseResult | DefinitionResult | Failure
Message = GradientRequest | TrainRequest | PointwiseRequest | DefinitionRequest | Ready | Absent | Result
_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[Message] = msgspec.msgpack.Decoder(Message)


def write(stream: IO[bytes], message: Message) -> None:
    data = _encoder.encode(message)
    stream.write(HEADER.pack(len(data)))
    stream.write(data)
    stream.flush()


def read(stream: IO[bytes]) -> Message | None:
    """The next message; None at the end of the stream. Raises ValueError for invalid data."""
    header = stream.read(HEADER.size)
    if len(header) < HEADER.size:
        return None
    (length,) = HEADER.unpack(header)
    if length > MAX_MESSAGE_BYTES:
        raise ValueError(f"a message of {length:,} bytes")
    data = stream.read(length)
    if len(data) < length:
        return None
    try:
        return _decoder.decode(data)
    except msgspec.DecodeError as wrong:  # a ValueError by itself only in newer versions
        raise ValueError(str(wrong)) from None


def pack(x: np.ndarray | None) -> Any:
    if x is None:
        return None
    integers = x.dtype.kind in "ib"
    return Array(integers, x.shape, np.ascontiguousarray(x, dtype="<i8" if integers else "<f8").tobytes())


def unpack(x: Array | None) -> Any:
    if x is None:
        return None
    return np.frombuffer(x.data, dtype="<i8" if x.integers else "<f8").reshape(x.shape)


def pack_all(arrays: Mapping[str, np.ndarray]) -> dict[str, Array]:
    return {name: pack(x) for name, x in arrays.items()}


def unpack_all(arrays: Mapping[str, Array]) -> dict[str, np.ndarray]:
    return {name: unpack(x) for name, x in arrays.items()}


def pack_arrays(
    spec: str, arrays: Arrays | GraphArrays, modes: list[str], rate: float | None = None
) -> GradientRequest:
    return GradientRequest(spec, pack_all(arrays.by_name), modes, rate)


def unpack_arrays(request: GradientRequest) -> Arrays:
    return Arrays.of(unpack_all(request.arrays))


def pack_response(response: Response) -> GradientResult:
    return GradientResult(response.mode, pack_answer(response.tapped), pack_answer(response.untapped))


def unpack_response(message: GradientResult) -> Response:
    return Response(message.mode, unpack_answer(message.tapped), unpack_answer(message.untapped))


def pack_answer(answer: Answer) -> PackedAnswer:
    return PackedAnswer(
        answer.E, pack_all(answer.values), pack_all(answer.cotangents), pack_all(answer.gradients), answer.seconds,
        list(answer.along), pack_all(answer.updated), pack_all(answer.tangents),
    )  # fmt: skip


def unpack_answer(packed: PackedAnswer) -> Answer:
    return Answer(
        packed.E, unpack_all(packed.values), unpack_all(packed.cotangents), unpack_all(packed.gradients),
        packed.seconds, tuple(packed.along), unpack_all(packed.updated), unpack_all(packed.tangents),
    )  # fmt: skip
