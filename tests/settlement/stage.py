"""A message to a stage whose work is whatever a test says."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

from shared.app import App
from shared.errors import MergekeyError
from shared.messaging.outcomes import Event, Outcome
from shared.messaging.retry_state import IncomingMessage
from shared.messaging.routes import PROVISION_GATEWAY, Stage
from shared.ports import OutgoingMessage
from shared.stages.settlement import settle
from tests.fakes.app import Asked, FakeApp, a_change, path_of

ROOT = "72d3162e-cc78-11e3-81ab-4c9367dc0958/alpha"

Work = Callable[[App, Event[Any]], Awaitable[Outcome]]


def ends_with(result: Outcome | Exception) -> Work:
    """A stage that returns the outcome or raises the error."""

    async def work(_: App, __: Event[Any]) -> Outcome:
        if isinstance(result, Exception):
            raise result
        return result

    return work


def an_app() -> FakeApp:
    app = FakeApp()
    app.repository.commit({path_of("alpha"): Asked().text()})
    return app


def a_message(app: FakeApp, **changed: Any) -> IncomingMessage:
    """The first message of a chain, as the gateway's stage receives it."""
    body = a_change(app).encode(ROOT, "/repositories/1", app.clock.now())
    return replace(IncomingMessage(body, ROOT, "alpha", app.clock.now()), **changed)


def as_received(app: FakeApp, envelope: OutgoingMessage) -> IncomingMessage:
    """A copy that came back when it was due."""
    enqueued = envelope.due or app.clock.now()
    return IncomingMessage(
        envelope.body, envelope.message_id, envelope.session, enqueued, dict(envelope.properties)
    )


async def settled(
    app: FakeApp,
    result: Outcome | Exception,
    message: IncomingMessage | None = None,
    stage: Stage = PROVISION_GATEWAY,
) -> list[OutgoingMessage]:
    """What was queued by it."""
    seen = len(app.bus.sent)
    await settle(app, stage, message or a_message(app), ends_with(result))
    return app.bus.sent[seen:]


async def chain(
    app: FakeApp,
    result: Callable[[], Outcome | MergekeyError],
    most: timedelta,
    stage: Stage = PROVISION_GATEWAY,
) -> list[OutgoingMessage]:
    """The same result again and again until nothing comes back, or for so long; the clock goes along. Returns
    all that was queued.
    """
    message, queued, end = a_message(app), [], app.clock.now() + most
    while app.clock.now() < end:
        sent = await settled(app, result(), message, stage)
        queued += sent
        if not sent or sent[-1].due is None:
            break
        app.clock.advance_to(sent[-1].due)
        message = as_received(app, sent[-1])
    return queued
