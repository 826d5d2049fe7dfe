"""Messages from one stage to the next, and their ids: of two messages with the same id Service Bus drops one.

Ids grow along a chain of messages, and a chain of sweeps that queue sweeps has no end: hence `bounded`.
"""

from __future__ import annotations

from datetime import UTC, datetime

from shared.app import App
from shared.messaging.messages import TO_ALL, AccessChange, DeliverKeys, Message, Sweep, TeamMessage
from shared.messaging.outcomes import Event
from shared.messaging.retry_state import bounded_id
from shared.messaging.routes import DELIVER_KEYS, SWEEP, TOPIC, Stage
from shared.ports import OutgoingMessage


async def ask_for_keys(app: App, event: Event[TeamMessage], commit: str) -> None:
    """Queue the delivery or withdrawal of the team's keys: one per chain of messages."""
    message = DeliverKeys(**{**event.message.model_dump(by_alias=True), "commit": commit})
    message_id = bounded_id(f"{event.correlation_id}/{DELIVER_KEYS.name}")
    await app.bus.send(
        [
            OutgoingMessage(
                DELIVER_KEYS.entity,
                message_id,
                encode(app, message, message_id, event.now),
                session=message.team,
            )
        ]
    )


def access_change(
    app: App, change: AccessChange, cause: str, now: datetime, stage: Stage | None = None
) -> OutgoingMessage:
    """The first message of a chain, to all stages or to one of the topic. `cause` is the id of the delivery
    or the sweep.
    """
    message_id = bounded_id(
        f"{cause}/{change.team}" if stage is None else f"{cause}/{change.team}/{stage.name}"
    )
    to = TO_ALL if stage is None else stage.to
    return OutgoingMessage(
        TOPIC, message_id, encode(app, change, message_id, now), session=change.team, to=to
    )


async def ask_for_sweep(app: App, event: Event[TeamMessage], message: Sweep) -> None:
    """Queue a sweep for what a stage has just written or read. Each is a message of its own: stages of one
    chain begin in the same second, and what the slower one wrote the sweep of the faster one has not seen.
    """
    message_id = f"{event.correlation_id}/sweep/{microsecond(app.clock.now())}"
    await app.bus.send([sweep(app, message, message_id, event.now)])


def microsecond(moment: datetime) -> str:
    """A moment as ids of sweeps name it."""
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%fZ}"


def sweep(
    app: App, message: Sweep, message_id: str, now: datetime, due: datetime | None = None
) -> OutgoingMessage:
    known = bounded_id(message_id)
    return OutgoingMessage(
        SWEEP.entity, known, encode(app, message, known, now), session=message.session, due=due
    )


def encode(app: App, message: Message, message_id: str, now: datetime) -> bytes:
    return message.encode(message_id, f"/repositories/{app.platform.repository}", now)
