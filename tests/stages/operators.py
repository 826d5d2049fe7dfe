"""What operators do and see: dead letters that are there, discarded, and what a sweep queues then."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from shared.api import dead_letters
from shared.api.dead_letters import Answer, Command
from shared.errors import Rejected
from shared.inventory.dead_letters import letters
from shared.messaging.messages import Sweep
from shared.messaging.routes import TOPIC
from shared.ports import OutgoingMessage
from shared.stages.outgoing import sweep
from shared.stages.settlement import start_sweep
from tests.fakes.app import Asked, FakeApp
from tests.fakes.calls import Call, nothing
from tests.stages.road import a_platform, ask, drain

MINUTES = timedelta(minutes=11)


class Refusing:
    """A gateway, or whatever the call's name is of, that refuses for good, as often as it is asked."""

    def __init__(self, app: FakeApp, name: str = "put_product_policy") -> None:
        self._app = app
        self._name = name

    async def __call__(self, call: Call) -> None:
        if call.name == self._name:
            raise Rejected("API Management answered 400")

    def __enter__(self) -> None:
        self._app.calls.before = self

    def __exit__(self, *_: object) -> None:
        self._app.calls.before = nothing


async def a_dead_letter(asked: Asked | None = None, name: str = "put_product_policy") -> FakeApp:
    """A platform with a team whose provisioning failed for good."""
    app = await a_platform()
    with Refusing(app, name):
        await ask(app, asked or Asked())
    app.calls.forget()
    return app


async def numbers(app: FakeApp) -> list[int]:
    return [letter.sequence async for letter in letters(app)]


async def discard(app: FakeApp, *sequences: int, **options: Any) -> list[Answer]:
    return await dead_letters.discard(
        app, Command(sequences or await numbers(app), "olivia"), "because", **options
    )


async def sweep_now(app: FakeApp, verdict: bool = False) -> list[OutgoingMessage]:
    """What a sweep queues; then everything that is due happens."""
    app.clock.advance(MINUTES)
    seen = len(app.bus.sent)
    if verdict:
        await app.bus.send([sweep(app, Sweep(why="a test", verdict=True), f"s{seen}/sweep", app.clock.now())])
    else:
        await start_sweep(app, "a test")
    await drain(app)
    return [sent for sent in app.bus.sent[seen:] if sent.entity == TOPIC and sent.due is None]


def outcomes(answers: list[Answer]) -> list[str]:
    return [answer.outcome for answer in answers]


def addressed(sent: list[OutgoingMessage]) -> list[tuple[str | None, str | None]]:
    return [(envelope.session, envelope.to) for envelope in sent]


def each(team: str, *stages: str) -> list[tuple[str | None, str | None]]:
    """What is addressed to each of these stages."""
    return [(team, f"provision-{stage}") for stage in stages]
