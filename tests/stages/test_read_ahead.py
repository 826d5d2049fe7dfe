"""What a stage reads beside its look at the branch."""

from __future__ import annotations

import asyncio

import pytest

from shared.errors import Busy, Unavailable
from shared.messaging.routes import (
    PROVISION_CATALOG,
    PROVISION_GATEWAY,
    PROVISION_PROJECTS,
    PROVISION_WORKSPACES,
    Stage,
)
from shared.names import CATALOG_TEAM
from shared.stages.read_ahead import ReadAhead
from tests.fakes.app import Asked, FakeApp, a_change, an_event, path_of
from tests.fakes.calls import Call
from tests.stages.road import WORK, a_team, push, run


class _Reads:
    """Each read answers with its number; `error` is raised instead."""

    def __init__(self, error: Unavailable | None = None) -> None:
        self.begun = self.ended = 0
        self._error = error

    async def __call__(self) -> int:
        self.begun += 1
        await asyncio.sleep(0)
        if self._error is not None:
            raise self._error
        self.ended += 1
        return self.begun


async def test_the_first_who_asks_gets_what_was_begun_and_later_ones_a_new_read() -> None:
    reads = _Reads()
    async with ReadAhead(reads) as ahead:
        await asyncio.sleep(0)
        assert reads.begun == 1
        assert [await ahead.get(), await ahead.get()] == [1, 2]


async def test_a_read_that_nobody_asks_for_is_given_up() -> None:
    reads = _Reads()
    async with ReadAhead(reads):
        await asyncio.sleep(0)
    assert (reads.begun, reads.ended) == (1, 0)


async def test_a_read_that_fails_fails_for_who_asks_and_for_nobody_else() -> None:
    async with ReadAhead(_Reads(Unavailable("no answer"))):
        await asyncio.sleep(0)
    async with ReadAhead(_Reads(Unavailable("no answer"))) as ahead:
        with pytest.raises(Unavailable):
            await ahead.get()


class _SlowHead:
    """GitHub's first answer takes its time: `beside` are the calls that were begun until then."""

    def __init__(self, app: FakeApp) -> None:
        self._app = app
        self.beside: list[Call] | None = None
        app.calls.forget()
        app.calls.before = self._before

    async def _before(self, call: Call) -> None:
        if call.name == "head" and self.beside is None:
            self.beside = []
            for _ in range(10):
                await asyncio.sleep(0)
            self.beside = list(self._app.calls.made)


@pytest.mark.parametrize(
    ("stage", "team", "reads"),
    [
        (PROVISION_CATALOG, CATALOG_TEAM, {"api", "api_policy", "backends", "named_values", "fragment"}),
        (PROVISION_GATEWAY, "alpha", {"product"}),
        (PROVISION_WORKSPACES, "alpha", {"namespace"}),
        (PROVISION_PROJECTS, "alpha", {"project", "readers_of"}),
    ],
    ids=lambda value: value.name if isinstance(value, Stage) else "",
)
async def test_a_stage_reads_beside_its_look_at_the_branch_and_writes_nothing_before(
    stage: Stage, team: str, reads: set[str]
) -> None:
    app = await a_team()
    app.repository.commit({path_of("alpha"): Asked(tokens=5_000, playground=True).text()})
    slow = _SlowHead(app)
    change = a_change(app, team)
    await WORK[stage](app, an_event(app, change))
    assert slow.beside is not None
    assert {call.name for call in slow.beside} == {"head", *reads}
    assert not [call for call in slow.beside if call.writes]


async def test_what_was_written_between_the_read_and_the_look_is_not_written_over() -> None:
    """A newer message is handled in between: the ETag that was read is the older one."""
    app = await a_team()
    app.repository.commit({path_of("alpha"): Asked(tokens=5_000).text()})
    overtaken = False

    async def overtake(call: Call) -> None:
        nonlocal overtaken
        if call.name == "product" and not overtaken:
            overtaken = True
            await push(app, {path_of("alpha"): Asked(tokens=7_000).text()})

    app.calls.after = overtake
    with pytest.raises(Busy):
        await run(app, PROVISION_GATEWAY)
    marker = app.gateway.state.products["team-alpha"].marker
    assert marker is not None
    assert marker.commit == app.repository.branch


async def test_a_stage_that_acts_once_more_reads_once_more() -> None:
    """The request is changed while the policy of the one before is written."""
    app = await a_team()
    app.repository.commit({path_of("alpha"): Asked(tokens=5_000).text()})
    moved = False

    async def move(call: Call) -> None:
        nonlocal moved
        if call.name == "publish_product" and not moved:
            moved = True
            app.repository.commit({path_of("alpha"): Asked(tokens=7_000).text()})

    app.calls.forget()
    app.calls.after = move
    await run(app, PROVISION_GATEWAY)
    assert app.calls.names("gateway").count("product") == 2
    marker = app.gateway.state.products["team-alpha"].marker
    assert marker is not None
    assert marker.commit == app.repository.branch
