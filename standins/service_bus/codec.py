"""The AMQP 1.0 type system: values to bytes and back, without loss of type.

What was decoded encodes to the same type again (a `uint` stays a `uint`), so that sections of a message can
be changed and passed on. https://docs.oasis-open.org/amqp/core/v1.0/os/amqp-core-types-v1.0-os.html
"""

from __future__ import annotations

import struct
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any


class CodecError(ValueError):
    """The bytes are not AMQP 1.0."""


class UByte(int):
    """An unsigned integer of 1 byte."""


class UShort(int):
    """An unsigned integer of 2 bytes."""


class UInt(int):
    """An unsigned integer of 4 bytes."""


class ULong(int):
    """An unsigned integer of 8 bytes."""


class Byte(int):
    """A signed integer of 1 byte."""


class Short(int):
    """A signed integer of 2 bytes."""


class Int(int):
    """A signed integer of 4 bytes. A plain Python int is a `long`, of 8 bytes."""


class Timestamp(int):
    """Milliseconds since 1970."""


class Float(float):
    """A float of 4 bytes. A plain Python float is a `double`, of 8 bytes."""


class Symbol(str):
    """A name of ASCII characters; equal to the same text."""

    __slots__ = ()


class Encoded(bytes):
    """A value already encoded: of a type that is passed on but never looked into (decimal, char)."""


class Array(list[Any]):
    """Values of one type, with the encoding they came in or shall go out with."""

    def __init__(self, values: Iterable[Any], encoded: bytes) -> None:
        super().__init__(values)
        self.encoded = encoded

    @classmethod
    def of(cls, kind: type[int], values: Iterable[int]) -> Array:
        """An array of fixed-width numbers, for instance `Array.of(Timestamp, [...])`."""
        items = list(values)
        code, packer = _WIDE[kind]
        body = bytes([code]) + b"".join(map(packer.pack, items))
        return cls(items, b"\xf0" + struct.pack(">II", len(body) + 4, len(items)) + body)

    @classmethod
    def of_texts(cls, texts: Iterable[str]) -> Array:
        items = list(texts)
        encoded = (text.encode() for text in items)
        body = b"\xb1" + b"".join(_LENGTH.pack(len(text)) + text for text in encoded)
        return cls(items, b"\xf0" + _SIZE_AND_COUNT.pack(len(body) + 4, len(items)) + body)


@dataclass(frozen=True)
class Described:
    """A value with a descriptor, which says what it means."""

    descriptor: Any
    value: Any


def described(code: int, *fields: Any) -> Described:
    """A composite value: a list described by a number of the AMQP specification."""
    return Described(ULong(code), list(fields))


# --------------------------------------------------------------------------------------------------- encoding

_WIDE: dict[type, tuple[int, struct.Struct]] = {
    UByte: (0x50, struct.Struct(">B")),
    UShort: (0x60, struct.Struct(">H")),
    UInt: (0x70, struct.Struct(">I")),
    ULong: (0x80, struct.Struct(">Q")),
    Byte: (0x51, struct.Struct(">b")),
    Short: (0x61, struct.Struct(">h")),
    Int: (0x71, struct.Struct(">i")),
    int: (0x81, struct.Struct(">q")),
    Timestamp: (0x83, struct.Struct(">q")),
    Float: (0x72, struct.Struct(">f")),
    float: (0x82, struct.Struct(">d")),
}
_LENGTH = struct.Struct(">I")
_SIZE_AND_COUNT = struct.Struct(">II")


def encode(value: Any) -> bytes:
    """The encoding of a value. Raises TypeError for what has none."""
    encoder = _ENCODERS.get(type(value))
    if encoder is None:
        raise TypeError(f"no AMQP type for {type(value).__name__}")
    return encoder(value)


def _fixed(code: int, packer: struct.Struct) -> Callable[[Any], bytes]:
    constructor = bytes([code])
    return lambda value: constructor + packer.pack(value)


def _variable(short: int, content: bytes) -> bytes:
    if len(content) < 256:
        return bytes((short, len(content))) + content
    return bytes([short + 0x10]) + _LENGTH.pack(len(content)) + content


def _compound(code: int, items: Iterable[Any], count: int) -> bytes:
    body = b"".join(map(encode, items))
    if len(body) < 255 and count < 256:
        return bytes((code, len(body) + 1, count)) + body
    return bytes([code + 0x10]) + _SIZE_AND_COUNT.pack(len(body) + 4, count) + body


def _encode_list(items: list[Any]) -> bytes:
    return _compound(0xC0, items, len(items)) if items else b"\x45"


def _encode_map(pairs: dict[Any, Any]) -> bytes:
    return _compound(0xC1, (item for pair in pairs.items() for item in pair), 2 * len(pairs))


def _encode_described(value: Described) -> bytes:
    return b"\x00" + encode(value.descriptor) + encode(value.value)


def _encode_ulong(value: int) -> bytes:
    return bytes((0x53, value)) if value < 256 else b"\x80" + value.to_bytes(8, "big")


def _encode_uint(value: int) -> bytes:
    return bytes((0x52, value)) if value < 256 else b"\x70" + value.to_bytes(4, "big")


_ENCODERS: dict[type, Callable[[Any], bytes]] = {
    kind: _fixed(code, packer) for kind, (code, packer) in _WIDE.items()
}
_ENCODERS |= {
    type(None): lambda _: b"\x40",
    bool: lambda value: b"\x41" if value else b"\x42",
    ULong: _encode_ulong,
    UInt: _encode_uint,
    str: lambda value: _variable(0xA1, value.encode()),
    Symbol: lambda value: _variable(0xA3, value.encode("ascii")),
    bytes: lambda value: _variable(0xA0, value),
    uuid.UUID: lambda value: b"\x98" + value.bytes,
    list: _encode_list,
    dict: _encode_map,
    Described: _encode_described,
    Encoded: bytes,
    Array: lambda value: value.encoded,
}

