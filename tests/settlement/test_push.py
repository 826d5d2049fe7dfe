"""The webhook's answer: GitHub's trouble becomes a sweep, Service Bus' trouble is GitHub's to show."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from shared.errors import AccessDenied, MergekeyError, Rejected, Throttled, Unavailable
from shared.messaging.messages import Sweep
from shared.messaging.outcomes import Push
from shared.messaging.routes import SWEEP, TOPIC
from shared.requests.paths import DEFAULT_CATALOG_PATH
from shared.stages import settlement
from shared.stages.settlement import settle_push
from tests.fakes.app import Asked, FakeApp, catalog_text, path_of
from tests.fakes.calls import Call, Hook


def _app() -> FakeApp:
    app = FakeApp()
    app.repository.commit({DEFAULT_CATALOG_PATH: catalog_text(), path_of("alpha"): Asked().text()})
    return app


def _down(system: str, error: Exception, times: int = 100) -> Hook:
    left = [times]

    async def fail(call: Call) -> None:
        if call.system == system and left[0] > 0:
            left[0] -= 1
            raise error

    return fail


async def test_a_push_is_accepted_when_its_changes_are_queued() -> None:
    app = _app()
    assert await settle_push(app, Push("d1", None)) == (202, "1 team queued")
    assert {envelope.entity for envelope in app.bus.sent} == {TOPIC}


@pytest.mark.parametrize(
    "error", [Unavailable("502"), Throttled("403"), AccessDenied("401"), Rejected("too large")], ids=str
)
async def test_trouble_with_github_becomes_a_look_at_everything(error: MergekeyError) -> None:
    app = _app()
    app.calls.before = _down("repository", error)
    status, text = await settle_push(app, Push("d1", None))
    assert (status, text) == (202, "everything is looked at in a moment")
    [envelope] = app.bus.waiting(SWEEP)
    assert (envelope.message_id, envelope.session) == ("d1/sweep", "sweep")
    assert Sweep.decode(envelope.body) == Sweep(why="trouble while a push was taken in", verdict=True)


async def test_trouble_with_service_bus_is_shown_so_that_redelivery_works() -> None:
    app = _app()
    app.calls.before = _down("bus", Unavailable("no connection"))
    assert await settle_push(app, Push("d1", None)) == (503, "the push could not be queued: redeliver it")
    app.calls.before = _down("bus", Unavailable("no connection"), times=0)
    assert await settle_push(app, Push("d1", None)) == (202, "1 team queued")


async def test_a_short_trouble_with_service_bus_becomes_a_look_at_everything() -> None:
    app = _app()
    app.calls.before = _down("bus", Unavailable("no connection"), times=1)
    assert (await settle_push(app, Push("d1", None)))[0] == 202
    assert len(app.bus.waiting(SWEEP)) == 1


async def test_a_bug_is_no_202() -> None:
    app = _app()
    app.calls.before = _down("repository", KeyError("tree"))
    with pytest.raises(KeyError):
        await settle_push(app, Push("d1", None))
    assert app.bus.sent == []


async def test_a_redelivered_push_is_queued_once() -> None:
    app = _app()
    for _ in range(2):
        await settle_push(app, Push("d1", None))
    assert [envelope.message_id for envelope in app.bus.sent] == ["d1/catalogue", "d1/alpha"]


async def test_what_takes_longer_than_github_waits_becomes_a_look_at_everything(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    app = _app()
    monkeypatch.setattr(settlement, "PUSH_TIMEOUT", timedelta(milliseconds=20))

    async def hang(call: Call) -> None:
        if call.system == "repository":
            await asyncio.Event().wait()

    app.calls.before = hang
    assert (await settle_push(app, Push("d1", None)))[0] == 202
    assert [envelope.message_id for envelope in app.bus.waiting(SWEEP)] == ["d1/sweep"]
