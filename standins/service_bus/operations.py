"""What the wire asks of the broker: every operation recorded by kind, faults and delays as they were ordered.

Kinds are a verb and the name of an entity, for instance `send access-changes`, `schedule deliver-keys`,
`complete provision-gateway`, `deadletter sweeps`, `receive sweeps dead letters`. The target is the message
id, or the session.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterable, Sequence
from functools import partial

from standins.faults import When
from standins.service_bus.broker import Broker
from standins.service_bus.codec import CodecError
from standins.service_bus.entity import Entity
from standins.service_bus.errors import (
    BusError,
    EntityNotFound,
    MalformedMessage,
    MessageLockLost,
    ServerBusy,
    TimedOut,
    Unauthorized,
)
from standins.service_bus.message import DATA, Message, sections
from standins.service_bus.queues import Queue
from standins.service_bus.settlement import Settlement
from standins.service_bus.turns import ConnectionDropped, Result, Steps
from standins.world import World

SERVER = "service-bus"
#: Message format of a transfer that carries a batch: each data section is a message.
BATCH_FORMAT = 0x80013700

#: Kind and target of a call.
Named = tuple[str, str]
#: What an injected fault of a status is on this wire; any other is an internal error.
_FAULTS: dict[int, type[BusError]] = {
    401: Unauthorized,
    403: Unauthorized,
    404: EntityNotFound,
    408: TimedOut,
    410: MessageLockLost,
    429: ServerBusy,
    503: ServerBusy,
    504: TimedOut,
}


class Operations:
    """The broker as connections see it."""

    def __init__(self, world: World, broker: Broker) -> None:
        self.world = world
        self.broker = broker
        self.options = broker.environment.options

    def perform(self, calls: Sequence[Named], action: Callable[[], Result]) -> Steps[Result]:
        """Do at once what are several calls (of a batch), meet the faults and delays ordered for them, and
        note them.

        Raises BusError or ConnectionDropped.
        """
        started = time.perf_counter()
        yield from self._meet(calls, "before", started)
        try:
            result = action()
        except BusError as error:
            self._record(calls, error.status, started)
            raise
        yield from self._meet(calls, "after", started)
        self._record(calls, 200, started)
        return result

    def note(self, kind: str, target: str) -> None:
        """Record what the broker did by itself: a delivery, a session handed to a receiver."""
        self.world.record(SERVER, kind, target, 200, time.perf_counter())

    def send(self, entity: Entity, encoded: bytes, message_format: int) -> Steps[None]:
        """Take in a transfer: one message, or a batch of them, which is taken as a whole or not at all."""
        try:
            parts = (
                [value for code, value, _ in sections(encoded) if code == DATA]
                if message_format == BATCH_FORMAT
                else [encoded]
            )
            messages = [Message.decode(part) for part in parts]
        except CodecError as error:
            raise MalformedMessage(str(error)) from error
        yield from self.accept(entity, messages)

    def accept(self, entity: Entity, messages: Sequence[Message]) -> Steps[list[int]]:
        """Hand messages to an entity; returns their sequence numbers there."""

        def action() -> list[int]:
            for message in messages:
                entity.check(message)
            return [entity.accept(message) for message in messages]

        messages = [message.identified() for message in messages]
        now = self.world.clock.now()
        calls = [
            (f"{'schedule' if message.due > now else 'send'} {entity.name}", message.id)
            for message in messages
        ]
        return (yield from self.perform(calls, action))

    def settle(self, settlement: Settlement, queue: Queue, tokens: Iterable[uuid.UUID]) -> Steps[None]:
        """Settle deliveries. Raises MessageLockLost."""
        for token in tokens:
            call = f"{settlement.verb} {queue.name}", queue.message_id(token)
            yield from self.perform([call], partial(settlement.apply, queue, token))

    def _record(self, calls: Iterable[Named], status: int, started: float) -> None:
        for kind, target in calls:
            self.world.record(SERVER, kind, target, status, started)

    def _meet(self, calls: Sequence[Named], when: When, started: float) -> Steps[None]:
        trouble = self.world.trouble
        for kind, _ in calls:
            fault = self.world.take_fault(SERVER, kind, when)
            late = trouble.latency(SERVER, kind) if when == "before" else 0.0
            if wait := late + (fault.seconds if fault else 0.0):
                yield wait
            if fault is not None and fault.status is not None:
                self._record(calls, fault.status, started)
                raise ConnectionDropped if fault.status == 0 else _FAULTS.get(fault.status, BusError)
