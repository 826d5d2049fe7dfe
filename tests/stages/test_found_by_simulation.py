"""Races that the simulation found, each told by itself: two hands on one thing, and what the slower one left
behind.
"""

from __future__ import annotations

from datetime import timedelta

import pytest

from shared import names
from shared.errors import Busy, Rejected
from shared.marker import Marker
from shared.messaging.routes import DELIVER_KEYS, PROVISION_CATALOG, PROVISION_GATEWAY, PROVISION_WORKSPACES
from shared.names import CATALOG_TEAM
from shared.requests.paths import DEFAULT_CATALOG_PATH
from shared.resources.actual import ActualBackend
from shared.stages.settlement import start_sweep
from tests.fakes.app import (
    GPU,
    LARGER_GPU,
    OTHER_READERS,
    REPOSITORY,
    Asked,
    FakeApp,
    a_change,
    an_event,
    catalog_text,
    keys_message,
    path_of,
)
from tests.fakes.calls import Call, nothing
from tests.fakes.clock import START
from tests.fakes.gateway import Policy
from tests.stages.road import WORK, Kill, Killed, a_platform, a_team, later, push, run, withdraw, world

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
            await app.gateway.create_product(
                "team-alpha", "Alpha", Marker(REPOSITORY, "alpha", path_of("alpha"), "")
            )

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
    await later(app, app.timeouts.grace)
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
            await run(app, PROVISION_GATEWAY)
            await run(app, PROVISION_WORKSPACES)

    await run(app, PROVISION_GATEWAY)
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


SCREENED = (
    "contentSafety: {endpoint: https://contoso-safety.cognitiveservices.azure.com, threshold: 4}\n"
    + catalog_text().replace(
        "    maxTokensPerMinute: 100000\n", "    maxTokensPerMinute: 100000\n    screened: true\n"
    )
)
WITH_KEY = (
    catalog_text()
    + "  - {name: claude, provider: openai, endpoint: https://one.example/v1, credential: claude-key}\n"
)
POOL = catalog_text() + (
    "  - name: claude\n    provider: openai\n"
    "    pool: [{name: one, endpoint: https://one.example/v1}, {name: two, endpoint: "
    "https://two.example/v1}]\n"
)


async def test_a_policy_that_names_what_is_new_waits_for_the_new_catalogue() -> None:
    app = await a_team()
    app.repository.commit({DEFAULT_CATALOG_PATH: SCREENED})
    with pytest.raises(Busy) as busy:
        await run(app, PROVISION_GATEWAY)
    assert busy.value.reason == "BackendGone"
    await run(app, PROVISION_CATALOG, CATALOG_TEAM)
    await run(app, PROVISION_GATEWAY)
    assert "llm-content-safety" in app.gateway.state.policies["team-alpha"].text


async def test_a_backend_that_came_back_unseen_does_not_make_a_refusal_final() -> None:
    app = await a_team(Asked(dedicated={"phi-4": GPU}))
    app.repository.commit({path_of("alpha"): Asked(tokens=7_000, dedicated={"phi-4": GPU}).text()})
    gone: dict[str, ActualBackend] = {}

    async def backend_goes_and_comes(call: Call) -> None:
        if call.name == "put_product_policy":
            gone["team-alpha--phi-4"] = app.gateway.state.backends.pop("team-alpha--phi-4")
        elif gone:
            app.gateway.state.backends.update(gone)

    app.calls.before = backend_goes_and_comes
    with pytest.raises(Busy):
        await run(app, PROVISION_GATEWAY)


@pytest.mark.parametrize(
    ("catalog", "write", "needed"),
    [(WITH_KEY, "shared--claude", "credential--claude-key"), (POOL, "shared--claude", "shared--claude--one")],
)
async def test_a_backend_whose_needs_another_hand_took_away_is_written_later(
    catalog: str, write: str, needed: str
) -> None:
    app = await a_platform()
    app.repository.commit({DEFAULT_CATALOG_PATH: catalog})

    async def another_hand(call: Call) -> None:
        if call.name == "put_backend" and call.target == write:
            app.gateway.state.named_values.pop(needed, None)
            app.gateway.state.backends.pop(needed, None)

    app.calls.before = another_hand
    with pytest.raises(Busy) as busy:
        await run(app, PROVISION_CATALOG, CATALOG_TEAM)
    assert (busy.value.reason, busy.value.message) == (
        "BackendGone",
        f"what {write} needs was deleted meanwhile",
    )


async def test_what_the_service_refuses_for_good_is_refused_for_good() -> None:
    app = await a_platform()
    app.repository.commit({DEFAULT_CATALOG_PATH: POOL})

    async def refuse(call: Call) -> None:
        if call.name == "put_backend" and call.target == "shared--claude--two":
            raise Rejected("Backend 'shared--claude--two' has an invalid URL.")

    app.calls.before = refuse
    with pytest.raises(Rejected):
        await run(app, PROVISION_CATALOG, CATALOG_TEAM)


async def test_a_product_that_gets_keys_while_it_is_deleted_is_looked_at_again() -> None:
    app = await a_team()
    await withdraw(app)
    await later(app, app.timeouts.grace)

    async def keys_are_delivered(call: Call) -> None:
        if call.name == "delete_product":
            app.calls.before = nothing
            await app.gateway.put_subscription(
                "team-alpha", "team-alpha", f"mergekey/{REPOSITORY}/alpha", None
            )

    app.calls.before = keys_are_delivered
    await _sweep(app)
    assert not {"team-alpha"} & {*app.gateway.state.products, *app.gateway.state.subscriptions}
    assert not app.bus.dead_letters()


