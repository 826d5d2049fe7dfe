"""The AMQP 1.0 codec and frames of the Service Bus stand-in, without a socket."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from standins.service_bus import codec, frames
from standins.service_bus.broker import seconds
from standins.service_bus.codec import (
    CodecError,
    Described,
    Encoded,
    Symbol,
    Timestamp,
    UInt,
    ULong,
    decode,
    encode,
)
from standins.service_bus.message import Message, section

NUMBERS = [
    st.integers(0, 2**8 - 1).map(codec.UByte),
    st.integers(0, 2**16 - 1).map(codec.UShort),
    st.integers(0, 2**32 - 1).map(UInt),
    st.integers(0, 2**64 - 1).map(ULong),
    st.integers(-(2**7), 2**7 - 1).map(codec.Byte),
    st.integers(-(2**15), 2**15 - 1).map(codec.Short),
    st.integers(-(2**31), 2**31 - 1).map(codec.Int),
    st.integers(-(2**63), 2**63 - 1),
    st.integers(-(2**63), 2**63 - 1).map(Timestamp),
    st.floats(width=32, allow_nan=False).map(codec.Float),
    st.floats(allow_nan=False),
]
TEXTS = [
    st.text(),
    st.text(min_size=256, max_size=300),
    st.binary(max_size=300),
    st.text("abc:-", max_size=300).map(Symbol),
    st.uuids(),
]
SIMPLE = st.one_of(st.none(), st.booleans(), *NUMBERS, *TEXTS)
VALUES: st.SearchStrategy[Any] = st.recursive(
    SIMPLE,
    lambda inner: st.one_of(
        st.lists(inner, max_size=20),
        st.dictionaries(st.text(max_size=9), inner, max_size=9),
        st.builds(Described, st.integers(0, 255).map(ULong), inner),
    ),
    max_leaves=20,
)


def types_of(value: Any) -> Any:
    """The shape of a value in types, which equality alone would not compare (a symbol equals its text)."""
    if isinstance(value, Described):
        return (Described, types_of(value.value))
    if isinstance(value, dict):
        return {key: types_of(item) for key, item in value.items()}
    return [types_of(item) for item in value] if isinstance(value, list) else type(value)


@given(VALUES)
def test_a_value_comes_back_as_it_was_with_its_type(value: Any) -> None:
    encoded = encode(value)
    decoded, end = decode(encoded)
    assert (decoded, end) == (value, len(encoded))
    assert types_of(decoded) == types_of(value)


@pytest.mark.parametrize(
    ("encoded", "value"),
    [
        (b"\x43", 0),
        (b"\x44", 0),
        (b"\x45", []),
        (b"\x54\xff", -1),
        (b"\x55\xfe", -2),
        (b"\x56\x01", True),
        (b"\xe0\x04\x02\x50\x07\x08", [7, 8]),
        (b"\xc1\x07\x02\xa1\x01k\xa1\x01v", {"k": "v"}),
        (b"\x98" + bytes(15) + b"\x01", uuid.UUID(int=1)),
    ],
)
def test_every_short_encoding_is_understood(encoded: bytes, value: Any) -> None:
    assert decode(encoded) == (value, len(encoded))


@pytest.mark.parametrize("encoded", [b"\x74" + bytes(4), b"\x94" + bytes(16), b"\xe0\x08\x02\xa3\x01a\x02bc"])
def test_what_is_never_looked_into_is_passed_on_unchanged(encoded: bytes) -> None:
    value, _ = decode(encoded)
    assert isinstance(value, Encoded | codec.Array)
    assert encode(value) == encoded


@given(st.lists(st.integers(-(2**63), 2**63 - 1), max_size=20))
def test_an_array_of_numbers_comes_back(numbers: list[int]) -> None:
    assert decode(encode(codec.Array.of(Timestamp, numbers)))[0] == numbers


@given(VALUES, st.data())
def test_a_value_that_is_cut_off_is_malformed(value: Any, data: st.DataObject) -> None:
    encoded = encode(value)
    with pytest.raises(CodecError):
        decode(encoded[: data.draw(st.integers(0, len(encoded) - 1))])


@given(st.binary(max_size=60))
def test_no_bytes_raise_anything_but_a_codec_error(garbage: bytes) -> None:
    reader = frames.FrameReader()
    try:
        list(reader.feed(frames.AMQP_HEADER + garbage))
        decode(garbage)
    except CodecError:
        pass


@given(st.lists(st.integers(1, 40), min_size=1, max_size=40))
def test_frames_are_cut_out_of_the_stream_however_it_is_chopped(sizes: list[int]) -> None:
    flow = frames.Flow(UInt(1), UInt(2), UInt(3), UInt(4))
    transfer = frames.Transfer(UInt(0), UInt(7), b"tag", UInt(0), False)
    empty = b"\x00\x00\x00\x08\x02\x00\x00\x00"
    stream = (
        frames.AMQP_HEADER
        + frames.encode_frame(3, flow)
        + empty
        + frames.encode_frame(4, transfer, b"payload")
    )
    reader, found = frames.FrameReader(), []
    while stream:
        size = sizes[0]
        sizes = [*sizes[1:], size]
        found += list(reader.feed(stream[:size]))
        stream = stream[size:]
    assert found == [frames.AMQP_HEADER, frames.Frame(3, flow, b""), frames.Frame(4, transfer, b"payload")]


def test_a_message_keeps_its_sections_when_it_is_dead_lettered() -> None:
    properties = section(0x73, ["id", None, "all", "subject"])
    body = section(0x75, b"\x00\x01") + section(0x78, {Symbol("footer"): True})
    sent = section(0x71, {Symbol("hop"): 1}) + properties + section(0x74, {"kept": UInt(5)}) + body
    message = Message.decode(sent).dead_lettered("queue", "Reason", None)
    again = Message.decode(message.encode(deliveries=2, annotations={Symbol("x-opt-sequence-number"): 9}))
    assert again.application_properties() == {"kept": 5, "DeadLetterReason": "Reason"}
    assert types_of(again.application_properties())["kept"] is UInt
    assert again.annotations == {"x-opt-deadletter-source": "queue", "x-opt-sequence-number": 9}
    assert (again.header[4], again.body, again.encoded_properties) == (2, body, properties)
    assert (again.id, again.named("to"), again.session) == ("id", "all", None)


@pytest.mark.parametrize(
    ("text", "expected"), [("PT5M", 300), ("PT30S", 30), ("P1DT2H", 93600), ("PT0.5S", 0.5)]
)
def test_durations_are_read(text: str, expected: float) -> None:
    assert seconds(text) == expected


@pytest.mark.parametrize("text", ["", "P", "PT", "5M", "P1Y"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a duration"):
        seconds(text)
