"""Teams are read one by one: what cannot be read of one of them keeps nothing else from being put right."""

from __future__ import annotations

import pytest

from shared.errors import MergekeyError, Rejected, Unavailable
from shared.messaging.messages import Sweep
from shared.messaging.routes import TOPIC
from shared.names import CATALOG_TEAM
from shared.stages.settlement import start_sweep
from shared.stages.sweep import run_sweep
from tests.fakes.app import Asked, FakeApp, an_event
from tests.fakes.calls import Call, nothing
from tests.fakes.gateway import Policy
from tests.stages.road import a_team, ask, drain


async def three_teams_with_edited_policies() -> FakeApp:
    app = await a_team()
    await ask(app, Asked(team="bravo"))
    await ask(app, Asked(team="carol"))
    app.gateway.state.fragments.clear()
    for product in app.gateway.state.policies:
        app.gateway.state.policies[product] = Policy("<policies/>", '"edited"')
    return app


def refuse(app: FakeApp, target: str, error: MergekeyError) -> None:
    async def before(call: Call) -> None:
        if call.name == "product_policy" and call.target == target:
            raise error

    app.calls.before = before


@pytest.mark.parametrize("error", [Rejected("400"), Unavailable("404", reason="NotFound")])
async def test_who_cannot_be_read_is_told_and_the_others_are_put_right(
    error: MergekeyError, caplog: pytest.LogCaptureFixture
) -> None:
    app = await three_teams_with_edited_policies()
    seen = len(app.bus.sent)
    refuse(app, "team-bravo", error)
    with pytest.raises(type(error)):
        await run_sweep(app, an_event(app, Sweep(why="a test", deep=True), "sweep-1"))
    assert sorted(str(sent.session) for sent in app.bus.sent[seen:] if sent.entity == TOPIC) == [
        "alpha",
        "carol",
        CATALOG_TEAM,
    ]
    assert f"Sweep: bravo: could not be looked at deeply: {error}" in caplog.text


async def test_who_could_not_be_read_for_a_moment_is_put_right_by_the_same_sweep() -> None:
    app = await three_teams_with_edited_policies()
    refuse(app, "team-bravo", Unavailable("500"))
    await start_sweep(app, "a test", deep=True)
    await drain(app)
    app.calls.before = nothing
    await drain(app, app.bus.next_due())
    assert not [policy for policy in app.gateway.state.policies.values() if policy.text == "<policies/>"]
    assert app.bus.dead_letters() == []
