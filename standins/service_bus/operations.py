"""What the wire asks of the broker: every operation recorded by kind, faults injected.

Kinds are a verb and the name of an entity, for instance `send access-changes`, `schedule deliver-keys`, `complete provision-gateway`,
`deadletter sweeps`, `receive sweeps dead letters`. The target is the message id, or the session.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from typing import Literal, TypeVar

from standins.service_bus.broker import Broker
from standins.service_bus.codec import CodecError
from standins.service_bus.entity import Entity
from standins.service_bus.errors import BusError, MalformedMessage, ServerBusy
from standins.service_bus.message import DATA, Message, sections
from standins.service_bus.queues import Queue
from standins.service_bus.settlement import Settlement
from standins.world import World

SERVER = "service-bus"
#: Message format of a transfer that carries a batch: each data section is a message.
BATCH_FORMAT = 0x80013700

Result = TypeVar("Result")


class ConnectionDropped(Exception):
    """An injected fault: the connection closes without an answer."""


class Operations:
    """The broker as connections see it."""

    def __init__(self, world: World, broker: Broker) -> None:
        self.world = world
        self.broker = broker

    def perform(self, kind: str, target: str, action: Callable[[], Result]) -> Result:
        """Do it, meet the faults asked for, and note the call. Raises BusError or ConnectionDropped."""
        started = time.perf_counter()
        self._meet_fault(kind, target, "before")
        try:
            result = action()
        except BusError as error:
            self.world.record(SERVER, kind, target, error.status, started)
            raise
        self._meet_fault(kind, target, "after")
        self.world.record(SERVER, kind, target, 200, started)
        return result

    def note(self, kind: str, target: str) -> None:
        """Record what the broker did by itself: a delivery, a session handed to a receiver."""
        self.world.record(SERVER, kind, target, 200, time.perf_counter())

    def send(self, entity: Entity, encoded: bytes, message_format: int) -> None:
        """Take in a transfer: one message, or a batch of them."""
        try:
            parts = [value for code, value, _ in sections(encoded) if code == DATA] if message_format == BATCH_FORMAT else [encoded]
            messages = [Message.decode(part) for part in parts]
        except CodecError as error:
            raise MalformedMessage(str(error)) from error
        for message in messages:
            self.accept(entity, message)

    def accept(self, entity: Entity, message: Message) -> int:
        """Hand one message to an entity; returns its sequence number there."""
        verb = "schedule" if message.due > self.world.clock.now() else "send"
        return self.perform(f"{verb} {entity.name}", message.id, lambda: entity.accept(message))

    def settle(self, settlement: Settlement, queue: Queue, token: uuid.UUID) -> None:
        """Settle a delivery. Raises MessageLockLost."""
        self.perform(f"{settlement.verb} {queue.name}", queue.message_id(token), lambda: settlement.apply(queue, token))

    def _meet_fault(self, kind: str, target: str, when: Literal["before", "after"]) -> None:
        fault = self.world.take_fault(SERVER, kind, when)
        if fault is None:
            return
        self.world.record(SERVER, kind, target, fault.status or 0, time.perf_counter())
        raise ConnectionDropped if fault.status == 0 else ServerBusy
