"""Races that the simulation found, each told by itself: two hands on one thing, and what the slower one left behind."""

from __future__ import annotations

from datetime import timedelta

import pytest

from shared.domain import names
from shared.domain.marker import Marker
from shared.errors import Busy
from shared.settlement import start_sweep
from shared.stages import DELIVER_KEYS, PROVISION_GATEWAY, PROVISION_WORKSPACES
from tests.fakes.app import GPU, LARGER_GPU, OTHER_READERS, REPOSITORY, Asked, FakeApp, a_change, an_event, keys_message, path_of
from tests.fakes.calls import Call, nothing
from tests.pipeline.road import WORK, a_platform, a_team, later, run, withdraw, world

HOUR = timedelta(hours=1)
ROUTE = ("team-alpha", "HTTPRoute", "phi-4")


async def _sweep(app: FakeApp) -> None:
    await start_sweep(app, "a look at everything")
    await later(app, HOUR)


async def _deliver(app: FakeApp) -> None:
    await WORK[DELIVER_KEYS](app, an_event(app, keys_message(a_change(app)), "d1/alpha/deliver-keys"))


async def _asked() -> FakeApp:
    """A request stands on the branch; nothing was done about it yet."""
    app = await a_platform()
    app.repository.commit({path_of("alpha"): Asked().text()})
    return app


async def test_keys_that_are_asked_for_before_there_is_a_product_come_later() -> None:
    app = await _asked()
    with pytest.raises(Busy) as busy:
        await _deliver(app)
    assert busy.value.reason == "ProductNotThere"


async def test_keys_are_delivered_when_the_product_comes_while_they_are_refused() -> None:
    app = await _asked()

    async def product_comes(call: Call) -> None:
        if call.name == "product":
            app.calls.before = nothing
            await app.gateway.create_product("team-alpha", "Alpha", Marker(REPOSITORY, "alpha", path_of("alpha"), ""))

    app.calls.before = product_comes
    await _deliver(app)
    assert app.gateway.state.subscriptions["team-alpha"].state == "active"


async def test_a_group_that_a_late_hand_let_in_without_a_trace_is_let_out_by_a_sweep() -> None:
    app = await a_team()
    before = world(app)
    app.roles.assigned.add(("alpha-endpoint", OTHER_READERS))
    await _sweep(app)
    assert world(app) == before


async def test_nobody_may_read_what_is_deleted_after_grace() -> None:
    """A role outlives its secret: the next secret of that name would be open to the group."""
    app = await a_team()
    await withdraw(app)
    app.roles.assigned.add(("alpha-endpoint", OTHER_READERS))
    await later(app, app.limits.grace)
    await _sweep(app)
    assert not [secret for secret, _ in app.roles.assigned if secret in names.secrets("alpha")]


@pytest.mark.parametrize("left", [True, False])
async def test_a_route_that_is_left_or_lost_is_seen_by_a_sweep(left: bool) -> None:
    app = await a_team(Asked(dedicated={"phi-4": GPU}))
    await later(app, HOUR)
    assert app.cluster is not None
    before, objects = world(app), app.cluster.state.objects
    if left:
        objects["team-alpha", "HTTPRoute", "mistral-7b"] = objects[ROUTE]
    else:
        del objects[ROUTE]
    await _sweep(app)
    assert world(app) == before


async def test_a_workspace_that_another_hand_made_first_is_looked_at_again() -> None:
    """Applying over it would be refused for good: its instance type cannot be changed in place."""
    app = await a_platform()
    app.repository.commit({path_of("alpha"): Asked(dedicated={"phi-4": GPU}).text()})

    async def another_hand(call: Call) -> None:
        if call.name == "create":
            app.calls.before = nothing
            app.repository.commit({path_of("alpha"): Asked(dedicated={"phi-4": LARGER_GPU}).text()})
            await run(app, PROVISION_WORKSPACES)

    app.calls.before = another_hand
    with pytest.raises(Busy):
        await run(app, PROVISION_WORKSPACES)


async def test_a_policy_that_names_a_backend_which_went_meanwhile_is_written_later() -> None:
    app = await a_team(Asked(dedicated={"phi-4": GPU}))
    app.repository.commit({path_of("alpha"): Asked(tokens=7_000, dedicated={"phi-4": GPU}).text()})

    async def backend_goes(call: Call) -> None:
        if call.name == "put_product_policy":
            app.gateway.state.backends.pop("team-alpha--phi-4", None)

    app.calls.before = backend_goes
    with pytest.raises(Busy) as busy:
        await run(app, PROVISION_GATEWAY)
    assert busy.value.reason == "BackendGone"
