"""The retry state of a message and its copies, and the ids and delays that follow from it. Pure:
`shared.stages.settlement` acts on it.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from shared.errors import Busy, MergekeyError, TemporaryError
from shared.marker import format_time, read_time
from shared.messaging.messages import (
    MAX_PROPERTY_LENGTH,
    Message,
    TeamMessage,
    escape_surrogates,
    is_count,
    truncate,
)
from shared.messaging.outcomes import Waiting
from shared.messaging.routes import Stage

Properties = Mapping[str, str | int | float | bool]

#: Service Bus allows 128 characters for a message id.
MAX_ID_LENGTH = 128
#: Bytes of a whole message in the tier Standard:
#: https://learn.microsoft.com/azure/service-bus-messaging/service-bus-quotas
MAX_MESSAGE_BYTES = 262_144


@dataclass(frozen=True, slots=True)
class IncomingMessage:
    """A message as a trigger received it. `reason` and `description` are the broker's, for messages from a
    native dead-letter queue.
    """

    body: bytes
    message_id: str
    session: str | None
    enqueued: datetime
    properties: Properties = field(default_factory=dict)
    delivery_count: int = 1
    reason: str = ""
    description: str = ""


@dataclass(frozen=True, slots=True)
class RetryState:
    """The application properties of a message's copies. `correlation_id` is the id of the first message of
    the chain (property `root`), `hop` the number of this copy (property `sequence`). Times are texts of
    `format_time`, empty for never.

    `replays` counts how often people sent it again after it had become a dead letter.
    """

    correlation_id: str
    hop: int = 0
    attempt: int = 0
    waiting_for: str = ""
    waiting_since: str = ""
    failing_since: str = ""
    denied_since: str = ""
    replays: int = 0

    @classmethod
    def of(cls, received: IncomingMessage) -> RetryState:
        """Read the properties of any message: those of foreign messages can have any type and length."""
        known, enqueued = received.properties, received.enqueued
        return cls(
            correlation_id=bounded_id(escape_surrogates(str(known.get("root") or received.message_id))),
            hop=_number(known.get("sequence")),
            attempt=_number(known.get("attempt")),
            waiting_for=truncate(known.get("waiting-for") or "", MAX_PROPERTY_LENGTH),
            waiting_since=_moment(known.get("waiting-since"), enqueued),
            failing_since=_moment(known.get("failing-since"), enqueued),
            denied_since=_moment(known.get("denied-since"), enqueued),
            replays=_number(known.get("replays")),
        )

    def properties(self) -> dict[str, str | int | float | bool]:
        times = {
            "waiting-since": self.waiting_since,
            "failing-since": self.failing_since,
            "denied-since": self.denied_since,
        }
        named: dict[str, str | int | float | bool] = {
            "waiting-for": self.waiting_for,
            **times,
            "replays": self.replays,
        }
        counts: dict[str, str | int | float | bool] = {
            "root": self.correlation_id,
            "sequence": self.hop,
            "attempt": self.attempt,
        }
        return {**counts, **{name: value for name, value in named.items() if value}}


#: The longest pause between two checks of a waiting stage.
MAX_WAIT = timedelta(minutes=1)


def waiting_until(outcome: Waiting, now: datetime, since: datetime) -> datetime:
    """The pause grows with the wait: a quarter of the time that has passed, at most a minute.

    The times are rounded up to multiples of 1, 2, 4, ... 32 seconds, so that several chains get the same
    message id and duplicate detection joins them.
    """
    wait = max(outcome.after, min((now - since) / 4, MAX_WAIT))
    if outcome.patient:
        return now + wait
    quantum = 2 ** max(0, min(int(wait.total_seconds()), 64).bit_length() - 1)
    return datetime.fromtimestamp(math.ceil((now + wait).timestamp() / quantum) * quantum, now.tzinfo)


def waiting_id(stage: Stage, message: Message, outcome: Waiting, due: datetime) -> str:
    """One id per push, team, revision and second, so that each push reports at its own commit. Sweeps of the
    same revision join.
    """
    slot = int(due.timestamp())
    if not isinstance(message, TeamMessage):
        return f"{stage.name}/{slot}"
    whose = message.commit[:12] if message.cause == "push" else message.cause
    return f"{stage.name}/{message.team}/{outcome.revision[:40] or message.change}/{whose}/{slot}"


def retry_due(error: MergekeyError, trail: RetryState, lasted: timedelta, now: datetime) -> datetime:
    """The pause is what the service asked for, else exponential from 2 s to 10 min, and at least half of it
    passes. Conflicts (409, 412) are retried sooner than other errors: after a quarter of the time that has
    passed, from 2 s to a minute.

    The moment is rounded up to a multiple of 1, 2, 4, ... 256 seconds, counted from an offset that follows
    from the correlation id: chains of one message meet, and those of different messages are spread.
    """
    asked = error.retry_after if isinstance(error, TemporaryError) else None
    exponential = min(2.0 * 2 ** min(trail.attempt, 10), 600.0)
    seconds = min(max(2.0, lasted.total_seconds() / 4), 60.0) if isinstance(error, Busy) else exponential
    earliest = now + max(asked or timedelta(0), timedelta(seconds=seconds / 2))
    quantum = 2 ** (int(seconds / 2).bit_length() - 1)
    offset = int(hashlib.sha256(trail.correlation_id.encode()).hexdigest()[:8], 16) / 2**22
    slot = math.ceil((earliest.timestamp() - offset) / quantum) * quantum
    return datetime.fromtimestamp(slot + offset, now.tzinfo)


def retry_id(stage: Stage, trail: RetryState, due: datetime) -> str:
    """One id per chain and moment. What waits, of which a status tells, joins nothing that does not."""
    slot = str(int(due.timestamp()))
    return "/".join(part for part in (trail.correlation_id, stage.name, trail.waiting_for, slot) if part)


def bounded_id(message_id: str) -> str:
    """The id, with a hash in place of its end when it is too long."""
    if len(message_id) <= MAX_ID_LENGTH:
        return message_id
    return f"{message_id[:63]}/{hashlib.sha256(message_id.encode()).hexdigest()}"


def _moment(value: object, latest: datetime) -> str:
    """The text of a valid time, else an empty one. A time after the message was enqueued is replaced by that
    moment: a limit that counts from the future would never end.
    """
    found = read_time(str(value))
    if found is None:
        return ""
    return str(value) if found <= latest else format_time(latest)


def _number(value: object) -> int:
    """The bound leaves room to count on: the next reader must still accept the number."""
    return value if isinstance(value, int) and is_count(value, most=2**30) else 0
