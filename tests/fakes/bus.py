"""Service Bus in memory: queues and a topic, duplicate detection, scheduled messages, dead-lettering after
too many deliveries.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import count

from shared.errors import AccessDenied, TooLarge
from shared.messaging.messages import TO_ALL, read_envelope
from shared.messaging.retry_state import MAX_ID_LENGTH, MAX_MESSAGE_BYTES, IncomingMessage
from shared.messaging.routes import DEAD_LETTERS, STAGES, TOPIC, Stage
from shared.ports import Clock, OutgoingMessage
from tests.fakes.calls import Calls

WINDOW = timedelta(minutes=10)
MOST_DELIVERIES = 5


@dataclass
class Held:
    """A copy of a message in one queue. It is there for receivers from `enqueued` on; `sequence` grows with
    every message.
    """

    envelope: OutgoingMessage
    enqueued: datetime
    sequence: int
    deliveries: int = 0

    def received(self) -> IncomingMessage:
        """As a trigger gets it."""
        envelope = self.envelope
        properties = dict(envelope.properties)
        return IncomingMessage(
            envelope.body, envelope.message_id, envelope.session, self.enqueued, properties, self.deliveries
        )


class FakeBus:
    """`sent` is everything that was accepted, duplicates left out; `queues` what waits, by stage name (and
    `dead-letters`).
    """

    def __init__(self, calls: Calls, clock: Clock) -> None:
        self._calls = calls
        self._clock = clock
        self._seen: dict[tuple[str, str], datetime] = {}
        self._numbers = count(1)
        self.sent: list[OutgoingMessage] = []
        self.queues: dict[str, list[Held]] = {
            name: [] for name in (*(stage.name for stage in STAGES), DEAD_LETTERS)
        }
        self.put_aside: dict[str, list[Held]] = {stage.name: [] for stage in STAGES}

    async def send(self, envelopes: Sequence[OutgoingMessage]) -> None:
        """One call per entity, as the adapter makes them."""
        for entity in dict.fromkeys(envelope.entity for envelope in envelopes):
            batch = [envelope for envelope in envelopes if envelope.entity == entity]
            async with self._calls.write(
                "bus", "send", f"{entity} {' '.join(each.message_id for each in batch)}"
            ):
                self._require_acceptable(batch)
                for envelope in batch:
                    self._accept(envelope)

    def _require_acceptable(self, batch: Sequence[OutgoingMessage]) -> None:
        if any(len(envelope.message_id) > MAX_ID_LENGTH for envelope in batch):
            # the SDK's, and no error of ours
            raise ValueError(f"message_id cannot be longer than {MAX_ID_LENGTH} characters.")
        if batch[0].entity not in (TOPIC, *self.queues):
            # The service says so when a token is put for the entity, and the SDK takes any refusal of a token
            # for one of the caller.
            raise AccessDenied("Service Bus: ServiceBusAuthenticationError")
        for envelope in batch:
            _require_encodable(envelope)
        if any(envelope.size > MAX_MESSAGE_BYTES for envelope in batch):
            raise TooLarge("Service Bus: MessageSizeExceededError")

    def _accept(self, envelope: OutgoingMessage) -> None:
        now, key = self._clock.now(), (envelope.entity, envelope.message_id)
        if key in self._seen and now - self._seen[key] < WINDOW:
            return
        self._seen[key] = now
        self.sent.append(envelope)
        for name in self._addressed(envelope):
            held = Held(envelope, max(now, envelope.due or now), next(self._numbers))
            nowhere = envelope.session is None and name != DEAD_LETTERS
            (self.put_aside if nowhere else self.queues)[name].append(held)

    def _addressed(self, envelope: OutgoingMessage) -> list[str]:
        if envelope.entity != TOPIC:
            return [envelope.entity]
        return [stage.name for stage in STAGES if stage.entity == TOPIC and envelope.to in (TO_ALL, stage.to)]

    def waiting(self, stage: Stage) -> list[OutgoingMessage]:
        """All messages of a stage, scheduled ones too."""
        return [held.envelope for held in self.queues[stage.name]]

    def next_due(self) -> datetime | None:
        """When the next message of any stage is there for receivers."""
        return min((held.enqueued for stage in STAGES for held in self.queues[stage.name]), default=None)

    def peek(self, stage: Stage) -> Held | None:
        """The message that a receiver of the stage would get now: the first of those that are due."""
        due = [held for held in self.queues[stage.name] if held.enqueued <= self._clock.now()]
        return min(due, key=lambda held: held.enqueued, default=None)

    def receive(self, stage: Stage) -> Held | None:
        """Deliver the next message. It stays until it is completed."""
        held = self.peek(stage)
        if held is not None:
            held.deliveries += 1
        return held

    def complete(self, stage: Stage, held: Held) -> None:
        self.queues[stage.name].remove(held)

    def abandon(self, stage: Stage, held: Held) -> None:
        """Given back after a failure; after too many deliveries the broker puts it aside."""
        if held.deliveries >= MOST_DELIVERIES:
            self.queues[stage.name].remove(held)
            self.put_aside[stage.name].append(held)

    def dead_letters(self) -> list[OutgoingMessage]:
        return [held.envelope for held in self.queues[DEAD_LETTERS]]

    def bodies(self, entity: str) -> list[dict[str, object]]:
        """What the messages sent to an entity say: the `data` of their envelopes."""
        return [read_envelope(envelope.body)["data"] for envelope in self.sent if envelope.entity == entity]


def _require_encodable(envelope: OutgoingMessage) -> None:
    """The SDK encodes texts as UTF-8 and numbers as 32 bits; what cannot be is no error of ours either."""
    for value in (
        envelope.message_id,
        envelope.session or "",
        envelope.to or "",
        *envelope.properties,
        *envelope.properties.values(),
    ):
        if isinstance(value, str):
            value.encode()
        elif isinstance(value, int):
            value.to_bytes(4, signed=True)
