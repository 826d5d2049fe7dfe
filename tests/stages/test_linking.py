"""Many new teams at once: API Management makes one link at a time, and other teams need the sessions."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from shared.errors import Busy, Unavailable
from shared.messaging.outcomes import Outcome
from shared.messaging.routes import PROVISION_GATEWAY
from shared.names import API
from shared.stages.linking import LONGEST, PLACES, USUAL, Linking
from tests.fakes.app import Asked, FakeApp, path_of
from tests.fakes.calls import Call, nothing
from tests.fakes.clock import START
from tests.stages.road import a_team, run

TEAMS = tuple(f"team{number:02}" for number in range(PLACES))
LATE = ("late-one", "late-two")


class _LinksWait:
    """No link is made before `open`; the teams of TEAMS are waiting for theirs."""

    def __init__(self, app: FakeApp) -> None:
        self._app = app
        self._let, self._full = asyncio.Event(), asyncio.Event()
        self._waiting = 0
        app.calls.before = self._before

    async def _before(self, call: Call) -> None:
        if call.name == "link_product":
            self._waiting += 1
            if self._waiting == PLACES:
                self._full.set()
            await self._let.wait()

    async def fill(self) -> list[asyncio.Task[Outcome]]:
        handled = [asyncio.create_task(run(self._app, PROVISION_GATEWAY, team)) for team in TEAMS]
        await self._full.wait()
        return handled

    def open(self) -> None:
        self._let.set()
        self._app.calls.before = nothing


async def _many_new_teams() -> FakeApp:
    """Beside alpha, which has all that it asks for."""
    app = await a_team()
    app.repository.commit({path_of(team): Asked(team=team).text() for team in (*TEAMS, *LATE)})
    return app


def _calls(app: FakeApp, *teams: str) -> list[str]:
    """What was asked of the gateway about the products of these teams."""
    products = {f"team-{team}" for team in teams}
    return [str(call) for call in app.calls.made if call.system == "gateway" and call.target in products]


def _linked(app: FakeApp) -> set[str]:
    return {product.removeprefix("team-") for product, api in app.gateway.state.links if api == API}


async def test_who_finds_no_place_comes_back_at_its_turn_and_has_written_nothing() -> None:
    app = await _many_new_teams()
    links = _LinksWait(app)
    handled = await links.fill()
    app.calls.forget()
    waits = []
    for team in LATE:
        with pytest.raises(Busy) as refused:
            await run(app, PROVISION_GATEWAY, team)
        assert refused.value.reason == "ManyNewTeams"
        assert refused.value.retry_after is not None
        waits.append(refused.value.retry_after)
    assert _calls(app, *LATE) == ["product team-late-one", "product team-late-two"]
    assert timedelta(0) < waits[0] < waits[1]
    links.open()
    await asyncio.gather(*handled)
    for team in LATE:
        await run(app, PROVISION_GATEWAY, team)
    assert _linked(app) == {"alpha", *TEAMS, *LATE}


async def test_a_changed_limit_does_not_wait_for_the_links_of_new_teams() -> None:
    app = await _many_new_teams()
    links = _LinksWait(app)
    handled = await links.fill()
    app.repository.commit({path_of("alpha"): Asked(tokens=5_000).text()})
    app.calls.forget()
    await run(app, PROVISION_GATEWAY)
    assert [call for call in _calls(app, "alpha") if not call.startswith("product")] == [
        "put_product_policy team-alpha",
        "publish_product team-alpha",
    ]
    links.open()
    await asyncio.gather(*handled)


async def test_a_team_whose_link_fails_gives_its_place_back() -> None:
    app = await _many_new_teams()

    async def refuse(call: Call) -> None:
        if call.name == "link_product":
            raise Unavailable("no answer")

    app.calls.before = refuse
    for team in (*TEAMS, *LATE):
        with pytest.raises(Unavailable):
            await run(app, PROVISION_GATEWAY, team)


def test_turns_are_as_far_apart_as_places_were_given_back_lately() -> None:
    linking = Linking()
    for _ in range(PLACES):
        linking.enter(START)
    assert _turns(linking, 2) == [USUAL / PLACES, 2 * USUAL / PLACES]
    linking.leave(USUAL + timedelta(seconds=8))
    linking.enter(START)
    [turn] = _turns(linking, 1)
    assert turn == 2 * USUAL / PLACES + (USUAL + timedelta(seconds=2)) / PLACES


def test_no_turn_is_further_away_than_some_minutes() -> None:
    linking = Linking()
    for _ in range(PLACES):
        linking.enter(START)
    assert max(_turns(linking, 2_000)) == LONGEST


def _turns(linking: Linking, times: int) -> list[timedelta]:
    turns = []
    for _ in range(times):
        with pytest.raises(Busy) as refused:
            linking.enter(START)
        assert refused.value.retry_after is not None
        turns.append(refused.value.retry_after)
    return turns
