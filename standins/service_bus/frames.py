"""AMQP 1.0 frames: bytes to performatives and back. Knows no socket.

https://docs.oasis-open.org/amqp/core/v1.0/os/amqp-core-transport-v1.0-os.html
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from standins.service_bus.codec import CodecError, Described, ULong, decode, encode

#: The headers that open a layer: SASL first, then AMQP.
AMQP_HEADER = b"AMQP\x00\x01\x00\x00"
SASL_HEADER = b"AMQP\x03\x01\x00\x00"
#: The largest frame this side accepts, in bytes.
MAX_FRAME_SIZE = 65536

_FRAME_HEADER = struct.Struct(">IBBH")
_AMQP_FRAME, _SASL_FRAME = 0, 1


class SaslMechanisms(NamedTuple):
    """What the server offers."""

    mechanisms: Any


class SaslInit(NamedTuple):
    """What the client chose."""

    mechanism: Any
    initial_response: Any = None
    hostname: Any = None


class SaslOutcome(NamedTuple):
    """0 is success."""

    code: Any


class Open(NamedTuple):
    """Opens the connection."""

    container_id: Any
    hostname: Any = None
    max_frame_size: Any = None
    channel_max: Any = None
    idle_time_out: Any = None
    outgoing_locales: Any = None
    incoming_locales: Any = None
    offered_capabilities: Any = None
    desired_capabilities: Any = None
    properties: Any = None


class Begin(NamedTuple):
    """Opens an AMQP session on a channel."""

    remote_channel: Any
    next_outgoing_id: Any
    incoming_window: Any
    outgoing_window: Any
    handle_max: Any = None
    offered_capabilities: Any = None
    desired_capabilities: Any = None
    properties: Any = None


class Attach(NamedTuple):
    """Opens a link. `role` is true when its sender receives."""

    name: Any
    handle: Any
    role: Any
    snd_settle_mode: Any = None
    rcv_settle_mode: Any = None
    source: Any = None
    target: Any = None
    unsettled: Any = None
    incomplete_unsettled: Any = None
    initial_delivery_count: Any = None
    max_message_size: Any = None
    offered_capabilities: Any = None
    desired_capabilities: Any = None
    properties: Any = None


class Flow(NamedTuple):
    """Opens windows and gives credit."""

    next_incoming_id: Any
    incoming_window: Any
    next_outgoing_id: Any
    outgoing_window: Any
    handle: Any = None
    delivery_count: Any = None
    link_credit: Any = None
    available: Any = None
    drain: Any = None
    echo: Any = None
    properties: Any = None


class Transfer(NamedTuple):
    """A message, or with `more` a part of one."""

    handle: Any
    delivery_id: Any = None
    delivery_tag: Any = None
    message_format: Any = None
    settled: Any = None
    more: Any = None
    rcv_settle_mode: Any = None
    state: Any = None
    resume: Any = None
    aborted: Any = None
    batchable: Any = None


class Disposition(NamedTuple):
    """What became of deliveries. `role` is true when its sender received them."""

    role: Any
    first: Any
    last: Any = None
    settled: Any = None
    state: Any = None
    batchable: Any = None


class Detach(NamedTuple):
    """Closes a link."""

    handle: Any
    closed: Any = None
    error: Any = None


class End(NamedTuple):
    """Closes an AMQP session."""

    error: Any = None


class Close(NamedTuple):
    """Closes the connection."""

    error: Any = None


# one of the classes above; a union would have to be narrowed where the dispatch has already done so
Performative = Any

_TYPES: dict[int, type] = {
    0x10: Open,
    0x11: Begin,
    0x12: Attach,
    0x13: Flow,
    0x14: Transfer,
    0x15: Disposition,
    0x16: Detach,
    0x17: End,
    0x18: Close,
    0x40: SaslMechanisms,
    0x41: SaslInit,
    0x44: SaslOutcome,
}
_PREFIX = {kind: b"\x00" + encode(ULong(code)) for code, kind in _TYPES.items()}
_SASL = (SaslMechanisms, SaslOutcome)


@dataclass(frozen=True)
class Frame:
    """A received frame. `payload` is the part of a message that a transfer carries."""

    channel: int
    performative: Performative
    payload: bytes


def encode_frame(channel: int, performative: Performative, payload: bytes = b"") -> bytes:
    """The bytes of one frame."""
    kind = type(performative)
    body = _PREFIX[kind] + encode(_trimmed(performative)) + payload
    return _FRAME_HEADER.pack(len(body) + 8, 2, _SASL_FRAME if kind in _SASL else _AMQP_FRAME, channel) + body


def _trimmed(performative: Performative) -> list[Any]:
    """The fields without the nulls at the end, which the specification lets one leave out."""
    fields = list(performative)
    while fields and fields[-1] is None:
        fields.pop()
    return fields


class FrameReader:
    """Cuts the stream of bytes into layer headers (`bytes`) and frames. Empty frames are skipped."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._header_expected = True

    def expect_header(self) -> None:
        """After the SASL layer the stream starts again with a header."""
        self._header_expected = True

    def feed(self, data: bytes) -> Iterator[bytes | Frame]:
        """What is complete with these bytes. Raises CodecError."""
        self._buffer += data
        while len(self._buffer) >= 8:
            if self._header_expected:
                self._header_expected = False
                yield self._take(8)
                continue
            size = int.from_bytes(self._buffer[:4], "big")
            if not 8 <= size <= MAX_FRAME_SIZE:
                raise CodecError(f"a frame of {size} bytes")
            if len(self._buffer) < size:
                return
            if (frame := _decode_frame(self._take(size))) is not None:
                yield frame

    def _take(self, size: int) -> bytes:
        taken = bytes(self._buffer[:size])
        del self._buffer[:size]
        return taken


def _decode_frame(data: bytes) -> Frame | None:
    start = data[4] * 4
    if start == len(data):
        return None
    performative, end = decode(data, start)
    if not isinstance(performative, Described) or performative.descriptor not in _TYPES:
        raise CodecError("a frame without a known performative")
    return Frame(
        int.from_bytes(data[6:8], "big"), _TYPES[performative.descriptor](*performative.value), data[end:]
    )
