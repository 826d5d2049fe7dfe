"""A message in an entity."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from standins.clock import Timer
from standins.service_bus.codec import Int, Symbol, Timestamp
from standins.service_bus.message import Message

_SEQUENCE_NUMBER = Symbol("x-opt-sequence-number")
_ENQUEUED_TIME = Symbol("x-opt-enqueued-time")
_MESSAGE_STATE = Symbol("x-opt-message-state")
_LOCKED_UNTIL = Symbol("x-opt-locked-until")


class State(IntEnum):
    """The numbers are those of the annotation `x-opt-message-state`."""

    ACTIVE = 0
    DEFERRED = 1
    SCHEDULED = 2


@dataclass(slots=True)
class Lock:
    """Who may settle an entry: whoever knows the token. `timer` is None when the lock is that of a
    session.
    """

    token: uuid.UUID
    until: float
    timer: Timer | None = None


@dataclass(slots=True)
class Entry:
    """A message in an entity. `enqueued` is seconds since 1970, `deliveries` counts the failed ones."""

    sequence: int
    message: Message
    enqueued: float
    state: State = State.ACTIVE
    deliveries: int = 0
    lock: Lock | None = None

    def encode(self) -> bytes:
        """The message as a receiver sees it."""
        annotations: dict[Symbol, Any] = {
            _SEQUENCE_NUMBER: self.sequence,
            _ENQUEUED_TIME: Timestamp(self.enqueued * 1000),
            _MESSAGE_STATE: Int(self.state),
        }
        if self.lock is not None:
            annotations[_LOCKED_UNTIL] = Timestamp(self.lock.until * 1000)
        return self.message.encode(self.deliveries, annotations)
