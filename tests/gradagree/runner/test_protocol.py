"""Messages arrive as they were sent; whatever else is on the pipe is the end of the stream, or a ValueError."""

from __future__ import annotations

import io
import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given, strategies as st
from hypothesis.extra import numpy as np_st

from gradagree.adapters import Answer
from gradagree.cases.case import Case
from gradagree.checker.response import Absent, Failure, Ready
from gradagree.reference import ErrorFunction
from gradagree.runner import protocol

SHAPES = np_st.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4)
ARRAYS = np_st.arrays(np.float64, SHAPES) | np_st.arrays(np.int64, SHAPES)
FLOATS = np_st.arrays(np.float64, SHAPES)
MESSAGES = st.one_of(
    st.builds(Absent, st.text()),
    st.builds(Failure, st.text(), st.text(), st.text()),
    st.builds(
        Ready, st.text(), st.text(), st.lists(st.text()),
        st.dictionaries(st.text(), st.dictionaries(st.text(), st.text() | st.booleans())),
    ),
)  # fmt: skip


def sent(*messages: protocol.Message) -> io.BytesIO:
    stream = io.BytesIO()
    for message in messages:
        protocol.write(stream, message)
    stream.seek(0)
    return stream


def framed(data: bytes) -> io.BytesIO:
    return io.BytesIO(struct.pack("<Q", len(data)) + data)


def bits(x: Any) -> Any:
    return None if x is None else (x.dtype.newbyteorder("<").str, x.shape, x.tobytes())


@given(ARRAYS)
def test_that_an_array_arrives_with_every_bit(x: np.ndarray) -> None:
    assert bits(protocol.unpack(protocol.pack(x))) == bits(x)


@given(ARRAYS, st.sampled_from(["<", ">"]), st.booleans())
def test_that_an_array_of_any_layout_and_byte_order_arrives(x: np.ndarray, order: str, turned: bool) -> None:
    other = x.astype(x.dtype.newbyteorder(order))
    other = other.T if turned else np.asfortranarray(other)
    arrived = protocol.unpack(protocol.pack(other))
    assert arrived.shape == other.shape
    assert np.array_equal(arrived, other, equal_nan=x.dtype.kind == "f")


def test_that_no_array_arrives_as_none() -> None:
    assert protocol.unpack(protocol.pack(None)) is None


@pytest.mark.parametrize("error", list(ErrorFunction.catalogue))
def test_that_the_arrays_of_a_case_arrive_with_every_bit(error: str) -> None:
    case = Case.parse(f"3-4b-6:id,tanh*2:{error}:n5:f32:ordinary:s1")
    arrays = case.arrays()
    request = protocol.read(sent(protocol.pack_arrays(case.spec, arrays, ["one", "two"])))
    assert isinstance(request, protocol.GradientRequest)
    assert (request.spec, request.modes) == (case.spec, ["one", "two"])
    assert protocol.unpack_arrays(request).sha256 == arrays.sha256


NAMED = st.dictionaries(st.text(), FLOATS)


@given(st.floats(), NAMED, NAMED, NAMED, NAMED)
def test_that_an_answer_arrives_with_every_bit(E: float, values: Any, deltas: Any, gradients: Any, other: Any) -> None:
    answer = Answer(E, values, deltas, gradients, 0.25, updated=other, tangents=other)
    given_answer = protocol.pack_answer(answer)
    read = protocol.read(sent(protocol.GradientResult("mode", given_answer, given_answer)))
    assert isinstance(read, protocol.GradientResult)
    for part in (read.tapped, read.untapped):
        arrived = protocol.unpack_answer(part)
        assert struct.pack("<d", arrived.E) == struct.pack("<d", E)
        for name in ("values", "cotangents", "gradients", "updated", "tangents"):
            sent_arrays, found = getattr(answer, name), getattr(arrived, name)
            assert list(found) == list(sent_arrays)
            assert [bits(x) for x in found.values()] == [bits(x) for x in sent_arrays.values()]


@given(st.lists(MESSAGES, max_size=5))
def test_that_messages_arrive_one_by_one_and_then_the_end(messages: list[protocol.Message]) -> None:
    stream = sent(*messages)
    assert [protocol.read(stream) for _ in messages] == messages
    assert protocol.read(stream) is None


@given(MESSAGES, st.integers(0))
def test_that_a_message_cut_short_is_the_end(message: protocol.Message, length: int) -> None:
    complete = sent(message).getvalue()
    assert protocol.read(io.BytesIO(complete[: length % len(complete)])) is None


def message_or_end(stream: io.BytesIO) -> None:
    try:
        read = protocol.read(stream)
    except ValueError:
        return
    assert read is None or isinstance(read, protocol.Message)


@given(st.binary())
def test_that_bytes_that_are_no_message_are_an_end_or_a_value_error(data: bytes) -> None:
    message_or_end(io.BytesIO(data))
    message_or_end(framed(data))


@given(MESSAGES, st.integers(0), st.integers(0, 7))
def test_that_a_message_with_a_flipped_bit_is_one_of_ours_an_end_or_a_value_error(
    message: protocol.Message, place: int, bit: int
) -> None:
    data = bytearray(sent(message).getvalue())
    data[place % len(data)] ^= 1 << bit
    message_or_end(io.BytesIO(data))


@pytest.mark.parametrize("data", [b"", b"\xc0", b"\x81\xa4type\xa3Ask", b"\x91" * 10**6], ids=len)
def test_that_a_framed_text_that_is_no_message_is_a_value_error(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        protocol.read(framed(data))


def test_that_an_impossible_length_is_refused_before_anything_is_read() -> None:
    with pytest.raises(ValueError, match=r"^a message of 18,446,744,073,709,551,615 bytes$"):
        protocol.read(io.BytesIO(b"\xff" * 100))


def test_that_an_array_whose_bytes_do_not_fit_its_shape_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="cannot reshape"):
        protocol.unpack(protocol.Array(False, (3, 4), bytes(8)))
