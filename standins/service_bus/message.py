"""An AMQP message as the broker keeps it: the body stays the bytes it came in.

https://docs.oasis-open.org/amqp/core/v1.0/os/amqp-core-messaging-v1.0-os.html#section-message-format
https://learn.microsoft.com/azure/service-bus-messaging/service-bus-amqp-protocol-guide
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from standins.service_bus.codec import Described, Symbol, UInt, ULong, decode, encode

HEADER, DELIVERY_ANNOTATIONS, ANNOTATIONS, PROPERTIES, APPLICATION, DATA, VALUE = (
    0x70,
    0x71,
    0x72,
    0x73,
    0x74,
    0x75,
    0x77,
)

#: Where the properties section keeps what correlation rules may ask for.
PROPERTY_INDEX = {
    "message_id": 0,
    "to": 2,
    "subject": 3,
    "reply_to": 4,
    "correlation_id": 5,
    "content_type": 6,
    "session_id": 10,
    "reply_to_session_id": 12,
}
SCHEDULED = Symbol("x-opt-scheduled-enqueue-time")
PARTITION_KEY = Symbol("x-opt-partition-key")
DEAD_LETTER_SOURCE = Symbol("x-opt-deadletter-source")
#: Where the header keeps the time to live, and the properties what replaces it when it is too long for the
#: header.
_TTL, _ABSOLUTE_EXPIRY, _CREATION = 2, 8, 9


def sections(encoded: bytes) -> Iterator[tuple[int, Any, bytes]]:
    """Code, value and bytes of each section. Raises CodecError."""
    offset = 0
    while offset < len(encoded):
        section, end = decode(encoded, offset)
        yield section.descriptor, section.value, encoded[offset:end]
        offset = end


def section(code: int, value: Any) -> bytes:
    """The bytes of one section."""
    return encode(Described(ULong(code), value))


@dataclass(frozen=True)
class Message:
    """A message at rest. Sections the broker never changes are kept encoded; `body` includes the footer."""

    header: list[Any] = field(default_factory=list)
    annotations: Mapping[Symbol, Any] = field(default_factory=dict)
    properties: list[Any] = field(default_factory=list)
    encoded_properties: bytes = b""
    application: bytes = b""
    body: bytes = b""

    @classmethod
    def decode(cls, encoded: bytes) -> Message:
        """Read a message; delivery annotations are for one hop only and dropped. Raises CodecError."""
        found: dict[str, Any] = {}
        body = b""
        for code, value, raw in sections(encoded):
            if code == HEADER:
                found["header"] = value
            elif code == ANNOTATIONS:
                found["annotations"] = value
            elif code == PROPERTIES:
                found |= {"properties": value, "encoded_properties": raw}
            elif code == APPLICATION:
                found["application"] = raw
            elif code != DELIVERY_ANNOTATIONS:
                body += raw
        return cls(body=body, **found)

    def encode(self, deliveries: int = 0, annotations: Mapping[Symbol, Any] | None = None) -> bytes:
        """The bytes of the message, with a delivery count and with the broker's annotations added to its
        own.
        """
        durable, priority, ttl, first, _ = (self.header + [None] * 5)[:5]
        # The count is sent even when it is zero: the SDK reads an absent one as None.
        encoded = section(HEADER, [durable, priority, ttl, first, UInt(deliveries)])
        if merged := {**self.annotations, **(annotations or {})}:
            encoded += section(ANNOTATIONS, merged)
        return encoded + self.encoded_properties + self.application + self.body

    def named(self, name: str) -> Any:
        """The property of that name in PROPERTY_INDEX, or None."""
        index = PROPERTY_INDEX[name]
        return self.properties[index] if index < len(self.properties) else None

    @property
    def id(self) -> str:
        """The message id as text; empty when there is none."""
        value = self.named("message_id")
        return "" if value is None else str(value)

    @property
    def session(self) -> str | None:
        session: str | None = self.named("session_id")
        return session

    @property
    def due(self) -> float:
        """When it shall be enqueued, in seconds since 1970; 0 for at once."""
        return float(self.annotations.get(SCHEDULED) or 0) / 1000

    @property
    def partition_key(self) -> str | None:
        key: str | None = self.annotations.get(PARTITION_KEY)
        return key

    @property
    def ttl(self) -> float | None:
        """The time to live in seconds, counted from when it is enqueued; None for as long as the entity
        allows.
        """
        milliseconds = self.header[_TTL] if len(self.header) > _TTL else None
        if (
            milliseconds is None
            and len(self.properties) > _CREATION
            and None not in self.properties[_ABSOLUTE_EXPIRY : _CREATION + 1]
        ):
            milliseconds = self.properties[_ABSOLUTE_EXPIRY] - self.properties[_CREATION]
        return None if milliseconds is None else milliseconds / 1000

    @property
    def size(self) -> int:
        """Bytes, without header and annotations."""
        return len(self.encoded_properties) + len(self.application) + len(self.body)

    def lasting_at_most(self, seconds: float | None) -> Message:
        """The message with its time to live cut to the default of an entity, which is its ceiling too."""
        if seconds is None or (self.ttl is not None and self.ttl <= seconds):
            return self
        return replace(
            self,
            header=[*(self.header + [None] * _TTL)[:_TTL], UInt(seconds * 1000), *self.header[_TTL + 1 :]],
        )

    def identified(self) -> Message:
        """The message with an id: the service gives one to a message that has none
        (https://github.com/Azure/azure-service-bus-java/issues/69).
        """
        if self.named("message_id") is not None:
            return self
        properties = [uuid.uuid4().hex, *self.properties[1:]]
        return replace(self, properties=properties, encoded_properties=section(PROPERTIES, properties))

    def application_properties(self) -> dict[str, Any]:
        return dict(decode(self.application)[0].value) if self.application else {}

    def with_properties(self, changed: Mapping[str, Any]) -> Message:
        """The message with some application properties set; the others stay."""
        if not changed:
            return self
        named = {str(name): value for name, value in changed.items()}  # they may come as symbols
        return replace(self, application=section(APPLICATION, {**self.application_properties(), **named}))

    def dead_lettered(self, source: str, reason: str | None, description: str | None) -> Message:
        """The message as it goes to the dead-letter queue of the entity `source`."""
        given = {"DeadLetterReason": reason, "DeadLetterErrorDescription": description}
        moved = replace(self, annotations={**self.annotations, DEAD_LETTER_SOURCE: source})
        return moved.with_properties({name: text for name, text in given.items() if text is not None})