async def test_what_withdrawn_teams_policies_name_holds_nothing_up_and_goes_with_them() -> None:
    app = await a_team()
    await push(app, {DEFAULT_CATALOG_PATH: SCREENED + WITH_KEY.removeprefix(catalog_text())})
    await _sweep(app)
    await withdraw(app)
    await push(app, {DEFAULT_CATALOG_PATH: catalog_text()})
    await _sweep(app)
    assert app.gateway.state.named_values.keys() == {"credential--content-safety"}
    assert "shared--claude" not in app.gateway.state.backends
    await later(app, app.timeouts.grace)
    assert app.bus.dead_letters() == []
    for _ in range(2):
        await _sweep(app)
    assert "shared--content-safety" not in app.gateway.state.backends
    assert app.gateway.state.named_values == {}


async def _a_robbed_platform() -> tuple[FakeApp, dict[str, object]]:
    """Somebody has deleted a secret that a backend sends, as the service allows: after the backend sent it no
    more.
    """
    app = await a_platform()
    await push(app, {DEFAULT_CATALOG_PATH: WITH_KEY})
    before = world(app)
    del (
        app.gateway.state.credentials["shared--claude"],
        app.gateway.state.named_values["credential--claude-key"],
    )
    return app, before


async def test_a_backend_sends_its_secret_again_when_somebody_deleted_that() -> None:
    app, before = await _a_robbed_platform()
    await _sweep(app)
    assert world(app) == before
    assert app.gateway.state.credentials == {"shared--claude": "credential--claude-key"}
    app.calls.forget()
    await _sweep(app)
    assert app.calls.writes() == []


@pytest.mark.parametrize("writes", range(3))
async def test_a_backend_sends_its_secret_again_even_when_the_host_dies_meanwhile(writes: int) -> None:
    app, before = await _a_robbed_platform()
    kill = Kill(app, writes, "before")
    with pytest.raises(Killed):
        await run(app, PROVISION_CATALOG, CATALOG_TEAM)
    kill.restart()
    await _sweep(app)
    assert world(app) == before
    assert app.gateway.state.credentials == {"shared--claude": "credential--claude-key"}


@pytest.mark.parametrize("left", ["<policies />", None])
async def test_a_policy_of_the_api_that_was_edited_or_deleted_is_written_again(
    left: str | None,
) -> None:
    """It is what takes the credentials of clients off: nothing else would tell that it is gone."""
    app = await a_team()
    policies = app.gateway.state.api_policies
    before = policies.pop("ai").text
    if left is not None:
        policies["ai"] = Policy(left, '"edited"')
    await _sweep(app)
    assert policies["ai"].text == before


def _overtake_deletion(app: FakeApp) -> None:
    """Right before a backend is deleted, the branch asks for it again, and a faster host has it done."""

    async def overtake(call: Call) -> None:
        if call.name == "delete_backend":
            app.calls.before = nothing
            app.repository.commit({path_of("alpha"): Asked(dedicated={"phi-4": GPU}).text()})
            await run(app, PROVISION_GATEWAY)

    app.calls.before = overtake


async def test_who_cleans_up_behind_a_team_that_comes_back_right_then_looks_again() -> None:
    """A slow host finds alpha's product gone and deletes what is left; a faster one has just made the product
    anew.
    """
    app = await a_team(Asked(dedicated={"phi-4": GPU}))
    await withdraw(app)
    gone = a_change(app)
    for kind in (app.gateway.state.products, app.gateway.state.subscriptions, app.gateway.state.policies):
        kind.pop("team-alpha")
    _overtake_deletion(app)
    with pytest.raises(Busy, match="came back"):
        await WORK[PROVISION_GATEWAY](app, an_event(app, gone))
    assert "team-alpha--phi-4" in app.gateway.state.backends


@pytest.mark.parametrize("new", [False, True], ids=["over a policy", "before there was any"])
async def test_a_backend_that_a_faster_hand_names_again_is_looked_at_again(new: bool) -> None:
    app = await a_team(Asked(dedicated={"phi-4": GPU}))
    if new:
        app.gateway.state.policies.clear()
    app.repository.commit({path_of("alpha"): Asked().text()})
    slow = a_change(app)
    _overtake_deletion(app)
    with pytest.raises(Busy, match="written meanwhile"):
        await WORK[PROVISION_GATEWAY](app, an_event(app, slow))
    assert "team-alpha--phi-4" in app.gateway.state.backends


async def test_a_policy_that_is_refused_is_nobodys_race() -> None:
    app = await a_team()
    app.repository.commit({path_of("alpha"): Asked(tokens=7_000).text()})

    async def refuse(call: Call) -> None:
        if call.name == "put_product_policy":
            raise Rejected("400: no")

    app.calls.before = refuse
    with pytest.raises(Rejected):
        await run(app, PROVISION_GATEWAY)


async def test_access_ends_by_its_day_although_another_team_spoils_the_catalogue() -> None:
    """The sweep sees a catalogue that lost what bravo has; alpha's stages see alpha's files alone, in which
    the catalogue is right, and what lies at another path of alpha's is no request.
    """
    app = await a_team(Asked(expires=START.date()))
    await push(app, {path_of("bravo"): Asked(team="bravo", models=("text-embedding-3-large",)).text()})
    catalog = catalog_text()
    before, _, rest = catalog.partition("  - name: text-embedding-3-large\n")
    lost = before + rest[rest.index("  - name: phi-4") :]
    junk = "models: {foundry: [{name: no-such-model}]}\n"
    files = {path_of("alpha"): None, "tenant-access/config/team-alpha/access.yaml": junk}
    app.repository.commit({**files, DEFAULT_CATALOG_PATH: lost})
    app.clock.advance(timedelta(days=2))
    await _sweep(app)
    assert app.gateway.state.subscriptions["team-alpha"].state == "suspended"
    assert app.gateway.state.subscriptions["team-bravo"].state == "active"