# --------------------------------------------------------------------------------------------------- decoding

_Decoder = Callable[[bytes, int], tuple[Any, int]]


def decode(data: bytes, offset: int = 0) -> tuple[Any, int]:
    """The value that begins at the offset, and the offset after it. Raises CodecError."""
    try:
        return _decode(data, offset)
    except (IndexError, KeyError, TypeError, ValueError, struct.error, RecursionError) as error:
        raise CodecError(f"malformed AMQP value at offset {offset}") from error


def _decode(data: bytes, offset: int) -> tuple[Any, int]:
    return _DECODERS[data[offset]](data, offset + 1)


def _decode_described(data: bytes, offset: int) -> tuple[Described, int]:
    descriptor, offset = _decode(data, offset)
    value, offset = _decode(data, offset)
    return Described(descriptor, value), offset


def _constant(value: Any) -> _Decoder:
    return lambda _, offset: (value, offset)


def _number(packer: struct.Struct, kind: Callable[[Any], Any]) -> _Decoder:
    size = packer.size
    unpack = packer.unpack_from
    return lambda data, offset: (kind(unpack(data, offset)[0]), offset + size)


def _untouched(code: int, size: int) -> _Decoder:
    return lambda data, offset: (Encoded(bytes([code]) + data[offset : offset + size]), offset + size)


def _slice(data: bytes, start: int, end: int) -> bytes:
    if end > len(data):
        raise IndexError("the value is cut off")
    return data[start:end]


def _short_text(kind: Callable[[bytes], Any]) -> _Decoder:
    def decoder(data: bytes, offset: int) -> tuple[Any, int]:
        end = offset + 1 + data[offset]
        return kind(_slice(data, offset + 1, end)), end

    return decoder


def _long_text(kind: Callable[[bytes], Any]) -> _Decoder:
    def decoder(data: bytes, offset: int) -> tuple[Any, int]:
        end = offset + 4 + int(_LENGTH.unpack_from(data, offset)[0])
        return kind(_slice(data, offset + 4, end)), end

    return decoder


def _items(data: bytes, offset: int, count: int) -> tuple[list[Any], int]:
    items = []
    for _ in range(count):
        item, offset = _DECODERS[data[offset]](data, offset + 1)
        items.append(item)
    return items, offset


def _short_list(data: bytes, offset: int) -> tuple[list[Any], int]:
    return _items(data, offset + 2, data[offset + 1])


def _long_list(data: bytes, offset: int) -> tuple[list[Any], int]:
    return _items(data, offset + 8, _SIZE_AND_COUNT.unpack_from(data, offset)[1])


def _map_of(decoder: Callable[[bytes, int], tuple[list[Any], int]]) -> _Decoder:
    def decode_map(data: bytes, offset: int) -> tuple[dict[Any, Any], int]:
        items, offset = decoder(data, offset)
        return dict(zip(items[::2], items[1::2], strict=True)), offset

    return decode_map


def _array(data: bytes, start: int, offset: int, count: int) -> tuple[Array, int]:
    """`start` is where the array's own constructor stands, `offset` the constructor of its items."""
    code = data[offset]
    if code == 0:
        raise ValueError("arrays of described types are not used by Service Bus")
    decoder, values, offset = _DECODERS[code], [], offset + 1
    for _ in range(count):
        value, offset = decoder(data, offset)
        values.append(value)
    return Array(values, data[start:offset]), offset


def _short_array(data: bytes, offset: int) -> tuple[Array, int]:
    return _array(data, offset - 1, offset + 2, data[offset + 1])


def _long_array(data: bytes, offset: int) -> tuple[Array, int]:
    return _array(data, offset - 1, offset + 8, _SIZE_AND_COUNT.unpack_from(data, offset)[1])


def _text(content: bytes) -> str:
    return content.decode()


def _symbol(content: bytes) -> Symbol:
    return Symbol(content.decode("ascii"))


_DECODERS: dict[int, _Decoder] = {code: _number(packer, kind) for kind, (code, packer) in _WIDE.items()}
_DECODERS |= {
    0x00: _decode_described,
    0x40: _constant(None),
    0x41: _constant(True),
    0x42: _constant(False),
    0x43: _constant(UInt(0)),
    0x44: _constant(ULong(0)),
    0x45: lambda _, offset: ([], offset),
    0x52: _number(struct.Struct(">B"), UInt),
    0x53: _number(struct.Struct(">B"), ULong),
    0x54: _number(struct.Struct(">b"), Int),
    0x55: _number(struct.Struct(">b"), int),
    0x56: _number(struct.Struct(">?"), bool),
    0x73: _untouched(0x73, 4),
    0x74: _untouched(0x74, 4),
    0x84: _untouched(0x84, 8),
    0x94: _untouched(0x94, 16),
    0x98: lambda data, offset: (uuid.UUID(bytes=_slice(data, offset, offset + 16)), offset + 16),
    0xA0: _short_text(bytes),
    0xA1: _short_text(_text),
    0xA3: _short_text(_symbol),
    0xB0: _long_text(bytes),
    0xB1: _long_text(_text),
    0xB3: _long_text(_symbol),
    0xC0: _short_list,
    0xD0: _long_list,
    0xC1: _map_of(_short_list),
    0xD1: _map_of(_long_list),
    0xE0: _short_array,
    0xF0: _long_array,
}
